package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"strings"
	"testing"
)

const (
	module = "github.com/reeve-lb/reeve/"
	tags   = "hashicorpmetrics"
)

// arrows are the imports that the design forbids, each with its reason. A name stands for the package and all below it.
var arrows = []struct {
	from, to, because string
	direct            bool // only the import itself is forbidden, not what comes along with another one
	except            []string
}{
	{from: "proxy", to: "cluster", because: "the five trades do not know each other"},
	{from: "proxy", to: "vrrp", because: "the five trades do not know each other"},
	{from: "proxy", to: "check", because: "the agent joins checks and servers"},
	{from: "vrrp", to: "cluster", because: "vrrp asks an Arbiter; the agent fits the leases to it"},
	{from: "vrrp", to: "proxy", because: "the five trades do not know each other"},
	{from: "vrrp", to: "check", because: "the five trades do not know each other"},
	{from: "cluster", to: "vrrp", because: "the cluster knows no VRRP packet: payloads are opaque"},
	{from: "cluster", to: "proxy", because: "the cluster knows no frontend: payloads are opaque"},
	{from: "cluster", to: "check", because: "the five trades do not know each other"},
	{from: "check", to: "proxy", because: "a check says what it saw and does not act"},
	{from: "check", to: "vrrp", because: "a check says what it saw and does not act"},
	{from: "check", to: "cluster", because: "a check says what it saw and does not act"},
	{from: "proxy", to: "config", because: "settings are plain structs of the trade; a trade knows no dialect"},
	{from: "vrrp", to: "config", because: "settings are plain structs of the trade; a trade knows no dialect"},
	{from: "cluster", to: "config", because: "payloads are opaque"},
	{from: "check", to: "config", because: "settings are plain structs of the trade; a trade knows no dialect"},
	{from: "config", to: "proxy/engine", because: "config reads files and does not touch the machine"},
	{from: "config", to: "vrrp/netio", because: "config reads files and does not touch the machine"},
	{from: "config", to: "check/probe", because: "config reads files and does not touch the machine"},
	{from: "config", to: "cluster", because: "config reads files and does not touch the machine"},
	{from: "config", to: "agent", because: "data flows one way: agent -> config"},
	{from: "proxy", to: "agent", because: "data flows one way: agent -> trades"},
	{from: "vrrp", to: "agent", because: "data flows one way: agent -> trades"},
	{from: "cluster", to: "agent", because: "data flows one way: agent -> trades"},
	{from: "check", to: "agent", because: "data flows one way: agent -> trades"},
	{from: "api", to: "", because: "other programs use api alone"},
	{from: "internal/lab", to: "agent", because: "the lab runs binaries, it does not hold a daemon"},
	{from: "internal/lab", to: "proxy", because: "the lab imports nothing of ours"},
	{from: "internal/lab", to: "vrrp", because: "the lab imports nothing of ours"},
	{from: "internal/lab", to: "cluster", because: "the lab imports nothing of ours"},
	{from: "internal/lab", to: "config", because: "the lab imports nothing of ours"},
	{from: "command", to: "cluster", because: "the command line talks to a running agent through api", direct: true},
	{from: "command", to: "proxy", because: "the command line talks to a running agent through api", direct: true},
	{from: "command", to: "vrrp", because: "the command line talks to a running agent through api", direct: true},
	// Pure cores: time and the network are arguments.
	{from: "vrrp/machine", to: "net", because: "pure core"},
	{from: "vrrp/machine", to: "os", because: "pure core", direct: true},
	{from: "vrrp/machine", to: "log", because: "pure core", direct: true},
	{from: "config/lint", to: "net", because: "pure core: what a machine knows is an argument", direct: true},
	{from: "config/lint", to: "os", because: "pure core: what a machine knows is an argument", direct: true},
	{from: "cluster/fsm", to: "net", because: "pure core", direct: true},
	{from: "cluster/fsm", to: "os", because: "pure core", direct: true},
	{from: "proxy/balance", to: "net", because: "pure core", direct: true},
	{from: "proxy/balance", to: "os", because: "pure core", direct: true},
	{from: "proxy/stick", to: "net", because: "pure core", direct: true},
	{from: "proxy/http1", to: "net", because: "pure core", direct: true},
}

// TestArrows holds the picture of the house: who may import whom.
func TestArrows(t *testing.T) {
	direct, all := imports(t, "{{.ImportPath}} {{join .Imports \" \"}}"), imports(t, "{{.ImportPath}} {{join .Deps \" \"}}")
	for _, a := range arrows {
		graph := all
		if a.direct {
			graph = direct
		}
		seen := false
		for pkg, deps := range graph {
			if !under(pkg, module+a.from) {
				continue
			}
			seen = true
			for _, dep := range deps {
				if forbidden(a.to, dep) && !under(dep, module+a.from) {
					t.Errorf("%s imports %s: %s", pkg, dep, a.because)
				}
			}
		}
		if !seen {
			t.Errorf("no package %s: the list of arrows is out of date", a.from)
		}
	}
	for pkg, deps := range direct {
		for _, dep := range deps {
			if dep == module+"agent" && pkg != module+"command" {
				t.Errorf("%s imports agent: command/agent.go is the only door to the daemon", pkg)
			}
		}
	}
}

// TestOneDoorToTheDaemon: within command, one file alone starts daemons.
func TestOneDoorToTheDaemon(t *testing.T) {
	out, err := exec.Command("grep", "-rl", `"`+module+`agent"`, "command", "--include=*.go").Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != "command/agent.go" {
		t.Fatalf("files that import agent: %q (%v), want command/agent.go alone", got, err)
	}
}

func forbidden(to, dep string) bool {
	switch {
	case to == "":
		return strings.HasPrefix(dep, module)
	case strings.Contains(to, "/") || !isStd(to):
		return under(dep, module+to)
	}
	return dep == to
}

func isStd(name string) bool { return name == "net" || name == "os" || name == "log" }

func under(pkg, root string) bool { return pkg == root || strings.HasPrefix(pkg, root+"/") }

func imports(t *testing.T, format string) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-tags", tags, "-f", format, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	graph := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		graph[f[0]] = f[1:]
	}
	return graph
}

// longest is how many lines a function may have: one screen.
const longest = 60

// TestFunctionsFitOnAScreen: who reads a function sees all of it. Tables of tests may be longer.
func TestFunctionsFitOnAScreen(t *testing.T) {
	out, err := exec.Command("go", "list", "-tags", tags, "-f", "{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}\n{{end}}", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	fset := token.NewFileSet()
	for name := range strings.FieldsSeq(string(out)) {
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if ast.IsGenerated(f) {
			continue
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; n > longest {
				t.Errorf("%s: %s has %d lines, more than %d", fset.Position(fn.Pos()), fn.Name.Name, n, longest)
			}
		}
	}
}
