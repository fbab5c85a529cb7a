// Package proxyproto reads and writes the header of the PROXY protocol (proxy-protocol.txt of HAProxy, 2020/03/05): the
// first bytes of a connection, in which a proxy says for whom it speaks. It is a pure core: bytes in, bytes out, no
// allocation, and nothing is read beyond the header.
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"unsafe"
)

const (
	// MaxV1 is the longest header of version 1, its CRLF included (section 2.1).
	MaxV1 = 107
	// MaxV2 is the longest header of version 2 that is read. The format allows 65,551 bytes; more than this is no sender
	// of good will.
	MaxV2 = 16384
)

// signature begins a header of version 2; no line of text has it (section 2.2).
const signature = "\r\n\r\n\x00\r\nQUIT\n"

const (
	prefix1 = "PROXY "
	fixed2  = len(signature) + 4 // version and command, family and protocol, length
)

// Fault says what is wrong with a header. None and Incomplete are no faults of the sender.
type Fault uint8

// The faults.
const (
	None       Fault = iota
	Incomplete       // good so far
	NoHeader         // the first bytes are those of another protocol
	BadLine          // version 1: malformed
	BadVersion       // version 2: another version or an unknown command
	BadFamily        // version 2: the address is shorter than its family's, or the protocol is unknown
	BadTLV           // version 2: an extension leaves its header
	BadSum           // version 2: the CRC32C is another
	TooLong
)

var faultTexts = [...]string{"good", "incomplete", "no PROXY header", "malformed PROXY line", "unknown version or command of the PROXY header",
	"malformed address in the PROXY header", "malformed extension in the PROXY header", "wrong checksum of the PROXY header", "PROXY header too long"}

// String implements fmt.Stringer.
func (f Fault) String() string { return faultTexts[f] }

// Header is what a header says.
type Header struct {
	Version int // 1 or 2
	// Local: the proxy speaks for itself (LOCAL) or does not know for whom (UNKNOWN, UNSPEC, a Unix socket): the
	// connection's own addresses count. Source and Dest are not valid then.
	Local        bool
	Datagram     bool // the client speaks UDP
	Unix         bool // it is on a Unix socket, whose path is passed over
	Source, Dest netip.AddrPort
	// Of version 2's extensions, parts of the input: empty where they are missing.
	UniqueID, Authority []byte
}

// Parse reads the header at the head of b and tells how many bytes it takes. It is None when the header is good and
// complete; with Incomplete more bytes are needed.
func Parse(b []byte, h *Header) (n int, f Fault) {
	*h = Header{}
	if k := min(len(b), len(signature)); string(b[:k]) == signature[:k] {
		return parse2(b, h)
	}
	if k := min(len(b), len(prefix1)); string(b[:k]) == prefix1[:k] {
		return parse1(b, h)
	}
	return 0, NoHeader
}

// parse1 reads "PROXY TCP4 SRC DST SPORT DPORT\r\n"; addresses and ports must stand in their one canonical form.
func parse1(b []byte, h *Header) (int, Fault) {
	end := bytes.IndexByte(b[:min(len(b), MaxV1)], '\n')
	switch {
	case end < 0 && len(b) >= MaxV1:
		return 0, TooLong
	case end < 0:
		return 0, Incomplete
	case end < len(prefix1)+1 || b[end-1] != '\r':
		return 0, BadLine
	}
	h.Version = 1
	family, rest, more := bytes.Cut(b[len(prefix1):end-1], []byte{' '})
	switch string(family) {
	case "UNKNOWN":
		h.Local = true
		return end + 1, None
	case "TCP4", "TCP6":
	default:
		return 0, BadLine
	}
	var fields [4][]byte
	for i := range fields {
		if !more {
			return 0, BadLine
		}
		fields[i], rest, more = bytes.Cut(rest, []byte{' '})
	}
	src, ok1 := addr1(fields[0], family[3] == '4')
	dst, ok2 := addr1(fields[1], family[3] == '4')
	sport, ok3 := port1(fields[2])
	dport, ok4 := port1(fields[3])
	if more || !ok1 || !ok2 || !ok3 || !ok4 {
		return 0, BadLine
	}
	h.Source, h.Dest = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return end + 1, None
}

