package command

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/internal/lab/ports"
)

// agentStub answers calls with what the test put under "METHOD /path", and keeps the bodies it got.
type agentStub struct {
	t       *testing.T
	answers map[string]any // an *api.Error is sent as such
	bodies  map[string]string
	tokens  []string
}

// stub starts one and returns the flag that leads commands to it.
func stub(t *testing.T, answers map[string]any) (*agentStub, string) {
	t.Helper()
	s := &agentStub{t: t, answers: answers, bodies: map[string]string{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s, "-http-addr=" + strings.TrimPrefix(server.URL, "http://")
}

func (s *agentStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	call := r.Method + " " + r.URL.EscapedPath()
	s.bodies[call] = string(body)
	s.tokens = append(s.tokens, r.Header.Get("X-Reeve-Token"))
	w.Header().Set("Connection", "close") // commands end with their process; in a test nobody closes what they keep open
	switch a := s.answers[call].(type) {
	case nil:
		w.WriteHeader(http.StatusNotFound)
		s.encode(w, api.Error{Code: api.CodeNotFound, Message: "nothing is at " + call})
	case *api.Error:
		w.WriteHeader(a.Status)
		s.encode(w, a)
	case string: // a stream
		_, _ = io.WriteString(w, a)
	default:
		s.encode(w, a)
	}
}

func (s *agentStub) encode(w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Error(err)
	}
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// readers are the commands that print what the agent says: its answer, and what people must see of it.
var readers = []struct {
	args   []string
	call   string
	answer any
	text   []string
}{
	{[]string{"members"}, "GET /v1/agent/members", []api.Member{
		{Name: "lb1", Address: "10.0.0.1:7301", Status: "alive", Role: "node", Build: "0.1.0", Leader: true},
		{Name: "lb2-with-a-long-name", Address: "10.0.0.2:7301", Status: "failed", Role: "witness"},
	}, []string{"Node", "Address", "Status", "lb1 *", "10.0.0.2:7301", "failed", "witness"}},
	{[]string{"info"}, "GET /v1/agent/info", map[string]map[string]string{"raft": {"state": "Leader", "term": "3"}, "agent": {"node": "lb1"}},
		[]string{"raft:", "state = Leader", "term = 3", "agent:", "node = lb1"}},
	{[]string{"config", "history"}, "GET /v1/config/history", []api.ConfigVersion{
		{Version: 3, Time: noon, Author: "ops", Summary: "apply site.hcl", Running: true, Digest: "abcdef"}, {Version: 2, Time: noon, Author: "lb1"},
	}, []string{"Version", "3 *", "apply site.hcl", "abcdef", "lb1"}},
	{[]string{"vip", "list"}, "GET /v1/vips", []api.VIP{
		{Instance: "VI_1", Addresses: []string{"10.0.0.100/24", "10.0.0.101/24"}, Election: "cluster", Holder: "lb1", Epoch: 7, State: "MASTER", Priority: 150},
		{Instance: "VI_2", Addresses: []string{"10.0.0.102/24"}, Election: "vrrp", State: "BACKUP", Priority: 100},
	}, []string{"Instance", "VI_1", "10.0.0.100/24 10.0.0.101/24", "lb1", "7", "cluster", "MASTER", "150", "VI_2", "BACKUP"}},
	{[]string{"vip", "why", "VI_1"}, "GET /v1/vips/VI_1", api.Why{
		VIP:  api.VIP{Instance: "VI_1", Addresses: []string{"10.0.0.100/24"}, Election: "cluster", Holder: "lb1", Epoch: 7, State: "MASTER", Priority: 90},
		Node: "lb1", BasePriority: 150, Weights: []api.Weight{{Cause: "track_script chk_web", Weight: -60, State: "failed"}}, LeaseLeftMS: 212,
		Candidates: []api.Candidate{{Node: "lb1", Priority: 90, Ready: true, Holding: true}, {Node: "lb2", Priority: 80, Note: "no carrier"}},
		Since:      noon, Cause: "lease granted", Adverts: []api.Advert{{Source: "10.0.0.2", Priority: 80, Time: noon, Count: 12}},
		Moves: []api.Move{{Time: noon, From: "BACKUP", To: "MASTER", Cause: "lease granted", Epoch: 7}}, Counters: map[string]uint64{"adverts_sent": 99, "bad_ttl": 0},
	}, []string{"held by lb1", "epoch 7", "lease: 212 ms left", "90 = 150 -60 (track_script chk_web: failed)", "no carrier", "10.0.0.2", "BACKUP -> MASTER", "adverts_sent = 99"}},
	{[]string{"vip", "why", "VI_2"}, "GET /v1/vips/VI_2", api.Why{
		VIP:  api.VIP{Instance: "VI_2", Addresses: []string{"10.0.0.102/24"}, Election: "cluster", Holder: "lb2", Epoch: 5},
		Node: "w", Candidates: []api.Candidate{{Node: "lb2", Priority: 150, Ready: true, Holding: true}, {Node: "lb1", Priority: 100, Ready: true}},
		Cause: "this node does not stand for it: it is a witness",
	}, []string{"VI_2 (10.0.0.102/24) is held by lb2, epoch 5, election cluster\nhere, on w: this node does not stand for it: it is a witness\n\nCandidates\n", "lb1", "150"}},
	{[]string{"vip", "why", "VI_3"}, "GET /v1/vips/VI_3", api.Why{
		VIP:  api.VIP{Instance: "VI_3", Addresses: []string{"10.0.0.103/24"}, Election: "vrrp"},
		Node: "w", Cause: "this node does not stand for it: it is a witness",
	}, []string{"VI_3 (10.0.0.103/24) has election vrrp: only nodes that stand for it know who holds it\nhere, on w: this node"}},
	{[]string{"table", "list"}, "GET /v1/tables", []api.Table{{Name: "app", Type: "ip", Size: 10240, Entries: 3}}, []string{"Table", "app", "ip", "10240", "3"}},
	{[]string{"table", "show", "app"}, "GET /v1/tables/app", []api.TableEntry{{Key: "192.0.2.7", Server: "web1", ExpiresMS: 90_000}},
		[]string{"Key", "192.0.2.7", "web1", "1m30s"}},
	{[]string{"operator", "raft", "list-peers"}, "GET /v1/operator/raft/configuration", []api.RaftPeer{
		{Node: "lb1", ID: "a1", Address: "10.0.0.1:7300", State: "leader", Voter: true, CommitIndex: 42},
	}, []string{"Node", "lb1", "10.0.0.1:7300", "leader", "true", "42"}},
}

// TestReaders: as text they show what matters; as JSON they print what the api's types say, one value.
func TestReaders(t *testing.T) {
	for _, r := range readers {
		t.Run(strings.Join(r.args, " "), func(t *testing.T) {
			_, addr := stub(t, map[string]any{r.call: r.answer})
			text := run(t, append(r.args, addr)...).good(t)
			for _, want := range r.text {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in\n%s", want, text)
				}
			}
			if strings.Contains(text, "bad_ttl") {
				t.Errorf("a counter that never counted is shown:\n%s", text)
			}
			var got any
			out := run(t, append(r.args, addr, "-format=json")...).good(t)
			d := json.NewDecoder(strings.NewReader(out))
			if err := d.Decode(&got); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			if d.More() {
				t.Errorf("more than one value: %s", out)
			}
			b, err := json.Marshal(r.answer)
			if err != nil {
				t.Fatal(err)
			}
			var want any
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
				t.Errorf("JSON %s, want %s", g, w)
			}
		})
	}
}

