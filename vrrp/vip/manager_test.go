package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
)

// machine is a host with a Manager on it.
type machine struct {
	*Manager
	t    *testing.T
	host *lab.Host
}

func newMachine(t *testing.T, n *lab.Test, name string, prefixes ...string) machine {
	t.Helper()
	m := machine{New(Options{}), t, n.Host(name, prefixes...)}
	t.Cleanup(func() { m.Close() })
	m.do(m.Open)
	return m
}

// do runs fn on the host and fails the test on an error.
func (m machine) do(fn func() error) {
	m.t.Helper()
	if err := m.host.Do(fn); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) add(g Group) { m.t.Helper(); m.do(func() error { return m.Add(g, 0) }) }

func (m machine) has(p string) bool {
	m.t.Helper()
	all, err := m.host.Addrs("eth0")
	if err != nil {
		m.t.Fatal(err)
	}
	return slices.Contains(all, prefix(p))
}

func (m machine) expect(on bool, prefixes ...string) {
	m.t.Helper()
	all, err := m.host.Addrs("eth0")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, p := range prefixes {
		if slices.Contains(all, prefix(p)) != on {
			m.t.Errorf("%s on the host: %v, want %v", p, !on, on)
		}
	}
}

// details reads an address with its words, as another library sees them.
func (m machine) details(p string) netlink.Addr {
	m.t.Helper()
	var found netlink.Addr
	m.do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		all, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		for _, a := range all {
			if a.IPNet.String() == p {
				found = a
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("%s is not there", p))
	})
	return found
}

func TestAddAndRemove(t *testing.T) {
	m := newMachine(t, lab.New(t), "a", "10.0.0.1/24")
	g := group("eth0", 0, "10.0.0.100/32", "10.0.0.101/24", "fd00::100/128")
	m.add(g)
	m.expect(true, "10.0.0.100/32", "10.0.0.101/24", "fd00::100/128")
	m.add(g) // they are there: no error
	m.do(func() error { return m.Remove(g) })
	m.expect(false, "10.0.0.100/32", "10.0.0.101/24", "fd00::100/128")
	m.expect(true, "10.0.0.1/24")
	m.do(func() error { return m.Remove(g) }) // they are not there: no error
}

func TestManyAddresses(t *testing.T) {
	m := newMachine(t, lab.New(t), "a", "10.0.0.1/24")
	var all []string
	for i := range 600 {
		all = append(all, fmt.Sprintf("10.1.%d.%d/32", i/200, i%200+1))
	}
	g := group("eth0", -1, all...)
	began := time.Now()
	m.add(g)
	t.Logf("%d addresses on in %s", len(all), time.Since(began))
	m.expect(true, all...)
	began = time.Now()
	m.do(func() error { return m.Remove(g) })
	t.Logf("%d addresses off in %s", len(all), time.Since(began))
	m.expect(false, all...)
}

