package speaker

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/reeve-lb/reeve/vrrp/track"
)

// environment is what an instance's interface offers.
type environment struct {
	fault  string // "" when adverts can be sent
	source netip.Addr
}

// look reads what the instance's interface is like now. Safe for concurrent use.
func (s *Speaker) look(set *settings) environment {
	in := set.in
	link, err := s.vip.Link(in.Interface)
	if err != nil {
		return environment{fault: err.Error()}
	}
	if err := link.Usable(); err != nil && !in.DontTrackPrim {
		return environment{fault: err.Error()}
	}
	own, err := ownAddresses(in.Interface, s.virtual())
	switch {
	case err != nil:
		return environment{fault: err.Error()}
	case in.McastSrcIP.IsValid() && !slices.Contains(own, in.McastSrcIP):
		return environment{fault: fmt.Sprintf("mcast_src_ip %s is not on %s", in.McastSrcIP, in.Interface)}
	case in.McastSrcIP.IsValid():
		return environment{source: in.McastSrcIP}
	case len(own) == 0:
		return environment{fault: "no IPv4 address on " + in.Interface + " to send adverts from"}
	}
	return environment{source: own[0]}
}

// ownAddresses lists the interface's IPv4 addresses, the primary one first, without virtual ones.
func ownAddresses(dev string, virtual map[netip.Addr]bool) ([]netip.Addr, error) {
	ifi, err := net.InterfaceByName(dev)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", dev, err)
	}
	all, err := ifi.Addrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", dev, err)
	}
	var own []netip.Addr
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && !virtual[p.Addr()] {
			own = append(own, p.Addr())
		}
	}
	return own, nil
}

// virtual is every address of every wanted instance.
func (s *Speaker) virtual() map[netip.Addr]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted.virtual
}

// trackStates is what trackers are looked up in: the tracker, and the links that the speaker knows.
type trackStates struct {
	*track.Tracker
	sp *Speaker
}

// Interface is nil if a tracked interface is up.
func (t trackStates) Interface(dev string) error {
	link, err := t.sp.vip.Link(dev)
	if err != nil {
		return err
	}
	return link.Usable()
}
