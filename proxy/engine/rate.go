package engine

import (
	"sync/atomic"
	"time"
)

// gate counts what passes a second, for bounds that all loops share. Its state is the second, how many passed in the one
// before and how many in this one: 20, 22 and 22 bits of one word. The zero gate is ready.
type gate struct{ state atomic.Uint64 }

const gateCount = 1<<22 - 1

// secondOf reads a state at a time: its second, the count of the one before and that of this one.
func secondOf(state uint64, now int64) (second, before, passed uint64) {
	second = uint64(now/int64(time.Second)) & (1<<20 - 1)
	switch (second - state>>44) & (1<<20 - 1) {
	case 0:
		return second, state >> 22 & gateCount, state & gateCount
	case 1:
		return second, state & gateCount, 0
	}
	return second, 0, 0
}

// stateOf puts it together; a count stays at the greatest that there is room for.
func stateOf(second, before, passed uint64) uint64 {
	return second<<44 | before<<22 | min(passed, gateCount)
}

// open reports whether fewer than limit have passed in the second that ends now: this one's, and of the one before as much
// as is left of it.
func (g *gate) open(now, limit int64) bool {
	if limit <= 0 {
		return true
	}
	_, before, passed := secondOf(g.state.Load(), now)
	left := int64(time.Second) - now%int64(time.Second)
	return int64(passed)+int64(before)*left/int64(time.Second) < limit
}

// count counts one, where there is a limit.
func (g *gate) count(now, limit int64) {
	if limit > 0 {
		g.pass(now)
	}
}

// pass counts one.
func (g *gate) pass(now int64) {
	for {
		state := g.state.Load()
		second, before, passed := secondOf(state, now)
		if g.state.CompareAndSwap(state, stateOf(second, before, passed+1)) {
			return
		}
	}
}
