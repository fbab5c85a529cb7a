package rule

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/balance"
)

// convDef is a row of the table of converters. in 0 takes any type. make is given the sample it is put behind.
type convDef struct {
	in          Type
	least, most int
	make        func(p *program, e *expr, args []string) (convFunc, Type, error)
}

var converters = map[string]*convDef{}

// convertersLater are those that HAProxy has and this release has not.
var convertersLater = set(`sha1 sha2 digest hmac xxh3 xxh32 xxh64 crc32c url_enc json json_query jwt_verify jwt_header_query jwt_payload_query
	http_date ltime utime mtime ltime language table_server_id table_expire table_idle protobuf ungrpc mqtt_is_valid mqtt_field_value fix_tag_value fix_is_valid
	secure_memcmp aes_gcm_dec aes_gcm_enc param cut_crlf be2dec be2hex rfc7239_is_valid rfc7239_field rfc7239_n2nn rfc7239_n2np add_item
	nbsrv srv_queue htonl hex2i debug ub64dec ub64enc x509_v_err_str host_only port_only unset-var ms_date us_date stick`)

func converterNames() []string { return slices.Sorted(maps.Keys(converters)) }

// on makes a converter without arguments.
func on(in, out Type, f convFunc) *convDef {
	return &convDef{in: in, make: func(*program, *expr, []string) (convFunc, Type, error) { return f, out, nil }}
}

// onText makes one that writes its result behind the scratch from the text of the sample.
func onText(out Type, f func(dst, src []byte) ([]byte, bool)) *convDef {
	return onForm((*Value).text, Str, out, f)
}

// onBinary does so from its bytes.
func onBinary(out Type, f func(dst, src []byte) ([]byte, bool)) *convDef {
	return onForm((*Value).binary, Bin, out, f)
}

func onForm(form func(*Value, *Ctx) ([]byte, bool), in, out Type, f func(dst, src []byte) ([]byte, bool)) *convDef {
	return on(in, out, func(c *Ctx, v *Value) bool {
		src, ok := form(v, c)
		if !ok {
			return false
		}
		dst, ok := f(c.rest(), src)
		v.Type, v.Bytes = out, dst
		return ok && c.take(dst)
	})
}

func init() {
	converters["lower"] = onText(Str, func(dst, src []byte) ([]byte, bool) { return appendLower(dst, src), true })
	converters["upper"] = onText(Str, func(dst, src []byte) ([]byte, bool) {
		for _, b := range src {
			if b >= 'a' && b <= 'z' {
				b -= 'a' - 'A'
			}
			dst = append(dst, b)
		}
		return dst, true
	})
	converters["hex"] = onBinary(Str, func(dst, src []byte) ([]byte, bool) {
		for _, b := range src {
			dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
		}
		return dst, true
	})
	converters["base64"] = onBinary(Str, func(dst, src []byte) ([]byte, bool) { return base64.StdEncoding.AppendEncode(dst, src), true })
	converters["b64dec"] = onText(Bin, func(dst, src []byte) ([]byte, bool) {
		out, err := base64.StdEncoding.AppendDecode(dst, src)
		return out, err == nil
	})
	converters["url_dec"] = &convDef{in: Str, most: 1, make: makeURLDec}
	converters["length"] = on(Str, Int, func(c *Ctx, v *Value) bool {
		b, ok := v.text(c)
		v.setInt(int64(len(b)))
		return ok
	})
	converters["field"] = &convDef{in: Str, least: 2, most: 3, make: makeField(false)}
	converters["word"] = &convDef{in: Str, least: 2, most: 3, make: makeField(true)}
	converters["regsub"] = &convDef{in: Str, least: 2, most: 3, make: makeRegsub}
	converters["bytes"] = &convDef{in: Str, least: 1, most: 2, make: makeBytes}
	converters["ltrim"] = &convDef{in: Str, least: 1, most: 1, make: makeTrim(true, false)}
	converters["rtrim"] = &convDef{in: Str, least: 1, most: 1, make: makeTrim(false, true)}
	converters["concat"] = &convDef{in: Str, least: 1, most: 3, make: makeConcat}
	converters["strcmp"] = &convDef{in: Str, least: 1, most: 1, make: makeStrcmp}
	converters["ipmask"] = &convDef{in: Addr, least: 1, most: 2, make: makeIPMask}
	converters["iif"] = &convDef{in: Bool, least: 2, most: 2, make: makeIif}
	converters["set-var"] = &convDef{least: 1, most: 1, make: makeSetVar}
	for name, f := range map[string]proxy.HashFunction{"crc32": proxy.CRC32, "djb2": proxy.DJB2, "sdbm": proxy.SDBM, "wt6": proxy.WT6} {
		converters[name] = &convDef{in: Bin, most: 1, make: makeHash(f)}
	}
}

