package machine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// groupRig is a group that is told what its members say.
type groupRig struct {
	t   *testing.T
	g   Group
	log []string
}

func newGroup(t *testing.T, cluster bool, names ...string) *groupRig {
	return &groupRig{t: t, g: NewGroup(GroupConfig{Name: "G", Members: names, Cluster: cluster})}
}

func (r *groupRig) feed(ev GroupEvent) {
	g, actions := r.g.Step(ev)
	r.g, r.log = g, nil
	for _, a := range actions {
		switch a := a.(type) {
		case ToMember:
			r.log = append(r.log, a.Name+": "+eventWord(a.Event))
		case GroupEntered:
			r.log = append(r.log, "-> "+a.To.String())
		case GroupNotify:
			r.log = append(r.log, "notify "+a.State.String())
		default:
			r.log = append(r.log, word(a))
		}
	}
}

func eventWord(e Event) string {
	switch e := e.(type) {
	case GroupSays:
		return e.To.String()
	case Decided:
		return fmt.Sprintf("%v %d", e.Verdict.Kind, e.Verdict.Epoch)
	case Release:
		return "release"
	}
	return "?"
}

// says feeds words like "VI_1 BACKUP wants MASTER": the rest follows from them.
func (r *groupRig) says(name string, at, wants State, change ...func(*Member)) {
	m := Member{State: at, Wants: wants, Settled: true, Candidacy: vrrp.Candidacy{Priority: 100, Ready: true}}
	m.Candidacy.Holding = at == Master
	if wants == Fault {
		m.Fault = "trouble of " + name
	}
	if wants == Fault || at == Fault || at == Init {
		m.Candidacy.Priority = 0
	}
	for _, c := range change {
		c(&m)
	}
	r.feed(MemberSays{name, m})
}

func (r *groupRig) want(log string) {
	r.t.Helper()
	if got := strings.Join(r.log, ", "); got != log {
		r.t.Errorf("group:\n  %s\nwant:\n  %s", got, log)
	}
}

func busy(m *Member)    { m.Settled = false }
func stopped(m *Member) { m.Stopped = true }

// answered says how many of the group's orders were acted on.
func answered(order uint64) func(*Member) { return func(m *Member) { m.Answered = order } }

// TestGroupRules has a row for what two members want and are, and what the group makes of it.
func TestGroupRules(t *testing.T) {
	type is struct{ at, wants State }
	for _, tc := range []struct {
		name string
		one  is
		two  is
		want State
	}{
		{"both wait", is{Backup, Backup}, is{Backup, Backup}, Backup},
		{"one wants MASTER", is{Backup, Master}, is{Backup, Backup}, Backup},
		{"both want MASTER", is{Backup, Master}, is{Backup, Master}, Master},
		{"one has a fault", is{Backup, Backup}, is{Fault, Fault}, Fault},
		{"one has a fault, the other wants MASTER", is{Backup, Master}, is{Fault, Fault}, Fault},
		{"both have faults", is{Fault, Fault}, is{Fault, Fault}, Fault},
		{"one is not started", is{Backup, Master}, is{Init, Init}, Backup},
		{"none is started", is{Init, Init}, is{Init, Init}, Init},
		{"the master yields", is{Backup, Backup}, is{Master, Master}, Backup},
		{"both are MASTER", is{Master, Master}, is{Master, Master}, Master},
		{"in FAULT for the group alone", is{Fault, Backup}, is{Fault, Backup}, Backup},
	} {
		for _, turn := range []bool{false, true} { // whoever speaks first
			r := newGroup(t, false, "VI_1", "VI_2")
			names := []string{"VI_1", "VI_2"}
			states := []is{tc.one, tc.two}
			if turn {
				names[0], names[1], states[0], states[1] = names[1], names[0], states[1], states[0]
			}
			for i, n := range names {
				r.says(n, states[i].at, states[i].wants)
			}
			if got := r.g.State(); got != tc.want {
				t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
			}
		}
	}
}

