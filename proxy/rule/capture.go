package rule

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// What is noted of a request and its answer for the log line, and for rules that come when the request is gone.

// Slots are texts of bounded length, each noted or not. Room is used again.
type Slots struct {
	lens []int
	room []byte
	at   []int
	used []int // -1: nothing was noted
}

// fit makes as many slots as there are lengths, all empty.
func (s *Slots) fit(lens []int) {
	s.lens, s.at, s.used = lens, s.at[:0], s.used[:0]
	total := 0
	for _, n := range lens {
		s.at, s.used = append(s.at, total), append(s.used, -1)
		total += n
	}
	if cap(s.room) < total {
		s.room = make([]byte, total)
	}
}

// Len is the number of slots.
func (s *Slots) Len() int { return len(s.lens) }

// Get is what a slot has noted; ok is false for nothing.
func (s *Slots) Get(i int) (text []byte, ok bool) {
	if i >= len(s.used) || s.used[i] < 0 {
		return nil, false
	}
	return s.room[s.at[i] : s.at[i]+s.used[i]], true
}

func (s *Slots) put(i int, text []byte) {
	if i < len(s.lens) {
		s.used[i] = copy(s.room[s.at[i]:s.at[i]+s.lens[i]:cap(s.room)], text)
	}
}

// Captures are a transaction's.
type Captures struct {
	Req, Res  Slots
	CookieReq []byte // of `capture cookie`, NAME=VALUE
	CookieRes []byte
}

// Capturing is what a frontend notes.
type Capturing struct {
	req, res   []int // lengths
	ofRequest  []captured
	ofResponse []captured
	cookie     string
	cookieLen  int
}

// captured is a header whose value is noted.
type captured struct {
	name string // in lower case
	slot int
}

// None reports whether nothing is noted.
func (c *Capturing) None() bool {
	return c == nil || len(c.req) == 0 && len(c.res) == 0 && c.cookie == ""
}

// Begin makes to ready for a transaction.
func (c *Capturing) Begin(to *Captures) {
	to.Req.fit(c.req)
	to.Res.fit(c.res)
	to.CookieReq, to.CookieRes = to.CookieReq[:0], to.CookieRes[:0]
}

// Request notes a request's headers: of several lines of one name the last.
func (c *Capturing) Request(m *Message, to *Captures) {
	m.capture(c.ofRequest, &to.Req)
	if c.cookie == "" {
		return
	}
	for i := range m.fields() {
		if name, value, ok := m.field(i); ok && len(to.CookieReq) == 0 && http1.EqualFold(name, "cookie") {
			for len(value) > 0 && len(to.CookieReq) == 0 {
				var one []byte
				one, value, _ = bytes.Cut(value, []byte{';'})
				c.noteCookie(&to.CookieReq, blanks(one))
			}
		}
	}
}

// Response notes an answer's.
func (c *Capturing) Response(m *Message, to *Captures) {
	m.capture(c.ofResponse, &to.Res)
	if c.cookie == "" {
		return
	}
	for i := range m.fields() {
		if name, value, ok := m.field(i); ok && len(to.CookieRes) == 0 && http1.EqualFold(name, "set-cookie") {
			one, _, _ := bytes.Cut(value, []byte{';'})
			c.noteCookie(&to.CookieRes, blanks(one))
		}
	}
}

// noteCookie takes NAME=VALUE if it begins as the cookie's name does.
func (c *Capturing) noteCookie(to *[]byte, text []byte) {
	if len(text) >= len(c.cookie) && string(text[:len(c.cookie)]) == c.cookie {
		*to = append(*to, text[:min(len(text), c.cookieLen)]...)
	}
}

func (m *Message) capture(of []captured, to *Slots) {
	for i := range m.fields() {
		name, value, ok := m.field(i)
		for k := range of {
			if ok && http1.EqualFold(name, of[k].name) {
				to.put(of[k].slot, value)
			}
		}
	}
}

// capturing is what the lines of a frontend ask for; rules add slots of their own.
func capturing(lines []proxy.Capture) *Capturing {
	c := &Capturing{}
	for _, l := range lines {
		switch l.Of {
		case proxy.CaptureRequest:
			c.ofRequest = append(c.ofRequest, captured{strings.ToLower(l.Name), len(c.req)})
			c.req = append(c.req, l.Len)
		case proxy.CaptureResponse:
			c.ofResponse = append(c.ofResponse, captured{strings.ToLower(l.Name), len(c.res)})
			c.res = append(c.res, l.Len)
		case proxy.CaptureCookie:
			c.cookie, c.cookieLen = l.Name, l.Len
		case proxy.DeclareRequest:
			c.req = append(c.req, l.Len)
		case proxy.DeclareResponse:
			c.res = append(c.res, l.Len)
		}
	}
	return c
}

