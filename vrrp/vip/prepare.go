package vip

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp"
)

// Setup is what a configuration wants of the machine beside the addresses that come and go. NewSetup makes one.
type Setup struct {
	VMACs   []VMAC
	Promote []string    // interfaces with promote_secondaries
	Static  vrrp.Static // addresses name their Dev, rules have a priority
	Groups  []Group     // what instances will put on
	Table   string      // of nftables; "": keepalived
	Filter  FilterStyle
	Pacing  Pacing
	Delays  []vrrp.InterfaceDelay // interface_up_down_delays; one without an Interface is every other's
	// NoLocalIGMP keeps the kernel from reporting groups in 224.0.0.0/24 (disable_local_igmp).
	NoLocalIGMP bool
}

// Prepare makes the machine what s wants, and what an earlier Prepare wanted and s does not as it was: virtual MACs, kernel
// settings, static addresses, routes and rules. The first call undoes what a former life left behind, by the journal; every
// call takes off what is on of the groups that come new with s, and returns those addresses: call it before their first
// advert. Calling it again with the same Setup makes good what failed (an interface that came later). One failure keeps
// nothing else from being done; the error joins a *LinkError, *AddressError or *PolicyError for each.
func (m *Manager) Prepare(s Setup) ([]netip.Prefix, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.open(); err != nil {
		return nil, err
	}
	var errs []error
	if !m.recovered {
		m.recovered = true
		errs = append(errs, m.recover())
	}
	found, err := m.clear(s.Groups)
	errs = append(errs, err)
	m.announcer.pace(s.Pacing)
	m.damper.set(s.Delays)
	s.Table = cmp.Or(s.Table, defaultTable)
	errs = append(errs, m.fw.style(s.Filter))
	if m.fw.name != s.Table {
		errs = append(errs, m.renameTable(s.Table))
	}
	static, err := m.newStatics(s.Static.Addresses)
	errs = append(errs, err)
	knobs, err := m.knobs(s)
	errs = append(errs, err)
	old := m.setup
	s.Static.Addresses = static
	m.setup = s
	// What may be there in the next moment: the old, the new.
	if err := m.journal(old, s, slices.Concat(m.settings, knobs)).write(m.o.Journal); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, m.retract(old, s))
	for _, k := range knobs {
		if err := m.conn.writeKnob(k.knob, k.New); err != nil {
			errs = append(errs, err)
			continue
		}
		m.settings = append(m.settings, k)
	}
	errs = append(errs, m.erect(s))
	errs = append(errs, m.restore(func(c changed) bool { return !wantsKnob(s, c.knob) }))
	errs = append(errs, m.journal(Setup{}, s, m.settings).write(m.o.Journal))
	return found, errors.Join(errs...)
}

// Undo makes the machine as it was before Prepare. The groups' addresses have to be off by then.
func (m *Manager) Undo() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.recovered {
		return nil // never prepared
	}
	if err := m.open(); err != nil {
		return err
	}
	errs := []error{m.retract(m.setup, Setup{}), m.fw.forVMACs(nil), m.restore(func(changed) bool { return true })}
	clear(m.fw.blocked)
	errs = append(errs, m.fw.write())
	m.setup = Setup{}
	if err := errors.Join(errs...); err != nil {
		return err // the journal stays for the next life
	}
	return (&journal{}).write(m.o.Journal)
}

// retract takes off what old wanted and s does not.
func (m *Manager) retract(old, s Setup) error {
	var errs []error
	gone := policy{}
	for _, r := range old.Static.Rules {
		if !slices.ContainsFunc(s.Static.Rules, func(o vrrp.Rule) bool { return sameRule(o, r) }) {
			gone.rules = append(gone.rules, r)
		}
	}
	for _, r := range old.Static.Routes {
		if !slices.ContainsFunc(s.Static.Routes, func(o vrrp.Route) bool { return sameRoute(o, r) }) {
			gone.routes = append(gone.routes, r)
		}
	}
	if !gone.empty() {
		errs = append(errs, gone.uninstall(m.conn)...)
	}
	var places []place
	for _, a := range old.Static.Addresses {
		if !slices.ContainsFunc(s.Static.Addresses, func(o vrrp.Address) bool { return o.Dev == a.Dev && o.Prefix == a.Prefix }) {
			places = append(places, place{a.Dev, a.Prefix})
		}
	}
	if len(places) > 0 {
		_, err := remove(m.conn, places)
		errs = append(errs, err)
	}
	for _, v := range old.VMACs {
		if !slices.ContainsFunc(s.VMACs, v.equal) {
			errs = append(errs, v.lower(m.conn))
		}
	}
	return errors.Join(errs...)
}

