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
	// WrongFamily: IPv4 where IPv6 is expected, or the other way round.
	WrongFamily Cause = iota + 1
	// AuthAHeader: the packet has IPsec's authentication header and our auth_type is not AH, or the other way round.
	AuthAHeader
	// TooShort: fewer bytes than the header and its count of addresses need.
	TooShort
	// TooLong: more bytes than that.
	TooLong
	// WrongTTL: not 255, so a router lies between (RFC 9568 section 7.1).
	WrongTTL
	// WrongVersion: another version than ours.
	WrongVersion
	// InvalidAuthType: a type that does not exist.
	InvalidAuthType
	// AuthMismatch: another type than ours.
	AuthMismatch
	// WrongPassword: type PASS with another password, or type AH with an ICV that our password does not make.
	WrongPassword
	// IntervalMismatch: another advert_int than ours, for which version 2 refuses the packet.
	IntervalMismatch
	// WrongType: not an advertisement.
	WrongType
	// WrongChecksum: damaged on the way, or summed by other rules.
	WrongChecksum
	// NotMulticast: sent to an address of ours rather than to the group.
	NotMulticast
	// NotUnicast: sent to a group although the instance has unicast_peer.
	NotUnicast
	// NotPeer: by unicast from somebody who is not in unicast_peer, and check_unicast_src is on.
	NotPeer
	// PeerTTL: a TTL out of the range that unicast_peer gives.
	PeerTTL
	// CountMismatch: another number of addresses than ours. The packet is accepted.
	CountMismatch
	// AddressMismatch: an address of ours is not in the list. The packet is accepted.
	AddressMismatch
	// UnknownVRID: no instance on this interface has it.
	UnknownVRID
	// QueueFull: the instance was too busy to look at it.
	QueueFull
	// WrongSPI: an authentication header whose security parameter index is not the source address.
	WrongSPI
	// Replayed: an authentication header with a sequence number that is not higher than all before.
	Replayed

	causes
)

var causeNames = [causes]string{
	"none", "family", "auth_ah", "too_short", "too_long", "ttl", "version", "auth_type_invalid", "auth_type_mismatch",
	"password", "advert_int", "type", "checksum", "not_multicast", "not_unicast", "not_a_peer", "peer_ttl",
	"address_count", "address_list", "unknown_vrid", "queue_full", "spi", "replayed",
}

// String is the name under which the cause is counted.
func (c Cause) String() string {
	if c < 0 || c >= causes {
		return "unknown"
	}
	return causeNames[c]
}

// Accepted reports whether a packet counts in spite of the cause.
func (c Cause) Accepted() bool { return c == 0 || c == CountMismatch || c == AddressMismatch }

// Finding is what is to be said of a packet; the zero Finding is nothing. As an error it is why a packet was refused.
type Finding struct {
	Cause     Cause
	Got, Want int        // theirs and ours, where the cause has numbers
	Max       int        // PeerTTL: the range is Want to Max
	Address   netip.Addr // AddressMismatch: ours that is missing; NotPeer, PeerTTL: who; NotMulticast, NotUnicast: where to
	Other     netip.Addr // AddressMismatch: the first of theirs that is not ours
}

// Refused reports whether the packet has to be dropped.
func (f Finding) Refused() bool { return !f.Cause.Accepted() }

// Error names the field that differs, in the words of keepalived's log where it has some.
func (f Finding) Error() string {
	switch f.Cause {
	case WrongFamily:
		return fmt.Sprintf("received IPv%d, expecting IPv%d", f.Got, f.Want)
	case AuthAHeader:
		if f.Want == AuthAH {
			return "No AH header but auth type is AH"
		}
		return "Received AH header but auth type not AH"
	case TooShort:
		return fmt.Sprintf("vrrp packet too short, length %d and expect %d", f.Got, f.Want)
	case TooLong:
		return fmt.Sprintf("vrrp packet too long, length %d and expect %d", f.Got, f.Want)
	case WrongTTL:
		return fmt.Sprintf("invalid TTL/HL. Received %d and expect %d", f.Got, f.Want)
	case WrongVersion:
		return fmt.Sprintf("wrong version. Received %d and expect %d", f.Got, f.Want)
	case InvalidAuthType:
		return fmt.Sprintf("Invalid auth type: %d", f.Got)
	case AuthMismatch:
		return fmt.Sprintf("received a %d auth, expecting %d!", f.Got, f.Want)
	case WrongPassword:
		if f.Want == AuthAH {
			return "IPSEC-AH : invalid IPSEC HMAC-MD5 value. Due to fields mutation or bad password !"
		}
		return "received an invalid passwd!"
	case IntervalMismatch:
		return fmt.Sprintf("advertisement interval mismatch mine=%d sec rcv'd=%d sec", f.Want, f.Got)
	case WrongType:
		return fmt.Sprintf("Invalid packet type. %d and expect %d", f.Got, f.Want)
	}
	return f.rest()
}

func (f Finding) rest() string {
	switch f.Cause {
	case WrongChecksum:
		return "Invalid VRRP checksum"
	case NotMulticast:
		return "Expected multicast packet but received unicast packet"
	case NotUnicast:
		return "Expected unicast packet but received multicast packet"
	case NotPeer:
		return fmt.Sprintf("unicast source address %s not a unicast peer", f.Address)
	case PeerTTL:
		return fmt.Sprintf("TTL/HL %d not in range %d - %d", f.Got, f.Want, f.Max)
	case WrongSPI:
		return fmt.Sprintf("IPSEC AH : invalid IPSEC SPI value. %s and expect %s", f.Other, f.Address)
	case Replayed:
		return fmt.Sprintf("IPSEC-AH : sequence number %d already processed. Packet dropped. Local(%d)", uint32(f.Got), uint32(f.Want))
	case CountMismatch:
		return fmt.Sprintf("received an unexpected ip number count %d, expected %d!", f.Got, f.Want)
	case AddressMismatch:
		if f.Other.IsValid() {
			return fmt.Sprintf("ip address %s not present in MASTER advert, which has %s", f.Address, f.Other)
		}
		return fmt.Sprintf("ip address %s not present in MASTER advert", f.Address)
	}
	return f.Cause.String()
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

// AddTimes counts packets that were alike.
func (c *Counters) AddTimes(cause Cause, times int) {
	if cause > 0 && cause < causes {
		c.n[cause].Add(uint64(times))
	}
}

// Get tells how many there were.
func (c *Counters) Get(cause Cause) uint64 {
	if cause <= 0 || cause >= causes {
		return 0
	}
	return c.n[cause].Load()
}

// Reset makes every count 0 again, as keepalived's STATS_CLEAR does.
func (c *Counters) Reset() {
	for i := range c.n {
		c.n[i].Store(0)
	}
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