func init() {
	actions["capture"] = actionDef{content | request | response, (*actionReader).capture}
	at := func(name string, of func(c *Captures) *Slots) {
		fetches[name] = &fetchDef{out: Str, volatile: true, least: 1, most: 1, make: func(_ *program, e *expr, args []string) error {
			n, ok := parseNumber([]byte(args[0]))
			if !ok || n < 0 {
				return fmt.Errorf("'%s' is no number of what is captured: 0 is the first", short(args[0]))
			}
			e.fetch = func(c *Ctx, v *Value) truth {
				if c.Captures == nil {
					return no
				}
				b, ok := of(c.Captures).Get(int(n))
				v.setStr(b)
				return is(ok)
			}
			return nil
		}}
		conv := "capture-" + name[len("capture."):len("capture.")+3]
		converters[conv] = &convDef{in: Str, least: 1, most: 1, make: func(_ *program, _ *expr, args []string) (convFunc, Type, error) {
			n, ok := parseNumber([]byte(args[0]))
			if !ok || n < 0 {
				return nil, Str, fmt.Errorf("'%s' is no number of what is captured: 0 is the first", short(args[0]))
			}
			return func(c *Ctx, v *Value) bool {
				used := c.used
				b, ok := v.text(c)
				if ok && c.Captures != nil {
					of(c.Captures).put(int(n), b)
				}
				if v.Type != Str {
					c.used = used
				}
				return ok
			}, Str, nil
		}}
	}
	at("capture.req.hdr", func(c *Captures) *Slots { return &c.Req })
	at("capture.res.hdr", func(c *Captures) *Slots { return &c.Res })
	fetches["capture.req.method"] = &fetchDef{out: Str, make: plain(func(c *Ctx, v *Value) truth {
		b, _, ok := bytes.Cut(c.Line, []byte{' '})
		v.setStr(b)
		return is(ok)
	})}
	fetches["capture.req.uri"] = &fetchDef{out: Str, make: plain(func(c *Ctx, v *Value) truth {
		_, b, ok := bytes.Cut(c.Line, []byte{' '})
		if end := bytes.LastIndexByte(b, ' '); end >= 0 {
			b = b[:end]
		}
		v.setStr(b)
		return is(ok)
	})}
}

// capture reads `capture SAMPLE len N` or `capture SAMPLE id N`: the first makes a slot for the log line, the second uses
// one that there is.
func (r *actionReader) capture(to *ruleLine) bool {
	e, ok := r.sampleArg()
	if !ok {
		return false
	}
	how, ok := r.word("'len N' or 'id N'")
	if !ok {
		return false
	}
	w, ok := r.word("a number")
	n, is := parseNumber([]byte(w.Text))
	switch {
	case !ok:
		return false
	case how.Text != "len" && how.Text != "id":
		return r.errorf(how.Pos, "capture SAMPLE len N, capture SAMPLE id N", "'%s' can't follow the sample of 'capture'", short(how.Text))
	case !is || n < 0 || how.Text == "len" && (n == 0 || n > proxy.MaxCapture):
		return r.errorf(w.Pos, fmt.Sprintf("a length from 1 to %d, an id from 0", proxy.MaxCapture), "'%s' is no value for '%s'", short(w.Text), how.Text)
	case how.Text == "len" && r.list == response:
		return r.errorf(how.Pos, "declare capture response len N, and capture SAMPLE id 0", "'capture' of an answer has no 'len'")
	case how.Text == "len" && r.p.captures == nil:
		return r.errorf(how.Pos, "", "'capture ... len' is a frontend's: backends know 'id'")
	}
	slots := func(c *Captures) *Slots { return &c.Req }
	if r.list == response {
		slots = func(c *Captures) *Slots { return &c.Res }
	}
	if how.Text == "len" {
		r.p.captures.req = append(r.p.captures.req, int(n))
		n = int64(len(r.p.captures.req) - 1)
	} else if c := r.p.captures; c != nil {
		declared := len(c.req)
		if r.list == response {
			declared = len(c.res)
		}
		if n >= int64(declared) {
			return r.errorf(w.Pos, "declare capture request|response len N", "there is no capture of the number %d", n)
		}
	}
	to.do = func(c *Ctx) bool {
		if c.Captures == nil {
			return true
		}
		f := c.push()
		used := c.used
		if e.eval(c, &f.v) == yes {
			if b, ok := f.v.text(c); ok {
				slots(c.Captures).put(int(n), b)
			}
		}
		c.used = used
		c.pop()
		return true
	}
	return true
}