// erect puts on what s wants: static addresses, virtual MACs with their tables, static routes, static rules.
func (m *Manager) erect(s Setup) error {
	var errs []error
	m.conn.reset()
	var asked []place
	for _, a := range s.Static.Addresses {
		index, err := m.conn.index(a.Dev)
		if err == nil {
			err = m.conn.newAddr(index, a, -1)
		}
		if err != nil {
			errs = append(errs, &AddressError{"add", a.Prefix.String(), a.Dev, err})
			continue
		}
		asked = append(asked, place{a.Dev, a.Prefix})
	}
	if len(asked) > 0 {
		errs = append(errs, m.send(asked))
		if m.conn == nil {
			return errors.Join(append(errs, m.open())...)
		}
	}
	var pairs []pair
	for _, v := range s.VMACs {
		if err := v.raise(m.conn); err != nil {
			errs = append(errs, err)
		}
		index, err := m.conn.index(v.Name)
		base, berr := m.conn.index(v.Base)
		silent := s.NoLocalIGMP && !v.IPv6 // what the kernel does not tell need not go out by the interface below
		if err == nil && berr == nil && !v.IPVlan && !silent {
			pairs = append(pairs, pair{index, base, v.IPv6})
		}
	}
	errs = append(errs, m.fw.forVMACs(pairs))
	if p := (policy{s.Static.Routes, s.Static.Rules}); !p.empty() {
		errs = append(errs, p.install(m.conn)...)
	}
	return errors.Join(errs...)
}

// newStatics are the static addresses that are ours to add and to remove: those not on already by somebody else.
func (m *Manager) newStatics(all []vrrp.Address) ([]vrrp.Address, error) {
	if len(all) == 0 {
		return nil, nil
	}
	on := map[indexed]bool{}
	err := m.conn.dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg), func(msg message) {
		if a, ok := parseAddr(msg.data); ok {
			on[a] = true
		}
	})
	if err != nil && !errors.Is(err, errInterrupted) {
		return nil, fmt.Errorf("static addresses: %w", err)
	}
	var ours []vrrp.Address
	for _, a := range all {
		index, err := m.conn.index(a.Dev)
		mine := slices.ContainsFunc(m.setup.Static.Addresses, func(o vrrp.Address) bool { return o.Dev == a.Dev && o.Prefix == a.Prefix })
		if err != nil || mine || !on[indexed{index, a.Prefix}] {
			ours = append(ours, a)
		}
	}
	return ours, nil
}

// recover undoes what the journal says that a former life left on the machine: all but the groups' addresses, which come
// and go too often to be written down.
func (m *Manager) recover() error {
	j, err := readJournal(m.o.Journal)
	errs := []error{err}
	if j != nil {
		m.log.Info("undoing what a former life left on this machine", "interfaces", len(j.VMACs), "settings", len(j.Settings),
			"routes", len(j.Routes), "rules", len(j.Rules), "addresses", len(j.Static), "tables", j.Tables)
		if p := (policy{j.Routes, j.Rules}); !p.empty() {
			errs = append(errs, p.uninstall(m.conn)...)
		}
		places := make([]place, len(j.Static))
		for i, a := range j.Static {
			places[i] = place{a.Dev, a.Prefix}
		}
		_, err := remove(m.conn, places)
		errs = append(errs, err)
		for _, v := range j.VMACs {
			errs = append(errs, v.lower(m.conn))
		}
		m.settings = j.Settings
		errs = append(errs, m.restore(func(changed) bool { return true }))
		if len(j.Tables) > 0 {
			errs = append(errs, m.fw.drop(j.Tables...))
		}
	}
	return errors.Join(errs...)
}

// clear takes off what is on of the groups that the setup before has not, or has elsewhere. In a cluster a former life's
// instances may come long after the start, with the configuration in force.
func (m *Manager) clear(groups []Group) ([]netip.Prefix, error) {
	var found []netip.Prefix
	var errs []error
	for _, g := range groups {
		if slices.ContainsFunc(m.setup.Groups, func(o Group) bool { return o.Instance == g.Instance && o.Interface == g.Interface }) {
			continue
		}
		f, err := m.off(g)
		found = append(found, f...)
		errs = append(errs, err)
	}
	return found, errors.Join(errs...)
}

// knobs are the kernel settings that s wants and that are otherwise now.
func (m *Manager) knobs(s Setup) ([]changed, error) {
	var out []changed
	var errs []error
	want := func(k knob, value int) {
		if slices.ContainsFunc(out, func(c changed) bool { return c.knob == k }) {
			return
		}
		now, err := m.conn.readKnob(k)
		switch {
		case errors.Is(err, ErrNoInterface): // told where it is missed
		case err != nil:
			errs = append(errs, err)
		case now != value:
			// One that we changed before is another now: of an interface that was replaced, or by somebody's hand.
			m.settings = slices.DeleteFunc(m.settings, func(c changed) bool { return c.knob == k })
			out = append(out, changed{k, now, value})
		}
	}
	for _, v := range s.VMACs {
		if !v.IPv6 && !v.IPVlan {
			// The base must not answer for the addresses above it.
			want(knob{v.Base, "arp_ignore"}, 1)
			want(knob{v.Base, "arp_filter"}, 1)
		}
	}
	for _, dev := range s.promoted() {
		want(knob{dev, promoteSecondaries}, 1)
	}
	if s.wantsLooseReverse() {
		errs = append(errs, m.looseReverse(want))
	}
	if s.NoLocalIGMP {
		want(knob{"", linkLocalReports}, 0)
	}
	return out, errors.Join(errs...)
}

