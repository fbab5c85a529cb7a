package rule

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// matchKind is how a sample is compared with patterns.
type matchKind uint8

const (
	matchFound matchKind = iota + 1
	matchBool
	matchInt
	matchIP
	matchBin
	matchLen
	matchStr
	matchBeg
	matchEnd
	matchSub
	matchDir
	matchDom
	matchReg
	matchVersion // major.minor as integers
)

var matchNames = map[string]matchKind{"found": matchFound, "bool": matchBool, "int": matchInt, "ip": matchIP, "bin": matchBin, "len": matchLen,
	"str": matchStr, "beg": matchBeg, "end": matchEnd, "sub": matchSub, "dir": matchDir, "dom": matchDom, "reg": matchReg}

// pattern is one value of an ACL or one key of a map.
type pattern struct {
	text string
	fold bool
	op   string // of numbers: eq ge gt le lt
}

// finder tells which of its patterns a sample matches: the index that goes with it, -1 for none. Finders are immutable.
type finder interface {
	find(c *Ctx, v *Value) int
}

// newFinder builds what finds one of many patterns fast. bad tells about patterns that are none, by index.
func newFinder(kind matchKind, ps []pattern, bad func(i int, err error)) finder {
	switch kind {
	case matchInt, matchLen, matchBool, matchVersion:
		return newNumbers(kind, ps, bad)
	case matchIP:
		return newNetworks(ps, bad)
	case matchReg:
		return newRegexps(ps, bad)
	case matchBin:
		for i, p := range ps {
			b, err := hex.DecodeString(p.text)
			if err != nil {
				bad(i, fmt.Errorf("'%s' is no binary pattern: pairs of hexadecimal digits", short(p.text)))
				continue
			}
			ps[i].text, ps[i].fold = string(b), false
		}
		kind = matchStr
	}
	var plain, folded []indexed
	for i, p := range ps {
		if p.fold {
			folded = append(folded, indexed{strings.ToLower(p.text), i})
		} else {
			plain = append(plain, indexed{p.text, i})
		}
	}
	switch {
	case len(folded) == 0:
		return newTexts(kind, plain)
	case len(plain) == 0:
		return lowered{newTexts(kind, folded)}
	}
	return either{newTexts(kind, plain), lowered{newTexts(kind, folded)}}
}

// indexed is a pattern's text and its place.
type indexed struct {
	text string
	at   int
}

// texter finds text.
type texter interface {
	findText(c *Ctx, b []byte) int
}

func newTexts(kind matchKind, ps []indexed) finder {
	switch kind {
	case matchBeg, matchEnd:
		return text{newPrefixes(ps, kind == matchEnd)}
	case matchSub:
		return text{subs(ps)}
	case matchDir, matchDom:
		delims := "/?"
		if kind == matchDom {
			delims = "/?.:"
		}
		return text{newParts(ps, delims)}
	}
	return text{newExact(ps)}
}

// text takes the text of a sample.
type text struct{ texter }

func (t text) find(c *Ctx, v *Value) int {
	used := c.used
	b, ok := v.text(c)
	n := -1
	if ok {
		n = t.findText(c, b)
	}
	c.used = used
	return n
}

// lowered compares in lower case; its patterns are.
type lowered struct{ finder }

func (l lowered) find(c *Ctx, v *Value) int {
	used := c.used
	b, ok := v.text(c)
	n := -1
	if ok {
		low := appendLower(c.rest(), b)
		if c.take(low) {
			f := c.push()
			f.v.setStr(low)
			n = l.finder.find(c, &f.v)
			c.pop()
		}
	}
	c.used = used
	return n
}

type either [2]finder

func (e either) find(c *Ctx, v *Value) int {
	if n := e[0].find(c, v); n >= 0 {
		return n
	}
	return e[1].find(c, v)
}

// exact finds equal text; the first of equal patterns counts.
type exact map[string]int

func newExact(ps []indexed) exact {
	m := make(exact, len(ps))
	for _, p := range ps {
		if _, there := m[p.text]; !there {
			m[p.text] = p.at
		}
	}
	return m
}

func (m exact) findText(_ *Ctx, b []byte) int {
	if n, ok := m[string(b)]; ok {
		return n
	}
	return -1
}

// subs finds text within.
type subs []indexed

func (s subs) findText(_ *Ctx, b []byte) int {
	for i := range s {
		if len(s[i].text) <= len(b) && contains(b, s[i].text) {
			return s[i].at
		}
	}
	return -1
}

func contains(b []byte, s string) bool {
	if s == "" {
		return true
	}
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], s[0])
		if i < 0 || at+i+len(s) > len(b) {
			return false
		}
		if at += i; string(b[at:at+len(s)]) == s {
			return true
		}
		at++
	}
}

// prefixes finds the longest pattern that a text begins with (or ends with), by a binary search for its predecessor and
// the chain of patterns that are prefixes of each other.
type prefixes struct {
	keys    []indexed // sorted
	parent  []int32   // the longest other key that is a prefix, -1
	longest int
	back    bool // texts and keys are turned round
}

