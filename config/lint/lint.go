// Package lint finds what a configuration says and its author hardly means: a weight that can never move an address, a
// firewall that comes with a word copied from a sample, a check that moves the address to and fro. It looks over all nodes
// of a Document at once, as no single file can show that two priorities are the same. It is pure: what only a machine knows
// (networks, files) is an argument of Machine.
package lint

import (
	"fmt"
	"maps"
	"slices"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
)

// Rule is one thing that the linter looks for. Its name is stable: scripts and -ignore use it.
type Rule struct {
	Name string
	Says string // what is wrong, one sentence for the reference page
	Why  string // what comes of it, and what to write instead
	// Where it is found: by the configuration's own reader (of one file), by the linter (of all nodes), or on each machine.
	Where Where
	check func(*look)
}

// Where says what a rule has to see.
type Where int

// What a rule looks at.
const (
	InFiles   Where = iota + 1 // the reader warns while it reads; only the name comes from here
	InAll                      // the whole Document, every node of it
	OnMachine                  // a node's own part and the machine it runs on
)

// String implements fmt.Stringer.
func (w Where) String() string {
	switch w {
	case InFiles:
		return "a file"
	case InAll:
		return "all nodes"
	case OnMachine:
		return "each machine"
	}
	return "unknown"
}

// Options are what the Document itself does not tell.
type Options struct {
	// Nodes are names of nodes that files were given for (lb1=a.conf). Two of them with the same priority have been given
	// the same priority, though the Document then has no override that shows it.
	Nodes []string
	// Members are names of nodes that are known to run the Document, whether it names them or not.
	Members []string
	// Ignore are names of rules that are silent.
	Ignore []string
}

// Check looks over all nodes of a Document that Load or Validate found no error in. Everything it says is a warning with
// the name of its rule.
func Check(d config.Document, o Options) source.Problems {
	l := newLook(d, o)
	for _, r := range rules {
		if r.check != nil && r.Where == InAll {
			l.rule = r.Name
			r.check(l)
		}
	}
	return l.done(o.Ignore)
}

// All is what was told already with what the linter adds to it, sorted; nothing is told twice. Without Options.Ignore it
// is the answer of `validate`. A Document with errors is not looked over: half of it is defaults that nobody wrote.
func All(d config.Document, told source.Problems, o Options) source.Problems {
	out := Silence(told, o.Ignore)
	if told.HasErrors() {
		return out
	}
	for _, p := range Check(d, o) {
		again := func(q source.Problem) bool {
			return q.Rule == p.Rule && q.Pos.File == p.Pos.File && (q.Text == p.Text || q.Pos.Line == p.Pos.Line)
		}
		if !slices.ContainsFunc(told, again) {
			out = append(out, p)
		}
	}
	out.Sort()
	return out
}

// Silence is ps without the warnings of the rules that ignore names. Errors stay.
func Silence(ps source.Problems, ignore []string) source.Problems {
	out := make(source.Problems, 0, len(ps))
	for _, p := range ps {
		if p.Severity == source.Error || p.Rule == "" || !slices.Contains(ignore, p.Rule) {
			out = append(out, p)
		}
	}
	return out
}

// Known is nil when all names are names of rules; otherwise it says which is not and what was meant.
func Known(names []string) error {
	var all []string
	for _, r := range rules {
		all = append(all, r.Name)
	}
	for _, n := range names {
		if slices.Contains(all, n) {
			continue
		}
		if c := words.Nearest(n, all); c != "" {
			return fmt.Errorf("there is no rule '%s' (did you mean '%s'?)", n, c)
		}
		return fmt.Errorf("there is no rule '%s'", n)
	}
	return nil
}

// Rules are all rules by name. The slice is the caller's.
func Rules() []Rule {
	out := slices.Clone(rules)
	slices.SortFunc(out, func(a, b Rule) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// nodeNames are all names of nodes that are known, sorted.
func nodeNames(d config.Document, o Options) []string {
	set := map[string]bool{}
	for n := range d.Nodes {
		set[n] = true
	}
	for _, list := range [][]string{o.Nodes, o.Members} {
		for _, n := range list {
			if n != "" {
				set[n] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}
