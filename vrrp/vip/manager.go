package vip

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

// DefaultLifetime is how long an address that nobody extends stays on when a Group does not say.
const DefaultLifetime = 2 * time.Second

// Group is the addresses of one instance, which come and go together.
type Group struct {
	Instance  string         // the VRRP instance, for errors, logs and Event.Instance
	Interface string         // of addresses that name no Dev
	Addresses []vrrp.Address // listed and excluded ones alike
	Lifetime  time.Duration  // valid_lft, whole seconds (rounded up); 0: DefaultLifetime, negative: for ever
	Routes    []vrrp.Route   // on after the addresses, off before them
	Rules     []vrrp.Rule    // on after the routes, off before them; each has a priority
	Block     bool           // no_accept: nothing goes to or comes from the addresses
	Table     string         // of nftables, for Block; "": keepalived
}

// Options of New.
type Options struct {
	Logger hclog.Logger // nil: none
	// Journal is the file that says what to undo after a crash; it need not outlive a boot. "": none, then the next life
	// finds only what its own configuration names.
	Journal string
}

// Manager puts addresses on and off. It is safe for concurrent use; calls are served one at a time, as the kernel's
// configuration lock would do anyway. Run has to run for Watch to tell anything.
type Manager struct {
	o      Options
	log    hclog.Logger
	events chan Event

	mu        sync.Mutex
	conn      *conn // opened by the first call, kept
	held      map[place]string
	extended  map[string]extension
	installed map[string]installed
	mendFault string
	fw        *firewall
	setup     Setup
	settings  []changed // of the kernel, by us
	recovered bool      // Prepare looked for what a former life left
	announcer *announcer
	damper    damper

	faulty sync.Mutex         // over faults alone, so that who asks for them does not wait for the kernel
	faults map[string][]error // of routes, rules and filters, by instance

	missing chan struct{} // a static address may be

	heldChanged func() // m.held is another; nil: nobody asks
}

// place is an address on an interface.
type place struct {
	dev    string
	prefix netip.Prefix
}

// extension is when an instance's addresses last got their lifetime.
type extension struct {
	at    boottime.Time
	count int
}

// New allocates a Manager; sockets are opened when they are needed.
func New(o Options) *Manager {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	m := &Manager{
		o:         o,
		log:       o.Logger,
		events:    make(chan Event, eventBound),
		held:      map[place]string{},
		extended:  map[string]extension{},
		faults:    map[string][]error{},
		installed: map[string]installed{},
		missing:   make(chan struct{}, 1),
		fw:        newFirewall(""),
		announcer: newAnnouncer(o.Logger),
	}
	m.damper.flaps = func(dev string, downs int, wait time.Duration) {
		m.log.Warn("link flaps: that it is up again is believed when it has lasted", "interface", dev, "times_down", downs, "wait", wait)
	}
	return m
}

// Open opens the netlink socket so that the first Add does not have to. Calling it is optional.
func (m *Manager) Open() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open()
}

func (m *Manager) open() error {
	if m.conn != nil {
		return nil
	}
	c, err := dial()
	m.conn = c
	return err
}

// Close gives the sockets back. A later call opens them again.
func (m *Manager) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	if m.conn != nil {
		errs = append(errs, m.conn.close())
		m.conn = nil
	}
	return errors.Join(append(errs, m.fw.close(), m.announcer.close())...)
}

// Faults are the routes, rules and filters of an instance that could not be put on when its addresses were. They keep no
// instance from being MASTER. It does not wait for a call that is under way.
func (m *Manager) Faults(instance string) []error {
	m.faulty.Lock()
	defer m.faulty.Unlock()
	return slices.Clone(m.faults[instance])
}

// Link tells what an interface is like now, or, with interface_up_down_delays, as Watch told it last; an unknown one is a *LinkError with ErrNoInterface.
func (m *Manager) Link(dev string) (Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.open(); err != nil {
		return Link{}, err
	}
	l, err := m.conn.link(dev)
	if err == nil {
		m.damper.view(&l, boottime.Now())
	}
	return l, err
}

// Add puts all of the group's addresses on; those that are there already get their lifetime anew. It does nothing and
// returns ErrExpired when the clock stands at or after until (zero: no limit). One failure does not keep the other
// addresses from going on: the error joins an *AddressError for each that did not, and a *LinkError for each unknown
// interface. An interface without carrier is no error here: see Link.Usable. A filter before and routes and
// rules after the addresses: one that fails is logged and in Faults, and no error.
func (m *Manager) Add(g Group, until boottime.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.put(g, until)
}

// Extend renews the lifetime of addresses that Add put on, if enough of it has passed to be worth the system call. It
// puts back an address that vanished. Errors are Add's.
func (m *Manager) Extend(g Group, until boottime.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, ok := m.extended[g.Instance]
	if ok && last.count == len(g.Addresses) && !g.due(last.at, boottime.Now()) {
		m.announcer.hold(g.Instance, until)
		return nil
	}
	return m.put(g, until)
}

// due reports whether addresses extended at last want it again: after a quarter of the lifetime, so that three
// renewals in a row may be late. What lives for ever is never due.
func (g Group) due(last, now boottime.Time) bool {
	life := g.lifetime()
	return life > 0 && now.Sub(last) >= life/4
}

// lifetime is the default where none is given and negative for "for ever".
func (g Group) lifetime() time.Duration {
	if g.Lifetime == 0 {
		return DefaultLifetime
	}
	return g.Lifetime
}

func (g Group) dev(a vrrp.Address) string {
	if a.Dev != "" {
		return a.Dev
	}
	return g.Interface
}

func (g Group) places() []place {
	ps := make([]place, len(g.Addresses))
	for i, a := range g.Addresses {
		ps[i] = place{g.dev(a), where(a)}
	}
	return ps
}

// On is where the addresses are when they are on: what the guard has to know.
func (g Group) On() []On {
	out := make([]On, len(g.Addresses))
	for i, a := range g.Addresses {
		out[i] = On{g.dev(a), where(a)}
	}
	return out
}

// Remove takes the group's rules, routes and addresses off; one that is not there, or whose interface is gone, counts as
// off. The error joins an *AddressError for each address that may still be on.
func (m *Manager) Remove(g Group) error {
	_, err := m.take(g)
	return err
}
