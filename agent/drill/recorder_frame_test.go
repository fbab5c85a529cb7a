package drill

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// kind is what a recorded frame is for.
type kind string

const (
	kindAdvert  kind = "advert"
	kindZero    kind = "advert of priority 0"
	kindRequest kind = "arp request"
	kindReply   kind = "arp reply"
	kindNA      kind = "neighbour advertisement"
	kindJoin    kind = "join"
	kindLeave   kind = "leave"
)

// frame is one frame as the wire had it. It is decoded here by hand, from the RFCs' figures alone: it judges the codec that
// the daemon uses, and so must not share it.
type frame struct {
	at     time.Time
	host   string // whose interface sent it
	kind   kind
	ethSrc [6]byte
	ethDst [6]byte

	// The IP header; the zero values for ARP.
	src, dst netip.Addr
	tos, ttl uint8
	dontFrag bool
	ah       bool // an authentication header stands before the advert
	id       uint16
	spi      netip.Addr
	sequence uint32

	// VRRP.
	version, vrid, priority uint8
	authType                uint8
	auth                    string
	interval                time.Duration
	addrs                   []netip.Addr
	broken                  []string // what is wrong with the frame: checksums, lengths

	// ARP, and neighbour advertisements (which have flags in place of an operation).
	op               uint16
	sender, target   netip.Addr
	senderHW, targHW [6]byte

	group netip.Addr // of a join or leave
}

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	protoIGMP   = 2
	protoAH     = 51
	protoICMPv6 = 58
	protoVRRP   = 112
)

// decodeFrame reads an Ethernet frame. It says false for what has nothing to do with VRRP.
func decodeFrame(b []byte) (frame, bool) {
	var f frame
	if len(b) < 14 {
		return f, false
	}
	copy(f.ethDst[:], b)
	copy(f.ethSrc[:], b[6:])
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherIPv4:
		return f, f.ipv4(b[14:])
	case etherIPv6:
		return f, f.ipv6(b[14:])
	case etherARP:
		return f, f.arp(b[14:])
	}
	return f, false
}

// ipv4 reads RFC 791's header.
func (f *frame) ipv4(b []byte) bool {
	if len(b) < 20 || b[0]>>4 != 4 {
		return false
	}
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < 20 || head > total || total > len(b) {
		return false
	}
	f.tos, f.ttl, f.dontFrag = b[1], b[8], b[6]&0x40 != 0
	f.src, f.dst = addr4(b[12:]), addr4(b[16:])
	if sum(0, b[:head]) != 0xffff {
		f.fault("IP checksum")
	}
	payload := b[head:total]
	switch b[9] {
	case protoVRRP:
		return f.vrrp(payload)
	case protoAH:
		f.id = binary.BigEndian.Uint16(b[4:])
		return f.authHeader(b[:head], payload)
	case protoIGMP:
		return f.igmp(payload)
	}
	return false
}

// authHeader reads RFC 4302's header behind an IP header, and what it protects. The ICV is HMAC-MD5-96 with the password of
// all labs; RFC 4302 leaves out the TTL, keepalived by unicast only.
func (f *frame) authHeader(ip, b []byte) bool {
	const fixed, whole = 12, 24
	if len(b) < whole || b[0] != protoVRRP {
		return false
	}
	f.ah, f.spi, f.sequence = true, addr4(b[4:]), binary.BigEndian.Uint32(b[8:])
	if n := (int(b[1]) + 2) * 4; n != whole {
		f.fault(fmt.Sprintf("%d bytes of authentication header", n))
	}
	if b[2] != 0 || b[3] != 0 {
		f.fault("reserved bytes of the authentication header")
	}
	covered := slices.Concat(ip, b)
	covered[1], covered[6], covered[7], covered[10], covered[11] = 0, 0, 0, 0, 0
	if !f.dst.IsMulticast() {
		covered[8] = 0
	}
	clear(covered[len(ip)+fixed : len(ip)+whole])
	mac := hmac.New(md5.New, []byte("test"))
	mac.Write(covered)
	if !hmac.Equal(mac.Sum(nil)[:whole-fixed], b[fixed:whole]) {
		f.fault("ICV")
	}
	return f.vrrp(b[whole:])
}

