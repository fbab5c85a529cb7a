package keepalivedconf

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
)

// Bounds of what a file may grow into. A bomb costs one error.
const (
	maxLines   = 1 << 14 // made by repetitions, variables of several lines and included files
	maxBytes   = 1 << 20 // of lines that variables and repetitions made
	maxRead    = 4 << 20 // bytes of included files
	maxLine    = 64 << 10
	maxNesting = 32 // of variables in variables and of repetitions
	maxDepth   = 16 // of included files
	maxOpened  = 1000
)

// expander is the second stage: lines of files become the lines that they stand for.
type expander struct {
	opts   Options
	ps     *source.Problems
	out    []text
	vars   map[string][]text // values, a text a line
	def    string            // the variable whose definition goes on on the next line
	files  []string          // that include the one at hand, and it
	opened int
	lines  int
	bytes  int
	read   int
	stop   bool

	condition func(id string) // told of every @ID, if it is there
}

// file is the file at hand.
func (x *expander) file() string { return x.files[len(x.files)-1] }

// run takes in a file line by line.
func (x *expander) run(name, content string) {
	n := 0
	x.files = append(x.files, name)
	for line := range strings.SplitSeq(content, "\n") {
		n++
		if x.stop {
			break
		}
		x.physical(literal(strings.TrimSuffix(line, "\r"), source.Pos{File: name, Line: n, Col: 1}))
	}
	x.files = x.files[:len(x.files)-1]
}

// physical takes in a line of a file: it goes on with the definition before it, or stands for itself.
func (x *expander) physical(t text) {
	t, ok := x.strip(t, false)
	if !ok {
		return
	}
	if x.def != "" {
		more := strings.HasSuffix(t.s, `\`)
		if t.s != "" {
			x.extend(x.def, t, more)
		}
		if !more {
			x.def = ""
		}
		return
	}
	x.enough(t)
	x.line(t, 0)
}

// enough ends the reading when nothing seems to be right.
func (x *expander) enough(at text) {
	if len(*x.ps) > maxProblems {
		x.bomb(at.pos(0), "too many mistakes")
	}
}

// strip takes off blanks around the line and the comment: ! or #, outside "..." and with no backslash before it. That
// backslash does not protect a second time, from the look that follows when variables were replaced.
func (x *expander) strip(t text, again bool) (text, bool) {
	quote, i := -1, 0
scan:
	for ; i < len(t.s); i++ {
		switch c := t.s[i]; {
		case c == '\\' && i+1 < len(t.s) && (quote >= 0 || !again || strings.IndexByte("#!", t.s[i+1]) < 0):
			i++
		case c == '"' && quote < 0:
			quote = i
		case c == '"':
			quote = -1
		case quote < 0 && (c == '#' || c == '!'):
			break scan
		}
	}
	i = min(i, len(t.s))
	var b builder
	b.add(t, 0, i)
	if c := strings.TrimRight(t.s, blanks); i < len(c) && strings.HasSuffix(c, `\`) && (x.def != "" || begins(t.s, "$@")) {
		b.add(t, len(c)-1, len(c)) // the comment ends the line, not the definition
	}
	if quote >= 0 {
		x.ps.Errorf(t.pos(quote), "", "unmatched quote")
		return text{}, false
	}
	return b.text().trim(), true
}

// begins reports whether the first character that is no blank is one of set.
func begins(s, set string) bool {
	s = strings.TrimLeft(s, blanks)
	return s != "" && strings.IndexByte(set, s[0]) >= 0
}

// line works on one line until it is what it stands for. nesting counts the variables and repetitions around it.
func (x *expander) line(t text, nesting int) {
	for tested := false; !x.stop; nesting++ {
		switch {
		case t.s == "":
			return
		case nesting > maxNesting:
			x.ps.Errorf(t.pos(0), "", "variables refer to each other in a circle, or too deep")
			x.ps.As(source.ClassSilent)
			return
		case t.s[0] == '@' && !tested:
			var keep bool
			if t, keep = x.conditional(t); !keep {
				return
			}
			tested = true
			continue
		case x.define(t):
			return
		case strings.HasPrefix(t.s, "~SEQ") || strings.HasPrefix(t.s, "~LST"):
			x.repeat(t, nesting)
			return
		}
		next, more, changed := x.expand(t)
		if !changed {
			x.emit(t, nesting)
			return
		}
		if len(next.s) > maxLine {
			x.bomb(t.pos(0), "a line longer than %d bytes comes out of the variables here", maxLine)
			return
		}
		if !x.made(t, next) {
			return
		}
		if len(more) > 0 {
			x.several(append([]text{next}, more...), nesting+1)
			return
		}
		var ok bool
		if t, ok = x.strip(next, true); !ok {
			return
		}
		tested = false
	}
}

// several takes in the lines of a value that has more than one.
func (x *expander) several(lines []text, nesting int) {
	for _, l := range lines {
		if l, ok := x.strip(l, true); ok && x.made(l, l) {
			x.line(l, nesting)
		}
	}
}

// made counts a line that is not in any file; it is false when there are too many.
func (x *expander) made(at, t text) bool {
	x.lines++
	x.bytes += len(t.s)
	x.enough(at)
	if x.lines > maxLines || x.bytes > maxBytes {
		x.bomb(at.pos(0), "variables, repetitions and included files make more than %d lines or %d MiB", maxLines, maxBytes>>20)
	}
	return !x.stop
}

// bomb ends the reading.
func (x *expander) bomb(at source.Pos, format string, args ...any) {
	if !x.stop {
		x.ps.Errorf(at, "nothing after this is read", format, args...)
	}
	x.stop = true
}

// emit hands a finished line on, or includes what it says.
func (x *expander) emit(t text, nesting int) {
	if x.include(t, nesting) {
		return
	}
	x.out = append(x.out, t)
}

// conditional understands `@ID rest` and `@^ID rest`.
func (x *expander) conditional(t text) (rest text, keep bool) {
	i := strings.IndexAny(t.s, blanks)
	if i < 0 {
		i = len(t.s)
	}
	id, not := strings.CutPrefix(t.s[1:i], "^")
	if x.condition != nil {
		x.condition(id)
	}
	return t.slice(i, len(t.s)).trim(), (id == x.opts.ConfigID) != not && id != ""
}

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
