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
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/notify"
	"github.com/reeve-lb/reeve/vrrp/track"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// Budgets of an orderly end.
const (
	stopBudget   = 2 * time.Second // addresses off, for all instances at once
	notifyBudget = time.Second     // last notify scripts
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
	wake     chan struct{} // Apply
	tracked  chan struct{} // a script's state changed

	// The supervisor's own.
	ports    map[portKey]*port
	verdict  vrrp.Verdict // the last Quorum or NoQuorum
	watching <-chan vip.Event

	mu        sync.Mutex
	wanted    wanted
	instances map[string]*instance
	names     []string // in the order of the configuration
	ready     bool
}

// wanted is what Apply asked for.
type wanted struct {
	settings []*settings
	track    track.Wanted
	notify   notify.Settings
	virtual  map[netip.Addr]bool
}

// New allocates a Speaker without instances. The node is ready until SetReady says otherwise.
func New(o Options) *Speaker {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	s := &Speaker{
		o: o, log: o.Logger, vip: o.VIP, ready: true,
		wake: make(chan struct{}, 1), tracked: make(chan struct{}, 1),
		ports: map[portKey]*port{}, instances: map[string]*instance{},
	}
	if s.vip == nil {
		s.own = vip.New(vip.Options{Logger: o.Logger.Named("vip")})
		s.vip = s.own
	}
	s.tracker = track.New(track.Options{Logger: o.Logger, Changed: func() { poke(s.tracked) }})
	s.notifier = notify.New(notify.Options{Logger: o.Logger.Named("notify")})
	return s
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run drives instances until ctx ends, then hands all addresses over (priority 0, addresses off, leases released), runs the
// notify scripts for STOP, and returns nil. The arbiter and the guard have to outlive it. It can run once.
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
	err := s.supervise(ctx, failed)
	s.stopAll()
	idle, cancel := context.WithTimeout(life, notifyBudget)
	defer cancel()
	if waitErr := s.notifier.Idle(idle); waitErr != nil {
		s.log.Warn("notify scripts still ran at the end", "error", waitErr)
	}
	return err
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
			s.each((*instance).touch)
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
	if i := s.find(v.Instance); i != nil {
		i.feedLater(machine.Decided{Verdict: v})
	} else if v.Kind == vrrp.Granted {
		s.o.Arbiter.Released(v.Instance, v.Epoch) // nobody here wants it any more
	}
}

// changed hands on what happened to links and addresses. An address of ours that somebody took off comes first.
func (s *Speaker) changed(e vip.Event) {
	switch {
	case e.Kind == vip.DuplicateAddress: // told once a minute of each
		s.log.Error("("+e.Instance+") another host on the segment claims an address of ours", "address", e.Prefix, "interface", e.Dev,
			"our_mac", e.OurMAC, "their_mac", e.TheirMAC)
	case e.Instance != "" && e.Kind == vip.AddressGone:
		if i := s.find(e.Instance); i != nil {
			i.post(func() {
				if i.m.State() == machine.Master {
					i.log.Warn("("+i.name+") address was removed by somebody else, putting it back", "address", e.Prefix, "interface", e.Dev)
				}
				i.feed(machine.AddressLost{})
			})
		}
	case e.Instance == "":
		for _, p := range s.ports {
			if p.key.dev == e.Dev && (e.Kind == vip.LinkChanged || e.Kind == vip.LinkGone) {
				p.Poke()
			}
		}
		s.each((*instance).touch)
	}
}

// stopAll ends every instance at once and waits for them.
func (s *Speaker) stopAll() {
	var all []string
	s.each(func(i *instance) { all = append(all, i.name) })
	s.end(all, false)
}

// end stops instances side by side; those that can't get their addresses off in time are left to guard and lifetime.
func (s *Speaker) end(names []string, withdraw bool) {
	budget := time.NewTimer(stopBudget)
	defer budget.Stop()
	for _, name := range names {
		i := s.find(name)
		select {
		case i.work <- func() { i.feed(machine.Stop{Withdraw: withdraw}) }:
		case <-i.gone:
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
