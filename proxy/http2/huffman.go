package http2

import "golang.org/x/net/http2/hpack"

// Strings are Huffman-coded by a canonical code (RFC 7541 appendix B): codes of a length follow each other in the order
// of their symbols, shorter before longer. So a symbol is found from the first code of each length; the common ones, of
// up to quick bits, by one look into a table.

const (
	quick   = 9
	longest = 30
)

type huffmanCode struct {
	quick  [1 << quick]uint16 // length<<8 | symbol, 0: longer
	first  [longest + 2]uint32
	count  [longest + 2]uint32
	offset [longest + 2]int
	symbol [256]byte // by length, then by value
}

var huffman = newHuffman()

// newHuffman asks the library for each symbol's code: eight of a symbol are as many bytes as its code has bits.
func newHuffman() *huffmanCode {
	h := &huffmanCode{}
	n := 0
	for bits := 1; bits <= longest; bits++ {
		h.offset[bits] = n
		for sym := range 256 {
			one := string([]byte{byte(sym)})
			if int(hpack.HuffmanEncodeLength(one+one+one+one+one+one+one+one)) != bits {
				continue
			}
			var code uint32
			coded := append(hpack.AppendHuffmanString(nil, one), 0, 0, 0, 0)
			code = be32(coded) >> (32 - bits)
			if h.count[bits] == 0 {
				h.first[bits] = code
			}
			h.count[bits]++
			h.symbol[n] = byte(sym)
			n++
			if bits <= quick {
				for i := range 1 << (quick - bits) {
					h.quick[int(code)<<(quick-bits)|i] = uint16(bits)<<8 | uint16(sym)
				}
			}
		}
	}
	return h
}

// decodeHuffman appends what src stands for. More than limit bytes, a code that is none, the end-of-string symbol and
// padding that is not the beginning of it are errors (RFC 7541 section 5.2).
func decodeHuffman(dst, src []byte, limit int) ([]byte, bool) {
	var acc uint64 // bits not yet decoded, at the top
	bits := 0
	end := len(dst) + limit
	for {
		for bits <= 56 && len(src) > 0 {
			acc |= uint64(src[0]) << (56 - bits)
			src = src[1:]
			bits += 8
		}
		if bits < 8 && len(src) == 0 && acc>>(64-bits) == 1<<bits-1 {
			return dst, true // padding; no code is all ones
		}
		sym, n := huffman.next(acc)
		if n == 0 || n > bits || len(dst) == end {
			return dst, false
		}
		dst = append(dst, sym)
		acc <<= n
		bits -= n
	}
}

// next is the symbol at the top of acc and its length, 0 if there is none.
func (h *huffmanCode) next(acc uint64) (byte, int) {
	if q := h.quick[acc>>(64-quick)]; q != 0 {
		return byte(q), int(q >> 8)
	}
	for bits := quick + 1; bits <= longest; bits++ {
		if d := uint32(acc>>(64-bits)) - h.first[bits]; d < h.count[bits] {
			return h.symbol[h.offset[bits]+int(d)], bits
		}
	}
	return 0, 0
}
