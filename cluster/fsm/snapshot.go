package fsm

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// A snapshot is magic, format version, index of the newest command, then sections in the order of their types: type, format version of the section,
// contents; a zero byte ends it. Raft's snapshot store adds the checksum.
const (
	snapshotMagic  = "reeve-fsm"
	snapshotFormat = 1
)

// ErrSnapshot: a snapshot that this program can't read: damaged, or of a newer one.
var ErrSnapshot = errors.New("unreadable snapshot")

// Snapshot is the state at one moment. It may be written while commands go on.
type Snapshot struct {
	index   uint64
	history []ConfigVersion
	now     int64
	tables  map[string][shards]*shard
	parts   map[Type][]byte
	version map[Type]uint8
}

// Snapshot takes the state at this moment, in time that does not depend on how many entries there are. A State that is
// stuck has none: its log must be kept for a newer program.
func (s *State) Snapshot() (*Snapshot, error) {
	if s.stuck != nil {
		return nil, s.stuck
	}
	sn := &Snapshot{
		index:   s.index,
		history: s.configs.history[:len(s.configs.history):len(s.configs.history)],
		now:     s.tables.now,
		tables:  make(map[string][shards]*shard, len(s.tables.m)),
		parts:   map[Type][]byte{},
		version: map[Type]uint8{},
	}
	for name, t := range s.tables.m {
		for _, sh := range t.shards {
			if sh != nil {
				sh.frozen = true
			}
		}
		sn.tables[name] = t.shards
	}
	for t, p := range s.parts {
		sn.parts[t], sn.version[t] = p.Snapshot(), p.Version()
	}
	return sn, nil
}

// WriteTo writes the snapshot; equal states give equal bytes.
func (sn *Snapshot) WriteTo(w io.Writer) (int64, error) {
	c := &counting{w: w}
	b := bufio.NewWriterSize(c, 64<<10)
	b.WriteString(snapshotMagic)
	b.WriteByte(snapshotFormat)
	b.Write(binary.BigEndian.AppendUint64(nil, sn.index))
	sn.writeConfigs(b)
	sn.writeTables(b)
	for _, t := range slices.Sorted(maps.Keys(sn.parts)) {
		b.WriteByte(byte(t))
		b.WriteByte(sn.version[t])
		b.Write(binary.AppendUvarint(nil, uint64(len(sn.parts[t]))))
		b.Write(sn.parts[t])
	}
	b.WriteByte(0)
	err := b.Flush() // bufio keeps the first error
	return c.n, err
}

type counting struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (sn *Snapshot) writeConfigs(w *bufio.Writer) {
	b := []byte{byte(TypeConfig), configVersion}
	b = binary.AppendUvarint(b, uint64(len(sn.history)))
	w.Write(b)
	for _, v := range sn.history {
		b = binary.AppendUvarint(b[:0], v.Version)
		b = appendTime(b, v.Time.UnixNano())
		b = appendString(b, v.Author)
		b = appendString(b, v.Summary)
		b = binary.AppendUvarint(b, uint64(len(v.Payload)))
		w.Write(b)
		w.Write(v.Payload)
	}
}

func (sn *Snapshot) writeTables(w *bufio.Writer) {
	b := []byte{byte(TypeTables), tablesVersion}
	b = appendTime(b, sn.now)
	b = binary.AppendUvarint(b, uint64(len(sn.tables)))
	w.Write(b)
	for _, name := range slices.Sorted(maps.Keys(sn.tables)) {
		var items []*item
		for _, sh := range sn.tables[name] {
			if sh != nil {
				for _, it := range sh.m {
					items = append(items, it)
				}
			}
		}
		slices.SortFunc(items, func(a, b *item) int { return strings.Compare(a.key, b.key) })
		b = binary.AppendUvarint(appendString(b[:0], name), uint64(len(items)))
		w.Write(b)
		for _, it := range items {
			b = appendString(appendString(b[:0], it.key), it.server)
			b = appendTime(appendTime(appendTime(b, it.bound), it.renewed), it.expires)
			w.Write(b)
		}
	}
}

// Restore replaces the state by what WriteTo wrote. After an error the state is as before, except that a part may have
// been restored: do not use it.
func (s *State) Restore(r io.Reader) error {
	n := New(s.parts)
	sr := &snapReader{r: bufio.NewReaderSize(r, 64<<10)}
	if magic := sr.take(len(snapshotMagic) + 1); sr.err == nil && string(magic) != snapshotMagic+string(rune(snapshotFormat)) {
		return fmt.Errorf("%w: unknown format", ErrSnapshot)
	}
	n.index = uint64(sr.time())
	for sr.err == nil {
		t := Type(sr.byte())
		if t == 0 {
			break
		}
		if v := sr.byte(); sr.err == nil && !n.knows(t, v) {
			return fmt.Errorf("%w: section %v version %d is of a newer program", ErrSnapshot, t, v)
		}
		switch t {
		case TypeConfig:
			n.readConfigs(sr)
		case TypeTables:
			n.readTables(sr)
		default:
			p := sr.bytes(1 << 30)
			if sr.err == nil {
				if err := n.parts[t].Restore(p); err != nil {
					return fmt.Errorf("%w: %v: %w", ErrSnapshot, t, err)
				}
			}
		}
	}
	if sr.err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, sr.err)
	}
	*s = *n
	return nil
}

func (s *State) readConfigs(r *snapReader) {
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		v := ConfigVersion{Version: r.uvarint(), Time: time.Unix(0, r.time()).UTC()}
		v.Author, v.Summary, v.Payload = string(r.bytes(maxName)), string(r.bytes(maxName)), r.bytes(maxConfig)
		if r.err == nil {
			s.configs.push(v)
		}
	}
}

func (s *State) readTables(r *snapReader) {
	s.tables.now = r.time()
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		name := string(r.bytes(MaxServer))
		t := &table{}
		for k := r.uvarint(); k > 0 && r.err == nil; k-- {
			it := &item{key: string(r.bytes(MaxKey)), server: string(r.bytes(MaxServer))}
			it.bound, it.renewed, it.expires = r.time(), r.time(), r.time()
			if r.err == nil {
				t.put(it, t.get(it.key))
			}
		}
		if len(t.queue) > 0 {
			s.tables.m[name] = t
		}
	}
}

// snapReader reads with a sticky error.
type snapReader struct {
	r   *bufio.Reader
	err error
}

func (r *snapReader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	// Grow with what really comes: a damaged length must not allocate gigabytes.
	b := make([]byte, 0, min(n, 64<<10))
	for len(b) < n && r.err == nil {
		k := min(n-len(b), 64<<10)
		at := len(b)
		b = append(b, make([]byte, k)...)
		_, r.err = io.ReadFull(r.r, b[at:])
	}
	if r.err != nil {
		return nil
	}
	return b
}

func (r *snapReader) byte() byte {
	if r.err != nil {
		return 0
	}
	c, err := r.r.ReadByte()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	r.err = err
	return c
}

func (r *snapReader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(r.r)
	r.err = err
	return v
}

func (r *snapReader) time() int64 {
	b := r.take(8)
	if r.err != nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}

func (r *snapReader) bytes(max uint64) []byte {
	n := r.uvarint()
	if r.err == nil && n > max {
		r.err = fmt.Errorf("length %d over %d: %w", n, max, ErrMalformed)
	}
	if r.err != nil {
		return nil
	}
	return r.take(int(n))
}