// TestGroupStory: who is told what, and when the group notifies.
func TestGroupStory(t *testing.T) {
	r := newGroup(t, false, "VI_1", "VI_2")
	r.says("VI_1", Backup, Backup)
	r.want("-> BACKUP")
	r.says("VI_2", Backup, Backup)
	r.want("notify BACKUP")
	r.says("VI_1", Backup, Master)
	r.want("")
	r.says("VI_2", Backup, Master)
	r.want("-> MASTER, VI_1: MASTER, VI_2: MASTER")
	r.says("VI_1", Master, Master, busy)
	r.want("")
	r.says("VI_1", Master, Master)
	r.want("")
	r.says("VI_2", Master, Master)
	r.want("notify MASTER")
	r.says("VI_2", Fault, Fault, busy)
	r.want("-> FAULT, VI_1: FAULT, VI_2: FAULT")
	r.says("VI_1", Fault, Backup, busy)
	r.want("")
	r.says("VI_1", Fault, Backup)
	r.want("")
	r.says("VI_2", Fault, Fault)
	r.want("notify FAULT")
	r.says("VI_2", Backup, Backup)
	r.want("-> BACKUP, VI_1: BACKUP, VI_2: BACKUP")
	r.says("VI_1", Backup, Backup)
	r.want("notify BACKUP")
	r.says("VI_9", Fault, Fault)
	r.want("") // a stranger
	r.says("VI_1", Init, Init, stopped)
	r.want("")
	r.says("VI_2", Init, Init, stopped)
	r.want("notify INIT")
	if !r.g.Done() {
		t.Error("not done")
	}
}

// TestGroupCrossing: a member that no longer wants what it is told says so, and the group takes its word back.
func TestGroupCrossing(t *testing.T) {
	r := newGroup(t, false, "VI_1", "VI_2")
	r.says("VI_1", Backup, Master)
	r.says("VI_2", Backup, Master)
	r.want("-> MASTER, VI_1: MASTER, VI_2: MASTER")
	r.says("VI_1", Backup, Backup) // heard a better router meanwhile
	r.want("-> BACKUP, VI_1: BACKUP, VI_2: BACKUP, notify BACKUP")
	r.says("VI_2", Master, Master, busy) // had not heard that
	r.want("")
	r.says("VI_2", Backup, Backup)
	r.want("")
	m := newRig(t, 100, func(c *Config) { c.Group = "G" })
	m.feed(Start{})
	m.feed(GroupSays{To: Master})
	m.want(Backup, "")
	m.feed(Fired{MasterDown})
	m.want(Backup, "tell BACKUP wants MASTER")
	m.feed(Advert{Source: lower, Priority: 200})
	m.want(Backup, "tell BACKUP wants BACKUP")
	m.feed(GroupSays{To: Master})
	m.want(Backup, "")
}

// TestMember: what a machine of a group does by itself, and what it leaves to the group.
func TestMember(t *testing.T) {
	grouped := func(priority int) *rig {
		r := newRig(t, priority, func(c *Config) { c.Group = "G" })
		r.feed(Start{})
		return r
	}
	master := func() *rig {
		r := grouped(100)
		r.feed(Fired{MasterDown})
		r.feed(GroupSays{To: Master, Cause: "all want it"})
		r.want(Master, "pet, advert 100, add, -> MASTER, tell MASTER wants MASTER, announce 5, notify MASTER, tell MASTER wants MASTER")
		return r
	}
	grouped(255).want(Backup, "-> BACKUP, notify BACKUP, tell BACKUP wants MASTER")
	for _, tc := range []struct {
		name string
		ev   Event
		to   State
		log  string
	}{
		{"the group yields", GroupSays{Backup, "VI_2 of sync group G is not MASTER"}, Backup,
			"remove, -> BACKUP, tell BACKUP wants BACKUP, notify BACKUP, tell BACKUP wants BACKUP"},
		{"another member has a fault", GroupSays{Fault, "VI_2: x"}, Fault,
			"advert 0, remove, -> FAULT, tell FAULT wants BACKUP, notify FAULT, tell FAULT wants BACKUP"},
		{"it has a fault", Faults{"x"}, Fault,
			"advert 0, advert 0, remove, -> FAULT, tell FAULT wants FAULT, notify FAULT, tell FAULT wants FAULT"},
		{"a better router", Advert{Source: lower, Priority: 200}, Backup,
			"report yielded_higher, remove, -> BACKUP, tell BACKUP wants BACKUP, notify BACKUP, tell BACKUP wants BACKUP"},
		{"stop", Stop{Withdraw: true}, Init,
			"advert 0, remove, -> INIT, tell INIT wants INIT, notify INIT, tell INIT wants INIT"},
	} {
		r := master()
		r.feed(tc.ev)
		if r.want(tc.to, tc.log); t.Failed() {
			t.Fatal(tc.name)
		}
	}
	r := master()
	r.feed(GroupSays{Fault, "VI_2: x"})
	r.feed(Faults{"y"})
	r.feed(GroupSays{To: Backup}) // of before
	if r.m.State() != Fault {
		t.Error("its own fault does not count beside the group's")
	}
	r.feed(Faults{})
	if r.m.State() != Backup {
		t.Errorf("%v after all faults are gone", r.m.State())
	}
	// Held up for longer than its right lasts, with a timer's event of before still on its way: the group has to hear that
	// it left, not only that it wants to be MASTER again.
	r = master()
	r.now = r.now.Add(4 * time.Second)
	r.feed(Fired{MasterDown})
	r.want(Backup, "remove, -> BACKUP, tell BACKUP wants BACKUP, notify BACKUP, tell BACKUP wants BACKUP")
}

