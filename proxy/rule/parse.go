package rule

import (
	"fmt"
	"strings"
)

// maxArgs is how many arguments a sample or a converter may have, maxCalls how many converters may follow each other.
const (
	maxArgs  = 12
	maxCalls = 32
)

// call is a sample or converter as written: name(arg,arg).
type call struct {
	name string
	args []string
	any  bool // had parentheses
}

// parseCalls reads `fetch(args),converter(args),...` up to the end of s or to a ] outside arguments, and returns what is
// left. Arguments are split at commas; '...' is literal, "..." and a backslash protect, as haproxy.cfg's second level.
func parseCalls(s string) (calls []call, rest string, err error) {
	for {
		c, after, err := parseCall(s)
		if err != nil {
			return nil, "", err
		}
		if calls = append(calls, c); len(calls) > maxCalls {
			return nil, "", fmt.Errorf("more than %d converters in a row", maxCalls)
		}
		if after == "" || after[0] == ']' {
			return calls, after, nil
		}
		if after[0] != ',' {
			return nil, "", fmt.Errorf("a comma and a converter were expected at '%s'", short(after))
		}
		s = after[1:]
	}
}

func parseCall(s string) (c call, rest string, err error) {
	end := 0
	for end < len(s) && isNameByte(s[end]) {
		end++
	}
	if c.name = s[:end]; end == 0 {
		if s == "" {
			return c, "", fmt.Errorf("the name of a sample or converter is missing at the end")
		}
		return c, "", fmt.Errorf("the name of a sample or converter was expected at '%s'", short(s))
	}
	if end == len(s) || s[end] != '(' {
		return c, s[end:], nil
	}
	c.any = true
	c.args, rest, err = parseArgs(s[end+1:])
	if err != nil {
		return c, "", fmt.Errorf("in the arguments of '%s': %w", c.name, err)
	}
	return c, rest, nil
}

func isNameByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '.' || b == '-'
}

// parseArgs reads up to the closing parenthesis.
func parseArgs(s string) (args []string, rest string, err error) {
	var arg strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case quote != 0 && b == quote:
			quote = 0
		case quote == '\'':
			arg.WriteByte(b)
		case b == '\\' && i+1 < len(s):
			i++
			unescape(&arg, s[i])
		case quote != 0:
			arg.WriteByte(b)
		case b == '"' || b == '\'':
			quote = b
		case b == ',' || b == ')':
			if len(args) == maxArgs {
				return nil, "", fmt.Errorf("more than %d", maxArgs)
			}
			args = append(args, arg.String())
			arg.Reset()
			if b == ')' {
				if len(args) == 1 && args[0] == "" && i == 0 {
					args = nil
				}
				return args, s[i+1:], nil
			}
		default:
			arg.WriteByte(b)
		}
	}
	if quote != 0 {
		return nil, "", fmt.Errorf("unmatched quote %c", quote)
	}
	return nil, "", fmt.Errorf("')' is missing")
}

// unescape takes what follows a backslash; one that means nothing here stays, for regexps.
func unescape(to *strings.Builder, b byte) {
	switch b {
	case '\\', '"', '\'', ' ', ',', '(', ')':
		if b == '(' || b == ')' {
			to.WriteByte('\\') // protects the parenthesis from this level only: a regexp wants to see it
		}
		to.WriteByte(b)
	case 'n':
		to.WriteByte('\n')
	case 'r':
		to.WriteByte('\r')
	case 't':
		to.WriteByte('\t')
	default:
		to.WriteByte('\\')
		to.WriteByte(b)
	}
}

// short is the beginning of a text, for messages.
func short(s string) string {
	if len(s) > 20 {
		return s[:20] + "..."
	}
	return s
}
