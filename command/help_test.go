package command

import (
	"flag"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/internal/version"
)

// wanted are the subcommands that users and scripts rely on.
var wanted = []string{
	"agent", "join", "leave", "members", "monitor", "info", "version", "validate", "reload", "keygen", "plan", "apply",
	"config show", "config history", "vip list", "vip why", "vip release", "table list", "table show", "certificate list", "certificate set", "certificate remove",
	"certificate ticket-keys",
	"operator raft list-peers", "demo", "keepalived", "haproxy",
}

func TestEveryCommandIsThere(t *testing.T) {
	var have []string
	for _, l := range leaves() {
		have = append(have, l.name)
	}
	slices.Sort(have)
	want := slices.Sorted(slices.Values(wanted))
	if !slices.Equal(have, want) {
		t.Errorf("subcommands %q, want %q", have, want)
	}
	for _, name := range have {
		for words := strings.Fields(name); len(words) > 1; words = words[:len(words)-1] {
			if group := strings.Join(words[:len(words)-1], " "); groups[group] == "" {
				t.Errorf("%s: %q leads nowhere", name, group)
			}
		}
	}
}

// TestHelp: each subcommand's help has the usage, what it does, and every flag with what its value is.
func TestHelp(t *testing.T) {
	for _, l := range leaves() {
		for _, flagName := range []string{"-h", "-help", "--help"} {
			help := run(t, append(strings.Fields(l.name), flagName)...).good(t)
			if !strings.HasPrefix(help, "Usage: reeve "+l.name) {
				t.Errorf("%s %s begins with %.40q", l.name, flagName, help)
			}
		}
		help := l.Help()
		var c call
		var format string
		l.flagSet(&c, &format).VisitAll(func(f *flag.Flag) {
			if !regexp.MustCompile(`(?m)^  -` + f.Name + `(=[a-z]+)?$`).MatchString(help) {
				t.Errorf("the help of %s does not name -%s:\n%s", l.name, f.Name, help)
			}
			if f.Usage == "" || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s -%s: usage %q", l.name, f.Name, f.Usage)
			}
		})
		for line := range strings.Lines(help) {
			if len(line) > 90 {
				t.Errorf("the help of %s has a line of %d characters: %s", l.name, len(line), line)
			}
		}
		if l.short == "" || strings.HasSuffix(l.short, ".") || !strings.HasSuffix(l.long, ".") {
			t.Errorf("%s: %q, %.40q: a synopsis has no full stop, a description has one", l.name, l.short, l.long)
		}
		if strings.Contains(l.args, "[options]") != strings.Contains(help, "\nOptions:\n") {
			t.Errorf("%s: usage %q and its options do not agree", l.name, l.args)
		}
	}
}

// TestReadersTakeFormat: what reads can be read by programs.
func TestReadersTakeFormat(t *testing.T) {
	for _, l := range leaves() {
		switch l.name {
		case "agent", "keepalived", "haproxy", "join", "leave", "monitor", "reload", "keygen", "vip release":
			continue // they do, or stream; there is nothing to lay out
		}
		var c call
		var format string
		if l.flagSet(&c, &format).Lookup("format") == nil {
			t.Errorf("%s has no -format", l.name)
		}
	}
}

