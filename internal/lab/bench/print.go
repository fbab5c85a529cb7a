package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// text is the report for people.
func (r report) text() string {
	var parts []string
	if r.Proxies != nil {
		parts = append(parts, r.Proxies.text())
	}
	if r.Failover != nil {
		parts = append(parts, r.Failover.text())
	}
	return strings.Join(parts, "\n")
}

func (r *proxyReport) text() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s, %d cores, Linux %s; %s; %s; Reeve built with %s\n", m.CPU, m.Cores, m.Kernel, m.HAProxy, m.Nginx, m.Go)
	b.WriteString("Medians of rounds in turn; \"of HAProxy's\" is the median of the ratios within a round. CPU is the proxy's own, user and kernel.\n" +
		"The proxy has one core for itself, load and servers share another. All do the same: rules, X-Forwarded-For, a log line by UDP, counters.\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "\n%s [%s]", row.Title, row.Key)
		if row.State != done {
			fmt.Fprintf(&b, ": %s (%s)\n", row.State, row.Why)
			continue
		}
		fmt.Fprintf(&b, ", %d rounds of %.1f s\n", row.Rounds, float64(row.RoundMS)/1000)
		row.table(&b)
	}
	b.WriteString("\n")
	r.goals(&b)
	return b.String()
}

// table is a row's figures, a line each program; the ratio stands behind the figure that matters.
func (r rowReport) table(b *strings.Builder) {
	w := tabwriter.NewWriter(b, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\t")
	for i, c := range r.Columns {
		fmt.Fprintf(w, "%s\t", heads[c])
		if i == 0 {
			fmt.Fprint(w, "of HAProxy's\t")
		}
	}
	fmt.Fprintln(w)
	for _, s := range r.Sides {
		fmt.Fprintf(w, "%s\t", s.Name)
		for i, c := range r.Columns {
			fmt.Fprintf(w, "%s\t", figure(s.Values[c]))
			if i == 0 {
				fmt.Fprintf(w, "%.2f\t", s.Ratios[c])
			}
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}

// figure prints a number with as many digits as mean something.
func figure(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// goals is the table of what was to be reached.
func (r *proxyReport) goals(b *strings.Builder) {
	w := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "row\tfigure of Reeve's\tgoal\tmeasured\t")
	for _, row := range r.Rows {
		if row.State != done {
			fmt.Fprintf(w, "%s\t\t\t%s\t\n", row.Key, row.State)
		}
		for _, g := range row.Goals {
			of := heads[g.Of]
			if g.To != "" {
				of += " of " + g.To
			}
			bound, verdict := "none", "told"
			if g.Most > 0 {
				bound, verdict = "<= "+strings.TrimSuffix(figure(g.Most), ".00"), "MISS"
				if g.Passed {
					verdict = "ok"
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", row.Key, of, bound, figure(g.Got), verdict)
		}
	}
	w.Flush()
}

// broken are the rows that could not be measured.
func (r *proxyReport) broken() []string {
	var keys []string
	for _, row := range r.Rows {
		if row.State == failed {
			keys = append(keys, row.Key)
		}
	}
	return slices.Sorted(slices.Values(keys))
}

func (f *failoverReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Failover of an address as a client sees it: the longest time without an answer, median of %d runs; advert_int 1.\n"+
		"Of the pair, all processes of keepalived and HAProxy on the owner are failed; of three nodes of Reeve, the owner's agent, not its guard.\n\n", f.Runs)
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "the owner is\tkeepalived, ms\tits owners\tleft behind\tReeve, ms\tits owners\tleft behind\t")
	for _, k := range f.Rows {
		fmt.Fprintf(w, "%s\t%.0f\t%d\t%s\t%.0f\t%d\t%s\t\n", k.says, k.Pair.GapMS, k.Pair.OwnersMax, yes(k.Pair.LeftOnFirst),
			k.Ours.GapMS, k.Ours.OwnersMax, yes(k.Ours.LeftOnFirst))
	}
	w.Flush()
	b.WriteString("\nowners: hosts that had the address at one time, at most; left behind: it stayed on the failed one\n")
	return b.String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
