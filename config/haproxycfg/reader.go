// Package haproxycfg reads haproxy.cfg: lines to words, words to the sections of a tree.
package haproxycfg

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
)

const maxName = 255

// Read makes the tree of one file: its sections, each with its lines. What can't be understood is a problem and left out.
func Read(file string, content []byte) ([]tree.Node, source.Problems) {
	r := reader{}
	if i := bytes.IndexByte(content, 0); i >= 0 {
		line := bytes.Count(content[:i], []byte("\n")) + 1
		r.ps.Errorf(source.Pos{File: file, Line: line, Col: i - bytes.LastIndexByte(content[:i], '\n')}, "", "NUL byte in a text file")
		return nil, r.ps
	}
	rest, n := string(content), 0
	for rest != "" {
		line, after, whole := strings.Cut(rest, "\n")
		n++
		if !whole {
			r.ps.Errorf(source.Pos{File: file, Line: n, Col: len(line) + 1}, "the file may have been cut short",
				"the last line has no line feed")
		}
		rest = after
		line, _, _ = strings.Cut(line, "\r")
		r.line(Split(line, source.Pos{File: file, Line: n, Col: 1}, true, &r.ps))
	}
	return r.sections, r.ps
}

type reader struct {
	sections []tree.Node
	scope    string // "": before any section, "-": in one that is skipped
	ps       source.Problems
}

func (r *reader) line(ws []tree.Word) {
	if len(ws) == 0 {
		return
	}
	first := ws[0]
	if def := words.Find(words.HAProxy, "haproxy", first.Text); def != nil {
		r.section(def, ws)
		return
	}
	switch {
	case r.scope == "-":
	case strings.HasPrefix(first.Text, "."):
		r.ps.Errorf(first.Pos, "", "conditions (%s) are not supported yet", tree.Quote(first.Text))
	case strings.HasPrefix(first.Text, "["):
		r.ps.Errorf(first.Pos, "", "scopes (%s) are not supported yet", tree.Quote(first.Text))
	case r.scope == "":
		hint := ""
		if c := words.Closest(words.HAProxy, first.Text, "haproxy"); c != "" {
			hint = "did you mean '" + c + "'?"
		}
		r.ps.Errorf(first.Pos, hint, "unknown keyword %s outside any section", tree.Quote(first.Text))
		if hint != "" {
			r.scope = "-" // a slip in a section's name: its lines are not wrong
		}
	default:
		r.keyword(ws)
	}
}

func (r *reader) section(def *words.Word, ws []tree.Word) {
	n := tree.Node{Def: def, Pos: ws[0].Pos, Args: ws[1:]}
	if def.Status == words.NotYet {
		tree.Resolve(words.HAProxy, "haproxy", ws[0], &r.ps)
		r.scope = "-"
		return
	}
	r.scope = def.Sub
	switch {
	case def.Name == "global":
		surplus(n.Args, &r.ps)
		n.Args = nil
	case def.Name == "defaults":
		if len(n.Args) > 1 {
			if n.Args[1].Text == "from" {
				r.ps.Errorf(n.Args[1].Pos, "", "'from' is not supported yet")
			} else {
				surplus(n.Args[1:], &r.ps)
			}
		}
		r.name(n.Args, def.Name)
	case len(n.Args) == 0:
		r.ps.Errorf(n.Pos, "", "'%s' needs a name", def.Name)
	default:
		if len(n.Args) > 1 && n.Args[1].Text == "from" {
			r.ps.Errorf(n.Args[1].Pos, "", "'from' is not supported yet")
		} else {
			surplus(n.Args[1:], &r.ps)
		}
		r.name(n.Args, def.Name)
		n.Args = n.Args[:1]
	}
	r.sections = append(r.sections, n)
}

// name checks the characters of a proxy's name.
func (r *reader) name(args []tree.Word, kind string) {
	if len(args) == 0 {
		return
	}
	for i, c := range args[0].Text {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-", c) {
			p := args[0].Pos
			p.Col += i
			r.ps.Errorf(p, "letters, digits, _ . : - are", "character %q is not permitted in a %s name", c, kind)
			return
		}
	}
	if len(args[0].Text) > maxName {
		r.ps.Errorf(args[0].Pos, "", "the name is longer than %d bytes", maxName)
	}
}

func surplus(ws []tree.Word, ps *source.Problems) {
	if len(ws) > 0 {
		ps.Errorf(ws[0].Pos, "", "surplus word %s", tree.Quote(ws[0].Text))
	}
}

func (r *reader) keyword(ws []tree.Word) {
	n, ok := Keyword(words.HAProxy, r.scope, ws, &r.ps)
	if len(r.sections) == 0 {
		return
	}
	s := &r.sections[len(r.sections)-1]
	if !ok {
		s.Torn = append(s.Torn, ws[0].Text)
		return
	}
	s.Kids = append(s.Kids, n)
}

// Keyword makes a node of one line of a section.
func Keyword(d words.Dialect, scope string, ws []tree.Word, ps *source.Problems) (tree.Node, bool) {
	for _, w := range ws {
		if !utf8.ValidString(w.Text) {
			ps.Errorf(w.Pos, "", "the word is not UTF-8")
			return tree.Node{}, false
		}
	}
	var n tree.Node
	n.Pos = ws[0].Pos
	if (ws[0].Text == "no" || ws[0].Text == "default") && len(ws) > 1 {
		if ws[0].Text == "default" {
			ps.Errorf(ws[0].Pos, "", "'default' before a keyword is not supported yet")
			return n, false
		}
		if t := ws[1].Text; t != "option" && t != "log" {
			ps.Errorf(ws[0].Pos, "", "'no' works before 'option' and 'log', not before %s", tree.Quote(t))
			return n, false
		}
		n.No, ws = true, ws[1:]
	}
	name, rest := ws[0], ws[1:]
	if words.Prefixed(d, scope, name.Text) && words.Find(d, scope, name.Text) == nil || isPrefix(name.Text) {
		if len(rest) == 0 {
			ps.Errorf(name.Pos, "", "%s needs to be told what", tree.Quote(name.Text))
			return n, false
		}
		// A mistake in the second word is shown at the second word.
		name = tree.Word{Text: name.Text + " " + rest[0].Text, Pos: rest[0].Pos}
		rest = rest[1:]
	}
	if n.Def = tree.Resolve(d, scope, name, ps); n.Def == nil {
		return n, false
	}
	if n.No && slices.Contains(always, n.Def.Name) {
		ps.Errorf(n.Pos, "", "'no %s' is not possible", n.Def.Name)
		return n, false
	}
	n.Args = rest
	if n.Def.Type == words.Line {
		if len(rest) < len(n.Def.Args) && !n.No {
			ps.Errorf(name.Pos, "", "%s needs: %s", tree.Quote(n.Def.Name), strings.Join(n.Def.Args, ", "))
			return n, false
		}
		n.Args, n.Kids = tree.Line(d, n.Def, rest, ps)
	}
	return n, true
}

// always are the options that can't be taken back with `no`.
var always = []string{"option httplog", "option tcplog", "option forwardfor", "option httpchk", "option tcpka"}

func isPrefix(w string) bool { return w == "option" || w == "timeout" || w == "stats" || w == "stick" }
