package agent

import (
	"bytes"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
)

// settled is an agent as far as its settings go, started with the flags and the file.
func settled(t *testing.T, out *bytes.Buffer, flags Settings, n config.Node) *Agent {
	t.Helper()
	s := flags
	s.lay(n)
	if err := s.fill(); err != nil {
		t.Fatal(err)
	}
	return &Agent{set: s, flags: flags, log: newLogger(s, out)}
}

func TestReloadTakesTheLogLevel(t *testing.T) {
	for _, c := range []struct {
		name        string
		flag        string
		before, now config.Node
		debug       bool
		said        string
	}{
		{"the same", "", config.Node{}, config.Node{}, false, ""},
		{"another level", "", config.Node{}, config.Node{LogLevel: "debug"}, true, ""},
		{"back to the default", "", config.Node{LogLevel: "debug"}, config.Node{}, false, ""},
		{"the flag wins", "warn", config.Node{}, config.Node{LogLevel: "debug"}, false, ""},
		{"no level", "", config.Node{LogLevel: "debug"}, config.Node{LogLevel: "loud"}, true, `"loud"`},
		{"what waits for a start", "", config.Node{}, config.Node{HTTPAddr: "127.0.0.1:7599"}, false, "other than log_level"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			a := settled(t, &out, Settings{Node: "lb1", DataDir: "/d", LogLevel: c.flag}, c.before)
			ps := a.resettle(c.now)
			if a.log.IsDebug() != c.debug {
				t.Errorf("debug lines: %v", a.log.IsDebug())
			}
			if (c.said == "") != (len(ps) == 0) || ps.HasErrors() || len(ps) > 0 && !strings.Contains(ps[0].Text, c.said) {
				t.Errorf("said %v, want %q", ps, c.said)
			}
		})
	}
}

// Standard input is empty by now: taken for the configuration it would be the end of all frontends.
func TestReloadRefusesStandardInput(t *testing.T) {
	var out bytes.Buffer
	a := settled(t, &out, Settings{Node: "lb1", DataDir: "/d", Files: []string{"-"}}, config.Node{})
	if _, err := a.Reload(); err == nil || !strings.Contains(err.Error(), "standard input") {
		t.Errorf("%v", err)
	}
}

func TestProblemsInTheLog(t *testing.T) {
	var out bytes.Buffer
	a := settled(t, &out, Settings{Node: "lb1", DataDir: "/d"}, config.Node{})
	at := source.Pos{File: "a.cfg", Line: 3, Col: 2}
	var ps source.Problems
	ps.Errorf(at, "", "bad")
	ps.Warnf(at, "try this", "odd")
	a.logProblems(ps)
	got := out.String()
	for _, want := range []string{"[ERROR] reeve: bad: at=a.cfg:3:2\n", "[WARN]  reeve: odd: at=a.cfg:3:2 hint=\"try this\"\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
