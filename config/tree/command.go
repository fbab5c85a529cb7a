package tree

import (
	"fmt"
	"strings"
)

// Command understands the line of a script: the command word by word, or, when only a shell can run it (redirections,
// pipes, lists, expansions, patterns), the line itself.
func Command(line string) (argv []string, shell string, err error) {
	if needsShell(line) {
		return nil, line, nil
	}
	argv, err = shellWords(line)
	if err == nil && (len(argv) == 0 || argv[0] == "") {
		err = fmt.Errorf("the command is empty")
	}
	return argv, "", err
}

// needsShell looks for what a shell would act on, outside the quotes that keep it from doing so.
func needsShell(line string) bool {
	quote := byte(0)
	first := true // still in the first word
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0 && c == quote:
			quote = 0
		case quote == '\'':
		case c == '$' || c == '`':
			return true
		case quote == '"':
		case c == '\'' || c == '"':
			quote = c
		case strings.IndexByte("<>|;&()*?[~\n", c) >= 0:
			return true
		case c == '=' && first && i > 0:
			return true // an assignment in front of the command
		case c == ' ' || c == '\t':
			first = first && strings.TrimSpace(line[:i]) == ""
		}
	}
	return false
}

// Part is a word of a command line, without its quotes, and the byte of the line that it begins at.
type Part struct {
	Text string
	At   int
}

// Split splits a line that needs no shell as keepalived does: '...' literal, "..." and bare with backslash escapes; what
// touches is one word.
func Split(line string) ([]Part, error) {
	var out []Part
	var b strings.Builder
	begin := -1 // of the word at hand
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		if quote == 0 && (c == ' ' || c == '\t' || c == '\n') {
			if begin >= 0 {
				out = append(out, Part{Text: b.String(), At: begin})
				b.Reset()
				begin = -1
			}
			continue
		}
		if begin < 0 {
			begin = i
		}
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(line):
			i += escaped(&b, line[i+1:])
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("unmatched quote %c in the command", quote)
	}
	if begin >= 0 {
		out = append(out, Part{Text: b.String(), At: begin})
	}
	return out, nil
}

// shellWords are the words of Split alone.
func shellWords(line string) ([]string, error) {
	parts, err := Split(line)
	var out []string
	for _, p := range parts {
		out = append(out, p.Text)
	}
	return out, err
}

// escaped writes what a backslash makes of the text after it and returns how much of that it took.
func escaped(b *strings.Builder, s string) int {
	if i := strings.IndexByte("abEfnrtv", s[0]); i >= 0 {
		b.WriteByte("\a\b\x1b\f\n\r\t\v"[i])
		return 1
	}
	switch {
	case s[0] == 'c' && len(s) >= 2 && s[1] >= '@' && s[1] <= '_':
		b.WriteByte(s[1] - '@')
		return 2
	case s[0] == 'x' && len(s) >= 3 && number(s[1:3], 16) >= 0:
		b.WriteRune(rune(number(s[1:3], 16)))
		return 3
	case s[0] >= '0' && s[0] <= '3' && len(s) >= 3 && number(s[:3], 8) >= 0:
		b.WriteRune(rune(number(s[:3], 8)))
		return 3
	}
	b.WriteByte(s[0])
	return 1
}

func number(s string, base int) int {
	n := 0
	for i := range len(s) {
		d := strings.IndexByte("0123456789abcdef", s[i]|0x20)
		if s[i] <= '9' {
			d = int(s[i]) - '0'
		}
		if d < 0 || d >= base {
			return -1
		}
		n = n*base + d
	}
	return n
}
