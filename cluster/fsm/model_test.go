package fsm

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// listPart is a part that keeps what it was told.
type listPart struct{ cmds []byte }

func (*listPart) Version() uint8 { return 2 }

func (p *listPart) Apply(_ uint64, cmd []byte) (any, error) {
	if len(cmd) == 0 {
		return nil, ErrMalformed
	}
	p.cmds = append(p.cmds, cmd[0])
	return len(p.cmds), nil
}

func (p *listPart) Snapshot() []byte { return bytes.Clone(p.cmds) }

func (p *listPart) Restore(b []byte) error {
	p.cmds = bytes.Clone(b)
	return nil
}

func newState() *State { return New(map[Type]Part{TypeLease: &listPart{}}) }

func write(t testing.TB, s *State) []byte {
	t.Helper()
	sn, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := sn.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d of %d: %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func genKey() *rapid.Generator[Key] {
	return rapid.Custom(func(t *rapid.T) Key {
		return Key{
			Table: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "table"),
			Key:   fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "key")),
		}
	})
}

func genBinding() *rapid.Generator[Binding] {
	return rapid.Custom(func(t *rapid.T) Binding {
		return Binding{
			Key:    genKey().Draw(t, "key"),
			Server: rapid.SampledFrom([]string{"s1", "s2", "s3"}).Draw(t, "server"),
			Was:    rapid.SampledFrom([]string{"", "", "s1", "s2"}).Draw(t, "was"),
			Expire: time.Duration(rapid.SampledFrom([]int{0, 5, 20, 100}).Draw(t, "expire")) * time.Second,
			Size:   rapid.SampledFrom([]int{0, 0, 5, 20}).Draw(t, "size"),
		}
	})
}

func genCommand() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		now := time.Unix(int64(1000+rapid.IntRange(0, 200).Draw(t, "now")), 0) // also backwards: leaders' clocks differ
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			var base *uint64
			if rapid.Bool().Draw(t, "with base") {
				base = new(rapid.Uint64Range(0, 5).Draw(t, "base"))
			}
			return ConfigCommand(now, base, "author", "summary", rapid.SliceOf(rapid.Byte()).Draw(t, "payload"))
		case 1:
			return Command(TypeLease, 1, rapid.SliceOf(rapid.Byte()).Draw(t, "lease"))
		case 2:
			return append([]byte{byte(TypeTables), 1}, rapid.SliceOf(rapid.Byte()).Draw(t, "garbage")...)
		}
		return TablesCommand(now, rapid.SliceOfN(genBinding(), 0, 20).Draw(t, "binds"), rapid.SliceOfN(genKey(), 0, 5).Draw(t, "deletes"))
	})
}

// Two nodes, of which one is restored from the other's snapshot halfway, agree byte for byte, and what a snapshot holds
// does not change while commands go on.
func TestSnapshotsAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := newState()
		var index uint64
		run := func(s *State, i uint64, c []byte) Result {
			r, err := s.Apply(i, c)
			if err != nil {
				rt.Fatalf("stuck: %v", err)
			}
			return r
		}
		for _, c := range rapid.SliceOfN(genCommand(), 0, 30).Draw(rt, "first") {
			index++
			run(a, index, c)
		}
		held, err := a.Snapshot()
		if err != nil {
			rt.Fatal(err)
		}
		before := write(t, a)
		b := newState()
		if err := b.Restore(bytes.NewReader(before)); err != nil {
			rt.Fatal(err)
		}
		if again := write(t, b); !bytes.Equal(before, again) {
			rt.Fatalf("snapshot, restore, snapshot differ:\n%x\n%x", before, again)
		}
		for _, c := range rapid.SliceOfN(genCommand(), 0, 30).Draw(rt, "second") {
			index++
			ra, rb := run(a, index, c), run(b, index, c)
			if fmt.Sprint(ra) != fmt.Sprint(rb) {
				rt.Fatalf("answers differ:\n%v\n%v", ra, rb)
			}
		}
		if x, y := write(t, a), write(t, b); !bytes.Equal(x, y) {
			rt.Fatalf("states differ:\n%x\n%x", x, y)
		}
		var late bytes.Buffer
		if _, err := held.WriteTo(&late); err != nil || !bytes.Equal(late.Bytes(), before) {
			rt.Fatalf("a snapshot changed after it was taken (%v)", err)
		}
	})
}

// model is the tables told simply.
type model struct {
	now     int64
	entries map[Key]Entry
}

