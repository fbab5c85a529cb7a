package lint_test

import (
	"testing"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/lint"
)

// FuzzCheck: whatever two nodes' files say, the linter comes to an end, only warns, and every warning has a rule and a line.
func FuzzCheck(f *testing.F) {
	for _, c := range cases {
		for _, files := range [][]config.File{c.bad, c.good} {
			if len(files) == 2 {
				f.Add(string(files[0].Content), string(files[1].Content))
			} else {
				f.Add(string(files[0].Content), "")
			}
		}
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		files := one(a)
		if b != "" {
			files = pair(a, b)
		}
		doc, _, ps := config.Load(files)
		if ps.HasErrors() {
			return
		}
		found := lint.Check(doc, lint.Options{Nodes: []string{"lb1", "lb2"}, Members: []string{"lb3"}})
		found = append(found, lint.Machine(doc, "lb2", environment(), nil)...)
		for _, p := range found {
			if err := lint.Known([]string{p.Rule}); err != nil || p.Pos.Line == 0 || p.Error() == "" {
				t.Errorf("%v: %+v", err, p)
			}
		}
		if found.HasErrors() {
			t.Errorf("the linter only warns: %v", found.Err())
		}
	})
}
