package engine

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestRest(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	synctest.Test(t, func(t *testing.T) {
		r := rest{wake: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); r.run(ctx, before+1) }()
		runtime.GOMAXPROCS(before + 1)
		check := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if got := runtime.GOMAXPROCS(0); got != want {
				t.Errorf("%s: %d processors, not %d", when, got, want)
			}
		}
		for range 3 * restAfter { // an event now and then is work
			time.Sleep(2 * restLook)
			r.stir()
		}
		check("at work", before+1)
		time.Sleep((restAfter + 2) * restLook)
		check("after some seconds of nothing", 1)
		r.stir()
		check("at the first event", before+1)
		time.Sleep((restAfter + 2) * restLook)
		check("at rest again", 1)
		cancel()
		<-ended
		check("after the end", before+1)
	})
}
