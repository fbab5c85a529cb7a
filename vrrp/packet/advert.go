package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Numbers of the wire format (RFC 3768 section 5.3, RFC 9568 section 5.2) and of the IP header around it.
const (
	Version       = 2
	Version3      = 3
	TypeAdvert    = 1   // the only type there is
	Protocol      = 112 // RFC 9568 section 5.1.1.4
	ProtocolAH    = 51  // RFC 4302: IPsec's authentication header, in front of adverts of authentication type AH
	TTL           = 255 // RFC 9568 section 5.1.1.3: a packet that was routed is refused
	PriorityOwner = 255 // RFC 9568 section 5.2.4: the router that owns the addresses
	PriorityStop  = 0   // RFC 9568 section 5.2.4: the master stops taking part

	headerLen = 8
	authLen   = 8
	// MaxAddresses is how many addresses the count can tell.
	MaxAddresses = 255
	// MaxLen is the length of the longest advert, one of version 3 over IPv6.
	MaxLen = headerLen + 16*MaxAddresses
	// MaxAdvertInt3 is the longest interval that version 3's twelve bits can tell.
	MaxAdvertInt3 = 4095 * centisecond

	centisecond = 10 * time.Millisecond
)

// Authentication types (RFC 2338 section 5.3.6).
const (
	AuthNone = 0
	AuthPass = 1
	AuthAH   = 2
)

// The multicast groups of VRRP (RFC 9568 sections 5.1.1.2 and 5.1.2.2).
var (
	Group4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	Group6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x12})
)

// Advert is one VRRP advertisement of either version.
type Advert struct {
	Version   uint8         // 2 or 3
	VRID      uint8         // 1..255
	Priority  uint8         // 0 means that the master stops
	AuthType  uint8         // version 2
	AdvertInt time.Duration // version 2: whole seconds, 1 to 255; version 3: centiseconds, 0.01 s to 40.95 s
	AuthData  [8]byte       // version 2
	Addresses []netip.Addr  // of one family, in the order of the configuration; version 2: IPv4
	// OldChecksum: version 3 by unicast over IPv4 with the multicast group in the pseudo-header.
	OldChecksum bool
	// Group is that multicast group; zero: Group4.
	Group netip.Addr
}

// Errors of New, New3 and Append.
var (
	ErrVRID       = errors.New("virtual_router_id must be 1 to 255")
	ErrAdvertInt  = errors.New("advert_int must be whole seconds, 1 to 255")
	ErrAdvertInt3 = errors.New("advert_int of version 3 must be 0.01 to 40.95 seconds")
	ErrAddress    = errors.New("not an address of the advert's family")
	ErrTooMany    = errors.New("more than 255 addresses")
	ErrVersion    = errors.New("vrrp_version must be 2 or 3")
)

// New makes an advert of version 2 and checks what the wire can carry. A password (pass != "") makes authentication type
// PASS; only its first eight bytes are used. The addresses are kept, not copied.
func New(vrid int, priority uint8, advertInt time.Duration, pass string, addresses []netip.Addr) (Advert, error) {
	if vrid < 1 || vrid > 255 {
		return Advert{}, fmt.Errorf("advert: %w, not %d", ErrVRID, vrid)
	}
	a := Advert{Version: Version, VRID: uint8(vrid), Priority: priority, AdvertInt: advertInt, Addresses: addresses}
	if pass != "" {
		a.AuthType = AuthPass
		copy(a.AuthData[:], pass)
	}
	return a, a.check(false)
}

// New3 makes an advert of version 3 over IPv4 or IPv6 and checks what the wire can carry. What is less than a centisecond
// of advertInt is cut off. The addresses are kept, not copied.
func New3(vrid int, priority uint8, advertInt time.Duration, addresses []netip.Addr) (Advert, error) {
	if vrid < 1 || vrid > 255 {
		return Advert{}, fmt.Errorf("advert: %w, not %d", ErrVRID, vrid)
	}
	a := Advert{
		Version: Version3, VRID: uint8(vrid), Priority: priority, Addresses: addresses,
		AdvertInt: advertInt - advertInt%centisecond,
	}
	return a, a.check(len(addresses) > 0 && addresses[0].Is6())
}

func (a *Advert) check(six bool) error {
	switch seconds := a.AdvertInt / time.Second; {
	case a.Version != Version && a.Version != Version3:
		return fmt.Errorf("advert: %w, not %d", ErrVersion, a.Version)
	case a.Version == Version && (a.AdvertInt%time.Second != 0 || seconds < 1 || seconds > 255):
		return fmt.Errorf("advert: %w, not %v", ErrAdvertInt, a.AdvertInt)
	case a.Version == Version3 && (a.AdvertInt < centisecond || a.AdvertInt > MaxAdvertInt3):
		return fmt.Errorf("advert: %w, not %v", ErrAdvertInt3, a.AdvertInt)
	case len(a.Addresses) > MaxAddresses:
		return fmt.Errorf("advert: %w: %d", ErrTooMany, len(a.Addresses))
	}
	for _, ip := range a.Addresses {
		if ip.Is4() == six || !ip.IsValid() || six && a.Version == Version {
			return fmt.Errorf("advert: %v: %w", ip, ErrAddress)
		}
	}
	return nil
}

