package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/command"
	"github.com/reeve-lb/reeve/config/words"
)

// TestEveryWordHasAPlace: no word of the table is missing on the page because nobody told the page of its scope.
func TestEveryWordHasAPlace(t *testing.T) {
	var told []string
	for _, p := range parts {
		for _, s := range p.sections {
			told = append(told, s.scopes...)
		}
	}
	page := configPage()
	for _, w := range words.All() {
		if !strings.Contains(page, "`"+w.Name+"`") {
			t.Errorf("%s (%s) is not on the page", w.Name, w.Status)
		}
		if w.Status == words.NotYet {
			continue
		}
		if w.Doc == "" && w.Status != words.Alias {
			t.Errorf("%s in %v has no description", w.Name, w.In)
		}
		for _, in := range w.In {
			if !slices.Contains(told, in) {
				t.Errorf("%s may stand in %q, and no table of the page shows that scope", w.Name, in)
			}
		}
	}
}

// TestTablesAreWhole: each row has as many cells as its head, whatever the texts contain.
func TestTablesAreWhole(t *testing.T) {
	want := 0
	for n, line := range strings.Split(configPage(), "\n") {
		if !strings.HasPrefix(line, "|") {
			want = 0
			continue
		}
		cells := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if want == 0 {
			want = cells
		}
		if cells != want {
			t.Errorf("line %d has %d bars, its head %d: %s", n+1, cells, want, line)
		}
	}
}

func TestCell(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                   "plain",
		"`state on|off` or a | b": "`state on\\|off` or a \\| b",
		"<x> {{ y }}":             "&lt;x> &#123;&#123; y &#125;&#125;",
		"`*` is every * address":  "`*` is every \\* address",
	} {
		if got := cell(in); got != want {
			t.Errorf("cell(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestEveryCommandIsThere: the command page has each subcommand once, with its flags, and its links lead somewhere.
func TestEveryCommandIsThere(t *testing.T) {
	page := cliPage()
	for _, p := range command.Pages() {
		if n := strings.Count(page, "\n## reeve "+p.Name+"\n"); n != 1 {
			t.Errorf("reeve %s has %d headings", p.Name, n)
		}
		if !strings.Contains(page, p.Help) {
			t.Errorf("the help of reeve %s is not on the page", p.Name)
		}
		if !strings.Contains(page, "(#reeve-"+strings.ReplaceAll(p.Name, " ", "-")+")") {
			t.Errorf("the list does not lead to reeve %s", p.Name)
		}
	}
}
