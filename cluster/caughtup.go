package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/reeve-lb/reeve/cluster/fsm"
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
			func() error { committed = c.commandIndex(); return nil },
			func(t mux.Target) error {
				st, err := ask[status](ctx, c, t, methodStatus, struct{}{})
				committed = st.Command
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
	for c.commandIndex() < committed {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return c.teller.barrier(ctx)
}

// TellBindings tells the App every sticky entry once more, after a Reset, and returns when it was told: for an App that could
// not take what it was told before. It fails when ctx ends first, or the cluster does not run; then it is told later.
func (c *Cluster) TellBindings(ctx context.Context) error {
	c.teller.again()
	return c.teller.barrier(ctx)
}

// commandIndex is the log index of the newest command that the state holds. Raft's applied index runs ahead of it: it
// counts what was handed over to be applied.
func (c *Cluster) commandIndex() (i uint64) {
	c.readState(func(s *fsm.State) { i = s.Index() })
	return i
}
