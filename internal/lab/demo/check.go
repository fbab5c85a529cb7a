package demo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// checkCase is a kind of failure that Check repeats.
type checkCase struct {
	name   string
	fail   Kind
	leader bool
}

// Check measures what a cluster costs that is left alone, then runs each kind of failure n times, and a leader's death too, and
// prints the least, middle and greatest of each figure with the worst of each field. It reports whether all was as good as
// promised. Runs put their files into folders below dir and remove them.
func Check(ctx context.Context, w io.Writer, n int, dir string, agents Agents) (good bool, err error) {
	cases := []checkCase{{"leader", Kill, true}}
	for _, k := range Kinds {
		cases = append(cases, checkCase{string(k), k, false})
	}
	slices.SortFunc(cases, func(a, b checkCase) int { return cmp.Compare(a.GapLimit(), b.GapLimit()) })
	good, err = checkIdle(ctx, w, dir, agents)
	if err != nil {
		return false, err
	}
	for _, c := range cases {
		reports, ok, err := c.repeat(ctx, w, n, dir, agents)
		if err != nil {
			return false, err
		}
		good = good && ok
		if err := summary(w, c.name, reports); err != nil {
			return false, err
		}
	}
	return good, nil
}

// GapLimit is the promise for the case, to run the strictest first.
func (c checkCase) GapLimit() float64 { return Report{Fail: c.fail, LeaderFailed: c.leader}.GapLimit() }

func (c checkCase) repeat(ctx context.Context, w io.Writer, n int, dir string, agents Agents) (reports []Report, good bool, err error) {
	good = true
	for i := range n {
		own, err := os.MkdirTemp(dir, "run-")
		if err != nil {
			return nil, false, err
		}
		began := time.Now()
		r, err := Run(ctx, Options{Fail: c.fail, Leader: c.leader, Dir: own}, agents)
		if rm := os.RemoveAll(own); err == nil {
			err = rm
		}
		switch {
		case ctx.Err() != nil:
			return nil, false, ctx.Err()
		case err != nil: // a run that does not come to its end is the worst of all
			good = false
			fmt.Fprintf(w, "%-6s %2d: %v\n", c.name, i+1, err)
			continue
		}
		reports = append(reports, r)
		fmt.Fprintf(w, "%-6s %2d: gap %.1f ms, %d errors, %d moved, %.1f s", c.name, i+1, r.FailoverGapMS, r.Errors, r.SessionsMoved, time.Since(began).Seconds())
		if c.leader && !r.LeaderFailed {
			good = false
			fmt.Fprint(w, "; NOT GOOD: the failed node was not the leader")
		}
		for _, f := range r.Faults() {
			good = false
			fmt.Fprintf(w, "; NOT GOOD: %s", f)
		}
		fmt.Fprintln(w)
	}
	return reports, good, nil
}

// summary prints the table of one case.
func summary(w io.Writer, name string, reports []Report) error {
	if len(reports) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\n%s, %d runs\tmin\tmedian\tmax\n", name, len(reports))
	for _, figure := range []struct {
		name string
		of   func(Report) float64
	}{
		{"failover_gap_ms", func(r Report) float64 { return r.FailoverGapMS }},
		{"errors", func(r Report) float64 { return float64(r.Errors) }},
		{"address_move_ms", func(r Report) float64 { return r.AddressMoveMS }},
		{"change_ms", func(r Report) float64 { return r.ChangeMS }},
		{"back_ms", func(r Report) float64 { return r.BackMS }},
		{"sessions_moved", func(r Report) float64 { return float64(r.SessionsMoved) }},
		{"owners_seen_max", func(r Report) float64 { return float64(r.OwnersSeenMax) }},
	} {
		var all []float64
		for _, r := range reports {
			all = append(all, figure.of(r))
		}
		slices.Sort(all)
		fmt.Fprintf(t, "  %s\t%g\t%g\t%g\n", figure.name, all[0], all[len(all)/2], all[len(all)-1])
	}
	left := slices.ContainsFunc(reports, func(r Report) bool { return r.VIPLeftOnDead })
	differs := slices.ContainsFunc(reports, func(r Report) bool { return !r.ConfigVersionEverywhere })
	fmt.Fprintf(t, "  vip_left_on_dead\t\t\t%t\n  config_version_everywhere\t\t\t%t\n\n", left, !differs)
	return t.Flush()
}
