package rule

import "github.com/reeve-lb/reeve/proxy/http1"

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

// putQuery: a query that begins with its question mark is taken as well; an empty one goes.
func putQuery(m *Message, dst, b []byte) []byte {
	before, _ := around(m)
	dst = append(append(dst, before...), m.Path()...)
	if len(b) > 0 && b[0] == '?' {
		b = b[1:]
	}
	if len(b) > 0 {
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
	if ok {
		e.target = v
	}
	return ok
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
