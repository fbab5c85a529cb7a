package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/reeve-lb/reeve/agent/httpapi"
	"github.com/reeve-lb/reeve/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake answers what the test put into it and remembers what it was asked.
type fake struct {
	err     error // of every call that can fail
	asked   []string
	applied api.ConfigRequest
	lines   chan string
	ended   chan error // how Monitor's context ended
}

func (f *fake) note(format string, a ...any) { f.asked = append(f.asked, fmt.Sprintf(format, a...)) }

func (f *fake) Self() api.Self {
	f.note("self")
	return api.Self{Node: "lb1", ConfigVersion: 7, InCluster: true}
}
func (f *fake) Members() []api.Member {
	return []api.Member{{Name: "lb1", Status: "alive", Leader: true}}
}
func (f *fake) Info() map[string]map[string]string {
	return map[string]map[string]string{"raft": {"state": "Leader"}}
}
func (f *fake) Join(_ context.Context, as []string) (int, error) {
	f.note("join %v", as)
	return len(as), f.err
}
func (f *fake) Leave() error { f.note("leave"); return f.err }
func (f *fake) Reload() (api.ReloadResponse, error) {
	return api.ReloadResponse{Version: 3}, f.err
}
func (f *fake) Plan(_ context.Context, r api.ConfigRequest) (api.PlanResponse, error) {
	f.applied = r
	return api.PlanResponse{Base: 4}, f.err
}
func (f *fake) Apply(_ context.Context, r api.ConfigRequest) (api.ApplyResponse, error) {
	f.applied = r
	return api.ApplyResponse{Version: 5}, f.err
}
func (f *fake) Config() (api.Config, error) {
	return api.Config{ConfigVersion: api.ConfigVersion{Version: 5}, HCL: "global {}\n"}, f.err
}
func (f *fake) History() ([]api.ConfigVersion, error) {
	return []api.ConfigVersion{{Version: 5}, {Version: 4}}, f.err
}
func (f *fake) VIPs() []api.VIP { return []api.VIP{{Instance: "VI_1", Holder: "lb1"}} }
func (f *fake) Why(_ context.Context, name string) (api.Why, error) {
	f.note("why %s", name)
	return api.Why{VIP: api.VIP{Instance: name}, Node: "lb1"}, f.err
}
func (f *fake) Release(_ context.Context, name string) error {
	f.note("release %q", name)
	return f.err
}
func (f *fake) Tables() []api.Table { return []api.Table{{Name: "app", Entries: 2}} }
func (f *fake) Table(name string) ([]api.TableEntry, error) {
	f.note("table %s", name)
	return []api.TableEntry{{Key: "192.0.2.1", Server: "web1"}}, f.err
}
func (f *fake) Certificates() []api.Certificate {
	return []api.Certificate{{File: "/etc/a.pem", Names: []string{"a.example"}, Key: "ECDSA"}}
}
func (f *fake) SetCertificate(_ context.Context, name string, pem []byte) (api.CertificateChange, error) {
	f.note("certificate %s %s", name, pem)
	return api.CertificateChange{File: "/" + name}, f.err
}
func (f *fake) RemoveCertificate(_ context.Context, name string) (api.CertificateChange, error) {
	f.note("no certificate %s", name)
	return api.CertificateChange{File: "/" + name}, f.err
}
func (f *fake) SetTicketKeys(_ context.Context, r api.TicketKeysRequest) (api.CertificateChange, error) {
	f.note("%d keys", len(r.Keys))
	return api.CertificateChange{Nodes: []api.ServingReport{{Node: "lb1", TookMS: 3}}}, f.err
}

