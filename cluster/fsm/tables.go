package fsm

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// MaxEntries is the most a table holds, whatever a binding asks for.
	MaxEntries = 4 << 20
	// MaxTables is the most tables there are; bindings into others are dropped.
	MaxTables = 1024
	// MaxKey bounds a key in bytes.
	MaxKey = 1024
	// MaxServer bounds a server's or a table's name in bytes.
	MaxServer = 256

	shards        = 256
	tablesVersion = 1
	never         = math.MaxInt64
)

const (
	opBind uint8 = iota + 1
	opReplace
	opDelete
)

// Fits reports whether a binding can be written into a command.
func (b *Binding) Fits() bool {
	return len(b.Table) > 0 && len(b.Table) <= MaxServer && b.Key.fits() && len(b.Server) > 0 && len(b.Server) <= MaxServer &&
		len(b.Was) <= MaxServer
}

func (k Key) fits() bool { return len(k.Key) > 0 && len(k.Key) <= MaxKey }

// TablesCommand is the command of one batch: bindings in their order, then deletes. Both empty: only age counts.
// Bindings that don't fit (see Binding.Fits) must not be passed.
func TablesCommand(now time.Time, binds []Binding, deletes []Key) []byte {
	b := []byte{byte(TypeTables), tablesVersion}
	b = appendTime(b, now.UnixNano())
	for i := 0; i < len(binds); {
		j := i + 1
		for j < len(binds) && binds[j].Table == binds[i].Table && binds[j].Size == binds[i].Size && binds[j].Expire == binds[i].Expire {
			j++
		}
		b = appendGroup(b, binds[i].Table, binds[i].Size, binds[i].Expire, j-i)
		for ; i < j; i++ {
			b = appendBind(b, &binds[i])
		}
	}
	for i := 0; i < len(deletes); {
		j := i + 1
		for j < len(deletes) && deletes[j].Table == deletes[i].Table {
			j++
		}
		b = appendGroup(b, deletes[i].Table, 0, 0, j-i)
		for ; i < j; i++ {
			b = appendString(append(b, opDelete), deletes[i].Key)
		}
	}
	return b
}

func appendGroup(b []byte, table string, size int, expire time.Duration, n int) []byte {
	b = appendString(b, table)
	b = binary.AppendUvarint(b, uint64(min(max(size, 0), MaxEntries)))
	b = binary.AppendUvarint(b, uint64(max(expire, 0).Milliseconds()))
	return binary.AppendUvarint(b, uint64(n))
}

func appendBind(b []byte, w *Binding) []byte {
	if w.Was == "" {
		return appendString(appendString(append(b, opBind), w.Key.Key), w.Server)
	}
	return appendString(appendString(appendString(append(b, opReplace), w.Key.Key), w.Server), w.Was)
}

// item is an entry as it is kept. All but pos never changes once it is in a shard, so that a snapshot may read it.
type item struct {
	key, server             string
	bound, renewed, expires int64
	pos                     int // in the table's queue
}

// order is by what goes first: age, then last use, then key, so that it is the same on every node.
func (a *item) order(b *item) int {
	return cmp.Or(cmp.Compare(a.expires, b.expires), cmp.Compare(a.renewed, b.renewed), strings.Compare(a.key, b.key))
}

// shard is a part of a table. Once frozen (a snapshot reads it) it is copied before it is changed.
type shard struct {
	m      map[string]*item
	frozen bool
}

type table struct {
	shards [shards]*shard
	queue  queue
}

type tables struct {
	now int64 // the newest stamp; time never runs backwards, even when leaders' clocks differ
	m   map[string]*table
}

// Restamp puts the leader's time into a tables command made by another node, after checking that it can be read.
func Restamp(cmd []byte, now time.Time) error {
	if len(cmd) < 10 || Type(cmd[0]) != TypeTables || cmd[1] != tablesVersion {
		return ErrMalformed
	}
	r := reader{b: cmd[2:]}
	r.time("time")
	if _, err := readOps(&r); err != nil {
		return err
	}
	binary.BigEndian.PutUint64(cmd[2:], uint64(max(now.UnixNano(), 0)))
	return nil
}

// shardOf is FNV-1a, folded.
func shardOf(key string) uint8 {
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return uint8(h ^ h>>8 ^ h>>16 ^ h>>24)
}

func (t *table) get(key string) *item {
	if s := t.shards[shardOf(key)]; s != nil {
		return s.m[key]
	}
	return nil
}

func (t *table) writable(key string) *shard {
	i := shardOf(key)
	s := t.shards[i]
	switch {
	case s == nil:
		s = &shard{m: map[string]*item{}}
	case s.frozen:
		s = &shard{m: maps.Clone(s.m)}
	default:
		return s
	}
	t.shards[i] = s
	return s
}

// put adds it, or puts it in the place of old.
func (t *table) put(it, old *item) {
	t.writable(it.key).m[it.key] = it
	if old == nil {
		t.queue.push(it)
	} else {
		t.queue.replace(old.pos, it)
	}
}

func (t *table) drop(it *item) {
	delete(t.writable(it.key).m, it.key)
	t.queue.remove(it.pos)
}

func (s *tables) apply(p []byte) ([]Change, error) {
	r := reader{b: p}
	stamp := r.time("time")
	ops, err := readOps(&r)
	if err != nil {
		return nil, err
	}
	s.now = max(s.now, stamp)
	changes := s.expire(nil)
	for i := range ops {
		changes = s.run(changes, &ops[i])
	}
	return changes, nil
}

