package speaker

import (
	"slices"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/track"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// settings is one instance's configuration, ready for use. It is never changed.
type settings struct {
	in      vrrp.Instance
	global  vrrp.Global
	cluster bool
	known   track.Known     // what trackers are
	sync    *vrrp.SyncGroup // the group it is in; nil: none
	machine machine.Config
	group   vip.Group
	advert  packet.Advert // with priority 0
	expect  packet.Expect
}

// newSettings fails when the wire can't carry the instance.
func newSettings(node string, in vrrp.Instance, c vrrp.Config, cluster bool) (*settings, error) {
	if in.AdvertInt <= 0 {
		in.AdvertInt = time.Second
	}
	if in.Priority == 0 {
		in.Priority = 100
	}
	s := &settings{in: in, global: c.Global, cluster: cluster, known: track.NewKnown(c)}
	for _, g := range c.SyncGroups {
		if slices.Contains(g.Members, in.Name) {
			s.sync = &g
		}
	}
	var err error
	if s.advert, s.expect, err = packet.Of(in, c.Global); err != nil {
		return nil, err
	}
	s.group = vip.Group{
		Instance: in.Name, Interface: in.Interface, Lifetime: in.VIPLifetime,
		Addresses: slices.Concat(in.Addresses, in.Excluded),
	}
	s.machine = machine.Of(node, in, c.Global, s.advert.Version, cluster)
	return s, nil
}

// replaces reports whether the instance has to be ended and made anew rather than changed.
func (s *settings) replaces(old *settings) bool {
	return s.in.Interface != old.in.Interface || s.in.VirtualRouterID != old.in.VirtualRouterID || s.cluster != old.cluster ||
		s.global.McastGroup4 != old.global.McastGroup4
}

// sameAddresses compares lists, blind to positions in files.
func sameAddresses(a, b []vrrp.Address) bool {
	return slices.EqualFunc(a, b, func(x, y vrrp.Address) bool {
		x.Pos = y.Pos
		return x == y
	})
}

// gone is what the old settings carried and these don't.
func (s *settings) gone(old *settings) vip.Group {
	on := s.held()
	g := old.group
	g.Addresses = slices.DeleteFunc(slices.Clone(old.group.Addresses), func(a vrrp.Address) bool {
		return slices.Contains(on, place(old.group, a))
	})
	return g
}

// held is where the addresses are when they are on.
func (s *settings) held() []vip.On {
	out := make([]vip.On, 0, len(s.group.Addresses))
	for _, a := range s.group.Addresses {
		out = append(out, place(s.group, a))
	}
	return out
}

func place(g vip.Group, a vrrp.Address) vip.On {
	dev := a.Dev
	if dev == "" {
		dev = g.Interface
	}
	return vip.On{Dev: dev, Prefix: a.Prefix}
}
