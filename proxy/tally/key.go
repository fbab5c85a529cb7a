package tally

import (
	"encoding/binary"
	"net/netip"
)

// KeyType is what the keys of a table are.
type KeyType uint8

// The types, as `type` of a stick-table names them.
const (
	IP KeyType = iota
	IPv6
	Integer
	String
	Binary
)

// Types are the names of the types.
var Types = []string{"ip", "ipv6", "integer", "string", "binary"}

// DefaultLen is the greatest length of keys that are strings or binary, in bytes, if none is given.
const DefaultLen = 32

// AddrKey appends the key of an address; ok is false where a table of that type has none: an IPv6 address is no key among
// IPv4 ones.
func (k KeyType) AddrKey(dst []byte, a netip.Addr) (key []byte, ok bool) {
	a = a.Unmap()
	switch {
	case k == IP && a.Is4():
		four := a.As4()
		return append(dst, four[:]...), true
	case k == IPv6 && a.IsValid():
		all := a.As16()
		return append(dst, all[:]...), true
	}
	return dst, false
}

// NumberKey appends the key of an integer: its lower 32 bits.
func NumberKey(dst []byte, n int64) []byte { return binary.BigEndian.AppendUint32(dst, uint32(n)) }

// TextKey appends the key of a text: cut to the table's length; a binary one that is shorter is filled up with zeros.
func (t *Table) TextKey(dst, text []byte) []byte {
	n := len(text)
	dst = append(dst, text[:min(n, t.length)]...)
	for t.Type == Binary && n < t.length {
		dst, n = append(dst, 0), n+1
	}
	return dst
}
