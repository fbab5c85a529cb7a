package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
)

// value reads what follows a word, by the word's type: bool, int64, string, time.Duration, netip.Addr, []string.
func (d *decoder) value(n tree.Node) (any, bool) {
	def := n.Def
	switch def.Type {
	case words.Flag:
		if len(n.Args) > 0 {
			d.errorf(n.Args[0].Pos, "", "surplus word %s after '%s'", tree.Quote(n.Args[0].Text), def.Name)
			d.ps.As(source.ClassSilent)
		}
		return flagValue(def, n.No), true
	case words.Strings:
		return texts(n.Args), true
	}
	if len(n.Args) == 0 {
		if def.Type == words.Bool {
			return true, true
		}
		d.errorf(n.Pos, "", "'%s' needs a value", def.Name)
		d.ps.As(source.ClassParameter)
		return nil, false
	}
	if len(n.Args) > 1 {
		d.errorf(n.Args[1].Pos, "", "surplus word %s after '%s'", tree.Quote(n.Args[1].Text), def.Name)
		if d.ps.As(source.ClassSilent); !d.opts.Tolerant {
			return nil, false
		}
	}
	w := n.Args[0]
	v, meant, err := parse(def, w.Text, d.dialect)
	if err != nil {
		d.errorf(w.Pos, meant, "%s", err)
		if d.ps.As(def.Class); errors.Is(err, errNotYet) {
			d.ps.As(source.ClassFatal)
		}
		if def.Floor && d.opts.Tolerant && strings.Trim(w.Text, "0.") == "" {
			v, _, _ = parse(def, itoa(int(def.Min)), d.dialect)
		}
		return v, false
	}
	return v, true
}

// flagValue is what a flag sets: a boolean, or the number of a choice of which it is one.
func flagValue(def *words.Word, no bool) any {
	switch {
	case def.Field == "ConnMode" || def.Field == "LogFormat":
		if no {
			return int64(0)
		}
		return int64(def.Sets)
	}
	return !no
}

func texts(ws []tree.Word) []string {
	var out []string
	for _, w := range ws {
		out = append(out, w.Text)
	}
	return out
}

// parse understands one word; otherwise it says what is wrong and what is meant.
func parse(def *words.Word, s string, dialect words.Dialect) (v any, meant string, err error) {
	if s == "" && overrides(def) {
		return map[words.Type]any{words.Enum: enumValue{}, words.Addr: netip.Addr{}, words.String: ""}[def.Type], "", nil
	}
	bad := func() error { return fmt.Errorf("%s is no value for '%s'", tree.Quote(s), def.Name) }
	switch def.Type {
	case words.Bool:
		switch s {
		case "on", "true", "yes":
			return true, "", nil
		case "off", "false", "no":
			return false, "", nil
		}
		return nil, "on or off", bad()
	case words.String:
		if s == "" {
			return nil, "", fmt.Errorf("'%s' is empty", def.Name)
		}
		return s, "", nil
	case words.Enum:
		return parseEnum(def, s)
	case words.Addr:
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return nil, "an IP address", bad()
		}
		return a, "", nil
	case words.Int, words.Size:
		n, ok := parseInt(s, def.Type == words.Size)
		hi := def.Max
		if hi == 0 {
			hi = math.MaxInt32
		}
		if !ok || n < def.Min || n > hi {
			return nil, fmt.Sprintf("a number from %d to %d", def.Min, hi), bad()
		}
		return n, "", nil
	case words.Duration:
		return parseDuration(def, s, dialect)
	}
	return nil, "", bad()
}

// overrides: an empty text takes back what the instance says.
func overrides(def *words.Word) bool {
	return (def.In[0] == "override" || def.In[0] == "override-instance") &&
		(def.Type == words.Enum || def.Type == words.Addr || def.Type == words.String)
}

// errNotYet: a value that the dialect has and this release does not.
var errNotYet = errors.New("is not supported yet")

func parseEnum(def *words.Word, s string) (any, string, error) {
	if i := slices.Index(def.Enum, s); i >= 0 && s != "" {
		return enumValue{i, s}, "", nil
	}
	base, _, _ := strings.Cut(s, "(")
	if slices.Contains(def.Later, base) {
		return nil, "", fmt.Errorf("'%s %s' %w", def.Name, s, errNotYet)
	}
	known := slices.DeleteFunc(slices.Clone(def.Enum), func(e string) bool { return e == "" })
	meant := strings.Join(known, ", ")
	if c := words.Nearest(s, append(known, def.Later...)); c != "" {
		meant = "did you mean '" + c + "'?"
	}
	return nil, meant, fmt.Errorf("%s is no value for '%s'", tree.Quote(s), def.Name)
}

