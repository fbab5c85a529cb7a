package balance

import (
	"hash/crc32"
	"math/bits"
	"net/netip"

	"github.com/reeve-lb/reeve/proxy"
)

// The functions of `hash-type`: a key, which is a part of a request, makes the number that chooses a server. None is
// secret: clients choose keys.

// Hash applies a function of `hash-type` to a key, without the avalanche.
func Hash(f proxy.HashFunction, key []byte) uint32 {
	switch f {
	case proxy.DJB2:
		h := uint32(5381)
		for _, c := range key {
			h = h*33 + uint32(c)
		}
		return h
	case proxy.WT6:
		return hashWT6(key)
	case proxy.CRC32:
		return crc32.ChecksumIEEE(key)
	case proxy.NoHash:
		return decimal(key)
	}
	h := uint32(0)
	for _, c := range key {
		h = h*65599 + uint32(c) // sdbm
	}
	return h
}

// hashWT6 stirs two words by rotations whose widths the words themselves give.
func hashWT6(key []byte) uint32 {
	h0, h1 := uint32(0xa53c965a), uint32(0x5ca6953a)
	step0, step1 := 6, 18
	for _, c := range key {
		h0, h1 = ^(h0 ^ uint32(c)), ^(h1 + uint32(c))
		h0, h1 = bits.RotateLeft32(h1, step0), bits.RotateLeft32(h0, step1)
		t := (h0>>16 ^ h1) & 0xffff
		step0, step1 = int(t&31), int(t>>11)
	}
	return h0 ^ h1
}

// decimal is the number at the beginning of a key: `none` takes keys that are hashes already.
func decimal(key []byte) uint32 {
	n := uint32(0)
	for _, c := range key {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint32(c-'0')
	}
	return n
}

// Avalanche lets every bit of a hash depend on all others, so that keys that differ by little part far: Bob Jenkins'
// integer hash of six shifts, then a multiplication by a prime near three quarters of the range.
func Avalanche(a uint32) uint32 {
	a += 0x7ed55d16 + a<<12
	a ^= 0xc761c23c ^ a>>19
	a += 0x165667b1 + a<<5
	a = (a + 0xd3a2646c) ^ a<<9
	a += 0xfd7046c5 + a<<3
	a ^= 0xb55a4f09 ^ a>>16
	return a * 3221225473
}

// HashSource is the number HAProxy's `balance source` makes of a client's address: the big-endian 32-bit words of it
// xored, an IPv4-mapped address counting as IPv4. It is not secret and not uniform: clients choose it.
func HashSource(addr netip.Addr) uint32 {
	if addr.Is4() || addr.Is4In6() {
		b := addr.As4()
		return word(b[:])
	}
	b := addr.As16()
	return word(b[0:]) ^ word(b[4:]) ^ word(b[8:]) ^ word(b[12:])
}

func word(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
