package machine

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

const ms = time.Millisecond

// masterAfter tells when, counted from now, the machine becomes MASTER if nobody speaks any more.
func (r *rig) masterAfter(limit time.Duration) time.Duration {
	begin := r.now
	for r.m.State() != Master && r.now.Sub(begin) < limit {
		r.advance(ms)
	}
	return r.now.Sub(begin)
}

func near(got, want time.Duration) bool { return got >= want && got <= want+2*ms }

// TestVersion3Timers: a BACKUP goes by the interval of who is master (RFC 9568 sections 6.1 and 6.4.2).
func TestVersion3Timers(t *testing.T) {
	v3 := func(every time.Duration) func(*Config) {
		return func(c *Config) { c.Version, c.AdvertInt = 3, every }
	}
	for _, tc := range []struct {
		name     string
		priority int
		own      time.Duration
		adverts  []Advert
		want     time.Duration
	}{
		{"nobody was heard: its own", 100, 200 * ms, nil, 721 * ms},
		{"keepalived's pair at 0.2 s", 50, 200 * ms, []Advert{{lower, 100, 200 * ms}}, 760 * ms},
		{"learned, slower", 100, 200 * ms, []Advert{{lower, 100, time.Second}}, 3609 * ms},
		{"learned, quicker", 100, time.Second, []Advert{{lower, 100, 100 * ms}}, 360 * ms},
		{"the latest counts", 100, time.Second, []Advert{{lower, 100, 100 * ms}, {lower, 150, 500 * ms}}, 1804 * ms},
		{"what is discarded is not learned", 100, 200 * ms, []Advert{{lower, 99, 10 * time.Second}}, 721 * ms},
		{"the end is not learned, and the skew is of what was", 100, time.Second, []Advert{{lower, 100, 100 * ms}, {lower, 0, 9 * time.Second}}, 60 * ms},
	} {
		r := newRig(t, tc.priority, v3(tc.own))
		r.feed(Start{})
		for _, a := range tc.adverts {
			r.feed(a)
		}
		if got := r.masterAfter(20 * time.Second); !near(got, tc.want) {
			t.Errorf("%s: MASTER after %v, want %v", tc.name, got, tc.want)
		}
		if got := r.m.MasterAdvertInt(); got != tc.own {
			t.Errorf("%s: as MASTER it goes by %v", tc.name, got)
		}
	}
	r := newRig(t, 100, v3(time.Second))
	r.feed(Start{})
	r.feed(Advert{lower, 100, 300 * ms})
	r.want(Backup, "report interval_learned")
	r.feed(Advert{lower, 100, 300 * ms})
	r.want(Backup, "")
	r.masterAfter(5 * time.Second)
	r.feed(Advert{higher, 200, 500 * ms})
	r.want(Backup, "report yielded_higher, report interval_learned, "+loses)
	if got := r.masterAfter(20 * time.Second); !near(got, 1804*ms) {
		t.Errorf("after it yielded it waits %v", got)
	}
	old := in(t, Backup)
	old.feed(Advert{higher, 100, 9 * time.Second})
	if got := old.masterAfter(20 * time.Second); !near(got, 3609*ms) {
		t.Errorf("version 2 learns an interval: %v", got)
	}
}

