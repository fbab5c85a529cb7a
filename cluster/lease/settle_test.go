package lease

import (
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// TestGrantWaitsForTheLog: a node that was given a lease is not told before it has applied all that was agreed on earlier.
// What the others are told, and what is said of another instance, does not wait for that.
func TestGrantWaitsForTheLog(t *testing.T) {
	r, a, _, c := patient(t)
	late := a.lags("VI_1")
	a.Client.Stand("VI_1", good(150))
	c.Client.Stand("VI_1", good(100))
	r.elect(c)
	for c.await(t, "VI_1", Elsewhere).Holder != "lb1" {
	}
	a.Client.Stand("VI_2", good(100)) // granted later than VI_1
	for v := range a.verdicts {
		if v.Kind == Granted && v.Instance == "VI_1" {
			t.Fatal("granted before the log was applied")
		}
		if v.Kind == Granted && v.Instance == "VI_2" {
			break
		}
	}
	close(late)
	if g := a.await(t, "VI_1", Granted, Lost); !g.Expiry.After(boottime.Now()) {
		t.Errorf("a grant that ran out %v ago", boottime.Now().Sub(g.Expiry))
	}
}

// TestGrantDoesNotWaitForEver: a node whose log does not come serves, too.
func TestGrantDoesNotWaitForEver(t *testing.T) {
	r := newHastyCluster(t, 2*time.Second, 100*time.Millisecond, "lb1", "lb2", "lb3")
	a := r.nodes[0]
	defer close(a.lags("VI_1"))
	a.Client.Stand("VI_1", good(150))
	r.elect(r.nodes[2])
	a.await(t, "VI_1", Granted, Lost)
}

// TestMailboxHoldsBack: a Granted that is held back grows with the lease and goes with it, in order with what is said of its
// instance; others go past.
func TestMailboxHoldsBack(t *testing.T) {
	m := newMailbox()
	take := func(want ...Verdict) {
		t.Helper()
		for _, w := range want {
			if v, ok := m.take(); !ok || v != w {
				t.Fatalf("took %+v (%v), want %+v", v, ok, w)
			}
		}
		if v, ok := m.take(); ok {
			t.Fatalf("took %+v, want nothing", v)
		}
	}
	say := func(instance string, kind VerdictKind, epoch uint64, expiry boottime.Time) Verdict {
		v := Verdict{Instance: instance, Kind: kind, Epoch: epoch, Expiry: expiry}
		m.put([]Verdict{v})
		return v
	}
	m.hold("a", 1)
	say("a", Granted, 1, 10)
	b := say("b", Granted, 1, 10)
	take(b)
	say("a", Extended, 1, 20)
	yield := say("a", Yield, 1, 0)
	quorum := say("", Quorum, 0, 0)
	take(quorum)
	m.release("a", 1)
	take(Verdict{Instance: "a", Kind: Granted, Epoch: 1, Expiry: 20}, yield)

	m.hold("a", 2) // lost before it was told
	say("a", Granted, 2, 30)
	take(say("a", Lost, 2, 0))

	m.hold("a", 3) // its own wait counts, not that of the one before
	say("a", Granted, 3, 40)
	m.release("a", 2)
	take()
	m.release("a", 3)
	take(Verdict{Instance: "a", Kind: Granted, Epoch: 3, Expiry: 40})
}
