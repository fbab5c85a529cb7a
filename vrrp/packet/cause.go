package packet

import (
	"fmt"
	"net/netip"
	"sync/atomic"
)

// Cause says why a packet was refused, or what about an accepted one is suspicious. The zero Cause is none.
type Cause int

// Causes, in the order in which packets are judged.
const (
	// TooShort: fewer bytes than the header and its count of addresses need.
	TooShort Cause = iota + 1
	// TooLong: more bytes than that.
	TooLong
	// WrongTTL: not 255, so a router lies between (RFC 3768 section 7.1).
	WrongTTL
	// WrongVersion: not 2.
	WrongVersion
	// InvalidAuthType: a type that does not exist.
	InvalidAuthType
	// AuthMismatch: another type than ours.
	AuthMismatch
	// WrongPassword: type PASS with another password.
	WrongPassword
	// IntervalMismatch: another advert_int than ours, for which version 2 refuses the packet.
	IntervalMismatch
	// WrongType: not an advertisement.
	WrongType
	// WrongChecksum: damaged on the way.
	WrongChecksum
	// NotMulticast: sent to an address of ours rather than to the group.
	NotMulticast
	// CountMismatch: another number of addresses than ours. The packet is accepted.
	CountMismatch
	// AddressMismatch: an address of ours is not in the list. The packet is accepted.
	AddressMismatch
	// UnknownVRID: no instance on this interface has it.
	UnknownVRID
	// QueueFull: the instance was too busy to look at it.
	QueueFull

	causes
)

var causeNames = [causes]string{
	"none", "too_short", "too_long", "ttl", "version", "auth_type_invalid", "auth_type_mismatch",
	"password", "advert_int", "type", "checksum", "not_multicast", "address_count", "address_list", "unknown_vrid",
	"queue_full",
}

// String is the name under which the cause is counted.
func (c Cause) String() string {
	if c < 0 || c >= causes {
		return "unknown"
	}
	return causeNames[c]
}

// Error says why a packet was refused.
type Error struct {
	Cause     Cause
	Got, Want int        // numbers, where the cause has them
	Address   netip.Addr // AddressMismatch: ours that is missing
}

// Error names the field that differs, in the words of keepalived's log where it has some.
func (e *Error) Error() string {
	switch e.Cause {
	case TooShort:
		return fmt.Sprintf("vrrp packet too short, length %d and expect %d", e.Got, e.Want)
	case TooLong:
		return fmt.Sprintf("vrrp packet too long, length %d and expect %d", e.Got, e.Want)
	case WrongTTL:
		return fmt.Sprintf("invalid TTL/HL. Received %d and expect %d", e.Got, e.Want)
	case WrongVersion:
		return fmt.Sprintf("wrong version. Received %d and expect %d", e.Got, e.Want)
	case InvalidAuthType:
		return fmt.Sprintf("invalid auth type: %d", e.Got)
	case AuthMismatch:
		return fmt.Sprintf("received a %d auth, expecting %d", e.Got, e.Want)
	case WrongPassword:
		return "received an invalid passwd"
	case IntervalMismatch:
		return fmt.Sprintf("advertisement interval mismatch mine=%d sec rcv'd=%d sec", e.Want, e.Got)
	case WrongType:
		return fmt.Sprintf("invalid packet type. %d and expect %d", e.Got, e.Want)
	case WrongChecksum:
		return "invalid VRRPv2 checksum"
	case NotMulticast:
		return "expected multicast packet but received unicast packet"
	case CountMismatch:
		return fmt.Sprintf("received an unexpected ip number count %d, expected %d", e.Got, e.Want)
	case AddressMismatch:
		return fmt.Sprintf("ip address %s not present in MASTER advert", e.Address)
	}
	return e.Cause.String()
}

// Counters counts packets by cause. The zero value is ready; all methods are safe for concurrent use.
type Counters struct {
	n [causes]atomic.Uint64
}

// Add counts one packet.
func (c *Counters) Add(cause Cause) {
	if cause > 0 && cause < causes {
		c.n[cause].Add(1)
	}
}

// Get tells how many there were.
func (c *Counters) Get(cause Cause) uint64 {
	if cause <= 0 || cause >= causes {
		return 0
	}
	return c.n[cause].Load()
}

// Map gives every count that is not 0 under its cause's name.
func (c *Counters) Map() map[string]uint64 {
	m := map[string]uint64{}
	for i := Cause(1); i < causes; i++ {
		if n := c.n[i].Load(); n > 0 {
			m[i.String()] = n
		}
	}
	return m
}
