package machine

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

// model is N machines on a segment that loses frames and is cut into islands, in steps of 10 ms.
type model struct {
	t       *rapid.T
	rigs    []*rig
	arbiter *arbiter // nil: plain VRRP
	island  []int
	loss    int // percent
	now     boottime.Time
}

const tickTime = 10 * time.Millisecond

func newModel(t *rapid.T, n int, cluster bool, policy vrrp.QuorumLoss) *model {
	m := &model{t: t, island: make([]int, n), now: t0}
	for i := range n {
		c := Config{Cluster: cluster, Node: string(rune('a' + i)), OnQuorumLoss: policy, AdvertInt: time.Second, GarpMasterRepeat: 1}
		r := &rig{m: New(c), now: t0}
		r.feed(Priority{rapid.SampledFrom([]int{1, 50, 100, 100, 150, 254}).Draw(t, "priority")})
		r.feed(Source{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})})
		m.rigs = append(m.rigs, r)
	}
	return m
}

// each steps machine i and delivers what it says, without delay, to who hears it.
func (m *model) each(i int, f func(*rig)) {
	r := m.rigs[i]
	f(r)
	for _, s := range r.log {
		if m.arbiter != nil {
			m.arbiter.hear(i, s)
		}
		if len(s) < 7 || s[:7] != "advert " {
			continue
		}
		priority := uint8(0)
		for _, d := range s[7:] {
			priority = priority*10 + uint8(d-'0')
		}
		for j := range m.rigs {
			if j != i && m.island[i] == m.island[j] && rapid.IntRange(0, 99).Draw(m.t, "lost") >= m.loss {
				m.each(j, func(o *rig) { o.now = m.now; o.feed(Advert{Source: m.rigs[i].m.source, Priority: priority}) })
			}
		}
	}
}

func (m *model) run(d time.Duration, check func()) {
	for end := m.now.Add(d); m.now.Before(end); {
		m.now = m.now.Add(tickTime)
		for i, r := range m.rigs {
			m.each(i, func(r *rig) { r.advance(m.now.Sub(r.now)) })
			_ = r
		}
		if m.arbiter != nil {
			m.arbiter.tick(m)
		}
		if check != nil {
			check()
		}
	}
}

func (m *model) owners(island int) (n int) {
	for i, r := range m.rigs {
		if r.on && m.island[i] == island {
			n++
		}
	}
	return n
}

// TestPlainModel: after cuts, losses, faults and restarts there is exactly one master in each island once the segment is
// calm for three intervals and a skew, and never two from then on.
func TestPlainModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 4).Draw(t, "n")
		m := newModel(t, n, false, 0)
		for i := range m.rigs {
			m.each(i, func(r *rig) { r.feed(Start{}) })
		}
		m.loss = rapid.SampledFrom([]int{0, 30, 80}).Draw(t, "loss")
		for range rapid.IntRange(1, 4).Draw(t, "events") {
			i := rapid.IntRange(0, n-1).Draw(t, "who")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				m.island[i] = rapid.IntRange(0, 1).Draw(t, "island")
			case 1:
				m.each(i, func(r *rig) { r.feed(Faults{"x"}) })
				m.run(500*time.Millisecond, nil)
				m.each(i, func(r *rig) { r.feed(Faults{}) })
			case 2:
				m.each(i, func(r *rig) { r.feed(Priority{rapid.IntRange(1, 254).Draw(t, "priority")}) })
			case 3:
				m.each(i, func(r *rig) { r.feed(Release{}) })
			}
			m.run(time.Duration(rapid.IntRange(0, 300).Draw(t, "then"))*tickTime, nil)
		}
		m.loss = 0
		m.run(4*time.Second+50*time.Millisecond, nil) // the slowest priority's Master_Down_Interval
		present := map[int]bool{}
		for _, island := range m.island {
			present[island] = true
		}
		m.run(3*time.Second, func() {
			for island := range present {
				if m.owners(island) != 1 {
					t.Fatalf("island %d of %v has %d owners", island, m.island, m.owners(island))
				}
			}
		})
		for i := range m.island {
			m.island[i] = 0
		}
		m.run(1100*time.Millisecond, nil) // an advert of each
		m.run(4*time.Second, func() {
			if m.owners(0) > 1 {
				t.Fatalf("%d owners after the heal", m.owners(0))
			}
		})
		if m.owners(0) != 1 {
			t.Fatalf("%d owners in the end", m.owners(0))
		}
	})
}