type op struct {
	kind        uint8
	table, key  string
	server, was string
	expire      int64
	size        int
}

// readOps reads all of a batch before any of it is run: a malformed one changes nothing.
func readOps(r *reader) ([]op, error) {
	var ops []op
	for r.err == nil && len(r.b) > 0 {
		g := op{table: r.string("table", MaxServer)}
		g.size = int(r.uvarint("size", MaxEntries))
		g.expire = int64(r.uvarint("expire", uint64(math.MaxInt64)/uint64(time.Millisecond))) * int64(time.Millisecond)
		n := r.uvarint("count", uint64(len(r.b)))
		if n == 0 || g.table == "" {
			r.fail("group")
		}
		for ; n > 0 && r.err == nil; n-- {
			o := g
			if o.kind = r.byte("op"); o.kind < opBind || o.kind > opDelete {
				r.fail("op")
			}
			if o.key = r.string("key", MaxKey); o.key == "" {
				r.fail("key")
			}
			if o.kind != opDelete {
				if o.server = r.string("server", MaxServer); o.server == "" {
					r.fail("server")
				}
			}
			if o.kind == opReplace {
				o.was = r.string("was", MaxServer)
			}
			ops = append(ops, o)
		}
	}
	return ops, r.end()
}

func (s *tables) run(changes []Change, o *op) []Change {
	t := s.m[o.table]
	if o.kind == opDelete {
		if t == nil {
			return changes
		}
		if it := t.get(o.key); it != nil {
			t.drop(it)
			changes = append(changes, change(Deleted, o.table, it))
			s.tidy(o.table, t)
		}
		return changes
	}
	if t == nil {
		if len(s.m) >= MaxTables {
			return changes
		}
		t = &table{}
		s.m[o.table] = t
	}
	old := t.get(o.key)
	it := &item{key: o.key, server: o.server, bound: s.now, renewed: s.now, expires: never}
	if o.expire > 0 && s.now <= never-o.expire {
		it.expires = s.now + o.expire
	}
	switch {
	case old == nil:
		changes = s.evict(changes, o, t)
		t.put(it, nil)
		return append(changes, change(Bound, o.table, it))
	case old.server == o.server:
		it.server, it.bound = old.server, old.bound
		t.put(it, old)
		return append(changes, change(Renewed, o.table, it))
	case o.kind == opReplace && old.server == o.was:
		t.put(it, old)
		return append(changes, change(Bound, o.table, it))
	}
	return append(changes, change(Kept, o.table, old))
}

// evict makes room for one entry.
func (s *tables) evict(changes []Change, o *op, t *table) []Change {
	size := o.size
	if size == 0 {
		size = MaxEntries
	}
	for len(t.queue) >= size {
		it := t.queue[0]
		t.drop(it)
		changes = append(changes, change(Evicted, o.table, it))
	}
	return changes
}

// expire drops what is over, table by table in the order of their names.
func (s *tables) expire(changes []Change) []Change {
	var due []string
	for name, t := range s.m {
		if len(t.queue) > 0 && t.queue[0].expires <= s.now {
			due = append(due, name)
		}
	}
	slices.Sort(due)
	for _, name := range due {
		t := s.m[name]
		for len(t.queue) > 0 && t.queue[0].expires <= s.now {
			it := t.queue[0]
			t.drop(it)
			changes = append(changes, change(Expired, name, it))
		}
		s.tidy(name, t)
	}
	return changes
}

// tidy forgets an empty table.
func (s *tables) tidy(name string, t *table) {
	if len(t.queue) == 0 {
		delete(s.m, name)
	}
}

func change(k ChangeKind, name string, it *item) Change {
	return Change{Kind: k, Entry: it.entry(name)}
}

func (a *item) entry(name string) Entry {
	e := Entry{Key: Key{Table: name, Key: a.key}, Server: a.server, Bound: stamp(a.bound), Renewed: stamp(a.renewed)}
	if a.expires != never {
		e.Expires = stamp(a.expires)
	}
	return e
}

func stamp(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// queue is a binary heap, what goes first on top; each item knows its place.
type queue []*item

func (q queue) set(i int, it *item) {
	q[i] = it
	it.pos = i
}

func (q *queue) push(it *item) {
	*q = append(*q, it)
	q.up(len(*q)-1, it)
}

func (q queue) replace(i int, it *item) {
	q.set(i, it)
	q.fix(i)
}

func (q *queue) remove(i int) {
	n := len(*q) - 1
	last := (*q)[n]
	(*q)[n] = nil
	*q = (*q)[:n]
	if i < n {
		q.replace(i, last)
	}
}

func (q queue) fix(i int) {
	it := q[i]
	if q.up(i, it); it.pos == i {
		q.down(i, it)
	}
}

func (q queue) up(i int, it *item) {
	for i > 0 {
		p := (i - 1) / 2
		if q[p].order(it) <= 0 {
			break
		}
		q.set(i, q[p])
		i = p
	}
	q.set(i, it)
}

func (q queue) down(i int, it *item) {
	for {
		c := 2*i + 1
		if c >= len(q) {
			break
		}
		if c+1 < len(q) && q[c+1].order(q[c]) < 0 {
			c++
		}
		if it.order(q[c]) <= 0 {
			break
		}
		q.set(i, q[c])
		i = c
	}
	q.set(i, it)
}
