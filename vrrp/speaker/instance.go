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
	work     chan func()        // to be done on run's goroutine, mu held
	dirty    chan struct{}      // surroundings changed
	asked    *settings          // the latest, the supervisor's own
	gone     chan struct{}      // closed when run ended
	force    context.CancelFunc // ends run whatever is on
	counters packet.Counters

	mu      sync.Mutex
	set     *settings
	held    []vip.On
	petted  string // the name by which the guard knows of the addresses; "": it does not
	told    string // the state of the last notification
	leaving bool   // no longer configured here
	refused error  // addresses that the kernel does not take, though others are on
	m       machine.Machine
	started bool
	timers  [machine.Timers]boottime.Time
	events  []machine.Event // that actions gave rise to
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

	datagram packet.Datagram // under judgement; its memory is used again
}

func newInstance(sp *Speaker, s *settings, p *port) *instance {
	i := &instance{
		sp: sp, name: s.in.Name, log: sp.log, port: p, set: s, asked: s, held: s.group.On(),
		packets: netio.NewQueue(packetBound),
		work:    make(chan func(), workBound),
		dirty:   make(chan struct{}, 1),
		gone:    make(chan struct{}),
		m:       machine.New(s.machine),
		into:    packet.Advert{Addresses: make([]netip.Addr, 0, packet.MaxAddresses)},
		frame:   make([]byte, 0, packet.MaxLen),
	}
	i.history.since = time.Now()
	i.history.cause = "startup"
	return i
}

// post has f done on the instance's goroutine; false if the instance has ended.
func (i *instance) post(f func()) bool {
	select {
	case i.work <- f:
		return true
	case <-i.gone:
		return false
	}
}

// feedLater is post of one event.
func (i *instance) feedLater(ev machine.Event) bool { return i.post(func() { i.feed(ev) }) }

// touch says that the surroundings may be others.
func (i *instance) touch() {
	select {
	case i.dirty <- struct{}{}:
	default:
	}
}

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

// feed steps the machine, takes the actions, and goes on with the events they gave rise to.
func (i *instance) feed(ev machine.Event) {
	i.events = append(i.events, ev)
	i.settle()
}

// settle works off the events that actions gave rise to.
func (i *instance) settle() {
	for len(i.events) > 0 {
		ev := i.events[0]
		i.events = i.events[1:]
		m, actions := i.m.Step(ev, boottime.Now())
		i.m = m
		for _, a := range actions {
			i.take(a)
		}
	}
	i.events = nil
}

// judge looks at one datagram, which came so many times.
func (i *instance) judge(d packet.Datagram, times int) {
	f := i.set.expect.Judge(&i.into, d)
	if f.Cause != 0 {
		i.counters.AddTimes(f.Cause, times)
		i.alarm(d.Source, f)
	}
	if f.Refused() {
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
	m, actions := i.m.Heard(machine.Advert{Source: d.Source, Priority: i.into.Priority, AdvertInt: i.into.AdvertInt}, boottime.Now())
	i.m = m
	for _, a := range actions {
		i.take(a)
	}
	i.settle()
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
	case packet.WrongPassword:
		i.sp.alerter.AuthTrouble(source, alert.AuthFailure)
	}
}

// refresh looks at links, addresses and trackers, and tells the machine what changed.
func (i *instance) refresh() {
	env := i.sp.look(i.set)
	i.rating = track.Rate(i.set.in, i.set.sync, i.set.known, trackStates{i.sp.tracker, i.sp})
	fault := env.fault
	if fault == "" {
		fault = i.rating.Fault
	}
	if env.source != i.source && env.source.IsValid() {
		i.source = env.source
		i.feed(machine.Source{Addr: env.source})
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

// configure changes settings in place. A MASTER says as keepalived does what it said before, once more, so that backups wait
// from now, and then what it says from now on.
func (i *instance) configure(s *settings) {
	old := i.set
	changed, differs := !s.same(old), s.differs(old)
	if differs && i.m.State() == machine.Master {
		i.send(uint8(i.m.EffectivePriority()))
	}
	i.set, i.held = s, s.group.On()
	if g, ok := s.gone(old); ok && i.m.State() == machine.Master {
		if err := i.sp.vip.Remove(g); err != nil {
			i.log.Error("("+i.name+") addresses that are no longer configured could not be removed", "error", err)
		}
	}
	i.refresh() // the priority first: it is in the next advert
	if differs {
		i.feed(machine.Configure{Config: s.machine, Addresses: changed, Shrunk: s.shrunk(old)})
	}
}
