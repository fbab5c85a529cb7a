package raftnode

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

const every = 60 * time.Millisecond

// bubble runs f with beats whose clock is the test's.
func bubble(t *testing.T, f func(t *testing.T, b *beats, since func() time.Duration)) {
	synctest.Test(t, func(t *testing.T) {
		b, done := &beats{}, make(chan struct{})
		b.init(every, done)
		begun := time.Now()
		f(t, b, func() time.Duration { return time.Since(begun) })
		close(done)
		if kind := b.next("a", 9); kind != beatSend { // of a new term: it does not wait
			t.Errorf("the first of a term is %d", kind)
		}
		if kind := b.next("a", 9); kind != beatStopped {
			t.Errorf("after the end a heartbeat is %d", kind)
		}
	})
}

// later has a contact noted after a time.
func later(b *beats, d time.Duration, id raft.ServerID, term uint64) {
	go func() {
		time.Sleep(d)
		b.contact(id, term)
	}()
}

func TestHeartbeatsOfASilentPeer(t *testing.T) {
	bubble(t, func(t *testing.T, b *beats, since func() time.Duration) {
		if kind := b.next("a", 1); kind != beatSend || since() != 0 {
			t.Errorf("the first after an election is %d after %v", kind, since())
		}
		time.Sleep(7 * time.Millisecond)
		if kind := b.next("b", 1); kind != beatSend || since() != 7*time.Millisecond {
			t.Errorf("the other peer's first is %d after %v", kind, since())
		}
		for i := 1; i <= 3; i++ {
			for _, id := range []raft.ServerID{"a", "b"} {
				if kind := b.next(id, 1); kind != beatSend || since() != time.Duration(i)*every {
					t.Errorf("heartbeat %d to %s is %d after %v", i, id, kind, since())
				}
			}
		}
	})
}

func TestContactIsAHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T, b *beats, since func() time.Duration) {
		b.next("a", 1)
		b.contact("a", 1) // before Raft asks for the next: it says nothing about that one
		later(b, 50*time.Millisecond, "a", 1)
		if kind := b.next("a", 1); kind != beatMet || since() != 50*time.Millisecond {
			t.Errorf("with a contact the heartbeat is %d after %v", kind, since())
		}
		// The next contact may be a little late, by more it is no heartbeat.
		later(b, every+10*time.Millisecond, "a", 1)
		if kind := b.next("a", 1); kind != beatMet || since() != 120*time.Millisecond {
			t.Errorf("with a late contact the heartbeat is %d after %v", kind, since())
		}
		if kind := b.next("a", 1); kind != beatSend || since() != 120*time.Millisecond+every*5/4 {
			t.Errorf("after the last contact the heartbeat is %d after %v", kind, since())
		}
	})
}

func TestContactThatDoesNotCount(t *testing.T) {
	for name, c := range map[string]struct {
		id   raft.ServerID
		term uint64
	}{
		"of an earlier term": {"a", 1}, "of a later term": {"a", 3}, "of another peer": {"b", 2}, "of a peer that Raft does not know": {"c", 2},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *beats, since func() time.Duration) {
				b.next("a", 1)
				b.next("a", 2)
				b.next("b", 2)
				later(b, 10*time.Millisecond, c.id, c.term)
				if kind := b.next("a", 2); kind != beatSend || since() != every {
					t.Errorf("the heartbeat is %d after %v", kind, since())
				}
			})
		})
	}
}
