package machine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

var (
	own    = netip.MustParseAddr("10.0.0.5")
	lower  = netip.MustParseAddr("10.0.0.4")
	higher = netip.MustParseAddr("10.0.0.6")
)

const t0 = boottime.Time(1000 * time.Second)

// rig is a machine with a driver that does as it is told: timers, and answers to address actions.
type rig struct {
	t      *testing.T
	m      Machine
	now    boottime.Time
	timers [Timers]boottime.Time
	log    []string // what came out of the last event
	fail   bool     // addresses can't be added
	stuck  bool     // nor removed
	on     bool
}

func newRig(t *testing.T, priority int, change func(*Config)) *rig {
	c := Config{
		Node: "me", AdvertInt: time.Second, GarpMasterDelay: 5 * time.Second, GarpMasterRepeat: 5, GarpRefreshRepeat: 1,
		GarpLowerDelay: 5 * time.Second, GarpLowerRepeat: 5,
	}
	if change != nil {
		change(&c)
	}
	r := &rig{t: t, m: New(c), now: t0}
	r.feed(Priority{priority})
	r.feed(Source{own})
	return r
}

func (r *rig) feed(ev Event) {
	r.log = nil
	for queue := []Event{ev}; len(queue) > 0; {
		m, actions := r.m.Step(queue[0], r.now)
		queue = queue[1:]
		r.m = m
		for _, a := range actions {
			if next := r.take(a); next != nil {
				queue = append(queue, next)
			}
		}
	}
}

func (r *rig) take(a Action) Event {
	switch a := a.(type) {
	case Notify:
		if a.Cause == "" {
			r.t.Errorf("nobody is told why it is %v", a.State)
		}
		r.log = append(r.log, word(a))
	case SetTimer:
		r.timers[a.Timer] = a.At
		return nil
	case AddAddresses:
		r.log = append(r.log, "add")
		switch {
		case !a.Deadline.IsZero() && !r.now.Before(a.Deadline):
			return AddressesFailed{Expired: true}
		case r.fail:
			return AddressesFailed{Cause: "EPERM"}
		}
		r.on = true
		return AddressesOn{}
	case RemoveAddresses:
		r.log = append(r.log, "remove")
		if r.stuck {
			return RemoveFailed{"EBUSY"}
		}
		r.on = false
		return AddressesOff{}
	default:
		r.log = append(r.log, word(a))
	}
	return nil
}

func word(a Action) string {
	switch a := a.(type) {
	case SendAdvert:
		return fmt.Sprintf("advert %d", a.Priority)
	case Announce:
		return fmt.Sprintf("announce %d", a.Burst)
	case Stand:
		return fmt.Sprintf("stand %d ready=%v holding=%v", a.Candidacy.Priority, a.Candidacy.Ready, a.Candidacy.Holding)
	case Released:
		return fmt.Sprintf("released %d", a.Epoch)
	case Notify:
		return "notify " + a.State.String()
	case Entered:
		return "-> " + a.To.String()
	case Report:
		return "report " + a.Kind.String()
	case Pet:
		return "pet"
	case ExtendAddresses:
		return "extend"
	case Withdraw:
		return "withdraw"
	case NotifyRxLower:
		return "rx_lower"
	case NotifyPriority:
		return fmt.Sprintf("priority %v %d->%d", a.State, a.Old, a.New)
	case TellGroup:
		return fmt.Sprintf("tell %v wants %v", a.Member.State, a.Member.Wants)
	}
	return "?"
}

// advance moves the clock, firing timers at their time, and keeps what came out of all of it.
func (r *rig) advance(d time.Duration) {
	end := r.now.Add(d)
	var all []string
	for {
		next, at := Timers, end
		for t, when := range r.timers {
			if !when.IsZero() && !when.After(at) {
				next, at = Timer(t), when
			}
		}
		if next == Timers {
			r.now, r.log = end, all
			return
		}
		r.now = max(r.now, at)
		r.timers[next] = 0
		r.feed(Fired{next})
		all = append(all, r.log...)
	}
}

func (r *rig) want(state State, log string) {
	r.t.Helper()
	if r.m.State() != state {
		r.t.Errorf("state %v, want %v", r.m.State(), state)
	}
	if got := strings.Join(r.log, ", "); got != log {
		r.t.Errorf("actions:\n  %s\nwant:\n  %s", got, log)
	}
}