func TestWordsOfAnAddress(t *testing.T) {
	m := newMachine(t, lab.New(t), "a")
	for _, c := range []struct {
		name  string
		a     vrrp.Address
		life  time.Duration
		check func(netlink.Addr) bool
	}{
		{"default lifetime", vrrp.Address{Prefix: prefix("10.0.0.9/32")}, 0, func(a netlink.Addr) bool { return a.ValidLft == 2 && a.PreferedLft == 2 }},
		{"lifetime rounds up", vrrp.Address{Prefix: prefix("10.0.0.9/32")}, 2500 * time.Millisecond, func(a netlink.Addr) bool { return a.ValidLft == 3 }},
		{"for ever", vrrp.Address{Prefix: prefix("10.0.0.9/32")}, -1, func(a netlink.Addr) bool { return uint32(a.ValidLft) == forever }},
		{"no broadcast", vrrp.Address{Prefix: prefix("10.0.0.9/24")}, 0, func(a netlink.Addr) bool { return a.Broadcast == nil }},
		{"broadcast +", vrrp.Address{Prefix: prefix("10.0.0.9/24"), Broadcast: "+"}, 0, func(a netlink.Addr) bool { return a.Broadcast.String() == "10.0.0.255" }},
		{"broadcast -", vrrp.Address{Prefix: prefix("10.0.0.9/24"), Broadcast: "-"}, 0, func(a netlink.Addr) bool { return a.Broadcast.String() == "10.0.0.0" }},
		{"broadcast", vrrp.Address{Prefix: prefix("10.0.0.9/24"), Broadcast: "10.0.0.7"}, 0, func(a netlink.Addr) bool { return a.Broadcast.String() == "10.0.0.7" }},
		{"scope", vrrp.Address{Prefix: prefix("10.0.0.9/24"), Scope: "link"}, 0, func(a netlink.Addr) bool { return a.Scope == 253 }},
		{"label", vrrp.Address{Prefix: prefix("10.0.0.9/24"), Label: "eth0:vip"}, 0, func(a netlink.Addr) bool { return a.Label == "eth0:vip" }},
		{"no route of the subnet", vrrp.Address{Prefix: prefix("10.0.0.9/24"), NoPrefixRoute: true}, 0, func(a netlink.Addr) bool { return a.Flags&0x200 != 0 }},
		{"preferred for a while", vrrp.Address{Prefix: prefix("10.0.0.9/24"), PreferredLft: new(time.Second)}, time.Minute, func(a netlink.Addr) bool { return a.PreferedLft == 1 && a.ValidLft == 60 }},
		{"deprecated host address", vrrp.Address{Prefix: prefix("fd00::9/128")}, -1, func(a netlink.Addr) bool { return a.PreferedLft == 0 && uint32(a.ValidLft) == forever }},
		{"no duplicate detection", vrrp.Address{Prefix: prefix("fd00::9/64")}, 0, func(a netlink.Addr) bool { return a.Flags&0x40 == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := Group{Instance: c.name, Interface: "eth0", Addresses: []vrrp.Address{c.a}, Lifetime: c.life}
			m.add(g)
			if a := m.details(c.a.Prefix.String()); !c.check(a) {
				t.Errorf("%+v", a)
			}
			m.do(func() error { return m.Remove(g) })
		})
	}
}

// TestPeer: an address of a point-to-point link is found again for its removal.
func TestPeer(t *testing.T) {
	m := newMachine(t, lab.New(t), "a", "10.0.0.1/24")
	g := group("eth0", -1, "10.0.0.140/32", "fd00::140/128")
	g.Addresses[0].Peer, g.Addresses[1].Peer = prefix("10.0.5.0/24"), prefix("fd05::1/128")
	m.add(g)
	if text := output(t, m.host, "ip", "addr"); !strings.Contains(text, "10.0.0.140 peer 10.0.5.0/24") || !strings.Contains(text, "fd00::140 peer fd05::1/128") {
		t.Errorf("addresses: %s", text)
	}
	m.do(func() error { return m.Remove(g) })
	if text := output(t, m.host, "ip", "addr"); strings.Contains(text, "140") {
		t.Errorf("addresses: %s", text)
	}
}

