package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/config/words"
)

// section is one table of the page: the words of its scopes, in the order of the table of words.
type section struct {
	title, intro string
	scopes       []string
}

// part is one heading of the page with its tables.
type part struct {
	title, intro string
	dialect      words.Dialect
	sections     []section
}

var proxies = []string{"defaults", "frontend", "backend", "listen"}

var parts = []part{
	{"haproxy.cfg", "", words.HAProxy, []section{
		{"Sections", "", []string{"haproxy"}},
		{"`global`", "", []string{"global"}},
		{"Proxies", "The second column says in which sections a word may stand: **d**efaults, **f**rontend, **b**ackend, **l**isten.", proxies},
		{"`cache NAME`", "", []string{"cache"}},
		{"On a `bind` line", "", []string{"bind"}},
		{"On a `server` line", "", []string{"server"}},
		{"On a `cookie` line", "", []string{"cookie"}},
		{"On a `source` line", "", []string{"source"}},
		{"On a `stick-table` line", "", []string{"stick-table"}},
		{"On a `stick on` line", "", []string{"stick"}},
		{"After `option forwardfor`", "", []string{"forwardfor"}},
		{"`userlist NAME`", "", []string{"userlist"}},
		{"On a `user` line", "", []string{"user"}},
		{"On a `group` line", "", []string{"group"}},
	}},
	{"keepalived.conf", "Words marked *HCL* have no counterpart in keepalived.", words.Keepalived, []section{
		{"Blocks", "", []string{"keepalived"}},
		{"`global_defs`", "", []string{"global_defs"}},
		{"`vrrp_script`", "", []string{"vrrp_script"}},
		{"`vrrp_track_process`", "", []string{"vrrp_track_process"}},
		{"`track_file`", "", []string{"track_file"}},
		{"`vrrp_sync_group`", "", []string{"vrrp_sync_group"}},
		{"`vrrp_instance`", "", []string{"vrrp_instance"}},
		{"`authentication`", "", []string{"authentication"}},
		{"`track_group`", "", []string{"track_group"}},
		{"`garp_group`", "", []string{"garp_group"}},
	}},
	{"HCL alone", "Settings of the node itself. They come from its own files, and a flag of `reeve agent` wins over them; `reeve apply` does not change them.",
		words.HCL, []section{
			{"The node", "", []string{"native", "native-block"}},
			{"`ports`", "", []string{"ports"}},
			{"`tls`", "", []string{"tls"}},
			{"`snmp`: where SNMP traps go", "Part of the configuration that all nodes share.", []string{"snmp"}},
			{"`user` in `snmp`", "", []string{"snmp-user"}},
			{"`webhook \"NAME\"`: where changes are posted as JSON", "Part of the configuration that all nodes share.", []string{"webhook"}},
			{"`node \"NAME\"`: what one node has otherwise", "Part of the configuration that all nodes share.", []string{"override"}},
			{"`vrrp_instance` in `node`", "", []string{"override-instance"}},
			{"`frontend` in `node`", "", []string{"override-frontend"}},
		}},
}

// configPage is the table of words, a section a scope. Words that are known and refused come in a list at the end.
func configPage() string {
	var b strings.Builder
	b.WriteString(generated + "# Configuration\n\n")
	b.WriteString("Three spellings make one configuration: `.cfg` is read as haproxy.cfg, `.conf` as keepalived.conf, `.hcl` as HCL. HCL knows " +
		"every word below, spelled with `_` for a dash or a blank (`timeout_connect = \"5s\"`). `reeve config show` prints what is in force as HCL.\n\n" +
		"A time is a number with a unit (`us`, `ms`, `s`, `m`, `h`, `d`); the tables say what a bare number counts.\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "\n## %s\n", p.title)
		if p.intro != "" {
			fmt.Fprintf(&b, "\n%s\n", p.intro)
		}
		for _, s := range p.sections {
			b.WriteString(sectionTable(p.dialect, s))
		}
	}
	b.WriteString("\n## Known and not supported yet\n\nThese words are understood as what they are and refused with their line, never ignored.\n")
	for _, p := range parts {
		if l := later(p.dialect); len(l) > 0 {
			fmt.Fprintf(&b, "\n**%s**: `%s`\n", p.title, strings.Join(l, "`, `"))
		}
	}
	return b.String()
}

