// Package cache keeps small answers in memory and gives them out again (RFC 9111), as HAProxy's cache section does: whole
// answers of status 200 to GET, for as long as their freshness lasts, found by host and target.
//
// All event loops share a Cache, so that a node fetches and keeps each object once. Looking up takes no lock: buckets are
// chains of immutable entries behind atomic pointers, and the garbage collector keeps what a reader holds. Storing and
// evicting take a short lock; they come after an exchange with a server, never on the way of a hit. Time is an argument,
// in Unix nanoseconds.
package cache

import (
	"bytes"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Options are a cache's bounds.
type Options struct {
	TotalMaxSize        int64         // bytes of all objects, those that are being stored among them
	MaxObjectSize       int           // bytes of one, head and body
	MaxAge              time.Duration // longest life of an object
	ProcessVary         bool          // answers that vary by Accept-Encoding, Referer or Origin are kept, each variant on its own
	MaxSecondaryEntries int           // variants of one target
}

// entryCost is what an entry takes beside its bytes, about.
const entryCost = 256

// Entry is a stored answer. It is immutable but for the fields that the Cache keeps in it; what Lookup returned may be read
// for as long as one likes.
type Entry struct {
	Head []byte // as text, up to and with the empty line; without Age, and with a Content-Length
	Body []byte

	key      []byte
	hash     uint64
	variant  variant
	born     int64 // when it would have had age 0
	expires  int64
	tag      []byte // ETag; nil: none
	modified int64  // Unix seconds

	next atomic.Pointer[Entry] // of its bucket
	used atomic.Bool           // since eviction passed by
	gone atomic.Bool

	older, newer *Entry // of the ring; Cache.mu
}

// Age is how old the answer is, in whole seconds.
func (e *Entry) Age(now int64) int64 { return max(now-e.born, 0) / int64(time.Second) }

func (e *Entry) cost() int64 { return int64(len(e.Head) + cap(e.Body) + len(e.key) + entryCost) }

// Cache is a set of entries. Its methods are safe for concurrent use.
type Cache struct {
	name    string
	o       Options
	seed    maphash.Seed
	buckets []atomic.Pointer[Entry]

	mu      sync.Mutex
	size    int64 // bytes of entries and of what is being stored
	count   int
	ring    Entry             // oldest after it, newest before
	storing map[uint64]*Store // answers on their way in, by the hash of their key
}

// New makes an empty cache. Its memory is taken as it fills.
func New(name string, o Options) *Cache {
	n := 64
	for int64(n)*4096 < o.TotalMaxSize && n < 1<<17 {
		n *= 2
	}
	c := &Cache{name: name, o: o, seed: maphash.MakeSeed(), buckets: make([]atomic.Pointer[Entry], n), storing: map[uint64]*Store{}}
	c.ring.older, c.ring.newer = &c.ring, &c.ring
	return c
}

// Name is the cache's own.
func (c *Cache) Name() string { return c.name }

// Options are those it was made with.
func (c *Cache) Options() Options { return c.o }

// Size is how many entries there are, and how many bytes they take with those that are being stored.
func (c *Cache) Size() (entries int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count, c.size
}

func (c *Cache) bucket(hash uint64) *atomic.Pointer[Entry] {
	return &c.buckets[hash&uint64(len(c.buckets)-1)]
}

// Lookup finds the answer for a request; nil: there is none, or none that is fresh.
func (c *Cache) Lookup(q *Query, now int64) *Entry {
	hash := maphash.Bytes(c.seed, q.key)
	for e := c.bucket(hash).Load(); e != nil; e = e.next.Load() {
		if e.hash != hash || e.gone.Load() || now >= e.expires || !bytes.Equal(e.key, q.key) || !e.variant.serves(q) {
			continue
		}
		if !e.used.Load() {
			e.used.Store(true)
		}
		return e
	}
	return nil
}

// Store is an answer on its way into a cache. It belongs to one goroutine; end it with Commit or Abort.
type Store struct {
	c        *Cache
	e        *Entry
	reserved int64
	over     bool // too large
	stale    bool // the target has been changed since it was begun; Cache.mu
}

// Begin makes room for the answer to a request whose head says that it may be stored. head is its text up to the empty
// line, without that and without a length; length is the body's, or -1. nil: it is too large, it has too many variants, or
// the same is being stored already.
func (c *Cache) Begin(q *Query, a *Answer, head []byte, length int64, now int64) *Store {
	life, age, ok := a.life(c.o.MaxAge)
	if !ok || len(head) > c.o.MaxObjectSize || length > int64(c.o.MaxObjectSize-len(head)) {
		return nil
	}
	e := &Entry{Head: bytes.Clone(head), key: bytes.Clone(q.key), hash: maphash.Bytes(c.seed, q.key), variant: newVariant(q, a),
		born: now - int64(age), expires: now + int64(life-age), modified: a.modified()}
	if a.tag != nil {
		e.tag = bytes.Clone(a.tag)
	}
	s := &Store{c: c, e: e, reserved: e.cost() + max(length, 0) + trailer}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.storing[e.hash] != nil || c.variants(e, now) || !c.fit(s.reserved) {
		return nil
	}
	c.storing[e.hash] = s
	c.size += s.reserved
	if length > 0 {
		e.Body = make([]byte, 0, length)
	}
	return s
}

// variants reports whether a target has as many variants as may be; mu is held.
func (c *Cache) variants(e *Entry, now int64) bool {
	if e.variant.by == 0 {
		return false
	}
	n := 0
	for o := c.bucket(e.hash).Load(); o != nil; o = o.next.Load() {
		if o.hash == e.hash && !o.gone.Load() && now < o.expires && bytes.Equal(o.key, e.key) && !o.variant.same(&e.variant) {
			n++
		}
	}
	return n >= c.o.MaxSecondaryEntries
}

// fit evicts until n bytes more have room: who was not asked for since eviction came by last goes first, the older before
// the newer. false: they never will. mu is held.
func (c *Cache) fit(n int64) bool {
	for left := 2 * c.count; c.size+n > c.o.TotalMaxSize; left-- {
		e := c.ring.newer
		if e == &c.ring || left < 0 {
			return false
		}
		if e.used.Swap(false) {
			c.unlink(e)
			c.link(e)
			continue
		}
		c.drop(e)
	}
	return true
}

// link puts an entry at the end of the ring as the newest; mu is held.
func (c *Cache) link(e *Entry) {
	e.older, e.newer = c.ring.older, &c.ring
	e.older.newer, c.ring.older = e, e
	c.count++
}

func (c *Cache) unlink(e *Entry) {
	e.older.newer, e.newer.older = e.newer, e.older
	e.older, e.newer = nil, nil
	c.count--
}

// drop takes an entry out. A reader that stands on it still finds its way on; mu is held.
func (c *Cache) drop(e *Entry) {
	e.gone.Store(true)
	c.unlink(e)
	c.size -= e.cost()
	at := c.bucket(e.hash)
	for at.Load() != nil && at.Load() != e {
		at = &at.Load().next
	}
	if at.Load() == e {
		at.Store(e.next.Load())
	}
}

// Write takes in more of the body. false: it has become too large, and the rest need not come.
func (s *Store) Write(p []byte) bool {
	if s.over {
		return false
	}
	e := s.e
	if len(e.Head)+len(e.Body)+len(p) > s.c.o.MaxObjectSize {
		s.over = true
		return false
	}
	if need := len(e.Body) + len(p); need > cap(e.Body) && !s.grow(need) {
		s.over = true
		return false
	}
	e.Body = append(e.Body, p...)
	return true
}

// grow makes room for a body of n bytes, and for more to come.
func (s *Store) grow(n int) bool {
	e := s.e
	room := max(n, min(2*cap(e.Body), s.c.o.MaxObjectSize-len(e.Head)), 2048)
	s.c.mu.Lock()
	ok := s.c.fit(int64(room - cap(e.Body)))
	if ok {
		s.c.size += int64(room - cap(e.Body))
		s.reserved += int64(room - cap(e.Body))
	}
	s.c.mu.Unlock()
	if !ok {
		return false
	}
	e.Body = append(make([]byte, 0, room), e.Body...)
	return true
}

// trailer is what Commit puts behind the head, at most.
const trailer = 48

// Commit makes the answer one that requests get. It takes the place of those that would be found in its stead.
func (s *Store) Commit() {
	e, c := s.e, s.c
	e.Head = appendLength(e.Head, len(e.Body))
	if cap(e.Body) > len(e.Body)+len(e.Body)/8+64 {
		e.Body = append(make([]byte, 0, len(e.Body)), e.Body...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.storing, e.hash)
	c.size -= s.reserved
	for o := c.bucket(e.hash).Load(); o != nil; {
		next := o.next.Load()
		if o.hash == e.hash && bytes.Equal(o.key, e.key) && o.variant.same(&e.variant) {
			c.drop(o)
		}
		o = next
	}
	if s.stale || !c.fit(e.cost()) {
		return
	}
	c.size += e.cost()
	c.link(e)
	b := c.bucket(e.hash)
	e.next.Store(b.Load())
	b.Store(e)
}

// Invalidate forgets what is known of a request's target: the request has changed it (RFC 9111 section 4.4).
func (c *Cache) Invalidate(q *Query) {
	hash := maphash.Bytes(c.seed, q.key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.storing[hash]; s != nil {
		s.stale = true
	}
	for e := c.bucket(hash).Load(); e != nil; {
		next := e.next.Load()
		if e.hash == hash && bytes.Equal(e.key, q.key) {
			c.drop(e)
		}
		e = next
	}
}

// Abort gives the room back.
func (s *Store) Abort() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	delete(s.c.storing, s.e.hash)
	s.c.size -= s.reserved
}