// Len is how many bytes Append appends.
func (a *Advert) Len() int {
	if a.Version == Version {
		return headerLen + 4*len(a.Addresses) + authLen
	}
	n := headerLen
	for i := range a.Addresses {
		n += a.Addresses[i].BitLen() / 8
	}
	return n
}

// Append appends the advert with its checksum, which in version 3 covers where the advert comes from and goes to: source
// tells the family (version 2 looks at neither). It allocates nothing when dst has room for Len bytes.
func (a *Advert) Append(dst []byte, source, destination netip.Addr) ([]byte, error) {
	if err := a.check(a.Version == Version3 && source.Is6()); err != nil {
		return dst, err
	}
	at := len(dst)
	dst = append(dst, a.Version<<4|TypeAdvert, a.VRID, a.Priority, uint8(len(a.Addresses)))
	if a.Version == Version {
		dst = append(dst, a.AuthType, uint8(a.AdvertInt/time.Second), 0, 0)
	} else {
		dst = binary.BigEndian.AppendUint16(dst, uint16(a.AdvertInt/centisecond))
		dst = append(dst, 0, 0)
	}
	for _, ip := range a.Addresses {
		if ip.Is4() {
			b := ip.As4()
			dst = append(dst, b[:]...)
		} else {
			b := ip.As16()
			dst = append(dst, b[:]...)
		}
	}
	var sum uint32
	if a.Version == Version {
		dst = append(dst, a.AuthData[:]...)
	} else {
		if a.OldChecksum && source.Is4() {
			destination = a.group()
		}
		sum = pseudo(source, destination, len(dst)-at)
	}
	binary.BigEndian.PutUint16(dst[at+6:], fold(sum+add(dst[at:])))
	return dst, nil
}

func (a *Advert) group() netip.Addr {
	if a.Group.IsValid() {
		return a.Group
	}
	return Group4
}

// MarshalBinary is Append of an advert of version 2 to a new slice.
func (a *Advert) MarshalBinary() ([]byte, error) {
	if a.Version != Version {
		return nil, fmt.Errorf("advert: only version 2 can be written without source and destination: %w", ErrVersion)
	}
	return a.Append(make([]byte, 0, a.Len()), netip.Addr{}, netip.Addr{})
}

// Read reads an advert of either version without expecting anything: version, type, length and checksum have to be right,
// else the error is a Finding. Addresses are read into the slice that a has already, if it has room; nothing of d is kept.
func (a *Advert) Read(d Datagram) error {
	f, old := structure(d, declared(d.Payload, Version), a.group())
	if f.Cause != 0 {
		return f
	}
	a.decode(d, old)
	return nil
}

// decode reads a payload whose structure is right.
func (a *Advert) decode(d Datagram, old bool) {
	b := d.Payload
	next := Advert{
		Version: b[0] >> 4, VRID: b[1], Priority: b[2], Addresses: a.Addresses[:0], OldChecksum: old, Group: a.Group,
	}
	at := headerLen
	for range b[3] {
		if d.Source.Is4() {
			next.Addresses = append(next.Addresses, netip.AddrFrom4([4]byte(b[at:])))
			at += 4
		} else {
			next.Addresses = append(next.Addresses, netip.AddrFrom16([16]byte(b[at:])))
			at += 16
		}
	}
	if next.Version == Version {
		next.AuthType, next.AdvertInt = b[4], time.Duration(b[5])*time.Second
		copy(next.AuthData[:], b[at:])
	} else {
		next.AdvertInt = interval3(b)
	}
	*a = next
}

// interval3 is version 3's Max Advertise Interval.
func interval3(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint16(b[4:])&0xfff) * centisecond
}

// VRID tells which virtual router a payload speaks of without judging it; false if it is too short to say.
func VRID(b []byte) (uint8, bool) {
	if len(b) < 2 {
		return 0, false
	}
	return b[1], true
}

// add is the one's complement sum of RFC 1071, not folded yet.
func add(b []byte) (sum uint32) {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// pseudo is the sum of the pseudo-header of either family (RFC 793 section 3.1, RFC 8200 section 8.1).
func pseudo(source, destination netip.Addr, length int) uint32 {
	sum := uint32(Protocol) + uint32(length)
	for _, ip := range [2]netip.Addr{source, destination} {
		if ip.Is4() {
			b := ip.As4()
			sum += add(b[:])
		} else {
			b := ip.As16()
			sum += add(b[:])
		}
	}
	return sum
}

// fold makes a checksum of a sum. Over bytes that hold their own checksum it is 0.
func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