// in returns a machine in a state, under plain VRRP with priority 100.
func in(t *testing.T, s State) *rig {
	r := newRig(t, 100, nil)
	switch s {
	case Backup:
		r.feed(Start{})
	case Master:
		r.feed(Start{})
		r.advance(3610 * time.Millisecond)
	case Fault:
		r.feed(Faults{"eth0 is down"})
		r.feed(Start{})
	}
	if r.m.State() != s {
		t.Fatalf("could not get to %v", s)
	}
	r.log = nil
	return r
}

const (
	becomes = "pet, advert 100, add, -> MASTER, announce 5, notify MASTER"
	loses   = "remove, -> BACKUP, notify BACKUP"
	again   = "advert 100, pet, extend"
)

// TestTransitions has a row for each state and event of plain VRRP.
func TestTransitions(t *testing.T) {
	ad := func(priority uint8, from netip.Addr) Event { return Advert{Source: from, Priority: priority} }
	granted := Decided{Verdict: vrrp.Verdict{Kind: vrrp.Granted, Epoch: 3, Expiry: t0.Add(time.Hour)}}
	for _, tc := range []struct {
		name string
		from State
		ev   Event
		to   State
		log  string
	}{
		{"start", Init, Start{}, Backup, "-> BACKUP, notify BACKUP"},
		{"advert", Init, ad(200, higher), Init, ""},
		{"timer", Init, Fired{MasterDown}, Init, ""},
		{"priority", Init, Priority{90}, Init, ""},
		{"fault", Init, Faults{"x"}, Init, ""},
		{"addresses on", Init, AddressesOn{}, Init, "remove"},
		{"address lost", Init, AddressLost{}, Init, ""},
		{"release", Init, Release{}, Init, ""},
		{"stop", Init, Stop{}, Init, "-> INIT, notify INIT"},
		{"verdict", Init, granted, Init, ""},
		{"fenced", Init, Fenced{}, Init, ""},

		{"start again", Backup, Start{}, Backup, ""},
		{"higher", Backup, ad(200, lower), Backup, ""},
		{"equal, lower address", Backup, ad(100, lower), Backup, ""},
		{"lower", Backup, ad(99, higher), Backup, "report discarded_lower"},
		{"zero", Backup, ad(0, higher), Backup, ""},
		{"master down", Backup, Fired{MasterDown}, Master, becomes},
		{"stray tick", Backup, Fired{AdvertTick}, Backup, ""},
		{"stray lease", Backup, Fired{LeaseEnd}, Backup, ""},
		{"priority", Backup, Priority{90}, Backup, "report priority_changed"},
		{"same priority", Backup, Priority{100}, Backup, ""},
		{"fault", Backup, Faults{"x"}, Fault, "-> FAULT, notify FAULT"},
		{"ready", Backup, Ready{false}, Backup, ""},
		{"addresses off", Backup, AddressesOff{}, Backup, ""},
		{"address lost", Backup, AddressLost{}, Backup, ""},
		{"fenced", Backup, Fenced{}, Backup, ""},
		{"release", Backup, Release{}, Backup, ""},
		{"stop", Backup, Stop{}, Init, "-> INIT, notify INIT"},
		{"verdict", Backup, granted, Backup, ""},

		{"start again", Master, Start{}, Master, ""},
		{"higher", Master, ad(101, lower), Backup, "report yielded_higher, " + loses},
		{"equal, higher address", Master, ad(100, higher), Backup, "report yielded_address, " + loses},
		{"equal, lower address", Master, ad(100, lower), Master, "report forced_election, " + again + ", announce 5, rx_lower"},
		{"equal, own address", Master, ad(100, own), Master, "report own_address"},
		{"lower", Master, ad(99, higher), Master, "report forced_election, " + again + ", announce 5, rx_lower"},
		{"zero", Master, ad(0, lower), Master, again},
		{"tick", Master, Fired{AdvertTick}, Master, again},
		{"stray master down", Master, Fired{MasterDown}, Master, ""},
		{"second burst", Master, Fired{GarpDelay}, Master, "announce 5"},
		{"refresh", Master, Fired{GarpRefresh}, Master, "announce 1"},
		{"priority", Master, Priority{40}, Master, "report priority_changed"},
		{"fault", Master, Faults{"x"}, Fault, "advert 0, advert 0, remove, -> FAULT, notify FAULT"},
		{"address lost", Master, AddressLost{}, Master, "add, announce 5"},
		{"fenced", Master, Fenced{}, Backup, loses},
		{"fenced, other life", Master, Fenced{7}, Master, ""},
		{"release", Master, Release{}, Backup, "advert 0, " + loses},
		{"stop", Master, Stop{}, Init, "advert 0, remove, -> INIT, notify INIT"},
		{"verdict", Master, granted, Master, ""},

		{"start again", Fault, Start{}, Fault, ""},
		{"advert", Fault, ad(0, higher), Fault, ""},
		{"master down", Fault, Fired{MasterDown}, Fault, ""},
		{"priority", Fault, Priority{40}, Fault, "report priority_changed"},
		{"another fault", Fault, Faults{"y"}, Fault, ""},
		{"cleared", Fault, Faults{}, Backup, "-> BACKUP, notify BACKUP"},
		{"address lost", Fault, AddressLost{}, Fault, ""},
		{"release", Fault, Release{}, Fault, ""},
		{"stop", Fault, Stop{}, Init, "-> INIT, notify INIT"},
	} {
		t.Run(tc.from.String()+" "+tc.name, func(t *testing.T) {
			r := in(t, tc.from)
			r.t = t
			r.feed(tc.ev)
			r.want(tc.to, tc.log)
			if r.on != (r.m.State() == Master) {
				t.Errorf("in %v the addresses are on: %v", r.m.State(), r.on)
			}
		})
	}
}