// TestTimes has what was measured of keepalived at advert_int 1 with another router of priority 50 that speaks each second:
// at which time of its silence, or after how many of its adverts, the machine is MASTER.
func TestTimes(t *testing.T) {
	for _, tc := range []struct {
		name     string
		priority int
		change   func(*Config)
		theirs   []uint8 // one a second, the first at 0
		want     time.Duration
	}{
		{"alone", 100, nil, nil, 3609 * ms},
		{"down_timer_adverts 5", 100, func(c *Config) { c.DownTimerAdverts = 5 }, nil, 5609 * ms},
		{"owner", 255, nil, nil, 0},
		{"owner with state BACKUP", 255, func(c *Config) { c.OwnerWaits = true }, nil, 3003 * ms},
		{"the master stops", 50, nil, []uint8{100, 100, 0}, 2804 * ms},
		{"the master is lost", 50, nil, []uint8{100, 100}, 4804 * ms},
		{"equal priority is borne", 100, nil, []uint8{100, 100, 100}, 5609 * ms},
		{"the master's priority falls below ours", 50, nil, []uint8{100, 40, 40, 40, 40}, 3804 * ms},
		{"nopreempt: to whatever it falls", 50, func(c *Config) { c.NoPreempt = true }, []uint8{100, 40, 40, 1}, 6804 * ms},
		{"nopreempt: it stops", 100, func(c *Config) { c.NoPreempt = true }, []uint8{50, 50, 0}, 2609 * ms},
		{"nopreempt is nothing to an owner", 255, func(c *Config) { c.NoPreempt, c.OwnerWaits = true, true }, []uint8{50, 50}, 3003 * ms},
		{"preempt_delay 5", 150, func(c *Config) { c.PreemptDelay = 5 * time.Second },
			[]uint8{50, 50, 50, 50, 50, 50, 50, 50, 50}, 7414 * ms},
		{"preempt_delay 2.5", 150, func(c *Config) { c.PreemptDelay = 2500 * ms }, []uint8{50, 50, 50, 50, 50, 50}, 5414 * ms},
		{"preempt_delay begins anew after a better master", 150, func(c *Config) { c.PreemptDelay = 2 * time.Second },
			[]uint8{50, 50, 200, 50, 50, 50, 50, 50, 50, 50}, 7414 * ms},
		{"preempt_delay, the master stops", 150, func(c *Config) { c.PreemptDelay = 5 * time.Second }, []uint8{50, 0}, 1414 * ms},
		{"vrrp_startup_delay 3", 100, func(c *Config) { c.StartupDelay = 3 * time.Second }, nil, 6609 * ms},
		{"vrrp_startup_delay 3, owner", 255, func(c *Config) { c.StartupDelay = 3 * time.Second }, nil, 3000 * ms},
		{"vrrp_startup_delay 6, the master stops at 2", 150, func(c *Config) { c.StartupDelay = 6 * time.Second }, []uint8{200, 200, 0}, 6414 * ms},
		{"vrrp_startup_delay 2, lower master", 150, func(c *Config) { c.StartupDelay = 2 * time.Second }, []uint8{50, 50, 50, 50, 50, 50}, 5414 * ms},
	} {
		r := newRig(t, tc.priority, tc.change)
		begin := r.now
		r.feed(Start{})
		for i, p := range tc.theirs {
			if r.m.State() == Master {
				break
			}
			r.advance(begin.Add(time.Duration(i) * time.Second).Sub(r.now))
			r.feed(Advert{higher, p, time.Second})
			for r.m.State() != Master && r.now.Sub(begin) < time.Duration(i+1)*time.Second {
				r.advance(ms)
			}
		}
		r.masterAfter(20 * time.Second)
		if got := r.now.Sub(begin); !near(got, tc.want) {
			t.Errorf("%s: MASTER at %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestPriorityMovesTheWait: a BACKUP whose priority changes waits as if it had always had it, counted from the last advert
// that it obeyed; what has passed already is not waited for again.
func TestPriorityMovesTheWait(t *testing.T) {
	for _, tc := range []struct {
		name     string
		from, to int
		at, want time.Duration // after the last advert
	}{
		{"well again", 40, 100, 700 * ms, 3609 * ms},
		{"ill", 100, 40, 700 * ms, 3844 * ms},
		{"well again too late", 1, 254, 3500 * ms, 3500 * ms},
		{"and nothing changes", 100, 100, 700 * ms, 3609 * ms},
	} {
		r := newRig(t, tc.from, nil)
		r.feed(Start{})
		r.advance(2 * time.Second)
		r.feed(Advert{higher, 255, time.Second})
		begin := r.now
		r.advance(tc.at)
		r.feed(Priority{tc.to})
		r.masterAfter(20 * time.Second)
		if got := r.now.Sub(begin); !near(got, tc.want) {
			t.Errorf("%s: MASTER at %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestPreemptDelayJitter: adverts that come a few milliseconds early or late do not cost an interval.
func TestPreemptDelayJitter(t *testing.T) {
	for _, early := range []time.Duration{-20 * ms, -ms, 0, ms, 20 * ms} {
		r := newRig(t, 150, func(c *Config) { c.PreemptDelay = 5 * time.Second })
		r.feed(Start{})
		begin := r.now
		for i := range 6 {
			at := begin.Add(time.Duration(i) * time.Second)
			if i == 5 {
				at = at.Add(-early)
			}
			r.advance(at.Sub(r.now))
			r.feed(Advert{higher, 50, time.Second})
		}
		r.masterAfter(5 * time.Second)
		if got := r.now.Sub(begin); !near(got, 7414*ms) {
			t.Errorf("sixth advert %v early: MASTER at %v", early, got)
		}
	}
}

func TestStartupDelay(t *testing.T) {
	r := newRig(t, 255, func(c *Config) { c.StartupDelay = time.Second })
	r.feed(Start{})
	r.want(Init, "")
	r.feed(Start{})
	r.want(Init, "")
	r.feed(Fired{Startup}) // too early
	r.want(Init, "")
	r.advance(time.Second)
	r.want(Master, strings.Replace(becomes, "100", "255", 1))
	r = newRig(t, 100, func(c *Config) { c.StartupDelay, c.Cluster = time.Second, true })
	r.feed(Start{})
	r.want(Backup, "-> BACKUP, notify BACKUP, stand 100 ready=false holding=false")
	r.advance(time.Second)
	r.want(Backup, "stand 100 ready=true holding=false")
	r = newRig(t, 255, func(c *Config) { c.StartupDelay = time.Second })
	r.feed(Start{})
	r.feed(Stop{})
	r.advance(2 * time.Second)
	if r.m.State() != Init || r.on {
		t.Error("what was stopped starts after the delay")
	}
}

// TestAnswers: what MASTER sends to those that should not speak, or should.
func TestAnswers(t *testing.T) {
	lowerAdvert, higherAdvert := Advert{Source: lower, Priority: 50}, Advert{Source: higher, Priority: 150}
	for _, tc := range []struct {
		name   string
		change func(*Config)
		a      Advert
		to     State
		log    string
	}{
		{"lower_prio_no_advert", func(c *Config) { c.LowerNoAdvert = true }, lowerAdvert, Master,
			"report forced_election, announce 5, rx_lower"},
		{"garp_lower_prio_repeat 2", func(c *Config) { c.GarpLowerRepeat = 2 }, lowerAdvert, Master,
			"report forced_election, " + again + ", announce 2, rx_lower"},
		{"garp_lower_prio_repeat 0", func(c *Config) { c.GarpLowerRepeat = 0 }, lowerAdvert, Master,
			"report forced_election, " + again + ", rx_lower"},
		{"vrrp_strict", func(c *Config) { c.LowerNoAdvert, c.GarpLowerRepeat = true, 0 }, lowerAdvert, Master,
			"report forced_election, rx_lower"},
		{"higher_prio_send_advert", func(c *Config) { c.HigherSendAdvert = true }, higherAdvert, Backup, "report yielded_higher, advert 100, " + loses},
		{"higher", nil, higherAdvert, Backup, "report yielded_higher, " + loses},
		{"the other stops", func(c *Config) { c.LowerNoAdvert = true }, Advert{Source: lower}, Master, again},
	} {
		r := newRig(t, 100, tc.change)
		r.feed(Start{})
		r.masterAfter(5 * time.Second)
		r.feed(tc.a)
		r.t = t
		if r.want(tc.to, tc.log); t.Failed() {
			t.Fatal(tc.name)
		}
	}
}

// TestGarpLower: the second burst after a lower advert does not replace the one after MASTER.
func TestGarpLower(t *testing.T) {
	r := newRig(t, 100, func(c *Config) { c.GarpLowerDelay, c.GarpLowerRepeat = 3*time.Second, 2 })
	r.feed(Start{})
	r.masterAfter(5 * time.Second)
	r.advance(time.Second)
	r.feed(Advert{Source: lower, Priority: 50})
	begin, bursts := r.now, []string{}
	for r.now.Sub(begin) < 10*time.Second {
		r.advance(100 * ms)
		for _, s := range r.log {
			if strings.HasPrefix(s, "announce") {
				bursts = append(bursts, r.now.Sub(begin).Round(time.Second).String()+" "+s)
			}
		}
	}
	if want := []string{"3s announce 2", "4s announce 5"}; !reflect.DeepEqual(bursts, want) {
		t.Errorf("bursts %v, want %v", bursts, want)
	}
	r.feed(Advert{Source: lower, Priority: 50})
	r.feed(Advert{Source: higher, Priority: 200})
	r.advance(3 * time.Second)
	for _, s := range r.log {
		if strings.HasPrefix(s, "announce") {
			t.Error("a BACKUP announces")
		}
	}
}

func TestPriorityNotices(t *testing.T) {
	for _, tc := range []struct {
		state State
		log   string
	}{
		{Backup, "report priority_changed, priority BACKUP 100->40"},
		{Master, "report priority_changed, priority MASTER 100->40"},
		{Fault, "report priority_changed"},
	} {
		r := in(t, tc.state)
		r.m.cfg.TellPriority = true
		r.feed(Priority{40})
		r.want(tc.state, tc.log)
	}
}

func TestDuplicateAddress(t *testing.T) {
	dup := DuplicateAddress{Address: netip.MustParseAddr("10.0.0.9"), Theirs: MAC{2, 0, 0, 0, 0, 7}, Ours: MAC{2, 0, 0, 0, 0xab, 1}}
	r := in(t, Master)
	m, actions := r.m.Step(dup, r.now)
	if len(actions) != 1 {
		t.Fatalf("actions %v", actions)
	}
	rep := actions[0].(Report)
	if rep.Kind != AddressDuplicated || rep.Source != dup.Address || rep.MACs != [2]MAC{dup.Theirs, dup.Ours} || m.State() != Master {
		t.Errorf("%+v", rep)
	}
	if got := rep.MACs[1].String(); got != "02:00:00:00:ab:01" {
		t.Errorf("MAC is %s", got)
	}
	r = in(t, Backup)
	if r.feed(dup); len(r.log) > 0 {
		t.Error("a BACKUP has no address to be duplicated")
	}
}

// TestExternalDeletion: the address goes back on at once, and nobody hears of it but the neighbours.
func TestExternalDeletion(t *testing.T) {
	r := in(t, Master)
	r.on = false
	r.feed(AddressLost{})
	r.want(Master, "add, announce 5")
	if !r.on {
		t.Error("the address is not back")
	}
}

func TestOf(t *testing.T) {
	one, zero, yes := time.Second, 0, true
	for _, tc := range []struct {
		name    string
		in      vrrp.Instance
		g       vrrp.Global
		version uint8
		check   func(Config) bool
	}{
		{"nothing written", vrrp.Instance{}, vrrp.Global{}, 2, func(c Config) bool {
			return c.AdvertInt == time.Second && c.GarpMasterDelay == 5*time.Second && c.GarpMasterRepeat == 5 &&
				c.GarpLowerDelay == 5*time.Second && c.GarpLowerRepeat == 5 && c.GarpRefreshRepeat == 1 && !c.OwnerWaits
		}},
		{"no second burst", vrrp.Instance{}, vrrp.Global{GarpMasterRepeat: 5}, 2, func(c Config) bool { return c.GarpMasterDelay == 0 && c.GarpLowerDelay == 0 }},
		{"vrrp_min_garp", vrrp.Instance{}, vrrp.Global{MinGarp: true, GarpMasterDelay: 5 * time.Second, GarpMasterRepeat: 5}, 2, func(c Config) bool {
			return c.GarpMasterDelay == 0 && c.GarpMasterRepeat == 1 && c.GarpLowerRepeat == 1 && c.GarpLowerDelay == 0
		}},
		{"vrrp_min_garp and what was written", vrrp.Instance{Garp: vrrp.Garp{MasterDelay: &one}}, vrrp.Global{MinGarp: true, GarpMasterRepeat: 3}, 2,
			func(c Config) bool { return c.GarpMasterDelay == one && c.GarpMasterRepeat == 3 }},
		{"garp_lower_prio", vrrp.Instance{Garp: vrrp.Garp{LowerPrioRepeat: &zero}}, vrrp.Global{GarpLowerPrioDelay: &one}, 2,
			func(c Config) bool {
				return c.GarpLowerRepeat == 0 && c.GarpLowerDelay == one && c.GarpMasterRepeat == 5
			}},
		{"state MASTER cancels", vrrp.Instance{State: "MASTER", NoPreempt: true, PreemptDelay: one}, vrrp.Global{}, 2,
			func(c Config) bool { return !c.NoPreempt && c.PreemptDelay == 0 && !c.OwnerWaits }},
		{"state BACKUP", vrrp.Instance{State: "BACKUP", NoPreempt: true}, vrrp.Global{}, 2, func(c Config) bool { return c.NoPreempt && c.OwnerWaits }},
		{"globals", vrrp.Instance{}, vrrp.Global{DownTimerAdverts: 5, LowerPrioNoAdvert: true, HigherPrioSendAdvert: true, NotifyPriorityChanges: true}, 2,
			func(c Config) bool {
				return c.DownTimerAdverts == 5 && c.LowerNoAdvert && c.HigherSendAdvert && c.TellPriority
			}},
		{"the instance's own", vrrp.Instance{DownTimer: 4, LowerNoAdvert: &yes, HigherSend: &yes, PriorityChanges: &yes}, vrrp.Global{DownTimerAdverts: 5}, 2,
			func(c Config) bool {
				return c.DownTimerAdverts == 4 && c.LowerNoAdvert && c.HigherSendAdvert && c.TellPriority
			}},
		{"vrrp_strict", vrrp.Instance{DownTimer: 4, HigherSend: &yes, PreemptDelay: one}, vrrp.Global{Strict: true}, 2, func(c Config) bool {
			return c.DownTimerAdverts == 3 && c.LowerNoAdvert && !c.HigherSendAdvert && c.GarpLowerRepeat == 0 && c.PreemptDelay == 0
		}},
		{"version 3 goes by centiseconds", vrrp.Instance{AdvertInt: 255 * ms}, vrrp.Global{}, 3, func(c Config) bool { return c.AdvertInt == 250*ms && c.Version == 3 }},
	} {
		if c := Of("me", tc.in, tc.g, tc.version, true); !tc.check(c) || c.Node != "me" || !c.Cluster {
			t.Errorf("%s: %+v", tc.name, c)
		}
	}
}

// TestLifetime: under plain VRRP the kernel keeps an address as long as other routers wait for the next advert, no shorter.
func TestLifetime(t *testing.T) {
	for _, tc := range []struct {
		name       string
		lease      uint64
		configured time.Duration
		advert     time.Duration
		down       int
		want       time.Duration
	}{
		{"by lease", 1, 0, time.Second, 0, 2 * time.Second},
		{"plain", 0, 0, time.Second, 0, 3 * time.Second},
		{"plain, slow", 0, 0, 10 * time.Second, 0, 30 * time.Second},
		{"plain, quick", 0, 0, 200 * ms, 0, 2 * time.Second},
		{"plain, down_timer_adverts", 0, 0, time.Second, 5, 5 * time.Second},
		{"longer by will", 0, 8 * time.Second, time.Second, 0, 8 * time.Second},
		{"shorter by will", 0, time.Second, time.Second, 0, 3 * time.Second},
		{"for ever", 0, -1, time.Second, 0, -1},
	} {
		m := New(Config{AdvertInt: tc.advert, Lifetime: tc.configured, DownTimerAdverts: tc.down})
		m.lease = tc.lease
		if got := m.lifetime(); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestNotPutOnTooLate: whoever carries the actions out may have been asleep before it does. Under plain VRRP too each that
// puts addresses on says until when.
func TestNotPutOnTooLate(t *testing.T) {
	r := newRig(t, 100, nil)
	r.feed(Start{})
	m, now := r.m, r.now.Add(4*time.Second)
	for _, ev := range []Event{Fired{MasterDown}, AddressLost{}, Fired{AdvertTick}} {
		var actions []Action
		m, actions = m.Step(ev, now)
		seen := false
		for _, a := range actions {
			until := boottime.Time(0)
			switch a := a.(type) {
			case AddAddresses:
				until = a.Deadline
			case ExtendAddresses:
				until = a.Expiry
			default:
				continue
			}
			if seen = true; until != now.Add(3*time.Second) {
				t.Errorf("%T: %T until %v, want three intervals from %v", ev, a, until, now)
			}
		}
		if !seen {
			t.Errorf("%T puts nothing on: %v", ev, actions)
		}
		if _, isAdd := ev.(Fired); isAdd && m.State() == Master {
			m, _ = m.Step(AddressesOn{}, now)
		}
	}
	again, actions := m.Step(AddressesFailed{Expired: true}, now)
	if again.State() != Master || !slices.Contains(actions, Action(AddAddresses{now.Add(3 * time.Second), again.lifetime()})) {
		t.Errorf("too late with the right of then, which was renewed since: %v, %v", again.State(), actions)
	}
	if m, _ = m.Step(AddressesFailed{Expired: true}, now.Add(3*time.Second)); m.State() != Backup {
		t.Errorf("too late to put them on, and %v", m.State())
	}
}
