package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Numbers of the wire format (RFC 3768 section 5.3) and of the IP header around it.
const (
	Version       = 2
	TypeAdvert    = 1   // the only type there is, section 5.3.2
	Protocol      = 112 // section 5.2.4
	TTL           = 255 // section 5.2.3: a packet that was routed is refused
	PriorityOwner = 255 // section 5.3.4: the router that owns the addresses
	PriorityStop  = 0   // section 5.3.4: the master stops taking part

	headerLen = 8
	authLen   = 8
	// MaxAddresses is how many addresses the count can tell.
	MaxAddresses = 255
	// MaxLen is the length of the longest advert.
	MaxLen = headerLen + 4*MaxAddresses + authLen
)

// Authentication types (RFC 2338 section 5.3.6).
const (
	AuthNone = 0
	AuthPass = 1
	AuthAH   = 2
)

// Group4 is the multicast group of VRRP over IPv4 (RFC 3768 section 5.2.2).
var Group4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})

// Advert is one VRRPv2 advertisement.
type Advert struct {
	VRID      uint8 // 1..255
	Priority  uint8 // 0 means that the master stops
	AuthType  uint8
	AdvertInt uint8 // seconds
	AuthData  [8]byte
	Addresses []netip.Addr // IPv4, in the order of the configuration
}

// Errors of New and AppendBinary.
var (
	ErrVRID      = errors.New("virtual_router_id must be 1 to 255")
	ErrAdvertInt = errors.New("advert_int must be whole seconds, 1 to 255")
	ErrAddress   = errors.New("not an IPv4 address")
	ErrTooMany   = errors.New("more than 255 addresses")
)

// New makes an advert and checks what the wire can carry. A password (pass != "") makes authentication type PASS; only
// its first eight bytes are used. The addresses are kept, not copied.
func New(vrid int, priority uint8, advertInt time.Duration, pass string, addresses []netip.Addr) (Advert, error) {
	if vrid < 1 || vrid > 255 {
		return Advert{}, fmt.Errorf("advert: %w, not %d", ErrVRID, vrid)
	}
	seconds := advertInt / time.Second
	if advertInt%time.Second != 0 || seconds < 1 || seconds > 255 {
		return Advert{}, fmt.Errorf("advert: %w, not %v", ErrAdvertInt, advertInt)
	}
	a := Advert{VRID: uint8(vrid), Priority: priority, AdvertInt: uint8(seconds), Addresses: addresses}
	if pass != "" {
		a.AuthType = AuthPass
		copy(a.AuthData[:], pass)
	}
	return a, a.check()
}

func (a Advert) check() error {
	if len(a.Addresses) > MaxAddresses {
		return fmt.Errorf("advert: %w: %d", ErrTooMany, len(a.Addresses))
	}
	for _, ip := range a.Addresses {
		if !ip.Is4() {
			return fmt.Errorf("advert: %v: %w", ip, ErrAddress)
		}
	}
	return nil
}

// Len is how many bytes AppendBinary appends.
func (a Advert) Len() int { return headerLen + 4*len(a.Addresses) + authLen }

// AppendBinary appends the advert with its checksum. It allocates nothing when dst has room for Len bytes.
func (a Advert) AppendBinary(dst []byte) ([]byte, error) {
	if err := a.check(); err != nil {
		return dst, err
	}
	at := len(dst)
	dst = append(dst, Version<<4|TypeAdvert, a.VRID, a.Priority, uint8(len(a.Addresses)), a.AuthType, a.AdvertInt, 0, 0)
	for _, ip := range a.Addresses {
		b := ip.As4()
		dst = append(dst, b[:]...)
	}
	dst = append(dst, a.AuthData[:]...)
	binary.BigEndian.PutUint16(dst[at+6:], checksum(dst[at:]))
	return dst, nil
}

// MarshalBinary is AppendBinary to a new slice.
func (a Advert) MarshalBinary() ([]byte, error) { return a.AppendBinary(make([]byte, 0, a.Len())) }

// UnmarshalBinary reads an advert that stands alone: version, type, length and checksum have to be right. The error is
// an *Error. Addresses are read into the slice that a has already, if it has room; nothing of b is kept.
func (a *Advert) UnmarshalBinary(b []byte) error {
	if cause, got, want := structure(b); cause != 0 {
		return &Error{Cause: cause, Got: got, Want: want}
	}
	a.decode(b)
	return nil
}

// decode reads b, whose structure is right.
func (a *Advert) decode(b []byte) {
	n := int(b[3])
	addresses := a.Addresses[:0]
	for i := range n {
		addresses = append(addresses, netip.AddrFrom4([4]byte(b[headerLen+4*i:])))
	}
	*a = Advert{VRID: b[1], Priority: b[2], AuthType: b[4], AdvertInt: b[5], Addresses: addresses}
	copy(a.AuthData[:], b[headerLen+4*n:])
}

// structure checks what needs no configuration; the zero Cause is none.
func structure(b []byte) (cause Cause, got, want int) {
	switch {
	case len(b) < headerLen+authLen:
		return TooShort, len(b), headerLen + authLen
	case b[0]>>4 != Version:
		return WrongVersion, int(b[0] >> 4), Version
	case b[0]&0xf != TypeAdvert:
		return WrongType, int(b[0] & 0xf), TypeAdvert
	}
	want = headerLen + 4*int(b[3]) + authLen
	switch {
	case len(b) < want:
		return TooShort, len(b), want
	case len(b) > want:
		return TooLong, len(b), want
	case checksum(b) != 0:
		return WrongChecksum, int(binary.BigEndian.Uint16(b[6:])), 0
	}
	return 0, 0, 0
}

// VRID tells which virtual router a payload speaks of without judging it; false if it is too short to say.
func VRID(b []byte) (uint8, bool) {
	if len(b) < 2 {
		return 0, false
	}
	return b[1], true
}

// checksum is the one's complement of the one's complement sum (RFC 1071): no pseudo-header in version 2. Over bytes that
// hold their own checksum it is 0.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
