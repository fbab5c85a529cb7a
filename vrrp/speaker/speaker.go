package speaker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/alert"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/notify"
	"github.com/reeve-lb/reeve/vrrp/track"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// Budgets of an orderly end.
const (
	stopBudget   = 2 * time.Second // addresses off, for all instances at once
	notifyBudget = 3 * time.Second // last notify scripts
	alertBudget  = 2 * time.Second // last mails, traps and posts
)

// Errors of Release.
var (
	ErrUnknownInstance = errors.New("no such vrrp_instance")
	ErrNotMaster       = errors.New("not MASTER here")
	ErrNotRunning      = errors.New("the VRRP speaker does not run")
)

// Speaker drives all VRRP instances of a node. Apply, Status, Release, SetReady and Fenced are safe for concurrent use,
// before, during and after Run.
type Speaker struct {
	o        Options
	log      hclog.Logger
	vip      Addresses
	own      *vip.Manager // vip, if it is ours to run
	tracker  *track.Tracker
	notifier *notify.Notifier
	alerter  *alert.Alerter
	made     time.Time     // when its first instance was
	wake     chan struct{} // Apply
	tracked  chan struct{} // a script's state changed

	// The supervisor's own.
	ports    map[portKey]*port
	verdict  vrrp.Verdict // the last Quorum or NoQuorum
	watching <-chan vip.Event
	// unprepared is why vip.Prepare could not do all that it was asked for; nil: it did.
	unprepared error

	mu        sync.Mutex
	wanted    wanted
	instances map[string]*instance
	groups    map[string]*syncGroup
	names     []string // in the order of the configuration
	ready     bool
}

// wanted is what Apply asked for.
type wanted struct {
	settings []*settings
	track    track.Wanted
	notify   notify.Settings
	virtual  map[netip.Addr]bool

	groups    []*groupSettings
	setup     vip.Setup
	alert     alert.Settings
	strangers bool // log_unknown_vrids
}

// New allocates a Speaker without instances. The node is ready until SetReady says otherwise.
func New(o Options) *Speaker {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	s := &Speaker{
		o: o, log: o.Logger, vip: o.VIP, ready: true,
		wake: make(chan struct{}, 1), tracked: make(chan struct{}, 1),
		ports: map[portKey]*port{}, instances: map[string]*instance{}, groups: map[string]*syncGroup{},
	}
	if s.vip == nil {
		s.own = vip.New(vip.Options{Logger: o.Logger.Named("vip"), Journal: o.Journal})
		s.vip = s.own
	}
	s.tracker = track.New(track.Options{Logger: o.Logger, Changed: func() { poke(s.tracked) }})
	s.notifier = notify.New(notify.Options{Logger: o.Logger.Named("notify")})
	s.alerter = alert.New(alert.Options{Node: o.Node, Logger: o.Logger.Named("alert")})
	return s
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run drives instances until ctx ends, then hands all addresses over (priority 0, addresses off, leases released), runs the
// notify scripts for STOP, makes the machine as it was, and returns nil. The arbiter and the guard have to outlive it. It
// can run once.
func (s *Speaker) Run(ctx context.Context) error {
	life, end := context.WithCancel(context.Background())
	var helpers sync.WaitGroup
	defer func() { end(); helpers.Wait() }()
	failed := make(chan error, 1)
	if s.own != nil {
		defer s.own.Close()
		helpers.Go(func() {
			if err := s.own.Run(life); err != nil {
				failed <- err
			}
		})
	}
	helpers.Go(func() { _ = s.tracker.Run(life) }) // always nil
	helpers.Go(func() { _ = s.notifier.Run(life) })
	helpers.Go(func() { _ = s.alerter.Run(life) })
	err := s.supervise(ctx, failed)
	s.stopAll()
	if undone := s.vip.Undo(); undone != nil {
		s.log.Error("this machine could not be made as it was", "error", undone)
	}
	s.lastWords(life)
	return err
}

// lastWords waits for what others are still to be told.
func (s *Speaker) lastWords(life context.Context) {
	var waits sync.WaitGroup
	for what, room := range map[string]struct {
		budget time.Duration
		idle   func(context.Context) error
	}{
		"notify scripts still ran at the end":      {notifyBudget, s.notifier.Idle},
		"alerts were not delivered before the end": {alertBudget, s.alerter.Idle},
	} {
		waits.Go(func() {
			ctx, cancel := context.WithTimeout(life, room.budget)
			defer cancel()
			if err := room.idle(ctx); err != nil {
				s.log.Warn(what, "error", err)
			}
		})
	}
	waits.Wait()
}

func (s *Speaker) supervise(ctx context.Context, failed <-chan error) error {
	var verdicts <-chan vrrp.Verdict
	if s.o.Arbiter != nil {
		verdicts = s.o.Arbiter.Verdicts()
	}
	s.watching = s.vip.Watch()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return fmt.Errorf("vrrp: %w", err)
		case <-s.wake:
			s.reconcile()
		case <-s.tracked:
			s.each((*instance).rescore)
		case v, ok := <-verdicts:
			if !ok {
				verdicts = nil
				continue
			}
			s.decided(v)
		case e, ok := <-s.watching:
			if !ok {
				s.watching = nil
				continue
			}
			s.changed(e)
		}
	}
}

