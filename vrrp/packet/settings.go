package packet

import (
	"net/netip"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// Of makes of an instance's settings what it sends (with priority 0) and what it expects. It holds the rules that settings
// alone don't show: IPv6 is always version 3; version 3 has no authentication, and vrrp_strict allows none. The error says
// what the wire can't carry.
func Of(in vrrp.Instance, g vrrp.Global) (Advert, Expect, error) {
	listed := make([]netip.Addr, 0, len(in.Addresses))
	for _, a := range in.Addresses {
		listed = append(listed, a.Prefix.Addr())
	}
	six := in.IPv6()
	every := in.AdvertInt
	if every <= 0 {
		every = time.Second
	}
	var a Advert
	var key Key
	var err error
	if VersionOf(in, g) == Version3 {
		a, err = New3(in.VirtualRouterID, PriorityStop, every, listed)
	} else {
		pass := ""
		if in.AuthType == vrrp.AuthPass && !strict(in, g) {
			pass = in.AuthPass
		}
		if a, err = New(in.VirtualRouterID, PriorityStop, every, pass, listed); in.AuthType == vrrp.AuthAH && in.AuthPass != "" && !strict(in, g) {
			a.AuthType, key = AuthAH, KeyOf(in.AuthPass)
		}
	}
	if err != nil {
		return Advert{}, Expect{}, err
	}
	a.Group = g.McastGroup4
	a.OldChecksum = yes(in.Unicast.OldChecksum, false) && !strict(in, g)
	e := Expect{
		Version: a.Version, IPv6: six, AuthType: a.AuthType, AuthData: a.AuthData, Key: key, AdvertInt: a.AdvertInt,
		Addresses: listed, sorted: sortedSet(listed), SkipAddresses: yes(in.SkipCheckAdv, g.SkipCheckAdvAddr),
		Unicast: len(in.Unicast.Peers) > 0, CheckSource: yes(in.Unicast.CheckSrc, g.CheckUnicastSrc), Group: g.McastGroup4,
		NoOldChecksum: in.Unicast.OldChecksum != nil && !*in.Unicast.OldChecksum || strict(in, g),
	}
	for _, p := range in.Unicast.Peers {
		e.Peers = append(e.Peers, Peer{p.Addr, clamp(p.MinTTL), clamp(p.MaxTTL)})
		if in.Unicast.CheckSrc == nil && (p.MinTTL > 0 || p.MaxTTL > 0 && p.MaxTTL < TTL) {
			e.CheckSource = true // as keepalived has it: a range of one peer checks all sources
		}
	}
	return a, e, nil
}

// VersionOf is the version an instance speaks: 3 over IPv6, else its own, else vrrp_version.
func VersionOf(in vrrp.Instance, g vrrp.Global) uint8 {
	switch {
	case in.IPv6(), in.Version == Version3:
		return Version3
	case in.Version == 0 && g.Version == Version3:
		return Version3
	}
	return Version
}

func strict(in vrrp.Instance, g vrrp.Global) bool { return yes(in.StrictMode, g.Strict) }

func yes(own *bool, global bool) bool {
	if own != nil {
		return *own
	}
	return global
}

func clamp(ttl int) uint8 { return uint8(min(max(ttl, 0), TTL)) }