// TestGroupWithoutQuorum: members of a cluster's group fall back to plain VRRP together, and a wish of that time is void when
// the quorum is back.
func TestGroupWithoutQuorum(t *testing.T) {
	r := newRig(t, 100, func(c *Config) { c.Group, c.Cluster, c.OnQuorumLoss = "G", true, vrrp.QuorumLossVRRP })
	r.feed(Start{})
	r.want(Backup, "-> BACKUP, notify BACKUP, tell BACKUP wants BACKUP")
	r.feed(GroupSays{To: Master})
	r.want(Backup, "") // only a lease makes MASTER
	r.noQuorum(2)
	r.feed(Fired{MasterDown})
	r.want(Backup, "tell BACKUP wants MASTER")
	r.verdict(vrrp.Quorum, 0)
	r.want(Backup, "tell BACKUP wants BACKUP")

	w := newWorld(1)
	n := w.node(2, true, 100, Config{Cluster: true, OnQuorumLoss: vrrp.QuorumLossVRRP, AdvertInt: time.Second, GarpMasterRepeat: 1})
	all := func(v vrrp.Verdict) { n.each(func() Event { return Decided{Verdict: v} }) }
	lease := func(k vrrp.VerdictKind, epoch uint64) {
		v := vrrp.Verdict{Instance: "G", Kind: k, Epoch: epoch, Expiry: w.now.Add(ttl)}
		n.later(0, func() { n.step(GroupDecided{v}) })
	}
	all(vrrp.Verdict{Kind: vrrp.NoQuorum, Voters: 2})
	if w.run(4*time.Second, nil); n.owns() != "VI_1 VI_2" || !n.stands.Holding {
		t.Fatal("no fallback", w.picture())
	}
	all(vrrp.Verdict{Kind: vrrp.Quorum, Voters: 2})
	lease(vrrp.Granted, 3)
	w.run(ttl-10*ms, nil)
	lease(vrrp.Extended, 3)
	if w.run(50*ms, nil); n.owns() != "VI_1 VI_2" || n.group.Lease() != 3 {
		t.Error("the lease does not take over from plain VRRP", w.picture())
	}
	if w.run(2*ttl, nil); n.owns() != "" || n.released != 3 {
		t.Error("the lease ran out", n.released, w.picture())
	}
	all(vrrp.Verdict{Kind: vrrp.NoQuorum, Voters: 2})
	w.run(4*time.Second, nil)
	all(vrrp.Verdict{Kind: vrrp.Quorum, Voters: 2})
	if w.run(2*ttl, nil); n.owns() != "" || n.group.State() != Backup {
		t.Error("the group keeps its addresses without a lease", w.picture())
	}
}