// ipv6 reads RFC 8200's header, and a hop-by-hop header where MLD has one.
func (f *frame) ipv6(b []byte) bool {
	if len(b) < 40 || b[0]>>4 != 6 {
		return false
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if 40+n > len(b) {
		return false
	}
	f.tos, f.ttl = b[0]<<4|b[1]>>4, b[7]
	f.src, f.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	next, payload := b[6], b[40:40+n]
	if next == 0 && len(payload) >= 8 {
		skip := (int(payload[1]) + 1) * 8
		if skip > len(payload) {
			return false
		}
		next, payload = payload[0], payload[skip:]
	}
	switch next {
	case protoVRRP:
		return f.vrrp(payload)
	case protoICMPv6:
		return f.icmp6(payload)
	}
	return false
}

// vrrp reads RFC 3768's and RFC 5798's advert.
func (f *frame) vrrp(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	f.kind = kindAdvert
	f.version, f.vrid, f.priority = b[0]>>4, b[1], b[2]
	if b[2] == 0 {
		f.kind = kindZero
	}
	if b[0]&15 != 1 {
		f.fault(fmt.Sprintf("type %d", b[0]&15))
	}
	size := 4
	if f.src.Is6() {
		size = 16
	}
	rest := b[8:]
	for range int(b[3]) {
		if len(rest) < size {
			f.fault("short list")
			break
		}
		a, _ := netip.AddrFromSlice(rest[:size])
		f.addrs, rest = append(f.addrs, a), rest[size:]
	}
	pseudo := uint32(0)
	if f.version == 2 {
		f.authType, f.interval = b[4], time.Duration(b[5])*time.Second
		if len(rest) != 8 {
			f.fault("no room of 8 for authentication")
		}
		f.auth, rest = strings.TrimRight(string(rest), "\x00"), nil
	} else {
		f.interval = time.Duration(binary.BigEndian.Uint16(b[4:])&0xfff) * 10 * time.Millisecond
		if b[4]>>4 != 0 {
			f.fault("reserved bits")
		}
		pseudo = f.pseudo(protoVRRP, len(b))
	}
	if len(rest) != 0 {
		f.fault(fmt.Sprintf("%d bytes too many", len(rest)))
	}
	if sum(pseudo, b) != 0xffff {
		f.fault("checksum")
	}
	return true
}

// arp reads RFC 826's packet for IPv4 on Ethernet.
func (f *frame) arp(b []byte) bool {
	if len(b) < 28 || binary.BigEndian.Uint64(b[:8])>>16 != 0x0001_0800_0604 {
		return false
	}
	f.op = binary.BigEndian.Uint16(b[6:])
	copy(f.senderHW[:], b[8:])
	copy(f.targHW[:], b[18:])
	f.sender, f.target = addr4(b[14:]), addr4(b[24:])
	f.kind = kindRequest
	if f.op == 2 {
		f.kind = kindReply
	}
	return f.op == 1 || f.op == 2
}

// icmp6 reads neighbour advertisements (RFC 4861) and MLDv2 reports (RFC 3810).
func (f *frame) icmp6(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	if sum(f.pseudo(protoICMPv6, len(b)), b) != 0xffff {
		f.fault("checksum")
	}
	switch b[0] {
	case 136:
		if len(b) < 24 {
			return false
		}
		f.kind, f.op = kindNA, uint16(b[4])
		f.target = netip.AddrFrom16([16]byte(b[8:24]))
		if o := b[24:]; len(o) >= 8 && o[0] == 2 {
			copy(f.targHW[:], o[2:])
		}
		return true
	case 143:
		n, rest := int(binary.BigEndian.Uint16(b[6:])), b[8:]
		for range n {
			if len(rest) < 20 {
				return false
			}
			size := 20 + int(binary.BigEndian.Uint16(rest[2:]))*16 + int(rest[1])*4
			if f.report(rest[0], netip.AddrFrom16([16]byte(rest[4:20]))) || size > len(rest) {
				break
			}
			rest = rest[size:]
		}
		return f.kind != ""
	}
	return false
}

// igmp reads reports of IGMPv3 (RFC 3376) and of its ancestors.
func (f *frame) igmp(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	switch b[0] {
	case 0x16:
		return f.report(4, addr4(b[4:]))
	case 0x17:
		return f.report(3, addr4(b[4:]))
	case 0x22:
		n, rest := int(binary.BigEndian.Uint16(b[6:])), b[8:]
		for range n {
			if len(rest) < 8 {
				return false
			}
			size := 8 + int(binary.BigEndian.Uint16(rest[2:]))*4 + int(rest[1])*4
			if f.report(rest[0], addr4(rest[4:])) || size > len(rest) {
				break
			}
			rest = rest[size:]
		}
		return f.kind != ""
	}
	return false
}

// report notes one record of a report; false if its group is another's. Types 2 and 4 join, 1 and 3 (with no source) leave.
func (f *frame) report(record byte, group netip.Addr) bool {
	if group != netip.AddrFrom4([4]byte{224, 0, 0, 18}) && group != netip.MustParseAddr("ff02::12") {
		return false
	}
	f.group, f.kind = group, kindLeave
	if record == 2 || record == 4 {
		f.kind = kindJoin
	}
	return true
}

func (f *frame) fault(what string) { f.broken = append(f.broken, what) }

// pseudo is the sum over the pseudo-header of either family.
func (f *frame) pseudo(proto uint8, length int) uint32 {
	s, d := f.src.AsSlice(), f.dst.AsSlice()
	all := append(slices.Clone(s), d...)
	all = binary.BigEndian.AppendUint32(all, uint32(length))
	all = append(all, 0, 0, 0, proto)
	return partial(0, all)
}

// sum is RFC 1071's, folded: 0xffff over something with its right checksum inside.
func sum(start uint32, b []byte) uint16 {
	s := partial(start, b)
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func partial(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func addr4(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b[:4])) }

// about says whether the frame concerns VRRP or one of these addresses: what a host asks for its own sake does not.
func (f *frame) about(virtual []netip.Addr) bool {
	switch f.kind {
	case kindRequest, kindReply:
		return slices.Contains(virtual, f.sender) || slices.Contains(virtual, f.target)
	case kindNA:
		return slices.Contains(virtual, f.target)
	}
	return true
}

// names tells whose an address is: addresses of hosts and of their interfaces differ from lab to lab, who they are does not.
type names struct {
	hw map[[6]byte]string
	ip map[netip.Addr]string
}

func (n names) mac(a [6]byte) string {
	if who := n.hw[a]; who != "" {
		return who
	}
	if a == [6]byte{255, 255, 255, 255, 255, 255} {
		return "broadcast"
	}
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5])
}

