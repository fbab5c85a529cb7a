package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/lint"
	"github.com/reeve-lb/reeve/internal/source"
)

const filesText = "FILE is a .hcl file, a haproxy.cfg (.cfg), a keepalived.conf (.conf), a directory of such files, or - for " +
	"HCL on standard input. Several files make one configuration. lb1=a.conf lb2=b.conf names two nodes' keepalived.conf: " +
	"what differs between them by design (state, priority, interface, ...) is kept per node, what else differs is an error."

func validateLeaf() *leaf {
	format, here := new(string), new(bool)
	var ignore *listFlag
	return &leaf{
		name: "validate", args: "[options] FILE...", short: "Check configuration files without an agent",
		long: filesText + "\nPrints every error and warning with its file, line and column. Without an error a linter looks over all nodes at once; its " +
			"warnings have a name. Exits 0 when the configuration would be accepted, else 1.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(format, "as", "", "read all files as this `dialect`: hcl, haproxy or keepalived")
			fs.BoolVar(here, "here", false, "look at this machine, too: the networks of its interfaces, its scripts")
			ignore = ignoreFlag(fs)
		},
		format: true,
		run: func(c *call) error {
			files, err := readFiles(c, *format)
			if err != nil {
				return err
			}
			if err := lint.Known(*ignore); err != nil {
				return usagef("-ignore: %v", err)
			}
			doc, _, ps := config.Load(files)
			ps = linted(doc, ps, files, *ignore, *here)
			out := problems(ps)
			if err := c.print(struct {
				Valid    bool          `json:"valid"`
				Problems []api.Problem `json:"problems"`
			}{!ps.HasErrors(), out}, func(w io.Writer) {
				printProblems(c.errOut, out)
				if !ps.HasErrors() {
					fmt.Fprintln(w, "The configuration is valid.")
				}
			}); err != nil {
				return err
			}
			if ps.HasErrors() {
				return errSilent
			}
			return nil
		},
	}
}

// readFiles reads what the arguments name; unreadable files are told all at once.
func readFiles(c *call, format string) ([]config.File, error) {
	if len(c.args) == 0 {
		return nil, usagef("which file?")
	}
	switch format {
	case "", "hcl", "haproxy", "keepalived":
	default:
		return nil, usagef("-as=%s: want hcl, haproxy or keepalived", format)
	}
	files, ps := config.ReadFiles(c.args)
	if ps.HasErrors() {
		printProblems(c.errOut, problems(ps))
		return nil, errSilent
	}
	for i := range files {
		if format != "" {
			files[i].Format = format
		}
	}
	return files, nil
}

// problems turns what config found into what is printed.
func problems(ps source.Problems) []api.Problem {
	out := make([]api.Problem, 0, len(ps))
	for _, p := range ps {
		out = append(out, api.Problem{File: p.Pos.File, Line: p.Pos.Line, Col: p.Pos.Col, Severity: p.Severity.String(), Text: p.Text, Hint: p.Hint, Rule: p.Rule})
	}
	return out
}

// request is what plan and apply send.
func request(c *call, format, summary string, ignore []string) (api.ConfigRequest, error) {
	if err := lint.Known(ignore); err != nil {
		return api.ConfigRequest{}, usagef("-ignore: %v", err)
	}
	files, err := readFiles(c, format)
	if err != nil {
		return api.ConfigRequest{}, err
	}
	r := api.ConfigRequest{Summary: summary, Ignore: ignore}
	for _, f := range files {
		if r.Summary == "" {
			r.Summary = "apply " + filepath.Base(f.Name)
		}
		file := api.File{Name: f.Name, Content: string(f.Content), Node: f.Node, Format: f.Format, Dir: f.Dir}
		for _, i := range f.Included {
			file.Included = append(file.Included, api.Included{Name: i.Name, Content: string(i.Content), Error: i.Error, Skipped: i.Skipped})
		}
		r.Files = append(r.Files, file)
	}
	return r, nil
}

func planLeaf() *leaf {
	format := new(string)
	var ignore *listFlag
	return &leaf{
		name: "plan", args: "[options] FILE...", short: "Say what apply would change", client: true, format: true,
		long: filesText + "\nEvery live node is asked whether it could run the result. Nothing is changed. Exits 0 when `reeve apply` would accept it, else 1.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(format, "as", "", "read all files as this `dialect`: hcl, haproxy or keepalived")
			ignore = ignoreFlag(fs)
		},
		run: func(c *call) error {
			r, err := request(c, *format, "", *ignore)
			if err != nil {
				return err
			}
			cl, err := c.dial()
			if err != nil {
				return err
			}
			p, err := cl.Plan(c.ctx, r)
			if err != nil {
				return err
			}
			if err := c.print(p, func(w io.Writer) {
				printProblems(c.errOut, p.Problems)
				printChanges(w, p.Changes)
				fmt.Fprintf(w, "%s against version %d. Nothing was changed.\n", count(len(p.Changes), "difference"), p.Base)
			}); err != nil {
				return err
			}
			if slices.ContainsFunc(p.Problems, func(q api.Problem) bool { return q.Severity == source.Error.String() }) {
				return errors.New("a node can't run this: apply would be refused")
			}
			return nil
		},
	}
}

