package vrrp

import (
	"net/netip"
	"testing"
)

// TestIPv6: what keepalived 2.2.7 sends adverts by.
func TestIPv6(t *testing.T) {
	address := func(text string) []Address { return []Address{{Prefix: netip.MustParsePrefix(text)}} }
	four, six := address("10.91.0.100/24"), address("fe80::100/64")
	for _, c := range []struct {
		name string
		in   Instance
		want bool
	}{
		{"nothing at all", Instance{}, false},
		{"IPv4", Instance{Addresses: four}, false},
		{"IPv6", Instance{Addresses: six}, true},
		{"IPv4 and IPv6 that is not listed", Instance{Addresses: four, Excluded: six}, false},
		{"IPv6 and IPv4 that is not listed", Instance{Addresses: six, Excluded: four}, true},
		{"IPv6 that is not listed alone", Instance{Excluded: six}, false},
		{"IPv6 that is not listed, a source", Instance{Excluded: six, McastSrcIP: netip.MustParseAddr("10.91.0.1")}, false},
		{"a source of IPv6", Instance{McastSrcIP: netip.MustParseAddr("fe80::1")}, true},
		{"a peer of IPv6", Instance{Unicast: Unicast{Peers: []Peer{{Addr: netip.MustParseAddr("fd91::2")}}}}, true},
		{"native_ipv6", Instance{NativeIPv6: true}, true},
		{"native_ipv6 beside IPv4, which is then refused", Instance{NativeIPv6: true, Addresses: four}, true},
	} {
		if got := c.in.IPv6(); got != c.want {
			t.Errorf("%s: IPv6 %v, want %v", c.name, got, c.want)
		}
	}
}
