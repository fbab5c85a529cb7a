package keepalivedconf

import (
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
