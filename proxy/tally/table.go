package tally

import (
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// Config is a table's part of the configuration.
type Config struct {
	Type    KeyType
	Len     int           // of keys of type String and Binary, in bytes; 0: DefaultLen
	Size    int           // entries
	Expire  time.Duration // life of an entry that nobody tracks, from its last event; 0: forever
	NoPurge bool          // a full table takes no new key, in place of forgetting the one that was touched longest ago
	Stores  []Store
}

// parts is into how many parts, each with its lock, a table of some size is divided. A small table is one: its bound is
// exact then.
const (
	parts     = 64
	partsFrom = 64 * 1024
)

// Table counts by key. It is safe for concurrent use.
type Table struct {
	Type    KeyType
	length  int
	parts   []part
	seed    maphash.Seed
	at      [dataCount]int8 // place of a datum in an entry's values, -1: not stored
	periods [dataCount]int64
	width   int // plain values of an entry
	rates   int
}

// part is some keys with their lock.
type part struct {
	mu      sync.Mutex
	keys    map[string]*entry
	oldest  *entry // of the list by last touch
	newest  *entry
	free    *entry
	size    int
	count   int
	expire  int64
	noPurge bool
	purged  uint64
}

// entry is one key's. Everything in it is guarded by its part's lock.
type entry struct {
	part       *part
	key        string
	prev, next *entry // by last touch, the oldest first; next: of the free ones
	expires    int64
	refs       int
	values     []uint64
	rates      []rate
}

// New makes an empty table.
func New(c Config) *Table {
	t := &Table{Type: c.Type, length: c.Len, seed: maphash.MakeSeed()}
	if t.length == 0 {
		t.length = DefaultLen
	}
	for i := range t.at {
		t.at[i] = -1
	}
	var plain, rates int8
	for _, s := range c.Stores {
		if t.at[s.Data] < 0 && s.Data.Rate() {
			t.at[s.Data], rates = rates, rates+1
			t.periods[s.Data] = int64(s.Period)
		} else if t.at[s.Data] < 0 {
			t.at[s.Data], plain = plain, plain+1
		}
	}
	t.width, t.rates = int(plain), int(rates)
	n := 1
	if c.Size >= partsFrom {
		n = parts
	}
	t.parts = make([]part, n)
	for i := range t.parts {
		t.parts[i] = part{keys: map[string]*entry{}, size: max((c.Size+n-1)/n, 1), expire: int64(c.Expire), noPurge: c.NoPurge}
	}
	return t
}

// Stores reports whether the table stores a datum.
func (t *Table) Stores(d Data) bool { return t.at[d] >= 0 }

// Len is the number of entries, those among them that have expired and were not asked for since.
func (t *Table) Len() int {
	n := 0
	for i := range t.parts {
		p := &t.parts[i]
		p.mu.Lock()
		n += p.count
		p.mu.Unlock()
	}
	return n
}

func (t *Table) part(key []byte) *part {
	if len(t.parts) == 1 {
		return &t.parts[0]
	}
	return &t.parts[maphash.Bytes(t.seed, key)%parts]
}

// find is the living entry of a key, nil if there is none; the part is locked.
func (t *Table) find(p *part, key []byte, now int64) *entry {
	e := p.keys[string(key)]
	if e != nil && e.refs == 0 && e.expires <= now {
		p.drop(e)
		return nil
	}
	return e
}

// take is the entry of a key, a new one where there is none; nil: the table is full.
func (t *Table) take(p *part, key []byte, now int64) *entry {
	if e := t.find(p, key, now); e != nil {
		return e
	}
	for p.count >= p.size {
		if !p.room(now) {
			return nil
		}
	}
	e := p.free
	if e != nil {
		p.free = e.next
		clear(e.values)
		clear(e.rates)
	} else {
		e = &entry{part: p, values: make([]uint64, t.width), rates: make([]rate, t.rates)}
	}
	e.key, e.prev, e.next, e.refs = string(key), nil, nil, 0
	p.keys[e.key] = e
	p.count++
	p.append(e)
	return e
}

// room forgets the entry that was touched longest ago among those that nobody holds.
func (p *part) room(now int64) bool {
	for e := p.oldest; e != nil; e = e.next {
		if e.refs > 0 {
			continue
		}
		if p.noPurge && e.expires > now {
			return false
		}
		if e.expires > now {
			p.purged++
		}
		p.drop(e)
		return true
	}
	return false
}

func (p *part) drop(e *entry) {
	delete(p.keys, e.key)
	p.unlink(e)
	p.count--
	e.key, e.next, p.free = "", p.free, e
}

func (p *part) append(e *entry) {
	if e.prev = p.newest; e.prev != nil {
		e.prev.next = e
	} else {
		p.oldest = e
	}
	p.newest = e
}

func (p *part) unlink(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		p.oldest = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		p.newest = e.prev
	}
	e.prev, e.next = nil, nil
}