func newPrefixes(ps []indexed, back bool) *prefixes {
	x := &prefixes{keys: slices.Clone(ps), back: back}
	for i := range x.keys {
		if back {
			b := []byte(x.keys[i].text)
			slices.Reverse(b)
			x.keys[i].text = string(b)
		}
		x.longest = max(x.longest, len(x.keys[i].text))
	}
	slices.SortStableFunc(x.keys, func(a, b indexed) int { return cmp.Compare(a.text, b.text) })
	x.keys = slices.CompactFunc(x.keys, func(a, b indexed) bool { return a.text == b.text })
	x.parent = make([]int32, len(x.keys))
	for i := range x.keys {
		p := int32(i) - 1
		for p >= 0 && !strings.HasPrefix(x.keys[i].text, x.keys[p].text) {
			p = x.parent[p]
		}
		x.parent[i] = p
	}
	return x
}

func (x *prefixes) findText(c *Ctx, b []byte) int {
	if x.back {
		n := min(len(b), x.longest)
		turned := c.rest()
		for i := range n {
			turned = append(turned, b[len(b)-1-i])
		}
		b = turned
	}
	lo, hi := 0, len(x.keys) // keys[lo:] are greater than b
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if x.keys[mid].text <= string(b) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for i := int32(lo) - 1; i >= 0; i = x.parent[i] {
		if k := x.keys[i].text; len(k) <= len(b) && string(b[:len(k)]) == k {
			return x.keys[i].at
		}
	}
	return -1
}

// parts finds whole parts of a text between delimiters (path components, domain labels). Patterns of one part are looked
// up, those with delimiters inside are compared one by one.
type parts struct {
	delims [256]bool
	single map[string]int
	multi  []indexed
}

func newParts(ps []indexed, delims string) *parts {
	x := &parts{single: map[string]int{}}
	for i := range len(delims) {
		x.delims[delims[i]] = true
	}
	for _, p := range ps {
		p.text = strings.Trim(p.text, delims)
		if strings.ContainsAny(p.text, delims) {
			x.multi = append(x.multi, p)
		} else if _, there := x.single[p.text]; !there {
			x.single[p.text] = p.at
		}
	}
	return x
}

func (x *parts) findText(_ *Ctx, b []byte) int {
	start := 0
	for i := 0; i <= len(b) && len(x.single) > 0; i++ {
		if i < len(b) && !x.delims[b[i]] {
			continue
		}
		if i > start {
			if n, ok := x.single[string(b[start:i])]; ok {
				return n
			}
		}
		start = i + 1
	}
	for i := range x.multi {
		t := x.multi[i].text
		for at := 0; at+len(t) <= len(b); at++ {
			if string(b[at:at+len(t)]) == t && (at == 0 || x.delims[b[at-1]]) && (at+len(t) == len(b) || x.delims[b[at+len(t)]]) {
				return x.multi[i].at
			}
		}
	}
	return -1
}

// numbers finds integers by intervals.
type numbers struct {
	kind  matchKind
	spans []span // sorted by lo; where several hold, the first pattern counts
	reach []int64
}

type span struct {
	lo, hi int64
	at     int
}