// enumValue is a choice: its number, for typed settings, and its word.
type enumValue struct {
	n    int
	text string
}

func parseInt(s string, size bool) (int64, bool) {
	factor := int64(1)
	if size && s != "" {
		if i := strings.IndexByte("kmg", s[len(s)-1]|0x20); i >= 0 && s[len(s)-1] > '9' {
			factor = 1 << (10 * (i + 1))
			s = s[:len(s)-1]
		}
	}
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > math.MaxInt64/factor {
		return 0, false
	}
	return n * factor, true
}

var units = []struct {
	suffix string
	d      time.Duration
}{{"us", time.Microsecond}, {"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

// maxTime is the longest time of haproxy.cfg: what fits in 31 bits of milliseconds.
const maxTime = math.MaxInt32 * time.Millisecond

// parseDuration: haproxy.cfg has whole numbers with units, keepalived.conf decimal seconds without; HCL has both.
func parseDuration(def *words.Word, s string, dialect words.Dialect) (any, string, error) {
	wrong := func() (any, string, error) {
		meant := "a number and one of us, ms, s, m, h, d"
		if dialect == words.Keepalived {
			meant = "a number of seconds"
		}
		return nil, meant, fmt.Errorf("%s is no time for '%s'", tree.Quote(s), def.Name)
	}
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz")
	unit := def.Unit
	if suffix := s[len(number):]; suffix != "" {
		i := slices.IndexFunc(units, func(u struct {
			suffix string
			d      time.Duration
		}) bool {
			return u.suffix == suffix
		})
		if i < 0 || dialect == words.Keepalived {
			return wrong()
		}
		unit = units[i].d
	}
	whole, fraction, dot := strings.Cut(number, ".")
	if dot && (def.Dialect == words.HAProxy || fraction == "" || len(fraction) > 6 || strings.Trim(fraction, "0123456789") != "") {
		return wrong()
	}
	n, ok := parseInt(whole, false)
	if !ok || n < 0 || strings.HasPrefix(whole, "-") {
		return wrong()
	}
	hi := maxTime
	if def.Max > 0 {
		hi = time.Duration(def.Max) * def.Unit
	}
	out := hi + 1
	if n <= int64(hi/unit) {
		out = time.Duration(n) * unit
		if dot {
			f, _ := strconv.ParseInt((fraction + "000000")[:6], 10, 64)
			out += time.Duration(f) * (unit / 1000) / 1000
		}
	}
	if def.Dialect == words.HAProxy { // parts of a unit count as a whole one
		out = (out + def.Unit - 1) / def.Unit * def.Unit
	}
	if lo := time.Duration(def.Min) * def.Unit; out < lo || out > hi {
		return nil, fmt.Sprintf("from %s to %s", duration(lo), duration(hi)), fmt.Errorf("%s is out of range for '%s'", tree.Quote(s), def.Name)
	}
	return out, "", nil
}

// duration writes a time with the largest unit that keeps it whole.
func duration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	for i := len(units) - 1; i >= 0; i-- {
		if d%units[i].d == 0 {
			return strconv.FormatInt(int64(d/units[i].d), 10) + units[i].suffix
		}
	}
	return strconv.FormatInt(int64(d/time.Microsecond), 10) + "us"
}

// field finds the Field of a word in the settings of its scope, making what it points through.
func field(v reflect.Value, path string) reflect.Value {
	for name := range strings.SplitSeq(path, ".") {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.FieldByName(name)
	}
	return v
}

// assign stores a parsed value in a field of fitting kind.
func assign(to reflect.Value, v any) {
	if to.Kind() == reflect.Pointer {
		p := reflect.New(to.Type().Elem())
		assign(p.Elem(), v)
		to.Set(p)
		return
	}
	switch v := v.(type) {
	case enumValue:
		if to.Kind() == reflect.String {
			to.SetString(v.text)
		} else {
			to.SetInt(int64(v.n))
		}
	case int64:
		to.SetInt(v)
	case time.Duration:
		to.SetInt(int64(v))
	case bool:
		to.SetBool(v)
	case string:
		to.SetString(v)
	default:
		to.Set(reflect.ValueOf(v))
	}
}