// sectionTable is empty when the release knows no word of the section.
func sectionTable(d words.Dialect, s section) string {
	ws := supported(s.scopes...)
	if len(ws) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n", s.title)
	if s.intro != "" {
		fmt.Fprintf(&b, "%s\n\n", s.intro)
	}
	where := slices.Equal(s.scopes, proxies)
	head, rule := "| word |", "|---|"
	if where {
		head, rule = head+" in |", rule+"---|"
	}
	fmt.Fprintf(&b, "%s takes | default | what it does |\n%s---|---|---|\n", head, rule)
	for _, w := range ws {
		name := "`" + w.Name + "`"
		if w.Dialect == words.HCL && d != words.HCL {
			name += " *HCL*"
		}
		fmt.Fprintf(&b, "| %s |", name)
		if where {
			fmt.Fprintf(&b, " %s |", letters(w.In))
		}
		fmt.Fprintf(&b, " %s | %s | %s |\n", cell(takes(w)), code(w.Default), cell(does(w)))
	}
	return b.String()
}

// supported lists the words of the scopes that have a meaning today or are accepted, each once.
func supported(scopes ...string) []*words.Word {
	var out []*words.Word
	for _, w := range words.All() {
		if w.Status != words.NotYet && slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(w.In, s) }) {
			out = append(out, w)
		}
	}
	return out
}

// later lists the words of a dialect that are refused as not supported yet.
func later(d words.Dialect) []string {
	var out []string
	for _, w := range words.All() {
		if w.Dialect == d && w.Status == words.NotYet {
			out = append(out, w.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// letters tells in which proxies a word may stand.
func letters(in []string) string {
	var b strings.Builder
	for _, p := range proxies {
		if slices.Contains(in, p) {
			b.WriteByte(p[0])
		}
	}
	return b.String()
}

func takes(w *words.Word) string {
	s := w.Type.String()
	switch {
	case w.Type == words.Enum:
		s = strings.Join(slices.DeleteFunc(slices.Clone(w.Enum), func(v string) bool { return v == "" }), ", ")
	case w.Type == words.Flag, w.Type == words.Line && len(w.Args) == 0:
		s = ""
	case w.Type == words.Duration && w.Unit > 0:
		s += fmt.Sprintf(", bare: %s", unitName(w.Unit.String()))
	}
	if w.Max > 0 && w.Max < 1<<31-1 && w.Type == words.Int {
		s += fmt.Sprintf(" %d..%d", w.Min, w.Max)
	}
	return s
}

// unitName makes a word of a unit as package time prints it.
func unitName(s string) string {
	switch s {
	case "1ms":
		return "ms"
	case "1s":
		return "s"
	}
	return s
}

func does(w *words.Word) string {
	text := w.Doc
	switch w.Status {
	case words.Alias:
		text = strings.TrimSpace("Old name of `" + w.Note + "`. " + w.Doc)
	case words.Accepted:
		text = strings.TrimSpace(w.Doc + " **No effect yet**: " + w.Note + ".")
	}
	if len(w.Later) > 0 {
		text += " Not yet: " + strings.Join(w.Later, ", ") + "."
	}
	return text
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// cell keeps text from ending its column or being taken for markup; what stands in backquotes is left as it is.
func cell(s string) string {
	pieces := strings.Split(strings.ReplaceAll(s, "\n", " "), "`")
	for i := range pieces {
		pieces[i] = strings.ReplaceAll(pieces[i], "|", "\\|")
		if i%2 == 0 {
			pieces[i] = strings.NewReplacer("<", "&lt;", "{", "&#123;", "}", "&#125;", "*", "\\*", "[", "\\[").Replace(pieces[i])
		}
	}
	return strings.NewReplacer("\\*\\*No effect yet\\*\\*", "**No effect yet**").Replace(strings.Join(pieces, "`"))
}
