package lease

import (
	"bytes"
	"context"
	"net"
	"syscall"
	"testing"
	"time"
)

func good(prio int) Candidacy { return Candidacy{Priority: prio, Ready: true} }

func three(t testing.TB) (*testRaft, *testNode, *testNode, *testNode) {
	t.Helper()
	r := newTestCluster(t, DefaultTTL, "lb1", "lb2", "lb3")
	return r, r.nodes[0], r.nodes[1], r.nodes[2]
}

// patient is a cluster whose leases outlast a busy machine's hiccups, for tests in which none may be lost.
func patient(t testing.TB) (*testRaft, *testNode, *testNode, *testNode) {
	t.Helper()
	r := newTestCluster(t, 2*time.Second, "lb1", "lb2", "lb3")
	return r, r.nodes[0], r.nodes[1], r.nodes[2]
}

func TestBestCandidateGetsTheLeaseAndTheOthersLearnOfIt(t *testing.T) {
	r, a, b, c := three(t)
	a.Client.Stand("VI_1", good(150))
	b.Client.Stand("VI_1", good(100))
	r.elect(c)
	g := a.await(t, "VI_1", Granted)
	if g.Epoch != 1 {
		t.Errorf("first epoch is %d", g.Epoch)
	}
	if e := b.await(t, "VI_1", Elsewhere); e.Holder == "" {
		e = b.await(t, "VI_1", Elsewhere)
		if e.Holder != "lb1" || e.Epoch != 1 {
			t.Errorf("lb2 learned %+v", e)
		}
	}
	if x := a.await(t, "VI_1", Extended, Lost); !x.Expiry.After(g.Expiry) {
		t.Errorf("extended from %v to %v", g.Expiry, x.Expiry)
	}
	st := b.Client.Status()
	if !st.Quorum || st.Leader != "lb3" || len(st.Leases) != 1 || st.Leases[0].Holder != "lb1" || len(st.Leases[0].Candidates) != 2 || st.Leases[0].Candidates[0].Priority != 150 {
		t.Errorf("a follower's status: %+v", st)
	}
}

func TestBetterCandidateMakesTheHolderYield(t *testing.T) {
	r, a, b, c := patient(t)
	a.Client.Stand("VI_1", good(100))
	r.elect(c)
	a.await(t, "VI_1", Granted)
	b.Client.Stand("VI_1", good(150))
	y := a.await(t, "VI_1", Yield, Lost)
	a.Client.Released("VI_1", y.Epoch)
	begun := time.Now()
	if g := b.await(t, "VI_1", Granted); g.Epoch != y.Epoch+1 {
		t.Errorf("epoch %d after %d", g.Epoch, y.Epoch)
	}
	t.Logf("from released to granted %v", time.Since(begun))
	if e := a.await(t, "VI_1", Elsewhere, Lost); e.Holder != "lb2" && a.await(t, "VI_1", Elsewhere).Holder != "lb2" {
		t.Error("the former holder does not know who has it")
	}
}

func TestGuardsWordMovesTheLeaseAtOnce(t *testing.T) {
	r, a, b, c := three(t)
	a.Client.Stand("VI_1", good(150))
	b.Client.Stand("VI_1", good(100))
	r.elect(c)
	g := a.await(t, "VI_1", Granted)
	b.await(t, "", Quorum)
	blob, err := a.say.Encode()
	must(t, err)
	a.kill()
	begun := time.Now()
	must(t, SayReleased(context.Background(), blob, []Word{{Instance: "VI_1", Epoch: g.Epoch, AgentDied: true}}))
	b.await(t, "VI_1", Granted)
	took := time.Since(begun)
	t.Logf("killed holder, guard's word: new owner after %v", took)
	if took > 200*time.Millisecond { // a TTL is 250 ms: it was not waited for
		t.Errorf("took %v", took)
	}
}