func older(a, b Entry) int {
	ax, bx := a.Expires, b.Expires
	if ax.IsZero() != bx.IsZero() {
		if ax.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(ax.Compare(bx), a.Renewed.Compare(b.Renewed), cmp.Compare(a.Key.Key, b.Key.Key))
}

func (m *model) table(name string) (es []Entry) {
	for _, e := range m.entries {
		if e.Table == name {
			es = append(es, e)
		}
	}
	slices.SortFunc(es, older)
	return es
}

func (m *model) apply(now time.Time, binds []Binding, deletes []Key) {
	m.now = max(m.now, now.UnixNano())
	at := stamp(m.now)
	for k, e := range m.entries {
		if !e.Expires.IsZero() && !e.Expires.After(at) {
			delete(m.entries, k)
		}
	}
	for _, b := range binds {
		e := Entry{Key: b.Key, Server: b.Server, Bound: at, Renewed: at}
		if b.Expire > 0 {
			e.Expires = at.Add(b.Expire)
		}
		old, ok := m.entries[b.Key]
		switch {
		case !ok:
			for es := m.table(b.Table); b.Size > 0 && len(es) >= b.Size; es = es[1:] {
				delete(m.entries, es[0].Key)
			}
		case old.Server == b.Server:
			e.Bound = old.Bound
		case b.Was == "" || b.Was != old.Server:
			continue
		}
		m.entries[b.Key] = e
	}
	for _, k := range deletes {
		delete(m.entries, k)
	}
}

// The tables do what the model says, and who only follows the changes knows the same.
func TestTablesFollowTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newState()
		m := &model{entries: map[Key]Entry{}}
		told := map[Key]Entry{}
		for i := range rapid.IntRange(1, 30).Draw(rt, "commands") {
			now := time.Unix(int64(1000+rapid.IntRange(0, 200).Draw(rt, "now")), 0)
			binds := rapid.SliceOfN(genBinding(), 0, 10).Draw(rt, "binds")
			deletes := rapid.SliceOfN(genKey(), 0, 3).Draw(rt, "deletes")
			r, err := s.Apply(uint64(i+1), TablesCommand(now, binds, deletes))
			if err != nil || r.Err != nil {
				rt.Fatal(err, r.Err)
			}
			m.apply(now, binds, deletes)
			for _, c := range r.Changes {
				switch c.Kind {
				case Bound, Renewed, Kept:
					told[c.Key] = c.Entry
				case Deleted, Expired, Evicted:
					if _, ok := told[c.Key]; !ok {
						rt.Fatalf("%v of %v, which was not there", c.Kind, c.Key)
					}
					delete(told, c.Key)
				}
			}
			got := map[Key]Entry{}
			for e := range s.Entries("") {
				got[e.Key] = e
			}
			for name, other := range map[string]map[Key]Entry{"model": m.entries, "follower": told} {
				if fmt.Sprint(other) != fmt.Sprint(got) {
					rt.Fatalf("command %d: the %s has\n%v\nthe state has\n%v", i, name, other, got)
				}
			}
			sum := 0
			for _, ti := range s.Tables() {
				sum += ti.Entries
			}
			if sum != len(got) {
				rt.Fatalf("tables count %d entries of %d", sum, len(got))
			}
		}
	})
}

func FuzzApply(f *testing.F) {
	now := time.Unix(1000, 0)
	base := uint64(0)
	f.Add(ConfigCommand(now, &base, "a", "s", []byte("payload")))
	f.Add(TablesCommand(now, []Binding{
		{Key: Key{"t", "k"}, Server: "s", Expire: time.Second, Size: 2}, {Key: Key{"t", "k2"}, Server: "s", Was: "r"},
	}, []Key{{"t", "k"}}))
	f.Add(Command(TypeLease, 1, []byte{1}))
	f.Add([]byte{9, 1})
	f.Fuzz(func(t *testing.T, cmd []byte) {
		s := newState()
		seed := TablesCommand(now, []Binding{{Key: Key{"t", "k"}, Server: "s"}}, nil)
		if _, err := s.Apply(1, seed); err != nil {
			t.Fatal(err)
		}
		before := write(t, s)
		r, err := s.Apply(2, cmd)
		if err != nil {
			if !errors.As(err, new(*UnknownError)) || s.Stuck() == nil {
				t.Fatalf("stopped by %v", err)
			}
			if _, err := s.Snapshot(); err == nil {
				t.Fatal("a snapshot of a state that is stuck")
			}
			return
		}
		after := write(t, s)
		if r.Err != nil && len(cmd) >= 2 && !bytes.Equal(before[18:], after[18:]) { // all but the index
			t.Fatalf("%v, but the state changed", r.Err)
		}
		n := newState()
		if err := n.Restore(bytes.NewReader(after)); err != nil {
			t.Fatalf("snapshot after %x: %v", cmd, err)
		}
	})
}

func FuzzRestore(f *testing.F) {
	s := newState()
	f.Add(write(f, s))
	_, _ = s.Apply(1, ConfigCommand(time.Unix(1, 0), nil, "a", "s", []byte("p")))
	_, _ = s.Apply(2, TablesCommand(time.Unix(1, 0), []Binding{{Key: Key{"t", "k"}, Server: "s"}}, nil))
	_, _ = s.Apply(3, Command(TypeLease, 1, []byte{7}))
	f.Add(write(f, s))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := newState()
		if err := n.Restore(bytes.NewReader(b)); err != nil {
			if !errors.Is(err, ErrSnapshot) {
				t.Fatalf("%v", err)
			}
			return
		}
		again := newState() // what is accepted can be written and read again
		if err := again.Restore(bytes.NewReader(write(t, n))); err != nil {
			t.Fatal(err)
		}
	})
}
