package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

const (
	wireVersion = 1
	// messageMax bounds a message, so that a default socket buffer holds several.
	messageMax = 64 << 10
	// BlobMax is the longest blob Say takes, in bytes.
	BlobMax = messageMax - 2
)

// Message kinds. Those from 128 on go from the guard to the agent.
const (
	kindHold byte = iota + 1
	kindDrop
	kindSay
	kindBye
	kindHello   byte = 128
	kindRemoved byte = 129
)

// Address is an address on an interface.
type Address = vip.On

// Holding is what an instance has on and until when it may.
type Holding struct {
	Instance  string
	Epoch     uint64        // of the lease; 0 under election = "vrrp"
	Expiry    boottime.Time // at this time the guard takes the addresses off
	Addresses []Address
}

// Released says that an instance's addresses are off this machine.
type Released struct {
	Instance  string // "" when the agent died holding nothing: only its death is to be told
	Epoch     uint64
	AgentDied bool // the agent is gone; otherwise it only let the lease run out
}

var errMalformed = errors.New("malformed guard message")

// message is one message taken apart; slices point into the buffer it was parsed from.
type message struct {
	kind      byte
	instance  []byte
	epoch     uint64
	expiry    boottime.Time
	addresses []byte // not parsed yet: a pet usually repeats what is known
	blob      []byte
	pid       int
}

func header(b []byte, kind byte) []byte { return append(b[:0], wireVersion, kind) }

func appendHold(b []byte, h Holding) ([]byte, error) {
	b = binary.LittleEndian.AppendUint64(header(b, kindHold), h.Epoch)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Expiry))
	b, err := appendName(b, h.Instance)
	if err != nil {
		return b, err
	}
	for _, a := range h.Addresses {
		if len(a.Dev) > math.MaxUint8 || !a.Prefix.IsValid() {
			return b, fmt.Errorf("instance %s: address %s on %q can't be sent to the guard", h.Instance, a.Prefix, a.Dev)
		}
		b = append(b, byte(len(a.Dev)))
		b = append(b, a.Dev...)
		if a.Prefix.Addr().Is4() {
			ip := a.Prefix.Addr().As4()
			b = append(append(b, byte(len(ip))), ip[:]...)
		} else {
			ip := a.Prefix.Addr().As16()
			b = append(append(b, byte(len(ip))), ip[:]...)
		}
		b = append(b, byte(a.Prefix.Bits()))
	}
	if len(b) > messageMax {
		return b, fmt.Errorf("instance %s: %d addresses are more than the guard takes", h.Instance, len(h.Addresses))
	}
	return b, nil
}

// appendName writes a string with its length; empty and overlong ones are refused.
func appendName(b []byte, name string) ([]byte, error) {
	if name == "" || len(name) > math.MaxUint16/2 {
		return b, fmt.Errorf("instance name of %d bytes can't be sent to the guard", len(name))
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
	return append(b, name...), nil
}

func appendDrop(b []byte, instance string) ([]byte, error) {
	return appendName(header(b, kindDrop), instance)
}

func appendSay(b, blob []byte) []byte { return append(header(b, kindSay), blob...) }

func appendHello(b []byte, pid int) []byte {
	return binary.LittleEndian.AppendUint64(header(b, kindHello), uint64(pid))
}

func appendRemoved(b []byte, instance string, epoch uint64) ([]byte, error) {
	return appendName(binary.LittleEndian.AppendUint64(header(b, kindRemoved), epoch), instance)
}

// parse takes a message apart without allocating.
func parse(b []byte) (message, error) {
	if len(b) < 2 {
		return message{}, errMalformed
	}
	if b[0] != wireVersion {
		return message{}, fmt.Errorf("guard message of version %d, this is %d", b[0], wireVersion)
	}
	m := message{kind: b[1]}
	b = b[2:]
	ok := true
	switch m.kind {
	case kindHold:
		var epoch, expiry uint64
		epoch, b, ok = cutUint64(b, ok)
		expiry, b, ok = cutUint64(b, ok)
		m.epoch, m.expiry = epoch, boottime.Time(expiry)
		m.instance, m.addresses, ok = cutName(b, ok)
	case kindDrop:
		m.instance, b, ok = cutName(b, ok)
		ok = ok && len(b) == 0
	case kindSay:
		m.blob = b
	case kindBye:
	case kindHello:
		var pid uint64
		pid, _, ok = cutUint64(b, ok)
		m.pid = int(pid)
	case kindRemoved:
		m.epoch, b, ok = cutUint64(b, ok)
		m.instance, _, ok = cutName(b, ok)
	default:
		return message{}, fmt.Errorf("guard message of unknown kind %d", m.kind)
	}
	if !ok {
		return message{}, errMalformed
	}
	return m, nil
}

func cutUint64(b []byte, ok bool) (uint64, []byte, bool) {
	if !ok || len(b) < 8 {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint64(b), b[8:], true
}

func cutName(b []byte, ok bool) (name, rest []byte, _ bool) {
	if !ok || len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.LittleEndian.Uint16(b))
	if n == 0 || len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// parseAddresses reads the addresses of a hold message.
func parseAddresses(b []byte) ([]Address, error) {
	var out []Address
	for len(b) > 0 {
		n := int(b[0])
		if len(b) < 1+n+1 {
			return nil, errMalformed
		}
		dev := string(b[1 : 1+n])
		b = b[1+n:]
		n = int(b[0])
		if len(b) < 1+n+1 {
			return nil, errMalformed
		}
		ip, ok := netip.AddrFromSlice(b[1 : 1+n])
		p := netip.PrefixFrom(ip, int(b[1+n]))
		if !ok || !p.IsValid() {
			return nil, errMalformed
		}
		out = append(out, Address{Dev: dev, Prefix: p})
		b = b[1+n+1:]
	}
	return out, nil
}
