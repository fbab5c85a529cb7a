package keepalivedconf

import (
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/internal/source"
)

// piece is what a line is cut into at its braces: a keyword with its words, and perhaps the brace that ends it.
type piece struct {
	words []tree.Word
	raw   string // from the second word to the end, for commands
	rawAt source.Pos
	brace byte // '{', '}' or 0
	pos   source.Pos
	end   source.Pos // of the brace, or of the end of the line
}

// lex cuts a file into pieces. ! and # begin a comment outside quotes; a backslash in front of them makes them plain.
func lex(file string, content string, ps *source.Problems) []piece {
	var out []piece
	n := 0
	for line := range strings.SplitSeq(content, "\n") {
		n++
		l := lexer{line: strings.TrimSuffix(line, "\r"), at: source.Pos{File: file, Line: n, Col: 1}, ps: ps}
		l.run()
		out = append(out, l.out...)
	}
	return out
}

type lexer struct {
	line string
	at   source.Pos
	ps   *source.Problems
	i    int
	cur  piece
	rest int // where the second word of cur begins, -1: not yet
	out  []piece
}

func (l *lexer) pos(i int) source.Pos {
	p := l.at
	p.Col += i
	return p
}

func (l *lexer) run() {
	l.rest = -1
	for l.i < len(l.line) {
		switch c := l.line[l.i]; c {
		case ' ', '\t', '\v', '\f':
			l.i++
		case '#', '!':
			l.flush(0, l.i)
			return
		case '{', '}':
			if c == '}' && len(l.cur.words) > 0 {
				l.flush(0, l.i)
			}
			l.cur.pos = l.pos(l.i)
			l.flush(c, l.i)
			l.i++
		default:
			if !l.word() {
				return
			}
		}
	}
	l.flush(0, l.i)
}

// flush ends the piece at column end.
func (l *lexer) flush(brace byte, end int) {
	if len(l.cur.words) > 0 || brace != 0 {
		if len(l.cur.words) > 0 {
			l.cur.pos = l.cur.words[0].Pos
		}
		if l.rest >= 0 {
			l.cur.raw, l.cur.rawAt = strings.TrimRight(l.line[l.rest:end], " \t"), l.pos(l.rest)
		}
		l.cur.brace, l.cur.end = brace, l.pos(end)
		l.out = append(l.out, l.cur)
	}
	l.cur, l.rest = piece{}, -1
}

// word takes one word: "..." whole, or up to the next blank, brace or comment.
func (l *lexer) word() bool {
	start := l.i
	if len(l.cur.words) == 1 {
		l.rest = start
	}
	if l.line[l.i] == '"' {
		end := closing(l.line, l.i, '"')
		if end < 0 {
			l.ps.Errorf(l.pos(start), "", "unmatched quote")
			l.cur, l.rest = piece{}, -1
			return false
		}
		l.add(l.line[start+1:end], start)
		l.i = end + 1
		return true
	}
	var b strings.Builder
	for l.i < len(l.line) {
		c := l.line[l.i]
		switch {
		case c == '\\' && l.i+1 < len(l.line) && strings.IndexByte("#!", l.line[l.i+1]) >= 0:
			l.i++
			b.WriteByte(l.line[l.i])
		case c == '\'' && len(l.cur.words) > 0 && closing(l.line, l.i, '\'') > 0:
			end := closing(l.line, l.i, '\'') // commands are split again; nothing inside begins a comment
			b.WriteString(l.line[l.i : end+1])
			l.i = end
		case strings.IndexByte(" \t\v\f{}#!", c) >= 0 && !(c == '{' && strings.HasSuffix(b.String(), "$")):
			l.add(b.String(), start)
			return true
		default:
			b.WriteByte(c)
			if c == '{' {
				if n := strings.IndexByte(l.line[l.i:], '}'); n > 0 {
					b.WriteString(l.line[l.i+1 : l.i+n+1])
					l.i += n
				}
			}
		}
		l.i++
	}
	l.add(b.String(), start)
	return true
}

func (l *lexer) add(text string, at int) {
	l.cur.words = append(l.cur.words, tree.Word{Text: text, Pos: l.pos(at)})
}

// closing is the place of the quote that ends the one at i; a backslash protects the next character inside "...".
func closing(s string, i int, quote byte) int {
	for i++; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote == '"':
			i++
		case s[i] == quote:
			return i
		}
	}
	return -1
}
