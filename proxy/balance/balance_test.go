package balance

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/proxy"
)

// The orders that HAProxy was measured to have, so that they are held where it isn't installed.
func TestRoundRobinOrder(t *testing.T) {
	cases := []struct {
		weights, want []int
	}{
		{[]int{3, 1}, []int{1, 1, 1, 2, 1, 1, 1, 2}},
		{[]int{5, 3, 2}, []int{1, 2, 1, 3, 1, 2, 1, 2, 1, 3}},
		{[]int{1, 1, 1, 1}, []int{1, 2, 3, 4, 1, 2, 3, 4}},
		{[]int{0, 1}, []int{2, 2, 2}},
		{[]int{0, 0}, []int{-1, -1}},
		{nil, []int{-1}},
	}
	for _, c := range cases {
		if got := take(New(proxy.RoundRobin, weighted(c.weights...)), 0, len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.weights, got, c.want)
		}
	}
}

func TestBackups(t *testing.T) {
	for _, alg := range []proxy.Algorithm{proxy.RoundRobin, proxy.Source} {
		p := New(alg, append(weighted(1, 1), Server{3, 1, true}, Server{4, 1, true}))
		expect := func(when string, hash uint32, want int) {
			t.Helper()
			if got := take(p, hash, 1)[0]; got != want {
				t.Errorf("%v, %s: got %d, want %d", alg, when, got, want)
			}
		}
		p.SetUp(1, false)
		for h := range uint32(6) {
			expect("one active server left", h, 2)
		}
		p.SetWeight(2, 0)
		expect("no active server usable", 7, 3)
		p.SetUp(3, false)
		expect("first backup down", 7, 4)
		p.SetUp(4, false)
		expect("all down", 7, -1)
		if p.Usable() != 0 || p.Active() != 0 {
			t.Errorf("%v: %d usable of which %d active, want none", alg, p.Usable(), p.Active())
		}
		p.SetUp(1, true)
		expect("an active server is back", 7, 1)
		if p.Active() != 1 || p.Backups() != 0 || !p.Up(1) || p.Weight(2) != 0 {
			t.Errorf("%v: active %d backups %d", alg, p.Active(), p.Backups())
		}
	}
}

func TestRedispatchTakesAnother(t *testing.T) {
	for _, alg := range []proxy.Algorithm{proxy.RoundRobin, proxy.Source} {
		p := New(alg, weighted(5, 1, 1))
		for h := range uint32(50) {
			first, _ := p.Next(h)
			if second, ok := p.NextExcept(h, first); !ok || second == first {
				t.Fatalf("%v: redispatch from %d to %d", alg, first, second)
			}
		}
		p.SetUp(2, false)
		p.SetUp(3, false)
		if id, ok := p.NextExcept(0, 1); !ok || id != 1 {
			t.Errorf("%v: the last server usable is to be tried again, got %d %v", alg, id, ok)
		}
	}
	p := New(proxy.RoundRobin, []Server{{1, 1, true}, {2, 1, true}})
	if id, _ := p.NextExcept(0, 1); id != 2 {
		t.Errorf("redispatch from the first backup: got %d, want the second", id)
	}
	p.SetUp(2, false)
	if id, _ := p.NextExcept(0, 1); id != 1 {
		t.Errorf("redispatch from the only backup: got %d", id)
	}
}

func TestFullServersArePassedOver(t *testing.T) {
	p := New(proxy.RoundRobin, weighted(3, 1, 1))
	for range 20 {
		if id, ok := p.NextFree(0, None, func(id int) bool { return id != 2 }); !ok || id != 2 {
			t.Fatalf("got %d %v, want the only one that is not full", id, ok)
		}
	}
	if _, ok := p.NextFree(0, None, func(int) bool { return true }); ok {
		t.Error("all full, yet one was picked")
	}
	if p.Active() != 3 {
		t.Error("being full is not being down")
	}
	counts := map[int]int{}
	for _, id := range take(p, 0, 500) {
		counts[id]++
	}
	if abs(counts[1]-300) > 3 || abs(counts[2]-100) > 3 || abs(counts[3]-100) > 3 {
		t.Errorf("afterwards shares are %v, want about 300 100 100", counts)
	}
}

func abs(n int) int { return max(n, -n) }

