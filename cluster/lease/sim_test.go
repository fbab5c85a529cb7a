package lease

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// The simulation runs the real State, Keeper and Holder on nodes whose clocks differ in phase and rate, over streams that are
// slow, stall and break, with an abstract Raft, with processes that freeze, die and come back, and with guards.

const simMS = int64(time.Millisecond)

type simEntry struct {
	term uint64
	cmd  []byte
}

// simAddr is what the kernel of a node has for an instance, and what its guard was told.
type simAddr struct {
	on     bool
	epoch  uint64
	expiry boottime.Time
}

type simLink struct {
	id       uint64
	from, to *simNode
	fromLife uint64 // ends with either process
	toLife   uint64
	open     bool
	hello    hello
	met      bool  // the leader's side has read the hello
	heard    int64 // when the node last heard of the leader
	lastUp   int64 // delivery of the newest message each way: a stream keeps the order
	lastDown int64
}

type simNode struct {
	w        *world
	i        int
	id, name string
	offset   int64
	rate     float64
	up       bool
	frozen   bool
	life     uint64
	backlog  []func() // what came while frozen

	h      *holder
	link   *simLink
	hint   *simNode // who it believes leads
	redial int64
	k      *keeper
	rounds uint64
	words  map[string]Word
	addr   map[string]*simAddr

	// Raft
	term    uint64
	log     []simEntry
	commit  int
	leads   bool
	leading bool
	elected boottime.Time
	contact int64 // last word from a leader
	acks    map[*simNode]int64
	applied int
	deaf    bool // its Raft hears nobody and, should it lead, does not notice; its lease streams work
	hinted  bool
	state   State
}

type world struct {
	t       *rapid.T
	rnd     *rand.Rand
	now     int64
	seq     int
	events  simHeap
	nodes   []*simNode
	cut     map[[2]int]bool
	links   uint64
	lives   uint64
	names   []string
	granted map[string]map[uint64]string // instance -> epoch -> who
	highest map[string]uint64
	calm    bool
	grants  int
	fault   string
}

const simTTL, simRenew, simMargin = 250 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond

func newWorld(t *rapid.T, seed uint64, nodes, instances int) *world {
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), cut: map[[2]int]bool{}, granted: map[string]map[uint64]string{}, highest: map[string]uint64{}}
	for i := range instances {
		w.names = append(w.names, fmt.Sprintf("VI_%d", i+1))
	}
	for i := range nodes {
		n := &simNode{
			w: w, i: i, id: fmt.Sprintf("id%d", i), name: fmt.Sprintf("lb%d", i+1),
			offset: w.rnd.Int64N(int64(time.Hour)) + int64(time.Hour), rate: 1 + (w.rnd.Float64()-0.5)*0.04,
		}
		w.nodes = append(w.nodes, n)
	}
	for _, n := range w.nodes {
		n.start()
	}
	return w
}

func (w *world) after(d int64, run func()) {
	w.seq++
	heap.Push(&w.events, simEvent{w.now + max(d, 0), w.seq, run})
}

// run lets the world go on for d.
func (w *world) run(d int64) {
	end := w.now + d
	for len(w.events) > 0 && w.events[0].at <= end && w.fault == "" {
		e := heap.Pop(&w.events).(simEvent)
		w.now = e.at
		e.run()
	}
	w.now = end
	if w.fault != "" {
		w.t.Fatal(w.fault)
	}
}

func (w *world) fail(format string, a ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf("%.3f ms: ", float64(w.now)/float64(simMS)) + fmt.Sprintf(format, a...)
	}
}

// ms returns a random duration up to n ms, now and then ten times as long.
func (w *world) ms(n int64) int64 {
	d := w.rnd.Int64N(n*simMS + 1)
	if !w.calm && w.rnd.IntN(40) == 0 {
		d *= 10
	}
	return d
}

func (n *simNode) clock() boottime.Time {
	return boottime.Time(n.offset + int64(float64(n.w.now)*n.rate))
}

// world time of a reading of this node's clock, a little late.
func (n *simNode) when(t boottime.Time) int64 {
	return int64(float64(int64(t)-n.offset)/n.rate) + 1000
}

// do runs f in the process: now, or when it thaws; never in another life.
func (n *simNode) do(f func()) {
	life := n.life
	g := func() {
		if n.up && n.life == life {
			f()
		}
	}
	if n.frozen {
		n.backlog = append(n.backlog, g)
		return
	}
	g()
}

