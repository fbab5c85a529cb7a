package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/hashicorp/cli"
	"github.com/ryanuber/columnize"

	"github.com/reeve-lb/reeve/api"
)

// leaf is one subcommand: words for people, its flags, and what it does. Help is made from the flags, so that no flag
// can stay undocumented.
type leaf struct {
	name  string // "vip list"
	args  string // "[options] NAME"
	short string // one line
	long  string // paragraphs

	client bool // talks to an agent: gets -http-addr and -token
	format bool // prints text or JSON: gets -format
	noArgs bool // refuses positional arguments

	flags func(fs *flag.FlagSet) // declares its own; called once per run and once per help
	run   func(c *call) error
}

// call is one run of a leaf.
type call struct {
	ctx    context.Context
	out    io.Writer
	errOut io.Writer
	in     io.Reader
	args   []string
	json   bool
	addr   string
	token  string
}

// errUsage marks a fault of the command line itself: the usage line is printed after it.
var errUsage = errors.New("usage")

// errSilent ends a command with exit code 1 when all was said already.
var errSilent = errors.New("already said")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// flagSet makes the set of the leaf's flags, bound to c.
func (l *leaf) flagSet(c *call, format *string) *flag.FlagSet {
	fs := flag.NewFlagSet(l.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	if l.flags != nil {
		l.flags(fs)
	}
	if l.format {
		fs.StringVar(format, "format", "text", "`text` for people or json for programs")
	}
	if l.client {
		fs.StringVar(&c.addr, "http-addr", "", "the agent's `address`: host:port, http(s)://host:port or unix:///path "+
			"(environment REEVE_HTTP_ADDR; default "+api.DefaultAddress+")")
		fs.StringVar(&c.token, "token", "", "the agent's `token` (environment REEVE_TOKEN)")
	}
	return fs
}

// Run implements cli.Command.
func (l *leaf) Run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &call{ctx: ctx, out: os.Stdout, errOut: os.Stderr, in: os.Stdin}
	return l.main(c, args)
}

func (l *leaf) main(c *call, args []string) int {
	var format string
	fs := l.flagSet(c, &format)
	err := parseMixed(fs, args, &c.args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(c.out, l.Help()+"\n")
		return 0
	}
	if err == nil && l.format && format != "text" && format != "json" {
		err = fmt.Errorf("-format=%s: want text or json", format)
	}
	if err == nil && l.noArgs && len(c.args) > 0 {
		err = fmt.Errorf("unexpected argument %q", c.args[0])
	}
	if err != nil {
		return l.fail(c, usagef("%v", err))
	}
	c.json = format == "json"
	if err := l.run(c); err != nil {
		return l.fail(c, err)
	}
	return 0
}

// parseMixed lets flags stand before and after the arguments, as people type them; what follows "--" is arguments.
func parseMixed(fs *flag.FlagSet, args []string, rest *[]string) error {
	for {
		if err := fs.Parse(args); err != nil {
			return err
		}
		left := fs.Args()
		if len(left) == 0 {
			return nil
		}
		if used := len(args) - len(left); used > 0 && args[used-1] == "--" {
			*rest = append(*rest, left...)
			return nil
		}
		*rest = append(*rest, left[0])
		args = left[1:]
	}
}

// fail prints the error, and the problems that came with it, each on a line of its own.
func (l *leaf) fail(c *call, err error) int {
	if errors.Is(err, errSilent) {
		return 1
	}
	var e *api.Error
	if errors.As(err, &e) {
		printProblems(c.errOut, e.Problems)
	}
	text := err.Error()
	if errors.Is(err, errUsage) {
		text = strings.TrimPrefix(text, "usage: ") + "\nUsage: " + l.usage() + " (-h tells more)"
	}
	fmt.Fprintf(c.errOut, "reeve %s: %s\n", l.name, text)
	return 1
}

// usage is the line that shows how to type it.
func (l *leaf) usage() string { return strings.TrimSpace("reeve " + l.name + " " + l.args) }

// Synopsis implements cli.Command.
func (l *leaf) Synopsis() string { return l.short }

// Help implements cli.Command.
func (l *leaf) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n%s", l.usage(), indent(wrap(l.long, 76), "  "))
	var c call
	var format string
	fs := l.flagSet(&c, &format)
	n := 0
	fs.VisitAll(func(f *flag.Flag) {
		if n++; n == 1 {
			b.WriteString("\n\nOptions:\n")
		}
		name, text := flag.UnquoteUsage(f)
		if name != "" {
			name = "=" + name
		}
		fmt.Fprintf(&b, "\n  -%s%s\n%s\n", f.Name, name, indent(wrap(text+defaultOf(f), 70), "      "))
	})
	return strings.TrimRight(b.String(), "\n")
}

func defaultOf(f *flag.Flag) string {
	switch f.DefValue {
	case "", "false", "0", "0s", "[]":
		return ""
	}
	return " (default " + f.DefValue + ")"
}

// dial makes the client of the agent that the flags name.
func (c *call) dial() (*api.Client, error) {
	return api.New(api.Options{Address: c.addr, Token: c.token})
}

// print writes v as JSON under -format=json, else what text prints.
func (c *call) print(v any, text func(io.Writer)) error {
	if c.json {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	text(c.out)
	return nil
}

// table aligns rows of cells under a head; "-" stands for an empty cell.
func table(w io.Writer, head []string, rows [][]string) {
	lines := []string{strings.Join(head, "|")}
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, cell := range r {
			if cells[i] = strings.ReplaceAll(cell, "|", "/"); cell == "" {
				cells[i] = "-"
			}
		}
		lines = append(lines, strings.Join(cells, "|"))
	}
	conf := columnize.DefaultConfig()
	conf.Glue = "  "
	fmt.Fprintln(w, columnize.Format(lines, conf))
}

func printProblems(w io.Writer, ps []api.Problem) {
	for _, p := range ps {
		fmt.Fprintln(w, problemLine(p))
	}
}

// problemLine is file:line:col: severity: text (hint), with the node in front where it is one node's own trouble.
func problemLine(p api.Problem) string {
	var b strings.Builder
	if p.Node != "" {
		fmt.Fprintf(&b, "node %s: ", p.Node)
	}
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		if p.Col > 0 {
			fmt.Fprintf(&b, ":%d", p.Col)
		}
		b.WriteString(": ")
	}
	fmt.Fprintf(&b, "%s: %s", p.Severity, p.Text)
	if p.Hint != "" {
		fmt.Fprintf(&b, " (%s)", p.Hint)
	}
	if p.Rule != "" {
		fmt.Fprintf(&b, " [%s]", p.Rule)
	}
	return b.String()
}

func indent(s, by string) string {
	return by + strings.ReplaceAll(s, "\n", "\n"+by)
}

// wrap breaks paragraphs at width; lines that begin with a blank are kept as they are (examples).
func wrap(s string, width int) string {
	var out []string
	for para := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
		if strings.HasPrefix(para, " ") || para == "" {
			out = append(out, para)
			continue
		}
		line := ""
		for word := range strings.FieldsSeq(para) {
			if line != "" && len(line)+1+len(word) > width {
				out = append(out, line)
				line = ""
			}
			if line != "" {
				line += " "
			}
			line += word
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

var _ cli.Command = (*leaf)(nil)

// listFlag is a flag that may be given several times.
type listFlag []string

// String implements flag.Value.
func (l *listFlag) String() string { return fmt.Sprint([]string(*l)) }

// Set implements flag.Value.
func (l *listFlag) Set(s string) error { *l = append(*l, s); return nil }