func applyLeaf() *leaf {
	format, summary, base := new(string), new(string), new(int64)
	var ignore *listFlag
	return &leaf{
		name: "apply", args: "[options] FILE...", short: "Make files the configuration of every node", client: true, format: true,
		long: filesText + "\nThe files are checked, every live node is asked whether it can run them, then all change together, without " +
			"dropping a connection; the command ends when every live node runs the new version. If anything is wrong anywhere, nothing changes.\n" +
			"Exits 0 when every live node runs the version, else 1. There are two kinds of 1: it was refused, and nothing changed; or it is " +
			"committed and runs, but not on every node that was thought alive. Such a node is named with its state: silent (it does not answer, " +
			"as for the seconds until the others see that it died; it takes the version when it is back), behind (still at work) or failed " +
			"(it can't run it, or not all of it).",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(format, "as", "", "read all files as this `dialect`: hcl, haproxy or keepalived")
			ignore = ignoreFlag(fs)
			fs.StringVar(summary, "m", "", "a `line` for the history (default: the file's name)")
			fs.Int64Var(base, "base", -1, "refuse unless this `version` is in force (-1: whatever is)")
		},
		run: func(c *call) error {
			r, err := request(c, *format, *summary, *ignore)
			if err != nil {
				return err
			}
			if *base >= 0 {
				v := uint64(*base)
				r.Base = &v
			}
			cl, err := c.dial()
			if err != nil {
				return err
			}
			a, err := cl.Apply(c.ctx, r)
			if err != nil {
				return err
			}
			out, lacking := states(a)
			if err := c.print(out, func(w io.Writer) { printApplied(c, w, out) }); err != nil {
				return err
			}
			if lacking > 0 {
				return fmt.Errorf("version %d is committed, but %d of %s not run it yet", a.Version, lacking, nodesDo(len(a.Nodes), lacking))
			}
			return nil
		},
	}
}

// applied is what apply prints: the agent's answer, with a word for what became of each node.
type applied struct {
	api.ApplyResponse
	Nodes []nodeApplied `json:"nodes"`
}

type nodeApplied struct {
	api.NodeReport
	State string `json:"state"` // runs, silent, behind, failed
}

// What became of a node. Agents say in Error why a node does not run the version; these two beginnings are theirs.
const (
	saysSilent  = "does not answer"
	saysWorking = "still working on it"
)

// states gives each node its word, and tells how many do not run the version.
func states(a api.ApplyResponse) (out applied, lacking int) {
	out = applied{a, make([]nodeApplied, 0, len(a.Nodes))}
	for _, n := range a.Nodes {
		state := "failed"
		switch {
		case n.Error == "" && n.Version >= a.Version:
			state = "runs"
		case n.Error == "", strings.HasPrefix(n.Error, saysWorking):
			state = "behind"
		case strings.HasPrefix(n.Error, saysSilent):
			state = "silent"
		}
		if state != "runs" {
			lacking++
		}
		out.Nodes = append(out.Nodes, nodeApplied{n, state})
	}
	return out, lacking
}

func printApplied(c *call, w io.Writer, a applied) {
	printProblems(c.errOut, a.Problems)
	printChanges(w, a.Changes)
	if len(a.Changes) == 0 {
		fmt.Fprintf(w, "Version %d says so already.\n", a.Version)
	}
	runs := 0
	for _, n := range a.Nodes {
		if n.State == "runs" {
			runs++
			fmt.Fprintf(w, "    %s runs version %d after %.0f ms\n", n.Node, n.Version, n.TookMS)
		}
	}
	if runs == len(a.Nodes) {
		fmt.Fprintf(w, "==> Version %d is in force (%.0f ms).\n", a.Version, a.TookMS)
		return
	}
	fmt.Fprintf(w, "==> Version %d is committed and runs on %d of %s (%.0f ms).\n", a.Version, runs, count(len(a.Nodes), "node"), a.TookMS)
	for _, n := range a.Nodes {
		if n.State != "runs" {
			fmt.Fprintln(c.errOut, lackingLine(n, a))
		}
	}
}

// lackingLine says of a node that does not run the version what is the matter and what comes next.
func lackingLine(n nodeApplied, a applied) string {
	switch n.State {
	case "silent":
		why := strings.TrimPrefix(strings.TrimPrefix(n.Error, saysSilent), ": ")
		if why != "" {
			why = " (" + why + ")"
		}
		return fmt.Sprintf("node %s: silent: it did not answer within %.1f s%s; it takes version %d when it is back", n.Node, a.TookMS/1000, why, a.Version)
	case "behind":
		was := ""
		if n.Version > 0 {
			was = fmt.Sprintf(" and runs version %d", n.Version)
		}
		return fmt.Sprintf("node %s: behind: it is still working on version %d%s", n.Node, a.Version, was)
	}
	return fmt.Sprintf("node %s: failed: it can't run version %d: %s", n.Node, a.Version, n.Error)
}

// nodesDo is "3 nodes does" or "3 nodes do", as the number before it asks.
func nodesDo(of, n int) string {
	if n == 1 {
		return count(of, "node") + " does"
	}
	return count(of, "node") + " do"
}

func printChanges(w io.Writer, cs []api.Change) {
	for _, ch := range cs {
		switch ch.Kind {
		case "added":
			fmt.Fprintf(w, "  + %s %s\n", ch.Path, ch.New)
		case "removed":
			fmt.Fprintf(w, "  - %s %s\n", ch.Path, ch.Old)
		default:
			fmt.Fprintf(w, "  ~ %s %s -> %s\n", ch.Path, ch.Old, ch.New)
		}
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
