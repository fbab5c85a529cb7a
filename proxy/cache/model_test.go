package cache

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the fuzzer chooses from, with what each means in the model's own words.

// given are answers' header lines: how long they live, at most, and how old they came.
var given = [...]struct {
	fields    []string
	life, age int64 // seconds; no life: not to be stored
}{
	{[]string{"Cache-Control: max-age=5"}, 5, 0},
	{[]string{"Cache-Control: max-age=600"}, 20, 0},
	{[]string{"Cache-Control: s-maxage=3, max-age=9"}, 3, 0},
	{[]string{"Cache-Control: max-age=8", "Age: 3"}, 8, 3},
	{[]string{`ETag: "x"`}, 20, 0},
	{[]string{"Cache-Control: max-age=8", "Age: 8"}, 0, 0},
	{[]string{"Cache-Control: max-age=0"}, 0, 0},
	{[]string{"Cache-Control: no-store"}, 0, 0},
	{[]string{"Cache-Control: max-age=9", "Set-Cookie: a=b"}, 0, 0},
	{nil, 0, 0},
}

// varied are Vary lines: by encoding, Referer, Origin; a stray one means that nothing is kept.
var varied = [...]struct {
	line                      string
	encoding, referer, origin bool
	stray                     bool
}{
	{},
	{line: "Accept-Encoding", encoding: true},
	{line: "referer", referer: true},
	{line: "Origin, accept-encoding", encoding: true, origin: true},
	{line: "Origin", origin: true},
	{line: "Cookie", stray: true},
	{line: "*", stray: true},
}

// accepted are Accept-Encoding lines: what they name.
var accepted = [...]struct {
	line       string
	names      string
	noIdentity bool
}{
	{},
	{line: "gzip", names: "gzip"},
	{line: "br, x-gzip;q=0.1", names: "br gzip"},
	{line: "gzip;q=0, br", names: "br"},
	{line: "identity;q=0.0, *, gzip", names: "gzip", noIdentity: true},
	{line: "x-own", names: "x-own"},
}

// codedAs are Content-Encoding lines.
var codedAs = [...]string{"", "gzip", "br", "gzip, br", "x-own"}

var persons = [...]string{"", "http://a.example", "http://b.example"}

// asked is a request.
type asked struct {
	target          int
	accept          int
	referer, origin string
}

func newAsked(b byte) asked {
	return asked{target: int(b) % 3, accept: int(b/3) % len(accepted), referer: persons[int(b/18)%3], origin: persons[int(b/54)%3]}
}

func (r asked) query() *Query {
	fields := []string{"User-Agent: x"}
	if l := accepted[r.accept].line; l != "" {
		fields = append(fields, "Accept-Encoding: "+l)
	}
	if r.referer != "" {
		fields = append(fields, "Referer: "+r.referer)
	}
	if r.origin != "" {
		fields = append(fields, "Origin: "+r.origin)
	}
	return query(fmt.Sprint("/", r.target), fields...)
}

// kept is an answer that was stored, or is on its way.
type kept struct {
	asked
	given, vary, coded int
	born, expires      int64 // seconds since t0
	body               string
	stale              bool // the target was changed meanwhile
}

func (k *kept) answer(now int64) *Answer {
	fields := slices.Clone(given[k.given].fields)
	if l := varied[k.vary].line; l != "" {
		fields = append(fields, "Vary: "+l)
	}
	if c := codedAs[k.coded]; c != "" {
		fields = append(fields, "Content-Encoding: "+c)
	}
	return answer(t0+now*second, fields...)
}

// variant names what requests the answer serves.
func (k *kept) variant() string {
	v, s := varied[k.vary], fmt.Sprint(k.target)
	if v.encoding {
		s += " encoding " + codedAs[k.coded]
	}
	if v.referer {
		s += " referer " + k.referer
	}
	if v.origin {
		s += " origin " + k.origin
	}
	return s
}

// serves reports whether a request may have the answer.
func (k *kept) serves(r asked, now int64) bool {
	v := varied[k.vary]
	if k.target != r.target || now >= k.expires || v.referer && k.referer != r.referer || v.origin && k.origin != r.origin {
		return false
	}
	if !v.encoding {
		return true
	}
	if codedAs[k.coded] == "" {
		return !accepted[r.accept].noIdentity
	}
	for _, c := range strings.Split(codedAs[k.coded], ", ") {
		if c == "x-own" || !slices.Contains(strings.Fields(accepted[r.accept].names), c) {
			return false
		}
	}
	return true
}

