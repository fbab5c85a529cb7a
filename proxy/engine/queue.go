package engine

import (
	"sync"
	"sync/atomic"
)

// queue is where the requests of a backend wait for a server at its maxconn: by priority, then first come, first served
// over all loops, whether a request waits for one server (persistence) or for any. It is touched only by backends whose servers have a
// maxconn and are full; that is where loops share a lock.
type queue struct {
	mu      sync.Mutex
	head    *waiter
	tail    *waiter
	size    atomic.Int64 // all
	general atomic.Int64 // those that wait for any server
	max     atomic.Int64
}

// waiter is one request's place. Guarded by the queue's lock until it is granted.
type waiter struct {
	prev, next *waiter
	in         bool
	key        int64 // lowest first
	loop       *loop
	s          *session
	life       uint64    // of the session's transaction, so that a grant that comes too late is given back
	only       *server   // nil: any of conf
	conf       *backConf // of the request
	before     int       // that were in the queue it joined
}

// queueKey orders the queue: by class (-2047..2047, the lowest first), then by when a request came, which offset (in ms)
// makes earlier or later.
func queueKey(class, offset int32, now int64) int64 {
	return int64(class)<<44 + now/1e6 + int64(offset)
}

// join puts w behind who came before it or matters more; its grant comes by mail. It looks for a free slot once more after
// it is in: whoever released one before that saw nobody waiting. false: as many wait for that server as may.
func (q *queue) join(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.only != nil && w.only.overflows() {
		return false
	}
	if w.only != nil {
		w.before = int(w.only.waiting.cur.Load())
		w.only.waiting.add()
	} else {
		w.before = int(q.general.Load())
		q.general.Add(1)
	}
	if n := q.size.Add(1); n > q.max.Load() {
		q.max.Store(n)
	}
	q.insert(w)
	if w.chance() {
		q.serveLocked(nil)
	}
	return true
}

func (q *queue) insert(w *waiter) {
	after := q.tail
	for after != nil && after.key > w.key {
		after = after.prev
	}
	w.prev, w.next, w.in = after, q.head, true
	if after != nil {
		w.next, after.next = after.next, w
	} else {
		q.head = w
	}
	if w.next != nil {
		w.next.prev = w
	} else {
		q.tail = w
	}
}

// chance reports whether a server that w could have is below its limit.
func (w *waiter) chance() bool {
	for _, sc := range w.conf.servers {
		if (w.only == nil || sc.rt == w.only) && sc.rt.room() {
			return true
		}
	}
	return false
}

func (q *queue) uncount(w *waiter) {
	if w.only != nil {
		w.only.waiting.sub()
	} else {
		q.general.Add(-1)
	}
	q.size.Add(-1)
}

// find takes a slot the waiter may have: of the freed server if it is one of its own, or of any that has room.
func (w *waiter) find(freed *server) *serverConf {
	for _, sc := range w.conf.servers {
		switch {
		case w.only != nil && sc.rt != w.only:
		case freed != nil && sc.rt != freed:
		case w.only == nil && !w.conf.eligible(sc):
		case sc.rt.take():
			return sc
		}
	}
	return nil
}

// leave takes w out; false when it has been granted meanwhile and the grant is on its way.
func (q *queue) leave(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !w.in {
		return false
	}
	q.unlink(w)
	return true
}

func (q *queue) unlink(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.tail = w.prev
	}
	w.prev, w.next, w.in = nil, nil, false
	q.uncount(w)
}

// release gives a slot of s back and passes it on to the first that waits for it.
func (s *server) release() {
	s.conn.sub()
	s.touch()
	if q := &s.backend.queue; q.size.Load() > 0 {
		q.serve(s)
	}
}

// serve grants slots until none is free or nobody waits. freed nil looks at all servers, as when one came up.
func (q *queue) serve(freed *server) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.serveLocked(freed)
}

func (q *queue) serveLocked(freed *server) {
	for w := q.head; w != nil; {
		next := w.next
		if freed != nil && !freed.room() {
			return
		}
		if sc := w.find(freed); sc != nil {
			q.unlink(w)
			w.grant(sc)
		}
		w = next
	}
}

func (w *waiter) grant(sc *serverConf) {
	s, life := w.s, w.life
	w.loop.post(func() { s.granted(life, sc) })
}

// evict sends those who wait for one server alone, which is down now, back to choose another.
func (q *queue) evict(down *server) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for w := q.head; w != nil; {
		next := w.next
		if w.only == down {
			q.unlink(w)
			s, life := w.s, w.life
			w.loop.post(func() { s.granted(life, nil) })
			n++
		}
		w = next
	}
	return n
}
