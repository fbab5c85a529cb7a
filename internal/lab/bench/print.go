package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// text is the report for people.
func (r report) text() string {
	var b strings.Builder
	if h := r.HTTP; h != nil {
		fmt.Fprintf(&b, "HTTP/1.1 keep-alive, %d connections, medians of %d rounds of %.1f s in turn; proxy alone on one core, load and server on another\n\n",
			h.Connections, h.Rounds, float64(h.RoundMS)/1000)
		w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "\tCPU µs/request\tof the first's\trequests/s\tp50 ms\tp99 ms\t")
		for _, p := range h.Rows {
			fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.0f\t%.2f\t%.2f\t\n", p.Name, p.CPUMicros, p.Ratio, p.RequestsPerSec, p.P50MS, p.P99MS)
		}
		w.Flush()
	}
	if f := r.Failover; f != nil {
		if r.HTTP != nil {
			b.WriteString("\n")
		}
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
	}
	return b.String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
