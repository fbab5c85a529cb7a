package main

import (
	"fmt"
	"strings"

	"github.com/reeve-lb/reeve/command"
)

const generated = "<!-- Written by `make generate`; edits here are lost. -->\n\n"

// cliPage is every subcommand's help under a heading of its own.
func cliPage() string {
	var b strings.Builder
	b.WriteString(generated + "# Command line\n\n")
	b.WriteString("Errors go to standard error and end with exit code 1. Flags may stand before or after the arguments, with one dash or two.\n\n")
	b.WriteString("| command | what it does |\n|---|---|\n")
	pages := command.Pages()
	for _, p := range pages {
		fmt.Fprintf(&b, "| [`reeve %s`](#reeve-%s) | %s |\n", p.Name, strings.ReplaceAll(p.Name, " ", "-"), p.Synopsis)
	}
	for _, p := range pages {
		fmt.Fprintf(&b, "\n## reeve %s\n\n%s.\n\n```text\n%s\n```\n", p.Name, p.Synopsis, p.Help)
	}
	return b.String()
}