func TestBadServers(t *testing.T) {
	p := New(0, []Server{{1, 1000, false}, {1, 1, false}, {-7, 1, false}, {2, -3, false}})
	if p.Weight(1) != MaxWeight || p.Weight(2) != 0 || p.Active() != 1 {
		t.Errorf("weights %d %d, active %d", p.Weight(1), p.Weight(2), p.Active())
	}
	p.SetUp(99, true)
	p.SetWeight(99, 3)
	if p.Up(99) || p.Weight(99) != 0 {
		t.Error("an unknown id came to be")
	}
}

func TestManyServers(t *testing.T) {
	servers := make([]Server, MaxServers+5)
	for i := range servers {
		servers[i] = Server{ID: i, Weight: 1}
	}
	for _, alg := range []proxy.Algorithm{proxy.RoundRobin, proxy.Source} {
		p := New(alg, servers)
		if p.Active() != MaxServers {
			t.Fatalf("%v: %d active, want %d", alg, p.Active(), MaxServers)
		}
		for i := range 2 * MaxServers {
			if id, _ := p.Next(uint32(i)); id != i%MaxServers {
				t.Fatalf("%v: pick %d is %d, want the order of the file", alg, i, id)
			}
		}
	}
}

func TestHashSource(t *testing.T) {
	for s, want := range map[string]uint32{
		"1.2.3.4":         0x01020304,
		"::ffff:1.2.3.4":  0x01020304,
		"2001:db8::1":     0x20010db8 ^ 1,
		"1:2:3:4:5:6:7:8": 0x00010002 ^ 0x00030004 ^ 0x00050006 ^ 0x00070008,
		"fe80::1%eth0":    0xfe800000 ^ 1,
		"255.255.255.255": 0xffffffff,
	} {
		if got := HashSource(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s: %#x, want %#x", s, got, want)
		}
	}
}

// model replays what a Picker was told, so that a pick can be judged.
type model struct {
	servers []Server
	up      map[int]bool
}

func (m *model) usable(backup bool) (ids []int) {
	for _, s := range m.servers {
		if s.Backup == backup && s.Weight > 0 && m.up[s.ID] {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

func drawServers(t *rapid.T) []Server {
	n := rapid.IntRange(1, 12).Draw(t, "servers")
	servers := make([]Server, n)
	for i := range servers {
		servers[i] = Server{ID: i * 3, Weight: rapid.OneOf(rapid.IntRange(0, 8), rapid.IntRange(0, MaxWeight)).Draw(t, "weight"),
			Backup: rapid.IntRange(0, 4).Draw(t, "backup") == 0}
	}
	return servers
}

// Whatever is told in whatever order: only usable servers are picked, backups only when they must, some server whenever
// there is one, and two pickers told the same pick the same.
func TestPicksAreUsable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alg := rapid.SampledFrom([]proxy.Algorithm{proxy.RoundRobin, proxy.Source}).Draw(t, "algorithm")
		m := &model{servers: drawServers(t), up: map[int]bool{}}
		for _, s := range m.servers {
			m.up[s.ID] = true
		}
		p, twin := New(alg, m.servers), New(alg, m.servers)
		m.servers = slices.Clone(m.servers)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, len(m.servers)-1).Draw(t, "server")
			id := m.servers[i].ID
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				m.up[id] = rapid.Bool().Draw(t, "up")
				p.SetUp(id, m.up[id])
				twin.SetUp(id, m.up[id])
			case 1:
				w := rapid.IntRange(0, 9).Draw(t, "new weight")
				m.servers[i].Weight = w
				p.SetWeight(id, w)
				twin.SetWeight(id, w)
			}
			for range rapid.IntRange(0, 30).Draw(t, "picks") {
				m.judge(t, alg, p, twin, rapid.Uint32().Draw(t, "hash"))
			}
		}
	})
}

