package balance

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
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
		if got := take(New(weighted(c.weights...)), len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.weights, got, c.want)
		}
	}
}

func TestRedispatchTakesAnother(t *testing.T) {
	p := New(weighted(5, 1, 1))
	for range 50 {
		first, _ := p.Next()
		if second, ok := p.NextFree(first, nil); !ok || second == first {
			t.Fatalf("redispatch from %d to %d", first, second)
		}
	}
	p.SetUp(2, false)
	p.SetUp(3, false)
	if id, ok := p.NextFree(1, nil); !ok || id != 1 {
		t.Errorf("the last server usable is to be tried again, got %d %v", id, ok)
	}
}

func TestFullServersArePassedOver(t *testing.T) {
	p := New(weighted(3, 1, 1))
	for range 20 {
		if id, ok := p.NextFree(None, func(id int) bool { return id != 2 }); !ok || id != 2 {
			t.Fatalf("got %d %v, want the only one that is not full", id, ok)
		}
	}
	if _, ok := p.NextFree(None, func(int) bool { return true }); ok {
		t.Error("all full, yet one was picked")
	}
	if p.Usable() != 3 {
		t.Error("being full is not being down")
	}
	counts := map[int]int{}
	for _, id := range take(p, 500) {
		counts[id]++
	}
	if abs(counts[1]-300) > 3 || abs(counts[2]-100) > 3 || abs(counts[3]-100) > 3 {
		t.Errorf("afterwards shares are %v, want about 300 100 100", counts)
	}
}

func abs(n int) int { return max(n, -n) }

func TestBadServers(t *testing.T) {
	p := New([]Server{{1, 1000}, {1, 1}, {-7, 1}, {2, -3}})
	if p.Weight(1) != MaxWeight || p.Weight(2) != 0 || p.Usable() != 1 {
		t.Errorf("weights %d %d, usable %d", p.Weight(1), p.Weight(2), p.Usable())
	}
	p.SetUp(99, true)
	p.SetWeight(99, 3)
	if p.Up(99) || p.Weight(99) != 0 {
		t.Error("an unknown id came to be")
	}
}

func TestManyServers(t *testing.T) {
	servers := make([]Server, MaxServers+5)
	weights := make([]int, MaxServers)
	for i := range servers {
		servers[i] = Server{ID: i, Weight: 1}
		if i < MaxServers {
			weights[i] = 1
		}
	}
	p := New(servers)
	if p.Usable() != MaxServers {
		t.Fatalf("%d usable, want %d", p.Usable(), MaxServers)
	}
	owners := NewSlots(weights).Owners()
	for i := range 2 * MaxServers {
		if id, _ := p.Next(); id != i%MaxServers {
			t.Fatalf("pick %d is %d, want the order of the file", i, id)
		}
		if id := int(owners[i%len(owners)]); id != i%MaxServers {
			t.Fatalf("slot %d is %d's, want the order of the file", i, id)
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

func (m *model) usable() (ids []int) {
	for _, s := range m.servers {
		if s.Weight > 0 && m.up[s.ID] {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

func drawServers(t *rapid.T) []Server {
	n := rapid.IntRange(1, 12).Draw(t, "servers")
	servers := make([]Server, n)
	for i := range servers {
		servers[i] = Server{ID: i * 3, Weight: rapid.OneOf(rapid.IntRange(0, 8), rapid.IntRange(0, MaxWeight)).Draw(t, "weight")}
	}
	return servers
}

// Whatever is told in whatever order: only usable servers are picked, some server whenever there is one, and two pickers
// told the same pick the same.
func TestPicksAreUsable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{servers: drawServers(t), up: map[int]bool{}}
		for _, s := range m.servers {
			m.up[s.ID] = true
		}
		p, twin := New(m.servers), New(m.servers)
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
				m.judge(t, p, twin, rapid.IntRange(-1, 36).Draw(t, "except"), rapid.IntRange(-1, 36).Draw(t, "busy"))
			}
		}
	})
}

func (m *model) judge(t *rapid.T, p, twin *Picker, except, busy int) {
	full := func(id int) bool { return id == busy }
	got, ok := p.NextFree(except, full)
	if got2, ok2 := twin.NextFree(except, full); got != got2 || ok != ok2 {
		t.Fatalf("twins differ: %d %v, %d %v", got, ok, got2, ok2)
	}
	want := slices.DeleteFunc(m.usable(), full)
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
		p := New(drawServers(t))
		for range rapid.IntRange(0, 20).Draw(t, "changes") {
			s := rapid.SampledFrom(p.servers).Draw(t, "server")
			p.SetUp(s.ID, rapid.Bool().Draw(t, "up"))
			take(p, rapid.IntRange(0, 40).Draw(t, "picks"))
		}
		total := 0
		for i := range p.servers {
			if c := &p.servers[i]; c.usable() {
				total += c.Weight
			}
		}
		if total == 0 {
			return
		}
		take(p, 2*scale*MaxWeight*12) // until the turns know of all changes
		const turns = 3
		counts := map[int]int{}
		for _, id := range take(p, turns*scale*total) {
			counts[id]++
		}
		for i := range p.servers {
			if c := &p.servers[i]; c.usable() {
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
		owner := NewSlots(weights).Owners()
		total := 0
		for _, w := range weights {
			total += w
		}
		want := plainDeal(weights, total)
		if len(want) > 0 && len(want)%len(owner) != 0 {
			t.Fatalf("%d slots of %d", len(owner), len(want))
		}
		for k, w := range want {
			if got := int(owner[k%len(owner)]); got != w {
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
	p, busy := New(weighted(5, 3, 2, 7)), 2
	if n := testing.AllocsPerRun(1000, func() {
		p.Next()
		p.NextFree(1, func(id int) bool { return id == busy })
	}); n != 0 {
		t.Errorf("%v allocations a pick", n)
	}
}

func BenchmarkNext(b *testing.B) {
	for _, n := range []int{2, 10, 100, MaxServers} {
		servers := make([]Server, n)
		for i := range servers {
			servers[i] = Server{ID: i, Weight: 1 + i%7}
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			p := New(servers)
			b.ReportAllocs()
			for b.Loop() {
				p.Next()
			}
		})
	}
}