const hexDigits = "0123456789ABCDEF"

func appendLower(dst, src []byte) []byte {
	for _, b := range src {
		if b >= 'A' && b <= 'Z' {
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	return dst
}

func makeURLDec(_ *program, _ *expr, args []string) (convFunc, Type, error) {
	plus := len(args) == 1 && args[0] != "0" && args[0] != ""
	return func(c *Ctx, v *Value) bool {
		src, ok := v.text(c)
		if !ok {
			return false
		}
		dst := c.rest()
		query := plus
		for i := 0; i < len(src); i++ {
			b := src[i]
			switch {
			case b == '?':
				query = true
			case b == '+' && query:
				b = ' '
			case b == '%':
				if i+2 >= len(src) || unhex(src[i+1]) < 0 || unhex(src[i+2]) < 0 {
					return false
				}
				b = byte(unhex(src[i+1])<<4 | unhex(src[i+2]))
				i += 2
			}
			dst = append(dst, b)
		}
		v.setStr(dst)
		return c.take(dst)
	}, Str, nil
}

func unhex(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b >= 'a' && b <= 'f':
		return int(b-'a') + 10
	case b >= 'A' && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}

// makeField makes field(n,delimiters[,count]) and word(...), which counts no empty ones.
func makeField(word bool) func(*program, *expr, []string) (convFunc, Type, error) {
	return func(_ *program, _ *expr, args []string) (convFunc, Type, error) {
		n, ok := parseNumber([]byte(args[0]))
		if !ok || n == 0 {
			return nil, 0, fmt.Errorf("'%s' is no index: 1 is the first, -1 the last", short(args[0]))
		}
		var delims [256]bool
		for i := range len(args[1]) {
			delims[args[1][i]] = true
		}
		if args[1] == "" {
			delims[','] = true // a comma can't be written without quotes
		}
		count := int64(1)
		if len(args) == 3 {
			if count, ok = parseNumber([]byte(args[2])); !ok || count < 0 {
				return nil, 0, fmt.Errorf("'%s' is no count", short(args[2]))
			}
		}
		f := &fielder{n: n, count: count, delims: delims, word: word}
		return func(c *Ctx, v *Value) bool {
			src, ok := v.text(c)
			if !ok {
				return false
			}
			out, ok := f.cut(src)
			v.setStr(out)
			return ok
		}, Str, nil
	}
}

type fielder struct {
	n, count int64
	delims   [256]bool
	word     bool
}

// cut finds the n-th field of b, from the end for a negative n, and count-1 beyond it (count 0: all).
func (f *fielder) cut(b []byte) ([]byte, bool) {
	if f.n < 0 {
		return f.fromEnd(b)
	}
	index, start, from := int64(0), 0, -1
	for i := 0; i <= len(b); i++ {
		if i < len(b) && !f.delims[b[i]] {
			continue
		}
		if !f.word || i > start {
			index++
			if index == f.n {
				from = start
			}
			if from >= 0 && f.count > 0 && index == f.n+f.count-1 {
				return b[from:i], true
			}
		}
		start = i + 1
	}
	if from < 0 {
		return b[:0], !f.word && index >= f.n
	}
	return b[from:], true
}

func (f *fielder) fromEnd(b []byte) ([]byte, bool) {
	index, end, to := int64(0), len(b), -1
	for i := len(b) - 1; i >= -1; i-- {
		if i >= 0 && !f.delims[b[i]] {
			continue
		}
		if !f.word || end > i+1 {
			index++
			if index == -f.n {
				to = end
			}
			if to >= 0 && f.count > 0 && index == -f.n+f.count-1 {
				return b[i+1 : to], true
			}
		}
		end = i
	}
	if to < 0 {
		return b[:0], false
	}
	return b[:to], true
}

// makeRegsub replaces what a regexp matches: regsub(regexp,replacement[,flags g and i]); \1 names what was captured.
func makeRegsub(_ *program, _ *expr, args []string) (convFunc, Type, error) {
	all, expr := false, args[0]
	if len(args) == 3 {
		for _, b := range args[2] {
			switch b {
			case 'g':
				all = true
			case 'i':
				expr = "(?i)" + args[0]
			default:
				return nil, 0, fmt.Errorf("'%c' is no flag of regsub: g, i", b)
			}
		}
	}
	re, err := compileRegexp(expr)
	if err != nil {
		return nil, 0, err
	}
	t := newTemplate(args[1])
	return func(c *Ctx, v *Value) bool {
		src, ok := v.text(c)
		if !ok {
			return false
		}
		dst, ok := t.replace(c, re, src, all)
		v.setStr(dst)
		return ok
	}, Str, nil
}

// compileRegexp compiles with messages of this project's form.
func compileRegexp(s string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(s)
	if err == nil {
		return re, nil
	}
	text := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	if strings.Contains(s, "(?=") || strings.Contains(s, "(?!") || strings.Contains(s, "(?<") {
		text += "; looking ahead or behind is not supported"
	}
	return nil, fmt.Errorf("'%s' is no regular expression: %s", short(s), text)
}

// template is a replacement with \0 to \9 and \xHH in it; before any other character a backslash is left out.
type template struct {
	parts []part
}

type part struct {
	text  []byte
	group int // -1: text
}

func newTemplate(s string) *template {
	t := &template{}
	var text []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
			switch {
			case s[i] >= '0' && s[i] <= '9':
				t.parts = append(t.parts, part{text, -1}, part{group: int(s[i] - '0')})
				text = nil
				continue
			case s[i] == 'x' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
				text = append(text, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
				i += 2
				continue
			}
		}
		text = append(text, s[i])
	}
	t.parts = append(t.parts, part{text, -1})
	return t
}

func (t *template) append(dst, src []byte, m []int) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		switch {
		case p.group < 0:
			dst = append(dst, p.text...)
		case 2*p.group+1 < len(m) && m[2*p.group] >= 0:
			dst = append(dst, src[m[2*p.group]:m[2*p.group+1]]...)
		}
	}
	return dst
}

