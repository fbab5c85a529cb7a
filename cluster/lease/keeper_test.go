package lease

import (
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// askedAndAnswered counts what the keeper wants sent, and forgets it.
func askedAndAnswered(k *keeper) (asked, answered []uint64) {
	for _, a := range k.acts {
		switch a.kind {
		case actAsk:
			asked = append(asked, a.stream)
		case actAnswer:
			answered = append(answered, a.stream)
		}
	}
	k.acts = k.acts[:0]
	return asked, answered
}

// Among three voters a follower and the leader are a majority; the leader alone is not, nor is a follower of another term.
func TestWhoseWordIsEnough(t *testing.T) {
	const term = 7
	now := boottime.Time(time.Hour)
	k := newKeeper("a", simTTL, simRenew, simMargin, Leadership{Term: term, Elected: now, Voters: []string{"a", "b", "c"}}, 0, nil, nil, now)
	k.said(term)
	for i, id := range []string{"a", "b", "c"} {
		k.join(uint64(i+1), hello{peer: Peer{id, id}, life: 1}, now)
		k.full(uint64(i+1), 1, 1, term, nil, now)
	}
	k.confirm(2, k.round.n, term, now)
	askedAndAnswered(k)
	renew := func(stream, seq, theirs, own uint64) ([]uint64, []uint64) {
		now = now.Add(time.Millisecond)
		k.said(own)
		k.renewed(stream, seq, 1, theirs, 0, now)
		return askedAndAnswered(k)
	}
	if asked, answered := renew(2, 2, term, term); len(asked) != 0 || len(answered) != 1 {
		t.Errorf("a follower's renewal: asked %v, answered %v", asked, answered)
	}
	if asked, answered := renew(1, 2, term, term); len(asked) != 1 || asked[0] == 1 || len(answered) != 0 {
		t.Errorf("the leader's own: asked %v, answered %v", asked, answered)
	} else if k.confirm(asked[0], k.round.n, term, now); true {
		if _, answered := askedAndAnswered(k); len(answered) != 1 || answered[0] != 1 {
			t.Errorf("the leader's own, confirmed: answered %v", answered)
		}
	}
	if _, answered := renew(2, 3, term+1, term); len(answered) != 0 {
		t.Error("answered a node that has promised its vote to a later leader")
	}
	if _, answered := renew(3, 2, term, term+1); len(answered) != 0 {
		t.Error("a leader that has promised its vote to a later one answered")
	}
}
