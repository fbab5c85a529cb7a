package stick

import (
	"iter"
	"time"
)

// Entry is what a table holds for a key.
type Entry struct {
	Server    string
	Expires   int64 // on the clock of the caller's now, nanoseconds
	Tentative bool  // bound here, not yet seen in the log
}

// Found is the answer of a Lookup.
type Found struct {
	Server string
	// Renew asks the caller to say Bind again and to offer it: half of the life is over. It is told once per half-life.
	Renew     bool
	Tentative bool
}

const nobody = -1

// slot is an entry.
type slot struct {
	key       Key
	server    string
	expires   int64
	asked     int64 // when Renew was told last, or the entry was written
	tentative bool
	place     int32 // in byExpiry; of a free slot the number of the next free one
}

// Table maps keys to servers. Entries live for one duration from their last Bind or Apply, and when the table is full the
// one that would expire first goes. Times (now) are nanoseconds on any clock that does not go back, the same one in every
// call. Not safe for concurrent use: a Table has one owner.
type Table struct {
	size   int
	expire time.Duration
	at     map[Key]int32
	slots  []slot
	free   int32
	// byExpiry is a heap of slot numbers, first to expire first. A write at full life, the usual one, goes to its end and
	// stays there; whatever order a snapshot's entries come in, none costs more than O(log n).
	byExpiry []int32
	// replaces holds, of tentative entries that took the place of an agreed one, the agreed server.
	replaces map[int32]string
	purged   uint64
}

// New makes an empty table for size entries (at least 1) that live for expire (0: forever). Memory grows with the
// entries, not with size.
func New(size int, expire time.Duration) *Table {
	return &Table{size: max(size, 1), expire: max(expire, 0), at: map[Key]int32{}, replaces: map[int32]string{}, free: nobody}
}

// Lookup finds the server of a key. It does not prolong the entry, Bind does. O(1), no allocation.
func (t *Table) Lookup(k Key, now int64) (Found, bool) {
	i, ok := t.at[k]
	if !ok {
		return Found{}, false
	}
	s := &t.slots[i]
	if s.expires <= now {
		return Found{}, false
	}
	f := Found{Server: s.server, Tentative: s.tentative}
	half := int64(t.expire / 2)
	if t.expire > 0 && s.expires-now <= half && now-s.asked >= half {
		f.Renew = true
		s.asked = now
	}
	return f, true
}

// Bind says that this node sends the key to server from now on, and returns the binding to offer under the name of the
// table. A key bound to another server, by the log even, is bound anew: the caller chose another one because that one is
// down. Renewing an entry that the log has confirmed leaves it confirmed.
func (t *Table) Bind(name string, k Key, server string, now int64) Binding {
	t.Expire(now)
	tentative, was := true, ""
	if i, ok := t.at[k]; ok {
		switch old := &t.slots[i]; {
		case old.tentative:
			was = t.replaces[i] // what the log still says, as far as is known here
		case old.server == server:
			tentative = false
		default:
			was = old.server
		}
	}
	i := t.put(k, server, now, t.life(), tentative)
	if was != "" {
		t.replaces[i] = was
	}
	return Binding{Table: name, Key: k.String(), Server: server, Was: was, TTL: t.life()}
}

// forever stands for the life of an entry that never expires: about 146 years.
const forever = time.Duration(1 << 62)

func (t *Table) life() time.Duration {
	if t.expire == 0 {
		return forever
	}
	return t.expire
}

// Apply takes what the log says about a key: it replaces whatever is here. A server "" or ttl <= 0 deletes.
func (t *Table) Apply(k Key, server string, ttl time.Duration, now int64) {
	t.Expire(now)
	if server == "" || ttl <= 0 {
		t.Delete(k)
		return
	}
	t.put(k, server, now, ttl, false)
}

// Delete forgets a key and reports whether it was there.
func (t *Table) Delete(k Key) bool {
	i, ok := t.at[k]
	if ok {
		t.drop(i)
	}
	return ok
}

// DeleteServer forgets every key of a server, for one that is no longer configured, and returns how many. O(Len).
func (t *Table) DeleteServer(server string) int {
	n := 0
	for _, i := range t.at {
		if t.slots[i].server == server {
			t.drop(i)
			n++
		}
	}
	return n
}

// Expire forgets what has expired by now and returns how many. Bind and Apply do it, too; a table that nobody writes to
// wants it called now and then. O(1) when nothing has, O(log Len) an entry that has.
func (t *Table) Expire(now int64) int {
	n := 0
	for len(t.byExpiry) > 0 && t.slots[t.byExpiry[0]].expires <= now {
		t.drop(t.byExpiry[0])
		n++
	}
	return n
}

