package lease

import (
	"slices"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// live says whether the node was heard of so recently that a lease given to it is of use.
func (k *keeper) live(m *member, now boottime.Time) bool {
	return m.stream != 0 && m.stands && !m.gone && now.Sub(m.arrived) <= max(k.ttl/2, 7*k.renew/2)
}

// movableAt is when the lease may get another holder; the zero Time: now.
func (k *keeper) movableAt(t *tenure) boottime.Time {
	switch {
	case t.Holder == "" || t.free || t.moving:
		return 0
	case t.off:
		return t.answered.Add(t.TTL)
	}
	return t.answered.Add(t.TTL + k.margin)
}

// move proposes new holders for all leases that may have one, in one entry. One entry is under way at most.
func (k *keeper) move(now boottime.Time) {
	if k.proposing || now.Before(k.again) {
		return
	}
	var moves []Move
	for _, name := range k.order {
		t := k.leases[name]
		if now.Before(k.movableAt(t)) || !k.settled(t, now) {
			continue
		}
		best, wait := k.best(t, now)
		switch {
		case wait:
		case best != nil:
			moves = append(moves, Move{Instance: name, From: t.Epoch, To: best.peer.Name, Life: best.life, TTL: k.ttl})
		case t.Holder != "" && (t.free || t.moving):
			moves = append(moves, Move{Instance: name, From: t.Epoch})
		}
	}
	if len(moves) == 0 {
		return
	}
	for _, m := range moves {
		t := k.leases[m.Instance]
		k.stop(t)
		t.moving = true
	}
	k.proposing = true
	k.acts = append(k.acts, action{kind: actPropose, moves: moves})
}

// settled says whether enough nodes have been heard since the election to choose among them. Who is not heard, and not
// known to be dead, is waited for: a moment, and longer for a lease that nobody ever had.
func (k *keeper) settled(t *tenure, now boottime.Time) bool {
	wait := k.margin
	if t.Epoch == 0 {
		wait += k.ttl
	}
	if !now.Before(k.elected.Add(wait)) {
		return true
	}
	heard := make(map[string]bool, len(k.voters))
	n := 0
	for _, m := range k.all {
		if m.stands && slices.Contains(k.voters, m.peer.ID) {
			heard[m.peer.Name] = true
			n++
		}
	}
	for _, w := range k.words {
		if w.AgentDied && !heard[w.Node] {
			heard[w.Node] = true
			n++
		}
	}
	return n >= len(k.voters)
}

// best chooses the next holder. wait says that the choice has to wait for a node that still has the addresses on.
func (k *keeper) best(t *tenure, now boottime.Time) (best *member, wait bool) {
	var left *member
	for _, m := range k.ranked(t.Instance, t.Holder) {
		c := m.cands[t.Instance]
		if !k.live(m, now) {
			continue
		}
		able := c.Ready && c.Priority > 0
		if c.Holding && now.Sub(c.holding) < holdingGrace {
			if able {
				return m, false // it works already, by plain VRRP; a better one may ask it to yield
			}
			wait = true
		}
		switch {
		case !able:
		case t.left && m.peer.Name == t.Holder && m.life == t.Life:
			left = m
		case best == nil:
			best = m
		}
	}
	if best == nil {
		best = left // it gave the lease back, but nobody else can have it
	}
	return best, wait
}

// yields decides which holders are asked to hand over.
func (k *keeper) yields(now boottime.Time) {
	for _, t := range k.leases {
		want := k.wantYield(t, now)
		if want != t.yield {
			t.yield, k.stale, k.push = want, true, true
		}
	}
}

func (k *keeper) wantYield(t *tenure, now boottime.Time) bool {
	h := k.holderOf(t)
	if h == nil || t.stopped || !k.live(h, now) {
		return false
	}
	mine := h.cands[t.Instance]
	if mine.Priority == 0 {
		return true
	}
	want := false
	for _, m := range k.all {
		c := m.cands[t.Instance]
		if m == h || c == nil {
			continue
		}
		if !k.live(m, now) || !c.Ready || c.NoPreempt || c.Priority <= mine.Priority {
			c.better = 0
			continue
		}
		if c.better == 0 {
			c.better = now
		}
		want = want || now.Sub(c.better) >= c.PreemptDelay
	}
	return want
}

// holderOf returns the life that has the lease, if it is connected and stands for it.
func (k *keeper) holderOf(t *tenure) *member {
	if t.Holder == "" {
		return nil
	}
	for _, m := range k.here {
		if m.peer.Name == t.Holder && m.life == t.Life && m.stands && m.cands[t.Instance] != nil {
			return m
		}
	}
	return nil
}

// lead moves the leadership to a voter without leases while this node holds one: one loss then rarely costs both.
func (k *keeper) lead(now boottime.Time) {
	me := k.members[k.self]
	if me == nil || k.proposing || !k.holds(me) {
		k.both = 0
		return
	}
	if k.both == 0 {
		k.both = now
	}
	if now.Sub(k.both) < transferAfter || k.transfer != 0 && now.Sub(k.transfer) < transferEvery {
		return
	}
	var to *member
	for _, m := range k.here {
		if m == me || !slices.Contains(k.voters, m.peer.ID) || !k.live(m, now) || k.holds(m) {
			continue
		}
		if to == nil || k.hopes(m) < k.hopes(to) || k.hopes(m) == k.hopes(to) && m.peer.ID < to.peer.ID {
			to = m
		}
	}
	if to == nil {
		return
	}
	for _, t := range k.leases {
		if t.yield || t.moving {
			return // it would have to begin anew under the next leader
		}
	}
	k.transfer = now
	k.acts = append(k.acts, action{kind: actTransfer, to: to.peer.ID})
}

// holds reports whether a lease is the node's, by its name: a former life's too.
func (k *keeper) holds(m *member) bool {
	for _, t := range k.leases {
		if t.Holder == m.peer.Name && t.Holder != "" {
			return true
		}
	}
	return false
}

// hopes adds the priorities that the node stands with: who has little hope of a lease is the better leader.
func (k *keeper) hopes(m *member) int {
	sum := 0
	for _, c := range m.cands {
		sum += c.Priority
	}
	return sum
}
