package tables

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/cluster/fsm"
)

// leader commits batches at once, or refuses them while it is away.
type leader struct {
	away atomic.Bool
	took time.Duration

	mu    sync.Mutex
	state *fsm.State
	sent  []time.Time
	sizes []int
}

func (l *leader) send(ctx context.Context, cmd []byte) error {
	l.mu.Lock()
	l.sent = append(l.sent, time.Now())
	l.mu.Unlock()
	if l.away.Load() {
		return errors.New("no leader")
	}
	time.Sleep(l.took)
	if err := fsm.Restamp(cmd, time.Now()); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r, err := l.state.Apply(uint64(len(l.sizes)+1), cmd)
	l.sizes = append(l.sizes, len(r.Changes))
	return errors.Join(err, r.Err)
}

func (l *leader) read(f func(*fsm.State)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l.state)
}

func bubble(t *testing.T, took time.Duration, f func(*testing.T, *leader, *Replica)) {
	synctest.Test(t, func(t *testing.T) {
		l := &leader{state: fsm.New(nil), took: took}
		r := New(l.send, l.read, hclog.NewNullLogger())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = r.Run(ctx)
		}()
		f(t, l, r)
		cancel()
		<-done
	})
}

func bind(key, server string) []Binding {
	return []Binding{{Key: Key{Table: "t", Key: key}, Server: server}}
}

func TestFirstGoesAtOnceAndTheRestTogether(t *testing.T) {
	bubble(t, time.Millisecond, func(t *testing.T, l *leader, r *Replica) {
		begun := time.Now()
		r.Offer(bind("first", "s"))
		synctest.Wait()
		if len(l.sent) != 1 || l.sent[0] != begun {
			t.Fatalf("the first entry of an idle time left at %v, want %v", l.sent, begun)
		}
		for i := range 20 { // 20 ms of one entry a millisecond
			time.Sleep(time.Millisecond)
			r.Offer(bind(fmt.Sprint(i), "s"))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(l.sent) < 5 || len(l.sent) > 8 {
			t.Errorf("%d batches (%v) for 20 entries in 20 ms, want one each 3 ms", len(l.sent), l.sizes)
		}
		if r.Sent() != 21 || r.Pending() != 0 || len(r.Entries("t", 0)) != 21 {
			t.Errorf("%d sent, %d pending", r.Sent(), r.Pending())
		}
	})
}

func TestLatestWishIsKeptUntilThereIsALeader(t *testing.T) {
	bubble(t, 0, func(t *testing.T, l *leader, r *Replica) {
		l.away.Store(true)
		r.Offer(bind("a", "s1"))
		r.Offer(bind("b", "s1"))
		time.Sleep(time.Second)
		synctest.Wait()
		r.Offer(bind("a", "s2"))
		r.Delete([]Key{{Table: "t", Key: "b"}})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(l.sent); n > 11*10+5 {
			t.Errorf("%d tries in 11 s", n)
		}
		if r.Pending() != 2 {
			t.Errorf("%d pending, want the latest of two keys", r.Pending())
		}
		l.away.Store(false)
		back := time.Now()
		r.Retry()
		synctest.Wait()
		if last := l.sent[len(l.sent)-1]; last != back {
			t.Errorf("sent %v after the news of a leader", last.Sub(back))
		}
		e, ok := r.Lookup(Key{Table: "t", Key: "a"})
		if _, b := r.Lookup(Key{Table: "t", Key: "b"}); !ok || e.Server != "s2" || b {
			t.Errorf("a sticks to %q, b is there: %v", e.Server, b)
		}
	})
}

// TestSlowCommitHoldsNobodyBack: what comes while a commit is under way leaves at once, all the same. Were it kept until then,
// it would be lost with this node.
func TestSlowCommitHoldsNobodyBack(t *testing.T) {
	bubble(t, 300*time.Millisecond, func(t *testing.T, l *leader, r *Replica) {
		begun := time.Now()
		for i := range 4 {
			r.Offer(bind(fmt.Sprint(i), "s"))
			time.Sleep(50 * time.Millisecond)
		}
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := range 4 {
			if want := time.Duration(i) * 50 * time.Millisecond; len(l.sent) <= i || l.sent[i].Sub(begun) != want {
				t.Fatalf("sent at %v, want number %d %v after %v", l.sent, i, want, begun)
			}
		}
	})
}

// TestFlightsAreBounded: a leader that answers nobody is not sent more and more.
func TestFlightsAreBounded(t *testing.T) {
	bubble(t, time.Second, func(t *testing.T, l *leader, r *Replica) {
		for i := range 3 * maxFlights {
			r.Offer(bind(fmt.Sprint(i), "s"))
			time.Sleep(2 * gather)
		}
		synctest.Wait()
		l.mu.Lock()
		n := len(l.sent)
		l.mu.Unlock()
		if n != maxFlights || r.Pending() != 2*maxFlights {
			t.Errorf("%d batches are under way and %d entries wait, want %d and %d", n, r.Pending(), maxFlights, 2*maxFlights)
		}
		time.Sleep(3 * time.Second)
		if n := len(r.Entries("t", 0)); n != 3*maxFlights {
			t.Errorf("%d entries are agreed on in the end", n)
		}
	})
}

// TestWishesForAKeyKeepTheirOrder, although several batches are under way and a later one may arrive first.
func TestWishesForAKeyKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leader{state: fsm.New(nil)}
		var first atomic.Bool
		first.Store(true)
		r := New(func(ctx context.Context, cmd []byte) error {
			if first.Swap(false) { // it is on its way for longer than the second
				time.Sleep(100 * time.Millisecond)
			}
			return l.send(ctx, cmd)
		}, l.read, hclog.NewNullLogger())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = r.Run(ctx)
		}()
		r.Offer(bind("a", "s1"))
		time.Sleep(10 * time.Millisecond)
		r.Delete([]Key{{Table: "t", Key: "a"}})
		r.Offer(bind("b", "s1"))
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if _, ok := r.Lookup(Key{Table: "t", Key: "b"}); !ok {
			t.Error("a wish for another key waits for the first")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if e, ok := r.Lookup(Key{Table: "t", Key: "a"}); ok {
			t.Errorf("a was bound, then deleted, and sticks to %q", e.Server)
		}
		cancel()
		<-done
	})
}