// Resize changes bound and life for a new configuration. Entries keep the time they were promised, but for what the new
// life shortens; what exceeds the new bound goes, first to expire first.
func (t *Table) Resize(size int, expire time.Duration, now int64) {
	t.size, t.expire = max(size, 1), max(expire, 0)
	for len(t.at) > t.size {
		t.drop(t.byExpiry[0])
		t.purged++
	}
	latest := now + int64(t.life())
	for _, i := range t.at {
		if s := &t.slots[i]; s.expires > latest {
			s.expires = latest
			t.up(s.place)
		}
	}
}

// Len is the number of entries, those expired since the last write included.
func (t *Table) Len() int { return len(t.at) }

// Size is the bound of Len.
func (t *Table) Size() int { return t.size }

// Purged counts entries that went before their time because the table was full.
func (t *Table) Purged() uint64 { return t.purged }

// Range goes through the entries that are alive at now, in no order. The table must not be changed meanwhile.
func (t *Table) Range(now int64) iter.Seq2[Key, Entry] {
	return func(yield func(Key, Entry) bool) {
		for _, i := range t.byExpiry {
			s := &t.slots[i]
			if s.expires > now && !yield(s.key, Entry{s.server, s.expires, s.tentative}) {
				return
			}
		}
	}
}

// Tentative returns the bindings that the log has not confirmed, to be offered again once there is a quorum. It looks at
// n places of the table from from on and tells where to go on, 0 at the end: a large table need not be walked at once, and
// may change between two calls. What is bound meanwhile is offered anyway.
func (t *Table) Tentative(name string, from, n int, now int64) (bs []Binding, next int) {
	for i := from; i < len(t.slots); i++ {
		if i == from+n {
			return bs, i
		}
		s := &t.slots[i]
		if s.tentative && s.expires > now {
			bs = append(bs, Binding{Table: name, Key: s.key.String(), Server: s.server, Was: t.replaces[int32(i)], TTL: time.Duration(s.expires - now)})
		}
	}
	return bs, 0
}

func (t *Table) put(k Key, server string, now int64, ttl time.Duration, tentative bool) int32 {
	i, ok := t.at[k]
	if !ok {
		i = t.add(k)
	}
	s := &t.slots[i]
	s.server, s.expires, s.tentative, s.asked = server, now+int64(ttl), tentative, now
	delete(t.replaces, i)
	t.up(s.place)
	t.down(s.place)
	return i
}

// add makes room for a key; its slot goes to the end of the heap.
func (t *Table) add(k Key) int32 {
	if len(t.at) >= t.size {
		t.drop(t.byExpiry[0])
		t.purged++
	}
	i := t.free
	if i != nobody {
		t.free = t.slots[i].place
	} else {
		i = int32(len(t.slots))
		t.slots = append(t.slots, slot{})
	}
	t.slots[i] = slot{key: k, place: int32(len(t.byExpiry)), expires: int64(forever)}
	t.byExpiry = append(t.byExpiry, i)
	t.at[k] = i
	return i
}

func (t *Table) drop(i int32) {
	at, last := t.slots[i].place, int32(len(t.byExpiry)-1)
	t.swap(at, last)
	t.byExpiry = t.byExpiry[:last]
	if at < last {
		t.up(at)
		t.down(at)
	}
	delete(t.at, t.slots[i].key)
	delete(t.replaces, i)
	t.slots[i] = slot{place: t.free}
	t.free = i
}

func (t *Table) expiresAt(place int32) int64 { return t.slots[t.byExpiry[place]].expires }

func (t *Table) swap(a, b int32) {
	h := t.byExpiry
	h[a], h[b] = h[b], h[a]
	t.slots[h[a]].place, t.slots[h[b]].place = a, b
}

func (t *Table) up(at int32) {
	for at > 0 {
		parent := (at - 1) / 2
		if t.expiresAt(parent) <= t.expiresAt(at) {
			return
		}
		t.swap(at, parent)
		at = parent
	}
}

func (t *Table) down(at int32) {
	for n := int32(len(t.byExpiry)); ; {
		least := 2*at + 1
		if least >= n {
			return
		}
		if r := least + 1; r < n && t.expiresAt(r) < t.expiresAt(least) {
			least = r
		}
		if t.expiresAt(at) <= t.expiresAt(least) {
			return
		}
		t.swap(at, least)
		at = least
	}
}
