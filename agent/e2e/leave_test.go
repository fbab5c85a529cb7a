package e2e

import (
	"context"
	"testing"
	"time"
)

// TestLeaveAndReturn: a node that left hands its address over at once, is no voter any more, and is one again after it came
// back, without disturbing those who stayed.
func TestLeaveAndReturn(t *testing.T) {
	s := newSite(t, 3)
	s.up()
	s.must(s.api("lb1").Leave(t.Context()))
	s.owner(vip1, "lb2")
	<-s.procs["lb1"].Done()
	voters := func(want int) func(context.Context) bool {
		return func(ctx context.Context) bool {
			ps, err := s.api("lb2").RaftPeers(ctx)
			n := 0
			for _, p := range ps {
				if p.Voter {
					n++
				}
			}
			return err == nil && n == want
		}
	}
	s.poll("two voters", voters(2))
	epoch := func() uint64 {
		y, err := s.api("lb3").Why(t.Context(), "VI_2")
		s.must(err)
		return y.Epoch
	}
	before := epoch()
	back := time.Now()
	s.start("lb1")
	s.owner(vip1, "lb1")
	t.Logf("back after %v", time.Since(back))
	s.poll("three voters", voters(3))
	if after := epoch(); after != before {
		t.Errorf("VI_2 went from epoch %d to %d: the return of lb1 disturbed it", before, after)
	}
	s.neverTwo()
}