// TestGroupReload: who comes to a group that is MASTER does not cost it that.
func TestGroupReload(t *testing.T) {
	r := newGroup(t, false, "VI_1")
	r.says("VI_1", Backup, Master)
	r.says("VI_1", Master, Master)
	r.want("notify MASTER")
	r.feed(GroupConfigure{GroupConfig{Name: "G", Members: []string{"VI_1", "VI_2"}}})
	r.want("")
	r.says("VI_2", Backup, Backup)
	r.want("")
	r.says("VI_2", Backup, Master)
	r.want("VI_2: MASTER")
	r.says("VI_2", Master, Master)
	r.want("")
	r.says("VI_2", Init, Init, stopped) // other settings: ended and begun anew
	r.want("")
	r.says("VI_2", Backup, Backup)
	r.want("")
	r.says("VI_2", Backup, Master)
	r.want("VI_2: MASTER")
	r.says("VI_2", Backup, Backup) // now it has a say
	r.want("-> BACKUP, VI_1: BACKUP, VI_2: BACKUP")
	r.feed(GroupConfigure{GroupConfig{Name: "G", Members: []string{"VI_1"}}})
	r.want("-> MASTER, VI_1: MASTER") // which still wants it
	if len(r.g.Members()) != 1 {
		t.Error("who is gone is remembered")
	}
}

func granted(epoch uint64) GroupEvent {
	return GroupDecided{vrrp.Verdict{Instance: "G", Kind: vrrp.Granted, Epoch: epoch, Expiry: t0.Add(ttl)}}
}

func extended(epoch uint64) GroupEvent {
	return GroupDecided{vrrp.Verdict{Instance: "G", Kind: vrrp.Extended, Epoch: epoch, Expiry: t0.Add(ttl)}}
}

