package lease

import (
	"testing"

	"pgregory.net/rapid"
)

// chaos does one random bad thing.
func (w *world) chaos() {
	n := w.nodes[w.rnd.IntN(len(w.nodes))]
	name := w.names[w.rnd.IntN(len(w.names))]
	switch w.rnd.IntN(16) {
	case 0:
		n.kill()
	case 1, 2:
		if !n.up {
			n.start()
		}
	case 3:
		n.frozen = n.up
	case 4, 5:
		n.thaw()
	case 6:
		for _, o := range w.nodes {
			if o != n && w.rnd.IntN(3) > 0 {
				w.cut[[2]int{n.i, o.i}] = true
			}
		}
	case 7, 8:
		clear(w.cut)
	case 9, 10:
		if n.up {
			n.do(func() {
				c := n.candidacy()
				if w.rnd.IntN(6) == 0 {
					c.Priority = 0
				}
				n.h.stand(name, c, n.clock())
			})
		}
	case 11:
		if n.up {
			n.do(n.stand) // an election for no good reason
		}
	case 12:
		if n.up {
			n.do(func() { n.giveBack(name, n.addr[name].epoch) })
		}
	case 14, 15:
		n.deaf = !n.deaf
	case 13:
		if n.up {
			n.do(func() {
				n.addr[name].on = false
				n.h.withdraw(name, n.clock())
				if w.rnd.IntN(2) == 0 {
					n.h.stand(name, n.candidacy(), n.clock())
				}
			})
		}
	}
}

// heal ends all faults and lets every node be a good candidate.
func (w *world) heal() {
	w.calm = true
	clear(w.cut)
	for _, n := range w.nodes {
		if !n.up {
			n.start()
		}
		n.deaf = false
		n.thaw()
		for _, name := range w.names {
			n.h.stand(name, n.candidacy(), n.clock())
		}
	}
}

func (w *world) owners(name string) (out []string) {
	for _, n := range w.nodes {
		if a := n.addr[name]; a.on && n.clock().Before(a.expiry) {
			out = append(out, n.name)
		}
	}
	return out
}

// TestNeverTwoOwners is the promise: under any mix of faults no instant has two owners, epochs only grow, and when the faults
// end every instance has exactly one owner soon.
func TestNeverTwoOwners(t *testing.T) {
	t.Parallel()
	grants := 0
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.SampledFrom([]int{1, 2, 3, 3, 3, 5}).Draw(t, "nodes")
		w := newWorld(t, rapid.Uint64().Draw(t, "seed"), nodes, 2)
		w.run(900 * simMS)
		for range rapid.IntRange(0, 120).Draw(t, "faults") {
			w.chaos()
			w.run(w.ms(60))
		}
		w.heal()
		for waited := 0; ; waited++ {
			w.run(100 * simMS)
			if len(w.owners(w.names[0])) == 1 && len(w.owners(w.names[1])) == 1 {
				break
			}
			if waited > 20 {
				t.Fatalf("2 s after the last fault %v own the first and %v the second instance%s", w.owners(w.names[0]), w.owners(w.names[1]), w.dump())
			}
		}
		w.run(2000 * simMS)
		for _, name := range w.names {
			if o := w.owners(name); len(o) != 1 {
				t.Fatalf("in peace %v own %s%s", o, name, w.dump())
			}
		}
		grants += w.grants
	})
	if grants < 100 {
		t.Errorf("only %d grants in all runs: the simulation does not exercise the leases", grants)
	}
}