// arbiter is a simulated leader in reach of island 0: it moves the lease no sooner than a TTL and a margin after the last
// renewal it answered, or when it was released.
type arbiter struct {
	holder  int // -1: nobody
	epoch   uint64
	free    boottime.Time // not granted before, unless released
	reached []bool
}

const margin = 20 * time.Millisecond

func (a *arbiter) hear(i int, s string) {
	if i == a.holder && s == "released "+itoa(a.epoch) {
		a.holder, a.free = -1, 0
	}
}

func itoa(n uint64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func (a *arbiter) tick(m *model) {
	tell := func(i int, v vrrp.Verdict) { m.each(i, func(r *rig) { r.feed(Decided{Verdict: v}) }) }
	for i := range m.rigs {
		if in := m.island[i] == 0; in != a.reached[i] {
			a.reached[i] = in
			kind := vrrp.NoQuorum
			if in {
				kind = vrrp.Quorum
			}
			tell(i, vrrp.Verdict{Kind: kind, Voters: 3})
		}
	}
	if h := a.holder; h >= 0 && a.reached[h] && m.rigs[h].m.lease == a.epoch && rapid.IntRange(0, 99).Draw(m.t, "renewal") >= m.loss {
		a.free = m.now.Add(ttl + margin)
		tell(h, vrrp.Verdict{Kind: vrrp.Extended, Epoch: a.epoch, Expiry: m.now.Add(ttl)})
	}
	if a.holder >= 0 && m.now.Before(a.free) {
		return
	}
	best := -1
	for i, r := range m.rigs {
		c := r.m.stood
		if a.reached[i] && c.Ready && c.Priority > 0 && (best < 0 || c.Priority > m.rigs[best].m.stood.Priority) {
			best = i
		}
	}
	if best < 0 {
		return
	}
	a.holder, a.free = best, m.now.Add(ttl+margin)
	a.epoch++
	tell(best, vrrp.Verdict{Kind: vrrp.Granted, Epoch: a.epoch, Expiry: m.now.Add(ttl)})
}

// TestClusterModel: with a quorum never two nodes have the addresses, whatever is cut, lost, frozen or released.
func TestClusterModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 4).Draw(t, "n")
		m := newModel(t, n, true, vrrp.QuorumLossRelease)
		m.arbiter = &arbiter{holder: -1, reached: make([]bool, n)}
		for i := range m.rigs {
			m.each(i, func(r *rig) { r.feed(Start{}) })
		}
		m.loss = rapid.SampledFrom([]int{0, 50, 90}).Draw(t, "loss")
		one := func() {
			owners := 0
			for _, r := range m.rigs {
				if r.on {
					owners++
				}
			}
			if owners > 1 {
				t.Fatalf("%d owners", owners)
			}
		}
		for range rapid.IntRange(1, 6).Draw(t, "events") {
			i := rapid.IntRange(0, n-1).Draw(t, "who")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				m.island[i] = rapid.IntRange(0, 1).Draw(t, "island")
			case 1:
				m.each(i, func(r *rig) { r.feed(Faults{"x"}) })
			case 2:
				m.each(i, func(r *rig) { r.feed(Faults{}) })
			case 3:
				m.each(i, func(r *rig) { r.feed(Release{}) })
			case 4:
				m.each(i, func(r *rig) { r.feed(Advert{Source: higher, Priority: 254}) })
			}
			m.run(time.Duration(rapid.IntRange(0, 100).Draw(t, "then"))*tickTime, one)
		}
		m.loss = 0
		for i := range m.rigs {
			m.island[i] = 0
			m.each(i, func(r *rig) { r.feed(Faults{}) })
		}
		m.run(5*time.Second, one)
		owners := 0
		for _, r := range m.rigs {
			if r.on {
				owners++
			}
		}
		if owners != 1 {
			t.Fatalf("%d owners in the end", owners)
		}
	})
}
