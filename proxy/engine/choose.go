package engine

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/balance"
)

// maxTurns bounds the table of a round robin; above it each loop keeps an order of its own.
const maxTurns = 1 << 16

type chooserPtr = atomic.Pointer[chooser]

// chooser is who may be picked, for one state of health and weights. It is immutable but for the pickers, and swapped as
// a whole: what loops share beside it are atomic counters. A round robin is written out as the order of one whole
// period, with the position shared by the loops: whichever loop a connection comes to, the order is HAProxy's.
type chooser struct {
	pool    []*serverConf // that may be picked: the active ones, or else backups; by id for `first`
	weight  []int         // scaled, by index of the server; 0: not in the pool
	before  []int         // scaled weights of those in front, by index
	total   int           // of the scaled weights
	turns   []int32
	pickers []*balance.Picker // per loop, where the period is too long for turns
	table   hashTable         // nil: nothing is hashed
	shares  *balance.Shares
	active  int
	backups int
}

// hashTable finds the place of a hash; who owns the places stands in turns, so that a walk from there meets the others.
type hashTable interface{ Find(hash uint32) int }

// newChooser is called with Engine.mu held, which guards the servers' weights.
func newChooser(b *backConf, loops int) *chooser {
	c := &chooser{weight: make([]int, len(b.servers)), before: make([]int, len(b.servers))}
	c.gather(b)
	plain, names, ids := make([]int, len(b.servers)), make([]string, len(b.servers)), make([]uint32, len(b.servers))
	for _, s := range b.servers {
		c.before[s.index] = c.total
		c.total += c.weight[s.index]
		names[s.index], ids[s.index] = s.rt.name, uint32(s.id)
	}
	for _, s := range c.pool {
		plain[s.index] = s.rt.weight
	}
	switch {
	case len(c.pool) == 0:
	case b.algorithm == proxy.RoundRobin:
		c.roundRobin(b, loops)
	case b.algorithm == proxy.First:
		slices.SortStableFunc(c.pool, func(x, y *serverConf) int { return cmp.Compare(x.id, y.id) })
	case b.algorithm == proxy.Random:
		c.shares = balance.NewShares(c.weight)
	case b.algorithm.Hashes() && b.hash.Method == proxy.Consistent:
		r := balance.NewRing(ids, c.weight)
		c.table, c.turns = r, r.Owners()
	case b.algorithm.Hashes() && b.hash.Method == proxy.Maglev:
		m := balance.NewMaglev(names, c.weight)
		c.table, c.turns = m, m.Owners()
	case b.algorithm.Hashes(), b.algorithm == proxy.StaticRR:
		s := balance.NewSlots(plain)
		c.table, c.turns = s, s.Owners()
	}
	return c
}

// gather finds the pool: active servers, without one the first backup, or all of them with `option allbackups`.
func (c *chooser) gather(b *backConf) {
	var actives, backups []*serverConf
	for _, s := range b.servers {
		switch {
		case s.rt.weight == 0 || !s.usable():
		case s.backup:
			backups = append(backups, s)
		default:
			actives = append(actives, s)
		}
	}
	c.active, c.backups = len(actives), len(backups)
	switch c.pool = actives; {
	case len(actives) > 0:
	case len(backups) > 0 && !b.allBackups:
		c.pool = backups[:1]
	default:
		c.pool = backups
	}
	for _, s := range c.pool {
		c.weight[s.index] = s.rt.scaledWeight(b)
	}
}

// roundRobin writes a whole period down. While a server starts slowly the period counts scaled weights.
func (c *chooser) roundRobin(b *backConf, loops int) {
	unit := c.unit()
	var servers []balance.Server
	total := 0
	for _, s := range c.pool {
		w := max(c.weight[s.index]/unit, 1)
		total += w
		servers = append(servers, balance.Server{ID: s.index, Weight: w})
	}
	if total > maxTurns {
		for range loops {
			c.pickers = append(c.pickers, balance.New(servers))
		}
		return
	}
	p := balance.New(servers)
	for range total {
		if i, ok := p.Next(); ok {
			c.turns = append(c.turns, int32(i))
		}
	}
}

// unit is what scaled weights are counted in: as in the configuration, or in finer steps while one of them grows, as long
// as those fit.
func (c *chooser) unit() int {
	divisor, most := 0, 0
	for _, w := range c.weight {
		most = max(most, w)
		for a := w; a != 0; {
			divisor, a = a, divisor%a
		}
	}
	if divisor%balance.WeightScale == 0 || most/divisor > balance.MaxWeight {
		return balance.WeightScale
	}
	return divisor
}

// eligible reports whether a request without persistence may be given to a server.
func (b *backConf) eligible(s *serverConf) bool { return b.chooser.Load().weight[s.index] > 0 }