func (w *world) reach(a, b *simNode) bool {
	return !w.cut[[2]int{a.i, b.i}] && !w.cut[[2]int{b.i, a.i}]
}

// --- processes

func (n *simNode) start() {
	n.w.lives++
	n.up, n.frozen, n.life, n.backlog = true, false, n.w.lives, nil
	n.h = newHolder(n.name, n.life, simTTL, simRenew, n.clock())
	n.words, n.addr, n.link, n.hint = map[string]Word{}, map[string]*simAddr{}, nil, nil
	n.leads, n.leading, n.k, n.contact, n.deaf = false, false, nil, n.w.now, false
	for _, name := range n.w.names {
		n.addr[name] = &simAddr{}
		n.h.stand(name, n.candidacy(), n.clock())
	}
	n.every(5, n.raftTick)
	n.every(1, n.agentTick)
}

func (n *simNode) candidacy() Candidacy {
	return Candidacy{
		Priority: 50 + 10*n.w.rnd.IntN(12), NoPreempt: n.w.rnd.IntN(4) == 0, Ready: n.w.calm || n.w.rnd.IntN(8) != 0,
		PreemptDelay: time.Duration(n.w.rnd.IntN(3)) * 40 * time.Millisecond,
	}
}

func (n *simNode) every(ms int64, f func()) {
	life := n.life
	var again func()
	again = func() {
		if !n.up || n.life != life {
			return
		}
		if !n.frozen {
			f()
		}
		n.w.after(ms*simMS, again)
	}
	n.w.after(n.w.rnd.Int64N(ms*simMS), again)
}

// kill ends the process. The guard takes the addresses off and says so, if it reaches anybody.
func (n *simNode) kill() {
	if !n.up {
		return
	}
	n.up, n.leads, n.k = false, false, nil
	var words []Word
	for _, name := range n.w.names {
		a := n.addr[name]
		if a.on && n.clock().Before(a.expiry) {
			words = append(words, Word{Node: n.name, Instance: name, Epoch: a.epoch, AgentDied: true})
		}
		a.on = false
	}
	n.guardSays(words)
	if n.link != nil {
		n.w.breakLink(n.link)
	}
}

func (n *simNode) guardSays(words []Word) {
	for _, to := range n.w.nodes {
		if len(words) == 0 || to == n || !n.w.reach(n, to) || n.w.rnd.IntN(5) == 0 {
			continue
		}
		n.w.after(n.w.ms(10), func() {
			if to.up {
				to.do(func() { to.hear(words) })
			}
		})
	}
}

func (n *simNode) hear(words []Word) {
	news := false
	for _, wd := range words {
		if old, ok := n.words[wd.Instance]; !ok || old.Epoch < wd.Epoch || old.Epoch == wd.Epoch && wd.AgentDied && !old.AgentDied {
			n.words[wd.Instance], news = wd, true
		}
		if n.k != nil {
			n.k.heard(wd, n.clock())
			n.act()
		}
	}
	if n.k == nil && n.hint != nil && news && n.hint.name == words[0].Node && words[0].AgentDied && n.w.rnd.IntN(2) == 0 {
		n.stand()
	} else if n.k == nil && n.link != nil && n.link.to != n && news {
		n.send(n.link, func(l *simNode) { l.hear(words) })
	}
}

func (n *simNode) thaw() {
	if !n.frozen {
		return
	}
	n.frozen = false
	b := n.backlog
	n.backlog = nil
	// Which goroutine gets to run first is anybody's guess, but a stream's messages keep their order.
	for _, f := range b {
		f()
		if n.w.rnd.IntN(4) == 0 {
			n.agentTick()
		}
		if n.w.rnd.IntN(8) == 0 {
			n.raftTick()
		}
	}
}

// --- the agent: client, speaker, guard's pets

func (n *simNode) agentTick() {
	now := n.clock()
	if l := n.link; l != nil && n.w.now-l.heard > 2*int64(simTTL) {
		n.w.breakLink(l)
	}
	if l := n.link; l != nil && !l.open {
		n.link = nil
	}
	if n.hint != nil && (n.link == nil || n.link.to != n.hint) && n.w.now >= n.redial {
		n.dial(n.hint)
	}
	if !now.Before(n.h.deadline()) {
		n.h.expire(now)
	}
	if n.link != nil && !now.Before(n.h.due) {
		n.renew()
	}
	n.speak()
	if n.k != nil && !now.Before(n.k.deadline()) {
		n.k.said(n.term)
		n.k.tick(now)
		n.act()
	}
}

