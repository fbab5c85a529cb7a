package engine

import (
	"testing"
	"time"
)

// TestGate: in no second do more than the limit pass, and what is asked for at a lower rate always does.
func TestGate(t *testing.T) {
	var g gate
	const limit = 100
	var passed []int64
	for now := int64(0); now < int64(5*time.Second); now += int64(time.Millisecond) {
		if g.open(now, limit) {
			g.pass(now)
			passed = append(passed, now)
		}
	}
	for i, from := range passed {
		n := 0
		for _, at := range passed[i:] {
			if at < from+int64(time.Second) {
				n++
			}
		}
		if n > limit*11/10 { // what is left of the second before is taken for evenly spread
			t.Fatalf("%d passed in the second from %v", n, time.Duration(from))
		}
	}
	if len(passed) < 4*limit {
		t.Errorf("only %d of %d passed in 5 s", len(passed), 5*limit)
	}
	var slow gate
	for now := int64(0); now < int64(5*time.Second); now += int64(20 * time.Millisecond) {
		if !slow.open(now, limit) {
			t.Fatalf("half the rate is held up at %v", time.Duration(now))
		}
		slow.pass(now)
	}
	if !slow.open(0, 0) {
		t.Error("no limit is one")
	}
}
