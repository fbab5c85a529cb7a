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

	"github.com/reeve-lb/reeve/internal/lab/stolen"
)

// checkCase is a kind of failure that Check repeats.
type checkCase struct {
	name   string
	fail   Kind
	leader bool
}

// Check measures what a cluster costs that is left alone, then runs each kind of failure n times, and a leader's death too, and
// prints the least, middle and greatest of each figure with the worst of each field. It reports whether all was as good as
// promised. A run that was too slow while more than stolen.Max of the processors were taken from the machine is told and
// measured again; what must not be at any speed counts in every run. Runs put their files into folders below dir and remove them.
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
		reports, ok, err := c.repeat(ctx, w, n, func(ctx context.Context) (Report, error) { return c.once(ctx, dir, agents) })
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

// once is one run in a folder of its own.
func (c checkCase) once(ctx context.Context, dir string, agents Agents) (Report, error) {
	own, err := os.MkdirTemp(dir, "run-")
	if err != nil {
		return Report{}, err
	}
	r, err := Run(ctx, Options{Fail: c.fail, Leader: c.leader, Dir: own}, agents)
	if rm := os.RemoveAll(own); err == nil {
		err = rm
	}
	return r, err
}

// repeat takes n runs that count; up to as many again may be measured anew.
func (c checkCase) repeat(ctx context.Context, w io.Writer, n int, run func(context.Context) (Report, error)) (reports []Report, good bool, err error) {
	good = true
	for i, spare := 1, n; i <= n; i++ {
		began := time.Now()
		r, err := run(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, false, ctx.Err()
		case err != nil: // a run that does not come to its end is the worst of all
			good = false
			fmt.Fprintf(w, "%-6s %2d: %v\n", c.name, i, err)
			continue
		}
		fmt.Fprintf(w, "%-6s %2d: gap %.1f ms, %d errors, %d moved, %.1f s", c.name, i, r.FailoverGapMS, r.Errors, r.SessionsMoved, time.Since(began).Seconds())
		if spare > 0 && r.StolenPercent > stolen.Max && len(r.Slow()) > 0 && len(r.Wrong()) == 0 {
			fmt.Fprintf(w, "; measured again: %.0f %% of the processors' time was taken from this machine\n", r.StolenPercent)
			spare, i = spare-1, i-1
			continue
		}
		reports = append(reports, r)
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
		{"sessions_late", func(r Report) float64 { return float64(r.SessionsLate) }},
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
