package compress

import (
	"strings"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// Fit finds out whether an answer may be compressed: show it every header line. The zero Fit has seen none.
type Fit struct {
	bad, typed, wanted bool
	tags               int
}

// Field takes in one header line. types are the beginnings of media types that are compressed.
func (f *Fit) Field(name, value []byte, types []string) {
	switch {
	case http1.EqualFold(name, "content-type"):
		f.typed = true
		if beginsWith(value, "multipart") {
			f.bad = true
		}
		for _, t := range types {
			f.wanted = f.wanted || beginsWith(value, t)
		}
	case http1.EqualFold(name, "content-encoding"), http1.EqualFold(name, "content-range"):
		f.bad = true // it is a coding of its own already, or a part of something whose coding is settled
	case http1.EqualFold(name, "cache-control"):
		for len(value) > 0 {
			var directive []byte
			if directive, value = http1.NextToken(value); http1.EqualFold(directive, "no-transform") {
				f.bad = true
			}
		}
	case http1.EqualFold(name, "etag"):
		if f.tags++; f.tags > 1 || !validTag(value) {
			f.bad = true
		}
	}
}

// OK reports whether what was seen may be compressed.
func (f *Fit) OK(types []string) bool {
	return !f.bad && (len(types) == 0 || f.typed && f.wanted)
}

// Status reports whether answers of a status are compressed: those that carry what was asked for, in full.
func Status(status int) bool { return status >= 200 && status <= 203 }

// validTag reports whether value is an entity tag (RFC 9110 section 8.8.3).
func validTag(value []byte) bool {
	if len(value) > 2 && value[0] == 'W' && value[1] == '/' {
		value = value[2:]
	}
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return false
	}
	for _, c := range value[1 : len(value)-1] {
		if c == '"' || c < 0x21 || c == 0x7f {
			return false
		}
	}
	return true
}

// Strong reports whether an entity tag promises the same bytes each time, which compressed content is not.
func Strong(tag []byte) bool { return len(tag) > 0 && tag[0] == '"' }

func beginsWith(b []byte, lower string) bool {
	return len(b) >= len(lower) && http1.EqualFold(b[:len(lower)], lower)
}

// Lower makes the beginnings of media types comparable.
func Lower(types []string) []string {
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = strings.ToLower(t)
	}
	return out
}
