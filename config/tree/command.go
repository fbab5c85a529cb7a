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

// shellWords splits a line that needs no shell as keepalived does: '...' literal, "..." and bare with backslash escapes.
func shellWords(line string) ([]string, error) {
	var out []string
	var b strings.Builder
	in := false
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quote != '\'' && i+1 < len(line):
			in = true
			i += escaped(&b, line[i+1:])
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == ' ' || c == '\t':
			if in {
				out = append(out, b.String())
				b.Reset()
				in = false
			}
		default:
			b.WriteByte(c)
			in = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("unmatched quote %c in the command", quote)
	}
	if in {
		out = append(out, b.String())
	}
	return out, nil
}

// escaped writes what a backslash makes of the text after it and returns how much of that it took.
func escaped(b *strings.Builder, s string) int {
	if i := strings.IndexByte("abEefnrtv", s[0]); i >= 0 {
		b.WriteByte("\a\b\x1b\x1b\f\n\r\t\v"[i])
		return 1
	}
	switch {
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
