package lease

import (
	"cmp"
	"slices"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// holdingGrace bounds how long a node that says it has the addresses on, without a lease, keeps others from getting them:
// the kernel's own lifetime of an address.
const holdingGrace = 2 * time.Second

const (
	// proposeAgain is the pause after a proposal of unknown outcome.
	proposeAgain = 20 * time.Millisecond
	// transferAfter is how long leader and holder are one before the leadership moves, transferEvery the least time
	// between two attempts.
	transferAfter = time.Second
	transferEvery = 15 * time.Second
	// forgetAfter is how long a node whose stream ended is remembered.
	forgetAfter = 10 * time.Second
)

// actionKind says what the driver has to do. The zero kind is invalid.
type actionKind int

const (
	actAsk      actionKind = iota + 1 // send ask(round, term) on the stream
	actView                           // send the keeper's view on the stream
	actAnswer                         // send answer(seq, gen, late) on the stream
	actResend                         // send resend on the stream
	actPropose                        // commit the moves, then call proposed
	actTransfer                       // move the leadership to
	actContact                        // tell Raft that this node and the voter to have heard each other
)

type action struct {
	kind   actionKind
	stream uint64
	x, y   uint64
	late   time.Duration // actAnswer
	to     string
	moves  []Move
}

// member is a node as the leader knows it.
type member struct {
	hello
	stream  uint64 // 0: not connected
	round   uint64 // the newest it was asked
	left    boottime.Time
	arrived boottime.Time // of the newest renewal

	// A renewal goes from waiting to asked when a round begins after it came, and to answered when a majority's words are
	// there; at once, if its own and the leader's are a majority.
	waiting, asked, answered renewalAt

	alone   bool   // its newest renewal needed no round
	gone    bool   // its guard said that this life's agent is dead
	gen     uint64 // of its candidacies
	stands  bool   // a full has come on this stream
	cands   map[string]*candidate
	viewGen uint64 // newest view sent on this stream
}

type renewalAt struct {
	seq  uint64
	term uint64        // the sender's, read after the renewal's moment
	at   boottime.Time // arrival
}

// candidate is a node's candidacy as the leader follows it.
type candidate struct {
	standing
	better  boottime.Time // since when it has been better than the holder; 0: it is not
	holding boottime.Time // since when it says, without a break, that it has the addresses on
}

// tenure is a lease as the leader follows it.
type tenure struct {
	Record
	answered boottime.Time // arrival of the newest renewal that was answered for its holder, at least the election
	stopped  bool          // no longer extended in this epoch; never taken back
	free     bool          // the holder is known to have let go
	off      bool          // its guard took the addresses off, the agent may live
	left     bool          // the holder gave it back unasked
	moving   bool          // a proposal for it was made whose outcome is not known
	yield    bool          // the holder is asked to hand over
}

// keeper is the leader's side for one term, pure: every method takes the time and appends actions. Its owner serialises
// the calls. A term has one keeper at most: what it has proposed no other may forget.
type keeper struct {
	self               string // ID
	ttl, renew, margin time.Duration
	term               uint64
	elected            boottime.Time
	voters             []string
	own                bool // this node's term was still the keeper's when said was called last

	members map[string]*member // by ID
	streams map[uint64]*member
	all     []*member // members by ID: one order for all that is done
	here    []*member // those with a stream
	pick    []*member // scratch of question
	leases  map[string]*tenure
	order   []string        // instances, sorted
	words   map[string]Word // newest by instance

	round     round
	urgent    bool // begin a round without waiting for the others' renewals
	proposing bool
	again     boottime.Time // not before: next proposal

	leaseDue boottime.Time // when time alone changes something about a lease
	gen      uint64
	view     *view
	stale    bool // the view has to be made anew
	push     bool // and sent at once
	both     boottime.Time
	transfer boottime.Time // last attempt

	acts []action
}

func newKeeper(self string, ttl, renew, margin time.Duration, l Leadership, firstRound uint64, records []Record, words map[string]Word, now boottime.Time) *keeper {
	k := &keeper{
		self: self, ttl: ttl, renew: renew, margin: margin,
		term: l.Term, elected: l.Elected, voters: l.Voters,
		members: make(map[string]*member), streams: make(map[uint64]*member), leases: make(map[string]*tenure),
		words: make(map[string]Word), round: round{n: firstRound, yes: make(map[string]bool)}, stale: true,
	}
	if k.elected == 0 || k.elected.After(now) {
		k.elected = now // later than it was is safe, earlier is not
	}
	for _, r := range records {
		k.adopt(r, k.elected)
	}
	for _, w := range words {
		k.word(w, now)
	}
	return k
}

// adopt takes what the log says of a lease.
func (k *keeper) adopt(r Record, answered boottime.Time) *tenure {
	t := k.leases[r.Instance]
	if t == nil {
		t = &tenure{}
		k.leases[r.Instance] = t
		i, _ := slices.BinarySearch(k.order, r.Instance)
		k.order = slices.Insert(k.order, i, r.Instance)
	}
	*t = tenure{Record: r, answered: answered, stopped: r.Holder == ""}
	k.stale = true
	return t
}

// join begins a stream. A node's newer stream replaces its older one; another life forgets the former.
func (k *keeper) join(stream uint64, h hello, now boottime.Time) {
	m := k.members[h.peer.ID]
	if m == nil || m.life != h.life {
		if m != nil {
			delete(k.streams, m.stream)
		} else if len(k.members) >= maxMembers {
			return
		}
		m = &member{}
		k.members[h.peer.ID] = m
	}
	delete(k.streams, m.stream)
	*m = member{hello: h, stream: stream, arrived: m.arrived, cands: m.cands, gone: m.gone}
	if m.cands == nil {
		m.cands = make(map[string]*candidate)
	}
	k.streams[stream] = m
	k.list()
	k.stale, k.urgent, k.round.open = true, true, false // a round under way has not asked it: begin anew
	k.ask(now)
}

// leave ends a stream. That alone says nothing about what its node holds; it only can't be chosen.
func (k *keeper) leave(stream uint64, now boottime.Time) {
	m := k.streams[stream]
	if m == nil {
		return
	}
	delete(k.streams, stream)
	defer k.advance(now)
	defer k.list()
	m.stream, m.left, m.stands = 0, now, false
	m.waiting, m.asked, m.answered = renewalAt{}, renewalAt{}, renewalAt{}
	k.stale = true
}

// list brings the members into order.
func (k *keeper) list() {
	k.all, k.here = k.all[:0], k.here[:0]
	for _, m := range k.members {
		k.all = append(k.all, m)
	}
	slices.SortFunc(k.all, func(a, b *member) int { return cmp.Compare(a.peer.ID, b.peer.ID) })
	for _, m := range k.all {
		if m.stream != 0 {
			k.here = append(k.here, m)
		}
	}
}

// renewed takes a renewal. heard is the newest that its sender knows to have been answered.
func (k *keeper) renewed(stream, seq, gen, term, heard uint64, now boottime.Time) {
	m := k.streams[stream]
	if m == nil {
		return
	}
	if k.own && term == k.term && heard != 0 && heard == m.answered.seq && m.peer.ID != k.self {
		k.acts = append(k.acts, action{kind: actContact, to: m.peer.ID})
	}
	if !m.stands || gen != m.gen {
		k.acts = append(k.acts, action{kind: actResend, stream: stream})
		return
	}
	back := !k.live(m, now)
	m.waiting, m.arrived = renewalAt{seq, term, now}, now
	if back {
		k.advance(now)
		return
	}
	k.ask(now)
}

// full takes a renewal that carries all candidacies.
func (k *keeper) full(stream, seq, gen, term uint64, all []standing, now boottime.Time) {
	m := k.streams[stream]
	if m == nil {
		return
	}
	m.waiting, m.arrived, m.gen, m.stands = renewalAt{seq, term, now}, now, gen, true
	old := m.cands
	m.cands = make(map[string]*candidate, len(all))
	for _, s := range all {
		c := &candidate{standing: s}
		if was := old[s.instance]; was != nil {
			c.better, c.holding = was.better, was.holding
		}
		if !s.Holding {
			c.holding = 0
		} else if c.holding == 0 {
			c.holding = now
		}
		m.cands[s.instance] = c
		if k.leases[s.instance] == nil && len(k.leases) < maxRecords {
			k.adopt(Record{Instance: s.instance}, 0)
		}
	}
	k.gaveUp(m)
	k.stale, k.urgent = true, true
	k.advance(now)
}

// gaveUp looks which of the member's leases its candidacies say are over.
func (k *keeper) gaveUp(m *member) {
	for _, t := range k.leases {
		if t.Holder != m.peer.Name || t.Life != m.life || t.Epoch == 0 {
			continue
		}
		c := m.cands[t.Instance]
		if c != nil && c.dead() < t.Epoch {
			continue
		}
		// Without a candidacy the life has withdrawn, or never knew that it was given the lease: then nothing of it is on,
		// but only its word or the time says so.
		k.stop(t)
		if c != nil && c.released >= t.Epoch && !t.free {
			t.free, t.left = true, c.lost < t.Epoch && !t.yield && c.Priority > 0
			k.push = true
		}
	}
}

func (k *keeper) stop(t *tenure) {
	if !t.stopped {
		t.stopped, k.stale, k.push = true, true, true
	}
}

// word takes a guard's word, or what is known of one.
func (k *keeper) word(w Word, now boottime.Time) {
	if old, ok := k.words[w.Instance]; ok && (old.Epoch > w.Epoch || old.Epoch == w.Epoch && old.AgentDied) {
		return
	}
	if _, ok := k.words[w.Instance]; !ok && len(k.words) >= maxRecords {
		return
	}
	k.words[w.Instance] = w
	t := k.leases[w.Instance]
	if t == nil || t.Holder == "" || t.Holder != w.Node || t.Epoch != w.Epoch {
		return
	}
	k.stop(t)
	if !w.AgentDied {
		t.off = true // the agent may still believe in it for as long as it counts: the margin alone is saved
		return
	}
	t.free = true
	for _, m := range k.all {
		if m.peer.Name == t.Holder && m.life == t.Life {
			m.gone = true // its stream may look alive for a moment longer
		}
	}
}

// heard takes a guard's word while this node leads.
func (k *keeper) heard(w Word, now boottime.Time) {
	k.word(w, now)
	k.advance(now)
}

// proposed takes the outcome of the proposal under way: how the leases stand, or an error, which leaves it open.
func (k *keeper) proposed(records []Record, err error, now boottime.Time) {
	k.proposing = false
	if err != nil {
		k.again = now.Add(proposeAgain)
		k.advance(now)
		return
	}
	for _, r := range records {
		k.adopt(r, now)
		for _, m := range k.all {
			if c := m.cands[r.Instance]; c != nil {
				c.better = 0
			}
		}
	}
	for _, m := range k.all {
		k.gaveUp(m)
	}
	k.push = true
	k.advance(now)
}

// tick lets time pass.
func (k *keeper) tick(now boottime.Time) {
	for id, m := range k.members {
		if m.stream == 0 && now.Sub(m.left) > forgetAfter {
			delete(k.members, id)
			k.list()
			k.stale = true
		}
	}
	k.advance(now)
}

// reconfigured takes the voters as they are now.
func (k *keeper) reconfigured(voters []string) { k.voters = voters }

// advance does what can be done now.
func (k *keeper) advance(now boottime.Time) {
	k.yields(now)
	k.move(now)
	k.lead(now)
	if k.stale && k.push {
		k.push = false
		k.renewView()
		for _, m := range k.here {
			if m.answered.seq != 0 && now.Sub(m.answered.at) < k.ttl {
				k.answer(m, now)
			}
		}
	}
	k.ask(now)
	k.leaseDue = k.nextLease(now)
}

// deadline is when tick has something to do, if nothing comes before.
func (k *keeper) deadline() boottime.Time {
	next := k.leaseDue
	if k.round.open {
		return min(next, k.round.begun.Add(k.patience()))
	}
	for _, m := range k.here {
		if m.waiting.seq != 0 {
			next = min(next, k.gathered(m))
		}
	}
	return next
}

// nextLease is when time alone changes something about a lease, a TTL from now at most.
func (k *keeper) nextLease(now boottime.Time) boottime.Time {
	next := now.Add(k.ttl)
	soon := func(t boottime.Time) {
		if t.After(now) {
			next = min(next, t)
		}
	}
	soon(k.again)
	soon(k.elected.Add(k.margin))
	soon(k.elected.Add(k.ttl + k.margin))
	for _, t := range k.leases {
		soon(k.movableAt(t))
		if t.yield || t.Holder == "" {
			continue
		}
		for _, m := range k.all {
			if c := m.cands[t.Instance]; c != nil && c.better != 0 {
				soon(c.better.Add(c.PreemptDelay))
			}
		}
	}
	return next
}

func (k *keeper) renewView() {
	k.stale = false
	k.gen++
	v := &view{gen: k.gen, leases: make([]viewLease, 0, len(k.order))}
	for _, name := range k.order {
		t := k.leases[name]
		l := viewLease{Record: t.Record, stopped: t.stopped, yield: t.yield && !t.stopped}
		for _, m := range k.ranked(name, t.Holder) {
			l.candidates = append(l.candidates, CandidateStatus{Node: m.peer.Name, Candidacy: m.cands[name].Candidacy})
		}
		v.leases = append(v.leases, l)
	}
	k.view = v
}

// ranked returns the connected nodes that stand for the instance, the best first: effective priority, then the holder, then the
// higher address, then the higher name.
func (k *keeper) ranked(instance, holder string) []*member {
	var out []*member
	for _, m := range k.all {
		if m.stream != 0 && m.stands && m.cands[instance] != nil {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b *member) int {
		return cmp.Or(
			cmp.Compare(b.cands[instance].Priority, a.cands[instance].Priority),
			compareBool(b.peer.Name == holder, a.peer.Name == holder),
			b.address.Compare(a.address),
			cmp.Compare(b.peer.Name, a.peer.Name))
	})
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