// TestFlush waits for what was offered before it, sent or not, and for nothing else.
func TestFlush(t *testing.T) {
	bubble(t, 20*time.Millisecond, func(t *testing.T, l *leader, r *Replica) {
		begun := time.Now()
		if err := r.Flush(t.Context()); err != nil || time.Since(begun) != 0 {
			t.Errorf("with nothing to send: %v after %v", err, time.Since(begun))
		}
		r.Offer(bind("a", "s"))
		synctest.Wait() // it is under way
		r.Offer(bind("b", "s"))
		more, stop := context.WithCancel(t.Context())
		go func() { // others go on offering
			for i := 0; more.Err() == nil; i++ {
				time.Sleep(time.Millisecond)
				r.Offer(bind(fmt.Sprint(i), "s"))
			}
		}()
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		stop()
		for _, k := range []string{"a", "b"} {
			if _, ok := r.Lookup(Key{Table: "t", Key: k}); !ok {
				t.Errorf("%s was flushed and is not agreed on", k)
			}
		}
		if took := time.Since(begun); took > 50*time.Millisecond {
			t.Errorf("it took %v: it waited for what came after it", took)
		}
		time.Sleep(time.Second)
		l.away.Store(true)
		r.Offer(bind("c", "s"))
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Flush(soon); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a leader: %v", err)
		}
		l.away.Store(false)
		r.Retry()
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.waiting) != 0 {
			t.Errorf("%d wait still", len(r.waiting))
		}
	})
}

func TestOfferIsBounded(t *testing.T) {
	r := New(nil, nil, hclog.NewNullLogger()) // nobody runs it: all waits
	for i := range MaxPending + 10 {
		r.Offer(bind(fmt.Sprint(i), "s"))
	}
	if r.Pending() != MaxPending || r.Dropped() != 10 {
		t.Errorf("%d pending, %d dropped", r.Pending(), r.Dropped())
	}
	if r.Offer(bind("0", "other")) != 1 { // a known key finds its place
		t.Error("a newer wish for a waiting key was dropped")
	}
	if r.Offer([]Binding{{}, {Key: Key{Table: "t", Key: "x"}}}) != 0 || r.Delete([]Key{{}}) != 0 {
		t.Error("what does not fit was taken")
	}
}

func TestBigOffersGoInSeveralBatches(t *testing.T) {
	bubble(t, time.Millisecond, func(t *testing.T, l *leader, r *Replica) {
		var bs []Binding
		for i := range 10000 {
			bs = append(bs, bind(fmt.Sprint(i), "server")...)
		}
		if r.Offer(bs) != len(bs) {
			t.Fatal("not taken")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(r.Entries("t", 0)) != len(bs) || len(l.sizes) < 3 {
			t.Errorf("%d entries in batches %v", len(r.Entries("t", 0)), l.sizes)
		}
		for _, n := range l.sizes {
			if n > maxBatch {
				t.Errorf("a batch of %d", n)
			}
		}
		if len(r.Entries("t", 7)) != 7 || len(r.List()) != 1 || r.List()[0].Entries != len(bs) {
			t.Errorf("list %+v", r.List())
		}
	})
}

func BenchmarkOffer(b *testing.B) {
	r := New(nil, nil, hclog.NewNullLogger())
	one := bind("10.0.0.1", "srv1")
	b.ReportAllocs()
	for b.Loop() {
		r.Offer(one)
	}
}
