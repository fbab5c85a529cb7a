package engine

import (
	"bytes"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// Persistence by cookie: whose cookie a request brings, what the server sees of it, and what the client is given.

// byCookie finds the server that the client's cookie names. With `option persist` that one is asked even when it is down.
func (s *session) byCookie() {
	t := s.t
	value, ok := findCookie(&t.head, s.client.in.data(), t.bc.cookie.Name)
	if !ok {
		t.flags[2] = 'N'
		return
	}
	t.flags[2] = 'I'
	if t.bc.cookie.Mode == proxy.CookiePrefix {
		value, _, _ = bytes.Cut(value, prefixMark)
	} else if value, ok = s.dated(value); !ok {
		return
	}
	for _, sc := range t.bc.servers {
		if sc.cookie == "" || sc.cookie != string(value) {
			continue
		}
		t.flags[2] = 'D'
		if sc.usable() {
			t.flags[2], t.sc = 'V', sc
			return
		}
		if t.bc.persist && sc.resolved {
			t.sc = sc
			return
		}
	}
}

// prefixMark stands between the server's name and the server's own value, dateMark in front of a date.
var prefixMark, dateMark = []byte{'~'}, []byte{'|'}

// dated takes the dates off a cookie's value: when it was used last and when it was given. false: it is too old.
func (s *session) dated(value []byte) ([]byte, bool) {
	t, c := s.t, s.t.bc.cookie
	name, dates, _ := bytes.Cut(value, dateMark)
	last, first, _ := bytes.Cut(dates, dateMark)
	t.lastSeen, t.firstSeen = parseDate(last), parseDate(first)
	now := s.l.wall / int64(time.Second)
	switch {
	case c.MaxLife > 0 && stale(t.firstSeen, now, c.MaxLife):
		t.flags[2] = 'O'
	case c.MaxIdle > 0 && stale(t.lastSeen, now, c.MaxIdle):
		t.flags[2] = 'E'
	default:
		return name, true
	}
	t.lastSeen, t.firstSeen = 0, 0
	return nil, false
}

// stale: longer ago than most, or more than a day in the future, which no clock that is a little wrong explains.
func stale(date, now int64, most time.Duration) bool {
	return date != 0 && (now-date > int64(most/time.Second) || date-now > 86400)
}

// A date is five characters of six bits each, which count four seconds.
const dateDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// parseDate is the Unix seconds of a date, 0 if it is none.
func parseDate(b []byte) int64 {
	if len(b) < 5 {
		return 0
	}
	n := int64(0)
	for _, c := range b[:5] {
		d := strings.IndexByte(dateDigits, c)
		if d < 0 {
			return 0
		}
		n = n<<6 | int64(d)
	}
	return n << 2
}

func (w *writer) date(seconds int64) {
	b := [6]byte{'|'}
	for i, n := 5, (seconds+3)>>2; i > 0; i, n = i-1, n>>6 {
		b[i] = dateDigits[n&63]
	}
	w.bytes(b[:])
}

// editsCookies: the server is not to see the client's cookie as it is.
func (t *txn) editsCookies() bool {
	c := t.bc.cookie
	return c != nil && (c.Mode == proxy.CookieInsert && c.Indirect || c.Mode == proxy.CookiePrefix)
}

// cookieLine passes a Cookie header on without the cookie that is ours (indirect), or without the server's name in it
// (prefix).
func (s *session) cookieLine(w *writer, hd *http1.Header, in []byte) {
	v, name := hd.Value.Of(in), s.t.bc.cookie.Name
	start, end := ourCookie(v, name)
	if start >= 0 && s.t.bc.cookie.Mode == proxy.CookiePrefix {
		start += len(name) + 1
		if end = start + bytes.IndexByte(v[start:end], prefixMark[0]) + 1; end == start {
			start = -1
		}
	}
	if start < 0 {
		w.header(hd, in)
		return
	}
	head, tail := v[:start], v[end:]
	if s.t.bc.cookie.Mode != proxy.CookiePrefix {
		if head, tail = bytes.TrimRight(head, "; \t"), bytes.TrimLeft(tail, "; \t"); len(head)+len(tail) == 0 {
			return
		}
	}
	w.bytes(hd.Name.Of(in))
	w.text(": ")
	w.bytes(head)
	if len(head) > 0 && len(tail) > 0 && s.t.bc.cookie.Mode != proxy.CookiePrefix {
		w.text("; ")
	}
	w.bytes(tail)
	w.text("\r\n")
}

// ourCookie finds name=value in a Cookie header; start is -1 without one.
func ourCookie(v []byte, name string) (start, end int) {
	for at := 0; at < len(v); {
		for at < len(v) && (v[at] == ' ' || v[at] == '\t' || v[at] == ';') {
			at++
		}
		end := at
		for end < len(v) && v[end] != ';' {
			end++
		}
		if p := v[at:end]; len(p) > len(name) && p[len(name)] == '=' && string(p[:len(name)]) == name {
			return at, end
		}
		at = end
	}
	return -1, -1
}

func findCookie(h *http1.Head, in []byte, name string) ([]byte, bool) {
	for i := range h.Headers[:h.N] {
		if h.Headers[i].ID != http1.Cookie {
			continue
		}
		v := h.Headers[i].Value.Of(in)
		if start, end := ourCookie(v, name); start >= 0 {
			return bytes.Trim(v[start+len(name)+1:end], " \t\""), true
		}
	}
	return nil, false
}

// serverCookie sees to a Set-Cookie of the server; false: it is passed on as it is.
func (s *session) serverCookie(w *writer, hd *http1.Header, in []byte) bool {
	t := s.t
	c, v := t.bc.cookie, hd.Value.Of(in)
	if c == nil || !setsOurs(v, c.Name) {
		return false
	}
	t.flags[3] = 'P'
	value := v[len(c.Name)+1:]
	switch {
	case c.Preserve:
		return false
	case c.Mode == proxy.CookieInsert, c.Indirect && t.direct():
		t.flags[3] = 'D'
		return true
	case t.sc.cookie == "" || c.Mode == proxy.CookiePassive:
		return false
	}
	t.flags[3] = 'R'
	w.bytes(hd.Name.Of(in))
	w.text(": ")
	w.text(c.Name)
	w.text("=")
	w.text(t.sc.cookie)
	if c.Mode == proxy.CookiePrefix {
		w.bytes(prefixMark)
	} else if end := bytes.IndexByte(value, ';'); end >= 0 {
		value = value[end:]
	} else {
		value = nil
	}
	w.bytes(value)
	w.text("\r\n")
	return true
}

// direct: the client's cookie led to the server that serves it.
func (t *txn) direct() bool { return t.flags[2] == 'V' && t.persistent }

// insertsCookie: the client came without a cookie of the server that serves it, or with one whose dates want renewal.
func (s *session) insertsCookie() bool {
	t, c := s.t, s.t.bc.cookie
	if c.Mode != proxy.CookieInsert || t.sc.cookie == "" || c.Preserve && t.flags[3] == 'P' || c.PostOnly && t.method != http1.POST {
		return false
	}
	now := s.l.wall / int64(time.Second)
	return !t.direct() ||
		(c.MaxIdle > 0 || t.lastSeen != 0) && t.lastSeen < now ||
		(c.MaxLife > 0) != (t.firstSeen != 0)
}

// giveCookie adds the cookie to an answer whose other headers are written.
func (s *session) giveCookie(w *writer, h *http1.Head, in []byte) {
	t, c := s.t, s.t.bc.cookie
	if !s.insertsCookie() {
		if t.flags[3] == '-' {
			t.flags[3] = 'N'
		}
		return
	}
	w.bytes(t.sc.setCookie)
	if c.MaxIdle > 0 || c.MaxLife > 0 {
		now := s.l.wall / int64(time.Second)
		w.date(now)
		if c.MaxLife > 0 {
			first := t.firstSeen
			if first == 0 {
				first = now
			}
			w.date(first)
		}
	}
	w.bytes(t.bc.cookieTail)
	if t.flags[3] = 'I'; t.direct() {
		t.flags[3] = 'U'
	}
	if c.NoCache && (t.method == http1.GET || t.method == http1.HEAD) && cacheable(h, in) {
		w.text("Cache-Control: private\r\n")
	}
}

// compileCookie makes what follows the value of an inserted cookie.
func compileCookie(c *proxy.Cookie) []byte {
	if c == nil {
		return nil
	}
	tail := "; path=/"
	for _, d := range c.Domains {
		tail += "; domain=" + d
	}
	if c.HTTPOnly {
		tail += "; HttpOnly"
	}
	if c.Secure {
		tail += "; Secure"
	}
	for _, a := range c.Attrs {
		tail += "; " + a
	}
	return []byte(tail + "\r\n")
}

func setsOurs(v []byte, name string) bool {
	return len(v) > len(name) && v[len(name)] == '=' && string(v[:len(name)]) == name
}

// cacheable is whether a cache might keep the answer: it has a validator or says how long it is fresh, and nothing in
// it forbids (RFC 9111 section 3).
func cacheable(h *http1.Head, in []byte) bool {
	yes := false
	for i := range h.Headers[:h.N] {
		v := h.Headers[i].Value.Of(in)
		switch h.Headers[i].ID {
		case http1.ETag, http1.LastModified, http1.Expires:
			yes = true
		case http1.Pragma:
			if http1.EqualFold(v, "no-cache") {
				return false
			}
		case http1.CacheControl:
			for len(v) > 0 {
				var d []byte
				d, v = http1.NextToken(v)
				switch {
				case http1.EqualFold(d, "no-store"), http1.EqualFold(d, "private"), http1.EqualFold(d, "no-cache"):
					return false
				case http1.EqualFold(d, "public"), hasFoldPrefix(d, "max-age="), hasFoldPrefix(d, "s-maxage="):
					yes = true
				}
			}
		}
	}
	return yes
}
