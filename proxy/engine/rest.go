package engine

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// Go's scheduler wakes a second thread for everything that happens as long as it has a processor for it, and a third to
// watch. In an engine whose loops do nothing that thread only finds out that there is nothing for it; with one processor
// it stays asleep, which is a fifth of what an idle node costs.

const (
	restLook  = time.Second
	restAfter = 5 // looks without an event
)

// rest gives the processors back while the loops have nothing to do.
type rest struct {
	stirred atomic.Bool // a loop had an event since the last look
	resting atomic.Bool
	wake    chan struct{} // capacity 1
}

// stir tells that a loop had an event. It costs two reads of what is hardly ever written.
func (r *rest) stir() {
	if !r.stirred.Load() {
		r.stirred.Store(true)
	}
	if r.resting.Load() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// Rouse tells an engine that rests that requests are about to come: an address comes to this node. Safe for concurrent use.
func (e *Engine) Rouse() { e.rest.stir() }

// run sets GOMAXPROCS: most while there is something to do, 1 when there has been nothing for some seconds. At its end it
// is most.
func (r *rest) run(ctx context.Context, most int) {
	tick := time.NewTicker(restLook)
	defer tick.Stop()
	defer runtime.GOMAXPROCS(most)
	still := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-tick.C:
		}
		switch {
		case r.stirred.Swap(false):
			still = 0
			if r.resting.Swap(false) {
				tick.Reset(restLook)
				runtime.GOMAXPROCS(most)
			}
		case !r.resting.Load():
			if still++; still >= restAfter {
				r.resting.Store(true)
				if r.stirred.Load() {
					continue // by somebody who may not have seen it: the next look undoes it
				}
				tick.Stop() // stir wakes
				runtime.GOMAXPROCS(1)
			}
		}
	}
}
