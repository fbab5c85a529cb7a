package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/cluster/tables"
)

func fabricCluster(t *testing.T, n int) (*fabric, []*testNode) {
	f := newFabric()
	return f, testCluster(t, n, func(c *Config, _ *testApp) { c.Network = f.on(c.Bind) })
}

func TestLeaderCutOffLosesNothingButItsOffice(t *testing.T) {
	t.Parallel()
	f, nodes := fabricCluster(t, 3)
	old := leaderOf(t, nodes...)
	apply(t, old, "one")
	rest := without(nodes, old)
	cut := time.Now()
	f.split(true, []*testNode{old}, rest)
	leaderOf(t, rest...)
	t.Logf("new leader %v after the cut", time.Since(cut))
	eventually(t, "the old leader steps down", nodes, func() bool { return !old.IsLeader() })

	// Alone it decides nothing, and keeps what it is offered.
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	_, _, err := old.Propose(ctx, Proposal{Payload: []byte("alone")})
	cancel()
	if err == nil {
		t.Error("a change was accepted without a majority")
	}
	mine := tables.Key{Table: "web", Key: "mine"}
	old.Tables().Offer([]tables.Binding{{Key: mine, Server: "a"}})
	theirs := tables.Key{Table: "web", Key: "theirs"}
	rest[0].Tables().Offer([]tables.Binding{{Key: theirs, Server: "b"}})
	old.Tables().Offer([]tables.Binding{{Key: theirs, Server: "c"}})
	rest[0].app.until(t, "an entry on the majority's side", func() bool { return rest[0].app.entries[theirs] == "b" })
	v, reports := apply(t, rest[0], "two")
	if v.Version != 2 {
		t.Errorf("version %d, want 2", v.Version)
	}
	for _, r := range reports {
		if (r.Node == old.conf.Name) != (r.Error != "") {
			t.Errorf("report %+v", r)
		}
	}

	healed := time.Now()
	f.split(false, []*testNode{old}, rest)
	leaderOf(t, nodes...)
	for _, n := range nodes {
		n.app.until(t, "what was offered during the cut", func() bool {
			return n.app.entries[mine] == "a" && n.app.entries[theirs] == "b" // the first writer won
		})
		n.app.until(t, "version 2", func() bool { return n.app.versions[len(n.app.versions)-1].Version == 2 })
	}
	t.Logf("whole again %v after the heal", time.Since(healed))
	if took := time.Since(healed); took > 5*time.Second {
		t.Errorf("it took %v to be whole again", took)
	}
}

func TestFrozenLeaderIsReplacedOnNews(t *testing.T) {
	t.Parallel()
	f, nodes := fabricCluster(t, 3)
	old := leaderOf(t, nodes...)
	rest := without(nodes, old)
	eventually(t, "three voters", nodes, func() bool { return rest[0].Info().Voters == 3 })
	begun := time.Now()
	f.split(true, []*testNode{old}, rest)
	if err := (*leaseLog)(rest[0].Cluster).TriggerElection(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := leaderOf(t, rest...)
	t.Logf("new leader after %v", time.Since(begun))
	term := l.Info().Term
	if err := (*leaseLog)(l.Cluster).TriggerElection(t.Context()); err != nil {
		t.Errorf("the news said to the leader: %v", err)
	}
	if v, _ := apply(t, l, "one"); v.Version != 1 || l.Info().Term != term {
		t.Errorf("a leader was unseated by the news")
	}
}

func TestNoMajorityNoDecision(t *testing.T) {
	f, nodes := fabricCluster(t, 3)
	leader := leaderOf(t, nodes...)
	apply(t, leader, "one")
	f.split(true, nodes[:1], nodes[1:])
	f.split(true, nodes[1:2], nodes[2:])
	eventually(t, "nobody leads", nodes, func() bool { return !nodes[0].IsLeader() && !nodes[1].IsLeader() && !nodes[2].IsLeader() })
	for _, n := range nodes {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, _, err := n.Propose(ctx, Proposal{Payload: []byte("x")})
		cancel()
		if !errors.Is(err, ErrNoLeader) && !errors.Is(err, ErrUncertain) {
			t.Errorf("%s: got %v", n.conf.Name, err)
		}
		if v, ok := n.Config(); !ok || v.Version != 1 {
			t.Errorf("%s no longer has its configuration", n.conf.Name)
		}
	}
	// The queue of what waits is bounded, and an offer never blocks.
	var many []tables.Binding
	for i := range tables.MaxPending + 100 {
		many = append(many, tables.Binding{Key: tables.Key{Table: "t", Key: fmt.Sprint(i)}, Server: "s"})
	}
	begun := time.Now()
	taken := nodes[0].Tables().Offer(many)
	if taken > len(many)-100+4096 || nodes[0].Tables().Dropped() == 0 {
		t.Errorf("%d of %d taken, %d dropped", taken, len(many), nodes[0].Tables().Dropped())
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("an offer took %v", took)
	}
	f.split(false, nodes, nodes)
	leaderOf(t, nodes...)
	eventually(t, "all that was kept is agreed", nodes, func() bool { return nodes[0].Tables().Pending() == 0 })
	nodes[2].app.until(t, "on another node", func() bool { return len(nodes[2].app.entries) >= taken })
}
