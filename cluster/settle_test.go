package cluster

import (
	"sync"
	"testing"

	"github.com/reeve-lb/reeve/cluster/lease"
	"github.com/reeve-lb/reeve/cluster/tables"
)

// TestLeaseComesAfterTheEntries: who is given a lease has been told of every entry that was agreed on before, when it learns
// of the lease. Else an address would go to a node that sends known clients to other servers.
func TestLeaseComesAfterTheEntries(t *testing.T) {
	nodes := testCluster(t, 3)
	leader := leaderOf(t, nodes...)
	rest := without(nodes, leader)
	next, other := rest[0], rest[1]
	busy := make(chan struct{})
	free := sync.OnceFunc(func() { close(busy) })
	t.Cleanup(free)
	next.app.mu.Lock()
	next.app.busy = busy
	next.app.mu.Unlock()
	k := tables.Key{Table: "web", Key: "10.0.0.1"}
	leader.Tables().Offer([]tables.Binding{{Key: k, Server: "s"}})
	other.app.until(t, "the entry", func() bool { return other.app.entries[k] == "s" })

	granted := make(chan bool, 1)
	for _, n := range nodes {
		go func() {
			for v := range n.Leases().Verdicts() {
				if n == next && v.Kind == lease.Granted {
					n.app.mu.Lock()
					granted <- n.app.entries[k] == "s"
					n.app.mu.Unlock()
				}
			}
		}()
	}
	next.Leases().Stand("VI_1", lease.Candidacy{Priority: 100, Ready: true})
	eventually(t, "the lease", nodes, func() bool {
		for _, l := range other.Leases().Status().Leases {
			if l.Instance == "VI_1" && l.Holder == next.conf.Name {
				return true
			}
		}
		return false
	})
	free()
	if !<-granted {
		t.Error("the lease was there before the entry")
	}
}
