package cache

import (
	"bytes"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// by are the header lines of requests that variants are kept by.
type by uint8

const (
	byEncoding by = 1 << iota
	byReferer
	byOrigin
)

// vary takes in a Vary line.
func (a *Answer) vary(value []byte) {
	for len(value) > 0 {
		var name []byte
		switch name, value = http1.NextToken(value); {
		case len(name) == 0:
		case http1.EqualFold(name, "accept-encoding"):
			a.varies |= byEncoding
		case http1.EqualFold(name, "referer"):
			a.varies |= byReferer
		case http1.EqualFold(name, "origin"):
			a.varies |= byOrigin
		default:
			a.stray = true
		}
	}
}

// variant is which requests an entry serves.
type variant struct {
	by      by
	coding  codings // of the content
	referer []byte
	origin  []byte
}

func newVariant(q *Query, a *Answer) variant {
	v := variant{by: a.varies}
	if v.by&byEncoding != 0 {
		if v.coding = a.coding; !a.coded {
			v.coding = identity
		}
	}
	if v.by&byReferer != 0 {
		v.referer = bytes.Clone(q.referer)
	}
	if v.by&byOrigin != 0 {
		v.origin = bytes.Clone(q.origin)
	}
	return v
}

// serves reports whether a request may have the variant: the same Referer and Origin, and no coding that it does not take.
func (v *variant) serves(q *Query) bool {
	switch {
	case v.by == 0:
		return true
	case v.by&byEncoding != 0 && !q.accepts.takes(v.coding):
		return false
	case v.by&byReferer != 0 && !bytes.Equal(v.referer, q.referer):
		return false
	}
	return v.by&byOrigin == 0 || bytes.Equal(v.origin, q.origin)
}

// same reports whether two variants would be found by the same requests.
func (v *variant) same(o *variant) bool {
	return v.by == o.by && v.coding == o.coding && bytes.Equal(v.referer, o.referer) && bytes.Equal(v.origin, o.origin)
}

// codings are content codings that a request takes, or that content has. refused stands for identity;q=0, and alien for a
// coding that has no bit: content with one is nobody's.
type codings uint16

const (
	identity codings = 1 << iota
	gzip
	deflate
	compress
	brotli
	zstd
	refused
	alien
)

var codingNames = [...]struct {
	name string
	bit  codings
}{{"identity", identity}, {"gzip", gzip}, {"x-gzip", gzip}, {"deflate", deflate}, {"compress", compress}, {"x-compress", compress}, {"br", brotli}, {"zstd", zstd}}

// line takes in an Accept-Encoding line.
func (c *codings) line(value []byte) {
	for len(value) > 0 {
		var element []byte
		element, value = http1.NextToken(value)
		name, weight, weighed := bytes.Cut(element, []byte(";"))
		name = bytes.TrimRight(name, " \t")
		zero := weighed && isZero(weight)
		for _, n := range codingNames {
			if !http1.EqualFold(name, n.name) {
				continue
			}
			if !zero {
				*c |= n.bit
			} else if n.bit == identity {
				*c |= refused
			}
		}
	}
}

// isZero reports whether a parameter says q=0.
func isZero(p []byte) bool {
	p = bytes.Trim(p, " \t")
	if len(p) < 3 || p[0]|0x20 != 'q' || p[1] != '=' {
		return false
	}
	return len(bytes.Trim(p[2:], "0.")) == 0
}

// content takes in a Content-Encoding line.
func (c *codings) content(value []byte) {
	for len(value) > 0 {
		var name []byte
		name, value = http1.NextToken(value)
		bit := alien
		for _, n := range codingNames {
			if http1.EqualFold(name, n.name) {
				bit = n.bit
			}
		}
		*c |= bit
	}
}

// takes reports whether a request that accepts c may have content of such codings. A coding has to be named: who says nothing,
// or *, may well not know it.
func (c codings) takes(content codings) bool {
	if content&alien != 0 {
		return false
	}
	if content == identity {
		return c&refused == 0
	}
	return content&^identity&^c == 0
}
