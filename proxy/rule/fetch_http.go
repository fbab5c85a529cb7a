package rule

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/reeve-lb/reeve/proxy/http1"
)

func init() {
	req := func(f func(c *Ctx, m *Message, v *Value) bool) func(*program, *expr, []string) error {
		return plain(func(c *Ctx, v *Value) truth {
			if c.Req == nil {
				return later(c)
			}
			return is(f(c, c.Req, v))
		})
	}
	fetches["path"] = &fetchDef{out: Str, needs: atRequest, suffixed: true, make: req(func(_ *Ctx, m *Message, v *Value) bool {
		v.setStr(m.Path())
		return len(v.Bytes) > 0
	})}
	fetches["pathq"] = &fetchDef{out: Str, needs: atRequest, make: req(func(_ *Ctx, m *Message, v *Value) bool {
		v.setStr(m.pathQuery())
		return len(v.Bytes) > 0
	})}
	fetches["url"] = &fetchDef{out: Str, needs: atRequest, suffixed: true, make: req(func(_ *Ctx, m *Message, v *Value) bool {
		v.setStr(m.target())
		return true
	})}
	fetches["query"] = &fetchDef{out: Str, needs: atRequest, make: req(func(_ *Ctx, m *Message, v *Value) bool {
		_, q := cutQuery(m.pathQuery())
		v.setStr(q)
		return q != nil
	})}
	fetches["method"] = &fetchDef{out: Str, needs: atRequest, make: req(func(_ *Ctx, m *Message, v *Value) bool {
		v.setStr(m.method())
		return true
	})}
	fetches["base"] = &fetchDef{out: Str, needs: atRequest, suffixed: true, costly: true, make: req(base)}
	fetches["req.ver"] = &fetchDef{out: Str, needs: atRequest, make: req(func(c *Ctx, m *Message, v *Value) bool {
		v.setStr(versions[m.Head.Minor&1])
		switch c.Major {
		case 2:
			v.setStr(version2)
		case 3:
			v.setStr(version3)
		}
		return true
	})}
	alias("req.ver", "req_ver")
	fetches["req.proto_http"] = &fetchDef{out: Bool, needs: atRequest | atPayload, make: plain(protoHTTP)}
	alias("req.proto_http", "req_proto_http")
	fetches["req.body_size"] = &fetchDef{out: Int, needs: atRequest, make: req(func(_ *Ctx, m *Message, v *Value) bool {
		v.setInt(m.bodySize())
		return true
	})}
	fieldFetches()
}

// bodySize is how long a request's body says that it is: its Content-Length, or of chunks what has come with what the last
// of them still lacks.
func (m *Message) bodySize() (size int64) {
	h := m.Head
	if !h.Chunked {
		return max(h.ContentLength, 0)
	}
	var chunks http1.Chunks
	for rest := m.In[min(h.Len, len(m.In)):]; len(rest) > 0; {
		n, piece, fault := chunks.Next(rest)
		if fault != http1.None || n == 0 {
			return size
		}
		if piece == http1.Data {
			size += int64(n)
		}
		rest = rest[n:]
	}
	if chunks.InData() {
		size += chunks.Left()
	}
	return size
}

// fieldFetches are those of a message's parts that have names, and of the answer.
func fieldFetches() {
	fetches["url_param"] = &fetchDef{out: Str, needs: atRequest, suffixed: true, costly: true, least: 1, most: 2, make: makeParam}
	alias("url_param", "urlp")
	headers("hdr", "req.hdr", "req.fhdr", atRequest)
	headers("shdr", "res.hdr", "res.fhdr", atResponse)
	fetches["cook"] = &fetchDef{out: Str, needs: atRequest, suffixed: true, costly: true, least: 1, most: 1, make: makeCookie}
	alias("cook", "req.cook")
	fetches["status"] = &fetchDef{out: Int, needs: atResponse, make: plain(func(c *Ctx, v *Value) truth {
		if c.Res == nil {
			return no
		}
		v.setInt(int64(c.Res.Status()))
		return yes
	})}
	fetches["res.ver"] = &fetchDef{out: Str, needs: atResponse, make: plain(func(c *Ctx, v *Value) truth {
		if c.Res == nil {
			return no
		}
		v.setStr(versions[c.Res.Head.Minor&1])
		return yes
	})}
}