func TestAddFaults(t *testing.T) {
	m := newMachine(t, lab.New(t), "a")
	add := func(g Group, until boottime.Time) error {
		return m.host.Do(func() error { return m.Add(g, until) })
	}
	t.Run("unknown interface does not stop the others", func(t *testing.T) {
		g := group("eth0", 0, "10.0.0.100/32", "10.0.0.101/32")
		g.Addresses[0].Dev = "eth9"
		err := add(g, 0)
		if !errors.Is(err, ErrNoInterface) {
			t.Errorf("error: %v", err)
		}
		var ae *AddressError
		if !errors.As(err, &ae) || ae.Dev != "eth9" || ae.Address != "10.0.0.100/32" {
			t.Errorf("error does not name the address: %v", err)
		}
		m.expect(true, "10.0.0.101/32")
		if err := m.host.Do(func() error { return m.Remove(g) }); err != nil {
			t.Errorf("an address of an interface that is gone is off: %v", err)
		}
	})
	t.Run("expired lease", func(t *testing.T) {
		if err := add(group("eth0", 0, "10.0.0.100/32"), boottime.Now()); !errors.Is(err, ErrExpired) {
			t.Errorf("error: %v", err)
		}
		m.expect(false, "10.0.0.100/32")
		if err := add(group("eth0", 0, "10.0.0.100/32"), boottime.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
		m.expect(true, "10.0.0.100/32")
	})
	t.Run("what the kernel refuses", func(t *testing.T) {
		g := group("eth0", 0, "0.0.0.0/32", "224.0.0.1/32", "10.0.0.102/32")
		g.Addresses = append(g.Addresses, vrrp.Address{Prefix: prefix("10.0.0.9/24"), Broadcast: "?"},
			vrrp.Address{Prefix: prefix("10.0.0.9/24"), Scope: "?"}, vrrp.Address{Prefix: prefix("10.0.0.9/24"), Label: "longer-than-the-kernel-takes"})
		if err := add(g, 0); err == nil {
			t.Error("no error")
		}
		m.expect(true, "10.0.0.102/32")
		m.expect(false, "10.0.0.9/24")
	})
}

// The trap: the kernel removes every address of a subnet together with its first one.
func TestRemovalTakesNoOthersAlong(t *testing.T) {
	m := newMachine(t, lab.New(t), "a")
	first, second := group("eth0", 0, "10.5.0.1/24"), group("eth0", -1, "10.5.0.2/24", "10.5.0.3/24")
	second.Instance = "VI_2"
	m.add(first)
	m.add(second)
	m.do(func() error { return m.Remove(first) })
	m.expect(false, "10.5.0.1/24")
	m.expect(true, "10.5.0.2/24", "10.5.0.3/24")
}

func TestLifetimeEndsWhatNobodyExtends(t *testing.T) {
	m := newMachine(t, lab.New(t), "a")
	kept, left := group("eth0", time.Second, "10.0.0.100/32"), group("eth0", time.Second, "10.0.0.101/32")
	left.Instance = "VI_2"
	m.add(kept)
	m.add(left)
	began := time.Now()
	within(t, 3*time.Second, "the lifetime ends the address that is not extended", func() bool {
		m.do(func() error { return m.Extend(kept, 0) })
		return !m.has("10.0.0.101/32")
	})
	t.Logf("lifetime of 1 s ended after %s", time.Since(began))
	m.expect(true, "10.0.0.100/32")
}

func TestExtendIsThrottled(t *testing.T) {
	now := boottime.Time(time.Hour)
	for _, c := range []struct {
		life, passed time.Duration
		due          bool
	}{
		{0, 499 * time.Millisecond, false},
		{0, 500 * time.Millisecond, true},
		{8 * time.Second, time.Second, false},
		{8 * time.Second, 2 * time.Second, true},
		{-1, 24 * time.Hour, false},
	} {
		if got := (Group{Lifetime: c.life}).due(now, now.Add(c.passed)); got != c.due {
			t.Errorf("lifetime %s after %s: due %v, want %v", c.life, c.passed, got, c.due)
		}
	}
	m := newMachine(t, lab.New(t), "a")
	g := group("eth0", time.Minute, "10.0.0.100/32")
	m.add(g)
	m.do(func() error { return m.host.DelAddr("eth0", "10.0.0.100/32") })
	m.do(func() error { return m.Extend(g, 0) })
	m.expect(false, "10.0.0.100/32") // within the quarter the kernel was not spoken to
	g.Addresses = append(g.Addresses, vrrp.Address{Prefix: prefix("10.0.0.101/32")})
	m.do(func() error { return m.Extend(g, 0) })
	m.expect(true, "10.0.0.101/32") // another set of addresses is never throttled
	soon := boottime.Now().Add(time.Minute)
	m.do(func() error { return m.Extend(g, soon) })
	if m.announcer.expired(g.Instance, soon.Add(-time.Second)) || !m.announcer.expired(g.Instance, soon) {
		t.Error("what the kernel need not be told did not reach the announcements")
	}
}

func TestRemoveLeftovers(t *testing.T) {
	n := lab.New(t)
	m := newMachine(t, n, "a", "10.0.0.1/24")
	n.Must(m.host.AddAddr("eth0", "10.0.0.100/32"), m.host.AddAddr("eth0", "10.0.0.102/32"))
	named := func(name string, g Group) Group { g.Instance = name; return g }
	first := named("VI_1", group("eth0", 0, "10.0.0.100/32", "10.0.0.101/32"))
	second, other := named("VI_2", group("eth0", 0, "10.0.0.102/32")), named("VI_7", group("eth7", 0, "10.0.0.103/32"))
	prepare := func(want []netip.Prefix, groups ...Group) {
		t.Helper()
		m.do(func() error {
			found, err := m.Prepare(Setup{Groups: groups})
			if !slices.Equal(found, want) {
				t.Errorf("found %v, want %v", found, want)
			}
			return err
		})
	}
	prepare([]netip.Prefix{prefix("10.0.0.100/32")}, first, other)
	m.expect(false, "10.0.0.100/32")
	m.expect(true, "10.0.0.1/24", "10.0.0.102/32") // whose instance is not known
	m.add(first)
	prepare([]netip.Prefix{prefix("10.0.0.102/32")}, first, second) // it comes with a reload
	m.expect(false, "10.0.0.102/32")
	m.expect(true, "10.0.0.100/32", "10.0.0.101/32") // in use
	prepare(nil, first, second)
	m.expect(true, "10.0.0.100/32", "10.0.0.101/32")
}

func TestLink(t *testing.T) {
	n := lab.New(t)
	m := newMachine(t, n, "a", "10.0.0.1/24")
	state := func(dev string) (l Link) {
		m.do(func() (err error) { l, err = m.Link(dev); return })
		return l
	}
	within(t, 2*time.Second, "carrier", func() bool { return state("eth0").Usable() == nil })
	if l := state("eth0"); len(l.MAC) != 6 || l.Index == 0 {
		t.Errorf("%+v", l)
	}
	n.Must(m.host.Carrier(false))
	within(t, 2*time.Second, "no carrier", func() bool { return errors.Is(state("eth0").Usable(), ErrNoCarrier) })
	if err := m.host.Do(func() error { _, err := m.Link("nope"); return err }); !errors.Is(err, ErrNoInterface) {
		t.Errorf("unknown interface: %v", err)
	}
	if err := m.host.Do(func() error { _, err := m.Link("a-name-too-long-for-the-kernel"); return err }); !errors.Is(err, ErrNoInterface) {
		t.Errorf("overlong name: %v", err)
	}
}

func TestRemover(t *testing.T) {
	m := newMachine(t, lab.New(t), "a")
	m.add(group("eth0", 0, "10.0.0.100/32", "10.0.0.101/32", "fd00::1/128"))
	m.do(func() error {
		r, err := NewRemover()
		if err != nil {
			return err
		}
		defer r.Close()
		return r.Remove([]On{{"eth0", prefix("10.0.0.100/32")}, {"eth0", prefix("fd00::1/128")}, {"gone0", prefix("10.9.0.1/32")}})
	})
	m.expect(false, "10.0.0.100/32", "fd00::1/128")
	m.expect(true, "10.0.0.101/32")
}

func BenchmarkAddRemove(b *testing.B) {
	h := lab.New(b).Host("a")
	err := h.Do(func() error {
		m := New(Options{})
		defer m.Close()
		g := group("eth0", 0, "10.0.0.100/32", "10.0.0.101/32")
		b.ReportAllocs()
		for b.Loop() {
			if err := errors.Join(m.Add(g, 0), m.Remove(g)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
