package cluster

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/serf/serf"

	"github.com/reeve-lb/reeve/cluster/gossip"
	"github.com/reeve-lb/reeve/cluster/mux"
	"github.com/reeve-lb/reeve/cluster/raftnode"
)

// reconciler makes Raft's configuration follow gossip while this node leads. Owned by duties.
type reconciler struct {
	c       *Cluster
	since   map[string]time.Time // non-voters: following since
	missing map[string]time.Time // peers that failed or are unknown: since
	timer   *time.Timer
}

func newReconciler(c *Cluster) *reconciler {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &reconciler{c: c, since: map[string]time.Time{}, missing: map[string]time.Time{}, timer: t}
}

// due fires when something that was waited for may be over.
func (r *reconciler) due() <-chan time.Time { return r.timer.C }

// run compares once and returns when to look again at the latest.
func (r *reconciler) run(ctx context.Context) time.Duration {
	servers := map[string]raft.Server{}
	for _, s := range r.c.node.Servers() {
		servers[string(s.ID)] = s
	}
	ms := r.c.gossip.Members()
	for _, m := range ms {
		if ctx.Err() != nil {
			return 0
		}
		switch {
		case alive(m) && m.ID != "":
			delete(r.missing, m.ID)
			r.admit(ctx, m, servers)
		case m.Status == serf.StatusLeft && m.ID != r.c.dir.ID:
			r.c.leavers.Delete(m.ID) // gossip knows it now: should it be back, it is welcome
			if _, ok := servers[m.ID]; ok {
				r.remove(ctx, m.ID, "left")
			}
		}
	}
	r.reap(ctx, ms, servers)
	r.c.lead.poke()
	return r.c.conf.ReconcileEvery
}

// admit takes a live node in, first without a vote, and follows it to a new address.
func (r *reconciler) admit(ctx context.Context, m gossip.Member, servers map[string]raft.Server) {
	addr := raft.ServerAddress(m.RPC.String())
	s, in := servers[m.ID]
	switch {
	case !in:
		if at, ok := r.c.leavers.Load(m.ID); ok && time.Since(at.(time.Time)) < leaveGrace {
			return // it said that it goes; gossip will say so too
		}
		// A former life of the node, or what lived at its address, is no longer there.
		for _, old := range servers {
			if old.Address == addr || r.nameOf(string(old.ID)) == m.Name {
				r.remove(ctx, string(old.ID), "replaced")
				delete(servers, string(old.ID))
			}
		}
		r.change(ctx, "node follows the log", m.Name, r.c.node.Raft().AddNonvoter(raft.ServerID(m.ID), addr, 0, time.Second))
		r.since[m.ID] = time.Now()
		r.timer.Reset(r.c.conf.StabilizeAfter)
	case s.Address != addr && s.Suffrage == raft.Voter:
		r.change(ctx, "voter has a new address", m.Name, r.c.node.Raft().AddVoter(s.ID, addr, 0, time.Second))
	case s.Address != addr:
		r.change(ctx, "node has a new address", m.Name, r.c.node.Raft().AddNonvoter(s.ID, addr, 0, time.Second))
	case s.Suffrage != raft.Voter:
		r.promote(ctx, m, addr)
	}
}

// leaveGrace is how long a node that asked to be taken out is not taken in again although gossip sees it.
const leaveGrace = 3 * time.Second

// nameOf is the name that gossip last knew a node id by.
func (r *reconciler) nameOf(id string) string {
	if n := r.c.nameOf(id); n != id {
		return n
	}
	return ""
}

// promote gives a vote to who has followed for a while and has what is committed.
func (r *reconciler) promote(ctx context.Context, m gossip.Member, addr raft.ServerAddress) {
	since, ok := r.since[m.ID]
	if !ok {
		since = time.Now()
		r.since[m.ID] = since
	}
	if wait := r.c.conf.StabilizeAfter - time.Since(since); wait > 0 {
		r.timer.Reset(wait)
		return
	}
	commit := r.c.node.Raft().CommitIndex()
	actx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := ask[status](actx, r.c, mux.Target{ID: m.ID, Addr: m.RPC.String()}, methodStatus, struct{}{})
	// A little behind is caught up within the first round; far behind would make the others wait for it.
	if err != nil || s.Last+256 < commit {
		r.timer.Reset(min(time.Second, r.c.conf.StabilizeAfter))
		return
	}
	r.change(ctx, "node votes", m.Name, r.c.node.Raft().AddVoter(raft.ServerID(m.ID), addr, 0, time.Second))
	delete(r.since, m.ID)
}

// reap takes out who has been away for too long.
func (r *reconciler) reap(ctx context.Context, ms []gossip.Member, servers map[string]raft.Server) {
	now := time.Now()
	for id := range servers {
		if id == r.c.dir.ID || slices.ContainsFunc(ms, func(m gossip.Member) bool { return m.ID == id && alive(m) }) {
			continue
		}
		since, ok := r.missing[id]
		if !ok {
			r.missing[id] = now
			continue
		}
		if now.Sub(since) >= r.c.conf.ReapAfter {
			r.remove(ctx, id, "away for too long")
			delete(r.missing, id)
		}
	}
}

func (r *reconciler) remove(ctx context.Context, id, why string) {
	r.c.log.Info("taking a node out of the voters", "node", r.c.nameOf(id), "reason", why)
	r.change(ctx, "node is no longer a peer", r.c.nameOf(id), r.c.node.Raft().RemoveServer(raft.ServerID(id), 0, time.Second))
	delete(r.since, id)
}

func (r *reconciler) change(ctx context.Context, what, node string, f raft.Future) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := raftnode.Wait(ctx, f); err != nil {
		if ctx.Err() == nil {
			r.c.log.Warn("could not change the peers", "change", what, "node", node, "error", err)
		}
		return
	}
	r.c.log.Info("peers changed", "change", what, "node", node)
}

// raftPeers asks the peers for their commit index.
func (c *Cluster) raftPeers(ctx context.Context) []RaftPeer {
	leader := c.lead.get().leader
	servers := c.node.Servers()
	out := make([]RaftPeer, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		id := string(s.ID)
		out[i] = RaftPeer{ID: id, Address: string(s.Address), Leader: id == leader, Voter: s.Suffrage == raft.Voter}
		if n := c.nameOf(id); n != id {
			out[i].Name = n
		}
		if id == c.dir.ID {
			out[i].CommitIndex = c.node.Raft().CommitIndex()
			continue
		}
		wg.Go(func() {
			if t, err := c.target(id); err == nil {
				if st, err := ask[status](ctx, c, t, methodStatus, struct{}{}); err == nil {
					out[i].CommitIndex = st.Commit
				}
			}
		})
	}
	wg.Wait()
	slices.SortFunc(out, func(a, b RaftPeer) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return out
}
