package tables

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/cluster/fsm"
)

const (
	// MaxPending is how many keys may wait for a batch, its commit, a leader or a heal; beyond, the newest are dropped and counted.
	MaxPending = 1 << 16
	// gather is how long after a batch the next one waits for company. The first of an idle time goes at once.
	gather = 3 * time.Millisecond
	// maxBatch bounds a batch in operations and, roughly, bytes: one Raft entry should stay under 512 KiB.
	maxBatch      = 4096
	maxBatchBytes = 256 << 10
	sendTimeout   = 2 * time.Second
	retryEvery    = 100 * time.Millisecond
	// maxFlights is how many batches may be under way. A commit that takes long, on a slow disk say, must not keep later
	// entries on this node alone: what the leader has received outlives it.
	maxFlights = 8
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
	order   []Key          // of pending, oldest first; a key stands here once
	flying  map[Key]uint64 // wishes under way, by number; a newer one for the same key waits for the end of its flight
	next    uint64         // number of the next wish
	waiting []flush
}

// op is the latest wish for a key.
type op struct {
	bind   Binding
	delete bool
	number uint64 // of the first wish for the key that has not been sent
}

// flush is a caller who waits until no wish with a number below this one is left.
type flush struct {
	before uint64
	done   chan struct{}
}

// batch is what is sent at once.
type batch struct {
	binds   []Binding
	deletes []Key
}

func (b batch) size() int { return len(b.binds) + len(b.deletes) }

// New allocates only. read gives access to the local state.
func New(send Send, read func(func(*fsm.State)), log hclog.Logger) *Replica {
	return &Replica{
		send: send, read: read, log: log,
		wake: make(chan struct{}, 1), retry: make(chan struct{}, 1),
		pending: map[Key]op{}, flying: map[Key]uint64{},
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
	if old, there := r.pending[k]; there {
		o.number = old.number
	} else {
		if len(r.pending)+len(r.flying) >= MaxPending {
			return false
		}
		o.number = r.next
		r.next++
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

// Pending is how many wishes wait to be sent.
func (r *Replica) Pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pending)
}

// Flush returns once all that was offered and deleted before the call is agreed on, or with ctx's error: it goes on to be
// tried then.
func (r *Replica) Flush(ctx context.Context) error {
	r.mu.Lock()
	f := flush{r.next, make(chan struct{})}
	r.waiting = append(r.waiting, f)
	r.release()
	r.mu.Unlock()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		r.waiting = slices.DeleteFunc(r.waiting, func(w flush) bool { return w.done == f.done })
		return ctx.Err()
	}
}

// release lets go who waits for nothing any more. r.mu is held.
func (r *Replica) release() {
	if len(r.waiting) == 0 {
		return
	}
	oldest := r.next
	for _, o := range r.pending {
		oldest = min(oldest, o.number)
	}
	for _, n := range r.flying {
		oldest = min(oldest, n)
	}
	r.waiting = slices.DeleteFunc(r.waiting, func(f flush) bool {
		if f.before <= oldest {
			close(f.done)
		}
		return f.before <= oldest
	})
}

// Run sends batches until ctx ends. Several may be under way, but of a key one wish only: so a node's wishes for it keep
// their order.
func (r *Replica) Run(ctx context.Context) error {
	failed, free := make(chan struct{}, 1), make(chan struct{}, maxFlights)
	var flights sync.WaitGroup
	defer flights.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		for {
			select {
			case <-ctx.Done():
				return nil
			case free <- struct{}{}:
			}
			b := r.take()
			if b.size() == 0 {
				<-free
				break
			}
			flights.Go(func() {
				if !r.fly(ctx, b) {
					r.signal(failed)
				}
				<-free
				r.signal(r.wake) // what came back, or waited for this flight
			})
			if !r.pause(ctx, failed) {
				return nil
			}
		}
	}
}

// pause lets wishes gather, and longer after a failure unless there is news of a leader. It reports whether to go on.
func (r *Replica) pause(ctx context.Context, failed <-chan struct{}) bool {
	timer := time.NewTimer(gather)
	defer timer.Stop()
	var retry chan struct{}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-retry:
			return true
		case <-failed:
			retry = r.retry
			timer.Reset(retryEvery)
		}
	}
}

// fly sends a batch and reports whether it was committed.
func (r *Replica) fly(ctx context.Context, b batch) bool {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := r.send(ctx, fsm.TablesCommand(time.Unix(0, 0), b.binds, b.deletes))
	if err != nil {
		r.log.Debug("sticky entries wait", "entries", b.size(), "error", err)
	} else {
		r.sent.Add(uint64(b.size()))
	}
	r.land(b, err != nil)
	return err == nil
}

// take removes the oldest wishes, one batch at most, but those whose key is under way. Bindings of one table, size and age
// come together by the order in which callers offer them.
func (r *Replica) take() (b batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var left []Key
	n, bytes := 0, 0
	for n < len(r.order) && b.size() < maxBatch && bytes < maxBatchBytes {
		k := r.order[n]
		n++
		if _, under := r.flying[k]; under {
			left = append(left, k)
			continue
		}
		o := r.pending[k]
		delete(r.pending, k)
		r.flying[k] = o.number
		bytes += len(k.Table) + len(k.Key) + len(o.bind.Server) + len(o.bind.Was) + 16
		if o.delete {
			b.deletes = append(b.deletes, k)
		} else {
			b.binds = append(b.binds, o.bind)
		}
	}
	switch {
	case len(left) > 0:
		r.order = append(left, r.order[n:]...)
	case n == len(r.order):
		r.order = nil // give the array back
	default:
		r.order = r.order[n:]
	}
	return b
}

// land ends a flight. What could not be sent is kept, except where there is a newer wish by now.
func (r *Replica) land(b batch, keep bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []Key
	end := func(k Key, o op) {
		o.number = r.flying[k]
		delete(r.flying, k)
		if !keep {
			return
		}
		if newer, there := r.pending[k]; there {
			newer.number = o.number // who waits for the older wish waits for this one
			r.pending[k] = newer
			return
		}
		r.pending[k] = o // there is room: under way it had its place, too
		keys = append(keys, k)
	}
	for _, w := range b.binds {
		end(w.Key, op{bind: w})
	}
	for _, k := range b.deletes {
		end(k, op{delete: true})
	}
	if len(keys) > 0 {
		r.order = append(keys, r.order...)
	}
	r.release()
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