// TestMasterDown: the examples of keepalived's timers.
func TestMasterDown(t *testing.T) {
	for priority, want := range map[int]time.Duration{100: 3609, 150: 3414, 50: 3804, 254: 3007} {
		r := newRig(t, priority, nil)
		if got := r.m.MasterDownInterval() / time.Millisecond; got != want {
			t.Errorf("priority %d waits %d ms, want %d", priority, got, want)
		}
	}
}

// after tells how long the machine takes to become MASTER while somebody adverts every second with that priority.
func after(r *rig, theirs uint8, limit time.Duration) time.Duration {
	begin := r.now
	for r.now.Sub(begin) < limit && r.m.State() != Master {
		r.feed(Advert{Source: higher, Priority: theirs})
		for range 100 {
			if r.m.State() != Master {
				r.advance(10 * time.Millisecond)
			}
		}
	}
	return r.now.Sub(begin).Round(10 * time.Millisecond)
}

func TestPreemption(t *testing.T) {
	for _, tc := range []struct {
		name     string
		priority int
		change   func(*Config)
		theirs   uint8
		want     time.Duration // 20 s: never
	}{
		{"better", 100, nil, 50, 3610 * time.Millisecond},
		{"worse", 50, nil, 100, 20 * time.Second},
		{"nopreempt", 100, func(c *Config) { c.NoPreempt = true }, 50, 20 * time.Second},
		{"preempt_delay 5", 100, func(c *Config) { c.PreemptDelay = 5 * time.Second }, 50, 7610 * time.Millisecond},
	} {
		r := newRig(t, tc.priority, tc.change)
		r.feed(Start{})
		if got := after(r, tc.theirs, 20*time.Second); got != tc.want {
			t.Errorf("%s: MASTER after %v, want %v", tc.name, got, tc.want)
		}
	}
	r := newRig(t, 100, func(c *Config) { c.NoPreempt = true })
	r.feed(Start{})
	r.feed(Advert{Source: higher, Priority: 50})
	r.feed(Advert{Source: higher, Priority: 0})
	r.advance(610 * time.Millisecond)
	if r.m.State() != Master {
		t.Error("nopreempt does not take over from a master that stopped")
	}
	owner := newRig(t, 255, func(c *Config) { c.NoPreempt = true })
	owner.feed(Start{})
	if owner.m.State() != Master {
		t.Error("the owner waits")
	}
}

func TestTwoOwners(t *testing.T) {
	r := newRig(t, 255, nil)
	r.feed(Start{})
	r.feed(Advert{Source: lower, Priority: 255})
	r.want(Backup, "report owner_conflict, report yielded_higher, "+loses)
	if r.m.EffectivePriority() != 254 {
		t.Errorf("priority %d", r.m.EffectivePriority())
	}
}

func TestCadence(t *testing.T) {
	r := in(t, Master)
	r.now = r.timers[AdvertTick].Add(300 * time.Millisecond) // a late timer
	due := r.timers[AdvertTick]
	r.feed(Fired{AdvertTick})
	if r.timers[AdvertTick] != due.Add(time.Second) {
		t.Errorf("next advert at +%v", r.timers[AdvertTick].Sub(due))
	}
}