func (n names) addr(a netip.Addr) string {
	if who := n.ip[a]; who != "" {
		return who
	}
	return a.String()
}

// line is all that is compared of a frame, which is all but its time.
func (f *frame) line(n names) string {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	put("%s", f.kind)
	put(" %s>%s", n.mac(f.ethSrc), n.mac(f.ethDst))
	switch f.kind {
	case kindAdvert, kindZero:
		put(" %s>%s tos=%02x ttl=%d df=%t", n.addr(f.src), n.addr(f.dst), f.tos, f.ttl, f.dontFrag)
		put(" v%d vrid=%d prio=%d int=%v", f.version, f.vrid, f.priority, f.interval)
		if f.version == 2 {
			put(" auth=%d:%q", f.authType, f.auth)
		}
		if f.ah {
			put(" ah spi=%s", n.addr(f.spi)) // the numbers are looked at by play.sealed
		}
		put(" vips=%v", f.addrs)
	case kindRequest, kindReply:
		put(" %s(%s) to %s(%s)", n.addr(f.sender), n.mac(f.senderHW), n.addr(f.target), n.mac(f.targHW))
	case kindNA:
		put(" %s>%s hl=%d flags=%02x target=%s(%s)", n.addr(f.src), n.addr(f.dst), f.ttl, f.op, n.addr(f.target), n.mac(f.targHW))
	case kindJoin, kindLeave:
		return fmt.Sprintf("%s %s", f.kind, f.group)
	}
	if len(f.broken) > 0 {
		put(" BROKEN: %s", strings.Join(f.broken, ", "))
	}
	return b.String()
}
