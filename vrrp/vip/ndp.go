package vip

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

const (
	etherTypeIPv6   = 0x86dd
	icmpv6          = 58
	naType          = 136        // RFC 4861 section 4.4
	naFlags         = 0xa0000000 // router, override; not solicited
	optTargetLLAddr = 2
)

// neighbourAdvertisement is RFC 4861's unsolicited one (section 7.2.6) to all nodes.
func neighbourAdvertisement(mac net.HardwareAddr, a netip.Addr) ([]byte, error) {
	if len(mac) != 6 {
		return nil, fmt.Errorf("neighbour advertisement for %s: hardware address of %d bytes", a, len(mac))
	}
	allNodes := netip.MustParseAddr("ff02::1").As16()
	target := a.As16()
	body := make([]byte, 0, 32)
	body = append(body, naType, 0, 0, 0)
	body = binary.BigEndian.AppendUint32(body, naFlags)
	body = append(body, target[:]...)
	body = append(body, optTargetLLAddr, 1)
	body = append(body, mac...)

	ip := make([]byte, 0, 40+len(body))
	ip = append(ip, 0x60, 0, 0, 0)
	ip = binary.BigEndian.AppendUint16(ip, uint16(len(body)))
	ip = append(ip, icmpv6, 255)
	ip = append(ip, target[:]...)
	ip = append(ip, allNodes[:]...)
	binary.BigEndian.PutUint16(body[2:], icmpChecksum(target, allNodes, body))
	ip = append(ip, body...)
	return ethernet(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, mac, etherTypeIPv6, ip), nil
}

// icmpChecksum is RFC 4443 section 2.3: over the pseudo-header (RFC 8200 section 8.1) and the message.
func icmpChecksum(src, dst [16]byte, body []byte) uint16 {
	sum := uint32(len(body)) + icmpv6
	for _, part := range [][]byte{src[:], dst[:], body} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
