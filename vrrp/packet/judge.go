package packet

import (
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// Datagram is a received VRRP payload with what the IP header told. Payload belongs to the receiver of the packet.
type Datagram struct {
	Source, Destination netip.Addr
	TTL                 uint8      // or hop limit
	AH                  AuthHeader // which the payload came behind, protocol 51
	Payload             []byte
}

// Peer is one of unicast_peer and how far it may be.
type Peer struct {
	Addr           netip.Addr
	MinTTL, MaxTTL uint8 // 0, 255: any
}

func (p *Peer) max() uint8 {
	if p.MaxTTL == 0 {
		return TTL
	}
	return p.MaxTTL
}

// Expect is what an instance's configuration makes of adverts for its virtual router. Make one with Of; a changed one is
// a new one.
type Expect struct {
	Version       uint8
	IPv6          bool // family of the adverts
	AuthType      uint8
	AuthData      [8]byte       // type PASS
	Key           Key           // type AH
	AdvertInt     time.Duration // version 2 refuses another; version 3 learns
	Addresses     []netip.Addr
	SkipAddresses bool // vrrp_skip_check_adv_addr: don't compare the list
	Unicast       bool // unicast_peer is there: adverts are for us alone
	CheckSource   bool // check_unicast_src: only from Peers
	Peers         []Peer
	NoOldChecksum bool       // old_unicast_checksum never
	Group         netip.Addr // of the old checksum; zero: Group4

	sorted []netip.Addr // Addresses, for quick comparison
}

// Judge reads a datagram into a and says what is to be said of it, in keepalived's order of checks; the zero Finding is
// nothing. When the Finding is Refused the packet is to be dropped and a is unchanged, else the advert counts and the
// Finding is a mismatch worth telling. It allocates nothing if a.Addresses has room.
func (e *Expect) Judge(a *Advert, d Datagram) Finding {
	f, old := e.refuse(d)
	if f.Cause != 0 {
		return f
	}
	a.decode(d, old)
	if e.SkipAddresses {
		return Finding{}
	}
	return e.compare(a.Addresses)
}

func (e *Expect) version() uint8 {
	if e.Version == 0 {
		return Version
	}
	return e.Version
}

func (e *Expect) group() netip.Addr {
	if e.Group.IsValid() {
		return e.Group
	}
	return Group4
}

// refuse goes through the checks in keepalived's order.
func (e *Expect) refuse(d Datagram) (f Finding, old bool) {
	b := d.Payload
	if d.Source.IsValid() && d.Source.Is6() != e.IPv6 {
		return Finding{Cause: WrongFamily, Got: family(d.Source.Is6()), Want: family(e.IPv6)}, false
	}
	if d.AH.Present != (e.AuthType == AuthAH) {
		return Finding{Cause: AuthAHeader, Got: presence(d.AH.Present), Want: int(e.AuthType)}, false
	}
	f, old = structure(d, declared(b, e.version()), e.group())
	if (f.Cause == TooShort || f.Cause == TooLong) && (len(b) < headerLen || versioned(b)) {
		return f, false // how long a version that there is not has to be nobody knows
	}
	if !e.Unicast && d.TTL != TTL {
		return Finding{Cause: WrongTTL, Got: int(d.TTL), Want: TTL}, false
	}
	if v := b[0] >> 4; v != e.version() {
		return Finding{Cause: WrongVersion, Got: int(v), Want: int(e.version())}, false
	}
	if e.version() == Version {
		if f := e.refuse2(d); f.Cause != 0 {
			return f, false
		}
	}
	if f.Cause == 0 && old && e.NoOldChecksum {
		f = Finding{Cause: WrongChecksum, Got: int(binary.BigEndian.Uint16(b[6:]))}
	}
	if f.Cause != 0 {
		return f, false
	}
	return e.refuseRoute(d), old
}

func presence(ah bool) int {
	if ah {
		return AuthAH
	}
	return AuthNone
}

func family(six bool) int {
	if six {
		return 6
	}
	return 4
}

// refuse2 is what version 2 alone checks.
func (e *Expect) refuse2(d Datagram) Finding {
	b, mine := d.Payload, int(e.AdvertInt/time.Second)
	switch {
	case b[4] > AuthAH:
		return Finding{Cause: InvalidAuthType, Got: int(b[4])}
	case b[4] != e.AuthType:
		return Finding{Cause: AuthMismatch, Got: int(b[4]), Want: int(e.AuthType)}
	case e.AuthType == AuthPass && subtle.ConstantTimeCompare(b[len(b)-authLen:], e.AuthData[:]) == 0:
		return Finding{Cause: WrongPassword}
	case e.AuthType == AuthAH && !e.Key.opens(d, e.Unicast):
		return Finding{Cause: WrongPassword, Got: AuthAH, Want: AuthAH}
	case e.AuthType == AuthAH && d.AH.SPI != spi(d.Source):
		return Finding{Cause: WrongSPI, Address: d.Source, Other: address(d.AH.SPI)}
	case int(b[5]) != mine:
		return Finding{Cause: IntervalMismatch, Got: int(b[5]), Want: mine}
	}
	return Finding{}
}

func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// refuseRoute looks at how the packet came.
func (e *Expect) refuseRoute(d Datagram) Finding {
	multicast := d.Destination.IsMulticast()
	switch {
	case !e.Unicast && !multicast:
		return Finding{Cause: NotMulticast, Address: d.Destination}
	case !e.Unicast:
		return Finding{}
	case multicast:
		return Finding{Cause: NotUnicast, Address: d.Destination}
	}
	for i := range e.Peers {
		p := &e.Peers[i]
		if p.Addr != d.Source {
			continue
		}
		if most := p.max(); d.TTL < p.MinTTL || d.TTL > most {
			return Finding{Cause: PeerTTL, Got: int(d.TTL), Want: int(p.MinTTL), Max: int(most), Address: d.Source}
		}
		return Finding{}
	}
	if e.CheckSource {
		return Finding{Cause: NotPeer, Address: d.Source}
	}
	return Finding{}
}

// compare tells how a list differs from ours as a set.
func (e *Expect) compare(theirs []netip.Addr) Finding {
	if len(theirs) != len(e.Addresses) {
		return Finding{Cause: CountMismatch, Got: len(theirs), Want: len(e.Addresses)}
	}
	if slices.Equal(theirs, e.Addresses) {
		return Finding{}
	}
	sorted := e.sorted
	if len(sorted) != len(e.Addresses) {
		sorted = sortedSet(e.Addresses)
	}
	var seen [MaxAddresses]bool
	f := Finding{}
	for _, ip := range theirs {
		i, ok := slices.BinarySearchFunc(sorted, ip, netip.Addr.Compare)
		if ok {
			seen[i] = true
		} else if !f.Other.IsValid() {
			f.Other = ip
		}
	}
	for i, ip := range sorted {
		if !seen[i] {
			f.Cause, f.Address = AddressMismatch, ip
			return f
		}
	}
	return Finding{}
}

func sortedSet(all []netip.Addr) []netip.Addr {
	s := slices.Clone(all)
	slices.SortFunc(s, netip.Addr.Compare)
	return slices.Compact(s)
}

// declared is the version by which a payload's length is to be judged: its own if there is such a version, else ours.
func declared(b []byte, ours uint8) uint8 {
	if len(b) > 0 && versioned(b) {
		return b[0] >> 4
	}
	return ours
}

// versioned reports whether there is the version that a payload, which is not empty, says it has.
func versioned(b []byte) bool {
	v := b[0] >> 4
	return v == Version || v == Version3
}

// structure checks what needs no configuration. old: the checksum is right with the multicast group as destination.
func structure(d Datagram, version uint8, group netip.Addr) (f Finding, old bool) {
	b, width, tail := d.Payload, 4, 0
	if d.Source.Is6() {
		width = 16
	}
	if version == Version {
		tail = authLen
	}
	if least := headerLen + tail; len(b) < least {
		return Finding{Cause: TooShort, Got: len(b), Want: least}, false
	}
	want := headerLen + width*int(b[3]) + tail
	switch kind := b[0] & 0xf; {
	case len(b) < want:
		return Finding{Cause: TooShort, Got: len(b), Want: want}, false
	case len(b) > want:
		return Finding{Cause: TooLong, Got: len(b), Want: want}, false
	case b[0]>>4 != version:
		return Finding{Cause: WrongVersion, Got: int(b[0] >> 4), Want: int(version)}, false
	case kind != TypeAdvert:
		return Finding{Cause: WrongType, Got: int(kind), Want: TypeAdvert}, false
	}
	sum := add(b)
	good := fold(sum) == 0
	if version == Version3 {
		good = fold(sum+pseudo(d.Source, d.Destination, len(b))) == 0
		if !good && d.Source.Is4() && !d.Destination.IsMulticast() {
			old = fold(sum+pseudo(d.Source, group, len(b))) == 0
			good = old
		}
	}
	if !good {
		return Finding{Cause: WrongChecksum, Got: int(binary.BigEndian.Uint16(b[6:]))}, false
	}
	return Finding{}, old
}
