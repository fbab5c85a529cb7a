package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"

	"github.com/reeve-lb/reeve/cluster/mux"
	"github.com/reeve-lb/reeve/cluster/raftnode"
)

const (
	joinBackoffMin = 250 * time.Millisecond
	joinBackoffMax = 15 * time.Second
)

// Join asks nodes (IP, host, host:port of gossip) to let this one in and returns how many did. An error may come with
// some that did.
func (c *Cluster) Join(ctx context.Context, addrs []string) (int, error) {
	if !c.up.Load() {
		return 0, ErrStopped
	}
	n, err := c.gossip.Join(ctx, addrs)
	if n > 0 {
		c.joined.Store(true)
	}
	return n, err
}

// retryJoin tries the configured addresses until one answers, for ever, and again when this node finds itself alone.
func (c *Cluster) retryJoin(ctx context.Context) error {
	if len(c.conf.RetryJoin) == 0 {
		return nil
	}
	wait := joinBackoffMin
	failures := 0
	for {
		if c.others() == 0 {
			_, err := c.Join(ctx, c.conf.RetryJoin)
			switch {
			case c.others() > 0:
				failures, wait = 0, joinBackoffMin
			case ctx.Err() != nil:
				return nil
			default:
				// Nodes that start together meet each other late: the first failures are the rule.
				if failures++; failures == 4 || failures%20 == 0 {
					c.log.Warn("no node lets us in yet", "tries", failures, "error", err)
				}
				wait = min(wait*3/2, joinBackoffMax)
			}
		} else {
			wait = joinBackoffMax
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

// others counts the live nodes beside this one.
func (c *Cluster) others() int {
	n := 0
	for _, m := range c.gossip.Members() {
		if alive(m) && m.ID != c.dir.ID {
			n++
		}
	}
	return n
}

// Leave takes this node out of the cluster and ends Run. Its leases have to be handed over before.
func (c *Cluster) Leave(ctx context.Context) error {
	if !c.up.Load() {
		return ErrStopped
	}
	if !c.leaving.CompareAndSwap(false, true) {
		return errors.New("already leaving")
	}
	var first error
	if c.voters() > 1 {
		lctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		c.abdicate()
		first = c.atLeader(lctx,
			func() error { return ErrNotLeader }, // still leading: the hand-over failed, wait for another
			func(t mux.Target) error {
				_, err := ask[struct{}](lctx, c, t, methodLeave, struct{}{})
				return err
			})
		cancel()
		if errors.Is(first, ErrUncertain) { // taken out, we may not hear of it
			first = nil
		}
	}
	if err := c.gossip.Leave(); err != nil && first == nil {
		first = err
	}
	select {
	case c.fatal <- errLeft:
	default:
	}
	if first != nil {
		return fmt.Errorf("leave: the others will take this node out when gossip tells them: %w", first)
	}
	return nil
}

// serveLeave takes the caller out of Raft's configuration.
func (c *Cluster) serveLeave(ctx context.Context, from Peer, _ struct{}) (struct{}, error) {
	if !c.lead.get().led {
		return struct{}{}, ErrNotLeader
	}
	c.log.Info("node leaves", "node", from.Name)
	c.leavers.Store(from.ID, time.Now())
	f := c.node.Raft().RemoveServer(raft.ServerID(from.ID), 0, time.Second)
	err := raftnode.Wait(ctx, f)
	c.lead.poke()
	return struct{}{}, raftError(err)
}

// Peers is Raft's configuration as this node knows it, with each peer's commit index as it tells itself.
func (c *Cluster) Peers(ctx context.Context) ([]RaftPeer, error) {
	if !c.up.Load() {
		return nil, ErrStopped
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return c.raftPeers(ctx), nil
}
