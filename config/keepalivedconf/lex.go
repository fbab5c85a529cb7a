package keepalivedconf

import (
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/internal/source"
)

// piece is what a line is cut into at its braces: a keyword with its words, and perhaps the brace that ends it.
type piece struct {
	t     text
	brace byte       // '{', '}' or 0
	pos   source.Pos // of the first word, or of the brace
	end   source.Pos // of the brace, or of the end of the line
}

// cut divides lines at the braces outside "...".
func cut(lines []text) []piece {
	var out []piece
	for _, t := range lines {
		quote, begin := false, 0
		for i := 0; i < len(t.s); i++ {
			switch c := t.s[i]; {
			case c == '\\' && i+1 < len(t.s) && t.s[i+1] != '{' && t.s[i+1] != '}':
				i++
			case c == '"':
				quote = !quote
			case !quote && c == '$':
				if n := braced(t.s[i:]); n > 0 {
					i += n - 1
				}
			case !quote && (c == '{' || c == '}'):
				out = brace(out, t, begin, i)
				begin = i + 1
			}
		}
		if rest := t.slice(begin, len(t.s)).trim(); rest.s != "" {
			out = append(out, piece{t: rest, pos: rest.pos(0), end: t.pos(len(t.s))})
		}
	}
	return out
}

// brace ends a piece at byte i. What stands before a closing brace is a line of its own.
func brace(out []piece, t text, begin, i int) []piece {
	head := t.slice(begin, i).trim()
	if head.s == "" {
		return append(out, piece{brace: t.s[i], pos: t.pos(i), end: t.pos(i)})
	}
	if t.s[i] == '{' {
		return append(out, piece{t: head, brace: '{', pos: head.pos(0), end: t.pos(i)})
	}
	return append(out, piece{t: head, pos: head.pos(0), end: t.pos(i)}, piece{brace: '}', pos: t.pos(i), end: t.pos(i)})
}

// braced is the length of the ${NAME} that s begins with, 0: none.
func braced(s string) int {
	if !strings.HasPrefix(s, "${") {
		return 0
	}
	n := nameLen(s[2:])
	if n == 0 || 2+n >= len(s) || s[2+n] != '}' {
		return 0
	}
	return n + 3
}

// first is the first word of the piece, "" if there is none.
func (p piece) first() string {
	if strings.HasPrefix(p.t.s, `"`) {
		inner, _, _ := strings.Cut(p.t.s[1:], `"`)
		return inner
	}
	if i := strings.IndexAny(p.t.s, blanks+`"`); i >= 0 {
		return p.t.s[:i]
	}
	return p.t.s
}

// split cuts a line into words: "..." whole, or up to the next blank or quote. ok is false when a quote has no end.
func split(t text) (words []tree.Word, ok bool) {
	for i := 0; i < len(t.s); {
		switch c := t.s[i]; {
		case strings.IndexByte(blanks, c) >= 0:
			i++
		case c == '"':
			end := strings.IndexByte(t.s[i+1:], '"')
			if end < 0 {
				return words, false
			}
			words = append(words, tree.Word{Text: t.s[i+1 : i+1+end], Pos: t.pos(i)})
			i += end + 2
		default:
			end := strings.IndexAny(t.s[i:], blanks+`"`)
			if end < 0 {
				end = len(t.s) - i
			}
			words = append(words, tree.Word{Text: t.s[i : i+end], Pos: t.pos(i)})
			i += end
		}
	}
	return words, true
}
