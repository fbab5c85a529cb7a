package command

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/api"
)

const goodCfg = `defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
frontend web
    bind 127.0.0.1:18080
    default_backend app
backend app
    server one 127.0.0.1:18081
`

const badCfg = `defaults
    mode http
frontend web
    bind 127.0.0.1:99999
    defalt_backend app
backend app
    balance roundrobbin
    server one 127.0.0.1:99999
`

const goodHCL = `frontend "web" {
  mode            = "http"
  bind            = ["127.0.0.1:18080"]
  default_backend = "app"
  timeout {
    client = "10s"
  }
}

backend "app" {
  mode   = "http"
  server = ["one 127.0.0.1:18081"]
  timeout {
    connect = "1s"
    server  = "10s"
  }
}
`

// write makes a file for one test.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func instance(priority string) string {
	return "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority " + priority + "\n virtual_ipaddress {\n 192.0.2.10/24\n }\n}\n"
}

func TestValidateGood(t *testing.T) {
	cfg, lb1, lb2 := write(t, "haproxy.cfg", goodCfg), write(t, "lb1.conf", instance("150")), write(t, "lb2.conf", instance("100"))
	for _, args := range [][]string{{cfg}, {cfg, lb1}, {"lb1=" + lb1, "lb2=" + lb2, cfg}, {"-as=haproxy", write(t, "web.txt", goodCfg)}, {filepath.Dir(cfg)}, {write(t, "site.hcl", goodHCL)}, {"-as=hcl", write(t, "site.txt", goodHCL)}} {
		r := run(t, append([]string{"validate"}, args...)...)
		if r.code != 0 || r.out != "The configuration is valid.\n" || strings.Contains(r.err, "error:") {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

// TestValidateBad: every fault at its line and column, none told twice, nothing on standard output, 1.
func TestValidateBad(t *testing.T) {
	path := write(t, "haproxy.cfg", badCfg)
	r := run(t, "validate", path)
	r.bad(t, path+":4:", path+":5:5: error: ", "default_backend", path+":7:13: error: ", "roundrobin", path+":8:")
	place := regexp.MustCompile(`^` + regexp.QuoteMeta(path) + `:\d+:\d+: (error|warning): .+$`)
	seen := map[string]bool{}
	for line := range strings.Lines(r.err) {
		line = strings.TrimSuffix(line, "\n")
		if !place.MatchString(line) {
			t.Errorf("no place: %q", line)
		}
		if seen[line] {
			t.Errorf("told twice: %q", line)
		}
		seen[line] = true
	}
}

func TestValidateJSON(t *testing.T) {
	type answer struct {
		Valid    bool
		Problems []api.Problem
	}
	path := write(t, "haproxy.cfg", badCfg)
	r := run(t, "validate", "-format=json", path)
	var bad answer
	if err := json.Unmarshal([]byte(r.out), &bad); err != nil || r.code != 1 || bad.Valid || len(bad.Problems) < 4 || r.err != "" {
		t.Fatalf("%v: %+v", err, r)
	}
	for _, p := range bad.Problems {
		if p.File != path || p.Line == 0 || p.Col == 0 || p.Severity == "" || p.Text == "" {
			t.Errorf("problem %+v", p)
		}
	}
	r = run(t, "validate", write(t, "haproxy.cfg", goodCfg), "-format=json")
	var good answer
	if err := json.Unmarshal([]byte(r.out), &good); err != nil || r.code != 0 || !good.Valid || good.Problems == nil {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestValidateUnreadable(t *testing.T) {
	dir := t.TempDir()
	run(t, "validate", filepath.Join(dir, "a.cfg"), filepath.Join(dir, "b.conf")).bad(t, "a.cfg", "b.conf", "no such file")
	run(t, "validate", write(t, "a.yaml", "x")).bad(t, "a.yaml")
	run(t, "validate", dir).bad(t, dir)
}

// TestPairMerges: what two nodes have otherwise by design is kept; anything else that differs is named on both sides.
func TestPairMerges(t *testing.T) {
	a := write(t, "a.conf", instance("150"))
	b := write(t, "b.conf", strings.Replace(instance("100"), "virtual_router_id 51", "virtual_router_id 52", 1))
	run(t, "validate", "lb1="+a, "lb2="+b).bad(t, b+":3:20: error: ", "virtual_router_id", "at "+a+":3:20 ")
}

// TestApply: the files go to the agent as they are, and what it did is told.
func TestApply(t *testing.T) {
	cfg, conf := write(t, "haproxy.cfg", goodCfg), write(t, "lb1.conf", instance("150"))
	s, addr := stub(t, map[string]any{"PUT /v1/config/apply": api.ApplyResponse{
		Version: 8, TookMS: 41.6, Changes: []api.Change{{Path: "frontend web bind", Kind: "added", New: "127.0.0.1:18080"},
			{Path: "backend old", Kind: "removed", Old: "x"}, {Path: "backend app balance", Kind: "changed", Old: "source", New: "roundrobin"}},
		Problems: []api.Problem{{File: "haproxy.cfg", Line: 1, Col: 1, Severity: "warning", Text: "mind this"}},
		Nodes:    []api.NodeReport{{Node: "lb1", Version: 8, TookMS: 12}, {Node: "lb2", Version: 8, TookMS: 14}},
	}})
	r := run(t, "apply", "lb1="+conf, cfg, addr, "-m", "two files", "-base=7")
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{"  + frontend web bind 127.0.0.1:18080\n", "  - backend old x\n", "  ~ backend app balance source -> roundrobin\n",
		"    lb1 runs version 8 after 12 ms\n", "==> Version 8 is in force (42 ms).\n"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is not in %s", want, r.out)
		}
	}
	if r.err != "haproxy.cfg:1:1: warning: mind this\n" {
		t.Errorf("errors %q", r.err)
	}
	var sent api.ConfigRequest
	if err := json.Unmarshal([]byte(s.bodies["PUT /v1/config/apply"]), &sent); err != nil {
		t.Fatal(err)
	}
	if len(sent.Files) != 2 || sent.Files[0].Node != "lb1" || sent.Files[1].Content != goodCfg || sent.Summary != "two files" || *sent.Base != 7 {
		t.Errorf("sent %+v", sent)
	}
}

// TestApplyPartly: the version is committed and runs, and that is said; each node that does not run it is named with what is
// the matter and what comes next, and the command does not end well.
func TestApplyPartly(t *testing.T) {
	_, addr := stub(t, map[string]any{"PUT /v1/config/apply": api.ApplyResponse{
		Version: 8, TookMS: 5012, Changes: []api.Change{{Path: "a", Kind: "added", New: "b"}}, Nodes: []api.NodeReport{
			{Node: "lb1", Version: 8, TookMS: 12},
			{Node: "lb2", Error: "does not answer: context deadline exceeded"},
			{Node: "lb3", Version: 7, Error: "still working on it", TookMS: 10_000},
			{Node: "lb4", Version: 7, Error: "haproxy.cfg:7:5: error: port 80 is held by nginx (pid 12)", TookMS: 3},
			{Node: "lb5", Version: 7}, // asked what it runs while it is at work
		}}})
	file := write(t, "haproxy.cfg", goodCfg)
	r := run(t, "apply", file, addr)
	if r.code != 1 {
		t.Errorf("exit code %d", r.code)
	}
	if want := "  + a b\n    lb1 runs version 8 after 12 ms\n==> Version 8 is committed and runs on 1 of 5 nodes (5012 ms).\n"; r.out != want {
		t.Errorf("printed %q, want %q", r.out, want)
	}
	want := "node lb2: silent: it did not answer within 5.0 s (context deadline exceeded); it takes version 8 when it is back\n" +
		"node lb3: behind: it is still working on version 8 and runs version 7\n" +
		"node lb4: failed: it can't run version 8: haproxy.cfg:7:5: error: port 80 is held by nginx (pid 12)\n" +
		"node lb5: behind: it is still working on version 8 and runs version 7\n" +
		"reeve apply: version 8 is committed, but 4 of 5 nodes do not run it yet\n"
	if r.err != want {
		t.Errorf("errors\n%s, want\n%s", r.err, want)
	}

	r = run(t, "apply", file, addr, "-format=json")
	var got struct {
		Version int
		Nodes   []struct{ Node, State, Error string }
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != 1 || got.Version != 8 || strings.Count(r.out, `"nodes"`) != 1 {
		t.Fatalf("%v: %d, %s", err, r.code, r.out)
	}
	var states []string
	for _, n := range got.Nodes {
		states = append(states, n.Node+" "+n.State)
	}
	if s := strings.Join(states, ", "); s != "lb1 runs, lb2 silent, lb3 behind, lb4 failed, lb5 behind" {
		t.Errorf("states %s", s)
	}
}

// TestApplyOneSilent: one node that died a moment ago, told in the singular.
func TestApplyOneSilent(t *testing.T) {
	_, addr := stub(t, map[string]any{"PUT /v1/config/apply": api.ApplyResponse{Version: 3, TookMS: 100, Nodes: []api.NodeReport{
		{Node: "lb1", Version: 3}, {Node: "lb2", Error: "does not answer"}}}})
	r := run(t, "apply", write(t, "haproxy.cfg", goodCfg), addr)
	if r.code != 1 || r.err != "node lb2: silent: it did not answer within 0.1 s; it takes version 3 when it is back\nreeve apply: version 3 is committed, but 1 of 2 nodes does not run it yet\n" {
		t.Errorf("%+v", r)
	}
}

func TestApplyRefused(t *testing.T) {
	_, addr := stub(t, map[string]any{"PUT /v1/config/apply": &api.Error{Status: 422, Code: api.CodeRefused, Message: "lb2 can't run it: nothing was changed",
		Problems: []api.Problem{{Node: "lb2", File: "haproxy.cfg", Line: 7, Col: 5, Severity: "error", Text: "port 80 is held by nginx (pid 12)"}}}})
	run(t, "apply", write(t, "haproxy.cfg", goodCfg), addr).bad(t,
		"node lb2: haproxy.cfg:7:5: error: port 80 is held by nginx (pid 12)\n", "reeve apply: lb2 can't run it: nothing was changed\n")
}

func TestPlan(t *testing.T) {
	s, addr := stub(t, map[string]any{"PUT /v1/config/plan": api.PlanResponse{Base: 7, Changes: []api.Change{{Path: "a", Kind: "added", New: "b"}}}})
	out := run(t, "plan", write(t, "haproxy.cfg", goodCfg), addr).good(t)
	if !strings.Contains(out, "  + a b\n") || !strings.HasSuffix(out, "1 difference against version 7. Nothing was changed.\n") {
		t.Errorf("printed %q", out)
	}
	if !strings.Contains(s.bodies["PUT /v1/config/plan"], "haproxy.cfg") {
		t.Errorf("sent %s", s.bodies)
	}
}

func TestKeygen(t *testing.T) {
	seen := map[string]bool{}
	for range 10 {
		line := run(t, "keygen").good(t)
		key, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(line, "\n"))
		if err != nil || len(key) != 32 || strings.Count(line, "\n") != 1 {
			t.Errorf("%q: %d bytes, %v", line, len(key), err)
		}
		if seen[line] {
			t.Errorf("%q came twice", line)
		}
		seen[line] = true
	}
}

func TestVersionJSON(t *testing.T) {
	var v struct{ Version, Go string }
	if out := run(t, "version", "-format=json").good(t); json.Unmarshal([]byte(out), &v) != nil || v.Version == "" || !strings.HasPrefix(v.Go, "go1.") {
		t.Errorf("printed %s", out)
	}
}