// replace writes src with its first match (or all) replaced. A regexp that matches allocates the places of its groups:
// that is the standard library's, and only the few rules that rewrite pay for it.
func (t *template) replace(c *Ctx, re *regexp.Regexp, src []byte, all bool) ([]byte, bool) {
	dst := c.rest()
	at := 0
	for at <= len(src) {
		m := re.FindSubmatchIndex(src[at:])
		if m == nil {
			break
		}
		dst = append(dst, src[at:at+m[0]]...)
		dst = t.append(dst, src[at:], m)
		next := at + m[1]
		if m[1] == m[0] { // an empty match: go on behind the next byte
			if next < len(src) {
				dst = append(dst, src[next])
			}
			next++
		}
		if at = next; !all || len(dst) > scratchSize {
			break
		}
	}
	if at < len(src) {
		dst = append(dst, src[at:]...)
	}
	return dst, c.take(dst)
}

func makeBytes(_ *program, _ *expr, args []string) (convFunc, Type, error) {
	from, ok := parseNumber([]byte(args[0]))
	n, most := int64(0), false
	if len(args) == 2 {
		var ok2 bool
		n, ok2 = parseNumber([]byte(args[1]))
		ok, most = ok && ok2, true
	}
	if !ok || from < 0 || n < 0 {
		return nil, 0, fmt.Errorf("takes an offset and a length")
	}
	return func(c *Ctx, v *Value) bool {
		b, ok := v.text(c)
		if !ok || from >= int64(len(b)) && most {
			return false
		}
		b = b[min(from, int64(len(b))):]
		if most {
			b = b[:min(n, int64(len(b)))]
		}
		v.setBin(b)
		return true
	}, Bin, nil
}

func makeTrim(left, right bool) func(*program, *expr, []string) (convFunc, Type, error) {
	return func(_ *program, _ *expr, args []string) (convFunc, Type, error) {
		var cut [256]bool
		for i := range len(args[0]) {
			cut[args[0][i]] = true
		}
		return func(c *Ctx, v *Value) bool {
			b, ok := v.text(c)
			for left && len(b) > 0 && cut[b[0]] {
				b = b[1:]
			}
			for right && len(b) > 0 && cut[b[len(b)-1]] {
				b = b[:len(b)-1]
			}
			v.setStr(b)
			return ok
		}, Str, nil
	}
}

