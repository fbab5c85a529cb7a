package engine

import (
	"sync/atomic"

	"github.com/reeve-lb/reeve/proxy"
)

// latency is how long a server takes to answer: a sliding mean in which a value fades by an eighth with each one that
// follows. Loops that store at once may lose a value of each other's, which a mean can bear.
type latency struct{ mean atomic.Int64 } // ns, 0: nothing is known

func (a *latency) add(ns int64) {
	was := a.mean.Load()
	if was == 0 {
		a.mean.Store(max(ns, 1))
		return
	}
	a.mean.Store(max(was+(ns-was)/8, 1))
}

// key is what `balance least_time` compares: how long a request more would have to wait, in proportion to the weight. A
// server of which nothing is known comes first, so that something gets to be known.
func (a *latency) key(inflight, scaled int) uint64 {
	return uint64(a.mean.Load()/1000) * uint64(inflight+1) * 4096 / uint64(max(scaled, 1))
}

// timed takes a finished transaction into its server's mean.
func (t *txn) timed(now int64) {
	if t.bc == nil || t.bc.algorithm != proxy.LeastTime || t.sc == nil || t.queuedAt < 0 || t.connectedAt < 0 {
		return
	}
	switch {
	case t.bc.args.LastByte:
		t.sc.rt.latency.add(now - t.queuedAt)
	case t.answerAt >= 0:
		t.sc.rt.latency.add(t.answerAt - t.queuedAt)
	case !t.bc.http:
		t.sc.rt.latency.add(t.connectedAt - t.queuedAt)
	}
}
