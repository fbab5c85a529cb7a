package engine

import (
	"reflect"
	"testing"
)

// TestCollecting: the heap may grow while the collector runs often, by a bounded amount, and no longer than that.
func TestCollecting(t *testing.T) {
	const mb = 1 << 20
	type second struct {
		live, collections uint64
		want              int
	}
	run := func(base int, seconds ...second) {
		t.Helper()
		var live, cycles uint64
		now := base
		c := collecting{base: base, percent: base, read: func() (uint64, uint64) { return live, cycles }, set: func(p int) int { now = p; return 0 }}
		var got, want []int
		for _, s := range seconds {
			live, cycles = s.live, cycles+s.collections
			c.look()
			got, want = append(got, now), append(want, s.want)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("percent second by second: %v, want %v", got, want)
		}
	}
	quiet := make([]second, calmAfter-1)
	for i := range quiet {
		quiet[i] = second{4 * mb, 0, 800}
	}
	run(50, second{4 * mb, oftenCollected - 1, 50}, second{4 * mb, oftenCollected, 800}, second{4 * mb, 1, 800})
	run(50, append(append([]second{{4 * mb, 60, 800}}, quiet...), second{4 * mb, 0, 50})...)
	run(50, second{1 * mb, 60, mostPercent}, second{200 * mb, 60, 50}, second{1 * mb, 60, mostPercent})
	run(50, second{8 * mb, 60, 400}, second{10 * mb, 60, 400}, second{32 * mb, 60, 100}) // small changes are not followed
	run(0, second{4 * mb, 60, 0})                                                        // GOGC is the operator's
}
