package speaker

import (
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/netio"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/track"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// settings is one instance's configuration, ready for use. It is never changed.
type settings struct {
	row     int // place in the configuration, from 1
	in      vrrp.Instance
	global  vrrp.Global
	cluster bool
	known   track.Known     // what trackers are
	sync    *vrrp.SyncGroup // the group it is in; nil: none
	machine machine.Config
	plan    vip.Plan
	group   vip.Group
	advert  packet.Advert // with priority 0
	expect  packet.Expect
	six     bool // adverts go by IPv6
}

// newSettings fails when the wire can't carry the instance.
func newSettings(node string, row int, in vrrp.Instance, c vrrp.Config, plan vip.Plan, cluster bool) (*settings, error) {
	if in.AdvertInt <= 0 {
		in.AdvertInt = time.Second
	}
	if in.Priority == 0 {
		in.Priority = 100
	}
	s := &settings{row: row, in: in, global: c.Global, cluster: cluster, known: track.NewKnown(c), plan: plan, group: plan.Group, six: in.IPv6()}
	for _, g := range c.SyncGroups {
		if slices.Contains(g.Members, in.Name) {
			s.sync = &g
		}
	}
	var err error
	if s.advert, s.expect, err = packet.Of(in, c.Global); err != nil {
		return nil, err
	}
	s.machine = machine.Of(node, in, c.Global, s.advert.Version, cluster)
	if s.sync != nil {
		s.machine.Group = s.sync.Name
		if in.PriorityChanges == nil && s.sync.PriorityChanges != nil { // the members say it: a group's priority is always 0
			s.machine.TellPriority = *s.sync.PriorityChanges
		}
	}
	return s, nil
}

// unicast reports whether adverts go to each peer.
func (s *settings) unicast() bool { return len(s.in.Unicast.Peers) > 0 }

// wanted is the state that the file wants it to begin in.
func (s *settings) wanted() string {
	if s.in.State == machine.Master.String() {
		return s.in.State
	}
	return machine.Backup.String()
}

// sealed reports whether adverts have an authentication header.
func (s *settings) sealed() bool { return s.expect.AuthType == packet.AuthAH }

// port is where adverts come in and go out.
func (s *settings) port() portKey {
	if s.unicast() {
		source := s.in.McastSrcIP
		if !source.IsValid() { // the interface's own, whichever that is
			source = netip.IPv4Unspecified()
			if s.six {
				source = netip.IPv6Unspecified()
			}
		}
		return portKey{dev: s.plan.Interface, source: source, ah: s.sealed()}
	}
	return portKey{dev: s.plan.Interface, group: s.multicast(), ah: s.sealed()}
}

// multicast is the group that adverts go to without peers.
func (s *settings) multicast() netip.Addr {
	global, otherwise := s.global.McastGroup4, packet.Group4
	if s.six {
		global, otherwise = s.global.McastGroup6, netio.Group6
	}
	switch {
	case s.in.McastDstIP.IsValid():
		return s.in.McastDstIP
	case global.IsValid():
		return global
	}
	return otherwise
}

// replaces reports whether the instance has to be ended and made anew rather than changed.
func (s *settings) replaces(old *settings) bool {
	return s.in.Interface != old.in.Interface || s.in.VirtualRouterID != old.in.VirtualRouterID || s.cluster != old.cluster ||
		s.port() != old.port() || s.machine.Group != old.machine.Group
}

// same reports whether the instance carries what it carried, blind to positions in files.
func (s *settings) same(old *settings) bool {
	return reflect.DeepEqual(bare(s.group), bare(old.group))
}

// differs reports whether anything changed that the machine or the network has to know.
func (s *settings) differs(old *settings) bool {
	return !s.same(old) || s.machine != old.machine || s.in.Priority != old.in.Priority || !reflect.DeepEqual(s.advert, old.advert) ||
		s.expect.Key != old.expect.Key
}

// shrunk reports whether there is no address that was not there before.
func (s *settings) shrunk(old *settings) bool {
	before := old.group.On()
	return !slices.ContainsFunc(s.group.On(), func(at vip.On) bool { return !slices.Contains(before, at) })
}

// bare is a group without what does not matter to the kernel: where and how things were written.
func bare(g vip.Group) vip.Group {
	g.Lifetime = 0 // it comes with the next renewal
	g.Addresses, g.Routes, g.Rules = slices.Clone(g.Addresses), slices.Clone(g.Routes), slices.Clone(g.Rules)
	for i := range g.Addresses {
		g.Addresses[i].Pos = vrrp.Address{}.Pos
	}
	for i := range g.Routes {
		g.Routes[i].Words, g.Routes[i].Pos = nil, vrrp.Route{}.Pos
	}
	for i := range g.Rules {
		g.Rules[i].Words, g.Rules[i].Pos = nil, vrrp.Rule{}.Pos
	}
	return g
}

// gone is what the old settings carried and these don't. ok: there is such a thing.
func (s *settings) gone(old *settings) (g vip.Group, ok bool) {
	now, before := bare(s.group), bare(old.group)
	on := s.group.On()
	g = before
	g.Lifetime, g.Addresses, g.Routes, g.Rules = old.group.Lifetime, nil, nil, nil
	for i, at := range before.On() {
		if !slices.Contains(on, at) {
			g.Addresses = append(g.Addresses, before.Addresses[i])
		}
	}
	for _, r := range before.Routes {
		if !slices.ContainsFunc(now.Routes, func(o vrrp.Route) bool { return reflect.DeepEqual(o, r) }) {
			g.Routes = append(g.Routes, r)
		}
	}
	for _, r := range before.Rules {
		if !slices.ContainsFunc(now.Rules, func(o vrrp.Rule) bool { return reflect.DeepEqual(o, r) }) {
			g.Rules = append(g.Rules, r)
		}
	}
	return g, len(g.Addresses)+len(g.Routes)+len(g.Rules) > 0 || before.Block && !now.Block
}

// concerns reports whether what happens to an interface matters to the instance.
func (s *settings) concerns(dev string) bool {
	if dev == s.in.Interface || dev == s.plan.Interface || dev == s.plan.Source || s.in.Interface == "" {
		return true
	}
	if slices.ContainsFunc(s.tracked(), func(t vrrp.TrackInterface) bool { return t.Name == dev }) {
		return true
	}
	return slices.ContainsFunc(s.group.Addresses, func(a vrrp.Address) bool { return a.Dev == dev })
}

// tracked is the interfaces that the instance tracks, itself or by its group.
func (s *settings) tracked() []vrrp.TrackInterface {
	if s.sync == nil {
		return s.in.TrackInterfaces
	}
	return slices.Concat(s.in.TrackInterfaces, s.sync.TrackInterfaces)
}
