package tally

// Ref is an entry that somebody tracks: it stays until it is released, whatever its age. The zero Ref is none, and counts
// and has nothing. A Ref is one loop's; the entry is shared.
type Ref struct {
	t *Table
	e *entry
}

// Track takes hold of a key's entry, which is made if there is none, and counts a connection. The Ref is none where the
// table is full.
func (t *Table) Track(key []byte, now int64) Ref {
	p := t.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := t.take(p, key, now)
	if e == nil {
		return Ref{}
	}
	e.refs++
	if i := t.at[ConnCur]; i >= 0 {
		e.values[i]++
	}
	t.add(e, Conn, 1, now)
	t.touch(e, now)
	return Ref{t, e}
}

// IsZero reports whether nothing is tracked.
func (r Ref) IsZero() bool { return r.e == nil }

// Table is the one that the entry is of.
func (r Ref) Table() *Table { return r.t }

// Release lets go of the entry.
func (r Ref) Release(now int64) {
	if r.e == nil {
		return
	}
	p := r.e.part
	p.mu.Lock()
	defer p.mu.Unlock()
	r.e.refs--
	if i := r.t.at[ConnCur]; i >= 0 && r.e.values[i] > 0 {
		r.e.values[i]--
	}
	r.t.touch(r.e, now)
}

// Counts reports whether the table stores anything of an event.
func (r Ref) Counts(ev Event) bool {
	return r.e != nil && (r.t.at[counted[ev].cnt] >= 0 || r.t.at[counted[ev].rate] >= 0)
}

// Add counts n events and returns their number so far, or their rate where that alone is stored.
func (r Ref) Add(ev Event, n uint64, now int64) uint64 {
	if !r.Counts(ev) {
		return 0
	}
	p := r.e.part
	p.mu.Lock()
	defer p.mu.Unlock()
	r.t.add(r.e, ev, n, now)
	r.t.touch(r.e, now)
	return r.t.after(r.e, ev, now)
}

// Read is a datum of the entry; stored is false if the table does not store it.
func (r Ref) Read(d Data, now int64) (n uint64, stored bool) {
	if r.e == nil || r.t.at[d] < 0 {
		return 0, false
	}
	p := r.e.part
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.t.value(r.e, d, now), true
}

// Set writes a number that rules keep (GPC0, GPC1, GPT0) and returns what it was.
func (r Ref) Set(d Data, n uint64, now int64) (was uint64) {
	if r.e == nil || r.t.at[d] < 0 || d.Rate() {
		return 0
	}
	p := r.e.part
	p.mu.Lock()
	defer p.mu.Unlock()
	i := r.t.at[d]
	was, r.e.values[i] = r.e.values[i], n
	r.t.touch(r.e, now)
	return was
}

// Key is the entry's key, for a look into another table.
func (r Ref) Key() string {
	if r.e == nil {
		return ""
	}
	return r.e.key // it stays as long as somebody holds the entry
}