func (s *Speaker) each(f func(*instance)) {
	s.mu.Lock()
	all := make([]*instance, 0, len(s.instances))
	for _, i := range s.instances {
		all = append(all, i)
	}
	s.mu.Unlock()
	for _, i := range all {
		f(i)
	}
}

func (s *Speaker) find(name string) *instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instances[name]
}

func (s *Speaker) decided(v vrrp.Verdict) {
	if v.Kind == vrrp.Quorum || v.Kind == vrrp.NoQuorum {
		s.verdict = v
		s.each(func(i *instance) { i.feedLater(machine.Decided{Verdict: v}) })
		return
	}
	if g := s.groupOf(v.Instance); g != nil && g.cluster {
		g.put(machine.GroupDecided{Verdict: v})
	} else if i := s.find(v.Instance); i != nil {
		i.feedLater(machine.Decided{Verdict: v})
	} else if v.Kind == vrrp.Granted {
		s.o.Arbiter.Released(v.Instance, v.Epoch) // nobody here wants it any more
	}
}

// changed hands on what happened to links and addresses. An address of ours that somebody took off comes first.
func (s *Speaker) changed(e vip.Event) {
	switch {
	case e.Kind == vip.DuplicateAddress: // told once a minute of each
		s.duplicate(e)
	case e.Instance != "" && e.Kind == vip.AddressGone:
		if i := s.find(e.Instance); i != nil {
			i.post(func() { i.lost(e) })
		}
	case e.Instance == "":
		if e.Kind == vip.LinkChanged || e.Kind == vip.LinkGone {
			s.linkChanged(e)
		}
		s.each(func(i *instance) {
			if i.asked.concerns(e.Dev) {
				i.touch()
			}
		})
	}
}

// linkChanged opens sockets that waited for the interface, and does what could not be done without it.
func (s *Speaker) linkChanged(e vip.Event) {
	if s.unprepared != nil && e.Kind == vip.LinkChanged {
		s.mu.Lock()
		setup := s.wanted.setup
		s.mu.Unlock()
		s.prepare(setup)
	}
	for _, p := range s.ports {
		if p.key.dev == e.Dev {
			p.Poke()
		}
	}
}

// duplicate tells of another machine that claims an address of ours.
func (s *Speaker) duplicate(e vip.Event) {
	s.log.Error("("+e.Instance+") another host on the segment claims an address of ours", "address", e.Prefix, "interface", e.Dev,
		"our_mac", e.OurMAC, "their_mac", e.TheirMAC)
	if i := s.find(e.Instance); i != nil {
		i.post(func() {
			i.history.claimed(Duplicate{e.Prefix, e.Dev, e.OurMAC, e.TheirMAC, time.Now(), 1})
		})
	}
}

// lost is told of an address of ours that somebody took off. One with no_track is nobody's business any more.
func (i *instance) lost(e vip.Event) {
	for at, on := range i.held {
		if on.Dev == e.Dev && on.Prefix == e.Prefix && i.set.group.Addresses[at].NoTrack {
			return
		}
	}
	if i.m.State() == machine.Master {
		i.log.Warn("("+i.name+") address was removed by somebody else, putting it back", "address", e.Prefix, "interface", e.Dev)
	}
	i.feed(machine.AddressLost{})
}

// stopAll ends every instance at once and waits for them.
func (s *Speaker) stopAll() {
	var all []string
	s.each(func(i *instance) { all = append(all, i.name) })
	s.end(all, farewell{})
	s.endGroups()
}

// farewell says how instances end: withdrawn from the election by the cluster, gone from the configuration.
type farewell struct{ withdraw, leaving bool }

// end stops instances side by side; those that can't get their addresses off in time are left to guard and lifetime.
func (s *Speaker) end(names []string, how farewell) {
	budget := time.NewTimer(stopBudget)
	defer budget.Stop()
	for _, name := range names {
		i := s.find(name)
		select {
		case i.work <- func() { i.ended, i.leaving = true, how.leaving; i.feed(machine.Stop{Withdraw: how.withdraw}) }:
		case <-i.deaf:
		case <-budget.C:
			budget.Reset(0)
		}
	}
	for _, name := range names {
		i := s.find(name)
		select {
		case <-i.gone:
		case <-budget.C:
			budget.Reset(0)
			i.log.Error("("+name+") did not stop in time, its addresses are left to the guard", "budget", stopBudget)
			i.force()
			<-i.gone
		}
		s.forget(i)
	}
}

func (s *Speaker) forget(i *instance) {
	if i.port.leave(i.asked.in.VirtualRouterID) {
		i.port.stop()
		delete(s.ports, i.port.key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.instances, i.name)
	s.names = slices.DeleteFunc(s.names, func(n string) bool { return n == i.name })
}
