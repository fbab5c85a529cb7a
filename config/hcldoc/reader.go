// Package hcldoc reads Reeve's own spelling, HCL: the syntax tree of hcl/v2 becomes a tree by the table of words.
//
// A word of a dialect is an attribute (`retries = 3`) or a block (`backend "app" { ... }`). Dashes and blanks in it may be
// written as underscores. What is a line with words of its own in haproxy.cfg can be a block with attributes
// (`server "s1" { address = "10.0.0.1:80" }`), a string with that line, or a list of such strings.
package hcldoc

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
)

// Read makes the tree of one file: sections, blocks and the node's settings (words of the scope "native").
func Read(file string, content []byte) ([]tree.Node, source.Problems) {
	r := &reader{file: file, content: content}
	if !r.guard(content) {
		return nil, r.ps
	}
	f, diags := hclsyntax.ParseConfig(content, file, hcl.InitialPos)
	r.diagnostics(diags)
	if f == nil {
		return nil, r.ps
	}
	body, ok := f.Body.(*hclsyntax.Body)
	if !ok {
		return nil, r.ps
	}
	return r.body("native", body), r.ps
}

type reader struct {
	file    string
	content []byte
	ps      source.Problems
}

// diagnostics retells what hcl found in the words of this project's problems.
func (r *reader) diagnostics(diags hcl.Diagnostics) {
	for _, d := range diags {
		at := source.Pos{File: r.file, Line: 1, Col: 1}
		if d.Subject != nil {
			at = r.pos(*d.Subject)
		}
		text := []rune(d.Summary)
		if len(text) > 0 {
			text[0] = unicode.ToLower(text[0])
		}
		r.ps.Errorf(at, strings.TrimSuffix(d.Detail, "."), "%s", string(text))
	}
}

// item is an attribute or a block, in the order of the file.
type item struct {
	attr  *hclsyntax.Attribute
	block *hclsyntax.Block
	at    int
}

func items(b *hclsyntax.Body) []item {
	var out []item
	for _, a := range b.Attributes {
		out = append(out, item{attr: a, at: a.SrcRange.Start.Byte})
	}
	for _, blk := range b.Blocks {
		out = append(out, item{block: blk, at: blk.TypeRange.Start.Byte})
	}
	slices.SortFunc(out, func(a, b item) int { return cmp.Compare(a.at, b.at) })
	return out
}

func (r *reader) body(scope string, b *hclsyntax.Body) []tree.Node {
	var nodes []tree.Node
	for _, it := range items(b) {
		if it.attr != nil {
			w := tree.Word{Text: it.attr.Name, Pos: r.pos(it.attr.NameRange)}
			nodes = append(nodes, r.attribute(scope, w, it.attr.Expr)...)
			continue
		}
		nodes = append(nodes, r.block(scope, it.block)...)
	}
	return nodes
}

// blockScope is where a block's word is looked up: the top level has the words of all dialects.
func blockScope(scope, name string) string {
	if scope != "native" {
		return scope
	}
	for _, s := range []string{"native-block", "haproxy", "keepalived"} {
		if words.Find(words.HCL, s, name) != nil {
			return s
		}
	}
	return scope
}

// family reports whether a name is the first half of two-word keywords: timeout, option, stats, stick.
func family(scope, name string) bool {
	return words.Find(words.HCL, scope, name) == nil && words.Prefixed(words.HCL, scope, name)
}

func (r *reader) block(scope string, b *hclsyntax.Block) []tree.Node {
	w := tree.Word{Text: b.Type, Pos: r.pos(b.TypeRange)}
	if family(scope, w.Text) {
		return r.familyBlock(scope, b)
	}
	s := blockScope(scope, w.Text)
	def := tree.Resolve(words.HCL, s, w, &r.ps)
	if def == nil {
		return nil
	}
	n := tree.Node{Def: def, Pos: w.Pos}
	switch {
	case def.Type == words.Block:
		if !r.labels(&n, b) {
			return nil
		}
		n.Kids = r.body(def.Sub, b.Body)
		n.Torn = torn(b.Body, n.Kids)
	case def.Type == words.Line && def.Sub != "":
		if !r.labels(&n, b) || !r.lineBlock(&n, b.Body) {
			return nil
		}
	default:
		r.ps.Errorf(w.Pos, "write "+w.Text+" = ...", "%s is not a block", tree.Quote(w.Text))
		return nil
	}
	return []tree.Node{n}
}

