package command

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/api"
)

func vipListLeaf() *leaf {
	return &leaf{
		name: "vip list", args: "[options]", short: "Show who holds which virtual address", client: true, format: true, noArgs: true,
		long: "Lists the instances with their addresses, who holds them and under which epoch. Those that this node does not " +
			"stand for have no state and no priority here.",
		run: func(c *call) error {
			cl, err := c.dial()
			if err != nil {
				return err
			}
			vs, err := cl.VIPs(c.ctx)
			if err != nil {
				return err
			}
			return c.print(vs, func(w io.Writer) {
				rows := make([][]string, 0, len(vs))
				for _, v := range vs {
					priority := ""
					if v.State != "" {
						priority = strconv.Itoa(v.Priority)
					}
					rows = append(rows, []string{v.Instance, strings.Join(v.Addresses, " "), v.Holder,
						strconv.FormatUint(v.Epoch, 10), v.Election, v.State, priority})
				}
				table(w, []string{"Instance", "Addresses", "Holder", "Epoch", "Election", "State Here", "Priority Here"}, rows)
			})
		},
	}
}

func vipWhyLeaf() *leaf {
	return &leaf{
		name: "vip why", args: "[options] INSTANCE", short: "Explain why an address is where it is", client: true, format: true,
		long: "Prints the evidence about one instance: candidates, priorities with each weight's cause, lease and epoch, the " +
			"last adverts heard, the last moves. A node that does not stand for it (a witness, say) prints what the cluster knows.",
		run: func(c *call) error {
			if len(c.args) != 1 {
				return usagef("name one instance (`reeve vip list` shows them)")
			}
			cl, err := c.dial()
			if err != nil {
				return err
			}
			y, err := cl.Why(c.ctx, c.args[0])
			if err != nil {
				return err
			}
			return c.print(y, func(w io.Writer) { printWhy(w, y) })
		},
	}
}

func printWhy(w io.Writer, y api.Why) {
	printStanding(w, y)
	if len(y.Candidates) > 0 {
		rows := make([][]string, 0, len(y.Candidates))
		for _, k := range y.Candidates {
			rows = append(rows, []string{k.Node, strconv.Itoa(k.Priority), yes(k.Ready), yes(k.Holding), k.Note})
		}
		fmt.Fprintln(w, "\nCandidates")
		table(w, []string{"Node", "Priority", "Ready", "Holding", "Note"}, rows)
	}
	if len(y.Adverts) > 0 {
		rows := make([][]string, 0, len(y.Adverts))
		for _, a := range y.Adverts {
			rows = append(rows, []string{a.Source, strconv.Itoa(a.Priority), stamp(a.Time), strconv.FormatUint(a.Count, 10)})
		}
		fmt.Fprintln(w, "\nAdverts heard")
		table(w, []string{"Source", "Priority", "Last", "Count"}, rows)
	}
	if len(y.Moves) > 0 {
		rows := make([][]string, 0, len(y.Moves))
		for _, m := range y.Moves {
			rows = append(rows, []string{stamp(m.Time), m.From + " -> " + m.To, m.Cause})
		}
		fmt.Fprintln(w, "\nLast moves")
		table(w, []string{"Time", "Move", "Cause"}, rows)
	}
	printTroubles(w, y)
	first := true
	for _, k := range slices.Sorted(maps.Keys(y.Counters)) {
		if y.Counters[k] == 0 {
			continue
		}
		if first {
			fmt.Fprintln(w, "\nCounters")
			first = false
		}
		fmt.Fprintf(w, "    %s = %d\n", k, y.Counters[k])
	}
}

