// Package keepalivedconf reads keepalived.conf in stages: lines of files; the lines that they stand for, with includes,
// variables, conditions and repetitions worked out; pieces at the braces; a tree of blocks. Every word of the tree carries
// the place that it came from. The dialect is that of keepalived 2.2.
package keepalivedconf

import (
	"bytes"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
)

// Options are what a file does not say itself.
type Options struct {
	ConfigID string // what @ID and @^ID compare with; "": the host's name up to the first dot
	Instance string // what ${_INSTANCE} stands for; "": it is no variable
	Dir      string // directory that a relative file name counts from, for ${_PWD}
	Files    Files  // where include looks; nil: there are no other files
	VRRPOnly bool   // pass over virtual servers and what belongs to them
}

// maxProblems ends the reading of a file in which nothing seems to be right.
const maxProblems = 1000

// Read makes the tree of one file and those that it includes: its blocks. What can't be understood is a problem and left
// out.
func Read(file string, content []byte, opts Options) ([]tree.Node, source.Problems) {
	r := reader{vrrpOnly: opts.VRRPOnly}
	if !readable(file, content, &r.ps) {
		return nil, r.ps
	}
	r.pieces = cut(expandFile(file, content, opts, &r.ps))
	nodes := r.block("keepalived", nil)
	return nodes, r.ps
}

// expandFile gives the lines that a file stands for.
func expandFile(file string, content []byte, opts Options, ps *source.Problems) []text {
	if opts.ConfigID == "" {
		name, _ := os.Hostname()
		opts.ConfigID, _, _ = strings.Cut(name, ".")
	}
	x := expander{opts: opts, ps: ps, vars: map[string][]text{}}
	x.run(file, string(content))
	return x.out
}

// readable refuses what is no text.
func readable(file string, content []byte, ps *source.Problems) bool {
	i := bytes.IndexByte(content, 0)
	if i >= 0 {
		line := bytes.Count(content[:i], []byte("\n")) + 1
		ps.Errorf(source.Pos{File: file, Line: line, Col: i - bytes.LastIndexByte(content[:i], '\n')}, "", "NUL byte in a text file")
	}
	return i < 0
}

type reader struct {
	pieces []piece
	i      int
	ps     source.Problems

	vrrpOnly bool
}

// block reads the words of a scope up to the brace that closes opener (nil: to the end of the file).
func (r *reader) block(scope string, opener *tree.Node) []tree.Node {
	var nodes []tree.Node
	first := len(r.ps)
	defer func() { r.lost(nodes, scope, first) }()
	for r.i < len(r.pieces) {
		p := r.pieces[r.i]
		switch {
		case len(r.ps) > maxProblems:
			r.ps.Errorf(p.pos, "", "too many mistakes: the rest is not read")
			r.i = len(r.pieces)
			return nodes
		case p.brace == '}':
			r.i++
			if opener != nil {
				return nodes
			}
			r.ps.Errorf(p.pos, "", "'}' closes nothing")
		case p.t.s == "": // a brace after a line that needed none
			r.ps.Errorf(p.pos, "", "'{' opens nothing")
			r.skip()
		case opener != nil && p.brace == '{' && outer(scope, p.first()):
			r.ps.Errorf(p.pos, "a '}' is missing before this line", "'%s' opened at %s is not closed", opener.Def.Name, opener.Pos)
			return nodes
		default:
			if n, ok := r.keyword(scope, p); ok {
				nodes = append(nodes, n)
			} else if opener != nil {
				opener.Torn = append(opener.Torn, p.first())
			}
		}
	}
	if opener != nil && len(r.ps) <= maxProblems {
		r.ps.Errorf(opener.Pos, "a '}' is missing at the end of the file", "'%s' is not closed", opener.Def.Name)
	}
	return nodes
}

// outer: the word opens a block of the top level and means nothing in scope.
func outer(scope, word string) bool {
	return words.Find(words.Keepalived, scope, word) == nil && words.Find(words.Keepalived, "keepalived", word) != nil
}

