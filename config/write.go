package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/vrrp"
)

// WriteHCL spells a Document in HCL; reading it back gives an equal Document. What has its default is left out.
func WriteHCL(d Document) []byte {
	f := hclwrite.NewEmptyFile()
	w := writer{body: f.Body()}
	w.globals(d)
	for i := range d.Proxy.Caches {
		w.top("cache", d.Proxy.Caches[i].Name).scalars("cache", &d.Proxy.Caches[i])
	}
	w.userLists(d.Proxy.UserLists)
	for i := range d.Proxy.Frontends {
		w.frontend(&d.Proxy.Frontends[i], d.Proxy.Global)
	}
	for i := range d.Proxy.Backends {
		w.backend(&d.Proxy.Backends[i], d)
	}
	w.vrrp(d)
	for _, name := range slices.Sorted(maps.Keys(d.Nodes)) {
		w.node(name, d.Nodes[name])
	}
	return hclwrite.Format(f.Bytes())
}

// writer prints into one body of HCL.
type writer struct{ body *hclwrite.Body }

// top begins a block of the top level, with an empty line above all but the first.
func (w writer) top(name string, labels ...string) writer {
	if len(w.body.Blocks()) > 0 {
		w.body.AppendNewline()
	}
	return writer{w.body.AppendNewBlock(name, labels).Body()}
}

func (w writer) block(name string, labels ...string) writer {
	return writer{w.body.AppendNewBlock(name, labels).Body()}
}

// group is the block of a family of words (timeout, stats), made when first needed.
func (w writer) group(name string) writer {
	if b := w.body.FirstMatchingBlock(name, nil); b != nil {
		return writer{b.Body()}
	}
	return w.block(name)
}

// set writes an attribute; the first half of a two-word keyword is its block.
func (w writer) set(name string, v cty.Value) {
	if first, second, ok := strings.Cut(name, " "); ok && (first == "timeout" || first == "stats" || first == "compression") {
		w, name = w.group(first), second
	}
	w.body.SetAttributeValue(attribute.Replace(name), v)
}

// attribute is a word's name as HCL's attributes may be called.
var attribute = strings.NewReplacer("-", "_", " ", "_", ".", "_")

func (w writer) text(name, s string) { w.set(name, cty.StringVal(s)) }

// list writes lines, one below the other when they are long; forced writes an empty list too.
func (w writer) list(name string, lines []string) {
	if len(lines) == 0 {
		return
	}
	w.forced(name, lines)
}

func (w writer) forced(name string, lines []string) {
	if first, second, ok := strings.Cut(name, " "); ok && (first == "stats" || first == "compression") {
		w, name = w.group(first), second
	}
	name = attribute.Replace(name)
	length := 0
	vals := make([]cty.Value, len(lines))
	for i, l := range lines {
		length += len(l) + 4
		vals[i] = cty.StringVal(l)
	}
	if len(lines) < 2 || length < 80 {
		w.body.SetAttributeValue(name, cty.TupleVal(vals))
		return
	}
	toks := hclwrite.Tokens{{Type: hclsyntax.TokenOBrack, Bytes: []byte("[")}, newline}
	for _, l := range lines {
		toks = append(toks, hclwrite.TokensForValue(cty.StringVal(l))...)
		toks = append(toks, &hclwrite.Token{Type: hclsyntax.TokenComma, Bytes: []byte(",")}, newline)
	}
	w.body.SetAttributeRaw(name, append(toks, &hclwrite.Token{Type: hclsyntax.TokenCBrack, Bytes: []byte("]")}))
}

var newline = &hclwrite.Token{Type: hclsyntax.TokenNewline, Bytes: []byte("\n")}

// scalars writes the words of a scope whose Field in v has another value than the default, and returns those options that
// are on.
func (w writer) scalars(scope string, v any) (options []string) {
	rv := reflect.ValueOf(v).Elem()
	second := map[string]bool{} // other words for the same setting
	for _, def := range words.In(scope) {
		if def.Field == "" || def.Status == words.NotYet || def.Status == words.Alias || def.Dialect == words.Keepalived && second[def.Field] {
			continue
		}
		second[def.Field] = true
		f, ok := lookup(rv, def.Field)
		if !ok {
			continue
		}
		if name, isOption := strings.CutPrefix(def.Name, "option "); isOption {
			if def.Type == words.Flag && optionOn(def, f) {
				options = append(options, name)
			}
			continue
		}
		w.scalar(def, f)
	}
	return options
}

func optionOn(def *words.Word, f reflect.Value) bool {
	if f.Kind() == reflect.Bool {
		return f.Bool()
	}
	return def.Sets != 0 && f.Int() == int64(def.Sets)
}

// lookup finds a Field without making anything; a nil on the way is not there.
func lookup(v reflect.Value, path string) (reflect.Value, bool) {
	for name := range strings.SplitSeq(path, ".") {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		if v = v.FieldByName(name); !v.IsValid() {
			return v, false
		}
	}
	return v, true
}

func (w writer) scalar(def *words.Word, f reflect.Value) {
	always := def.Name == "priority" // its default depends on the state
	if f.Kind() == reflect.Pointer {
		if f.IsNil() {
			return
		}
		f, always = f.Elem(), true
	}
	if !always && isDefault(def, f) {
		return
	}
	switch v := f.Interface().(type) {
	case bool:
		w.set(def.Name, cty.BoolVal(v))
	case []string:
		if def.Type == words.Strings {
			w.list(def.Name, v)
		}
	case vrrp.Command:
		if len(v.Argv) > 0 {
			w.forced(def.Name, v.Argv)
		}
	default:
		if strings.HasSuffix(def.Field, ".User") {
			w.text(def.Name, userWords(f.String()))
		} else if s, number, ok := spell(def, f); ok && number {
			w.set(def.Name, cty.NumberIntVal(f.Int()))
		} else if ok {
			w.text(def.Name, s)
		}
	}
}

// isDefault compares with the default as the reader would read it.
func isDefault(def *words.Word, f reflect.Value) bool {
	if def.Default == "" {
		return f.IsZero()
	}
	v, _, err := parse(def, def.Default, words.HCL)
	if err != nil {
		return false
	}
	want := reflect.New(f.Type()).Elem()
	assign(want, v)
	return want.Equal(f)
}

func (w writer) globals(d Document) {
	g := d.Proxy.Global
	lines := logLines(g.Log, nil)
	plain := g
	plain.Log, plain.Pos = nil, proxy.Global{}.Pos
	if len(lines) > 0 || !reflect.ValueOf(plain).IsZero() {
		b := w.top("global")
		b.scalars("global", &g)
		b.list("log", lines)
	}
	w.globalDefs(d.VRRP.Global)
}