var (
	versions = [2][]byte{[]byte("1.0"), []byte("1.1")}
	version2 = []byte("2.0")
	version3 = []byte("3.0")
)

// base is the host followed by the path.
func base(c *Ctx, m *Message, v *Value) bool {
	b := c.rest()
	for i := range m.fields() {
		if name, value, ok := m.field(i); ok && http1.EqualFold(name, "host") {
			b = append(b, value...)
			break
		}
	}
	b = append(b, m.Path()...)
	v.setStr(b)
	return c.take(b) && len(b) > 0
}

// protoHTTP tells whether the bytes are the beginning of HTTP.
func protoHTTP(c *Ctx, v *Value) truth {
	if c.Req != nil {
		v.setBool(true)
		return yes
	}
	switch http1.ParseRequest(c.Payload, &c.head) {
	case http1.None:
		v.setBool(true)
		return yes
	case http1.Incomplete:
		return later(c)
	}
	v.setBool(false)
	return yes
}

// headers are the samples of one direction's header lines: value by value, line by line, counted, as address, as number.
func headers(old, name, full string, at where) {
	side := func(c *Ctx) *Message { return c.Req }
	if at == atResponse {
		side = func(c *Ctx) *Message { return c.Res }
	}
	def := func(out Type, suffixed bool, split bool, conv convFunc) *fetchDef {
		return &fetchDef{out: out, needs: at, suffixed: suffixed, costly: true, least: 1, most: 2, make: func(_ *program, e *expr, args []string) error {
			return makeHeader(e, args, side, split, conv)
		}}
	}
	fetches[name] = def(Str, true, true, nil)
	fetches[full] = def(Str, true, false, nil)
	fetches[name+"_ip"] = def(Addr, false, true, toAddr)
	fetches[name+"_val"] = def(Int, false, true, toInt)
	fetches[name+"_cnt"] = &fetchDef{out: Int, needs: at, costly: true, least: 1, most: 1, make: func(_ *program, e *expr, args []string) error {
		lower := strings.ToLower(args[0])
		e.fetch = func(c *Ctx, v *Value) truth {
			m := side(c)
			if m == nil {
				return later(c)
			}
			n := int64(0)
			var it cursor
			for m.next(&it, lower, true, v) {
				n++
			}
			v.setInt(n)
			return yes
		}
		return nil
	}}
	for _, s := range []string{"", "_ip", "_val", "_cnt"} {
		alias(name+s, old+s)
	}
}

func toAddr(_ *Ctx, v *Value) bool {
	a, ok := parseAddr(v.Bytes)
	if !ok { // a port may follow
		if i := bytes.LastIndexByte(v.Bytes, ':'); i > 0 && bytes.IndexByte(v.Bytes, ':') == i {
			a, ok = parseAddr(v.Bytes[:i])
		}
	}
	v.setAddr(a)
	return ok
}

func toInt(_ *Ctx, v *Value) bool {
	n, ok := v.number()
	v.setInt(n)
	return ok
}

func makeHeader(e *expr, args []string, side func(*Ctx) *Message, split bool, conv convFunc) error {
	lower, occ := strings.ToLower(args[0]), int64(0)
	if len(args) == 2 {
		var ok bool
		if occ, ok = parseNumber([]byte(args[1])); !ok || occ == 0 || occ < -10 {
			return fmt.Errorf("'%s' is no occurrence: 1 is the first, -1 the last", short(args[1]))
		}
	}
	e.fetch = func(c *Ctx, v *Value) truth {
		m := side(c)
		if m == nil {
			return later(c)
		}
		if !m.occurrence(lower, occ, split, v) || conv != nil && !conv(c, v) {
			return no
		}
		return yes
	}
	if occ == 0 {
		e.next = func(c *Ctx, it *cursor, v *Value) bool {
			m := side(c)
			for m != nil && m.next(it, lower, split, v) {
				if conv == nil || conv(c, v) {
					return true
				}
			}
			return false
		}
	}
	return nil
}

