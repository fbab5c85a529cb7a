package http2

import "strconv"

// Header blocks are written with the static table alone and without Huffman coding: nothing is remembered from one to
// the next, and a block costs little more than copying its fields. Such a block is about as long as the HTTP/1 head it
// comes from.

// noTable tells the other side once that we use no dynamic table: size update to 0 (RFC 7541 section 6.3).
const noTable = 0x20

func appendInteger(dst []byte, prefix int, flags byte, n int) []byte {
	most := 1<<prefix - 1
	if n < most {
		return append(dst, flags|byte(n))
	}
	dst = append(dst, flags|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

func appendIndexed(dst []byte, i int) []byte { return append(dst, 0x80|byte(i)) }

// appendNamed writes a literal whose name is in the static table.
func appendNamed[T string | []byte](dst []byte, i int, value T) []byte {
	dst = appendInteger(dst, 4, 0, i)
	return append(appendInteger(dst, 7, 0, len(value)), value...)
}

// appendField writes a field; its name may be in upper case.
func appendField(dst, name, value []byte) []byte {
	var b [32]byte
	if len(name) <= len(b) {
		if i, ok := staticNames[string(lower(b[:0], name))]; ok {
			return appendNamed(dst, int(i), value)
		}
	}
	dst = lower(appendInteger(append(dst, 0), 7, 0, len(name)), name)
	return append(appendInteger(dst, 7, 0, len(value)), value...)
}

func appendStatus(dst []byte, status int) []byte {
	switch status {
	case 200:
		return appendIndexed(dst, idxStatus200)
	case 204:
		return appendIndexed(dst, idxStatus200+1)
	case 206:
		return appendIndexed(dst, idxStatus200+2)
	case 304:
		return appendIndexed(dst, idxStatus200+3)
	case 400:
		return appendIndexed(dst, idxStatus200+4)
	case 404:
		return appendIndexed(dst, idxStatus200+5)
	case 500:
		return appendIndexed(dst, idxStatus200+6)
	}
	dst = append(appendInteger(dst, 4, 0, idxStatus200), 3)
	return strconv.AppendInt(dst, int64(status), 10)
}
