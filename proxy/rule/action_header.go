package rule

import (
	"regexp"
	"strings"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// Actions on the headers of a message.

// own are the headers that belong to a connection or a message's framing: the proxy writes them itself.
func (r *actionReader) own(w proxy.Word) bool {
	switch name := strings.ToLower(w.Text); name {
	case "content-length", "transfer-encoding":
		return r.errorf(w.Pos, "", "'%s' can't change '%s': it says where the message ends", r.name, name)
	case "connection", "keep-alive", "proxy-connection", "te", "upgrade":
		r.p.ps.Warnf(w.Pos, "", "'%s %s' has no effect: the proxy writes the headers of a connection itself", r.name, name)
	}
	for i := range len(w.Text) {
		if !http1.IsToken(w.Text[i]) {
			return r.errorf(w.Pos, "", "'%s' is no name of a header", short(w.Text))
		}
	}
	return true
}

// side is the message that the list may change.
func (r *actionReader) side() func(*Ctx) *Message {
	if r.list&(response|afterResponse) != 0 {
		return func(c *Ctx) *Message { return c.Res }
	}
	return func(c *Ctx) *Message { return c.Req }
}

// edits gives the message its Edits.
func (m *Message) edits(c *Ctx) *Edits {
	if m.Edits == nil && c.NewEdits != nil {
		m.Edits = c.NewEdits()
	}
	return m.Edits
}

// headerValue is what may stand behind a header's colon: no line can be begun in it.
func headerValue(b []byte) bool {
	for _, x := range b {
		if x < 0x20 && x != '\t' || x == 0x7f {
			return false
		}
	}
	return true
}

func (r *actionReader) header() (name []byte, f *format, ok bool) {
	w, ok := r.word("the name of a header")
	if !ok || !r.own(w) {
		return nil, nil, false
	}
	f, ok = r.format("a value")
	return []byte(strings.ToLower(w.Text)), f, ok
}

func (r *actionReader) setHeader(to *ruleLine) bool { return r.putHeader(to, true) }
func (r *actionReader) addHeader(to *ruleLine) bool { return r.putHeader(to, false) }

func (r *actionReader) putHeader(to *ruleLine, alone bool) bool {
	name, f, ok := r.header()
	lower, side := string(name), r.side()
	to.do = func(c *Ctx) bool {
		m := side(c)
		used := c.used
		b, ok := f.text(c)
		e := m.edits(c)
		ok = ok && e != nil && headerValue(b)
		if ok && alone {
			for i := range m.fields() {
				if n, _, there := m.field(i); there && http1.EqualFold(n, lower) {
					e.remove(m, i)
				}
			}
		}
		ok = ok && e.add(name, b) && (lower != "host" || m != c.Req || m.followHost(c, e))
		c.used = used
		c.changed()
		return ok
	}
	return ok
}

func (r *actionReader) delHeader(to *ruleLine) bool {
	w, ok := r.word("the name of a header")
	if !ok {
		return false
	}
	kind := matchStr
	if len(r.ws) > 1 && r.ws[0].Text == "-m" {
		if kind = matchNames[r.ws[1].Text]; kind != matchStr && kind != matchBeg && kind != matchEnd && kind != matchSub && kind != matchReg {
			return r.errorf(r.ws[1].Pos, "str, beg, end, sub, reg", "'%s' is no way to match a header's name", short(r.ws[1].Text))
		}
		r.ws = r.ws[2:]
	}
	if kind == matchStr && !r.own(w) {
		return false
	}
	good := true
	find := newFinder(kind, []pattern{{text: w.Text, fold: true}}, func(_ int, err error) { r.p.problem(w.Pos, err); good = false })
	side := r.side()
	to.do = func(c *Ctx) bool {
		m := side(c)
		for i := range m.fields() {
			n, _, there := m.field(i)
			if !there || i < m.Head.N && framing(m.Head.Headers[i].ID) {
				continue
			}
			f := c.push()
			f.v.setStr(n)
			found := find.find(c, &f.v) >= 0
			c.pop()
			if found {
				e := m.edits(c)
				if e == nil {
					return false
				}
				e.remove(m, i)
			}
		}
		c.changed()
		return true
	}
	return good
}

func framing(id http1.ID) bool { return id == http1.ContentLength || id == http1.TransferEncoding }

func (r *actionReader) replaceHeader(to *ruleLine) bool { return r.rewrite(to, false) }
func (r *actionReader) replaceValue(to *ruleLine) bool  { return r.rewrite(to, true) }

// rewrite replaces what a regexp matches in a header's lines, or in each element of their lists.
func (r *actionReader) rewrite(to *ruleLine, each bool) bool {
	w, ok := r.word("the name of a header")
	if !ok || !r.own(w) {
		return false
	}
	lower, side := strings.ToLower(w.Text), r.side()
	re, ok := r.regexp()
	if !ok {
		return false
	}
	repl, ok := r.replacement()
	to.do = func(c *Ctx) bool {
		m := side(c)
		good := true
		for i := range m.fields() {
			n, value, there := m.field(i)
			if !there || !http1.EqualFold(n, lower) {
				continue
			}
			used := c.used
			var b []byte
			var hit bool
			if each {
				b, hit = repl.elements(c, re, value)
			} else {
				b, hit = repl.whole(c, re, value)
			}
			if hit {
				e := m.edits(c)
				good = good && e != nil && headerValue(b) && e.replace(m, i, b)
				good = good && (lower != "host" || m != c.Req || m.followHost(c, e))
			}
			c.used = used
		}
		c.changed()
		return good
	}
	return ok
}

// replacement is a log-format whose text may name what a regexp captured as \1.
type replacement struct {
	f      *format
	static *template // where there are no samples
}

func (r *actionReader) replacement() (*replacement, bool) {
	f, ok := r.format("a replacement")
	if !ok {
		return nil, false
	}
	x := &replacement{f: f}
	if s, static := f.static(); static {
		x.static = newTemplate(s)
	}
	return x, true
}

// whole makes what stands in the place of a value that the regexp matches somewhere: all of the value goes.
func (x *replacement) whole(c *Ctx, re *regexp.Regexp, value []byte) ([]byte, bool) {
	m := re.FindSubmatchIndex(value)
	if m == nil {
		return nil, false
	}
	t := x.static
	if t == nil {
		b, ok := x.f.text(c)
		if !ok {
			return nil, false
		}
		t = newTemplate(string(b))
	}
	dst := t.append(c.rest(), value, m)
	return dst, c.take(dst)
}

func (x *replacement) elements(c *Ctx, re *regexp.Regexp, value []byte) ([]byte, bool) {
	out, hit := c.out[:0], false
	for at := 0; at <= len(value); {
		end := listEnd(value, at)
		part := value[at:end]
		trimmed := blanks(part)
		used := c.used
		if b, ok := x.whole(c, re, trimmed); ok && len(trimmed) > 0 {
			lead := len(part) - len(trimLeft(part))
			out = append(append(out, part[:lead]...), b...)
			hit = true
		} else {
			out = append(out, part...)
		}
		c.used = used
		if end < len(value) {
			out = append(out, ',')
		}
		at = end + 1
	}
	b := append(c.rest(), out...)
	return b, hit && c.take(b)
}

func trimLeft(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}