// bounds of the cache that is played with: a few answers fill it.
const (
	mostBytes    = 12 << 10
	mostObject   = 2 << 10
	mostVariants = 2
	headText     = "HTTP/1.1 200 OK\r\n"
)

// open is a Store that has not ended.
type open struct {
	*Store
	k    *kept
	rest string // of the body
}

// play is a cache beside its model.
type play struct {
	t       *testing.T
	c       *Cache
	vary    bool
	now     int64
	n       int
	kept    []*kept // in the order in which they were stored
	storing []*open
	tight   bool // something may have been evicted
}

// bound holds the cache to its size, and looks whether there was room for anything so far.
func (p *play) bound() {
	p.t.Helper()
	entries, size := p.c.Size()
	if size > mostBytes || size < 0 || entries < 0 {
		p.t.Fatalf("%d entries of %d bytes", entries, size)
	}
	sum, n := int64(0), 0
	for e := p.c.ring.newer; e != &p.c.ring; e = e.newer {
		sum += e.cost()
		n++
	}
	for _, s := range p.c.storing {
		sum += s.reserved
	}
	if sum != size || n != entries {
		p.t.Fatalf("%d entries of %d bytes are counted as %d of %d", n, sum, entries, size)
	}
	p.tight = p.tight || size > mostBytes-3*mostObject-3*entryCost
}

// begin takes an answer on its way in, of known length or not.
func (p *play) begin(r asked, what byte, size int, known bool) {
	p.n++
	k := &kept{asked: r, given: int(what) % len(given), vary: int(what/10) % len(varied), coded: int(what/70+byte(size)) % len(codedAs)}
	g, v := given[k.given], varied[k.vary]
	k.born, k.expires = p.now-g.age, p.now-g.age+g.life
	k.body = fmt.Sprint(p.n, " ") + strings.Repeat(string(rune('a'+p.n%26)), size)
	a := k.answer(p.now)
	storable := g.life > 0 && !v.stray && (v.line == "" || p.vary)
	if got := a.Storable(p.c.Options()); got != storable {
		p.t.Fatalf("%+v: storable %t", k, got)
	}
	if !storable {
		return
	}
	length := int64(-1)
	if known {
		length = int64(len(k.body))
	}
	s := p.c.Begin(r.query(), a, []byte(headText), length, t0+p.now*second)
	if s == nil {
		if p.mayBegin(k, known) && !p.tight {
			p.t.Fatalf("%+v is not taken", k)
		}
		return
	}
	if !p.mayBegin(k, known) {
		p.t.Fatalf("%+v is taken", k)
	}
	p.storing = append(p.storing, &open{s, k, k.body})
}

// mayBegin: it is not too large, not the second of its target at a time, and not one variant too many.
func (p *play) mayBegin(k *kept, known bool) bool {
	if known && len(headText)+len(k.body) > mostObject || slices.ContainsFunc(p.storing, func(o *open) bool { return o.k.target == k.target }) {
		return false
	}
	others := 0
	for _, o := range p.kept {
		if o.target == k.target && p.now < o.expires && o.variant() != k.variant() {
			others++
		}
	}
	return varied[k.vary].line == "" || others < mostVariants || p.tight
}

// write moves an answer on by n bytes, and ends it when all of it is there.
func (p *play) write(i, n int) {
	o := p.storing[i]
	n = min(n, len(o.rest))
	large := len(headText)+len(o.k.body)-len(o.rest)+n > mostObject
	if taken := o.Write([]byte(o.rest[:n])); taken && large || !taken && !large && !p.tight {
		p.t.Fatalf("%d bytes of %d are taken: %t", n, len(o.k.body), taken)
	} else if !taken {
		p.end(i, false)
		return
	}
	if o.rest = o.rest[n:]; o.rest == "" {
		p.end(i, true)
	}
}

func (p *play) end(i int, good bool) {
	o := p.storing[i]
	p.storing = slices.Delete(p.storing, i, i+1)
	if !good {
		o.Abort()
		return
	}
	o.Commit()
	p.kept = slices.DeleteFunc(p.kept, func(k *kept) bool { return k.variant() == o.k.variant() && k.vary == o.k.vary })
	if !o.k.stale {
		p.kept = append(p.kept, o.k)
	}
}

