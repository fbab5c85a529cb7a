package speaker

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp/alert"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/netio"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/track"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

const (
	packetBound = 64
	workBound   = 64
)

// instance drives one machine. run owns it; mu lets Status look in.
type instance struct {
	sp       *Speaker
	name     string
	log      hclog.Logger
	port     *port
	packets  *netio.Queue
	hands    *hands
	work     chan func()        // to be done on run's goroutine, mu held
	dirty    chan struct{}      // surroundings changed
	scored   chan struct{}      // what a tracker says changed
	asked    *settings          // the latest, the supervisor's own
	deaf     chan struct{}      // closed when nothing of work is done any more
	gone     chan struct{}      // closed when run ended
	force    context.CancelFunc // ends run whatever is on
	counters packet.Counters

	mu      sync.Mutex
	set     *settings
	held    []vip.On
	petted  string // the name by which the guard knows of the addresses; "": it does not
	told    string // the state of the last notification
	ended   bool   // told to stop
	leaving bool   // no longer configured here
	refused error  // addresses that the kernel does not take, though others are on
	m       machine.Machine
	started bool
	startup time.Duration // what was left of vrrp_startup_delay when it was made
	timers  [machine.Timers]boottime.Time
	asks    uint64   // changes of the addresses that hands were asked for
	whenOff []func() // to be done when no address is left to remove
	view    *view    // nil: not looked yet
	source  netip.Addr
	fault   string
	rating  track.Rating
	history history
	limit   limiter
	alarms  packet.Alarms
	extraAt boottime.Time       // garp_extra_if; 0: not now
	old     map[netip.Addr]bool // peers whose version 3 has the multicast group in the checksum
	sent    uint64
	heard   uint64
	into    packet.Advert
	frame   []byte
	// With auth_type AH: numbers of the latest advert, and of the latest one of our own in its IP header.
	sequence packet.Sequence
	ident    uint16

	datagram packet.Datagram // under judgement; its memory is used again
}

func newInstance(sp *Speaker, s *settings, p *port, startup time.Duration) *instance {
	i := &instance{
		sp: sp, name: s.in.Name, log: sp.log, port: p, set: s, asked: s, held: s.group.On(), startup: startup,
		packets: netio.NewQueue(packetBound),
		hands:   newHands(),
		work:    make(chan func(), workBound),
		dirty:   make(chan struct{}, 1),
		scored:  make(chan struct{}, 1),
		deaf:    make(chan struct{}),
		gone:    make(chan struct{}),
		into:    packet.Advert{Addresses: make([]netip.Addr, 0, packet.MaxAddresses)},
		frame:   make([]byte, 0, packet.MaxLen),
	}
	i.m = machine.New(i.config(s))
	i.history.since = time.Now()
	i.history.cause = "startup"
	return i
}

// config is what the machine gets of settings: they know nothing of when the instance was made.
func (i *instance) config(s *settings) machine.Config {
	c := s.machine
	c.StartupDelay = i.startup
	return c
}

// post has f done on the instance's goroutine; false if the instance has ended. The instance's goroutine itself never waits
// for who calls it.
func (i *instance) post(f func()) bool {
	select {
	case i.work <- f:
		return true
	case <-i.deaf:
		return false
	}
}

// feedLater is post of one event.
func (i *instance) feedLater(ev machine.Event) bool { return i.post(func() { i.feed(ev) }) }

// touch says that the surroundings may be others.
func (i *instance) touch() { poke(i.dirty) }

// rescore says that a tracker has another result.
func (i *instance) rescore() { poke(i.scored) }

// receive queues a copy of a datagram, or drops it when the instance is too busy. It allocates nothing.
func (i *instance) receive(d packet.Datagram) {
	if !i.packets.Put(d) {
		i.counters.Add(packet.QueueFull)
	}
}

// judgeAll looks at what is queued. An advert that came several times meanwhile says what it says once.
func (i *instance) judgeAll() {
	for range packetBound {
		times, more := i.packets.Take(&i.datagram)
		if !more {
			return
		}
		i.judge(i.datagram, times)
	}
	i.packets.Again()
}

