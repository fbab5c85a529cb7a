package keepalivedconf

import (
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
)

// repeat understands `~SEQ(var, start[, step], end) rest`, ~SEQx (hexadecimal) and `~LST(var, a, b) rest`, with tuples:
// `~LST({a, b}, {1, 2}, {3, 4}) rest`. The rest is read once for each value.
func (x *expander) repeat(t text, nesting int) {
	end := strings.IndexByte(t.s, ')')
	open := strings.IndexByte(t.s, '(')
	if open < 0 || end < open {
		x.ps.Errorf(t.pos(0), "~SEQ(NAME, FIRST, LAST) or ~LST(NAME, VALUE, ...)", "%s has no parentheses", tree.Quote(word(t.s)))
		return
	}
	kind, args := strings.TrimRight(t.s[:open], blanks), x.plain(t.slice(open+1, end))
	rest := t.slice(end+1, len(t.s)).trim()
	var names []string
	var rows [][]string
	ok := false
	switch kind {
	case "~SEQ", "~SEQx":
		names, rows, ok = x.sequence(t, args, kind == "~SEQx")
	case "~LST":
		names, rows, ok = list(args)
	}
	if x.stop {
		return
	}
	if !ok {
		x.ps.Errorf(t.pos(0), "~SEQ(NAME, FIRST[, STEP], LAST) or ~LST(NAME, VALUE, ...)", "%s is no repetition", tree.Quote(t.s[:end+1]))
		return
	}
	for _, row := range rows {
		for i, n := range names {
			v := ""
			if i < len(row) {
				v = row[i]
			}
			x.vars[n] = []text{{s: v, from: []span{{pos: t.pos(0), fixed: true}}}}
		}
		if x.stop || !x.made(t, rest) {
			return
		}
		x.line(rest, nesting+1)
	}
}

func word(s string) string {
	w, _, _ := strings.Cut(s, " ")
	return w
}

// plain replaces the variables in the parentheses.
func (x *expander) plain(t text) string {
	for range maxNesting {
		next, more, changed := x.expand(t)
		if !changed || len(more) > 0 || len(next.s) > maxLine {
			break
		}
		t = next
	}
	return t.s
}

func (x *expander) sequence(at text, args string, hex bool) (names []string, rows [][]string, ok bool) {
	parts := strings.Split(args, ",")
	if len(parts) < 3 || len(parts) > 4 {
		return nil, nil, false
	}
	name := strings.Trim(parts[0], blanks)
	if name == "" || nameLen(name) != len(name) {
		return nil, nil, false
	}
	var n []int64
	for _, p := range parts[1:] {
		v, err := strconv.ParseInt(strings.Trim(p, blanks), 0, 32)
		if err != nil {
			return nil, nil, false
		}
		n = append(n, v)
	}
	first, last, step := n[0], n[len(n)-1], int64(1)
	if last < first {
		step = -1
	}
	if len(n) == 3 {
		step = n[1]
	}
	if step == 0 || (last-first)/step < 0 {
		return nil, nil, false
	}
	count := (last-first)/step + 1
	if count > int64(maxLines-x.lines) {
		x.bomb(at.pos(0), "%d repetitions are too many", count)
		return nil, nil, false
	}
	base := 10
	if hex {
		base = 16
	}
	for i := range count {
		rows = append(rows, []string{strconv.FormatInt(first+i*step, base)})
	}
	return []string{name}, rows, true
}

// list reads names and rows of ~LST: words, or tuples in braces.
func list(args string) (names []string, rows [][]string, ok bool) {
	rest := args
	for n := 0; ; n++ {
		tuple, tail, good := tuple(rest)
		if !good {
			return nil, nil, false
		}
		if n == 0 {
			names = tuple
		} else {
			rows = append(rows, tuple)
		}
		if len(tuple) > len(names) {
			return nil, nil, false
		}
		if tail == "" {
			break
		}
		rest = tail[1:]
	}
	for _, n := range names {
		if n == "" || nameLen(n) != len(n) {
			return nil, nil, false
		}
	}
	return names, rows, len(rows) > 0
}

// tuple reads a value or a tuple; tail is empty or begins with the comma that follows.
func tuple(s string) (values []string, tail string, ok bool) {
	s = strings.TrimLeft(s, blanks)
	inner := s
	if strings.HasPrefix(s, "{") {
		end := strings.IndexByte(s, '}')
		if end < 0 {
			return nil, "", false
		}
		inner, tail = s[1:end], strings.TrimLeft(s[end+1:], blanks)
		if tail != "" && tail[0] != ',' {
			return nil, "", false
		}
		values = strings.Split(inner, ",")
	} else {
		if i := strings.IndexByte(s, ','); i >= 0 {
			inner, tail = s[:i], s[i:]
		}
		values = []string{inner}
	}
	for i, v := range values {
		values[i] = strings.Trim(v, blanks)
		if strings.ContainsAny(values[i], blanks+`"{}`) {
			return nil, "", false
		}
	}
	return values, tail, true
}
