package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/reeve-lb/reeve/cluster/mux"
)

// appliedPoll is how often the applied index is looked at while a node catches up: applying tells nobody.
const appliedPoll = 5 * time.Millisecond

// CaughtUp returns once this node has applied all that the leader had committed when it was asked, and the App was told of
// every sticky entry among it. A node that is back from a restart or a partition knows then what the others know; before
// that it would send clients elsewhere. It waits for a leader as long as ctx lasts.
func (c *Cluster) CaughtUp(ctx context.Context) error {
	var committed uint64
	for {
		err := c.atLeader(ctx,
			func() error { committed = c.node.Raft().AppliedIndex(); return nil },
			func(t mux.Target) error {
				st, err := ask[status](ctx, c, t, methodStatus, struct{}{})
				committed = st.Commit
				return err
			})
		if err == nil {
			break
		}
		if !errors.Is(err, ErrUncertain) || ctx.Err() != nil { // a question that was lost has no effect: ask again
			return err
		}
	}
	tick := time.NewTicker(appliedPoll)
	defer tick.Stop()
	for c.node.Raft().AppliedIndex() < committed {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return c.teller.barrier(ctx)
}