// torn are the attributes and blocks of a body of which nothing is among its nodes.
func torn(b *hclsyntax.Body, kids []tree.Node) []string {
	var out []string
	for _, it := range items(b) {
		name := ""
		if it.attr != nil {
			name = it.attr.Name
		} else {
			name = it.block.Type
		}
		if !slices.ContainsFunc(kids, func(n tree.Node) bool { return sameWord(n.Def.Name, name) }) {
			out = append(out, name)
		}
	}
	return out
}

// sameWord: one spelling of a word begins with the other (timeout is the block of `timeout connect`).
func sameWord(def, name string) bool {
	plain := strings.NewReplacer("-", "_", " ", "_")
	return strings.HasPrefix(plain.Replace(def), plain.Replace(name))
}

// labels takes the names in front of the brace.
func (r *reader) labels(n *tree.Node, b *hclsyntax.Block) bool {
	for i, l := range b.Labels {
		n.Args = append(n.Args, tree.Word{Text: l, Pos: r.label(b.LabelRanges[i])})
	}
	most := n.Def.Labels
	if n.Def.Type == words.Block {
		most = len(n.Def.Args)
	}
	switch {
	case len(n.Args) < n.Def.Labels:
		r.ps.Errorf(n.Pos, `write `+b.Type+` "name" {`, "'%s' needs a name", b.Type)
		return false
	case len(n.Args) > most:
		r.ps.Errorf(n.Args[most].Pos, "", "surplus name %s", tree.Quote(n.Args[most].Text))
		n.Args = n.Args[:most]
	}
	return true
}

// label is the place of a name, past its quote.
func (r *reader) label(rng hcl.Range) source.Pos {
	p := r.pos(rng)
	if rng.Start.Byte < len(r.content) && r.content[rng.Start.Byte] == '"' {
		p.Col++
	}
	return p
}

// familyBlock reads timeout { connect = "5s" } as `timeout connect 5s`.
func (r *reader) familyBlock(scope string, b *hclsyntax.Block) []tree.Node {
	var nodes []tree.Node
	if len(b.Labels) > 0 {
		r.ps.Errorf(r.label(b.LabelRanges[0]), "", "surplus name %s", tree.Quote(b.Labels[0]))
	}
	for _, it := range items(b.Body) {
		if it.attr == nil {
			at := r.pos(it.block.TypeRange)
			r.ps.Errorf(at, "", "%s is not a block", tree.Quote(it.block.Type))
			continue
		}
		w := tree.Word{Text: b.Type + " " + it.attr.Name, Pos: r.pos(it.attr.NameRange)}
		nodes = append(nodes, r.attribute(scope, w, it.attr.Expr)...)
	}
	return nodes
}

// lineBlock reads the attributes of server "s1" { ... }: those with the name of an argument are that, the rest are words.
func (r *reader) lineBlock(n *tree.Node, b *hclsyntax.Body) bool {
	named := map[string]tree.Word{}
	for _, it := range items(b) {
		if it.attr == nil {
			r.ps.Errorf(r.pos(it.block.TypeRange), "", "'%s' has no blocks", n.Def.Name)
			continue
		}
		if slices.Contains(n.Def.Args[n.Def.Labels:], it.attr.Name) {
			if v, ok := r.scalar(it.attr.Expr); ok {
				named[it.attr.Name] = v
			} else {
				return false
			}
			continue
		}
		w := tree.Word{Text: it.attr.Name, Pos: r.pos(it.attr.NameRange)}
		n.Kids = append(n.Kids, r.attribute(n.Def.Sub, w, it.attr.Expr)...)
	}
	for _, name := range n.Def.Args[n.Def.Labels:] {
		v, ok := named[name]
		if !ok {
			r.ps.Errorf(n.Pos, "", "'%s' needs %s", n.Def.Name, name)
			return false
		}
		n.Args = append(n.Args, v)
	}
	return true
}