// touch gives an entry its whole life again.
func (t *Table) touch(e *entry, now int64) {
	p := e.part
	e.expires = math.MaxInt64
	if p.expire > 0 {
		e.expires = now + p.expire
	}
	if p.newest != e {
		p.unlink(e)
		p.append(e)
	}
}

func (t *Table) add(e *entry, ev Event, n uint64, now int64) {
	d := counted[ev]
	if i := t.at[d.cnt]; i >= 0 {
		e.values[i] += n
	}
	if i := t.at[d.rate]; i >= 0 {
		e.rates[i].add(n, t.periods[d.rate], now)
	}
}

func (t *Table) value(e *entry, d Data, now int64) uint64 {
	if d.Rate() {
		return e.rates[t.at[d]].read(t.periods[d], now)
	}
	return e.values[t.at[d]]
}

// Read is a datum of a key, 0 for a key that there is none of; stored is false if the table does not store it.
func (t *Table) Read(key []byte, d Data, now int64) (n uint64, stored bool) {
	if t.at[d] < 0 {
		return 0, false
	}
	p := t.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := t.find(p, key, now); e != nil {
		n = t.value(e, d, now)
	}
	return n, true
}

// Has reports whether there is an entry of a key.
func (t *Table) Has(key []byte, now int64) bool {
	p := t.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	return t.find(p, key, now) != nil
}

// Add counts an event of a key that nobody tracks, and returns its number so far, or its rate where that alone is stored.
// A key that is new gets an entry; a full table counts nothing.
func (t *Table) Add(key []byte, ev Event, now int64) uint64 {
	p := t.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := t.take(p, key, now)
	if e == nil {
		return 0
	}
	t.add(e, ev, 1, now)
	t.touch(e, now)
	return t.after(e, ev, now)
}

func (t *Table) after(e *entry, ev Event, now int64) uint64 {
	d := counted[ev]
	switch {
	case t.at[d.cnt] >= 0:
		return t.value(e, d.cnt, now)
	case t.at[d.rate] >= 0:
		return t.value(e, d.rate, now)
	}
	return 0
}

// Set writes a number that rules keep (GPC0, GPC1, GPT0) and returns what it was. A key that is new gets no entry.
func (t *Table) Set(key []byte, d Data, n uint64, now int64) (was uint64) {
	if t.at[d] < 0 || d.Rate() {
		return 0
	}
	p := t.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := t.find(p, key, now)
	if e == nil {
		return 0
	}
	was, e.values[t.at[d]] = e.values[t.at[d]], n
	t.touch(e, now)
	return was
}

// Trackers is how many hold a key's entry.
func (t *Table) Trackers(key []byte, now int64) int {
	p := t.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := t.find(p, key, now); e != nil {
		return e.refs
	}
	return 0
}

// Resize gives the table the bounds of a new configuration. Entries that are one too many go when the next is made.
func (t *Table) Resize(c Config) {
	for i := range t.parts {
		p := &t.parts[i]
		p.mu.Lock()
		p.size = max((c.Size+len(t.parts)-1)/len(t.parts), 1)
		p.expire, p.noPurge = int64(c.Expire), c.NoPurge
		p.mu.Unlock()
	}
}
