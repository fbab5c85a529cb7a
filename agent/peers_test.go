package agent

import (
	"testing"

	"github.com/reeve-lb/reeve/cluster"
)

// TestPeersByLeader: who follows is known only where somebody leads.
func TestPeersByLeader(t *testing.T) {
	for _, c := range []struct {
		name    string
		leader  int // index of the peer that leads; -1: none
		a, b, w string
	}{
		{"the first leads", 0, "leader", "follower", "follower"},
		{"another leads", 1, "follower", "leader", "follower"},
		{"nobody leads", -1, "unknown", "unknown", "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ps := []cluster.RaftPeer{{Name: "a", ID: "1", Voter: true, CommitIndex: 9}, {Name: "b", ID: "2", Voter: true}, {Name: "w", ID: "3"}}
			if c.leader >= 0 {
				ps[c.leader].Leader = true
			}
			got := toPeers(ps)
			if got[0].State != c.a || got[1].State != c.b || got[2].State != c.w {
				t.Errorf("%+v", got)
			}
			if got[0].CommitIndex != 9 || !got[0].Voter || got[2].Voter || got[1].Node != "b" || got[1].ID != "2" {
				t.Errorf("what else is known of them is lost: %+v", got)
			}
		})
	}
	if got := toPeers(nil); got == nil || len(got) != 0 {
		t.Errorf("no peers are %v, want an empty list", got)
	}
}
