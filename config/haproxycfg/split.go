package haproxycfg

import (
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/internal/source"
)

// MaxWords is how many words a line may have.
const MaxWords = 64

// Split cuts one line into words as haproxy.cfg does: blanks separate, '...' is literal, "..." protects, a backslash
// escapes. at is the place of the line's first byte. With comments, an unquoted # ends the line.
func Split(line string, at source.Pos, comments bool, ps *source.Problems) []tree.Word {
	s := splitter{line: line, at: at, comments: comments, ps: ps}
	s.run()
	if s.bad {
		return nil
	}
	if len(s.words) > MaxWords {
		ps.Errorf(s.words[MaxWords].Pos, "", "too many words: a line has at most %d", MaxWords)
		s.words = s.words[:MaxWords]
	}
	for i, w := range s.words {
		if w.Text == "" {
			ps.Errorf(w.Pos, "it would hide the rest of the line", "empty word")
			s.words = s.words[:i]
			break
		}
	}
	return s.words
}

type splitter struct {
	line     string
	at       source.Pos
	comments bool
	ps       *source.Problems
	i        int
	word     strings.Builder
	start    int // of the word, -1 between words
	words    []tree.Word
	bad      bool
}

func (s *splitter) pos(i int) source.Pos {
	p := s.at
	p.Col += i
	return p
}

func (s *splitter) run() {
	s.start = -1
	for s.i < len(s.line) && !s.bad {
		switch c := s.line[s.i]; {
		case c == ' ' || c == '\t':
			s.end()
			s.i++
		case c == '#' && s.comments:
			s.i = len(s.line)
		default:
			s.begin()
			s.piece(c)
		}
	}
	s.end()
}

func (s *splitter) begin() {
	if s.start < 0 {
		s.start = s.i
	}
}

func (s *splitter) end() {
	if s.start >= 0 {
		s.words = append(s.words, tree.Word{Text: s.word.String(), Pos: s.pos(s.start)})
		s.word.Reset()
		s.start = -1
	}
}

func (s *splitter) piece(c byte) {
	switch c {
	case '\'':
		n := strings.IndexByte(s.line[s.i+1:], '\'')
		if n < 0 {
			s.unmatched(s.i)
			return
		}
		s.word.WriteString(s.line[s.i+1 : s.i+1+n])
		s.i += n + 2
	case '"':
		s.double()
	case '\\':
		s.escape(false)
	default:
		s.word.WriteByte(c)
		s.i++
	}
}

func (s *splitter) double() {
	open := s.i
	for s.i++; s.i < len(s.line) && !s.bad; {
		switch c := s.line[s.i]; c {
		case '"':
			s.i++
			return
		case '\\':
			s.escape(true)
		case '$':
			s.ps.Errorf(s.pos(s.i), "write \\$ for the sign itself", "variables are not supported yet")
			s.bad = true
		default:
			s.word.WriteByte(c)
			s.i++
		}
	}
	if !s.bad {
		s.unmatched(open)
	}
}

func (s *splitter) unmatched(open int) {
	s.ps.Errorf(s.pos(open), "", "unmatched quote")
	s.bad = true
}

// escape takes a backslash and what it makes of the next character; one that means nothing here stays, for regexps.
func (s *splitter) escape(quoted bool) {
	if s.i+1 >= len(s.line) {
		s.word.WriteByte('\\')
		s.i++
		return
	}
	c := s.line[s.i+1]
	switch c {
	case ' ', '\\', '#', '\'', '"':
		s.word.WriteByte(c)
	case 'n':
		s.word.WriteByte('\n')
	case 'r':
		s.word.WriteByte('\r')
	case 't':
		s.word.WriteByte('\t')
	case 'x':
		s.hex()
		return
	case '$':
		if !quoted {
			s.word.WriteByte('\\')
		}
		s.word.WriteByte('$')
	default:
		s.word.WriteByte('\\')
		s.word.WriteByte(c)
	}
	s.i += 2
}

func (s *splitter) hex() {
	if s.i+3 < len(s.line) {
		hi, lo := digit(s.line[s.i+2]), digit(s.line[s.i+3])
		if hi >= 0 && lo >= 0 {
			s.word.WriteByte(byte(hi<<4 | lo))
			s.i += 4
			return
		}
	}
	s.ps.Errorf(s.pos(s.i), "two hexadecimal digits follow \\x", "bad escape")
	s.bad = true
}

func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Join writes words so that Split gives them back.
func Join(words ...string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quote(w))
	}
	return b.String()
}

func quote(w string) string {
	if w != "" && !strings.ContainsAny(w, " \t\r\n'\"\\#$") {
		return w
	}
	if !strings.ContainsAny(w, "'\r\n") {
		return "'" + w + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, `$`, `\$`).Replace(w) + `"`
}
