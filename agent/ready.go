package agent

import (
	"context"
	"sync"
	"time"
)

// readiness bounds who may be promoted: a node that was away (a restart, a partition, a freeze) first learns what the
// others agreed on meanwhile. Promoted cold, it would send clients to other servers than the ones they had.
type readiness struct {
	caughtUp func(context.Context) error
	set      func(ready bool)
	behind   chan struct{} // capacity 1

	mu  sync.Mutex
	was uint64 // how often the node was away
}

func newReadiness(caughtUp func(context.Context) error, set func(bool)) *readiness {
	set(false)
	return &readiness{caughtUp: caughtUp, set: set, behind: make(chan struct{}, 1)}
}

// away says that no leader answers: what is agreed on from now on is not known here.
func (r *readiness) away() {
	r.mu.Lock()
	r.was++
	r.set(false)
	r.mu.Unlock()
	select {
	case r.behind <- struct{}{}:
	default:
	}
}

// askAgain is the pause after a question that the leader did not answer.
const askAgain = 100 * time.Millisecond

// run makes the node ready whenever it has caught up, until ctx ends.
func (r *readiness) run(ctx context.Context) error {
	for {
		r.mu.Lock()
		was := r.was
		r.mu.Unlock()
		if err := r.caughtUp(ctx); err != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(askAgain):
			}
			continue
		}
		r.mu.Lock()
		fresh := was == r.was
		if fresh {
			r.set(true)
		}
		r.mu.Unlock()
		if !fresh {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.behind:
		}
	}
}

// offerBudget is how long sticky entries may hold a node back that has caught up.
const offerBudget = time.Second

// caughtUp returns once this node knows what the others agreed on, and has offered what it bound on its own meanwhile.
func (a *Agent) caughtUp(ctx context.Context) error {
	if err := a.cluster.CaughtUp(ctx); err != nil {
		return err
	}
	budget, cancel := context.WithTimeout(ctx, offerBudget)
	defer cancel()
	if n, err := a.engine.OfferAgain(budget); n > 0 || err != nil {
		a.log.Info("sticky entries of the time without a quorum were offered again", "entries", n, "error", err)
	}
	return nil
}
