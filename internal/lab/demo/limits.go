package demo

import "fmt"

// GapLimit is the longest time without an answer that a kind of failure may cost, in milliseconds.
func (r Report) GapLimit() float64 {
	if r.LeaderFailed {
		return 800
	}
	return map[Kind]float64{Kill: 150, Stop: 400, Link: 400, Leave: 50}[r.Fail]
}

// Faults lists what is not as good as promised, nothing if all is.
func (r Report) Faults() []string { return append(r.Slow(), r.Wrong()...) }

// Slow lists the times that are longer than promised, and what follows from them.
func (r Report) Slow() []string {
	var out []string
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	bad(r.FailoverGapMS > r.GapLimit(), "failover_gap_ms %.1f, at most %.0f", r.FailoverGapMS, r.GapLimit())
	// One question each 10 ms of the gap, and two more, at each address.
	most := r.VIPs * (int(r.FailoverGapMS/10) + 2)
	bad(r.Errors > most, "errors %d, at most %d with that gap", r.Errors, most)
	bad(r.SessionsLate > 0, "sessions_late %d: the cluster had not agreed on them when the node failed", r.SessionsLate)
	bad(r.ChangeMS > 200, "change_ms %.0f, at most 200", r.ChangeMS)
	return out
}

// Wrong lists what must not be at any speed.
func (r Report) Wrong() []string {
	var out []string
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	bad(r.OwnersSeenMax != 1, "owners_seen_max %d, not 1", r.OwnersSeenMax)
	// What one node alone knows goes with it (sync = "async"). How long that is the case is a matter of speed; what was agreed
	// on stays.
	bad(r.SessionsMoved > r.LateMoved, "sessions_moved %d, %d of them too young", r.SessionsMoved, r.LateMoved)
	bad(r.VIPLeftOnDead, "vip_left_on_dead")
	bad(!r.ConfigVersionEverywhere, "config_version_everywhere is false")
	return out
}
