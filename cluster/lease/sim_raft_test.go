package lease

import (
	"fmt"
	"slices"
)

// The simulated nodes' Raft: elections, replication and proposals over the same links that renewals use.

func (n *simNode) quorum() int { return len(n.w.nodes)/2 + 1 }

func (n *simNode) raftTick() {
	w := n.w
	if n.leads {
		n.replicate()
		fresh := 0
		for _, o := range w.nodes {
			if o == n || w.now-n.acks[o] < 150*simMS {
				fresh++
			}
		}
		if n.leads && fresh < n.quorum() && !n.deaf {
			n.stepDown()
		}
		return
	}
	if w.now-n.contact > 200*simMS+w.rnd.Int64N(200*simMS) {
		n.stand()
	}
}

func (n *simNode) stepDown() { n.leads, n.leading, n.k = false, false, nil }

// stand asks for votes, at once.
func (n *simNode) stand() {
	if n.leads {
		return
	}
	n.term++
	n.contact = n.w.now
	votes := 1
	for _, o := range n.w.nodes {
		if o == n || !o.up || o.frozen || o.deaf || !n.w.reach(n, o) || o.term >= n.term {
			continue
		}
		o.term = n.term
		if o.leads {
			o.stepDown()
		}
		if !newer(o.log, n.log) {
			votes++
			o.contact = n.w.now
		}
	}
	if votes < n.quorum() {
		return
	}
	n.leads, n.leading, n.elected, n.acks = true, false, n.clock(), map[*simNode]int64{}
	for _, o := range n.w.nodes {
		n.acks[o] = n.w.now
	}
	n.log = append(slices.Clone(n.log), simEntry{term: n.term})
}

func newer(a, b []simEntry) bool {
	var ta, tb uint64
	if len(a) > 0 {
		ta = a[len(a)-1].term
	}
	if len(b) > 0 {
		tb = b[len(b)-1].term
	}
	return ta > tb || ta == tb && len(a) > len(b)
}

// replicate is a heartbeat with the whole log.
func (n *simNode) replicate() {
	have := 1
	for _, o := range n.w.nodes {
		if o == n || !o.up || o.frozen || o.deaf || n.deaf || !n.w.reach(n, o) || n.w.rnd.IntN(10) == 0 {
			continue
		}
		if o.term > n.term {
			n.term = o.term
			n.stepDown()
			return
		}
		o.term = n.term
		if o.leads {
			o.stepDown()
		}
		o.contact, n.acks[o] = n.w.now, n.w.now
		if o.hint != n && !o.hinted {
			o.hinted = true // the client learns of it a little later
			n.w.after(n.w.ms(30), func() { o.hint, o.hinted = n, false })
		}
		o.log = slices.Clone(n.log)
		have++
	}
	n.hint = n
	if have >= n.quorum() && n.log[len(n.log)-1].term == n.term {
		n.commit = len(n.log)
		n.apply()
	}
}

func (n *simNode) apply() {
	for ; n.applied < n.commit; n.applied++ {
		if e := n.log[n.applied]; e.cmd != nil {
			if _, err := n.state.Apply(e.cmd); err != nil {
				n.w.fail("apply: %v", err)
			}
		}
	}
	if n.leading {
		return
	}
	n.leading = true
	n.k = newKeeper(n.id, simTTL, simRenew, simMargin, Leadership{Term: n.term, Elected: n.elected, Voters: n.w.voters()}, n.rounds, n.state.Records(), n.words, n.clock())
	for _, o := range n.w.nodes {
		if l := o.link; l != nil && l.open && l.met && l.to == n && l.toLife == n.life {
			n.k.join(l.id, l.hello, n.clock())
			n.send(l, func(c *simNode) { c.h.resend(c.clock()) })
		}
	}
	n.k.said(n.term)
	n.k.tick(n.clock())
	n.act()
}

func (w *world) voters() (ids []string) {
	for _, n := range w.nodes {
		ids = append(ids, n.id)
	}
	return ids
}

// propose appends the entry and looks every few ms whether it is committed; sometimes it loses patience.
func (n *simNode) propose(k *keeper, moves []Move) {
	n.log = append(slices.Clone(n.log), simEntry{n.term, AppendCommand(nil, moves)})
	index, patience := len(n.log), 3+n.w.rnd.IntN(60)
	var look func()
	look = func() {
		n.do(func() {
			if n.k != k {
				return
			}
			if patience--; n.commit < index && patience > 0 {
				n.w.after(2*simMS, look)
				return
			}
			var err error
			var out []Record
			if n.commit < index {
				err = fmt.Errorf("not committed in time")
			}
			for _, m := range moves {
				r := n.state.records[m.Instance]
				r.Instance = m.Instance
				out = append(out, r)
			}
			if err != nil {
				out = nil
			}
			k.proposed(out, err, n.clock())
			n.act()
		})
	}
	n.w.after(n.w.ms(4), look)
}
