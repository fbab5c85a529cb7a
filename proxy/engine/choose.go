package engine

import (
	"net/netip"
	"sync/atomic"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/balance"
)

// maxTurns bounds the table of a round robin; above it each loop keeps an order of its own.
const maxTurns = 1 << 16

type chooserPtr = atomic.Pointer[chooser]

// chooser is who may be picked, for one state of health. A round robin is written out as the order of one whole period,
// with the position shared by the loops: whichever loop a connection comes to, the order is HAProxy's.
type chooser struct {
	turns   []uint16
	pickers []*balance.Picker // per loop: source, or a period too long
	active  int
	backups int
}

func newChooser(b *backConf, loops int) *chooser {
	picker := func() *balance.Picker {
		p := balance.New(b.algorithm, b.balancers())
		for _, s := range b.servers {
			p.SetUp(s.index, s.rt.up.Load() && s.resolved)
		}
		return p
	}
	p := picker()
	c := &chooser{active: p.Active(), backups: p.Backups()}
	total := 0
	for _, s := range b.servers {
		if !s.backup && p.Up(s.index) {
			total += s.weight
		}
	}
	if b.algorithm == proxy.Source || total > maxTurns {
		for range loops {
			c.pickers = append(c.pickers, picker())
		}
		return c
	}
	for range max(total, 1) {
		if i, ok := p.Next(0); ok {
			c.turns = append(c.turns, uint16(i))
		}
	}
	return c
}

// eligible reports whether a request without persistence may be given to a server.
func (b *backConf) eligible(s *serverConf) bool {
	if !s.rt.up.Load() || !s.resolved || s.weight == 0 {
		return false
	}
	c := b.chooser.Load()
	if c.active > 0 {
		return !s.backup
	}
	if !s.backup {
		return false
	}
	for _, o := range b.servers { // the first usable backup alone
		if o.backup && o.weight > 0 && o.resolved && o.rt.up.Load() {
			return o == s
		}
	}
	return false
}

// usable reports whether a request may go to a server by persistence.
func (s *serverConf) usable() bool { return s.resolved && s.rt.up.Load() }

// pick chooses a server without persistence. none: there is no server at all. Otherwise sc nil: all are full, queue.
func (b *backConf) pick(l *loop, addr netip.Addr, except int) (sc *serverConf, none bool) {
	c := b.chooser.Load()
	if c.active+c.backups == 0 {
		return nil, true
	}
	if c.pickers != nil {
		i, ok := c.pickers[l.id].NextFree(balance.HashSource(addr), except, func(id int) bool { return b.servers[id].rt.full() })
		if !ok {
			return nil, false
		}
		return b.servers[i], false
	}
	return b.roundRobin(c, except), false
}

func (b *backConf) roundRobin(c *chooser, except int) *serverConf {
	n := uint64(len(c.turns))
	for try := range min(n, 2*uint64(len(b.servers))) {
		i := int(c.turns[(b.rt.turn.Add(1)-1)%n])
		sc := b.servers[i]
		if i == except && c.active > 1 && try+1 < n || sc.rt.full() {
			continue
		}
		return sc
	}
	for _, sc := range b.servers {
		if b.eligible(sc) && sc.index != except && !sc.rt.full() {
			return sc
		}
	}
	return nil
}
