package keepalivedconf

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
)

// define understands `$NAME=value`.
func (x *expander) define(t text) bool {
	if t.s[0] != '$' {
		return false
	}
	n := nameLen(t.s[1:])
	if n == 0 || 1+n >= len(t.s) || t.s[1+n] != '=' {
		return false
	}
	name := t.s[1 : 1+n]
	value := t.slice(n+2, len(t.s)).trim()
	more := strings.HasSuffix(value.s, `\`)
	delete(x.vars, name)
	x.extend(name, value, more)
	x.def = ""
	if more {
		x.def = name
	}
	return true
}

// extend adds a line to a value; more: another follows.
func (x *expander) extend(name string, t text, more bool) {
	if more {
		t = t.slice(0, len(t.s)-1).trim()
		if t.s == "" && len(x.vars[name]) == 0 {
			x.vars[name] = []text{}
			return
		}
	}
	x.vars[name] = append(x.vars[name], t)
}

// nameLen is the length of the variable's name that s begins with.
func nameLen(s string) int {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}

// expand replaces the variables of a line by their values, one layer of them. more are further lines, when a value has
// several: what stood behind the variable is behind the last of them.
func (x *expander) expand(t text) (first text, more []text, changed bool) {
	var lines []text
	var b builder
	begin := 0
	for i := 0; i < len(t.s); {
		if t.s[i] != '$' {
			i++
			continue
		}
		name, n := reference(t.s[i:])
		value, ok := x.value(name, t, i)
		if !ok {
			i += max(n, 1)
			continue
		}
		b.add(t, begin, i)
		for k, v := range value {
			if k > 0 {
				lines = append(lines, b.text())
				b = builder{}
			}
			b.put(v.s, through(t.pos(i), v))
		}
		i += n
		begin, changed = i, true
		if b.s.Len() > maxLine {
			break
		}
	}
	if !changed {
		return t, nil, false
	}
	b.add(t, begin, len(t.s))
	lines = append(lines, b.text())
	return lines[0], lines[1:], true
}

// through is the place of a value's text: where it is used, by way of where it stands.
func through(use source.Pos, value text) source.Pos {
	if len(value.from) > 0 && !value.from[0].fixed {
		p := value.from[0].pos
		use.Via = p.File + ":" + strconv.Itoa(p.Line)
	}
	return use
}

// reference reads `${name}` or `$name`, which ends at a blank, a comma, a parenthesis or the end of the line.
func reference(s string) (name string, n int) {
	if strings.HasPrefix(s, "${") {
		end := strings.IndexByte(s, '}')
		if end < 0 || end > 256 {
			return "", 0
		}
		return s[2:end], end + 1
	}
	n = 1 + nameLen(s[1:])
	if n == 1 || n < len(s) && strings.IndexByte(blanks+",)", s[n]) < 0 {
		return "", 0
	}
	return s[1:n], n
}

// value is what a variable stands for.
func (x *expander) value(name string, t text, at int) ([]text, bool) {
	if v, ok := x.vars[name]; ok {
		return v, true
	}
	word, args, _ := strings.Cut(name, " ")
	s := ""
	switch {
	case name == "_PWD":
		s = x.dir()
	case name == "_INSTANCE" && x.opts.Instance != "":
		s = x.opts.Instance
	case name == "_HASH":
		s = "#"
	case name == "_BANG":
		s = "!"
	case word == "_RANDOM":
		s = random(strings.Fields(args))
	default:
		return nil, false
	}
	return []text{{s: s, from: []span{{pos: t.pos(at), fixed: true}}}}, true
}

// dir is the directory of the file at hand.
func (x *expander) dir() string {
	d := filepath.Dir(x.file())
	if !filepath.IsAbs(d) {
		d = filepath.Join(x.opts.Dir, d)
	}
	return d
}

// random is `${_RANDOM [min [max]]}`, by default from 0 to 32767.
func random(args []string) string {
	bounds := [2]int64{0, 32767}
	for i, a := range args {
		if n, err := strconv.ParseInt(a, 10, 32); err == nil && i < 2 {
			bounds[i] = n
		}
	}
	if bounds[1] < bounds[0] {
		bounds[1] = bounds[0]
	}
	return fmt.Sprint(bounds[0] + rand.Int64N(bounds[1]-bounds[0]+1))
}
