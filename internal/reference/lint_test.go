package main

import (
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/config/lint"
)

// TestEveryRuleIsThere: each rule has one row, as wide as the table's head.
func TestEveryRuleIsThere(t *testing.T) {
	page := lintPage()
	for _, r := range lint.Rules() {
		row := ""
		for line := range strings.Lines(page) {
			if strings.Contains(line, "`"+r.Name+"` |") {
				row += line
			}
		}
		if strings.Count(row, "\n") != 1 || strings.Count(strings.ReplaceAll(row, `\|`, ""), "|") != 5 {
			t.Errorf("the row of %s is %q", r.Name, row)
		}
	}
}
