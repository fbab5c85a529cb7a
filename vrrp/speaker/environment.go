package speaker

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/reeve-lb/reeve/vrrp/track"
)

// view is what the machine looked like to an instance.
type view struct {
	environment
	index int              // of its interface; 0: there is none
	links map[string]error // why a tracked interface can't be used, of all that are tracked
}

// environment is what an instance's interface offers.
type environment struct {
	fault  string // "" when adverts can be sent
	source netip.Addr
}

// look reads what matters to an instance now. It may wait for the kernel. Safe for concurrent use.
func (s *Speaker) look(set *settings) view {
	v := view{environment: s.environment(set), links: map[string]error{}}
	if link, err := s.vip.Link(set.in.Interface); err == nil {
		v.index = link.Index
	}
	for _, t := range set.tracked() {
		link, err := s.vip.Link(t.Name)
		if err == nil {
			err = link.Usable()
		}
		v.links[t.Name] = err
	}
	return v
}

func (s *Speaker) environment(set *settings) environment {
	in := set.in
	for _, dev := range []string{in.Interface, set.plan.Interface} {
		if dev == "" {
			continue // unicast by whatever the routes say
		}
		link, err := s.vip.Link(dev)
		if err != nil {
			return environment{fault: err.Error()}
		}
		if err := link.Usable(); err != nil && !in.DontTrackPrim {
			return environment{fault: err.Error()}
		}
	}
	if in.Unicast.FaultNoPeer && !set.unicast() {
		return environment{fault: "unicast_fault_no_peer: no unicast_peer is configured"}
	}
	if in.McastSrcIP.IsValid() && !in.TrackSrcIP {
		return environment{source: in.McastSrcIP}
	}
	own, err := ownAddresses(set.plan.Source, set.six, s.virtual())
	switch {
	case err != nil:
		return environment{fault: err.Error()}
	case in.McastSrcIP.IsValid() && !slices.Contains(own, in.McastSrcIP):
		return environment{fault: fmt.Sprintf("mcast_src_ip %s is not on %s, and track_src_ip wants it there", in.McastSrcIP, set.plan.Source)}
	case in.McastSrcIP.IsValid():
		return environment{source: in.McastSrcIP}
	case len(own) == 0 && set.six:
		return environment{fault: "no link-local IPv6 address on " + set.plan.Source + " to send adverts from"}
	case len(own) == 0:
		return environment{fault: "no IPv4 address on " + set.plan.Source + " to send adverts from"}
	}
	return environment{source: own[0]}
}

// ownAddresses lists the addresses of one family that an interface ("": all of them) has of its own, the primary one first.
// Adverts over IPv6 leave from a link-local one (RFC 9568 section 5.1.2.1), so that those come first.
func ownAddresses(dev string, six bool, virtual map[netip.Addr]bool) ([]netip.Addr, error) {
	list := net.InterfaceAddrs
	if dev != "" {
		ifi, err := net.InterfaceByName(dev)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", dev, err)
		}
		list = ifi.Addrs
	}
	all, err := list()
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", dev, err)
	}
	var own, wide []netip.Addr
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		switch {
		case err != nil || p.Addr().Is6() != six || virtual[p.Addr()] || p.Addr().IsLoopback():
		case six && !p.Addr().IsLinkLocalUnicast():
			wide = append(wide, p.Addr())
		default:
			own = append(own, p.Addr())
		}
	}
	return append(own, wide...), nil
}

// virtual is every address of every wanted instance.
func (s *Speaker) virtual() map[netip.Addr]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted.virtual
}

// trackStates is what trackers are looked up in: the tracker, and the links as they were seen last.
type trackStates struct {
	*track.Tracker
	links map[string]error
}

// Interface is nil if a tracked interface is up.
func (t trackStates) Interface(dev string) error { return t.links[dev] }
