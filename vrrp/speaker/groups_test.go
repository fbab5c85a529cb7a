package speaker

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/machine"
)

func pairOf(dev string, priorities ...int) vrrp.Config {
	c := vrrp.Config{SyncGroups: []vrrp.SyncGroup{{Name: "G", Members: []string{"A", "B"}}}}
	for at, p := range priorities {
		name := string(rune('A' + at))
		c.Instances = append(c.Instances, instanceOf(name, dev, "10.4."+string(rune('0'+at))+".100/24", at+1, p))
	}
	return c
}

// TestGroupLease: a sync group has one lease under its name; its members' addresses come and go together, and the guard
// has them as one holding.
func TestGroupLease(t *testing.T) {
	link(t, "v4", "10.4.0.1/16")
	l := &leases{verdicts: make(chan vrrp.Verdict)}
	guarded := &pets{}
	s, _ := run(t, Options{Node: "me", Arbiter: l, Guard: guarded})
	s.Apply(pairOf("v4", 150, 120), vrrp.ElectionCluster)
	await(t, "stands with its worst member", func() bool { return l.heard("stand G 120 ready=true") })
	if l.heard("stand A 150 ready=true") {
		t.Error("a member stands for itself")
	}
	l.verdicts <- vrrp.Verdict{Kind: vrrp.Quorum}
	l.verdicts <- vrrp.Verdict{Kind: vrrp.Granted, Instance: "G", Epoch: 5, Expiry: boottime.Now().Add(time.Minute)}
	both := func() bool { return has("v4", "10.4.0.100/24") && has("v4", "10.4.1.100/24") }
	none := func() bool { return !has("v4", "10.4.0.100/24") && !has("v4", "10.4.1.100/24") }
	await(t, "both addresses on", both)
	if g := s.Groups(); len(g) != 1 || g[0].State != machine.Master || g[0].Epoch != 5 {
		t.Errorf("%+v", g)
	}
	guarded.mu.Lock()
	if !slices.Contains(guarded.words, "pet G") || slices.Contains(guarded.words, "pet A") {
		t.Errorf("the guard heard %q", guarded.words)
	}
	guarded.mu.Unlock()
	l.verdicts <- vrrp.Verdict{Kind: vrrp.Yield, Instance: "G", Epoch: 5}
	await(t, "both off", none)
	await(t, "given back once", func() bool { return l.heard("released G 5") })
	guarded.mu.Lock()
	if !slices.Contains(guarded.words, "drop G") {
		t.Errorf("the guard heard %q", guarded.words)
	}
	guarded.mu.Unlock()
	l.verdicts <- vrrp.Verdict{Kind: vrrp.Granted, Instance: "G", Epoch: 6, Expiry: boottime.Now().Add(time.Minute)}
	await(t, "both on again", both)
	s.Fenced("G", 6)
	await(t, "gives back what the guard took", func() bool { return l.heard("released G 6") && none() })
	s.Apply(vrrp.Config{}, vrrp.ElectionCluster)
	await(t, "withdraws", func() bool { return l.heard("withdraw G") })
}

// TestGroupReload: an instance that comes to a group or leaves it makes no other move than it must.
func TestGroupReload(t *testing.T) {
	link(t, "v5", "10.4.0.1/16")
	s, stop := run(t, Options{Node: "me"})
	conf := pairOf("v5", 255, 255)
	s.Apply(conf, vrrp.ElectionVRRP)
	master := func(names ...string) func() bool {
		return func() bool {
			return !slices.ContainsFunc(names, func(n string) bool { return state(s, n) != machine.Master })
		}
	}
	await(t, "both MASTER", master("A", "B"))
	since := s.Status()[0].Since
	more := pairOf("v5", 255, 255, 255)
	more.SyncGroups[0].Members = []string{"A", "B", "C"}
	s.Apply(more, vrrp.ElectionVRRP)
	await(t, "C MASTER, too", master("A", "B", "C"))
	s.Apply(conf, vrrp.ElectionVRRP)
	await(t, "C gone", func() bool { return len(s.Status()) == 2 && !has("v5", "10.4.2.100/24") })
	if st := s.Status(); st[0].Since != since || st[0].State != machine.Master || st[1].State != machine.Master {
		t.Errorf("the others moved: %+v", st)
	}
	stop()
	if has("v5", "10.4.0.100/24") || has("v5", "10.4.1.100/24") {
		t.Error("an address is left")
	}
}

// TestChangedSecondary: a master's addresses are what the last configuration says, without another move.
func TestChangedList(t *testing.T) {
	link(t, "v6", "10.6.0.1/24")
	s, _ := run(t, Options{Node: "me"})
	a := instanceOf("A", "v6", "10.6.0.100/24", 1, 255)
	s.Apply(vrrp.Config{Instances: []vrrp.Instance{a}}, vrrp.ElectionVRRP)
	await(t, "on", func() bool { return has("v6", "10.6.0.100/24") })
	a.Addresses = append(a.Addresses[:0:0], vrrp.Address{Prefix: netip.MustParsePrefix("10.6.0.101/24")})
	s.Apply(vrrp.Config{Instances: []vrrp.Instance{a}}, vrrp.ElectionVRRP)
	await(t, "another one", func() bool { return has("v6", "10.6.0.101/24") && !has("v6", "10.6.0.100/24") })
	if moves := s.Status()[0].Moves; len(moves) != 1 {
		t.Errorf("%+v", moves)
	}
}

// TestSomeRefused: under plain VRRP the addresses that the kernel takes are on, and the others are named.
func TestSomeRefused(t *testing.T) {
	link(t, "v7", "10.7.0.1/24")
	s, _ := run(t, Options{Node: "me"})
	a := instanceOf("A", "v7", "10.7.0.100/24", 1, 255)
	a.Addresses = append(a.Addresses, vrrp.Address{Prefix: netip.MustParsePrefix("10.7.0.101/24"), Dev: "nowhere"})
	s.Apply(vrrp.Config{Instances: []vrrp.Instance{a}}, vrrp.ElectionVRRP)
	await(t, "the good one", func() bool { return has("v7", "10.7.0.100/24") })
	await(t, "the other one named", func() bool { st := s.Status()[0]; return st.State == machine.Master && len(st.Incomplete) == 1 })
}
