package examples_test

import (
	"testing"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/lint"
)

func load(t *testing.T, args ...string) config.Document {
	t.Helper()
	files, ps := config.ReadFiles(args)
	if ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	doc, _, ps := config.Load(files)
	for _, p := range lint.All(doc, ps, lint.Options{}) {
		t.Errorf("%v: %s (%s)", p.Pos, p.Text, p.Hint)
	}
	return doc
}

// TestExamples: not even a warning.
func TestExamples(t *testing.T) {
	load(t, "first/haproxy.cfg")
	load(t, "dns/haproxy.cfg")
	load(t, "syslog/haproxy.cfg")
	load(t, "three/site.hcl")
	load(t, "classic-pair/haproxy.cfg")
	load(t, "classic-pair/lb1.conf")
	load(t, "classic-pair/lb2.conf")
}

// TestPairInHCL: the three files of the pair and the one in HCL are the same wish, on each node.
func TestPairInHCL(t *testing.T) {
	old := load(t, "lb1=classic-pair/lb1.conf", "lb2=classic-pair/lb2.conf", "classic-pair/haproxy.cfg")
	hcl := load(t, "classic-pair/site.hcl")
	for _, node := range []string{"lb1", "lb2"} {
		for _, ch := range config.Diff(old.For(node), hcl.For(node)) {
			t.Errorf("%s: %+v", node, ch)
		}
	}
}
