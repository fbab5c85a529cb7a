package rule

import (
	"fmt"
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
)

// where is what a list of rules has at hand when it runs.
type where uint8

const (
	atConn     where = 1 << iota // addresses, figures, variables
	atPayload                    // bytes of a protocol that nobody reads
	atRequest                    // a request head
	atResponse                   // an answer's head
)

// fetchFunc takes a sample. c.Final false and truth miss: more bytes may bring it.
type fetchFunc func(c *Ctx, v *Value) truth

// nextFunc takes the next of several samples (header values); it moves it on.
type nextFunc func(c *Ctx, it *cursor, v *Value) bool

// cursor is where a walk over header values stands.
type cursor struct {
	field int
	off   int
	open  bool // within field
}

// convFunc turns a sample into another, in place; false: there is none.
type convFunc func(c *Ctx, v *Value) bool

// expr is a compiled sample expression. Expressions of one spelling share an expr.
type expr struct {
	text  string
	out   Type
	needs where
	match matchKind // that patterns are compared by if nobody says otherwise
	fetch fetchFunc
	next  nextFunc // instead of fetch where a pattern may match any of several
	convs []convFunc
	// volatile samples may differ from one look to the next within a run.
	volatile bool
	growing  bool // more bytes may bring another value: a test that does not hold yet may hold then
	costly   bool
	asks     *users // a userlist that may have to compute a hash first, nil: none
	own      bool   // means the proxy that it stands in
	uses     int
	slot     int // memory of the sample, -1: none
}

// eval takes the sample and sends it through the converters.
func (e *expr) eval(c *Ctx, v *Value) truth {
	if e.slot >= 0 {
		return e.remembered(c, v)
	}
	return e.fresh(c, v)
}

func (e *expr) fresh(c *Ctx, v *Value) truth {
	if t := e.fetch(c, v); t != yes {
		return t
	}
	return is(e.convert(c, v))
}

func (e *expr) convert(c *Ctx, v *Value) bool {
	for _, f := range e.convs {
		if !f(c, v) {
			return false
		}
	}
	return true
}

// remembered evaluates once a run; the text of a sample is kept where the scratch can't be taken from under it.
func (e *expr) remembered(c *Ctx, v *Value) truth {
	m := &c.samples[e.slot]
	if m.epoch == c.epoch {
		*v = m.v
		return is(m.ok)
	}
	used := c.used
	t := e.fresh(c, v)
	if t == miss {
		return t
	}
	if t == yes && (v.Type == Str || v.Type == Bin) && len(e.convs) > 0 {
		if len(v.Bytes) > cap(c.keep)-len(c.keep) {
			return t
		}
		start := len(c.keep)
		c.keep = append(c.keep, v.Bytes...)
		v.Bytes = c.keep[start:len(c.keep):len(c.keep)]
		c.used = used
	}
	m.epoch, m.ok, m.v = c.epoch, t == yes, *v
	return t
}

// truth has three values: what is not known yet may become known when more bytes have come.
type truth uint8

const (
	no truth = iota
	miss
	yes
)

func is(b bool) truth {
	if b {
		return yes
	}
	return no
}

func (t truth) not() truth { return yes - t }

// later is no, or miss while more may come.
func later(c *Ctx) truth {
	if c.Final {
		return no
	}
	return miss
}

// expression compiles a whole word.
func (p *program) expression(s string) (*expr, error) {
	e, rest, err := p.expressionIn(s)
	if err == nil && rest != "" {
		return nil, fmt.Errorf("surplus text '%s'", short(rest))
	}
	return e, err
}

// expressionIn compiles up to a ] outside arguments.
func (p *program) expressionIn(s string) (*expr, string, error) {
	calls, rest, err := parseCalls(s)
	if err != nil {
		return nil, "", err
	}
	key := strings.TrimSuffix(s, rest)
	for _, k := range [...]string{key, p.ownKey(key)} {
		if e := p.exprs[k]; e != nil {
			p.reuse(e)
			p.asks(e.asks)
			return e, rest, nil
		}
	}
	e, kind, err := p.sample(calls[0])
	if err != nil {
		return nil, "", err
	}
	e.text, e.slot = key, -1
	if kind != 0 {
		e.match = kind
	}
	for _, c := range calls[1:] {
		if err := p.converter(e, c); err != nil {
			return nil, "", err
		}
	}
	e.uses = 1
	p.asks(e.asks)
	if e.own {
		key = p.ownKey(key)
	}
	p.exprs[key] = e
	return e, rest, nil
}

