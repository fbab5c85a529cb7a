package hcldoc

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/reeve-lb/reeve/config/haproxycfg"
	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
)

// attribute reads one attribute as the lines it stands for.
func (r *reader) attribute(scope string, name tree.Word, expr hclsyntax.Expression) []tree.Node {
	if family(scope, name.Text) {
		return r.strings(expr, func(w tree.Word, plain bool) []tree.Node {
			return r.keyword(scope, name, w, plain)
		})
	}
	if s := blockScope(scope, name.Text); words.Find(words.HCL, scope, name.Text) == nil && s != scope {
		if words.Find(words.HCL, s, name.Text).Type != words.Block {
			return r.attribute(s, name, expr)
		}
		r.ps.Errorf(name.Pos, "write "+name.Text+" { ... }", "%s is a block", tree.Quote(name.Text))
		return nil
	}
	def := tree.Resolve(words.HCL, scope, name, &r.ps)
	if def == nil {
		return nil
	}
	n := tree.Node{Def: def, Pos: name.Pos}
	switch def.Type {
	case words.Block:
		r.ps.Errorf(name.Pos, "write "+name.Text+" { ... }", "%s is a block", tree.Quote(name.Text))
		return nil
	case words.Line:
		full := tree.Word{Text: def.Name, Pos: name.Pos}
		return r.strings(expr, func(w tree.Word, plain bool) []tree.Node { return r.defined(def, full, w, plain) })
	case words.Lines:
		n.Kids = r.strings(expr, func(w tree.Word, plain bool) []tree.Node {
			if args := r.split(w, plain); len(args) > 0 {
				return []tree.Node{{Pos: w.Pos, Args: args}}
			}
			return nil
		})
	case words.Strings:
		r.strings(expr, func(w tree.Word, _ bool) []tree.Node {
			n.Args = append(n.Args, w)
			return nil
		})
	case words.Script:
		return r.script(n, expr)
	case words.Flag, words.Bool:
		return r.flag(n, expr)
	default:
		w, ok := r.scalar(expr)
		if !ok {
			return nil
		}
		n.Args = []tree.Word{w}
	}
	return []tree.Node{n}
}

func (r *reader) flag(n tree.Node, expr hclsyntax.Expression) []tree.Node {
	v, ok := r.value(expr)
	if !ok {
		return nil
	}
	b, err := convert.Convert(v, cty.Bool)
	if err != nil || b.IsNull() {
		r.ps.Errorf(r.pos(expr.Range()), "true or false", "'%s' is not a boolean", n.Def.Name)
		return nil
	}
	if n.Def.Type == words.Bool {
		n.Args = []tree.Word{{Text: map[bool]string{true: "on", false: "off"}[b.True()], Pos: r.pos(expr.Range())}}
		return []tree.Node{n}
	}
	n.No = !b.True()
	return []tree.Node{n}
}

func (r *reader) script(n tree.Node, expr hclsyntax.Expression) []tree.Node {
	if _, ok := expr.(*hclsyntax.TupleConsExpr); ok {
		r.strings(expr, func(w tree.Word, _ bool) []tree.Node {
			n.Args = append(n.Args, w)
			return nil
		})
		return []tree.Node{n}
	}
	w, ok := r.scalar(expr)
	if !ok {
		return nil
	}
	n.Args, n.Shell = []tree.Word{w}, true
	return []tree.Node{n}
}

// keyword reads one string of `option = [...]`: the rest of a line that begins with the attribute's name.
func (r *reader) keyword(scope string, name, line tree.Word, plain bool) []tree.Node {
	ws := r.split(line, plain)
	if len(ws) == 0 {
		return nil
	}
	second := tree.Word{Text: name.Text + " " + ws[0].Text, Pos: ws[0].Pos}
	def := tree.Resolve(words.HCL, scope, second, &r.ps)
	if def == nil {
		return nil
	}
	return r.finish(def, second, ws[1:])
}

