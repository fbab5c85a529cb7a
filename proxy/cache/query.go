package cache

import (
	"bytes"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// Query is a request as a cache sees it. Reset it, show it the target and every header line; its memory is used again.
type Query struct {
	key       []byte
	bypass    bool // the client wants no stored answer
	private   bool // an answer to it may not be stored for others
	pragma    bool
	control   bool
	accepts   codings
	referer   []byte
	origin    []byte
	noneMatch []byte // If-None-Match, elements of all lines
	since     int64  // If-Modified-Since; Unix seconds
	matches   bool   // If-None-Match was there
	dated     bool   // If-Modified-Since was, and is a date
}

// Reset begins a new request.
func (q *Query) Reset() {
	*q = Query{key: q.key[:0], referer: q.referer[:0], origin: q.origin[:0], noneMatch: q.noneMatch[:0]}
}

// Target is what is asked for: the host in any spelling, and the path with its query.
func (q *Query) Target(host, pathQuery []byte) {
	q.key = q.key[:0]
	for _, b := range host {
		if b >= 'A' && b <= 'Z' {
			b += 'a' - 'A'
		}
		q.key = append(q.key, b)
	}
	q.key = append(q.key, ' ')
	q.key = append(q.key, pathQuery...)
}

// Field takes in one header line.
func (q *Query) Field(name, value []byte) {
	switch len(name) {
	case 6: // Pragma, Origin
		switch {
		case http1.EqualFold(name, "origin"):
			q.origin = append(append(q.origin, value...), 0)
		case http1.EqualFold(name, "pragma"):
			eachDirective(value, func(name, _ []byte) { q.pragma = q.pragma || http1.EqualFold(name, "no-cache") })
		}
	case 7:
		if http1.EqualFold(name, "referer") {
			q.referer = append(append(q.referer, value...), 0)
		}
	case 13: // Authorization, Cache-Control, If-None-Match
		switch {
		case http1.EqualFold(name, "authorization"):
			q.bypass, q.private = true, true
		case http1.EqualFold(name, "cache-control"):
			q.control = true
			eachDirective(value, q.directive)
		case http1.EqualFold(name, "if-none-match"):
			q.matches = true
			q.noneMatch = append(append(q.noneMatch, value...), ',')
		}
	case 15:
		if http1.EqualFold(name, "accept-encoding") {
			q.accepts.line(value)
		}
	case 17:
		if http1.EqualFold(name, "if-modified-since") {
			q.since, q.dated = date(value)
		}
	}
}

// directive takes in one of Cache-Control's. Who has a wish about the age of an answer gets a new one, as from HAProxy.
func (q *Query) directive(name, _ []byte) {
	switch {
	case http1.EqualFold(name, "no-cache"), http1.EqualFold(name, "max-age"), http1.EqualFold(name, "min-fresh"):
		q.bypass = true
	case http1.EqualFold(name, "no-store"):
		q.private = true
	}
}

// Asks reports whether a stored answer will do for the client.
func (q *Query) Asks() bool { return !q.bypass && (!q.pragma || q.control) }

// Stores reports whether an answer to the client may be kept for others.
func (q *Query) Stores() bool { return !q.private }

// NotModified reports whether the client has the entry's answer already (RFC 9110 section 13.2.2).
func (q *Query) NotModified(e *Entry) bool {
	if q.matches {
		for rest := q.noneMatch; len(rest) > 0; {
			var tag []byte
			tag, rest = nextTag(rest)
			if len(tag) == 1 && tag[0] == '*' || e.tag != nil && bytes.Equal(weakly(tag), weakly(e.tag)) {
				return true
			}
		}
		return false
	}
	return q.dated && e.modified <= q.since
}

// nextTag cuts the first element off a list of entity tags, in which commas may be.
func nextTag(list []byte) (tag, rest []byte) {
	quoted := false
	for i, b := range list {
		if b == '"' {
			quoted = !quoted
		}
		if b == ',' && !quoted {
			return bytes.Trim(list[:i], " \t"), list[i+1:]
		}
	}
	return bytes.Trim(list, " \t"), nil
}

// weakly is a tag without its sign of weakness.
func weakly(tag []byte) []byte {
	if len(tag) > 2 && tag[0] == 'W' && tag[1] == '/' {
		return tag[2:]
	}
	return tag
}

// eachDirective takes a list of NAME[=VALUE] apart; quotes around a value are taken off.
func eachDirective(list []byte, f func(name, value []byte)) {
	for len(list) > 0 {
		var d []byte
		d, list = nextTag(list)
		name, value, _ := bytes.Cut(d, []byte("="))
		value = bytes.Trim(value, " \t")
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		if name = bytes.Trim(name, " \t"); len(name) > 0 {
			f(name, value)
		}
	}
}

// seconds reads delta-seconds (RFC 9111 section 1.2.2): what is larger than all is 2^31.
func seconds(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	n := int64(0)
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = min(n*10+int64(d-'0'), 1<<31)
	}
	return n, true
}
