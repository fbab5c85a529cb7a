package rule

import "hash/crc32"

// The hash functions of HAProxy's converters and hash-type.

func sdbm(b []byte) (h uint32) {
	for _, c := range b {
		h = uint32(c) + h<<6 + h<<16 - h
	}
	return h
}

func djb2(b []byte) uint32 {
	h := uint32(5381)
	for _, c := range b {
		h = h<<5 + h + uint32(c)
	}
	return h
}

func crc(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// avalanche mixes the bits of a hash so that all of them depend on all of its input.
func avalanche(a uint32) uint32 {
	a = a + 0x7ed55d16 + a<<12
	a = a ^ 0xc761c23c ^ a>>19
	a = a + 0x165667b1 + a<<5
	a = (a + 0xd3a2646c) ^ a<<9
	a = a + 0xfd7046c5 + a<<3
	return a ^ 0xb55a4f09 ^ a>>16
}