func (n *simNode) dial(to *simNode) {
	n.redial = n.w.now + 20*simMS
	if n.link != nil {
		n.w.breakLink(n.link)
		n.link = nil
	}
	if !to.up || !n.w.reach(n, to) {
		return
	}
	n.w.links++
	l := &simLink{id: n.w.links, from: n, to: to, fromLife: n.life, toLife: to.life, open: true, heard: n.w.now}
	n.link = l
	l.hello = hello{peer: Peer{n.id, n.name}, life: n.life, address: netip.AddrFrom4([4]byte{10, 0, 0, byte(n.i)})}
	n.send(l, func(s *simNode) {
		l.met = true
		if s.k != nil {
			s.k.join(l.id, l.hello, s.clock())
			s.act()
		}
	})
	n.h.connected(n.clock())
	n.renew()
}

func (n *simNode) renew() {
	l := n.link
	frame := n.h.renewal(nil, n.clock(), n.term)
	kind, body := frame[3], frame[4:]
	n.send(l, func(s *simNode) {
		if s.k == nil {
			return
		}
		if kind == frameRenew {
			seq, gen, term, heard, err := decodeRenew(body)
			n.w.must(err)
			s.k.said(s.term)
			s.k.renewed(l.id, seq, gen, term, heard, s.clock())
		} else {
			seq, gen, term, all, err := decodeFull(body)
			n.w.must(err)
			s.k.said(s.term)
			s.k.full(l.id, seq, gen, term, all, s.clock())
		}
		s.act()
	})
}

func (w *world) must(err error) {
	if err != nil {
		w.fail("%v", err)
	}
}

// speak acts on verdicts as the speaker does, looking at the clock again.
func (n *simNode) speak() {
	out := slices.Clone(n.h.out)
	n.h.out = n.h.out[:0]
	for _, v := range out {
		a := n.addr[v.Instance]
		switch v.Kind {
		case Granted:
			n.w.grants++
			n.w.noteGrant(n, v)
			if n.clock().Before(v.Expiry) {
				a.on, a.epoch, a.expiry = true, v.Epoch, v.Expiry
				n.w.guardAt(n, v.Instance)
				n.w.check(v.Instance)
			}
		case Extended:
			if a.on && a.epoch == v.Epoch && n.clock().Before(a.expiry) {
				a.expiry = v.Expiry
				n.w.guardAt(n, v.Instance)
				n.w.check(v.Instance)
			}
		case Lost:
			a.on = false
			if n.w.rnd.IntN(2) == 0 {
				n.h.release(v.Instance, v.Epoch, n.clock())
			}
		case Yield:
			n.w.after(n.w.ms(20), func() { n.do(func() { n.giveBack(v.Instance, v.Epoch) }) })
		}
	}
}

func (n *simNode) giveBack(name string, epoch uint64) {
	if a := n.addr[name]; a.on && a.epoch == epoch {
		a.on = false
		n.h.release(name, epoch, n.clock())
	}
}

// guardAt lets the guard look when the lease it was told of runs out.
func (w *world) guardAt(n *simNode, name string) {
	a, life := n.addr[name], n.life
	epoch, expiry := a.epoch, a.expiry
	w.after(n.when(expiry)-w.now, func() {
		if n.life == life && n.up && a.on && a.epoch == epoch && a.expiry == expiry {
			a.on = false
			n.guardSays([]Word{{Node: n.name, Instance: name, Epoch: epoch}})
		}
	})
}

func (w *world) noteGrant(n *simNode, v Verdict) {
	who := fmt.Sprintf("%s/%d", n.name, n.life)
	if w.granted[v.Instance] == nil {
		w.granted[v.Instance] = map[uint64]string{}
	}
	if was := w.granted[v.Instance][v.Epoch]; was != "" {
		w.fail("%s epoch %d granted to %s, before to %s", v.Instance, v.Epoch, who, was)
	}
	w.granted[v.Instance][v.Epoch] = who
	if v.Epoch <= w.highest[v.Instance] {
		w.fail("%s epoch %d granted to %s after %d", v.Instance, v.Epoch, who, w.highest[v.Instance])
	}
	w.highest[v.Instance] = v.Epoch
}

// check is the invariant: at no instant two nodes have the address on.
func (w *world) check(name string) {
	var owners []string
	for _, n := range w.nodes {
		if a := n.addr[name]; a.on && n.clock().Before(a.expiry) {
			owners = append(owners, fmt.Sprintf("%s epoch %d for %v more", n.name, a.epoch, a.expiry.Sub(n.clock())))
		}
	}
	if len(owners) > 1 {
		w.fail("%s has two owners: %v", name, owners)
	}
}

