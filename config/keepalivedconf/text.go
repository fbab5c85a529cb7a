package keepalivedconf

import (
	"sort"
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
)

// text is a line on its way through the stages, which knows of every byte where it came from.
type text struct {
	s    string
	from []span // ascending, the first at 0
}

// span is the origin of the bytes from at on.
type span struct {
	at    int
	pos   source.Pos
	fixed bool // all bytes stand for one place: that of the variable they came through
}

// literal is text as it stands in a file.
func literal(s string, pos source.Pos) text { return text{s: s, from: []span{{pos: pos}}} }

// pos is the place of byte i; i may be the length of the text.
func (t text) pos(i int) source.Pos {
	n := sort.Search(len(t.from), func(n int) bool { return t.from[n].at > i }) - 1
	if n < 0 {
		return source.Pos{}
	}
	p := t.from[n].pos
	if !t.from[n].fixed {
		p.Col += i - t.from[n].at
	}
	return p
}

// slice is the text of bytes i to j.
func (t text) slice(i, j int) text {
	var b builder
	b.add(t, i, j)
	if i == j {
		b.from = []span{{pos: t.pos(i), fixed: true}}
	}
	return b.text()
}

// trim takes the blanks off both ends.
func (t text) trim() text {
	i := len(t.s) - len(strings.TrimLeft(t.s, blanks))
	return t.slice(i, max(i, len(strings.TrimRight(t.s, blanks))))
}

// blanks are what separates words.
const blanks = " \t\v\f"

// builder puts a text together from pieces of others.
type builder struct {
	s    strings.Builder
	from []span
}

// add appends bytes i to j of t.
func (b *builder) add(t text, i, j int) {
	if i >= j {
		return
	}
	at := b.s.Len()
	n := sort.Search(len(t.from), func(n int) bool { return t.from[n].at > i }) - 1
	for n = max(n, 0); n < len(t.from) && t.from[n].at < j; n++ {
		begin := max(i, t.from[n].at)
		b.from = append(b.from, span{at: at + begin - i, pos: t.pos(begin), fixed: t.from[n].fixed})
	}
	b.s.WriteString(t.s[i:j])
}

// put appends s, all of which stands for one place.
func (b *builder) put(s string, pos source.Pos) {
	if s == "" {
		return
	}
	b.from = append(b.from, span{at: b.s.Len(), pos: pos, fixed: true})
	b.s.WriteString(s)
}

func (b *builder) text() text { return text{s: b.s.String(), from: b.from} }