// usable reports whether a request may go to a server by persistence.
func (s *serverConf) usable() bool { return s.resolved && s.rt.available() }

// pick chooses a server without persistence. none: there is no server at all. Otherwise sc nil: all are full, queue.
// Where a key decides, sc may be full: then its queue is the one to join.
func (s *session) pick() (sc *serverConf, none bool) {
	t := s.t
	b := t.bc
	c := b.chooser.Load()
	if len(c.pool) == 0 {
		return nil, true
	}
	switch {
	case c.pickers != nil:
		i, ok := c.pickers[s.l.id].NextFree(t.except, func(id int) bool { return b.servers[id].rt.full() })
		if !ok {
			return nil, false
		}
		return b.servers[i], false
	case b.algorithm == proxy.LeastConn, b.algorithm == proxy.LeastTime:
		return c.least(b, t.except), false
	case b.algorithm == proxy.First:
		return c.firstFree(t.except), false
	case b.algorithm == proxy.Random:
		return c.draw(b, t.except), false
	case b.algorithm.Hashes() && s.key():
		return c.keyed(b, t.hash, t.except), false
	}
	return c.inTurn(b, t.except), false
}

// inTurn walks on from where the last one stopped, past the full.
func (c *chooser) inTurn(b *backConf, except int) *serverConf {
	n := uint64(len(c.turns))
	var avoided *serverConf
	for range min(n, 2*uint64(len(b.servers))) {
		sc := b.servers[c.turns[(b.rt.turn.Add(1)-1)%n]]
		switch {
		case sc.rt.full():
		case sc.index == except && len(c.pool) > 1:
			avoided = sc
		default:
			return sc
		}
	}
	if sc := c.firstFree(except); sc != nil {
		return sc
	}
	return avoided
}

// firstFree is the first of the pool that is not full.
func (c *chooser) firstFree(except int) *serverConf {
	var avoided *serverConf
	for _, sc := range c.pool {
		switch {
		case sc.rt.full():
		case sc.index == except:
			avoided = sc
		default:
			return sc
		}
	}
	return avoided
}

// least is who has the least to do; of equals the one whose load has not changed for longest, so that they take turns.
// With maxqueue a full server may be the least, as long as its queue is not at that bound.
func (c *chooser) least(b *backConf, except int) *serverConf {
	var best, avoided *serverConf
	var bestKey, bestSeq uint64
	for _, sc := range c.pool {
		rt := sc.rt
		if rt.full() && !rt.mayQueue() {
			continue
		}
		if sc.index == except && len(c.pool) > 1 {
			avoided = sc
			continue
		}
		key, seq := balance.Least(int(rt.conn.cur.Load()+rt.waiting.cur.Load()), c.weight[sc.index]), rt.touched.Load()
		if b.algorithm == proxy.LeastTime {
			key = rt.latency.key(int(rt.conn.cur.Load()), c.weight[sc.index])
		}
		if best == nil || key < bestKey || key == bestKey && seq < bestSeq {
			best, bestKey, bestSeq = sc, key, seq
		}
	}
	if best == nil {
		return avoided
	}
	return best
}

// draw is the least busy of some servers drawn at random. When that one is full any other that is not serves as well.
func (c *chooser) draw(b *backConf, except int) *serverConf {
	var best *serverConf
	var load int
	for range b.draws {
		sc := b.servers[c.shares.Draw(rand.Uint32())]
		if sc.index == except && len(c.pool) > 1 {
			continue
		}
		l := int(sc.rt.conn.cur.Load())
		if best == nil || balance.Lighter(l, c.weight[sc.index], load, c.weight[best.index]) {
			best, load = sc, l
		}
	}
	if best == nil || best.rt.full() {
		return c.firstFree(except)
	}
	return best
}

// keyed is whom a hash belongs to. A redispatch, and who has more than `hash-balance-factor` allows, goes to whoever
// follows: the same other server each time, on every node.
func (c *chooser) keyed(b *backConf, hash uint32, except int) *serverConf {
	at := c.table.Find(hash)
	sc := b.servers[c.turns[at]]
	served := 0
	if b.hashFactor > 0 {
		for _, o := range b.servers {
			served += int(o.rt.conn.cur.Load())
		}
	}
	over := func(sc *serverConf) bool {
		return sc.index == except && len(c.pool) > 1 || b.hashFactor > 0 &&
			int(sc.rt.conn.cur.Load()) >= balance.Allowed(served, b.hashFactor, c.weight[sc.index], c.before[sc.index], c.total)
	}
	for range c.turns {
		if !over(sc) {
			return sc
		}
		if at++; at == len(c.turns) {
			at = 0
		}
		sc = b.servers[c.turns[at]]
	}
	return sc
}
