package rule

import (
	"bytes"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// Rules that change a request's target.

// put writes a new target behind dst: the target at hand with one part replaced by b.
type put func(m *Message, dst, b []byte) []byte

// frame of a target: what stands before and behind its path.
func around(m *Message) (before, query []byte) {
	t, pq := m.target(), m.pathQuery()
	_, q := cutQuery(pq)
	return t[:len(t)-len(pq)], q
}

func putPath(m *Message, dst, b []byte) []byte {
	before, q := around(m)
	dst = append(append(dst, before...), b...)
	if q != nil {
		dst = append(append(dst, '?'), q...)
	}
	return dst
}

func putPathQuery(m *Message, dst, b []byte) []byte {
	before, _ := around(m)
	return append(append(dst, before...), b...)
}

// putQuery: a query that begins with its question mark is taken as well; a question mark that is there stays.
func putQuery(m *Message, dst, b []byte) []byte {
	before, was := around(m)
	dst = append(append(dst, before...), m.Path()...)
	if len(b) > 0 && b[0] == '?' {
		b = b[1:]
	}
	if len(b) > 0 || was != nil {
		dst = append(append(dst, '?'), b...)
	}
	return dst
}

func putTarget(_ *Message, dst, b []byte) []byte { return append(dst, b...) }

// retarget gives the message its new target if that is one.
func retarget(c *Ctx, p put, b []byte) bool {
	m := c.Req
	if m.Head.Method == http1.CONNECT || len(m.pathQuery()) == 0 {
		return true // authority and asterisk form have no path to change
	}
	t := p(m, c.rest(), b)
	if !c.take(t) || len(t) == 0 {
		return false
	}
	for _, x := range t {
		if !http1.IsTarget(x) {
			return false
		}
	}
	if t[0] != '/' && len(afterAuthority(t)) == 0 {
		return false
	}
	e := m.edits(c)
	if e == nil {
		return false
	}
	v, ok := e.copy(t)
	if !ok {
		return false
	}
	e.target = v
	_, authority, _ := cutAbsolute(v)
	return authority == nil || m.setHost(e, authority)
}

// cutAbsolute splits a target in absolute form; authority is nil where it is in another.
func cutAbsolute(t []byte) (scheme, authority, rest []byte) {
	rest = afterAuthority(t)
	i := bytes.Index(t, []byte("://"))
	if len(t) == 0 || t[0] == '/' || i < 0 || len(t)-len(rest) < i+3 {
		return nil, nil, nil
	}
	return t[:i+3], t[i+3 : len(t)-len(rest)], rest
}

// setHost gives the request the Host that its target names: no server may be told of two (RFC 9112 section 3.2.2).
func (m *Message) setHost(e *Edits, authority []byte) bool {
	var it cursor
	var v Value
	if m.next(&it, "host", false, &v) && bytes.EqualFold(v.Bytes, authority) {
		return true
	}
	for i := range m.fields() {
		if n, _, there := m.field(i); there && http1.EqualFold(n, "host") {
			e.remove(m, i)
		}
	}
	return e.add([]byte("host"), authority)
}

// followHost is the other way round: after a rule changed Host, a target in absolute form names it.
func (m *Message) followHost(c *Ctx, e *Edits) bool {
	scheme, authority, rest := cutAbsolute(m.target())
	var it cursor
	var v Value
	if authority == nil || !m.next(&it, "host", false, &v) || bytes.Equal(v.Bytes, authority) {
		return true
	}
	for _, x := range v.Bytes {
		if !http1.IsTarget(x) || x == '/' || x == '?' || x == '@' {
			return false
		}
	}
	t, ok := e.copy(append(append(append(c.rest(), scheme...), v.Bytes...), rest...))
	if ok {
		e.target = t
	}
	return ok && len(v.Bytes) > 0
}

func setTarget(p put) func(*actionReader, *ruleLine) bool {
	return func(r *actionReader, to *ruleLine) bool {
		f, ok := r.format("a value")
		to.do = func(c *Ctx) bool {
			used := c.used
			b, ok := f.text(c)
			ok = ok && retarget(c, p, b)
			c.used = used
			c.changed()
			return ok
		}
		return ok
	}
}

func replaceTarget(of func(*Message) []byte, p put) func(*actionReader, *ruleLine) bool {
	return func(r *actionReader, to *ruleLine) bool {
		re, ok := r.regexp()
		if !ok {
			return false
		}
		x, ok := r.replacement()
		to.do = func(c *Ctx) bool {
			used := c.used
			b, hit := x.whole(c, re, of(c.Req))
			ok := !hit || retarget(c, p, b)
			c.used = used
			c.changed()
			return ok
		}
		return ok
	}
}