func addr1(b []byte, four bool) (netip.Addr, bool) {
	if len(b) == 0 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(unsafe.String(&b[0], len(b))) // which keeps nothing of a text that is good
	if err != nil || a.Is4() != four || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// port1 reads 0..65535 without a leading zero.
func port1(b []byte) (uint16, bool) {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || len(b) > 5 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return uint16(n), len(b) > 0 && n <= 65535 && (b[0] != '0' || len(b) == 1)
}

// Version 2: the byte of version and command, and the nibbles of family and protocol.
const (
	local2, proxy2         = 0x20, 0x21
	unspec, inet, inet6    = 0x0, 0x1, 0x2
	unix                   = 0x3
	stream, datagram       = 0x1, 0x2
	lenInet, lenInet6      = 12, 36
	lenUnix                = 216
	typeAuthority, typeCRC = 0x02, 0x03
	typeUniqueID           = 0x05
	maxUniqueID            = 128
)

func parse2(b []byte, h *Header) (int, Fault) {
	if len(b) < fixed2 {
		return 0, Incomplete
	}
	if b[12] != local2 && b[12] != proxy2 {
		return 0, BadVersion
	}
	n := fixed2 + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case n > MaxV2:
		return 0, TooLong
	case len(b) < n:
		return 0, Incomplete
	}
	h.Version = 2
	b = b[:n]
	if b[12] == local2 { // whatever else it says is to be passed over
		h.Local = true
		return n, None
	}
	at, ok := address2(b, h)
	if !ok {
		return 0, BadFamily
	}
	if f := extensions(b, at, h); f != None {
		return 0, f
	}
	return n, None
}

// address2 reads the addresses and tells where they end.
func address2(b []byte, h *Header) (at int, ok bool) {
	family, protocol, body := b[13]>>4, b[13]&15, b[fixed2:]
	if protocol > datagram || family > unix {
		return 0, false
	}
	h.Datagram = protocol == datagram
	be := binary.BigEndian
	switch {
	case family == unspec || protocol == 0:
		h.Local = true
		return len(b), true // nobody knows how long the addresses are
	case family == inet && len(body) >= lenInet:
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[0:4])), be.Uint16(body[8:]))
		h.Dest = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[4:8])), be.Uint16(body[10:]))
		return fixed2 + lenInet, true
	case family == inet6 && len(body) >= lenInet6:
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[0:16])).Unmap(), be.Uint16(body[32:]))
		h.Dest = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[16:32])).Unmap(), be.Uint16(body[34:]))
		return fixed2 + lenInet6, true
	case family == unix && len(body) >= lenUnix:
		h.Local, h.Unix = true, true
		return fixed2 + lenUnix, true
	}
	return 0, false
}

// extensions reads the type-length-values behind the addresses. Unknown ones are passed over.
func extensions(b []byte, at int, h *Header) Fault {
	for at < len(b) {
		if len(b)-at < 3 {
			return BadTLV
		}
		value := at + 3
		end := value + int(binary.BigEndian.Uint16(b[at+1:]))
		if end > len(b) {
			return BadTLV
		}
		switch b[at] {
		case typeAuthority:
			h.Authority = b[value:end]
		case typeUniqueID:
			if end-value > maxUniqueID {
				return BadTLV
			}
			h.UniqueID = b[value:end]
		case typeCRC:
			if end-value != 4 {
				return BadTLV
			}
			if sum(b, value) != binary.BigEndian.Uint32(b[value:]) {
				return BadSum
			}
		}
		at = end
	}
	return None
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the CRC32C of a header with zeros in the place of the checksum itself (section 2.2.3).
func sum(b []byte, at int) uint32 {
	var zeros [4]byte
	crc := crc32.Update(0, castagnoli, b[:at])
	crc = crc32.Update(crc, castagnoli, zeros[:])
	return crc32.Update(crc, castagnoli, b[at+4:])
}
