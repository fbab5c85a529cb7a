package cluster

import (
	"testing"
	"time"
)

func TestThreeNodesElectAndCommit(t *testing.T) {
	nodes := testCluster(t, 3)
	leaderOf(t, nodes...)
	for i, n := range nodes {
		begun := time.Now()
		v, reports := apply(t, n, "payload of "+n.conf.Name)
		t.Logf("version %d by %s in %v: %+v", v.Version, n.conf.Name, time.Since(begun), reports)
		if v.Version != uint64(i+1) {
			t.Fatalf("version %d, want %d", v.Version, i+1)
		}
		if len(reports) != 3 {
			t.Fatalf("%d reports, want 3: %+v", len(reports), reports)
		}
		for _, r := range reports {
			if r.Error != "" || r.Version != v.Version {
				t.Errorf("%s runs %d (%s), want %d", r.Node, r.Version, r.Error, v.Version)
			}
		}
	}
}
