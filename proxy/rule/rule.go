// Package rule is what a configuration decides by: samples of a request, converters, patterns, ACLs, conditions, and the
// lists of http-request, http-response and tcp-request rules, in haproxy.cfg's words.
//
// It is a pure core: time, files and the figures of the data plane are arguments. Everything is compiled once, when a
// configuration is applied, to closures over a Ctx; running them allocates nothing.
package rule

import (
	"math"
	"net/netip"
	"strconv"

	"github.com/reeve-lb/reeve/proxy/cache"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// Type is what a sample is.
type Type uint8

// The types of samples.
const (
	Bool Type = iota + 1
	Int
	Addr
	Str
	Bin
)

var typeNames = [...]string{"nothing", "boolean", "integer", "address", "string", "binary"}

// String implements fmt.Stringer.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "unknown"
}

// Value is a sample. Bytes belong to the request's buffer or to the Ctx and are good until the next evaluation.
type Value struct {
	Type  Type
	Int   int64 // Bool: 0 or 1
	Bytes []byte
	Addr  netip.Addr
}

func (v *Value) setBool(b bool) {
	v.Type, v.Int = Bool, 0
	if b {
		v.Int = 1
	}
}

func (v *Value) setInt(n int64)       { v.Type, v.Int = Int, n }
func (v *Value) setStr(b []byte)      { v.Type, v.Bytes = Str, b }
func (v *Value) setBin(b []byte)      { v.Type, v.Bytes = Bin, b }
func (v *Value) setAddr(a netip.Addr) { v.Type, v.Addr = Addr, a.Unmap() }

// scratchSize bounds what one evaluation may make, and keepSize what is remembered during one run of rules.
const (
	scratchSize = 32768
	keepSize    = 32768
)

// Ctx is what rules look at. A loop has one and fills it in for each run; it is not safe for concurrent use.
type Ctx struct {
	Req, Res      *Message // nil: not there, or not any more
	Src, Dst      netip.AddrPort
	Major         int       // 2 or 3: the request came as HTTP/2 or HTTP/3
	TLS           bool      // the client speaks TLS to us
	SNI           string    // the name it asked for then
	Payload       []byte    // what the other side has sent so far, where no protocol is read
	Final         bool      // no more of it will come, or be waited for
	Now           int64     // Unix nanoseconds
	Random        uint64    // state of rand
	Vars          *Vars     // of the transaction
	Session       *Vars     // of the client's connection
	Tracks        *Tracks   // entries of stick-tables that the transaction tracks, nil: none
	SessionTracks *Tracks   // and the client's connection
	Captures      *Captures // what is noted of the transaction, nil: nothing
	Line          []byte    // the request's line, as far as it is logged
	Front         string    // names of the proxies
	Back          string
	LogLevel      string                // what a rule set; "silent": no line
	Class         int                   // set-priority-class
	Offset        int                   // set-priority-offset, milliseconds
	NoRetry       bool                  // disable-l7-retry
	Local         func() netip.AddrPort // finds Dst when it is asked for; nil: Dst is all there is
	NewVars       func() *Vars
	NewEdits      func() *Edits
	NewTracks     func() *Tracks
	// UseCache looks the request up in a cache, and StoreCache keeps the answer in one; nil: nothing happens. Cached is the
	// name of the cache that the answer is from, "" for another answer.
	UseCache, StoreCache func(*cache.Cache)
	Cached               string
	// From is where the next List begins, 0 but for one that came as far as Asking and goes on once Question is answered.
	From     int
	Question *Question
	Secret   [32]byte // keys what is remembered of passwords; to be set once, at random

	scratch []byte
	used    int
	head    http1.Head // of bytes that are looked at for HTTP
	known   verdicts
	keep    []byte
	out     []byte // where a format grows
	epoch   uint32
	bools   []boolMemo
	samples []sampleMemo
	frames  [maxFrames]frame
	depth   int
}

type boolMemo struct {
	epoch uint32
	is    truth
}

type sampleMemo struct {
	epoch uint32
	ok    bool
	v     Value
}