// TestPeersWithoutALeader: nobody is called a follower of nobody; that there is no leader is said beside the table, and is no
// fault of the command. JSON stays one value.
func TestPeersWithoutALeader(t *testing.T) {
	_, addr := stub(t, map[string]any{"GET /v1/operator/raft/configuration": []api.RaftPeer{
		{Node: "lb1", ID: "a1", Address: "10.0.0.1:7300", State: "unknown", Voter: true, CommitIndex: 42},
		{Node: "lb2", ID: "b2", Address: "10.0.0.2:7300", State: "unknown", Voter: true},
	}})
	r := run(t, "operator", "raft", "list-peers", addr)
	if r.code != 0 || !strings.HasPrefix(r.err, "No leader") || strings.Count(r.err, "\n") != 1 {
		t.Errorf("%d, errors %q", r.code, r.err)
	}
	rows := strings.Split(strings.TrimSpace(r.out), "\n")
	if len(rows) != 3 || !strings.HasSuffix(rows[1], "42") || !strings.HasSuffix(rows[2], "-") || strings.Count(r.out, "unknown") != 2 {
		t.Errorf("printed\n%s", r.out)
	}
	r = run(t, "operator", "raft", "list-peers", addr, "-format=json")
	if r.code != 0 || !json.Valid([]byte(r.out)) || !strings.HasPrefix(r.err, "No leader") {
		t.Errorf("JSON: %+v", r)
	}
}

