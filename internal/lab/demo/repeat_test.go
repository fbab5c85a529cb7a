package demo

import (
	"context"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/internal/lab/stolen"
)

// TestRepeat: a slow run on a machine that others took from is measured again, within bounds; nothing else is excused.
func TestRepeat(t *testing.T) {
	fine := Report{Fail: Leave, FailoverGapMS: 20, VIPs: 2, OwnersSeenMax: 1, ConfigVersionEverywhere: true, StolenPercent: 50}
	slow, wrong := fine, fine
	slow.FailoverGapMS = 80
	wrong.FailoverGapMS, wrong.OwnersSeenMax = 80, 2
	calm := slow
	calm.StolenPercent = stolen.Max
	for name, tc := range map[string]struct {
		runs  []Report // the last goes on for ever
		good  bool
		taken int
		said  string
	}{
		"all fine, whatever was stolen":  {[]Report{fine}, true, 3, "gap 20.0"},
		"slow once while it was stolen":  {[]Report{fine, slow, fine}, true, 3, "leave   2: gap 80.0 ms, 0 errors, 0 moved, 0.0 s; measured again: 50 % of the processors' time"},
		"slow all the time":              {[]Report{slow}, false, 3, "NOT GOOD: failover_gap_ms 80.0, at most 50"},
		"slow on a machine of its own":   {[]Report{calm, fine}, false, 3, "NOT GOOD: failover_gap_ms 80.0"},
		"two owners while it was stolen": {[]Report{wrong, fine}, false, 3, "NOT GOOD: owners_seen_max 2, not 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			asked := 0
			reports, good, err := checkCase{name: "leave", fail: Leave}.repeat(t.Context(), &out, 3, func(context.Context) (Report, error) {
				asked++
				return tc.runs[min(asked, len(tc.runs))-1], nil
			})
			if err != nil || good != tc.good || len(reports) != tc.taken || !strings.Contains(out.String(), tc.said) || asked > 6 {
				t.Errorf("good %v, %d reports of %d runs, %v:\n%s", good, len(reports), asked, err, out.String())
			}
		})
	}
}
