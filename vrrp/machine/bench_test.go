package machine

import "testing"

// hostile are adverts that come by the thousand and change nothing.
func hostile(t testing.TB) map[string]struct {
	m Machine
	a Advert
} {
	tt := &testing.T{}
	type c = struct {
		m Machine
		a Advert
	}
	backup, master, fault := in(tt, Backup), in(tt, Master), in(tt, Fault)
	cases := map[string]c{
		"lower to BACKUP": {backup.m, Advert{higher, 50, 0}},
		"lower to MASTER": {master.m, Advert{lower, 50, 0}},
		"zero to MASTER":  {master.m, Advert{lower, 0, 0}},
		"FAULT":           {fault.m, Advert{lower, 255, 0}},
	}
	for name, x := range cases { // the first is answered and told
		x.m, _ = x.m.Heard(x.a, t0.Add(3700*ms))
		cases[name] = x
		if tt.Failed() {
			t.Fatal(name)
		}
	}
	return cases
}

func BenchmarkHeard(b *testing.B) {
	for name, x := range hostile(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.m, _ = x.m.Heard(x.a, t0.Add(3710*ms))
			}
		})
	}
}

// TestHostileAdvertsCostNothing: no memory, no action, no change.
func TestHostileAdvertsCostNothing(t *testing.T) {
	for name, x := range hostile(t) {
		was := x.m
		if _, actions := x.m.Heard(x.a, t0.Add(3710*ms)); len(actions) != 0 {
			t.Errorf("%s: actions %v", name, actions)
		}
		if n := testing.AllocsPerRun(100, func() { x.m, _ = x.m.Heard(x.a, t0.Add(3710*ms)) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if x.m != was {
			t.Errorf("%s changed the machine", name)
		}
	}
}
