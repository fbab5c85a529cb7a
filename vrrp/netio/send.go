package netio

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp/packet"
)

const (
	defaultTTL   = 255  // RFC 9568 sections 5.1.1.3 and 5.1.2.3
	trafficClass = 0xc0 // internetwork control, as keepalived sends
)

// sender is a send socket with what one packet needs, kept so that none allocates. Its Port's mutex guards it.
type sender struct {
	fd       int
	protocol uint8 // in the header of IPv4
	frame    []byte
	oob      []byte
	to4      unix.SockaddrInet4
	to6      unix.SockaddrInet6
}

func newSender(protocol uint8) sender {
	s := sender{
		fd:       -1,
		protocol: protocol,
		frame:    make([]byte, 0, packet.IPv4HeaderLen+packet.MaxLen),
		oob:      make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo)+unix.CmsgSpace(4)),
	}
	// Two control messages: the source with the interface, and the hop limit.
	h := unix.CmsgLen(unix.SizeofInet6Pktinfo)
	putCmsg(s.oob, h, unix.IPV6_PKTINFO)
	putCmsg(s.oob[unix.CmsgSpace(unix.SizeofInet6Pktinfo):], unix.CmsgLen(4), unix.IPV6_HOPLIMIT)
	return s
}

// putCmsg writes the header of a control message of IPv6; its length field is as wide as a machine word.
func putCmsg(b []byte, length, kind int) {
	at := unix.CmsgLen(0) - 8
	if at == 8 {
		binary.NativeEndian.PutUint64(b, uint64(length))
	} else {
		binary.NativeEndian.PutUint32(b, uint32(length))
	}
	binary.NativeEndian.PutUint32(b[at:], unix.IPPROTO_IPV6)
	binary.NativeEndian.PutUint32(b[at+4:], uint32(kind))
}

func (e Envelope) ttl() int {
	if e.TTL <= 0 {
		return defaultTTL
	}
	return min(e.TTL, 255)
}

func (e Envelope) flags() int {
	if e.Destination.IsMulticast() {
		return unix.MSG_DONTWAIT | unix.MSG_DONTROUTE
	}
	return unix.MSG_DONTWAIT // a peer may be behind a router
}

func (s *sender) send4(e Envelope, payload []byte) error {
	s.frame = packet.AppendIPv4(s.frame[:0], e.Source, e.Destination, len(payload))
	s.frame[8], s.frame[9] = byte(e.ttl()), s.protocol
	binary.BigEndian.PutUint16(s.frame[4:], e.ID)
	s.frame = append(s.frame, payload...)
	s.to4.Addr = e.Destination.As4()
	return unix.Sendto(s.fd, s.frame, e.flags(), &s.to4)
}

func (s *sender) send6(e Envelope, index int, payload []byte) error {
	at := unix.CmsgLen(0)
	source := e.Source.As16()
	copy(s.oob[at:], source[:])
	zone := uint32(0)
	if local(e.Destination) {
		zone = uint32(index)
	}
	binary.NativeEndian.PutUint32(s.oob[at+16:], uint32(index))
	binary.NativeEndian.PutUint32(s.oob[unix.CmsgSpace(unix.SizeofInet6Pktinfo)+at:], uint32(e.ttl()))
	s.to6.Addr, s.to6.ZoneId = e.Destination.As16(), zone
	_, err := unix.SendmsgN(s.fd, payload, s.oob, &s.to6, e.flags())
	return err
}

// local: the address means something on one link only.
func local(a netip.Addr) bool { return a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() }