// printTroubles says what is wrong with others, and what is missing here.
func printTroubles(w io.Writer, y api.Why) {
	if len(y.Alarms) > 0 {
		rows := make([][]string, 0, len(y.Alarms))
		for _, a := range y.Alarms {
			ago := time.Duration(a.AgoMS * float64(time.Millisecond)).Round(time.Second).String()
			rows = append(rows, []string{cmp.Or(a.Source, "(others)"), a.Cause, a.Detail, ago + " ago", strconv.FormatUint(a.Count, 10)})
		}
		fmt.Fprintln(w, "\nMismatches")
		table(w, []string{"Source", "Cause", "Detail", "Last", "Count"}, rows)
	}
	if len(y.Duplicates) > 0 {
		rows := make([][]string, 0, len(y.Duplicates))
		for _, d := range y.Duplicates {
			rows = append(rows, []string{d.Address, d.Interface, d.OurMAC, d.TheirMAC, stamp(d.Time), strconv.FormatUint(d.Count, 10)})
		}
		fmt.Fprintln(w, "\nClaimed by others")
		table(w, []string{"Address", "Interface", "Our MAC", "Their MAC", "Last", "Count"}, rows)
	}
	for _, text := range y.Incomplete {
		fmt.Fprintln(w, "\nnot on with the addresses:", text)
	}
}

// printStanding says who holds the address and how this node stands to it. A node without a state stands aside.
func printStanding(w io.Writer, y api.Why) {
	name := y.Instance
	if len(y.Addresses) > 0 {
		name += " (" + strings.Join(y.Addresses, " ") + ")"
	}
	switch {
	case y.State == "" && y.Election == "vrrp":
		fmt.Fprintf(w, "%s has election vrrp: only nodes that stand for it know who holds it\n", name)
	case y.Holder == "":
		fmt.Fprintf(w, "%s is held by nobody, epoch %d, election %s\n", name, y.Epoch, y.Election)
	default:
		fmt.Fprintf(w, "%s is held by %s, epoch %d, election %s\n", name, y.Holder, y.Epoch, y.Election)
	}
	if y.State == "" {
		fmt.Fprintf(w, "here, on %s: %s\n", y.Node, y.Cause)
		return
	}
	fmt.Fprintf(w, "here, on %s: %s since %s: %s\n", y.Node, y.State, stamp(y.Since), y.Cause)
	if y.Group != "" {
		fmt.Fprintf(w, "sync group: %s\n", y.Group)
	}
	if y.LeaseLeftMS > 0 {
		fmt.Fprintf(w, "lease: %.0f ms left\n", y.LeaseLeftMS)
	}
	fmt.Fprintf(w, "priority: %d = %d", y.Priority, y.BasePriority)
	for _, g := range y.Weights {
		fmt.Fprintf(w, " %+d (%s: %s)", g.Weight, g.Cause, g.State)
	}
	fmt.Fprintln(w)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05.000")
}

func addressesAre(n int) string {
	if n == 1 {
		return "1 address is"
	}
	return fmt.Sprintf("%d addresses are", n)
}

func vipReleaseLeaf() *leaf {
	dataDir := new(string)
	return &leaf{
		name: "vip release", args: "[options] [INSTANCE]", short: "Hand over the agent's virtual addresses", client: true,
		long: "Makes the agent give up one instance, or all that it holds, to the best other candidate. Without an agent that " +
			"answers (after it was killed, say: ExecStopPost of its unit) -data-dir names where that agent kept its state, and the " +
			"addresses that it may have left on this machine are taken off.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(dataDir, "data-dir", "", "the `directory` of an agent that may be dead: what it left on this machine is taken off")
		},
		run: func(c *call) error {
			if len(c.args) > 1 {
				return usagef("one instance at most")
			}
			name := ""
			if len(c.args) == 1 {
				name = c.args[0]
			}
			cl, err := c.dial()
			if err != nil {
				return err
			}
			err = cl.Release(c.ctx, name)
			if err == nil {
				return say(c, "Released.")
			}
			var answered *api.Error
			if *dataDir == "" || errors.As(err, &answered) {
				return err
			}
			n, err := removeLeftovers(*dataDir)
			if err != nil {
				return err
			}
			return say(c, "No agent answers; %s off this machine.", addressesAre(n))
		},
	}
}
