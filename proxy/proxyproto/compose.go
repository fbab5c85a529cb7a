package proxyproto

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// MaxComposed is the longest header that Append1 and Append2 make.
const MaxComposed = MaxV1

// Append1 adds a header of version 1 for a connection of src to dst. It is UNKNOWN where one of them is none.
func Append1(b []byte, src, dst netip.AddrPort) []byte {
	if !src.IsValid() || !dst.IsValid() {
		return append(b, "PROXY UNKNOWN\r\n"...)
	}
	s, d := src.Addr().Unmap(), dst.Addr().Unmap()
	if s.Is4() && d.Is4() {
		b = append(b, "PROXY TCP4 "...)
	} else {
		b = append(b, "PROXY TCP6 "...)
		s, d = six(s), six(d)
	}
	b = s.AppendTo(b)
	b = append(b, ' ')
	b = d.AppendTo(b)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(src.Port()), 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(dst.Port()), 10)
	return append(b, '\r', '\n')
}

// six is an address as one of IPv6, without a zone: a header has one family for both of its addresses.
func six(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }

// Append2 adds a header of version 2 for src's connection (or, with dgram, datagram) to dst. Where one of them is none the
// command is LOCAL: the proxy speaks for itself.
func Append2(b []byte, src, dst netip.AddrPort, dgram bool) []byte {
	b = append(b, signature...)
	if !src.IsValid() || !dst.IsValid() {
		return append(b, local2, 0, 0, 0)
	}
	protocol := byte(stream)
	if dgram {
		protocol = datagram
	}
	s, d := src.Addr().Unmap(), dst.Addr().Unmap()
	if s.Is4() && d.Is4() {
		b = append(b, proxy2, inet<<4|protocol, 0, lenInet)
		four, other := s.As4(), d.As4()
		b = append(append(b, four[:]...), other[:]...)
	} else {
		b = append(b, proxy2, inet6<<4|protocol, 0, lenInet6)
		sixteen, other := s.As16(), d.As16()
		b = append(append(b, sixteen[:]...), other[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, src.Port())
	return binary.BigEndian.AppendUint16(b, dst.Port())
}