func TestFrozenHolderLosesTheLeaseAfterTTLAndMargin(t *testing.T) {
	r, a, b, c := three(t)
	a.Client.Stand("VI_1", good(150))
	b.Client.Stand("VI_1", good(100))
	r.elect(c)
	a.await(t, "VI_1", Granted)
	b.await(t, "", Quorum)
	a.freeze(true)
	begun := time.Now()
	lost := a.await(t, "VI_1", Lost)
	held := time.Since(begun)
	g := b.await(t, "VI_1", Granted)
	took := time.Since(begun)
	t.Logf("frozen holder: lost after %v, new owner after %v", held, took)
	if took <= held || g.Epoch != lost.Epoch+1 {
		t.Errorf("granted after %v, lost after %v", took, held)
	}
	if took < DefaultTTL-DefaultRenew || took > time.Second {
		t.Errorf("new owner after %v", took)
	}
	a.freeze(false)
	y := b.await(t, "VI_1", Yield, Lost) // the old holder is back, better, and asks for it in good order
	b.Client.Released("VI_1", y.Epoch)
	a.await(t, "VI_1", Granted)
}

func TestLeaseOutlivesAChangeOfLeader(t *testing.T) {
	r, a, b, c := patient(t)
	a.Client.Stand("VI_1", good(150))
	b.Client.Stand("VI_1", good(100))
	r.elect(c)
	g := a.await(t, "VI_1", Granted)
	for range 3 {
		for _, n := range []*testNode{b, c} {
			r.elect(n)
			for range 3 {
				if x := a.await(t, "VI_1", Extended, Lost, Granted); x.Epoch != g.Epoch {
					t.Fatalf("epoch %d became %d", g.Epoch, x.Epoch)
				}
			}
		}
	}
}

func TestLeaderDeadByItsGuardsWord(t *testing.T) {
	r, a, b, _ := three(t)
	a.Client.Stand("VI_1", good(150))
	b.Client.Stand("VI_1", good(100))
	r.elect(a)
	g := a.await(t, "VI_1", Granted)
	blob, err := a.say.Encode()
	must(t, err)
	a.kill()
	begun := time.Now()
	must(t, SayReleased(context.Background(), blob, []Word{{Instance: "VI_1", Epoch: g.Epoch, AgentDied: true}}))
	b.await(t, "VI_1", Granted)
	took := time.Since(begun)
	t.Logf("holder and leader in one, killed, guard's word: new owner after %v", took)
	if took > 200*time.Millisecond {
		t.Errorf("took %v", took)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.triggers) != 1 || r.triggers[0] != "lb2" {
		t.Errorf("stood for election: %v", r.triggers)
	}
}

func TestLeadershipMovesOffTheHolder(t *testing.T) {
	r, a, b, c := patient(t)
	a.Client.Stand("VI_1", good(150))
	b.Client.Stand("VI_1", good(100))
	r.elect(a)
	a.await(t, "VI_1", Granted)
	deadline := time.Now().Add(5 * time.Second)
	for {
		if a.await(t, "VI_1", Extended, Lost); a.Leadership().Leader.ID == c.id { // c hopes for nothing
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s leads and holds", a.Leadership().Leader.Name)
		}
	}
	for range 3 {
		a.await(t, "VI_1", Extended, Lost)
	}
}

// TestStreamsAreHeartbeats: what the streams carry tells Raft on both sides, under the term that is, and only as long as
// both sides hear each other.
func TestStreamsAreHeartbeats(t *testing.T) {
	r, a, b, c := three(t)
	a.Client.Stand("VI_1", good(150))
	b.Client.Stand("VI_1", good(100))
	r.elect(c)
	a.await(t, "VI_1", Granted)
	count := func() (contacts, led int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return c.contacts[a.id], a.led
	}
	for {
		if contacts, led := count(); contacts >= 3 && led >= 3 {
			break
		}
		a.await(t, "VI_1", Extended)
	}
	a.freeze(true)
	before, _ := count()
	b.await(t, "VI_1", Granted) // a TTL and the margin later
	if after, _ := count(); after > before+1 {
		t.Errorf("the leader took %d contacts from a node that was frozen", after-before)
	}
	a.freeze(false)
}

func TestNoQuorumAndBack(t *testing.T) {
	r, a, b, c := three(t)
	a.Client.Stand("VI_1", good(150))
	r.elect(a)
	a.await(t, "VI_1", Granted)
	b.freeze(true)
	c.freeze(true)
	lost := false
	for !lost {
		v := <-a.verdicts
		lost = v.Kind == Lost
		if v.Kind == NoQuorum {
			t.Fatal("told of the quorum before the lease was lost")
		}
	}
	if v := a.await(t, "", NoQuorum); v.Voters != 3 {
		t.Errorf("%d voters", v.Voters)
	}
	b.freeze(false)
	a.await(t, "", Quorum)
	a.await(t, "VI_1", Granted)
}

