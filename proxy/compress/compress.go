// Package compress makes answers smaller: the content codings of RFC 9110 section 8.4.1, which of them a client gets, which
// answers have one, and encoders that serve one answer after the other.
package compress

import (
	"bytes"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// Coding is a way to write content.
type Coding uint8

// The codings. Deflate is what RFC 9110 calls by that name: the zlib format of RFC 1950. RawDeflate is sent under the same
// name without the frame, for clients that never learned better.
const (
	None Coding = iota
	Identity
	Gzip
	Deflate
	RawDeflate
	Brotli
	Zstd
	codings
)

var words = [codings]string{Identity: "identity", Gzip: "gzip", Deflate: "deflate", RawDeflate: "raw-deflate", Brotli: "br", Zstd: "zstd"}

// Parse finds a coding by its word in `compression algo`.
func Parse(word string) (Coding, bool) {
	for c := Identity; c < codings; c++ {
		if words[c] == word {
			return c, true
		}
	}
	return None, false
}

// String is the coding's word in `compression algo`.
func (c Coding) String() string {
	if c < codings {
		return words[c]
	}
	return ""
}

// Token is the coding's name in Accept-Encoding and Content-Encoding.
func (c Coding) Token() string {
	if c == RawDeflate {
		c = Deflate
	}
	return c.String()
}

// Settings is what one proxy compresses: with which codings, in the order in which they are liked, and which media types.
// It is immutable.
type Settings struct {
	Codings []Coding
	Types   []string // beginnings of media types, in lower case; none: all types
	Offload bool     // the servers hear nothing of what the client accepts
}

// Wish is what a client accepts, by weights in thousandths. Begin it with Reset, show it every Accept-Encoding line, and ask
// it for the Best.
type Wish struct {
	named [codings]int16 // unsaid, or the weight
	any   int16          // of *
}

const unsaid = -1

// Reset forgets what was said.
func (w *Wish) Reset() {
	for i := range w.named {
		w.named[i] = unsaid
	}
	w.any = unsaid
}

// Line takes in one Accept-Encoding line (RFC 9110 section 12.5.3). A weight that is none makes its element void.
func (w *Wish) Line(value []byte) {
	for len(value) > 0 {
		var element []byte
		element, value = http1.NextToken(value)
		name, q := weighed(element)
		if q == unsaid || len(name) == 0 {
			continue
		}
		if len(name) == 1 && name[0] == '*' {
			w.any = max(w.any, q)
			continue
		}
		for c := Identity; c < codings; c++ {
			if http1.EqualFold(name, c.Token()) || c == Gzip && http1.EqualFold(name, "x-gzip") {
				w.named[c] = max(w.named[c], q)
			}
		}
	}
}

// weighed splits an element into its name and its weight.
func weighed(element []byte) (name []byte, q int16) {
	q = 1000
	part, rest, more := cut(element)
	for name = part; more; {
		part, rest, more = cut(rest)
		if len(part) >= 2 && part[0]|0x20 == 'q' && part[1] == '=' {
			q = weight(part[2:])
		}
	}
	return name, q
}

// cut takes off what stands before a semicolon, blanks around it removed.
func cut(b []byte) (part, rest []byte, more bool) {
	end := len(b)
	for i, c := range b {
		if c == ';' {
			end, more = i, true
			rest = b[i+1:]
			break
		}
	}
	part = b[:end]
	for len(part) > 0 && (part[0] == ' ' || part[0] == '\t') {
		part = part[1:]
	}
	for len(part) > 0 && (part[len(part)-1] == ' ' || part[len(part)-1] == '\t') {
		part = part[:len(part)-1]
	}
	return part, rest, more
}

// weight reads a qvalue: 0 or 1, and up to three digits behind a point.
func weight(b []byte) int16 {
	if len(b) == 0 || len(b) > 5 || b[0] != '0' && b[0] != '1' || len(b) > 1 && b[1] != '.' {
		return unsaid
	}
	q, unit := int16(b[0]-'0')*1000, int16(100)
	for _, d := range b[min(2, len(b)):] {
		if d < '0' || d > '9' {
			return unsaid
		}
		q += int16(d-'0') * unit
		unit /= 10
	}
	if q > 1000 {
		return unsaid
	}
	return q
}

// Best is the coding of offer that the client likes best; among those that it likes alike the first. None: the content goes
// as it is, because nothing that is offered is wanted, or because the client likes that better.
func (w *Wish) Best(offer []Coding) Coding {
	best, most := None, int16(0)
	for _, c := range offer {
		q := w.named[c]
		if q == unsaid {
			q = w.any
		}
		if c != Identity && q > most {
			best, most = c, q
		}
	}
	if w.named[Identity] > most {
		return None
	}
	return best
}

// Old reports whether a client is one of those whose promise to take compressed content is not to be believed: Netscape 4
// and what passed for it, up to Internet Explorer 6 before its second service pack.
func Old(userAgent []byte) bool {
	if !bytes.HasPrefix(userAgent, []byte("Mozilla/4")) {
		return false
	}
	_, ie, ok := bytes.Cut(userAgent, []byte("MSIE "))
	if !ok || len(ie) == 0 {
		return true
	}
	return ie[0] < '6' && (len(ie) < 2 || ie[1] == '.') || ie[0] == '6' && !bytes.Contains(ie, []byte("SV1"))
}
