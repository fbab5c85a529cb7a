package lease

import (
	"cmp"
	"slices"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// Whose word makes a renewal good, who is asked for it and when: the keeper answers nothing before a majority of the
// voters said that it still leads (see the package's comment).

// round is one question to other voters: is this still your term? As many are asked as a majority needs, and when they
// don't answer soon, the rest.
type round struct {
	n     uint64
	open  bool
	wide  bool // all were asked
	begun boottime.Time
	yes   map[string]bool // voters that confirmed
}

// said takes this node's own term. The driver reads it anew before each call that brings a renewal, a confirmation or the time.
func (k *keeper) said(term uint64) { k.own = term == k.term }

func (k *keeper) votes(id string) bool { return slices.Contains(k.voters, id) }

// sure reports whether a majority of the voters said, after the renewal r of m was sent, that their term is the keeper's:
// the leader itself, the sender by its renewal, and those in yes.
func (k *keeper) sure(m *member, r renewalAt, yes map[string]bool) bool {
	n := len(yes)
	if k.own && k.votes(k.self) {
		n++
	}
	if id := m.peer.ID; r.term == k.term && id != k.self && !yes[id] && k.votes(id) {
		n++
	}
	return n > len(k.voters)/2
}

// confirm takes a member's answer to a round.
func (k *keeper) confirm(stream, n, term uint64, now boottime.Time) {
	m := k.streams[stream]
	if m == nil || !k.round.open || n != k.round.n || term != k.term || m.peer.ID == k.self || !k.votes(m.peer.ID) {
		return
	}
	k.round.yes[m.peer.ID] = true
	k.round.open = false
	for _, m := range k.here {
		switch {
		case m.asked.seq == 0:
		case k.sure(m, m.asked, k.round.yes):
			m.answered, m.asked = m.asked, renewalAt{}
			k.answer(m, now)
		default:
			k.round.open = true
		}
	}
	k.ask(now)
}

// answer answers the member's newest confirmed renewal under the present view, for the first time or again: again after a lease was
// moved to it, since nothing but the commit stood between that renewal and the lease.
func (k *keeper) answer(m *member, now boottime.Time) {
	if k.stale {
		k.renewView()
	}
	for _, t := range k.leases {
		if t.Holder == m.peer.Name && t.Life == m.life && !t.stopped {
			t.answered = max(t.answered, m.answered.at)
		}
	}
	if m.viewGen != k.gen {
		m.viewGen = k.gen
		k.acts = append(k.acts, action{kind: actView, stream: m.stream})
	}
	k.acts = append(k.acts, action{kind: actAnswer, stream: m.stream, x: m.answered.seq, y: k.gen, late: k.late(now)})
}

// late is how much the answer given now comes after the nearest of the moments, a renewal apart, at which it is best given:
// all nodes renew then, and this one wakes once for all of them.
func (k *keeper) late(now boottime.Time) time.Duration {
	d := time.Duration(now) % k.renew
	if d > k.renew/2 {
		d -= k.renew
	}
	return d
}

// ask answers the renewals that need nobody else's word, and begins a round for the others once they have gathered. The
// round of nodes that hold nothing goes with the answer to somebody's renewal, so that it wakes nobody.
func (k *keeper) ask(now boottime.Time) {
	again := k.round.open && now.Sub(k.round.begun) >= k.patience()
	due, all, any, company := boottime.Time(1<<63-1), true, again, false
	for _, m := range k.here {
		if m.waiting.seq != 0 {
			if m.alone = k.sure(m, m.waiting, nil); m.alone {
				m.answered, m.waiting, m.asked = m.waiting, renewalAt{}, renewalAt{}
				k.answer(m, now)
				company = true
			}
		}
		any = any || m.asked.seq != 0 && !k.round.open
		switch {
		case m.waiting.seq != 0:
			any, due, company = true, min(due, k.gathered(m)), company || k.holds(m)
		case m.stands && !m.alone && m.asked.seq == 0 && now.Sub(m.arrived) < k.ttl:
			all = false
		}
	}
	switch {
	case again, !k.round.open && any && (all && company || k.urgent || !now.Before(due)):
		k.begin(now)
	case k.round.open && !k.round.wide && now.Sub(k.round.begun) >= k.window():
		k.question(len(k.here))
	}
}

// gathered is when the round for the member's waiting renewal begins at the latest.
func (k *keeper) gathered(m *member) boottime.Time {
	if k.holds(m) {
		return m.waiting.at.Add(k.window())
	}
	return m.waiting.at.Add(k.renew)
}

// begin begins a round for the renewals that came, if there are any.
func (k *keeper) begin(now boottime.Time) {
	k.urgent, k.round.open = false, false
	for _, m := range k.here {
		if m.waiting.seq != 0 {
			m.asked, m.waiting = m.waiting, renewalAt{}
		}
		k.round.open = k.round.open || m.asked.seq != 0
	}
	if !k.round.open {
		return
	}
	k.round.n++
	k.round.begun, k.round.wide = now, false
	clear(k.round.yes)
	k.question(len(k.voters) / 2) // with the leader itself a majority
}

// question asks the round of up to n other voters, those heard of last first.
func (k *keeper) question(n int) {
	k.pick = k.pick[:0]
	for _, m := range k.here {
		if m.peer.ID != k.self && m.round != k.round.n && k.votes(m.peer.ID) {
			k.pick = append(k.pick, m)
		}
	}
	k.round.wide = n >= len(k.pick)
	slices.SortStableFunc(k.pick, func(a, b *member) int { return cmp.Compare(b.arrived, a.arrived) })
	for _, m := range k.pick[:min(n, len(k.pick))] {
		m.round = k.round.n
		k.acts = append(k.acts, action{kind: actAsk, stream: m.stream, x: k.round.n, y: k.term})
	}
}

// patience is how long a round may last before it is asked anew; window how long renewals wait for the other nodes' to share
// one, and how long it waits for the few it asked: what comes then, a renewal at the latest, makes it ask all.
func (k *keeper) patience() time.Duration { return 2 * k.renew }
func (k *keeper) window() time.Duration   { return k.renew / 4 }