// ownKey is what an expression is known by that means the proxy that it stands in.
func (p *program) ownKey(text string) string { return p.proxy + "\n" + text }

// reuse gives an expression that is asked for twice a memory, if asking costs more than remembering.
func (p *program) reuse(e *expr) {
	if e.uses++; e.slot < 0 && !e.volatile && e.fetch != nil && (e.costly || len(e.convs) > 0) {
		e.slot = p.samples
		p.samples++
	}
}

// suffixes are the forms of samples that say how to match.
var suffixes = []struct {
	text string
	kind matchKind
}{{"_beg", matchBeg}, {"_dir", matchDir}, {"_dom", matchDom}, {"_end", matchEnd}, {"_len", matchLen}, {"_reg", matchReg}, {"_sub", matchSub}}

// sample finds a fetch, perhaps under a name with a suffix that says how to match.
func (p *program) sample(c call) (*expr, matchKind, error) {
	def, kind := fetches[c.name], matchKind(0)
	if def == nil {
		for _, s := range suffixes {
			if base, ok := strings.CutSuffix(c.name, s.text); ok && fetches[base] != nil && fetches[base].suffixed {
				def, kind = fetches[base], s.kind
			}
		}
	}
	if def == nil {
		if fetchesLater[c.name] {
			return nil, 0, fmt.Errorf("the sample '%s' is not supported yet", c.name)
		}
		return nil, 0, unknownName("sample", c.name, fetchNames())
	}
	if err := def.count(c); err != nil {
		return nil, 0, err
	}
	e := &expr{out: def.out, needs: def.needs, match: def.match, volatile: def.volatile, costly: def.costly}
	if e.match == 0 {
		e.match = defaultMatch(def.out)
	}
	if err := def.make(p, e, c.args); err != nil {
		return nil, 0, fmt.Errorf("'%s': %w", c.name, err)
	}
	if kind == matchLen {
		e.match = matchLen
	}
	return e, kind, nil
}

func defaultMatch(t Type) matchKind {
	switch t {
	case Bool:
		return matchBool
	case Int:
		return matchInt
	case Addr:
		return matchIP
	case Bin:
		return matchBin
	}
	return matchStr
}

// unknownError names what was not known and what may have been meant.
type unknownError struct{ message, hint string }

func (u *unknownError) Error() string { return u.message }

func unknownName(kind, name string, known []string) error {
	return &unknownError{"unknown " + kind + " '" + name + "'", meant(name, known)}
}

func meant(name string, known []string) string {
	if n := source.Nearest(name, known); n != "" {
		return "did you mean '" + n + "'?"
	}
	return ""
}

func (p *program) converter(e *expr, c call) error {
	def := converters[c.name]
	if def == nil {
		if convertersLater[c.name] {
			return fmt.Errorf("the converter '%s' is not supported yet", c.name)
		}
		return unknownName("converter", c.name, converterNames())
	}
	if n := len(c.args); n < def.least || n > def.most {
		return fmt.Errorf("the converter '%s' takes %s", c.name, counted(def.least, def.most))
	}
	if !castable(e.out, def.in) {
		return fmt.Errorf("the converter '%s' can't be applied to a sample of type %s", c.name, e.out)
	}
	f, out, err := def.make(p, e, c.args)
	if err != nil {
		return fmt.Errorf("'%s': %w", c.name, err)
	}
	e.convs = append(e.convs, f)
	e.out, e.match = out, defaultMatch(out)
	return nil
}

func counted(least, most int) string {
	switch {
	case most == 0:
		return "no argument"
	case least == most && least == 1:
		return "one argument"
	case least == most:
		return fmt.Sprintf("%d arguments", least)
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

// castable: text can be made of everything, and what else can be made of what.
func castable(from, to Type) bool {
	switch {
	case to == 0 || from == to || to == Str || to == Bin:
		return true
	case to == Int || to == Bool:
		return from == Bool || from == Int || from == Str || from == Addr || from == Bin
	case to == Addr:
		return from == Str
	}
	return false
}
