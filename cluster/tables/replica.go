package tables

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/cluster/fsm"
)

const (
	// MaxPending is how many keys may wait for a batch, a leader or a heal; beyond, the newest are dropped and counted.
	MaxPending = 1 << 16
	// gather is how long after a batch the next one waits for company. The first of an idle time goes at once.
	gather = 3 * time.Millisecond
	// maxBatch bounds a batch in operations and, roughly, bytes: one Raft entry should stay under 512 KiB.
	maxBatch      = 4096
	maxBatchBytes = 256 << 10
	sendTimeout   = 2 * time.Second
	retryEvery    = 100 * time.Millisecond
)

// Send commits one batch (a fsm.TablesCommand whose stamp the leader replaces) or says why not.
type Send func(ctx context.Context, command []byte) error

// Replica is a node's end of the replicated tables. Offer and Delete never block; reads are of the local state. Safe for
// concurrent use.
type Replica struct {
	send    Send
	read    func(func(*fsm.State))
	log     hclog.Logger
	wake    chan struct{}
	retry   chan struct{}
	dropped atomic.Uint64
	sent    atomic.Uint64

	mu      sync.Mutex
	pending map[Key]op
	order   []Key // of pending, oldest first; a key stands here once
}

// op is the latest wish for a key.
type op struct {
	bind   Binding
	delete bool
}

// New allocates only. read gives access to the local state.
func New(send Send, read func(func(*fsm.State)), log hclog.Logger) *Replica {
	return &Replica{
		send: send, read: read, log: log,
		wake: make(chan struct{}, 1), retry: make(chan struct{}, 1),
		pending: map[Key]op{},
	}
}

// Offer asks for bindings. What becomes of them is told by App.BindingsApplied; without a leader they wait, the latest of
// each key. It returns how many were taken: what doesn't fit (see fsm.Binding.Fits) or finds no room is dropped and counted.
func (r *Replica) Offer(bs []Binding) int {
	n := 0
	r.mu.Lock()
	for i := range bs {
		if b := &bs[i]; b.Fits() && r.put(b.Key, op{bind: *b}) {
			n++
		}
	}
	r.mu.Unlock()
	r.dropped.Add(uint64(len(bs) - n))
	r.signal(r.wake)
	return n
}

// Delete asks for entries to be forgotten, as Offer does for bindings.
func (r *Replica) Delete(ks []Key) int {
	n := 0
	r.mu.Lock()
	for _, k := range ks {
		if fits := (&Binding{Key: k, Server: "-"}).Fits(); fits && r.put(k, op{delete: true}) {
			n++
		}
	}
	r.mu.Unlock()
	r.dropped.Add(uint64(len(ks) - n))
	r.signal(r.wake)
	return n
}

func (r *Replica) put(k Key, o op) bool {
	if _, there := r.pending[k]; !there {
		if len(r.pending) >= MaxPending {
			return false
		}
		r.order = append(r.order, k)
	}
	r.pending[k] = o
	return true
}

func (r *Replica) signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Retry is called when there is a leader again: what waits is offered at once.
func (r *Replica) Retry() { r.signal(r.retry) }

// Dropped counts wishes that found no room or did not fit.
func (r *Replica) Dropped() uint64 { return r.dropped.Load() }

// Sent counts wishes that were committed.
func (r *Replica) Sent() uint64 { return r.sent.Load() }

// Pending is how many wishes wait.
func (r *Replica) Pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pending)
}

// Run sends batches until ctx ends; one at a time, so that wishes of this node keep their order.
func (r *Replica) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		for {
			binds, deletes := r.take()
			if len(binds)+len(deletes) == 0 {
				break
			}
			wait := gather
			sctx, cancel := context.WithTimeout(ctx, sendTimeout)
			err := r.send(sctx, fsm.TablesCommand(time.Unix(0, 0), binds, deletes))
			cancel()
			var retry chan struct{}
			if err != nil {
				r.putBack(binds, deletes)
				wait, retry = retryEvery, r.retry
				r.log.Debug("sticky entries wait", "entries", len(binds)+len(deletes), "error", err)
			} else {
				r.sent.Add(uint64(len(binds) + len(deletes)))
			}
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return nil
			case <-retry:
			case <-timer.C:
			}
		}
	}
}

// take removes the oldest wishes, one batch at most. Bindings of one table, size and age come together by the order in
// which callers offer them.
func (r *Replica) take() (binds []Binding, deletes []Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, bytes := 0, 0
	for n < len(r.order) && n < maxBatch && bytes < maxBatchBytes {
		k := r.order[n]
		o := r.pending[k]
		delete(r.pending, k)
		bytes += len(k.Table) + len(k.Key) + len(o.bind.Server) + len(o.bind.Was) + 16
		if o.delete {
			deletes = append(deletes, k)
		} else {
			binds = append(binds, o.bind)
		}
		n++
	}
	if r.order = r.order[n:]; len(r.order) == 0 {
		r.order = nil // give the array back
	}
	return binds, deletes
}

// putBack keeps what could not be sent, except where there is a newer wish by now.
func (r *Replica) putBack(binds []Binding, deletes []Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []Key
	add := func(k Key, o op) {
		if _, newer := r.pending[k]; newer {
			return
		}
		if len(r.pending) >= MaxPending {
			r.dropped.Add(1)
			return
		}
		r.pending[k] = o
		keys = append(keys, k)
	}
	for _, b := range binds {
		add(b.Key, op{bind: b})
	}
	for _, k := range deletes {
		add(k, op{delete: true})
	}
	r.order = append(keys, r.order...)
}

// Lookup finds one agreed entry.
func (r *Replica) Lookup(k Key) (e Entry, ok bool) {
	r.read(func(s *fsm.State) { e, ok = s.Lookup(k) })
	return e, ok
}

// List tells which tables there are, ordered by name.
func (r *Replica) List() (ts []fsm.TableInfo) {
	r.read(func(s *fsm.State) { ts = s.Tables() })
	return ts
}

// Entries returns a table's entries in no particular order, max at most (0: all). Applying waits meanwhile.
func (r *Replica) Entries(table string, max int) (es []Entry) {
	r.read(func(s *fsm.State) {
		for e := range s.Entries(table) {
			es = append(es, e)
			if max > 0 && len(es) == max {
				return
			}
		}
	})
	return es
}