// --- streams

// send delivers f in the other process, in order, late, or never.
func (n *simNode) send(l *simLink, f func(*simNode)) {
	w := n.w
	to, last := l.to, &l.lastUp
	if n == l.to {
		to, last = l.from, &l.lastDown
	}
	at := max(w.now+w.ms(4)/2, *last)
	if l.from == l.to {
		at = max(w.now, *last)
	}
	*last = at
	var deliver func()
	deliver = func() {
		if !l.open || !l.from.up || !l.to.up || l.from.life != l.fromLife || l.to.life != l.toLife {
			return
		}
		if !w.reach(l.from, l.to) { // TCP sends it again
			w.after(5*simMS, deliver)
			return
		}
		to.do(func() {
			if l.open || w.rnd.IntN(2) == 0 { // what was received before the end may still be read
				f(to)
			}
		})
	}
	w.after(at-w.now, deliver)
}

func (w *world) breakLink(l *simLink) {
	if !l.open {
		return
	}
	l.open = false
	w.after(w.ms(5), func() {
		if l.to.up && l.to.life == l.toLife {
			l.to.do(func() {
				if l.to.k != nil {
					l.to.k.leave(l.id, l.to.clock())
					l.to.act()
				}
			})
		}
	})
}

// act does what the keeper wants.
func (n *simNode) act() {
	k := n.k
	for len(k.acts) > 0 {
		a := k.acts[0]
		k.acts = k.acts[1:]
		switch a.kind {
		case actPropose:
			n.propose(k, a.moves)
			continue
		case actTransfer:
			for _, to := range n.w.nodes {
				if to.id == a.to && to.up && !to.frozen && n.w.reach(n, to) {
					n.w.after(n.w.ms(3), func() { to.do(to.stand) })
				}
			}
			continue
		}
		m := k.streams[a.stream]
		if m == nil {
			continue
		}
		var l *simLink
		for _, x := range n.w.nodes {
			if x.link != nil && x.link.id == a.stream {
				l = x.link
			}
		}
		if l == nil || !l.open {
			continue
		}
		var vb []byte
		if a.kind == actView {
			vb = appendView(nil, k.view)[4:]
		}
		n.send(l, func(c *simNode) {
			if c.link != l {
				return
			}
			l.heard = c.w.now
			switch a.kind {
			case actAsk:
				term := c.term
				c.send(l, func(s *simNode) {
					if s.k != nil {
						s.k.said(s.term)
						s.k.confirm(l.id, a.x, term, s.clock())
						s.act()
					}
				})
			case actView:
				v, err := decodeView(vb)
				c.w.must(err)
				c.h.viewed(v)
			case actAnswer:
				c.h.answered(a.x, a.y, a.late, c.clock())
				c.speak()
			case actResend:
				c.h.resend(c.clock())
			}
		})
	}
}

// --- Raft

// dump tells where a world stands.
func (w *world) dump() (out string) {
	for _, n := range w.nodes {
		out += fmt.Sprintf("\n%s up=%v frozen=%v term=%d leads=%v leading=%v keeper=%v quorum=%v", n.name, n.up, n.frozen, n.term, n.leads, n.leading, n.k != nil, n.h.quorum)
		if n.hint != nil {
			out += " follows " + n.hint.name
		}
		if n.link != nil {
			out += fmt.Sprintf(" stream %d to %s open=%v, view fresh=%v", n.link.id, n.link.to.name, n.link.open, n.h.fresh)
		}
		for _, o := range n.h.own {
			out += fmt.Sprintf("\n   %s %+v withdrawn=%v", o.instance, o.standing, o.withdrawn)
		}
		if k := n.k; k != nil {
			out += fmt.Sprintf("\n   round %+v proposing=%v urgent=%v", k.round, k.proposing, k.urgent)
			for _, m := range k.all {
				out += fmt.Sprintf("\n   member %s stream=%d stands=%v gone=%v life=%d arrived %v ago, waiting %d asked %d answered %d", m.peer.Name, m.stream, m.stands, m.gone, m.life, n.clock().Sub(m.arrived), m.waiting.seq, m.asked.seq, m.answered.seq)
			}
			for _, t := range k.leases {
				out += fmt.Sprintf("\n   lease %+v", *t)
			}
		}
	}
	return out
}
