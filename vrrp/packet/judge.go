package packet

import (
	"crypto/subtle"
	"net/netip"
	"slices"
)

// Datagram is a received VRRP payload with what the IP header told. Payload belongs to the receiver of the packet.
type Datagram struct {
	Source, Destination netip.Addr
	TTL                 uint8
	Payload             []byte
}

// Expect is what an instance's configuration makes of adverts for its virtual router.
type Expect struct {
	AuthType      uint8
	AuthData      [8]byte
	AdvertInt     uint8 // seconds
	Addresses     []netip.Addr
	SkipAddresses bool // vrrp_skip_check_adv_addr: don't compare the list
}

// Judge reads a datagram into a and says whether it is a good advert, in keepalived's order of checks. err is an *Error
// and the packet is to be dropped, a is then unchanged; warn is a mismatch that is worth telling though the advert is good.
// It allocates nothing for a good advert if a.Addresses has room.
func (e *Expect) Judge(a *Advert, d Datagram) (warn *Error, err error) {
	if refused := e.refuse(d); refused != nil {
		return nil, refused
	}
	a.decode(d.Payload)
	if e.SkipAddresses {
		return nil, nil
	}
	return e.compare(a.Addresses), nil
}

func (e *Expect) refuse(d Datagram) error {
	b := d.Payload
	cause, got, want := structure(b)
	// Length comes before all else, and a version 3 packet is told by its version although its length is another.
	if cause == TooShort || cause == TooLong {
		return &Error{cause, got, want, netip.Addr{}}
	}
	if d.TTL != TTL {
		return &Error{Cause: WrongTTL, Got: int(d.TTL), Want: TTL}
	}
	if cause == WrongVersion {
		return &Error{cause, got, want, netip.Addr{}}
	}
	if err := e.refuseAuth(b); err != nil {
		return err
	}
	if b[5] != e.AdvertInt {
		return &Error{Cause: IntervalMismatch, Got: int(b[5]), Want: int(e.AdvertInt)}
	}
	if cause != 0 {
		return &Error{cause, got, want, netip.Addr{}}
	}
	if !d.Destination.IsMulticast() {
		return &Error{Cause: NotMulticast}
	}
	return nil
}

func (e *Expect) refuseAuth(b []byte) error {
	switch {
	case b[4] > AuthAH:
		return &Error{Cause: InvalidAuthType, Got: int(b[4])}
	case b[4] != e.AuthType:
		return &Error{Cause: AuthMismatch, Got: int(b[4]), Want: int(e.AuthType)}
	case e.AuthType == AuthPass && subtle.ConstantTimeCompare(b[len(b)-authLen:], e.AuthData[:]) == 0:
		return &Error{Cause: WrongPassword}
	}
	return nil
}

// compare tells how a list differs from ours, order aside.
func (e *Expect) compare(theirs []netip.Addr) *Error {
	if len(theirs) != len(e.Addresses) {
		return &Error{Cause: CountMismatch, Got: len(theirs), Want: len(e.Addresses)}
	}
	for _, ip := range e.Addresses {
		if !slices.Contains(theirs, ip) {
			return &Error{Cause: AddressMismatch, Address: ip}
		}
	}
	return nil
}
