package rule

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// format is a log-format string: text, samples in %[...], and aliases such as %ci.
type format struct {
	parts []formatPart
	needs where
}

type formatPart struct {
	text  string
	e     *expr
	alias func(c *Ctx, dst []byte) []byte
	quote bool // {+Q}
}

// aliases are the short names that rules may use; those of a log line (timers, flags, counts) have no meaning yet when
// rules run.
var aliases = map[string]struct {
	needs where
	f     func(c *Ctx, dst []byte) []byte
}{
	"ci":  {0, func(c *Ctx, dst []byte) []byte { return c.Src.Addr().AppendTo(dst) }},
	"cp":  {0, func(c *Ctx, dst []byte) []byte { return strconv.AppendUint(dst, uint64(c.Src.Port()), 10) }},
	"fi":  {0, func(c *Ctx, dst []byte) []byte { return c.dst().Addr().AppendTo(dst) }},
	"fp":  {0, func(c *Ctx, dst []byte) []byte { return strconv.AppendUint(dst, uint64(c.dst().Port()), 10) }},
	"f":   {0, func(c *Ctx, dst []byte) []byte { return append(dst, c.Front...) }},
	"ft":  {0, func(c *Ctx, dst []byte) []byte { return append(dst, c.Front...) }},
	"b":   {0, func(c *Ctx, dst []byte) []byte { return append(dst, c.Back...) }},
	"Ts":  {0, func(c *Ctx, dst []byte) []byte { return strconv.AppendInt(dst, c.Now/1e9, 10) }},
	"ms":  {0, func(c *Ctx, dst []byte) []byte { return strconv.AppendInt(dst, c.Now/1e6%1000, 10) }},
	"HM":  {atRequest, func(c *Ctx, dst []byte) []byte { return append(dst, c.Req.method()...) }},
	"HU":  {atRequest, func(c *Ctx, dst []byte) []byte { return append(dst, c.Req.target()...) }},
	"HP":  {atRequest, func(c *Ctx, dst []byte) []byte { return append(dst, c.Req.Path()...) }},
	"HPO": {atRequest, func(c *Ctx, dst []byte) []byte { return append(dst, c.Req.Path()...) }},
	"HV": {atRequest, func(c *Ctx, dst []byte) []byte {
		return append(append(dst, "HTTP/"...), versions[c.Req.Head.Minor&1]...)
	}},
	"HQ": {atRequest, func(c *Ctx, dst []byte) []byte {
		if _, q := cutQuery(c.Req.pathQuery()); q != nil {
			return append(append(dst, '?'), q...)
		}
		return dst
	}},
	"ST": {atResponse, func(c *Ctx, dst []byte) []byte { return strconv.AppendInt(dst, int64(c.Res.Status()), 10) }},
}

// format compiles a log-format string.
func (p *Program) format(s string) (*format, error) {
	f := &format{}
	for s != "" {
		text, rest, found := strings.Cut(s, "%")
		if text != "" {
			f.parts = append(f.parts, formatPart{text: text})
		}
		if !found {
			break
		}
		var err error
		if s, err = p.item(f, rest); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// item compiles what follows a %.
func (p *Program) item(f *format, s string) (rest string, err error) {
	part := formatPart{}
	if strings.HasPrefix(s, "%") {
		part.text = "%"
		f.parts = append(f.parts, part)
		return s[1:], nil
	}
	if strings.HasPrefix(s, "{") {
		flags, after, ok := strings.Cut(s[1:], "}")
		if !ok {
			return "", fmt.Errorf("'}' is missing after '%%{'")
		}
		for flag := range strings.SplitSeq(flags, ",") {
			switch flag {
			case "+Q":
				part.quote = true
			case "-Q", "-X", "-E", "":
			default:
				return "", fmt.Errorf("the flag '%s' of a log-format is not supported yet", short(flag))
			}
		}
		s = after
	}
	if strings.HasPrefix(s, "[") {
		if part.e, s, err = p.expressionIn(s[1:]); err != nil {
			return "", err
		}
		if !strings.HasPrefix(s, "]") {
			return "", fmt.Errorf("']' is missing after '%%['")
		}
		f.needs |= part.e.needs
		f.parts = append(f.parts, part)
		return s[1:], nil
	}
	end := 0
	for end < len(s) && (s[end] >= 'a' && s[end] <= 'z' || s[end] >= 'A' && s[end] <= 'Z') {
		end++
	}
	for n := end; n > 0; n-- { // the longest name that there is
		if a, ok := aliases[s[:n]]; ok {
			part.alias = a.f
			f.needs |= a.needs
			f.parts = append(f.parts, part)
			return s[n:], nil
		}
	}
	if end == 0 {
		return "", fmt.Errorf("a lone %% in a log-format: write %%%% for the sign itself")
	}
	return "", unknownName("variable of a log-format", s[:end], slices.Sorted(maps.Keys(aliases)))
}

// append writes the text behind dst; samples that there are none of leave nothing. ok is false when it gets too long.
func (f *format) append(c *Ctx, dst []byte) ([]byte, bool) {
	for i := range f.parts {
		p := &f.parts[i]
		if p.quote {
			dst = append(dst, '"')
		}
		switch {
		case p.e != nil:
			fr := c.push()
			used := c.used
			if p.e.eval(c, &fr.v) == yes {
				from := len(dst)
				dst = printable(c, fr.v.append(dst), from)
			}
			c.used = used
			c.pop()
		case p.alias != nil:
			dst = p.alias(c, dst)
		default:
			dst = append(dst, p.text...)
		}
		if p.quote {
			dst = append(dst, '"')
		}
		if len(dst) > scratchSize/2 {
			return dst, false
		}
	}
	return dst, true
}

// printable writes control characters from there on as %XX: what a client chose begins no line and ends no header.
func printable(c *Ctx, b []byte, from int) []byte {
	if headerValue(b[from:]) {
		return b
	}
	raw := append(c.rest(), b[from:]...)
	b = b[:from]
	for i, x := range raw {
		if headerValue(raw[i : i+1]) {
			b = append(b, x)
		} else {
			b = append(b, '%', hexDigits[x>>4], hexDigits[x&15])
		}
	}
	return b
}

// text makes the text in the scratch. It grows elsewhere: while samples are taken the scratch is theirs.
func (f *format) text(c *Ctx) ([]byte, bool) {
	if len(f.parts) == 1 && f.parts[0].e == nil && f.parts[0].alias == nil {
		b := append(c.rest(), f.parts[0].text...)
		return b, c.take(b)
	}
	out, ok := f.append(c, c.out[:0])
	if !ok {
		return nil, false
	}
	b := append(c.rest(), out...)
	return b, c.take(b)
}

// static is the text of a format without samples.
func (f *format) static() (string, bool) {
	var b strings.Builder
	for _, p := range f.parts {
		if p.e != nil || p.alias != nil {
			return "", false
		}
		b.WriteString(p.text)
	}
	return b.String(), true
}