// NewCtx allocates a Ctx with its scratch.
func NewCtx() *Ctx {
	return &Ctx{scratch: make([]byte, scratchSize), keep: make([]byte, 0, keepSize), out: make([]byte, 0, scratchSize), Random: 0x9e3779b97f4a7c15}
}

// Begin forgets what the last run left. Fields that the caller does not set afterwards are empty.
func (c *Ctx) Begin() {
	c.Src, c.Dst = netip.AddrPort{}, netip.AddrPort{}
	c.Req, c.Res, c.TLS, c.SNI, c.Payload, c.Final = nil, nil, false, "", nil, true
	c.Major = 0
	c.Vars, c.Session, c.Front, c.Back = nil, nil, "", ""
	c.Tracks, c.SessionTracks, c.Captures, c.Line = nil, nil, nil, nil
	c.LogLevel, c.Class, c.Offset, c.NoRetry, c.Cached = "", 0, 0, false, ""
	c.From, c.Question = 0, nil
	c.changed()
}

// dst is the address that the client connected to.
func (c *Ctx) dst() netip.AddrPort {
	if !c.Dst.IsValid() && c.Local != nil {
		c.Dst = c.Local()
	}
	return c.Dst
}

// changed makes remembered samples void: a rule has changed what they were taken from.
func (c *Ctx) changed() {
	c.used, c.keep = 0, c.keep[:0]
	if c.epoch++; c.epoch == 0 {
		clear(c.bools)
		clear(c.samples)
		c.epoch = 1
	}
}

// room makes space for the memory of a program's ACLs and samples.
func (c *Ctx) room(p *program) {
	if len(c.bools) < p.bools {
		c.bools = append(c.bools, make([]boolMemo, p.bools-len(c.bools))...)
	}
	if len(c.samples) < p.samples {
		c.samples = append(c.samples, make([]sampleMemo, p.samples-len(c.samples))...)
	}
}

// rest is the scratch that is left, to append to; take says how much was used.
func (c *Ctx) rest() []byte { return c.scratch[c.used:c.used:len(c.scratch)] }

// take claims b, which was appended to rest; false when it did not fit and lives elsewhere.
func (c *Ctx) take(b []byte) bool {
	if len(b) > len(c.scratch)-c.used {
		return false
	}
	c.used += len(b)
	return true
}

// text is the value as a string, made in the scratch where it is none yet.
func (v *Value) text(c *Ctx) ([]byte, bool) {
	switch v.Type {
	case Str, Bin:
		return v.Bytes, true
	case Int:
		b := strconv.AppendInt(c.rest(), v.Int, 10)
		return b, c.take(b)
	case Bool:
		if v.Int != 0 {
			return textOne, true
		}
		return textZero, true
	case Addr:
		b := v.Addr.AppendTo(c.rest())
		return b, c.take(b)
	}
	return nil, false
}

var textOne, textZero = []byte("1"), []byte("0")

// number is the value as an integer.
func (v *Value) number() (int64, bool) {
	switch v.Type {
	case Int, Bool:
		return v.Int, true
	case Str:
		return parseNumber(v.Bytes)
	case Addr:
		if v.Addr.Is4() {
			b := v.Addr.As4()
			return int64(b[0])<<24 | int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3]), true
		}
	}
	return 0, false
}

