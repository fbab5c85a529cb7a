package machine

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

// fuzzedGroup is a sync group with its members, and what they say to each other on its way: each direction of each member
// keeps its order, which of them comes next is the fuzzer's choice.
type fuzzedGroup struct {
	t       *testing.T
	cluster bool
	now     boottime.Time
	group   Group
	m       []Machine
	on      []bool  // the addresses of each member
	up      []queue // member to group
	down    []queue // group and kernel to member
}

type queue []func()

func newFuzzedGroup(t *testing.T, members int, c Config) *fuzzedGroup {
	g := &fuzzedGroup{t: t, cluster: c.Cluster, now: t0}
	names := []string{"VI_1", "VI_2", "VI_3"}[:members]
	g.group = NewGroup(GroupConfig{Name: "G", Members: names, Cluster: c.Cluster})
	c.Group = "G"
	for i := range names {
		g.m, g.on = append(g.m, New(c)), append(g.on, false)
		g.up, g.down = append(g.up, nil), append(g.down, nil)
		g.feed(i, Priority{100})
		g.feed(i, Source{netip.AddrFrom4([4]byte{10, 0, byte(i), 1})})
	}
	return g
}

func (g *fuzzedGroup) name(i int) string { return g.group.members[i].name }

// feed steps a member.
func (g *fuzzedGroup) feed(i int, ev Event) {
	was := g.m[i]
	m, actions := was.Step(ev, g.now)
	g.m[i] = m
	checkStep(g.t, was, m, actions)
	for _, a := range actions {
		switch a := a.(type) {
		case AddAddresses:
			g.on[i] = true
			g.down[i] = append(g.down[i], func() { g.feed(i, AddressesOn{}) })
		case RemoveAddresses:
			g.on[i] = false
			g.down[i] = append(g.down[i], func() { g.feed(i, AddressesOff{}) })
		case TellGroup:
			g.up[i] = append(g.up[i], func() { g.tell(MemberSays{g.name(i), a.Member}) })
		}
	}
}

// tell steps the group.
func (g *fuzzedGroup) tell(ev GroupEvent) {
	next, actions := g.group.Step(ev)
	g.group = next
	for _, a := range actions {
		switch a := a.(type) {
		case ToMember:
			for i := range g.m {
				if g.name(i) == a.Name {
					g.down[i] = append(g.down[i], func() { g.feed(i, a.Event) })
				}
			}
		case Released:
			for i, on := range g.on {
				if on && g.m[i].lease != 0 {
					g.t.Fatalf("epoch %d is given back while member %d has its addresses on", a.Epoch, i)
				}
			}
		}
	}
}

// deliver hands over one message, the k-th by counting those that are due; false if there is none.
func (g *fuzzedGroup) deliver(k int) bool {
	var due []*queue
	for i := range g.m {
		for _, q := range []*queue{&g.up[i], &g.down[i]} {
			if len(*q) > 0 {
				due = append(due, q)
			}
		}
	}
	if len(due) == 0 {
		return false
	}
	q := due[k%len(due)]
	first := (*q)[0]
	*q = (*q)[1:]
	first()
	return true
}

// rest delivers all there is, in turn, and looks at what it came to.
func (g *fuzzedGroup) rest() {
	for n := 0; g.deliver(n); n++ {
		if n > 10_000 {
			g.t.Fatal("the group and its members talk without end")
		}
	}
	states := map[State]bool{}
	for i := range g.m {
		if g.on[i] != (g.m[i].State() == Master) {
			g.t.Fatalf("member %d is %v, its addresses on: %v", i, g.m[i].State(), g.on[i])
		}
		if !g.m[i].stopped {
			states[g.m[i].State()] = true
		}
	}
	if states[Master] && len(states) > 1 {
		g.t.Fatalf("a group is torn: %v, it is %v", states, g.group.State())
	}
}

// FuzzGroup plays members of a sync group whose timers, adverts, faults and verdicts come in any order while words between
// them and their group are on their way, and wants that it never goes in circles, never tears the group, and gives no lease
// back whose addresses are on.
func FuzzGroup(f *testing.F) {
	// Start, start, rest, both timers, rest: MASTER. Then a fault, a better router, the end.
	f.Add([]byte{0, 0, 0, 1, 0, 31, 0, 0, 0, 1, 0, 31, 0, 3, 1, 31, 0})
	f.Add([]byte{0, 0, 0, 1, 0, 31, 0, 0, 0, 1, 0, 31, 0, 5, 200, 20, 1, 31, 0, 11, 0, 31, 0})
	f.Add([]byte{4, 0, 0, 1, 0, 2, 0, 31, 0, 0, 0, 1, 0, 20, 1, 2, 0, 31, 0, 6, 50, 9, 0, 20, 3, 31, 0})
	// Of a cluster: granted, extended, lost.
	f.Add([]byte{1, 0, 0, 1, 0, 31, 0, 18, 0, 31, 0, 12, 1, 31, 0, 13, 1, 31, 0, 15, 1, 20, 0, 31, 0})
	// MASTER, then one of two is held up for three seconds, with an old timer's event due.
	f.Add(append([]byte{0, 0, 0, 1, 0, 31, 0, 0, 0, 1, 0, 31, 0}, bytes.Repeat([]byte{7<<5 | 1, 0}, 45)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 || len(b) > 400 {
			return
		}
		members := 2 + int(b[0]>>2&1)
		g := newFuzzedGroup(t, members, Config{
			Cluster: b[0]&1 != 0, NoPreempt: b[0]&2 != 0, AdvertInt: time.Second, GarpMasterRepeat: 1, OnQuorumLoss: vrrp.QuorumLossVRRP,
		})
		for b = b[1:]; len(b) >= 2; b = b[2:] {
			g.now = g.now.Add(time.Duration(b[0]>>5) * 10 * ms)
			g.happen(int(b[0]&0x1f), b[1])
		}
		g.rest()
	})
}

// happen does what two bytes say: something to one member, to all, to the group, or a message arrives.
func (g *fuzzedGroup) happen(what int, x byte) {
	i := int(x>>6) % len(g.m)
	switch {
	case what < 3:
		if i = what % len(g.m); g.m[i].State() == Init && !g.m[i].stopped {
			g.feed(i, Start{})
		} else {
			g.feed(i, Fired{MasterDown})
		}
	case what == 3:
		g.feed(i, Faults{[]string{"", "x"}[x&1]})
	case what == 4:
		g.feed(i, Priority{int(x)})
	case what == 5:
		g.feed(i, Advert{higher, x, time.Second})
	case what == 6:
		g.feed(i, Advert{lower, x, time.Second})
	case what == 7:
		g.feed(i, Fired{Timer(x & 0x3f % byte(Timers))})
	case what == 8:
		g.feed(i, Fenced{g.m[i].lease})
	case what == 9:
		g.tell(GroupRelease{})
	case what == 10:
		g.feed(i, Fired{AdvertTick})
	case what == 11:
		for i := range g.m {
			g.feed(i, Stop{Withdraw: x&1 == 0})
		}
	case what < 19 && g.cluster:
		v := vrrp.Verdict{Kind: vrrp.VerdictKind(what - 11), Epoch: uint64(x & 7), Expiry: g.now.Add(ttl), Holder: "other", Voters: 1}
		if v.Kind != vrrp.NoQuorum && v.Kind != vrrp.Quorum {
			g.tell(GroupDecided{v})
			return
		}
		for i := range g.m {
			g.feed(i, Decided{Verdict: v})
		}
	case what == 31:
		g.rest()
	default:
		g.deliver(int(x))
	}
}