func newNumbers(kind matchKind, ps []pattern, bad func(int, error)) *numbers {
	x := &numbers{kind: kind}
	for i, p := range ps {
		s, err := numberSpan(kind, p)
		if err != nil {
			bad(i, err)
			continue
		}
		s.at = i
		x.spans = append(x.spans, s)
	}
	slices.SortStableFunc(x.spans, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	x.reach = make([]int64, len(x.spans)) // the farthest end up to here
	for i, s := range x.spans {
		x.reach[i] = s.hi
		if i > 0 {
			x.reach[i] = max(s.hi, x.reach[i-1])
		}
	}
	return x
}

func numberSpan(kind matchKind, p pattern) (s span, err error) {
	wrong := fmt.Errorf("'%s' is no integer or range (1, 1:5, 1024:)", short(p.text))
	lo, hi, ranged := strings.Cut(p.text, ":")
	read := func(t string, otherwise int64) int64 {
		if t == "" && ranged {
			return otherwise
		}
		n, e := numberOf(kind, t)
		if e != nil {
			err = wrong
		}
		return n
	}
	s.lo, s.hi = read(lo, math.MinInt64), read(hi, math.MaxInt64)
	if !ranged {
		err = nil
		s.lo = read(lo, 0)
		s.hi = s.lo
	}
	switch p.op {
	case "ge":
		s.hi = math.MaxInt64
	case "gt":
		s.lo, s.hi = s.hi+1, math.MaxInt64
	case "le":
		s.lo = math.MinInt64
	case "lt":
		s.lo, s.hi = math.MinInt64, s.lo-1
	}
	if p.op != "" && p.op != "eq" && ranged {
		err = fmt.Errorf("the range '%s' can't follow '%s'", short(p.text), p.op)
	}
	return s, err
}

func numberOf(kind matchKind, t string) (int64, error) {
	if kind == matchVersion {
		major, minor, _ := strings.Cut(t, ".")
		a, err := strconv.ParseUint(major, 10, 16)
		if err != nil {
			return 0, err
		}
		b := uint64(0)
		if minor != "" {
			b, err = strconv.ParseUint(minor, 10, 16)
		}
		return int64(a<<16 | b), err
	}
	if kind == matchBool {
		switch t {
		case "true", "on", "yes":
			return 1, nil
		case "false", "off", "no":
			return 0, nil
		}
	}
	n, ok := parseNumber([]byte(t))
	if !ok {
		return 0, strconv.ErrSyntax
	}
	return n, nil
}

func (x *numbers) find(c *Ctx, v *Value) int {
	n, ok := v.number()
	if x.kind == matchLen {
		used := c.used
		var b []byte
		b, ok = v.text(c)
		n, c.used = int64(len(b)), used
	}
	if !ok {
		return -1
	}
	lo, hi := 0, len(x.spans)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if x.spans[mid].lo <= n {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for i := lo - 1; i >= 0 && x.reach[i] >= n; i-- {
		if x.spans[i].hi >= n {
			return x.spans[i].at
		}
	}
	return -1
}

// networks finds the smallest network that an address is in, by one look for each length of prefix in use.
type networks struct {
	nets map[netip.Prefix]int
	four []int // lengths, longest first
	six  []int
}

func newNetworks(ps []pattern, bad func(int, error)) *networks {
	x := &networks{nets: make(map[netip.Prefix]int, len(ps))}
	for i, p := range ps {
		n, ok := network(p.text)
		if !ok {
			bad(i, fmt.Errorf("'%s' is no address or network", short(p.text)))
			continue
		}
		if _, there := x.nets[n]; there {
			continue
		}
		x.nets[n] = i
		lens := &x.six
		if n.Addr().Is4() {
			lens = &x.four
		}
		if !slices.Contains(*lens, n.Bits()) {
			*lens = append(*lens, n.Bits())
		}
	}
	for _, l := range [][]int{x.four, x.six} {
		slices.SortFunc(l, func(a, b int) int { return b - a })
	}
	return x
}

// network reads an address with an optional prefix length or dotted mask.
func network(s string) (netip.Prefix, bool) {
	addr, mask, masked := strings.Cut(s, "/")
	a, ok := parseAddr([]byte(addr))
	if !ok {
		return netip.Prefix{}, false
	}
	n := a.BitLen()
	if masked {
		var err error
		if n, err = maskLen(mask, a.BitLen()); err != nil {
			return netip.Prefix{}, false
		}
	}
	return netip.PrefixFrom(a, n).Masked(), true
}

func (x *networks) find(_ *Ctx, v *Value) int {
	a, ok := v.address()
	if !ok {
		return -1
	}
	lens := x.six
	if a.Is4() {
		lens = x.four
	}
	for _, n := range lens {
		p, _ := a.Prefix(n)
		if i, ok := x.nets[p]; ok {
			return i
		}
	}
	return -1
}

// regexps are tried in order. What a literal decides alone is not given to the regexp.
type regexps []regexpTest

type regexpTest struct {
	re    *regexp.Regexp // nil: the literal is all there is
	begin bool           // the literal stands at the beginning
	lit   string
	at    int
}

func newRegexps(ps []pattern, bad func(int, error)) regexps {
	var out regexps
	for i, p := range ps {
		expr := p.text
		if p.fold {
			expr = "(?i)" + expr
		}
		re, err := compileRegexp(expr)
		if err != nil {
			bad(i, err)
			continue
		}
		t := regexpTest{re: re, at: i}
		t.analyse(expr)
		out = append(out, t)
	}
	return out
}

// analyse finds a literal at the beginning of the text, or a regexp that is nothing but a literal.
func (t *regexpTest) analyse(expr string) {
	if lit, whole := t.re.LiteralPrefix(); whole {
		t.lit, t.re = lit, nil
		return
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return
	}
	tree = tree.Simplify()
	if tree.Op != syntax.OpConcat || len(tree.Sub) < 2 || tree.Sub[0].Op != syntax.OpBeginText {
		return
	}
	if l := tree.Sub[1]; l.Op == syntax.OpLiteral && l.Flags&syntax.FoldCase == 0 {
		t.begin, t.lit = true, string(l.Rune)
		if len(tree.Sub) == 2 {
			t.re = nil
		}
	}
}

func (x regexps) find(c *Ctx, v *Value) int {
	used := c.used
	b, ok := v.text(c)
	n := -1
	for i := 0; ok && i < len(x); i++ {
		if x[i].match(b) {
			n = x[i].at
			break
		}
	}
	c.used = used
	return n
}

func (t *regexpTest) match(b []byte) bool {
	switch {
	case t.begin && (len(b) < len(t.lit) || string(b[:len(t.lit)]) != t.lit):
		return false
	case t.re != nil:
		return t.re.Match(b)
	}
	return t.begin || contains(b, t.lit)
}
