package keepalivedconf

import (
	"testing"
	"time"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/internal/source"
)

// FuzzIncluded: three files that may include each other in any way give a tree in time, every word of which is from one of
// them.
func FuzzIncluded(f *testing.F) {
	f.Add([]byte("include a.conf\n$X=1\ninclude *.conf\n"), []byte("global_defs {\n"), []byte("router_id ${X}\n}\n"))
	f.Add([]byte("include [ab].conf"), []byte("include b.conf"), []byte("include a.conf\n~SEQ(i,1,9) include a.conf"))
	f.Add([]byte("$M=include a.conf \\\ninclude b.conf\n\n~LST(x,1,2) $M"), []byte("@lb1 x"), []byte("$M=${M} \\\nx\n$M"))
	f.Fuzz(func(t *testing.T, main, a, b []byte) {
		begin := time.Now()
		nodes, ps := Read("m.conf", main, Options{ConfigID: "lb1", Files: Collected{
			{Name: "a.conf", Content: a}, {Name: "b.conf", Content: b}, {Name: "m.conf", Content: main},
		}})
		if d := time.Since(begin); len(main)+len(a)+len(b) < 10_000 && d > 10*time.Second {
			t.Errorf("took %s", d)
		}
		if len(ps) > 2*maxProblems+maxOpened {
			t.Errorf("%d problems", len(ps))
		}
		for _, p := range ps {
			inside(t, p.Pos)
		}
		walk(t, nodes)
	})
}

func inside(t *testing.T, p source.Pos) {
	if (p.File != "m.conf" && p.File != "a.conf" && p.File != "b.conf") || p.Line < 1 || p.Col < 1 {
		t.Errorf("%v (%q) is in none of the files", p, p.File)
	}
}

func walk(t *testing.T, nodes []tree.Node) {
	for _, n := range nodes {
		inside(t, n.Pos)
		for _, w := range n.Args {
			inside(t, w.Pos)
		}
		walk(t, n.Kids)
	}
}