// TestColumns: a column begins at the same place in every row, and an empty cell is a dash.
func TestColumns(t *testing.T) {
	var b strings.Builder
	table(&b, []string{"Node", "Address", "Status"}, [][]string{{"a", "10.0.0.1:7301", ""}, {"a-long-name", "x", "al|ive"}, {"", "", "z"}})
	want := "" +
		"Node         Address        Status\n" +
		"a            10.0.0.1:7301  -\n" +
		"a-long-name  x              al/ive\n" +
		"-            -              z\n"
	if b.String() != want {
		t.Errorf("table\n%s, want\n%s", b.String(), want)
	}
}

func TestConfigShow(t *testing.T) {
	c := api.Config{ConfigVersion: api.ConfigVersion{Version: 4, Author: "ops"}, HCL: "frontend \"web\" {\n}\n"}
	_, addr := stub(t, map[string]any{"GET /v1/config": c})
	for _, args := range [][]string{{addr}, {"-format=hcl", addr}, {addr, "-format", "text"}} {
		if out := run(t, append([]string{"config", "show"}, args...)...).good(t); out != c.HCL {
			t.Errorf("%q printed %q, want the HCL and nothing else", args, out)
		}
	}
	var got api.Config
	out := run(t, "config", "show", addr, "-format=json").good(t)
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.HCL != c.HCL || got.Version != 4 {
		t.Errorf("JSON %s (%v)", out, err)
	}
}

func TestHistoryOfANodeThatStandsAlone(t *testing.T) {
	_, addr := stub(t, map[string]any{"GET /v1/config/history": []api.ConfigVersion{}})
	if out := run(t, "config", "history", addr).good(t); !strings.Contains(out, "own files") {
		t.Errorf("printed %q", out)
	}
	if out := run(t, "config", "history", addr, "-format=json").good(t); strings.TrimSpace(out) != "[]" {
		t.Errorf("JSON %q, want an empty list", out)
	}
}

func TestDoers(t *testing.T) {
	s, addr := stub(t, map[string]any{
		"PUT /v1/agent/join": api.JoinResponse{Joined: 1}, "PUT /v1/agent/leave": struct{}{},
		"PUT /v1/agent/reload": api.ReloadResponse{}, "PUT /v1/vips/release": struct{}{}, "PUT /v1/vips/VI_1/release": struct{}{},
	})
	for args, says := range map[string]string{
		"join 10.0.0.2 10.0.0.3": "Joined 1 of 2", "leave": "leaving", "reload": "Reloaded", "vip release": "Released", "vip release VI_1": "Released",
	} {
		if out := run(t, append(strings.Fields(args), addr)...).good(t); !strings.Contains(out, says) || strings.Count(out, "\n") != 1 {
			t.Errorf("reeve %s printed %q, want one line with %q", args, out, says)
		}
	}
	if body := s.bodies["PUT /v1/agent/join"]; body != `{"addresses":["10.0.0.2","10.0.0.3"]}` {
		t.Errorf("join sent %s", body)
	}
	for _, call := range []string{"PUT /v1/vips/VI_1/release", "PUT /v1/vips/release", "PUT /v1/agent/leave"} {
		if _, asked := s.bodies[call]; !asked {
			t.Errorf("nobody called %s", call)
		}
	}
}