// lookup asks, and compares: the answer is one that was stored, is fresh and may be given; with room for all it is the latest.
func (p *play) lookup(r asked) {
	now := t0 + p.now*second
	e := p.c.Lookup(r.query(), now)
	var may []*kept
	for _, k := range p.kept {
		if k.serves(r, p.now) {
			may = append(may, k)
		}
	}
	if e == nil {
		if len(may) > 0 && !p.tight {
			p.t.Fatalf("%+v finds nothing, %+v was stored", r, *may[len(may)-1])
		}
		return
	}
	i := slices.IndexFunc(may, func(k *kept) bool { return k.body == string(e.Body) })
	if i < 0 || !p.tight && i != len(may)-1 {
		p.t.Fatalf("%+v gets %q, of %d that it may have number %d", r, e.Body, len(may), i)
	}
	if want := fmt.Sprintf("%scontent-length: %d\r\n\r\n", headText, len(e.Body)); string(e.Head) != want || e.Age(now) != p.now-may[i].born {
		p.t.Fatalf("%q of age %d, want %q of %d", e.Head, e.Age(now), want, p.now-may[i].born)
	}
}

func (p *play) invalidate(r asked) {
	p.c.Invalidate(r.query())
	p.kept = slices.DeleteFunc(p.kept, func(k *kept) bool { return k.target == r.target })
	for _, o := range p.storing {
		o.k.stale = o.k.stale || o.k.target == r.target
	}
}

// step plays what three bytes say.
func (p *play) step(op, x, y byte) {
	r := newAsked(x)
	switch size := int(op/8) * 90; op % 8 {
	case 0, 1: // an answer that comes at once
		before := len(p.storing)
		if p.begin(r, y, size, true); len(p.storing) > before {
			p.write(before, size+10)
		}
	case 2:
		p.begin(r, y, size, op >= 128)
	case 3:
		if len(p.storing) > 0 {
			p.write(int(x)%len(p.storing), int(y)*8)
		}
	case 4:
		if len(p.storing) > 0 {
			p.end(int(x)%len(p.storing), false)
		}
	case 5, 6:
		p.lookup(r)
		if op%8 == 6 {
			p.now += int64(y % 8)
		}
	case 7:
		p.invalidate(r)
	}
	p.bound()
}

// FuzzPlay: whatever is stored, asked for, changed and grows old in whatever order, a cache and a plain list of what was
// stored agree: nobody gets an answer that is not his, too old, or void, and the bytes stay within their bound.
func FuzzPlay(f *testing.F) {
	f.Add(true, []byte{8, 0, 0, 5, 0, 0, 6, 0, 7, 5, 0, 0, 7, 0, 0, 5, 0, 0})
	f.Add(true, []byte{8, 3, 80, 16, 6, 80, 24, 9, 80, 5, 3, 0, 5, 6, 0, 5, 9, 0, 5, 12, 0}) // variants by encoding
	f.Add(true, []byte{8, 18, 20, 8, 36, 20, 5, 18, 0, 5, 36, 0, 5, 0, 0})                   // by Referer
	f.Add(false, []byte{2, 0, 1, 3, 0, 200, 7, 0, 0, 3, 0, 255, 5, 0, 0, 10, 1, 1, 4, 0, 0})
	f.Add(true, bytes.Repeat([]byte{120, 0, 1, 128, 1, 1, 136, 2, 1, 5, 0, 0, 120, 3, 11, 128, 6, 11, 5, 1, 0}, 8)) // more than there is room for
	f.Add(true, bytes.Repeat([]byte{250, 0, 1, 3, 0, 100, 251, 1, 255, 248, 1, 1, 5, 1, 6}, 12))
	f.Fuzz(func(t *testing.T, vary bool, ops []byte) {
		p := &play{t: t, vary: vary, c: New("c", Options{TotalMaxSize: mostBytes, MaxObjectSize: mostObject, MaxAge: 20 * time.Second, ProcessVary: vary,
			MaxSecondaryEntries: mostVariants})}
		for ops = ops[:min(len(ops), 600)]; len(ops) >= 3; ops = ops[3:] {
			p.step(ops[0], ops[1], ops[2])
		}
		for len(p.storing) > 0 {
			p.end(0, false)
		}
		p.bound()
	})
}
