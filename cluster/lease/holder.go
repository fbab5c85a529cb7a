package lease

import (
	"slices"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// own is one instance this node stands for, or has to give back.
type own struct {
	standing
	withdrawn bool          // kept only until the leader has seen what was released
	expiry    boottime.Time // held != 0: when it runs out
	asked     bool          // Yield was told for held
	told      bool          // who holds it was told
	toldNode  string
	toldEpoch uint64
	toldLife  uint64
}

// sentLog remembers when the last renewals were sent.
type sentLog [64]struct {
	seq uint64
	at  boottime.Time
}

// holder is a node's side, pure: every method takes the time and appends verdicts to out. Its owner serialises the calls.
type holder struct {
	node       string
	life       uint64
	ttl, renew time.Duration

	own   []*own          // by instance, sorted: what a full frame carries
	seq   uint64          // of the last renewal
	gen   uint64          // of own; each change makes a new one
	told  uint64          // gen that the leader on this stream knows; 0: none
	heard uint64          // seq of the newest renewal that was answered on this stream; 0: none
	sent  sentLog         // when renewals were sent
	due   boottime.Time   // of the next renewal
	last  boottime.Time   // when the last renewal was sent
	good  boottime.Time   // when the newest answered renewal was sent, or Run began
	at    map[string]*own // own by instance

	pending *view // came, not yet covered by an answer
	view    *view // confirmed by an answer; of this stream if fresh
	fresh   bool

	quorum VerdictKind // what was told last: 0, NoQuorum, Quorum
	voters int
	out    []Verdict
}

func newHolder(node string, life uint64, ttl, renew time.Duration, now boottime.Time) *holder {
	return &holder{node: node, life: life, ttl: ttl, renew: renew, gen: 1, good: now, due: now, at: make(map[string]*own)}
}

func (h *holder) tell(v Verdict) { h.out = append(h.out, v) }

// burst is the least time between two renewals that changes call for: many instances that change at once share one.
const burst = 2 * time.Millisecond

// inStep is how near to the step a renewal is left where it is: a timer is not set anew for less.
const inStep = time.Millisecond

// changed makes the next renewal a full one, and due at once.
func (h *holder) changed(now boottime.Time) {
	h.gen++
	h.due = min(h.due, max(now, h.last.Add(burst)))
}

func (h *holder) stand(instance string, c Candidacy, now boottime.Time) error {
	o := h.at[instance]
	if o == nil {
		if len(h.own) >= maxCandidacies || instance == "" || len(instance) > maxName {
			return ErrTooMany
		}
		o = &own{standing: standing{instance: instance}}
		h.at[instance] = o
		i, _ := slices.BinarySearchFunc(h.own, instance, func(o *own, s string) int { return compare(o.instance, s) })
		h.own = slices.Insert(h.own, i, o)
	} else if o.Candidacy == c && !o.withdrawn {
		return nil
	}
	fresh := !o.told
	o.Candidacy, o.withdrawn = c, false
	h.changed(now)
	if fresh {
		h.tellElsewhere(o)
	}
	return nil
}

func (h *holder) withdraw(instance string, now boottime.Time) {
	o := h.at[instance]
	if o == nil || o.withdrawn {
		return
	}
	o.released = max(o.released, o.held, o.lost)
	o.held, o.withdrawn, o.told, o.Candidacy = 0, true, false, Candidacy{}
	if h.view != nil {
		h.settle(o)
	}
	h.changed(now)
}

// release gives an epoch back that this node holds or held.
func (h *holder) release(instance string, epoch uint64, now boottime.Time) {
	o := h.at[instance]
	if o == nil || epoch == 0 || epoch <= o.released || epoch > max(o.held, o.lost) {
		return
	}
	o.released = epoch
	if o.held == epoch {
		o.held = 0
	}
	if o.held == 0 {
		o.Holding = false // by the caller's word; waiting for the next Stand would only cost time
	}
	h.changed(now)
}

// connected begins a stream: the first frames are hello and a full renewal.
func (h *holder) connected(now boottime.Time) {
	h.told, h.heard, h.pending, h.fresh, h.due = 0, 0, nil, false, now
}

// resend makes the next renewal a full one.
func (h *holder) resend(now boottime.Time) { h.told, h.due = 0, now }

// renewal appends the frame of a renewal that is sent now. term is this node's Raft term, read after the clock: the frame
// is its word to the leader that at some time since now it had promised its vote to no later one.
func (h *holder) renewal(b []byte, now boottime.Time, term uint64) []byte {
	h.seq++
	slot := &h.sent[h.seq%uint64(len(h.sent))]
	slot.seq, slot.at = h.seq, now
	h.last, h.due = now, now.Add(h.period())
	if h.told == h.gen {
		return appendRenew(b, h.seq, h.gen, term, h.heard)
	}
	h.told = h.gen
	return appendFull(b, h.seq, h.gen, term, h.own)
}

// period is the time between two renewals. A node that holds nothing says half as often that it is there: nothing runs out
// but its own knowledge of the quorum, and the leader takes it for present as long (live).
func (h *holder) period() time.Duration {
	if h.quorum != Quorum {
		return h.renew
	}
	for _, o := range h.own {
		if o.held != 0 || o.Holding {
			return h.renew
		}
	}
	return max(h.renew, min(2*h.renew, h.ttl*2/5))
}

// viewed keeps a view until an answer confirms it: a leader that no majority follows tells no news.
func (h *holder) viewed(v *view) { h.pending = v }

// answered takes the leader's answer to the renewal of that number, given under the view gen; late is how much later than
// the leader would have liked.
func (h *holder) answered(seq, gen uint64, late time.Duration, now boottime.Time) {
	h.expire(now)
	slot := h.sent[seq%uint64(len(h.sent))]
	if seq == 0 || slot.seq != seq {
		return
	}
	h.heard = max(h.heard, seq)
	if h.pending != nil && h.pending.gen == gen {
		h.view, h.pending, h.fresh = h.pending, nil, true
		defer h.news(now)
	} else if !h.fresh || h.view.gen != gen {
		return // an answer under a view that this stream has not shown
	}
	h.good = max(h.good, slot.at)
	if h.quorum != Quorum && now.Before(h.good.Add(h.ttl)) {
		h.quorum = Quorum
		h.tell(Verdict{Kind: Quorum})
	}
	h.extend(slot.at, now)
	if seq == h.seq && h.told == h.gen && h.due.After(now) {
		// Renewing a period after the answer, not after the last renewal, and the sooner the later it was, brings all nodes
		// into step: the leader wakes once for all, and confirms them in one round.
		period, slack := h.period(), h.renew/4
		due := min(now.Add(period-min(max(late, -slack), slack)), h.last.Add(period+slack))
		if d := due.Sub(h.due); d < -inStep || d > inStep {
			h.due = due
		}
	}
}

// extend counts the leases that the view gives to this life from the moment the renewal was sent.
func (h *holder) extend(sent, now boottime.Time) {
	for i := range h.view.leases {
		l := &h.view.leases[i]
		if l.Holder != h.node || l.Life != h.life || l.stopped {
			continue
		}
		o := h.at[l.Instance]
		expiry := sent.Add(l.TTL)
		if o == nil || o.withdrawn || l.Epoch <= o.dead() || l.Epoch < o.held || !now.Before(expiry) {
			continue
		}
		switch {
		case l.Epoch != o.held:
			h.lose(o, now)
			o.held, o.expiry, o.asked = l.Epoch, expiry, false
			o.told, o.toldNode, o.toldEpoch, o.toldLife = true, l.Holder, l.Epoch, l.Life
			h.changed(now) // the renewal that was answered may be old
			h.tell(Verdict{Instance: o.instance, Kind: Granted, Epoch: o.held, Expiry: expiry})
		case expiry.After(o.expiry):
			o.expiry = expiry
			h.tell(Verdict{Instance: o.instance, Kind: Extended, Epoch: o.held, Expiry: expiry})
		}
	}
}

// news compares a confirmed view with what this node believes.
func (h *holder) news(now boottime.Time) {
	for _, o := range slices.Clone(h.own) {
		l := h.view.find(o.instance)
		mine := l != nil && l.Holder == h.node && l.Life == h.life
		if o.held != 0 && l != nil && (l.Epoch > o.held || l.Epoch == o.held && !mine) {
			h.lose(o, now)
		}
		if o.held != 0 && mine && l.Epoch == o.held {
			if l.yield && !o.asked {
				h.tell(Verdict{Instance: o.instance, Kind: Yield, Epoch: o.held})
			}
			o.asked = l.yield
		}
		if o.withdrawn {
			h.settle(o)
			continue
		}
		h.tellElsewhere(o)
	}
}

// tellElsewhere tells who holds the instance, if it is not this node and was not told before.
func (h *holder) tellElsewhere(o *own) {
	if h.view == nil || h.quorum != Quorum || o.withdrawn {
		return
	}
	var r Record
	if l := h.view.find(o.instance); l != nil {
		r = l.Record
	}
	if r.Holder == h.node && r.Life == h.life {
		return
	}
	if o.told && o.toldNode == r.Holder && o.toldEpoch == r.Epoch && o.toldLife == r.Life {
		return
	}
	o.told, o.toldNode, o.toldEpoch, o.toldLife = true, r.Holder, r.Epoch, r.Life
	h.tell(Verdict{Instance: o.instance, Kind: Elsewhere, Epoch: r.Epoch, Holder: r.Holder})
}

// settle forgets a withdrawn instance once nothing has to be given back any more.
func (h *holder) settle(o *own) {
	if l := h.view.find(o.instance); l != nil && l.Holder == h.node && l.Life == h.life && l.Epoch <= o.released {
		return
	}
	delete(h.at, o.instance)
	h.own = slices.DeleteFunc(h.own, func(x *own) bool { return x == o })
	h.gen++
}

func (h *holder) lose(o *own, now boottime.Time) {
	if o.held == 0 {
		return
	}
	o.lost = max(o.lost, o.held)
	h.tell(Verdict{Instance: o.instance, Kind: Lost, Epoch: o.held})
	o.held = 0
	h.changed(now)
}

// expire tells what has run out: leases first, then the quorum.
func (h *holder) expire(now boottime.Time) {
	for _, o := range h.own {
		if o.held != 0 && !now.Before(o.expiry) {
			h.lose(o, now)
		}
	}
	if h.quorum != NoQuorum && !now.Before(h.good.Add(h.ttl)) {
		h.quorum = NoQuorum
		h.tell(Verdict{Kind: NoQuorum, Voters: h.voters})
	}
}

// deadline is when expire has something to do.
func (h *holder) deadline() boottime.Time {
	next := boottime.Time(1<<63 - 1)
	if h.quorum != NoQuorum {
		next = h.good.Add(h.ttl)
	}
	for _, o := range h.own {
		if o.held != 0 {
			next = min(next, o.expiry)
		}
	}
	return next
}

func (v *view) find(instance string) *viewLease {
	i, ok := slices.BinarySearchFunc(v.leases, instance, func(l viewLease, s string) int { return compare(l.Instance, s) })
	if !ok {
		return nil
	}
	return &v.leases[i]
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