// TestStaleLeaderExtendsNothing: a leader whose followers are in a later term answers nobody.
func TestStaleLeaderExtendsNothing(t *testing.T) {
	r, a, b, c := three(t)
	a.Client.Stand("VI_1", good(150))
	r.elect(a)
	a.await(t, "VI_1", Granted)
	r.mu.Lock()
	b.term, c.term = b.term+1, c.term+1 // they voted for someone
	r.mu.Unlock()
	a.await(t, "VI_1", Lost, Granted)
}

func TestGarbageOnTheStream(t *testing.T) {
	r, a, _, c := patient(t)
	a.Client.Stand("VI_1", good(150))
	r.elect(c)
	a.await(t, "VI_1", Granted)
	for _, junk := range [][]byte{
		{0, 0, 0, 0}, {0xff, 0xff, 0xff, 1}, bytes.Repeat([]byte{7}, 100), []byte("GET / HTTP/1.1\r\n\r\n"),
		appendHello(nil, hello{peer: Peer{"id-lb1", "lb1"}, life: 1}), // another's name
		endFrame(append(beginFrame(nil, frameHello), 99), 0),
	} {
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- c.Service.Serve(context.Background(), Peer{"id-x", "x"}, far) }()
		_ = near.SetDeadline(time.Now().Add(2 * time.Second))
		_, _ = near.Write(junk)
		if err := <-done; err == nil {
			t.Errorf("%q was taken", junk)
		}
		_ = near.Close()
	}
	for range 3 {
		a.await(t, "VI_1", Extended, Lost)
	}
}

func TestSayReleasedDamagedBlobAndNobodyThere(t *testing.T) {
	if err := SayReleased(context.Background(), []byte(`{"Key":"c2VjcmV0"`), nil); err == nil || bytes.Contains([]byte(err.Error()), []byte("c2Vj")) {
		t.Errorf("damaged blob: %v", err)
	}
	_, a, b, c := three(t)
	blob, err := a.say.Encode()
	must(t, err)
	b.kill()
	c.kill()
	begun := time.Now()
	if err := SayReleased(context.Background(), blob, []Word{{Instance: "VI_1", Epoch: 1}}); err == nil {
		t.Error("nobody was there to hear it")
	}
	if took := time.Since(begun); took > 1500*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

// TestIdleCost measures what three nodes with leases cost, over TLS, all renewals, rounds and answers together.
func TestIdleCost(t *testing.T) {
	r, a, b, c := patient(t)
	for _, n := range []*testNode{a, b, c} {
		n.Client.Stand("VI_1", good(100))
		n.Client.Stand("VI_2", good(100))
	}
	r.elect(a)
	for missing := map[string]bool{"VI_1": true, "VI_2": true}; len(missing) > 0; { // in any order: each waits for the log
		select {
		case v := <-c.verdicts:
			if v.Kind == Granted {
				delete(missing, v.Instance)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("not granted: %v", missing)
		}
	}
	cpu := func() time.Duration {
		var u syscall.Rusage
		must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	rounds := func() uint64 {
		a.Service.mu.Lock()
		defer a.Service.mu.Unlock()
		if a.Service.k == nil {
			return a.Service.rounds
		}
		return a.Service.k.round.n
	}
	asked := rounds()
	before, begun := cpu(), time.Now()
	for time.Since(begun) < 3*time.Second {
		c.await(t, "VI_1", Extended, Lost)
	}
	share := 100 * float64(cpu()-before) / float64(time.Since(begun))
	perSecond := float64(rounds()-asked) / time.Since(begun).Seconds()
	t.Logf("three nodes idle: %.2f %% of a core, %.1f rounds a second", share, perSecond)
	if perSecond > 30 {
		t.Errorf("%.1f rounds a second: the nodes' renewals do not share rounds", perSecond)
	}
	if share > 8 && !raceEnabled {
		t.Errorf("three nodes idle at %.2f %% of a core", share)
	}
}