func (m *model) judge(t *rapid.T, alg proxy.Algorithm, p, twin *Picker, hash uint32) {
	except, busy := None, None
	if hash%3 == 0 {
		except = int(hash/3%12) * 3
	}
	if hash%5 == 0 {
		busy = int(hash/15%12) * 3
	}
	full := func(id int) bool { return id == busy }
	got, ok := p.NextFree(hash, except, full)
	if got2, ok2 := twin.NextFree(hash, except, full); got != got2 || ok != ok2 {
		t.Fatalf("twins differ: %d %v, %d %v", got, ok, got2, ok2)
	}
	want := m.usable(false)
	if len(want) == 0 {
		if want = m.usable(true); len(want) > 2 {
			want = want[:2]
		}
		if len(want) > 1 && want[0] != except {
			want = want[:1]
		}
		busy = None
	}
	if alg == proxy.RoundRobin {
		want = slices.DeleteFunc(want, full)
	}
	if len(want) > 1 {
		want = slices.DeleteFunc(want, func(id int) bool { return id == except })
	}
	if ok != (len(want) > 0) || ok && !slices.Contains(want, got) {
		t.Fatalf("picked %d %v, want one of %v", got, ok, want)
	}
}

// Over whole turns each server gets its share, whatever happened before. Who enters a turn late may lose one place of it.
func TestSharesFollowWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := New(proxy.RoundRobin, drawServers(t))
		for range rapid.IntRange(0, 20).Draw(t, "changes") {
			s := rapid.SampledFrom(p.servers).Draw(t, "server")
			p.SetUp(s.ID, rapid.Bool().Draw(t, "up"))
			take(p, 0, rapid.IntRange(0, 40).Draw(t, "picks"))
		}
		total := 0
		for i := range p.servers {
			if c := &p.servers[i]; !c.Backup && c.usable() {
				total += c.Weight
			}
		}
		if total == 0 {
			return
		}
		take(p, 0, 2*scale*MaxWeight*12) // until the turns know of all changes
		const turns = 3
		counts := map[int]int{}
		for _, id := range take(p, 0, turns*scale*total) {
			counts[id]++
		}
		for i := range p.servers {
			if c := &p.servers[i]; !c.Backup && c.usable() {
				want := turns * scale * c.Weight
				if diff := math.Abs(float64(counts[c.ID] - want)); diff > turns+2 { // the picks begin amid a turn
					t.Fatalf("server %d of weight %d got %d picks of %d, want %d", c.ID, c.Weight, counts[c.ID], turns*scale*total, want)
				}
			}
		}
	})
}

// The slots are dealt in proportion, and equal to the plain way of dealing them, one by one over all servers.
func TestSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 20), 1, 10).Draw(t, "weights")
		p := New(proxy.Source, weighted(weights...))
		s := p.slots
		total, div := s.divisor()
		want := plainDeal(weights, total)
		if len(s.owner)*div != len(want) {
			t.Fatalf("%d slots of %d", len(s.owner)*div, len(want))
		}
		for k, w := range want {
			if got := int(s.owner[k%len(s.owner)]); got != w {
				t.Fatalf("slot %d belongs to %d, want %d", k, got, w)
			}
		}
	})
}

func plainDeal(weights []int, total int) (owner []int) {
	given := make([]int, len(weights))
	for k := range total {
		best, most := -1, 0
		for i, w := range weights {
			if lag := (k+1)*w/total - given[i]; w > 0 && (best < 0 || lag > most) {
				best, most = i, lag
			}
		}
		given[best]++
		owner = append(owner, best)
	}
	return owner
}

func TestPicksDoNotAllocate(t *testing.T) {
	for _, alg := range []proxy.Algorithm{proxy.RoundRobin, proxy.Source} {
		p := New(alg, weighted(5, 3, 2, 7))
		busy, h := 2, uint32(0)
		if n := testing.AllocsPerRun(1000, func() {
			h++
			p.Next(h)
			p.NextFree(h, 1, func(id int) bool { return id == busy })
		}); n != 0 {
			t.Errorf("%v: %v allocations a pick", alg, n)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for _, n := range []int{2, 10, 100, MaxServers} {
		servers := make([]Server, n)
		for i := range servers {
			servers[i] = Server{ID: i, Weight: 1 + i%7}
		}
		for _, alg := range []proxy.Algorithm{proxy.RoundRobin, proxy.Source} {
			b.Run(alg.String()+"/"+strconv.Itoa(n), func(b *testing.B) {
				p := New(alg, servers)
				b.ReportAllocs()
				for h := uint32(0); b.Loop(); h++ {
					p.Next(h)
				}
			})
		}
	}
}

func BenchmarkHealthChange(b *testing.B) {
	p := New(proxy.Source, weighted(slices.Repeat([]int{1, 2, 3}, 33)...))
	b.ReportAllocs()
	for up := false; b.Loop(); up = !up {
		p.SetUp(5, up)
	}
}
