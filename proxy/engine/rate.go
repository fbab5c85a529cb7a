package engine

import (
	"sync/atomic"
	"time"
)

// gate counts what passes a second, for bounds that all loops share. Its state is the second, how many passed in the one
// before and how many in this one: 20, 22 and 22 bits of one word. The zero gate is ready.
type gate struct{ state atomic.Uint64 }

const gateCount = 1<<22 - 1

// at is the count of the second before and of this one.
func (g *gate) at(now int64) (second, before, passed uint64, state uint64) {
	state = g.state.Load()
	second = uint64(now/int64(time.Second)) & (1<<20 - 1)
	switch (second - state>>44) & (1<<20 - 1) {
	case 0:
		return second, state >> 22 & gateCount, state & gateCount, state
	case 1:
		return second, state & gateCount, 0, state
	}
	return second, 0, 0, state
}

// open reports whether fewer than limit have passed in the second that ends now: this one's, and of the one before as much
// as is left of it.
func (g *gate) open(now, limit int64) bool {
	if limit <= 0 {
		return true
	}
	_, before, passed, _ := g.at(now)
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
		second, before, passed, state := g.at(now)
		if g.state.CompareAndSwap(state, second<<44|before<<22|min(passed+1, gateCount)) {
			return
		}
	}
}
