package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
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
	{from: "proxy/http2", to: "net", because: "pure core", direct: true},
	{from: "proxy/http2", to: "os", because: "pure core", direct: true},
	{from: "proxy/http2", to: "time", because: "pure core", direct: true},
	{from: "proxy/proxyproto", to: "net", because: "pure core", direct: true},
	{from: "proxy/proxyproto", to: "os", because: "pure core", direct: true},
	{from: "proxy/http3", to: "proxy/engine", because: "it hands connections to a Host; the engine fits itself to that"},
	{from: "proxy/rule", to: "net", because: "pure core", direct: true},
	{from: "proxy/rule", to: "os", because: "pure core", direct: true},
	{from: "proxy/rule", to: "log", because: "pure core", direct: true},
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
			if under(dep, "github.com/quic-go") && pkg != module+"proxy/http3" {
				t.Errorf("%s imports %s: the library's API moves, proxy/http3 alone knows it", pkg, dep)
			}
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

func isStd(name string) bool { return name == "net" || name == "os" || name == "log" || name == "time" }

func under(pkg, root string) bool { return pkg == root || strings.HasPrefix(pkg, root+"/") }

func imports(t *testing.T, format string, flags ...string) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", slices.Concat([]string{"list", "-tags", tags, "-f", format}, flags, []string{"./..."})...).Output()
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

// stories are the files that tell what becomes of a request, one a protocol, in the order of its phases. Who reads one
// should come to its end: at most so many lines.
var stories = map[string]int{"proxy/engine/http.go": 600, "proxy/engine/tcp.go": 600, "proxy/engine/udp.go": 600}

// TestStoriesAreShort: what a phase needs beyond a few lines stands in a file of its own.
func TestStoriesAreShort(t *testing.T) {
	for name, most := range stories {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > most {
			t.Errorf("%s has %d lines, more than %d", name, n, most)
		}
	}
}

// unread are VRRP's settings that nobody acts on, each with the reason.
var unread = map[string]string{
	"Instance.Debug":           "keepalived does nothing with it either",
	"Route.Protocol":           "all routes are marked with keepalived's own number, as keepalived 2.2.7 does",
	"Config.TrackGroups":       "config makes trackers of it",
	"TrackGroup.Members":       "config makes trackers of it",
	"TrackGroup.Name":          "config makes trackers of it",
	"Address.TrackGroup":       "config makes trackers of it",
	"Route.TrackGroup":         "config makes trackers of it",
	"Rule.TrackGroup":          "config makes trackers of it",
	"Global.DynamicInterfaces": "an interface may be missing in any case",
	"Global.AllowIfChanges":    "an interface may change in any case",
	"Global.ReloadCheckConfig": "a broken configuration changes nothing in any case",
	"Global.ConfigID":          "the reader of keepalived.conf's, for @ID",
	"Global.RandomSeed":        "accepted with a warning",
	"Route.VRF":                "accepted with a warning that says what to do instead",
}

// TestEverySettingIsRead: a word of a configuration that is taken without a complaint does something. config fills the
// settings in and vrrp/dump prints them: whoever else names one counts.
func TestEverySettingIsRead(t *testing.T) {
	read := readSettings(t)
	for name, used := range read {
		because, known := unread[name]
		switch {
		case !used && !known:
			t.Errorf("nobody reads vrrp.%s: carry it out, or have the word say that it has no effect", name)
		case used && known:
			t.Errorf("vrrp.%s is read (%s): the list is out of date", name, because)
		}
	}
	for name := range unread {
		if _, there := read[name]; !there {
			t.Errorf("there is no vrrp.%s: the list is out of date", name)
		}
	}
}

// readSettings is whether anybody but config and vrrp/dump names a field, of each field of VRRP's settings.
func readSettings(t *testing.T) map[string]bool {
	t.Helper()
	exports := imports(t, "{{.ImportPath}} {{.Export}}", "-export", "-deps")
	files := imports(t, "{{.ImportPath}} {{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}} {{end}}")
	fset := token.NewFileSet()
	compiled := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path][0]) })
	vrrp, err := compiled.Import(module + "vrrp")
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	names := fields(vrrp)
	for _, name := range names {
		read[name] = false
	}
	for path, sources := range files {
		if under(path, module+"config") || path == module+"vrrp/dump" {
			continue
		}
		var parsed []*ast.File
		for _, name := range sources {
			f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, f)
		}
		info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
		pkg, err := (&types.Config{Importer: compiled}).Check(path, fset, parsed, info)
		if err != nil {
			t.Fatal(err)
		}
		known := names
		if path == module+"vrrp" { // its own fields are other objects than those that others import
			known = fields(pkg)
		}
		for _, o := range info.Uses {
			if name := known[o]; name != "" {
				read[name] = true
			}
		}
	}
	return read
}

// fields are the fields of a package's structs, as "Struct.Field", but for where things were written.
func fields(pkg *types.Package) map[types.Object]string {
	out := map[types.Object]string{}
	for _, name := range pkg.Scope().Names() {
		if s, ok := pkg.Scope().Lookup(name).Type().Underlying().(*types.Struct); ok {
			for f := range s.Fields() {
				if f.Name() != "Pos" {
					out[f] = name + "." + f.Name()
				}
			}
		}
	}
	return out
}