func (f *fake) RaftPeers(context.Context) ([]api.RaftPeer, error) {
	return []api.RaftPeer{{Node: "lb1", Voter: true}}, f.err
}
func (f *fake) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "reeve_up 1") })
}
func (f *fake) Stats() any { return map[string]int{"connections": 12} }
func (f *fake) Monitor(ctx context.Context, level string, w io.Writer) error {
	for {
		select {
		case line := <-f.lines:
			if _, err := io.WriteString(w, level+": "+line+"\n"); err != nil {
				return err
			}
		case <-ctx.Done():
			f.ended <- ctx.Err()
			return ctx.Err()
		}
	}
}

// serve starts the interface over a fake; the client speaks to it as the commands do.
func serve(t *testing.T, token string) (*fake, *httptest.Server, *api.Client) {
	t.Helper()
	f := &fake{lines: make(chan string), ended: make(chan error, 1)}
	s := httptest.NewServer(httpapi.Handler(f, token, hclog.NewNullLogger()))
	t.Cleanup(s.Close)
	c, err := api.New(api.Options{Address: s.URL, Token: token, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return f, s, c
}

// ask sends one request by hand and returns status, content type and body.
func ask(t *testing.T, s *httptest.Server, method, path, body string, header ...string) (int, string, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

// TestEveryCall: each method of the client reaches the service's and brings back what it said.
func TestEveryCall(t *testing.T) {
	f, _, c := serve(t, "")
	ctx := t.Context()
	self, err := c.Self(ctx)
	is(t, err, self.Node, "lb1")
	is(t, err, self.ConfigVersion, uint64(7))
	members, err := c.Members(ctx)
	is(t, err, fmt.Sprint(len(members), members[0].Name, members[0].Leader), "1lb1true")
	info, err := c.Info(ctx)
	is(t, err, info["raft"]["state"], "Leader")
	n, err := c.Join(ctx, []string{"10.0.0.2", "10.0.0.3"})
	is(t, err, n, 2)
	is(t, c.Leave(ctx), "", "")
	reload, err := c.Reload(ctx)
	is(t, err, reload.Version, uint64(3))
	plan, err := c.Plan(ctx, api.ConfigRequest{Files: []api.File{{Name: "a.cfg", Content: "x"}}})
	is(t, err, plan.Base, uint64(4))
	is(t, err, f.applied.Files[0].Content, "x")
	base := uint64(4)
	apply, err := c.Apply(ctx, api.ConfigRequest{Files: []api.File{{Name: "a.conf", Node: "lb1"}}, Base: &base, Summary: "why"})
	is(t, err, apply.Version, uint64(5))
	is(t, err, fmt.Sprint(f.applied.Files[0].Node, *f.applied.Base, f.applied.Summary), "lb14why")
	conf, err := c.Config(ctx)
	is(t, err, conf.HCL, "global {}\n")
	history, err := c.History(ctx)
	is(t, err, len(history), 2)
	vips, err := c.VIPs(ctx)
	is(t, err, vips[0].Holder, "lb1")
	why, err := c.Why(ctx, "VI/1 a") // a name is a path segment, whatever is in it
	is(t, err, why.Instance, "VI/1 a")
	is(t, c.Release(ctx, ""), "", "")
	is(t, c.Release(ctx, "VI_1"), "", "")
	tables, err := c.Tables(ctx)
	is(t, err, tables[0].Entries, 2)
	entries, err := c.Table(ctx, "app")
	is(t, err, entries[0].Server, "web1")
	certificates, err := c.Certificates(ctx)
	is(t, err, certificates[0].Key, "ECDSA")
	set, err := c.SetCertificate(ctx, "/etc/a.pem", "pem")
	is(t, err, set.File, "//etc/a.pem")
	removed, err := c.RemoveCertificate(ctx, "a.pem")
	is(t, err, removed.File, "/a.pem")
	keys, err := c.SetTicketKeys(ctx, []string{"x", "y"})
	is(t, err, keys.Nodes[0].Node, "lb1")
	peers, err := c.RaftPeers(ctx)
	is(t, err, peers[0].Voter, true)
	stats, err := c.Stats(ctx)
	var counters map[string]int
	is(t, errors.Join(err, json.Unmarshal(stats, &counters)), counters["connections"], 12)
	want := `self, join [10.0.0.2 10.0.0.3], leave, why VI/1 a, release "", release "VI_1", table app, ` +
		`certificate /etc/a.pem pem, no certificate a.pem, 2 keys`
	is(t, nil, strings.Join(f.asked, ", "), want)
}

func is[T comparable](t *testing.T, err error, got, want T) {
	t.Helper()
	if err != nil || got != want {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}

func TestToken(t *testing.T) {
	f, s, c := serve(t, "sesame")
	if _, err := c.Self(t.Context()); err != nil {
		t.Errorf("with the token: %v", err)
	}
	if code, _, _ := ask(t, s, "GET", "/v1/agent/self", "", "Authorization", "Bearer sesame"); code != http.StatusOK {
		t.Errorf("as a bearer: %d", code)
	}
	f.asked = nil
	for _, header := range [][]string{nil, {"X-Reeve-Token", "Sesame"}, {"X-Reeve-Token", ""}, {"Authorization", "Bearer"},
		{"Authorization", "Basic sesame"}, {"Authorization", "sesame"}, {"X-Reeve-Token", "wrong", "Authorization", "Bearer sesame"}} {
		for _, call := range [][2]string{{"GET", "/v1/agent/self"}, {"PUT", "/v1/agent/leave"}, {"GET", "/v1/agent/monitor"}, {"GET", "/nowhere"}} {
			code, _, body := ask(t, s, call[0], call[1], "", header...)
			if code != http.StatusForbidden || !strings.Contains(body, `"forbidden"`) {
				t.Errorf("%v with %q: %d %s", call, header, code, body)
			}
		}
	}
	if len(f.asked) > 0 {
		t.Errorf("the service was asked without the token: %v", f.asked)
	}
}

// TestForeignSite: a page of another site that a browser shows can't make the agent do anything.
func TestForeignSite(t *testing.T) {
	f, s, _ := serve(t, "")
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://elsewhere.example"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://elsewhere.example"}, // a browser that says no more than this
	} {
		code, kind, body := ask(t, s, "PUT", "/v1/agent/leave", "", header...)
		if code != http.StatusForbidden || len(f.asked) > 0 {
			t.Errorf("a foreign page with %q got %d and reached %v", header, code, f.asked)
		}
		var e api.Error
		if err := json.Unmarshal([]byte(body), &e); err != nil || kind != "application/json" || e.Code != api.CodeForbidden || !strings.Contains(e.Message, "another site") {
			t.Errorf("a foreign page with %q was told %s %q (%v), want the JSON that every error is", header, kind, body, err)
		}
	}
	if code, _, _ := ask(t, s, "PUT", "/v1/agent/leave", "", "Sec-Fetch-Site", "same-origin"); code != http.StatusOK {
		t.Errorf("the agent's own page got %d", code)
	}
}

func TestBadRequests(t *testing.T) {
	f, s, _ := serve(t, "")
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code, says         string
	}{
		"a misspelt field":      {"PUT", "/v1/config/apply", `{"fils":[]}`, 400, "invalid", "fils"},
		"a field of a file":     {"PUT", "/v1/config/plan", `{"files":[{"nome":"x"}]}`, 400, "invalid", "nome"},
		"a field of join":       {"PUT", "/v1/agent/join", `{"address":["x"]}`, 400, "invalid", "address"},
		"no JSON":               {"PUT", "/v1/config/apply", `global`, 400, "invalid", "request body"},
		"half of it":            {"PUT", "/v1/config/apply", `{"files":[`, 400, "invalid", "request body"},
		"the wrong type":        {"PUT", "/v1/config/apply", `{"files":"a.cfg"}`, 400, "invalid", "files"},
		"too much":              {"PUT", "/v1/config/apply", `{"summary":"` + strings.Repeat("x", 9<<20) + `"}`, 400, "invalid", "too large"},
		"no such path":          {"GET", "/v1/nothing", "", 404, "not_found", "/v1/nothing"},
		"no path":               {"GET", "/", "", 404, "not_found", "GET /"},
		"the wrong method":      {"GET", "/v1/config/apply", "", 404, "not_found", "GET /v1/config/apply"},
		"a write by GET":        {"GET", "/v1/agent/leave", "", 404, "not_found", "/v1/agent/leave"},
		"an unknown log level":  {"GET", "/v1/agent/monitor?level=loud", "", 400, "invalid", "loud"},
		"an unknown format":     {"GET", "/v1/agent/metrics?format=xml", "", 400, "invalid", "prometheus"},
		"a table without name":  {"GET", "/v1/tables/", "", 404, "not_found", "/v1/tables/"},
		"no way out of a table": {"GET", "/v1/tables/a/b", "", 404, "not_found", "/v1/tables/a/b"},
	} {
		t.Run(name, func(t *testing.T) {
			status, kind, body := ask(t, s, c.method, c.path, c.body)
			var e api.Error
			if err := json.Unmarshal([]byte(body), &e); err != nil {
				t.Fatalf("%d %s is no JSON: %v", status, body, err)
			}
			if status != c.status || e.Code != c.code || !strings.Contains(e.Message, c.says) || kind != "application/json" {
				t.Errorf("%d %s %s, want %d, %s and a word of %q", status, kind, body, c.status, c.code, c.says)
			}
		})
	}
	if len(f.asked) > 0 {
		t.Errorf("a bad request reached the service: %v", f.asked)
	}
}

// TestStatusByCode: each code has its status, and the client gets code, message and problems back.
func TestStatusByCode(t *testing.T) {
	problem := api.Problem{File: "a.cfg", Line: 3, Col: 5, Severity: "error", Text: "no such word", Node: "lb2"}
	for code, want := range map[string]int{
		api.CodeInvalid: 400, api.CodeForbidden: 403, api.CodeNotFound: 404, api.CodeConflict: 409, api.CodeAlone: 409,
		api.CodeRefused: 422, api.CodeInternal: 500, api.CodeNoLeader: 503, "a code of tomorrow": 500,
	} {
		f, _, c := serve(t, "")
		f.err = fmt.Errorf("on the way: %w", &api.Error{Code: code, Message: "because", Problems: []api.Problem{problem}})
		_, err := c.Apply(t.Context(), api.ConfigRequest{})
		var e *api.Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: the client gave %v", code, err)
		}
		if e.Status != want || e.Code != code || e.Message != "because" || len(e.Problems) != 1 || e.Problems[0] != problem {
			t.Errorf("%s: %+v, want status %d and the problem", code, e, want)
		}
	}
	for err, want := range map[error]string{
		errors.New("disk full"):                             api.CodeInternal,
		fmt.Errorf("propose: %w", context.DeadlineExceeded): api.CodeNoLeader,
	} {
		f, _, c := serve(t, "")
		f.err = err
		_, got := c.Config(t.Context())
		var e *api.Error
		if !errors.As(got, &e) || e.Code != want || e.Message != err.Error() {
			t.Errorf("%v became %v", err, got)
		}
	}
}

// TestMonitor: each line comes at once, at the wanted level, and the service learns that the client left.
func TestMonitor(t *testing.T) {
	f, _, c := serve(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := c.Monitor(ctx, "debug")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	lines := bufio.NewReader(stream)
	for _, want := range []string{"one", "two"} { // the second is said only after the first was read
		f.lines <- want
		if got, err := lines.ReadString('\n'); got != "debug: "+want+"\n" {
			t.Fatalf("read %q (%v)", got, err)
		}
	}
	cancel()
	if err := <-f.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the service's context ended with %v", err)
	}
	if _, err := lines.ReadString('\n'); err == nil {
		t.Error("the stream goes on after its end")
	}
}