// skip passes over a block that is not wanted; the piece at hand opens it.
func (r *reader) skip() {
	for depth := 0; r.i < len(r.pieces); r.i++ {
		switch p := r.pieces[r.i]; p.brace {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth <= 0 {
			r.i++
			return
		}
	}
}

// opens reports whether the piece at hand opens a block, on its own line or on the next.
func (r *reader) opens(p piece) bool {
	return p.brace == '{' || r.i+1 < len(r.pieces) && r.pieces[r.i+1].brace == '{' && r.pieces[r.i+1].t.s == ""
}

func (r *reader) keyword(scope string, p piece) (tree.Node, bool) {
	var def *words.Word
	opens := r.opens(p)
	p.t = r.protected(p.t, scope)
	known := words.Find(words.Keepalived, scope, p.first())
	if r.vrrpOnly && known != nil && known.LVS && known.Status == words.NotYet {
		r.leave(p, opens)
		return tree.Node{}, false
	}
	ws, ok := r.words(p, known)
	if ok {
		def = tree.Resolve(words.Keepalived, scope, ws[0], &r.ps)
	}
	if def == nil {
		r.leave(p, opens)
		return tree.Node{}, false
	}
	n := tree.Node{Def: def, Pos: ws[0].Pos, Args: ws[1:]}
	switch def.Type {
	case words.Block, words.Lines, words.Strings:
		if !opens {
			r.i++
			r.ps.Errorf(n.Pos, "", "'{' is missing after %s", tree.Quote(ws[0].Text))
			return n, false
		}
		return r.body(n, p)
	}
	if opens {
		if least, _ := arguments(n, scope); len(n.Args) < least {
			r.lacking(n, scope)
		} else {
			r.ps.Errorf(r.brace(p), "", "%s takes no block", tree.Quote(ws[0].Text))
		}
		r.leave(p, opens)
		return n, false
	}
	r.i++
	return r.line(n, p, scope)
}

func (r *reader) brace(p piece) source.Pos {
	if p.brace == '{' {
		return p.end
	}
	return r.pieces[r.i+1].pos
}

// leave goes on after a piece that is not understood, with the block it may open.
func (r *reader) leave(p piece, opens bool) {
	if opens && p.brace == 0 {
		r.i++
	}
	if opens {
		r.skip()
		return
	}
	r.i++
}

func (r *reader) readable(ws []tree.Word) bool {
	for _, w := range ws {
		if !utf8.ValidString(w.Text) {
			r.ps.Errorf(w.Pos, "", "the word is not UTF-8")
			return false
		}
	}
	return true
}

func (r *reader) body(n tree.Node, p piece) (tree.Node, bool) {
	if p.brace == 0 {
		r.i++ // the brace stands on the next line
	}
	r.i++
	labels := len(n.Def.Args)
	if len(n.Args) < labels {
		r.ps.Errorf(n.Pos, "", "'%s' needs a name", n.Def.Name)
	}
	if len(n.Args) > labels {
		r.ps.Errorf(n.Args[labels].Pos, "one keyword per line", "surplus word %s", tree.Quote(n.Args[labels].Text))
		n.Args = n.Args[:labels]
	}
	if n.Def.Type == words.Block {
		n.Kids = r.block(n.Def.Sub, &n)
		return n, true
	}
	r.lines(&n)
	return n, true
}

// lines reads the free lines of a block.
func (r *reader) lines(n *tree.Node) {
	for r.i < len(r.pieces) && len(r.ps) <= maxProblems {
		p := r.pieces[r.i]
		switch {
		case p.brace == '}':
			r.i++
			return
		case p.brace == '{':
			if words.Find(words.Keepalived, "keepalived", p.first()) != nil {
				r.ps.Errorf(p.pos, "a '}' is missing before this line", "'%s' opened at %s is not closed", n.Def.Name, n.Pos)
				return
			}
			r.ps.Errorf(p.pos, "", "'%s' takes no block", n.Def.Name)
			r.skip()
			continue
		}
		r.i++
		p.t = r.protected(p.t, n.Def.Name)
		ws, ok := r.words(p, nil)
		switch {
		case !ok:
		case n.Def.Type == words.Strings:
			n.Args = append(n.Args, ws...)
		default:
			n.Kids = append(n.Kids, tree.Node{Pos: p.pos, Args: ws})
		}
	}
	r.ps.Errorf(n.Pos, "a '}' is missing at the end of the file", "'%s' is not closed", n.Def.Name)
}

// line checks that one keyword has its one line to itself.
func (r *reader) line(n tree.Node, p piece, scope string) (tree.Node, bool) {
	least, most := arguments(n, scope)
	n.Shell = n.Def.Type == words.Script
	if len(n.Args) < least {
		r.lacking(n, scope)
		return n, false
	}
	if len(n.Args) > most {
		r.surplus(&n, most)
	}
	return n, true
}

// surplus says what follows a keyword that has its arguments, and takes it away. keepalived passes over it in silence.
func (r *reader) surplus(n *tree.Node, most int) {
	w := n.Args[most]
	hint := "one keyword per line"
	if n.Def.Type == words.Script {
		hint = `a command with arguments stands in quotes: "COMMAND ARGUMENT"`
	}
	r.ps.Errorf(w.Pos, hint, "surplus word %s after %s", tree.Quote(w.Text), tree.Quote(n.Def.Name))
	r.ps.As(source.ClassSilent)
	for _, w := range n.Args[most:] {
		n.Torn = append(n.Torn, w.Text)
	}
	n.Args = n.Args[:most]
}
