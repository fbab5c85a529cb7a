// Package tree is what every reader makes of its dialect: words of the table with their arguments and positions, nested
// as sections and blocks are. Whatever was spelled, from here on it is the same.
package tree

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
)

// Word is a piece of text and where it stands.
type Word struct {
	Text string
	Pos  source.Pos
}

// Node is a word of the table with what follows it. Free lines (the addresses of a virtual_ipaddress) have no Def.
type Node struct {
	Def   *words.Word
	Pos   source.Pos
	Args  []Word
	Kids  []Node
	Torn  []string // first words of lines that were not understood and are not among Kids
	No    bool     // negated: `no option ...`, or false in HCL
	Shell bool     // of a Script: Args[0] is a line that may need a shell, Args[1:] is [user [group]]; else Args is the command word by word
}

// Quote shows a word in a message, shortened.
func Quote(s string) string {
	if len(s) > 60 {
		cut := 57
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	return "'" + strings.ToValidUTF8(s, "\uFFFD") + "'"
}

// Resolve finds the row of a word in a scope. It says what is wrong with a word that is unknown, known elsewhere or not
// supported yet (then it returns nil), and replaces an old name with a warning.
func Resolve(d words.Dialect, scope string, w Word, ps *source.Problems) *words.Word {
	def := words.Find(d, scope, w.Text)
	switch {
	case def == nil:
		unknown(d, scope, w, ps)
		return nil
	case def.Status == words.NotYet && def.Note != "":
		ps.Errorf(w.Pos, def.Note, "%s is not supported", Quote(w.Text))
		ps.As(source.ClassFatal)
		return nil
	case def.Status == words.NotYet:
		ps.Errorf(w.Pos, "", "%s is not supported yet", Quote(w.Text))
		ps.As(source.ClassFatal)
		return nil
	case def.Status == words.Alias && def.Class == source.ClassSilent: // never was a word of the dialect
		ps.Warnf(w.Pos, "write '"+def.Note+"'", "%s is taken for '%s'", Quote(w.Text), def.Note)
		ps.As(def.Class)
		return words.Find(d, scope, def.Note)
	case def.Status == words.Alias:
		ps.Warnf(w.Pos, "write '"+def.Note+"'", "%s is an old name", Quote(w.Text))
		ps.As(def.Class)
		return words.Find(d, scope, def.Note)
	}
	return def
}

func unknown(d words.Dialect, scope string, w Word, ps *source.Problems) {
	if in := words.Elsewhere(d, w.Text); len(in) > 0 {
		if isProxy(scope) && slices.ContainsFunc(in, isProxy) && !slices.Contains([]string{"server", "bind"}, w.Text) {
			ps.Warnf(w.Pos, allowed(in), "%s has no effect in a %s", Quote(w.Text), scope)
			return
		}
		if !slices.Contains(in, "bind") && !slices.Contains(in, "server") || len(in) > 1 {
			ps.Errorf(w.Pos, allowed(in), "%s is not allowed %s", Quote(w.Text), where(scope))
			return
		}
	}
	hint := ""
	if c := words.Closest(d, w.Text, scopes(scope)...); c != "" {
		hint = "did you mean '" + c + "'?"
	}
	ps.Errorf(w.Pos, hint, "unknown keyword %s %s", Quote(w.Text), where(scope))
}

// scopes are those that a word of scope may come from: the top level of HCL is three.
func scopes(scope string) []string {
	if scope == "native" {
		return []string{"native", "native-block", "haproxy", "keepalived"}
	}
	return []string{scope}
}

func isProxy(scope string) bool {
	return scope == "frontend" || scope == "backend" || scope == "listen" || scope == "defaults"
}

func where(scope string) string {
	switch scope {
	case "haproxy", "keepalived", "native", "native-block":
		return "outside any section"
	case "override":
		return "in node"
	case "override-instance":
		return "in a node's vrrp_instance"
	}
	return "in " + scope
}

func allowed(in []string) string {
	var names []string
	for _, s := range in {
		if s = strings.TrimPrefix(where(s), "in "); !slices.Contains(names, s) {
			names = append(names, s)
		}
	}
	return "it belongs in " + strings.Join(names, ", ")
}

// Line splits the words after a Line word into its named arguments and the words of its own scope.
func Line(d words.Dialect, def *words.Word, args []Word, ps *source.Problems) (positional []Word, kids []Node) {
	n := min(len(def.Args), len(args))
	if def.Sub == "" {
		return args, nil
	}
	positional, args = args[:n:n], args[n:]
	for len(args) > 0 {
		w := args[0]
		args = args[1:]
		row := words.Find(d, def.Sub, w.Text)
		if row == nil {
			unknown(d, def.Sub, w, ps)
			return positional, kids // what follows may belong to it
		}
		if row.Status == words.NotYet {
			Resolve(d, def.Sub, w, ps)
			args = args[min(row.Skip, len(args)):]
			continue
		}
		kid := Node{Def: row, Pos: w.Pos}
		if row.Type != words.Flag {
			if len(args) == 0 {
				ps.Errorf(w.Pos, "", "%s needs a value", Quote(w.Text))
				return positional, kids
			}
			kid.Args, args = args[:1:1], args[1:]
		}
		kids = append(kids, kid)
	}
	return positional, kids
}
