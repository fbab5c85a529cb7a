package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestLedTeachesNothing: what a stream says refreshes what Raft knows; it makes nobody a leader and no term newer.
func TestLedTeachesNothing(t *testing.T) {
	t.Parallel()
	nodes := testCluster(t, 3)
	leader := leaderOf(t, nodes...)
	followers := without(nodes, leader)
	one, two := followers[0], followers[1]
	r := one.node.Raft()
	term := r.CurrentTerm()
	for _, said := range []struct {
		leader string
		term   uint64
	}{{two.dir.ID, term}, {one.dir.ID, term}, {leader.dir.ID, term + 1}, {leader.dir.ID, term - 1}, {"", term}, {leader.dir.ID, term}} {
		one.node.Led(raft.ServerID(said.leader), said.term)
		if _, id := r.LeaderWithID(); string(id) != leader.dir.ID || r.CurrentTerm() != term || r.State() != raft.Follower {
			t.Fatalf("after %q said that it leads in %d the leader is %q, the term %d, not %q and %d", said.leader, said.term, id, r.CurrentTerm(), leader.dir.ID, term)
		}
	}
	leader.node.Led(raft.ServerID(two.dir.ID), term)
	if s := leader.node.Raft().State(); s != raft.Leader {
		t.Errorf("a leader that is told of another is %v", s)
	}
}
