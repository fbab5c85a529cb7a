package speaker

import (
	"net/netip"
	"slices"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/alert"
	"github.com/reeve-lb/reeve/vrrp/notify"
	"github.com/reeve-lb/reeve/vrrp/track"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// Apply makes c the configuration, in place: an instance that stays keeps its state, cadence and counters, and what did
// not change is not touched. defaultElection is for instances that say nothing. The problems say what can't be done on
// this machine: such an instance waits in FAULT (an interface that is missing may come), or, when the wire can't carry it,
// is left out. Apply returns before the change is done.
func (s *Speaker) Apply(c vrrp.Config, defaultElection vrrp.Election) source.Problems {
	var ps source.Problems
	w := wanted{
		track: track.Used(c), notify: notify.SettingsOf(c.Global), alert: alert.SettingsOf(c.Global), strangers: c.Global.LogUnknownVRIDs,
		virtual: map[netip.Addr]bool{},
	}
	plans, faults := vip.Plans(c)
	ps = append(ps, faults...)
	names := map[string]bool{}
	vrids := map[routerKey]string{}
	for row, in := range c.Instances {
		at := slices.IndexFunc(plans, func(p vip.Plan) bool { return p.Instance == in.Name })
		if at < 0 {
			continue // Plans said why
		}
		set, err := newSettings(s.o.Node, row+1, in, c, plans[at], s.elected(in.Election, defaultElection))
		key := routerKey{in.Interface, in.VirtualRouterID, in.IPv6()}
		other, twice := vrids[key]
		switch {
		case err != nil:
			ps.Errorf(in.Pos, "", "vrrp_instance %s: %v", in.Name, err)
			continue
		case names[in.Name]:
			ps.Errorf(in.Pos, "", "vrrp_instance %s is there twice", in.Name)
			continue
		case twice:
			ps.Errorf(in.Pos, "", "%s and %s both use virtual_router_id %d on %s", other, in.Name, in.VirtualRouterID, in.Interface)
			continue
		}
		names[in.Name], vrids[key] = true, in.Name
		s.checkLinks(in, &ps)
		for _, a := range set.group.Addresses {
			w.virtual[a.Prefix.Addr()] = true
		}
		w.settings = append(w.settings, set)
	}
	w.groups = groupsOf(c, w.settings)
	w.setup = vip.NewSetup(c, slices.DeleteFunc(plans, func(p vip.Plan) bool { return !names[p.Instance] }))
	s.mu.Lock()
	s.wanted = w
	s.mu.Unlock()
	poke(s.wake)
	return ps
}

type routerKey struct {
	dev  string
	vrid int
	six  bool
}

// elected reports whether the cluster decides about an instance.
func (s *Speaker) elected(own, otherwise vrrp.Election) bool {
	if own == vrrp.ElectionAuto {
		own = otherwise
	}
	return own == vrrp.ElectionCluster && s.o.Arbiter != nil
}

// checkLinks names interfaces that are missing or have no carrier.
func (s *Speaker) checkLinks(in vrrp.Instance, ps *source.Problems) {
	check := func(at source.Pos, what, dev string) {
		link, err := s.vip.Link(dev)
		if err != nil {
			ps.Errorf(at, "it waits in FAULT until the interface is there", "vrrp_instance %s: %s: %v", in.Name, what, err)
		} else if err := link.Usable(); err != nil {
			ps.Warnf(at, "", "vrrp_instance %s: %s: %v", in.Name, what, err)
		}
	}
	if in.Interface != "" {
		check(in.Pos, "interface", in.Interface)
	}
	if in.Interface == "" && in.VRF != "" {
		check(in.Pos, "vrf", in.VRF)
	}
	for _, a := range slices.Concat(in.Addresses, in.Excluded) {
		if a.Dev != "" && a.Dev != in.Interface {
			check(a.Pos, "address "+a.Prefix.String(), a.Dev)
		}
	}
	for _, t := range in.TrackInterfaces {
		check(t.Pos, "track_interface", t.Name)
	}
}
