package agent

import (
	"testing"

	"github.com/reeve-lb/reeve/proxy"
)

// TestGrown: the cluster's entries are asked for when a table is there that was not, and only then.
func TestGrown(t *testing.T) {
	with := func(names ...string) (c proxy.Config) {
		for _, n := range names {
			c.Backends = append(c.Backends, proxy.Backend{Name: n, StickTable: &proxy.StickTable{}})
		}
		c.Backends = append(c.Backends, proxy.Backend{Name: "none"})
		return c
	}
	s := newSticky(nil)
	for n, step := range []struct {
		names []string
		want  bool
	}{{nil, false}, {[]string{"a"}, true}, {[]string{"a"}, false}, {[]string{"a", "b"}, true}, {[]string{"b"}, false}, {[]string{"b", "a"}, true}} {
		if got := s.grown(with(step.names...)); got != step.want {
			t.Errorf("step %d, tables %v: %v, want %v", n, step.names, got, step.want)
		}
	}
}
