package packet

import (
	"encoding/binary"
	"net/netip"
)

// IPv4HeaderLen is the length of the header that AppendIPv4 makes.
const IPv4HeaderLen = 20

// AppendIPv4 appends the IP header of an advert as keepalived makes it: TOS 0xc0 (internetwork control), TTL 255, DF
// clear. Total length, identification and checksum are left to the kernel, which fills them in on a raw socket.
func AppendIPv4(dst []byte, source, destination netip.Addr, payload int) []byte {
	return AppendIPv4TTL(dst, source, destination, payload, TTL)
}

// AppendIPv4TTL is AppendIPv4 with another TTL (unicast_ttl).
func AppendIPv4TTL(dst []byte, source, destination netip.Addr, payload int, ttl uint8) []byte {
	s, d := source.As4(), destination.As4()
	var h [IPv4HeaderLen]byte
	h[0], h[1], h[8], h[9] = 0x45, 0xc0, ttl, Protocol
	binary.BigEndian.PutUint16(h[2:], uint16(IPv4HeaderLen+payload))
	copy(h[12:], s[:])
	copy(h[16:], d[:])
	return append(dst, h[:]...)
}

// ParseIPv4 splits what a raw socket receives into header and payload; false if it is no whole IPv4 packet of VRRP.
// The payload is a part of b. An authentication header around VRRP is taken off and told; behind options of the IP header,
// which no router of VRRP sends, it is none.
func ParseIPv4(b []byte) (Datagram, bool) {
	if len(b) < IPv4HeaderLen || b[0]>>4 != 4 {
		return Datagram{}, false
	}
	ihl, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if ihl < IPv4HeaderLen || total < ihl || total > len(b) {
		return Datagram{}, false
	}
	d := Datagram{
		Source:      netip.AddrFrom4([4]byte(b[12:])),
		Destination: netip.AddrFrom4([4]byte(b[16:])),
		TTL:         b[8],
		Payload:     b[ihl:total],
	}
	switch b[9] {
	case Protocol:
		return d, true
	case ProtocolAH:
		ok := ihl == IPv4HeaderLen && d.takeAH(binary.BigEndian.Uint16(b[4:]))
		return d, ok
	}
	return Datagram{}, false
}

// takeAH takes an authentication header off the payload of a packet with that identification.
func (d *Datagram) takeAH(id uint16) bool {
	p := d.Payload
	if len(p) < ahLen || p[0] != Protocol {
		return false
	}
	n := (int(p[1]) + 2) * 4
	if n < ahLen || n > len(p) {
		return false
	}
	d.AH = AuthHeader{
		Present: true, Words: p[1], ID: id, Reserved: binary.BigEndian.Uint16(p[2:]),
		SPI: binary.BigEndian.Uint32(p[4:]), Sequence: binary.BigEndian.Uint32(p[8:]),
	}
	copy(d.AH.ICV[:], p[ahLen:n])
	d.Payload = p[n:]
	return true
}