// TestGroupLease: one lease for the group, given back when the last address is off.
func TestGroupLease(t *testing.T) {
	standing := func() *groupRig {
		r := newGroup(t, true, "VI_1", "VI_2")
		r.says("VI_1", Backup, Backup)
		r.want("-> BACKUP")
		r.says("VI_2", Backup, Backup)
		r.want("stand 100 ready=true holding=false, notify BACKUP")
		return r
	}
	holding := func() *groupRig {
		r := standing()
		r.feed(granted(7))
		r.want("VI_1: granted 7, VI_2: granted 7, -> MASTER")
		r.says("VI_1", Master, Master, answered(1))
		r.want("stand 100 ready=true holding=true")
		r.says("VI_2", Master, Master, answered(1))
		r.want("notify MASTER")
		r.feed(extended(7))
		r.want("VI_1: extended 7, VI_2: extended 7")
		return r
	}
	t.Run("one member loses it", func(t *testing.T) {
		r := holding()
		r.says("VI_1", Backup, Backup, answered(1), busy, func(m *Member) { m.Candidacy.Holding = true })
		r.want("VI_1: lost 7, VI_2: lost 7, -> BACKUP, VI_1: BACKUP, VI_2: BACKUP")
		r.says("VI_1", Backup, Backup, answered(2))
		r.want("")
		r.says("VI_2", Backup, Backup, answered(2))
		r.want("stand 100 ready=true holding=false, released 7, notify BACKUP")
	})
	t.Run("one member has a fault", func(t *testing.T) {
		r := holding()
		r.says("VI_1", Fault, Fault, answered(1))
		r.want("stand 0 ready=true holding=true, -> FAULT, VI_1: FAULT, VI_2: FAULT")
		r.says("VI_2", Fault, Backup, answered(1))
		r.want("stand 0 ready=true holding=false, released 7, notify FAULT")
		r.feed(granted(8))
		r.want("released 8")
	})
	t.Run("a grant on its way is waited for", func(t *testing.T) {
		r := standing()
		r.feed(granted(7))
		r.says("VI_1", Fault, Fault, answered(1))
		r.want("stand 0 ready=true holding=false, -> FAULT, VI_1: FAULT, VI_2: FAULT")
		r.says("VI_2", Master, Master, busy, answered(1))
		r.want("stand 0 ready=true holding=true")
		r.says("VI_2", Fault, Backup, answered(1))
		r.want("stand 0 ready=true holding=false, released 7, notify FAULT")
	})
	t.Run("the same lease granted twice: the answer to the first grant is none to the second", func(t *testing.T) {
		r := standing()
		r.feed(granted(7))
		r.feed(granted(7))
		r.want("VI_1: granted 7, VI_2: granted 7")
		r.says("VI_1", Backup, Backup, answered(1)) // it came too late
		r.says("VI_2", Backup, Backup, answered(1))
		r.want("")
		r.feed(GroupDecided{vrrp.Verdict{Instance: "G", Kind: vrrp.Lost, Epoch: 7}})
		r.want("VI_1: lost 7, VI_2: lost 7, -> BACKUP, VI_1: BACKUP, VI_2: BACKUP")
		r.says("VI_1", Backup, Backup, answered(3))
		r.want("")
		r.says("VI_2", Backup, Backup, answered(3))
		r.want("released 7")
	})
	t.Run("a word that takes the lease back before its grant comes is no answer to that", func(t *testing.T) {
		r := standing()
		r.feed(GroupDecided{vrrp.Verdict{Instance: "G", Kind: vrrp.Yield, Epoch: 7}})
		r.want("VI_1: yield 7, VI_2: yield 7")
		r.feed(granted(7))
		r.want("VI_1: granted 7, VI_2: granted 7, -> MASTER")
		r.says("VI_1", Backup, Backup, answered(1))
		r.says("VI_2", Backup, Backup, answered(1))
		r.want("")
	})
	t.Run("yield, lost and elsewhere", func(t *testing.T) {
		for _, k := range []vrrp.VerdictKind{vrrp.Yield, vrrp.Lost, vrrp.Elsewhere} {
			r := holding()
			r.feed(GroupDecided{vrrp.Verdict{Instance: "G", Kind: k, Epoch: 8, Holder: "other"}})
			r.want(fmt.Sprintf("VI_1: %v 8, VI_2: %v 8", k, k))
			if r.g.Lease() != 0 {
				t.Errorf("%v: still holds", k)
			}
			r.says("VI_1", Backup, Backup, answered(2))
			r.says("VI_2", Backup, Backup, answered(2))
			r.want("stand 100 ready=true holding=false, released 7, notify BACKUP")
			r.feed(extended(7))
			r.want("")
		}
	})
	t.Run("stop stands down, then gives back, then withdraws", func(t *testing.T) {
		r := holding()
		off := func(m *Member) { m.Withdrawn = true }
		r.says("VI_1", Init, Init, stopped, off, answered(1))
		r.want("")
		r.says("VI_2", Init, Init, stopped, busy, answered(1), func(m *Member) { m.Candidacy.Holding = true })
		r.want("stand 0 ready=true holding=true")
		r.says("VI_2", Init, Init, stopped, off, answered(1))
		r.want("stand 0 ready=true holding=false, released 7, notify INIT, withdraw")
	})
	t.Run("a newcomer gets the lease with the next renewal", func(t *testing.T) {
		r := holding()
		r.feed(GroupConfigure{GroupConfig{Name: "G", Members: []string{"VI_1", "VI_2", "VI_3"}}})
		r.want("")
		r.says("VI_3", Backup, Backup)
		r.want("")
		r.feed(extended(7))
		r.want("VI_1: extended 7, VI_2: extended 7, VI_3: granted 7")
		r.says("VI_3", Master, Master, answered(2))
		r.want("")
	})
	t.Run("old news", func(t *testing.T) {
		r := holding()
		r.feed(granted(6))
		r.want("")
		r.feed(GroupDecided{vrrp.Verdict{Kind: vrrp.NoQuorum, Voters: 2}})
		r.want("")
		r.feed(GroupDecided{vrrp.Verdict{Kind: vrrp.Lost, Epoch: 6}})
		r.want("")
	})
	t.Run("none before all are heard", func(t *testing.T) {
		r := newGroup(t, true, "VI_1", "VI_2")
		r.says("VI_1", Backup, Backup)
		r.want("-> BACKUP")
		r.says("VI_2", Init, Init, busy)
		r.want("")
		r.feed(granted(1))
		r.want("released 1")
	})
	t.Run("not ready, nopreempt, delays: the worst of all", func(t *testing.T) {
		r := standing()
		r.says("VI_1", Backup, Backup, func(m *Member) {
			m.Candidacy = vrrp.Candidacy{Priority: 200, NoPreempt: true, PreemptDelay: 5, Ready: false}
		})
		r.says("VI_2", Backup, Backup, func(m *Member) { m.Candidacy.Priority = 40 })
		if want := (vrrp.Candidacy{Priority: 40, NoPreempt: true, PreemptDelay: 5}); r.g.Candidacy() != want {
			t.Errorf("stands with %+v", r.g.Candidacy())
		}
	})
}