// occurrence is the n-th value of a header, from the end for a negative n; 0 is the last.
func (m *Message) occurrence(lower string, n int64, split bool, v *Value) bool {
	var it cursor
	if n <= 0 {
		count := int64(0)
		for m.next(&it, lower, split, v) {
			count++
		}
		if n == 0 {
			n = -1
		}
		if n == -1 && count > 0 {
			return true // v is the last
		}
		if n = count + n + 1; n <= 0 {
			return false
		}
		it = cursor{}
	}
	for ; n > 0; n-- {
		if !m.next(&it, lower, split, v) {
			return false
		}
	}
	return true
}

// next walks the values of a header; with split, those of a list one by one.
func (m *Message) next(it *cursor, lower string, split bool, v *Value) bool {
	for ; it.field < m.fields(); it.field++ {
		name, value, ok := m.field(it.field)
		if !ok || !http1.EqualFold(name, lower) {
			continue
		}
		if !split {
			it.field++
			v.setStr(value)
			return true
		}
		if it.open && it.off > len(value) {
			it.open = false
			continue
		}
		if !it.open {
			it.open, it.off = true, 0
		}
		end := listEnd(value, it.off)
		v.setStr(blanks(value[it.off:end]))
		it.off = end + 1
		return true
	}
	return false
}

// listEnd is where the element of a comma-separated list that begins at from ends; commas in quotes are text.
func listEnd(b []byte, from int) int {
	quoted := false
	for i := from; i < len(b); i++ {
		switch {
		case quoted && b[i] == '\\':
			i++
		case b[i] == '"':
			quoted = !quoted
		case b[i] == ',' && !quoted:
			return i
		}
	}
	return len(b)
}

func blanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func makeParam(_ *program, e *expr, args []string) error {
	name, sep := []byte(args[0]), byte('?')
	if len(args) == 2 {
		if len(args[1]) != 1 {
			return fmt.Errorf("'%s' is no delimiter: one character", short(args[1]))
		}
		sep = args[1][0]
	}
	e.fetch = func(c *Ctx, v *Value) truth {
		if c.Req == nil {
			return later(c)
		}
		var it cursor
		b, ok := param(&it, c.Req.pathQuery(), name, sep)
		v.setStr(b)
		return is(ok)
	}
	e.next = func(c *Ctx, it *cursor, v *Value) bool {
		if c.Req == nil {
			return false
		}
		b, ok := param(it, c.Req.pathQuery(), name, sep)
		v.setStr(b)
		return ok
	}
	return nil
}

// param finds the next name=value among the parameters after sep.
func param(it *cursor, target, name []byte, sep byte) ([]byte, bool) {
	if !it.open {
		it.open, it.off = true, len(target)
		if i := bytes.IndexByte(target, sep); i >= 0 {
			it.off = i + 1
		}
	}
	for it.off < len(target) {
		start, end := it.off, it.off
		for end < len(target) && target[end] != '&' && target[end] != ';' {
			end++
		}
		it.off = end + 1
		p := target[start:end]
		if len(p) > len(name) && p[len(name)] == '=' && bytes.Equal(p[:len(name)], name) {
			return p[len(name)+1:], true
		}
	}
	return nil, false
}

func makeCookie(_ *program, e *expr, args []string) error {
	name := args[0]
	e.fetch = func(c *Ctx, v *Value) truth {
		if c.Req == nil {
			return later(c)
		}
		for i := range c.Req.fields() {
			if n, value, ok := c.Req.field(i); ok && http1.EqualFold(n, "cookie") {
				if b, found := cookie(value, name); found {
					v.setStr(b)
					return yes
				}
			}
		}
		return no
	}
	return nil
}

// cookie finds a cookie's value in a Cookie header.
func cookie(b []byte, name string) ([]byte, bool) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, ';')
		if end < 0 {
			end = len(b)
		}
		p := blanks(b[:end])
		if len(p) > len(name) && p[len(name)] == '=' && string(p[:len(name)]) == name {
			return blanks(p[len(name)+1:]), true
		}
		b = b[min(end+1, len(b)):]
	}
	return nil, false
}
