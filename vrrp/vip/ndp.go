package vip

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/ndp"
)

const (
	etherTypeIPv6 = 0x86dd
	icmpv6        = 58
)

// allNodes is every IPv6 node of the segment, with its Ethernet address (RFC 2464 section 7).
var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
)

// neighbourAdvertisement is RFC 4861's unsolicited one (section 7.2.6) to all nodes, overriding what they know. One that
// says router makes hosts keep us as a router; one that does not makes them forget us (section 7.2.5).
func neighbourAdvertisement(mac net.HardwareAddr, a netip.Addr, router bool) ([]byte, error) {
	if len(mac) != 6 {
		return nil, fmt.Errorf("neighbour advertisement for %s: hardware address of %d bytes", a, len(mac))
	}
	body, err := ndp.MarshalMessageChecksum(&ndp.NeighborAdvertisement{
		Router: router, Override: true, TargetAddress: a,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: mac}},
	}, a, allNodes)
	if err != nil {
		return nil, fmt.Errorf("neighbour advertisement for %s: %w", a, err)
	}
	ip := make([]byte, 0, 40+len(body))
	ip = append(ip, 0x60, 0, 0, 0)
	ip = binary.BigEndian.AppendUint16(ip, uint16(len(body)))
	ip = append(ip, icmpv6, 255)
	ip = append(ip, a.AsSlice()...)
	ip = append(ip, allNodes.AsSlice()...)
	return ethernet(allNodesMAC, mac, etherTypeIPv6, append(ip, body...)), nil
}
