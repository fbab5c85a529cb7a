// Package machine asks the machine at hand what a configuration for it can be held against.
package machine

import (
	"net"
	"net/netip"
)

// Networks are the addresses of an interface with the lengths of their networks; false: there is no such interface. It is
// safe for concurrent use.
func Networks(name string) ([]netip.Prefix, bool) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, false
	}
	addrs, err := iface.Addrs()
	if err != nil {
		return nil, false
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p)
		}
	}
	return out, true
}