// defined reads one string of a Line word.
func (r *reader) defined(def *words.Word, name, line tree.Word, plain bool) []tree.Node {
	ws := r.split(line, plain)
	if ws == nil && line.Text != "" {
		return nil
	}
	return r.finish(def, name, ws)
}

func (r *reader) finish(def *words.Word, name tree.Word, args []tree.Word) []tree.Node {
	n := tree.Node{Def: def, Pos: name.Pos, Args: args}
	if len(args) > 0 {
		n.Pos = args[0].Pos
	}
	if def.Type == words.Line {
		if len(args) < len(def.Args) {
			r.ps.Errorf(n.Pos, "", "'%s' needs: %v", def.Name, def.Args)
			return nil
		}
		n.Args, n.Kids = tree.Line(words.HCL, def, args, &r.ps)
	}
	return []tree.Node{n}
}

// split cuts a string into words. Where the string is written with escapes its words have the place of the string.
func (r *reader) split(line tree.Word, plain bool) []tree.Word {
	var ps source.Problems
	ws := haproxycfg.Split(line.Text, line.Pos, false, &ps)
	for i := range ws {
		if !plain {
			ws[i].Pos = line.Pos
		}
	}
	for _, p := range ps {
		if !plain {
			p.Pos = line.Pos
		}
		r.ps = append(r.ps, p)
	}
	return ws
}

// strings calls f with each string of a list, or with the one string that stands in its place, and gathers the results.
// plain says that the string's bytes stand in the file as they are.
func (r *reader) strings(expr hclsyntax.Expression, f func(w tree.Word, plain bool) []tree.Node) []tree.Node {
	list := []hclsyntax.Expression{expr}
	if t, ok := expr.(*hclsyntax.TupleConsExpr); ok {
		list = t.Exprs
	}
	var nodes []tree.Node
	for _, e := range list {
		if w, ok := r.scalar(e); ok {
			nodes = append(nodes, f(w, r.plain(e, w.Text))...)
		}
	}
	return nodes
}

func (r *reader) plain(e hclsyntax.Expression, text string) bool {
	rng := e.Range()
	return rng.End.Byte <= len(r.content) && rng.End.Byte-rng.Start.Byte == len(text)+2 &&
		string(r.content[rng.Start.Byte+1:rng.End.Byte-1]) == text
}

// scalar is the text of a string, number or boolean, and its place (past the quote of a string).
func (r *reader) scalar(expr hclsyntax.Expression) (tree.Word, bool) {
	v, ok := r.value(expr)
	if !ok {
		return tree.Word{}, false
	}
	at := r.pos(expr.Range())
	s, err := convert.Convert(v, cty.String)
	if err != nil || s.IsNull() {
		r.ps.Errorf(at, "", "a string or a number is wanted here, not %s", kind(v))
		return tree.Word{}, false
	}
	if _, quoted := expr.(*hclsyntax.TemplateExpr); quoted {
		at = r.label(expr.Range())
	}
	return tree.Word{Text: s.AsString(), Pos: at}, true
}

func kind(v cty.Value) string {
	if v.IsNull() {
		return "null"
	}
	return v.Type().FriendlyName()
}

// value evaluates an expression; there are no variables and no functions yet.
func (r *reader) value(expr hclsyntax.Expression) (cty.Value, bool) {
	if vars := expr.Variables(); len(vars) > 0 {
		r.ps.Errorf(r.pos(vars[0].SourceRange()), "put text in quotes", "variables are not supported yet")
		return cty.NilVal, false
	}
	v, diags := expr.Value(&hcl.EvalContext{})
	if diags.HasErrors() {
		r.diagnostics(diags)
		return cty.NilVal, false
	}
	if !v.IsWhollyKnown() { // what the parser made of a syntax error
		if !r.ps.HasErrors() {
			r.ps.Errorf(r.pos(expr.Range()), "", "the value is not known")
		}
		return cty.NilVal, false
	}
	return v, true
}
