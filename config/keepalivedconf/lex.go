package keepalivedconf

import (
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
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

// protected works on the backslashes before # and !: a plain character in global_defs, elsewhere keepalived takes them off
// too early and the comment begins there after all.
func (r *reader) protected(t text, scope string) text {
	quote := false
	var b builder
	begin := 0
	for i := 0; i < len(t.s); i++ {
		switch c := t.s[i]; {
		case c == '"':
			quote = !quote
		case c != '\\' || i+1 == len(t.s):
		case quote || strings.IndexByte("#!", t.s[i+1]) < 0:
			i++
		case scope != "global_defs":
			r.ps.Warnf(t.pos(i), "write the word in quotes", "a comment begins here, as it does for keepalived in spite of the backslash")
			return t.slice(0, i).trim()
		default:
			b.add(t, begin, i)
			begin = i + 1
			i++
		}
	}
	if begin == 0 {
		return t
	}
	b.add(t, begin, len(t.s))
	return b.text()
}

// words splits a line; that of a command is split like a shell does.
func (r *reader) words(p piece, def *words.Word) ([]tree.Word, bool) {
	if i := variable(p.t.s); i >= 0 {
		n := braced(p.t.s[i:])
		r.ps.Errorf(p.t.pos(i), "$NAME=value has to come before it", "there is no variable %s", tree.Quote(p.t.s[i:i+n]))
		return nil, false
	}
	ws, ok := split(p.t)
	if def != nil && def.Type == words.Script {
		ws, ok = r.command(p.t), true
	}
	if !ok {
		r.ps.Errorf(p.pos, "", "unmatched quote")
		return nil, false
	}
	return ws, len(ws) > 0 && r.readable(ws)
}

// variable is where a ${NAME} stands outside quotes that is not defined, -1: nowhere.
func variable(s string) int {
	quote := false
	for i := range len(s) {
		if s[i] == '"' {
			quote = !quote
		}
		if !quote && s[i] == '$' && braced(s[i:]) > 0 {
			return i
		}
	}
	return -1
}

// command splits the line of a command: keyword, command in quotes or not, and what follows it (a user and a group).
func (r *reader) command(t text) []tree.Word {
	parts, err := tree.Split(t.s)
	if err != nil {
		r.ps.Errorf(t.pos(0), "", "%s", err)
		return nil
	}
	var ws []tree.Word
	for _, p := range parts {
		at := p.At
		if at < len(t.s) && p.Text != "" && strings.IndexByte(`"'`, t.s[at]) >= 0 {
			at++
		}
		ws = append(ws, tree.Word{Text: p.Text, Pos: t.pos(at)})
	}
	return ws
}