// TestWrongUse: a slip on the command line is told in one line, with the usage below it, and ends with 1.
func TestWrongUse(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"members", "-frmat=json"}, "-frmat"},
		{[]string{"members", "-format=yaml"}, "want text or json"},
		{[]string{"members", "-format"}, "-format"},
		{[]string{"members", "lb1"}, `unexpected argument "lb1"`},
		{[]string{"config", "show", "-format=xml"}, "want hcl or json"},
		{[]string{"validate"}, "which file?"},
		{[]string{"validate", "-as=nginx", "a.cfg"}, "want hcl, haproxy or keepalived"},
		{[]string{"apply"}, "which file?"},
		{[]string{"apply", "-base=x", "a.cfg"}, "base"},
		{[]string{"plan"}, "which file?"},
		{[]string{"join"}, "which address?"},
		{[]string{"vip", "why"}, "name one instance"},
		{[]string{"vip", "why", "VI_1", "VI_2"}, "name one instance"},
		{[]string{"vip", "release", "VI_1", "VI_2"}, "one instance"},
		{[]string{"table", "show"}, "name one table"},
		{[]string{"keygen", "32"}, "unexpected argument"},
		{[]string{"version", "-format=toml"}, "want text or json"},
		{[]string{"demo", "-fail=unplug"}, "unplug"},
		{[]string{"demo", "-check=-1"}, "-check"},
		{[]string{"demo", "now"}, "unexpected argument"},
		{[]string{"agent", "-bootstrap-expect=three"}, "three"},
		{[]string{"operator", "raft", "list-peers", "-x"}, "-x"},
	} {
		r := run(t, c.args...)
		r.bad(t, c.says, "Usage: reeve ")
		if lines := strings.Count(r.err, "\n"); lines != 2 {
			t.Errorf("%q: %d lines: %s", c.args, lines, r.err)
		}
	}
}

func TestParseMixed(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "| ",
		"a b":                    "a b| ",
		"-x=1 a":                 "a|1 ",
		"a -x 1 b":               "a b|1 ",
		"a b --x=1 -y":           "a b|1 y",
		"-y a":                   "a| y",
		"-- -x a":                "-x a| ",
		"a -- -x":                "a -x| ",
		"- -x 1":                 "-|1 ",
		"lb1=a.conf -x 1 b.conf": "lb1=a.conf b.conf|1 ",
	} {
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		x, y := fs.String("x", "", ""), fs.Bool("y", false, "")
		var rest []string
		if err := parseMixed(fs, strings.Fields(in), &rest); err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		flags := *x + " "
		if *y {
			flags += "y"
		}
		if got := strings.Join(rest, " ") + "|" + flags; got != want {
			t.Errorf("%q gave %q, want %q", in, got, want)
		}
	}
}

// TestProgram: what the words before a subcommand's own flags do.
func TestProgram(t *testing.T) {
	line := "Reeve " + version.Version
	for _, arg := range []string{"version", "-v", "-version", "--version"} {
		if out := program(t, arg).good(t); !strings.HasPrefix(out, line) || strings.Count(out, "\n") != 1 {
			t.Errorf("reeve %s printed %q", arg, out)
		}
	}
	all := program(t, "-h").good(t)
	for _, name := range wanted {
		if word := strings.Fields(name)[0]; !regexp.MustCompile(`(?m)^ +` + word + ` `).MatchString(all) {
			t.Errorf("reeve -h does not list %s:\n%s", word, all)
		}
	}
	if r := program(t); r.code != 127 || !strings.Contains(r.out+r.err, "members") {
		t.Errorf("reeve alone: %+v, want the list of commands and 127", r)
	}
	for _, c := range []struct {
		args  []string
		names string
	}{
		{[]string{"frobnicate"}, `no command "frobnicate"`}, {[]string{"vip", "steal", "-x"}, `no command "vip steal"`},
		{[]string{"operator", "raft", "x"}, `no command "operator raft x"`}, {[]string{"operator", "raft"}, "list-peers"}, {[]string{"table"}, "show"},
	} {
		r := program(t, c.args...)
		if r.code == 0 || r.out != "" || !strings.Contains(r.err, c.names) {
			t.Errorf("reeve %q: %+v, want %q on standard error and a code that is not 0", c.args, r, c.names)
		}
	}
	if help := program(t, "vip", "list", "-h").good(t); help != run(t, "vip", "list", "-h").out {
		t.Errorf("the program shows other help than the subcommand: %s", help)
	}
	if r := program(t, "members", "-nope"); r.code != 1 || r.out != "" || !strings.Contains(r.err, "-nope") {
		t.Errorf("a wrong flag: %+v", r)
	}
}

func TestPages(t *testing.T) {
	ps := Pages()
	if len(ps) != len(wanted) {
		t.Errorf("%d pages for %d subcommands", len(ps), len(wanted))
	}
	for _, p := range ps {
		if !strings.HasPrefix(p.Help, "Usage: reeve "+p.Name) || p.Synopsis == "" {
			t.Errorf("page %+v", p)
		}
	}
}