// TestReloadProblems: what the agent found in its files goes to standard error, a line each.
func TestReloadProblems(t *testing.T) {
	_, addr := stub(t, map[string]any{"PUT /v1/agent/reload": &api.Error{Status: 400, Code: api.CodeInvalid, Message: "the files are not valid",
		Problems: []api.Problem{{File: "a.cfg", Line: 3, Col: 5, Severity: "error", Text: "unknown word", Hint: "frontend?"}}}})
	run(t, "reload", addr).bad(t, "a.cfg:3:5: error: unknown word (frontend?)\n", "reeve reload: the files are not valid\n")
}

func TestMonitor(t *testing.T) {
	_, addr := stub(t, map[string]any{"GET /v1/agent/monitor": "one\ntwo\n"})
	if out := run(t, "monitor", addr, "-log-level=debug").good(t); out != "one\ntwo\n" {
		t.Errorf("printed %q", out)
	}
}

// TestWhereTheAgentIs: the flag wins over the environment, which wins over the default; the token goes along.
func TestWhereTheAgentIs(t *testing.T) {
	members := map[string]any{"GET /v1/agent/members": []api.Member{}}
	s, addr := stub(t, members)
	run(t, "members", addr, "-token=sesame").good(t)
	t.Setenv("REEVE_HTTP_ADDR", strings.TrimPrefix(addr, "-http-addr="))
	t.Setenv("REEVE_TOKEN", "from-the-environment")
	run(t, "members").good(t)
	run(t, "members", "-token=flag").good(t)
	if got := strings.Join(s.tokens, " "); got != "sesame from-the-environment flag" {
		t.Errorf("tokens %q", got)
	}
	socket := filepath.Join(t.TempDir(), "a.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(&agentStub{t: t, answers: members, bodies: map[string]string{}})
	server.Listener.Close()
	server.Listener = l
	server.Start()
	defer server.Close()
	run(t, "members", "-http-addr=unix://"+socket).good(t)
}

// TestNoAgent: one line that names the address and what to do, whatever the command.
func TestNoAgent(t *testing.T) {
	addr := ports.Free(t, "127.0.0.1").String()
	file := write(t, "a.cfg", goodCfg)
	for _, args := range []string{"members", "info", "leave", "reload", "monitor", "join x", "config show", "config history", "vip list",
		"vip why V", "vip release", "table list", "table show t", "operator raft list-peers", "plan " + file, "apply " + file} {
		r := run(t, append(strings.Fields(args), "-http-addr="+addr)...)
		r.bad(t, "no agent answers at "+addr, "-http-addr")
		if strings.Count(r.err, "\n") != 1 {
			t.Errorf("reeve %s: %q, want one line", args, r.err)
		}
	}
	run(t, "members", "-http-addr=ftp://x").bad(t, "ftp://x")
}

// TestAgentSaysNo: the message of the agent, and 1.
func TestAgentSaysNo(t *testing.T) {
	_, addr := stub(t, map[string]any{
		"GET /v1/agent/members": &api.Error{Status: 403, Code: api.CodeForbidden, Message: "this agent asks for a token"},
	})
	run(t, "members", addr).bad(t, "reeve members: this agent asks for a token\n")
	run(t, "table", "show", "nowhere", addr).bad(t, "reeve table show: nothing is at GET /v1/tables/nowhere\n")
}