// wantsLooseReverse: what comes to a virtual MAC comes from addresses that are routed by its base; the kernel takes the
// stricter of the interface's rp_filter and everybody's.
func (s Setup) wantsLooseReverse() bool {
	return slices.ContainsFunc(s.VMACs, func(v VMAC) bool { return !v.IPv6 && !v.IPVlan })
}

// looseReverse moves everybody's rp_filter to each interface of its own, so that only virtual MACs go without.
func (m *Manager) looseReverse(want func(knob, int)) error {
	all, err := m.conn.readKnob(knob{"all", "rp_filter"})
	if err != nil || all == 0 {
		return err
	}
	var links []string
	err = m.conn.dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), func(msg message) {
		if len(msg.data) >= unix.SizeofIfInfomsg {
			_, l := parseLink(msg.data)
			links = append(links, l.name)
		}
	})
	if err != nil && !errors.Is(err, errInterrupted) {
		return err
	}
	for _, dev := range append(links, "default") {
		if slices.ContainsFunc(m.setup.VMACs, func(v VMAC) bool { return v.Name == dev }) {
			continue
		}
		if own, err := m.conn.readKnob(knob{dev, "rp_filter"}); err == nil && own < all {
			want(knob{dev, "rp_filter"}, all)
		}
	}
	want(knob{"all", "rp_filter"}, 0)
	return nil
}

// promoted lists the interfaces that keep secondary addresses: where it was asked for, and where addresses of one subnet
// would go with its first one.
func (s Setup) promoted() []string {
	out := slices.Clone(s.Promote)
	add := func(a vrrp.Address, dev string) {
		ours := slices.ContainsFunc(s.VMACs, func(v VMAC) bool { return v.Name == dev })
		if wantsPromotion(a.Prefix) && !ours && !slices.Contains(out, dev) {
			out = append(out, dev)
		}
	}
	for _, g := range s.Groups {
		for _, a := range g.Addresses {
			add(a, g.dev(a))
		}
	}
	for _, a := range s.Static.Addresses {
		add(a, a.Dev)
	}
	return out
}

// wantsKnob reports whether a setting that was changed is still needed.
func wantsKnob(s Setup, k knob) bool {
	switch k.Key {
	case "rp_filter":
		return s.wantsLooseReverse()
	case linkLocalReports:
		return s.NoLocalIGMP
	case promoteSecondaries:
		return slices.Contains(s.promoted(), k.Dev)
	}
	return slices.ContainsFunc(s.VMACs, func(v VMAC) bool { return v.Base == k.Dev && !v.IPv6 && !v.IPVlan })
}

// restore gives settings back that match, last changed first. One that somebody changed meanwhile is left.
func (m *Manager) restore(match func(changed) bool) error {
	var errs []error
	var kept []changed
	for _, c := range slices.Backward(m.settings) {
		if !match(c) {
			kept = append(kept, c)
			continue
		}
		now, err := m.conn.readKnob(c.knob)
		if err == nil && now == c.New {
			err = m.conn.writeKnob(c.knob, c.Old)
		}
		if err != nil && !errors.Is(err, ErrNoInterface) {
			errs = append(errs, err)
			kept = append(kept, c)
		}
	}
	slices.Reverse(kept)
	m.settings = kept
	return errors.Join(errs...)
}

// renameTable moves the firewall to another table.
func (m *Manager) renameTable(name string) error {
	old := m.fw
	m.fw = newFirewall(name)
	m.fw.vmacs, m.fw.blocked, m.fw.how = old.vmacs, old.blocked, old.how
	var errs []error
	if len(old.there) > 0 {
		errs = append(errs, old.drop(old.name))
	}
	return errors.Join(append(errs, old.close(), m.fw.write())...)
}

// journal lists what is on the machine while old goes and s comes.
func (m *Manager) journal(old, s Setup, settings []changed) *journal {
	j := &journal{Settings: settings}
	blocks := false
	for _, set := range []Setup{old, s} {
		j.VMACs = append(j.VMACs, set.VMACs...)
		j.Static = append(j.Static, set.Static.Addresses...)
		j.Routes = append(j.Routes, set.Static.Routes...)
		j.Rules = append(j.Rules, set.Static.Rules...)
		for _, g := range set.Groups {
			j.Routes = append(j.Routes, g.Routes...)
			j.Rules = append(j.Rules, g.Rules...)
			blocks = blocks || g.Block
		}
	}
	if blocks || len(j.VMACs) > 0 {
		j.Tables = []string{m.fw.name}
	}
	return j
}

// sameRule and sameRoute compare what the kernel is told, not how it was written and where.
func sameRule(a, b vrrp.Rule) bool {
	a.Words, a.Pos = b.Words, b.Pos
	return reflect.DeepEqual(a, b)
}

func sameRoute(a, b vrrp.Route) bool {
	a.Words, a.Pos = b.Words, b.Pos
	return reflect.DeepEqual(a, b)
}
