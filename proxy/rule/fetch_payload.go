package rule

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// Samples of bytes that nobody reads as a protocol: what has been sent so far is looked at and left where it is.

func init() {
	fetches["req.len"] = &fetchDef{out: Int, needs: atPayload, make: func(_ *program, e *expr, _ []string) error {
		e.growing, e.volatile = true, true
		e.fetch = func(c *Ctx, v *Value) truth { v.setInt(int64(len(c.Payload))); return yes }
		return nil
	}}
	alias("req.len", "req_len")
	fetches["req.payload"] = &fetchDef{out: Bin, needs: atPayload, least: 2, most: 2, make: makePayload}
	fetches["req.ssl_sni"] = &fetchDef{out: Str, needs: atPayload, suffixed: true, costly: true, make: hello(func(h *Hello, v *Value) bool {
		v.setStr(h.SNI)
		return h.Type == 1 && len(h.SNI) > 0
	})}
	alias("req.ssl_sni", "req_ssl_sni")
	fetches["req.ssl_hello_type"] = &fetchDef{out: Int, needs: atPayload, costly: true, make: hello(func(h *Hello, v *Value) bool {
		v.setInt(int64(h.Type))
		return true
	})}
	alias("req.ssl_hello_type", "req_ssl_hello_type")
	fetches["req.ssl_ver"] = &fetchDef{out: Int, needs: atPayload, costly: true, match: matchVersion, make: hello(func(h *Hello, v *Value) bool {
		v.setInt(int64(h.Version>>8)<<16 | int64(h.Version&0xff))
		return h.Type == 1
	})}
	alias("req.ssl_ver", "req_ssl_ver")
	fetches["req.rdp_cookie"] = &fetchDef{out: Str, needs: atPayload, suffixed: true, most: 1, make: makeRDP(false)}
	alias("req.rdp_cookie", "rdp_cookie")
	fetches["req.rdp_cookie_cnt"] = &fetchDef{out: Int, needs: atPayload, most: 1, make: makeRDP(true)}
	alias("req.rdp_cookie_cnt", "rdp_cookie_cnt")
}

func hello(f func(h *Hello, v *Value) bool) func(*program, *expr, []string) error {
	return plain(func(c *Ctx, v *Value) truth {
		h, ok, done := ParseHello(c.Payload, c.rest())
		switch {
		case !done:
			return later(c)
		case !ok:
			return no
		}
		if len(h.SNI) > 0 { // it may lie in the scratch, which the next evaluation uses again
			c.used += min(maxHello, len(c.scratch)-c.used)
		}
		return is(f(&h, v))
	})
}

func makePayload(_ *program, e *expr, args []string) error {
	from, ok1 := parseNumber([]byte(args[0]))
	n, ok2 := parseNumber([]byte(args[1]))
	if !ok1 || !ok2 || from < 0 || n < 0 || from+n > 16384 {
		return fmt.Errorf("'%s,%s' is no offset and length within 16384 bytes", short(args[0]), short(args[1]))
	}
	e.growing = n == 0
	e.fetch = func(c *Ctx, v *Value) truth {
		switch {
		case n == 0 && int64(len(c.Payload)) > from:
			v.setBin(c.Payload[from:])
			return yes
		case n == 0 || int64(len(c.Payload)) < from+n:
			return later(c)
		}
		v.setBin(c.Payload[from : from+n])
		return yes
	}
	return nil
}

// makeRDP takes the cookie of a Remote Desktop connection request: TPKT (RFC 1006), X.224 connection request, then a line
// "Cookie: NAME=VALUE".
func makeRDP(count bool) func(*program, *expr, []string) error {
	return func(_ *program, e *expr, args []string) error {
		name := ""
		if len(args) == 1 {
			name = strings.ToLower(args[0])
		}
		e.fetch = func(c *Ctx, v *Value) truth {
			value, ok, done := rdpCookie(c.Payload, name)
			switch {
			case !done:
				return later(c)
			case count:
				v.setInt(0)
				if ok {
					v.Int = 1
				}
				return yes
			}
			v.setStr(value)
			return is(ok)
		}
		return nil
	}
}

// RDPCookie finds the cookie of that name (in lower case; the cookie may be in any) in the first bytes of a Remote Desktop client; "": any cookie.
func RDPCookie(b []byte, name string) ([]byte, bool) {
	value, ok, _ := rdpCookie(b, name)
	return value, ok
}

func rdpCookie(b []byte, name string) (value []byte, ok, done bool) {
	const head = 11
	if len(b) < head {
		return nil, false, len(b) > 0 && b[0] != 3
	}
	if b[0] != 3 || b[1] != 0 || b[5]>>4 != 0xe {
		return nil, false, true
	}
	line, _, found := bytes.Cut(b[head:], []byte("\r\n"))
	if !found {
		return nil, false, len(b) > 1024
	}
	text, is := bytes.CutPrefix(line, []byte("Cookie: "))
	if !is {
		return nil, false, true
	}
	n, value, is := bytes.Cut(text, []byte("="))
	if !is || len(name) > 0 && !http1.EqualFold(n, name) {
		return nil, false, true
	}
	return value, true, true
}
