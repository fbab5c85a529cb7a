// Package keepalivedconf reads keepalived.conf: lines to pieces at the braces, pieces to a tree of blocks.
package keepalivedconf

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
)

// Read makes the tree of one file: its blocks. What can't be understood is a problem and left out.
func Read(file string, content []byte) ([]tree.Node, source.Problems) {
	r := reader{}
	if i := bytes.IndexByte(content, 0); i >= 0 {
		line := bytes.Count(content[:i], []byte("\n")) + 1
		r.ps.Errorf(source.Pos{File: file, Line: line, Col: i - bytes.LastIndexByte(content[:i], '\n')}, "", "NUL byte in a text file")
		return nil, r.ps
	}
	r.pieces = lex(file, string(content), &r.ps)
	nodes := r.block("keepalived", nil)
	return nodes, r.ps
}

type reader struct {
	pieces []piece
	i      int
	ps     source.Problems
}

// block reads the words of a scope up to the brace that closes opener (nil: to the end of the file).
func (r *reader) block(scope string, opener *tree.Node) []tree.Node {
	var nodes []tree.Node
	for r.i < len(r.pieces) {
		p := r.pieces[r.i]
		switch {
		case p.brace == '}':
			r.i++
			if opener != nil {
				return nodes
			}
			r.ps.Errorf(p.pos, "", "'}' closes nothing")
		case len(p.words) == 0: // a brace after a line that needed none
			r.ps.Errorf(p.pos, "", "'{' opens nothing")
			r.skip()
		case opener != nil && p.brace == '{' && outer(scope, p.words[0].Text):
			r.ps.Errorf(p.pos, "a '}' is missing before this line", "'%s' opened at %s is not closed", opener.Def.Name, opener.Pos)
			return nodes
		default:
			if n, ok := r.keyword(scope, p); ok {
				nodes = append(nodes, n)
			} else if opener != nil {
				opener.Torn = append(opener.Torn, p.words[0].Text)
			}
		}
	}
	if opener != nil {
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
	return p.brace == '{' || r.i+1 < len(r.pieces) && r.pieces[r.i+1].brace == '{' && len(r.pieces[r.i+1].words) == 0
}

func (r *reader) keyword(scope string, p piece) (tree.Node, bool) {
	name := p.words[0]
	n := tree.Node{Pos: name.Pos, Args: p.words[1:]}
	ok := r.readable(p)
	if ok {
		n.Def, ok = r.resolve(scope, name)
	}
	opens := r.opens(p)
	if !ok {
		r.leave(p, opens)
		return n, false
	}
	switch n.Def.Type {
	case words.Block, words.Lines, words.Strings:
		if !opens {
			r.i++
			r.ps.Errorf(n.Pos, "", "'{' is missing after %s", tree.Quote(name.Text))
			return n, false
		}
		return r.body(n, p)
	}
	if opens {
		r.ps.Errorf(r.brace(p), "", "%s takes no block", tree.Quote(name.Text))
		r.leave(p, opens)
		return n, false
	}
	r.i++
	return r.line(n, p)
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

func (r *reader) readable(p piece) bool {
	for _, w := range p.words {
		if !utf8.ValidString(w.Text) {
			r.ps.Errorf(w.Pos, "", "the word is not UTF-8")
			return false
		}
	}
	return true
}

func (r *reader) resolve(scope string, name tree.Word) (*words.Word, bool) {
	switch {
	case strings.HasPrefix(name.Text, "$"):
		r.ps.Errorf(name.Pos, "", "variables (%s) are not supported yet", tree.Quote(name.Text))
		return nil, false
	case strings.HasPrefix(name.Text, "@"):
		r.ps.Errorf(name.Pos, "", "conditions (%s) are not supported yet", tree.Quote(name.Text))
		return nil, false
	case strings.HasPrefix(name.Text, "~"):
		r.ps.Errorf(name.Pos, "", "repetitions (%s) are not supported yet", tree.Quote(name.Text))
		return nil, false
	}
	def := tree.Resolve(words.Keepalived, scope, name, &r.ps)
	return def, def != nil
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
	for r.i < len(r.pieces) {
		p := r.pieces[r.i]
		switch {
		case p.brace == '}':
			r.i++
			return
		case p.brace == '{':
			if len(p.words) > 0 && words.Find(words.Keepalived, "keepalived", p.words[0].Text) != nil {
				r.ps.Errorf(p.pos, "a '}' is missing before this line", "'%s' opened at %s is not closed", n.Def.Name, n.Pos)
				return
			}
			r.ps.Errorf(p.pos, "", "'%s' takes no block", n.Def.Name)
			r.skip()
			continue
		case !r.readable(p):
		case n.Def.Type == words.Strings:
			n.Args = append(n.Args, p.words...)
		default:
			n.Kids = append(n.Kids, tree.Node{Pos: p.pos, Args: p.words})
		}
		r.i++
	}
	r.ps.Errorf(n.Pos, "a '}' is missing at the end of the file", "'%s' is not closed", n.Def.Name)
}

// line checks that one keyword has its one line to itself.
func (r *reader) line(n tree.Node, p piece) (tree.Node, bool) {
	want := 1
	switch n.Def.Type {
	case words.Flag:
		want = 0
	case words.Bool:
		want = min(1, len(n.Args))
	case words.Script:
		if len(n.Args) == 0 {
			break
		}
		return command(n, p, &r.ps)
	case words.Line:
		if len(n.Args) >= len(n.Def.Args) {
			return n, true
		}
	}
	if n.Def.Bare {
		want = min(want, len(n.Args))
	}
	if len(n.Args) < want || n.Def.Type == words.Line {
		r.ps.Errorf(n.Pos, "", "%s needs a value", tree.Quote(n.Def.Name))
		r.ps.As(source.ClassParameter)
		return n, false
	}
	if len(n.Args) > want {
		r.ps.Errorf(n.Args[want].Pos, "one keyword per line", "surplus word %s after %s", tree.Quote(n.Args[want].Text),
			tree.Quote(n.Def.Name))
		for _, w := range n.Args[want:] {
			n.Torn = append(n.Torn, w.Text)
		}
		n.Args = n.Args[:want]
	}
	return n, true
}

// command keeps the line of a command as it was written, without the quotes around it.
func command(n tree.Node, p piece, ps *source.Problems) (tree.Node, bool) {
	n.Shell = true
	if strings.HasPrefix(p.raw, `"`) {
		if end := closing(p.raw, 0, '"'); end > 0 {
			at := p.rawAt
			at.Col++
			n.Args = []tree.Word{{Text: unescape(p.raw[1:end]), Pos: at}}
			for _, w := range p.words[1:] {
				if w.Pos.Col > p.rawAt.Col+end { // the user and the group
					n.Args = append(n.Args, w)
				}
			}
			return n, true
		}
	}
	n.Args = []tree.Word{{Text: p.raw, Pos: p.rawAt}}
	return n, true
}

// unescape takes the backslashes off quotes inside a quoted command.
func unescape(s string) string { return strings.ReplaceAll(s, `\"`, `"`) }