// parseNumber reads a whole decimal number with an optional sign.
func parseNumber(b []byte) (int64, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	var n int64
	for _, d := range b {
		if d < '0' || d > '9' || n > (math.MaxInt64-int64(d-'0'))/10 {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// address is the value as an IP address.
func (v *Value) address() (netip.Addr, bool) {
	switch v.Type {
	case Addr:
		return v.Addr, v.Addr.IsValid()
	case Str:
		return parseAddr(v.Bytes)
	}
	return netip.Addr{}, false
}

// parseAddr reads an address without an allocation for IPv4, the usual case.
func parseAddr(b []byte) (netip.Addr, bool) {
	var q [4]byte
	part, digits, n := 0, 0, 0
	for i := 0; i <= len(b); i++ {
		if i == len(b) || b[i] == '.' {
			if digits == 0 || part > 3 {
				return parseAddr6(b)
			}
			q[part] = byte(n)
			part, digits, n = part+1, 0, 0
			continue
		}
		if b[i] < '0' || b[i] > '9' || digits == 3 || digits > 0 && n == 0 {
			return parseAddr6(b)
		}
		n = n*10 + int(b[i]-'0')
		if digits++; n > 255 {
			return netip.Addr{}, false
		}
	}
	return netip.AddrFrom4(q), part == 4
}

func parseAddr6(b []byte) (netip.Addr, bool) {
	if len(b) < 2 || len(b) > 45 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(string(b))
	return a.Unmap(), err == nil && a.Zone() == ""
}

// Message is a head as rules see it: the bytes that came, and what rules have changed since.
type Message struct {
	Head  *http1.Head
	In    []byte
	Edits *Edits // nil: as it came
}

// Has reports whether there is a header of that name (in lower case).
func (m *Message) Has(lower string) bool {
	for i := range m.fields() {
		if name, _, ok := m.field(i); ok && http1.EqualFold(name, lower) {
			return true
		}
	}
	return false
}

// Fields is how many header lines there are to look at, those that rules took out among them.
func (m *Message) Fields() int { return m.fields() }

// Field is the i-th header line as rules left it; ok is false where they took it out.
func (m *Message) Field(i int) (name, value []byte, ok bool) { return m.field(i) }

// Target is the request's path with its query as rules left it; empty for authority and asterisk form.
func (m *Message) Target() []byte { return m.pathQuery() }

// fields is how many header lines there are to look at, those taken out among them.
func (m *Message) fields() int {
	if m.Edits != nil {
		return m.Head.N + len(m.Edits.added)
	}
	return m.Head.N
}

// field is the i-th header line; ok is false where a rule took it out.
func (m *Message) field(i int) (name, value []byte, ok bool) {
	if i >= m.Head.N {
		f := &m.Edits.added[i-m.Head.N]
		return f.name, f.value, f.name != nil
	}
	h := &m.Head.Headers[i]
	if m.Edits != nil {
		if m.Edits.isGone(i) {
			return nil, nil, false
		}
		if v, is := m.Edits.value(i); is {
			return h.Name.Of(m.In), v, true
		}
	}
	return h.Name.Of(m.In), h.Value.Of(m.In), true
}

// target is the request target.
func (m *Message) target() []byte {
	if m.Edits != nil && m.Edits.target != nil {
		return m.Edits.target
	}
	return m.Head.Target.Of(m.In)
}

// pathQuery is the path with its query; empty for authority and asterisk form.
func (m *Message) pathQuery() []byte {
	if m.Edits == nil || m.Edits.target == nil {
		return m.Head.Path.Of(m.In)
	}
	t := m.Edits.target
	if len(t) > 0 && t[0] == '/' {
		return t
	}
	return t[len(t)-len(afterAuthority(t)):]
}

// afterAuthority is the path of an absolute target.
func afterAuthority(t []byte) []byte {
	at := 0
	for at+2 < len(t) && string(t[at:at+3]) != "://" {
		at++
	}
	if at+3 > len(t) {
		return nil
	}
	for at += 3; at < len(t); at++ {
		if t[at] == '/' || t[at] == '?' {
			return t[at:]
		}
	}
	return nil
}

// Path is the path without the query.
func (m *Message) Path() []byte {
	p, _ := cutQuery(m.pathQuery())
	return p
}

// cutQuery splits at the question mark; query is nil without one.
func cutQuery(p []byte) (path, query []byte) {
	for i, b := range p {
		if b == '?' {
			return p[:i], p[i+1:]
		}
	}
	return p, nil
}

func (m *Message) method() []byte {
	if m.Edits != nil && m.Edits.method != nil {
		return m.Edits.method
	}
	return m.Head.Verb.Of(m.In)
}

// Status is an answer's, as rules left it.
func (m *Message) Status() int {
	if m.Edits != nil && m.Edits.status != 0 {
		return m.Edits.status
	}
	return m.Head.Status
}