// run drives the machine until it is done, or ctx forces the end.
func (i *instance) run(ctx context.Context) {
	defer close(i.gone)
	var working sync.WaitGroup
	working.Go(i.hands.work)
	defer working.Wait()
	defer i.hands.end()
	defer close(i.deaf)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next, done := i.due()
		if done {
			return
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-i.packets.Ready():
			i.locked(i.judgeAll)
		case f := <-i.work:
			i.locked(f)
		case <-i.dirty:
			i.locked(i.refresh)
		case <-i.scored:
			i.locked(i.rate)
		case <-timer.C:
		}
	}
}

func (i *instance) locked(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

// idle is how long an instance without a timer sleeps.
const idle = time.Hour

// due fires the timers whose time has come, and tells how long until the next.
func (i *instance) due() (next time.Duration, done bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for t := range machine.Timers {
		if at := i.timers[t]; !at.IsZero() && !boottime.Now().Before(at) {
			i.timers[t] = 0
			i.feed(machine.Fired{Timer: t})
		}
	}
	if !i.extraAt.IsZero() && !boottime.Now().Before(i.extraAt) {
		i.announceExtra()
	}
	now := boottime.Now()
	next = idle
	for _, at := range i.timers {
		if !at.IsZero() {
			next = min(next, max(at.Sub(now), 0))
		}
	}
	if !i.extraAt.IsZero() {
		next = min(next, max(i.extraAt.Sub(now), 0))
	}
	return next, i.m.Done()
}

// feed steps the machine and takes the actions.
func (i *instance) feed(ev machine.Event) { i.stepped(i.m.Step(ev, boottime.Now())) }

func (i *instance) stepped(m machine.Machine, actions []machine.Action) {
	i.m = m
	announced := false
	for _, a := range actions {
		switch a := a.(type) {
		case machine.SendAdvert:
			i.advertise(a.Priority, announced)
		case machine.Announce:
			announced = true
			i.announce(a.Burst)
		default:
			i.take(a)
		}
	}
	if len(i.whenOff) > 0 && !i.m.Removing() {
		for _, f := range i.whenOff {
			f()
		}
		i.whenOff = nil
	}
}

// judge looks at one datagram, which came so many times.
func (i *instance) judge(d packet.Datagram, times int) {
	f := i.set.expect.Judge(&i.into, d)
	if !f.Refused() {
		if replayed := i.sequence.Take(d); replayed.Refused() {
			f = replayed
		}
	}
	if f.Cause != 0 {
		i.counters.AddTimes(f.Cause, times)
		i.alarm(d.Source, f)
	}
	if f.Refused() {
		i.outdated(d.Source, f)
		return
	}
	i.heard += uint64(times)
	if i.into.OldChecksum && i.set.unicast() && i.set.in.Unicast.OldChecksum == nil && !i.old[d.Source] {
		if i.old == nil {
			i.old = map[netip.Addr]bool{}
		}
		i.old[d.Source] = true // as it speaks it is spoken to
	}
	if i.into.Priority == 0 {
		i.history.zeroHeard += uint64(times)
	}
	i.history.saw(d.Source, int(i.into.Priority), time.Now())
	i.stepped(i.m.Heard(machine.Advert{Source: d.Source, Priority: i.into.Priority, AdvertInt: i.into.AdvertInt}, boottime.Now()))
}

// outdated answers an advert with an old sequence number and the right key that a MASTER hears of a lower one: that was MASTER
// beyond a cut, where it came to fewer numbers, and neighbours may have its MAC address. Somebody who replays such an advert
// has the addresses announced where they are, and no more.
func (i *instance) outdated(source netip.Addr, f packet.Finding) {
	if theirs := i.into.Priority; f.Cause == packet.Replayed && i.m.State() == machine.Master && theirs > 0 && int(theirs) < i.m.EffectivePriority() {
		i.stepped(i.m.Heard(machine.Advert{Source: source, Priority: theirs, AdvertInt: i.into.AdvertInt}, boottime.Now()))
	}
}

// alarm names a mismatch, once for a peer and cause.
func (i *instance) alarm(source netip.Addr, f packet.Finding) {
	say, count := i.alarms.See(f.Trouble(source), boottime.Now())
	if !say {
		return
	}
	what := "advert dropped"
	if !f.Refused() {
		what = "advert of another configuration accepted"
	}
	i.log.Warn("("+i.name+") "+what, "source", source, "cause", f.Cause, "error", f, "count", count)
	switch f.Cause {
	case packet.InvalidAuthType:
		i.sp.alerter.AuthTrouble(source, alert.InvalidAuthType)
	case packet.AuthMismatch, packet.AuthAHeader:
		i.sp.alerter.AuthTrouble(source, alert.AuthTypeMismatch)
	case packet.WrongPassword, packet.WrongSPI, packet.Replayed:
		i.sp.alerter.AuthTrouble(source, alert.AuthFailure)
	case packet.WrongTTL:
		i.protoTrouble(source, alert.TTLError)
	case packet.WrongVersion:
		i.protoTrouble(source, alert.VersionError)
	case packet.WrongChecksum:
		i.protoTrouble(source, alert.ChecksumError)
	}
}

func (i *instance) protoTrouble(source netip.Addr, kind alert.ProtoError) {
	i.sp.alerter.ProtoTrouble(i.ifindex(), i.set.in.VirtualRouterID, source, kind)
}

// refresh has links and addresses looked at.
func (i *instance) refresh() {
	set := i.set
	i.hands.queue(look, func() {
		v := i.sp.look(set)
		i.post(func() {
			if i.set != set {
				i.touch() // what these settings look at was not seen
				return
			}
			i.saw(v)
		})
	})
}

// saw takes over what the surroundings are like.
func (i *instance) saw(v view) {
	i.view = &v
	if v.source != i.source && v.source.IsValid() {
		i.source = v.source
		i.feed(machine.Source{Addr: v.source})
	}
	i.rate()
}

// rate tells the machine what links and trackers come to.
func (i *instance) rate() {
	if i.view == nil {
		return
	}
	i.rating = track.Rate(i.set.in, i.set.sync, i.set.known, trackStates{i.sp.tracker, i.view.links})
	fault := i.view.fault
	if fault == "" {
		fault = i.rating.Fault
	}
	i.feed(machine.Priority{Effective: i.rating.Priority})
	if fault != i.fault {
		i.fault = fault
		i.feed(machine.Faults{Cause: fault})
	}
	if !i.started && !i.rating.Pending {
		i.started = true
		i.feed(machine.Start{})
	}
}

// configure changes settings in place, as soon as it is known how things look to the new ones.
func (i *instance) configure(s *settings) {
	i.hands.queue(once, func() {
		v := i.sp.look(s)
		i.post(func() { i.reconfigure(s, v) })
	})
}

// reconfigure changes settings. A MASTER says as keepalived does what it said before, once more, so that backups wait from
// now, and then what it says from now on.
func (i *instance) reconfigure(s *settings, v view) {
	if i.ended {
		return
	}
	old := i.set
	changed, differs := !s.same(old), s.differs(old)
	if differs && i.m.State() == machine.Master {
		i.send(uint8(i.m.EffectivePriority()))
	}
	i.set, i.held = s, s.group.On()
	if g, ok := s.gone(old); ok && i.m.State() == machine.Master {
		i.hands.queue(once, func() {
			if err := i.sp.vip.Remove(g); err != nil {
				i.log.Error("("+i.name+") addresses that are no longer configured could not be removed", "error", err)
			}
		})
	}
	i.saw(v) // the priority first: it is in the next advert
	if differs {
		i.feed(machine.Configure{Config: i.config(s), Addresses: changed, Shrunk: s.shrunk(old)})
	}
}