// makeConcat makes concat(before,variable,after).
func makeConcat(p *program, _ *expr, args []string) (convFunc, Type, error) {
	args = append(args, "", "")
	before, after := args[0], args[2]
	var vr *variable
	if args[1] != "" {
		var err error
		if vr, err = p.variable(args[1]); err != nil {
			return nil, 0, err
		}
	}
	return func(c *Ctx, v *Value) bool {
		b, ok := v.text(c)
		if !ok {
			return false
		}
		dst := append(append(c.rest(), b...), before...)
		if vr != nil {
			f := c.push()
			if vr.of(c).get(vr.index, &f.v) {
				dst = f.v.append(dst)
			}
			c.pop()
		}
		dst = append(dst, after...)
		v.setStr(dst)
		return c.take(dst)
	}, Str, nil
}

// append writes the value's text.
func (v *Value) append(dst []byte) []byte {
	switch v.Type {
	case Str, Bin:
		return append(dst, v.Bytes...)
	case Int, Bool:
		return strconv.AppendInt(dst, v.Int, 10)
	case Addr:
		return v.Addr.AppendTo(dst)
	}
	return dst
}

func makeStrcmp(p *program, _ *expr, args []string) (convFunc, Type, error) {
	vr, err := p.variable(args[0])
	return func(c *Ctx, v *Value) bool {
		b, ok := v.text(c)
		f := c.push()
		defer c.pop()
		if !ok || !vr.of(c).get(vr.index, &f.v) {
			return false
		}
		other, ok := f.v.text(c)
		v.setInt(int64(bytes.Compare(b, other)))
		return ok
	}, Int, err
}

func makeIPMask(_ *program, _ *expr, args []string) (convFunc, Type, error) {
	four, err := maskLen(args[0], 32)
	if err != nil {
		return nil, 0, err
	}
	six := 128
	if len(args) == 2 {
		if six, err = maskLen(args[1], 128); err != nil {
			return nil, 0, err
		}
	}
	return func(_ *Ctx, v *Value) bool {
		a, ok := v.address()
		if !ok {
			return false
		}
		n := four
		if !a.Is4() {
			n = six
		}
		p, err := a.Prefix(n)
		v.setAddr(p.Addr())
		return err == nil
	}, Addr, nil
}

// maskLen reads a prefix length or a dotted mask of one run of ones.
func maskLen(s string, most int) (int, error) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n <= most {
		return n, nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.BitLen() == most {
		n := 0
		for _, b := range a.AsSlice() {
			for ; b&0x80 != 0; b <<= 1 {
				n++
			}
			if b != 0 {
				break
			}
		}
		if p, _ := netip.PrefixFrom(ones(most), n).Masked(), 0; p.Addr() == a {
			return n, nil
		}
	}
	return 0, fmt.Errorf("'%s' is no mask: a number of bits up to %d, or dotted", short(s), most)
}

func ones(bits int) netip.Addr {
	b := bytes.Repeat([]byte{0xff}, bits/8)
	a, _ := netip.AddrFromSlice(b)
	return a
}

func makeIif(_ *program, _ *expr, args []string) (convFunc, Type, error) {
	t, f := []byte(args[0]), []byte(args[1])
	return func(_ *Ctx, v *Value) bool {
		n, ok := v.number()
		v.setStr(f)
		if ok && n != 0 {
			v.setStr(t)
		}
		return true
	}, Str, nil
}

func makeSetVar(p *program, e *expr, args []string) (convFunc, Type, error) {
	vr, err := p.variable(args[0])
	e.volatile = true
	return func(c *Ctx, v *Value) bool { return vr.store(c, v) }, e.out, err
}

func makeHash(h proxy.HashFunction) func(*program, *expr, []string) (convFunc, Type, error) {
	return func(_ *program, _ *expr, args []string) (convFunc, Type, error) {
		stir := len(args) == 1 && args[0] != "" && args[0] != "0"
		return func(c *Ctx, v *Value) bool {
			used := c.used
			b, ok := v.binary(c)
			n := balance.Hash(h, b)
			c.used = used
			if stir {
				n = balance.Avalanche(n)
			}
			v.setInt(int64(n))
			return ok
		}, Int, nil
	}
}
