package cache

import (
	"cmp"
	"strconv"
	"time"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// Answer is what the header lines of an answer say about keeping it (RFC 9111 section 3). Reset it and show it every line.
// It holds on to the values it was shown.
type Answer struct {
	now          int64
	never        bool // may not be kept
	varies       by
	stray        bool  // varies by what no variant is kept for
	shared       int64 // s-maxage, seconds; -1: not said
	maxAge       int64
	expires      int64 // Unix seconds
	expiring     bool  // Expires was there
	age          int64 // seconds
	tag          []byte
	lastModified int64 // Unix seconds; 0: not said
	dated        int64 // Date; Unix seconds; 0: not said
	validated    bool  // has a validator
	coding       codings
	coded        bool
}

// Reset begins an answer that came at now.
func (a *Answer) Reset(now int64) {
	*a = Answer{now: now, shared: -1, maxAge: -1}
}

// Field takes in one header line.
func (a *Answer) Field(name, value []byte) {
	switch {
	case http1.EqualFold(name, "cache-control"):
		eachDirective(value, a.directive)
	case http1.EqualFold(name, "pragma"):
		eachDirective(value, func(name, _ []byte) { a.never = a.never || http1.EqualFold(name, "no-cache") })
	case http1.EqualFold(name, "set-cookie"), http1.EqualFold(name, "set-cookie2"):
		a.never = true // it is somebody's
	case http1.EqualFold(name, "date"):
		a.dated, _ = date(value)
	case http1.EqualFold(name, "vary"):
		a.vary(value)
	case http1.EqualFold(name, "expires"):
		a.expiring = true
		a.expires, _ = date(value) // what is no date is in the past
	case http1.EqualFold(name, "age"):
		n, ok := seconds(value)
		a.age, a.never = max(a.age, n), a.never || !ok
	case http1.EqualFold(name, "etag"):
		a.tag, a.validated = value, true
	case http1.EqualFold(name, "last-modified"):
		if t, ok := date(value); ok {
			a.lastModified, a.validated = t, true
		}
	case http1.EqualFold(name, "content-encoding"):
		a.coded = true
		a.coding.content(value)
	}
}

func (a *Answer) directive(name, value []byte) {
	switch {
	case http1.EqualFold(name, "no-store"), http1.EqualFold(name, "private"), http1.EqualFold(name, "no-cache"):
		a.never = true
	case http1.EqualFold(name, "s-maxage"):
		a.shared, _ = seconds(value) // what is no number is none
	case http1.EqualFold(name, "max-age"):
		a.maxAge, _ = seconds(value)
	}
}

// life is how long the answer may be kept from its birth on, and how old it is.
func (a *Answer) life(most time.Duration) (life, age time.Duration, ok bool) {
	life, age = most, time.Duration(a.age)*time.Second
	explicit := true
	switch {
	case a.shared >= 0:
		life = min(life, time.Duration(a.shared)*time.Second)
	case a.maxAge >= 0:
		life = min(life, time.Duration(a.maxAge)*time.Second)
	case a.expiring:
		life = min(life, max(time.Duration(a.expires*int64(time.Second)-a.now), 0))
	default:
		explicit = false
	}
	return life, age, (explicit || a.validated) && age < life
}

// Storable reports whether a cache of these options keeps the answer.
func (a *Answer) Storable(o Options) bool {
	if a.never || a.stray || a.varies != 0 && !o.ProcessVary {
		return false
	}
	_, _, ok := a.life(o.MaxAge)
	return ok
}

// modified is since when the content has been as it is, as far as is known: Unix seconds (RFC 9111 section 4.3.2).
func (a *Answer) modified() int64 {
	return cmp.Or(a.lastModified, a.dated, a.now/int64(time.Second))
}

// date reads an HTTP date (RFC 9110 section 5.6.7) as Unix seconds.
func date(b []byte) (int64, bool) {
	if len(b) > 40 {
		return 0, false
	}
	for _, layout := range [...]string{"Mon, 02 Jan 2006 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC} {
		if t, err := time.Parse(layout, string(b)); err == nil {
			return t.Unix(), true
		}
	}
	return 0, false
}

// appendLength ends a head.
func appendLength(head []byte, n int) []byte {
	head = append(head, "content-length: "...)
	head = strconv.AppendInt(head, int64(n), 10)
	return append(head, "\r\n\r\n"...)
}
