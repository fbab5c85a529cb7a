package engine

import (
	"bytes"

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

// cookieLine passes a Cookie header on without the cookie that is ours (indirect).
func (s *session) cookieLine(w *writer, hd *http1.Header, in []byte) {
	v, name := hd.Value.Of(in), s.t.bc.cookie.Name
	start, end := ourCookie(v, name)
	if start < 0 {
		w.header(hd, in)
		return
	}
	head, tail := bytes.TrimRight(v[:start], "; \t"), bytes.TrimLeft(v[end:], "; \t")
	if len(head)+len(tail) == 0 {
		return
	}
	w.bytes(hd.Name.Of(in))
	w.text(": ")
	w.bytes(head)
	if len(head) > 0 && len(tail) > 0 {
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

// insertsCookie: the client came without a cookie of the server that serves it.
func (s *session) insertsCookie() bool {
	t := s.t
	return t.bc.cookie != nil && t.sc.setCookie != nil && !(t.flags[2] == 'V' && t.persistent)
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