// TestHeldUp: a process that slept lets go before it speaks.
func TestHeldUp(t *testing.T) {
	r := in(t, Master)
	r.now = r.now.Add(10 * time.Second)
	r.feed(Fired{AdvertTick})
	r.want(Backup, loses)
}

func TestFlood(t *testing.T) {
	r := in(t, Master)
	adverts := 0
	for range 1000 {
		r.feed(Advert{Source: lower, Priority: 50})
		adverts += strings.Count(strings.Join(r.log, ","), "advert 100")
		r.now = r.now.Add(time.Millisecond)
		if r.now.After(r.timers[AdvertTick]) {
			r.advance(0)
		}
	}
	if adverts > 10 {
		t.Errorf("%d answers to a flood of a second", adverts)
	}
}

func TestAddFails(t *testing.T) {
	r := in(t, Backup)
	r.fail = true
	r.feed(Fired{MasterDown})
	r.want(Fault, "pet, advert 100, add, -> MASTER, advert 0, remove, -> FAULT, notify FAULT")
	r.fail = false
	r.advance(3610 * time.Millisecond)
	r.want(Backup, "-> BACKUP, notify BACKUP")
}

func TestRemoveFails(t *testing.T) {
	r := in(t, Master)
	r.stuck = true
	r.feed(Stop{})
	if r.m.Done() {
		t.Error("done with the addresses on")
	}
	r.stuck = false
	r.advance(100 * time.Millisecond)
	r.want(Init, "remove, notify INIT")
	if !r.m.Done() {
		t.Error("not done")
	}
}

// TestConfigure: keepalived's order at a reload: addresses, gratuitous ARPs if one is new, an advert at once; the next
// advert an interval after that one.
func TestConfigure(t *testing.T) {
	r := in(t, Master)
	c := r.m.cfg
	c.GarpMasterRepeat = 1
	r.advance(300 * time.Millisecond)
	r.feed(Configure{Config: c})
	r.want(Master, again)
	r.advance(999 * time.Millisecond)
	r.want(Master, "")
	r.advance(time.Millisecond)
	r.want(Master, again)
	r.advance(300 * time.Millisecond)
	r.feed(Configure{Config: c, Addresses: true})
	r.want(Master, "pet, add, announce 1, advert 100, pet, extend")
	r.advance(999 * time.Millisecond)
	r.want(Master, "")
	r.feed(Configure{Config: c, Addresses: true, Shrunk: true})
	r.want(Master, "pet, add, advert 100, pet, extend")
	r.feed(AddressLost{})
	r.want(Master, "add, announce 1")
	c.AdvertInt = 2 * time.Second
	r.feed(Configure{Config: c})
	r.want(Master, again)
}

// TestAnswersCount: the advert that answers a lower one, or one of priority 0, is one from which the interval counts.
func TestAnswersCount(t *testing.T) {
	for _, priority := range []uint8{0, 50} {
		r := in(t, Master)
		r.advance(700 * time.Millisecond)
		r.m, _ = r.m.Step(Advert{Priority: priority, Source: lower, AdvertInt: time.Second}, r.now)
		r.feed(Advert{Priority: priority, Source: lower, AdvertInt: time.Second}) // within AnswerInterval, so it moves nothing
		if want := r.now.Add(time.Second); r.m.nextAdvert != want {
			t.Errorf("priority %d: next advert in %v", priority, r.m.nextAdvert.Sub(r.now))
		}
	}
}

// TestGarpOfConflict: what an instance has of its own for becoming MASTER is not for a conflict.
func TestGarpOfConflict(t *testing.T) {
	two, three := 2, 2*time.Second
	c := Of("me", vrrp.Instance{Garp: vrrp.Garp{MasterRepeat: &two, MasterDelay: &three}}, vrrp.Global{}, 2, false)
	if c.GarpLowerRepeat != 5 || c.GarpLowerDelay != 5*time.Second {
		t.Errorf("%d and %v, want 5 and 5s", c.GarpLowerRepeat, c.GarpLowerDelay)
	}
	c = Of("me", vrrp.Instance{}, vrrp.Global{GarpMasterRepeat: 3, GarpMasterDelay: time.Second}, 2, false)
	if c.GarpLowerRepeat != 3 || c.GarpLowerDelay != time.Second {
		t.Errorf("%d and %v, want 3 and 1s", c.GarpLowerRepeat, c.GarpLowerDelay)
	}
}
