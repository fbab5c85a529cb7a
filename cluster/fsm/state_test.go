package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func mustApply(t *testing.T, s *State, i uint64, cmd []byte) Result {
	t.Helper()
	r, err := s.Apply(i, cmd)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConfigVersions(t *testing.T) {
	s := newState()
	if _, ok := s.Config(); ok {
		t.Fatal("a new state has a version")
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	zero, one := uint64(0), uint64(1)
	if r := mustApply(t, s, 1, ConfigCommand(at, &zero, "ann", "first", []byte("p1"))); r.Err != nil || r.Config.Version != 1 {
		t.Fatalf("%+v", r)
	}
	r := mustApply(t, s, 2, ConfigCommand(at, &zero, "bob", "too late", []byte("p2")))
	if ce, ok := errors.AsType[*ConflictError](r.Err); !ok || ce.Base != 0 || ce.Current != 1 {
		t.Fatalf("got %v, want a conflict", r.Err)
	}
	mustApply(t, s, 3, ConfigCommand(at, &one, "bob", "second", []byte("p2")))
	mustApply(t, s, 4, ConfigCommand(at, nil, "eve", "any", nil))
	v, _ := s.Config()
	h := s.History()
	if v.Version != 3 || v.Author != "eve" || len(h) != 3 || string(h[1].Payload) != "p2" || !h[0].Time.Equal(at) || h[0].Summary != "first" {
		t.Errorf("history %+v", h)
	}
	for i := range 2 * MaxHistory {
		mustApply(t, s, uint64(5+i), ConfigCommand(at, nil, "", "", []byte("x")))
	}
	h = s.History()
	if len(h) != MaxHistory || h[MaxHistory-1].Version != 3+2*MaxHistory || h[0].Version != h[MaxHistory-1].Version-MaxHistory+1 {
		t.Errorf("%d versions, %d to %d", len(h), h[0].Version, h[len(h)-1].Version)
	}
	big := bytes.Repeat([]byte("x"), maxConfig)
	for i := range 8 {
		mustApply(t, s, uint64(500+i), ConfigCommand(at, nil, "", "", big))
	}
	if h = s.History(); len(h) > maxHistoryBytes/maxConfig || len(h) < 2 {
		t.Errorf("%d versions of %d bytes are kept", len(h), maxConfig)
	}
}

func TestUnknownCommandsStopForGood(t *testing.T) {
	for _, cmd := range [][]byte{{99, 1}, {byte(TypeConfig), configVersion + 1}, {byte(TypeTables), 0}, {byte(TypeLease), 3}} {
		t.Run(fmt.Sprint(cmd), func(t *testing.T) {
			s := newState()
			mustApply(t, s, 6, ConfigCommand(time.Unix(1, 0), nil, "", "", []byte("kept")))
			_, err := s.Apply(7, cmd)
			ue, ok := errors.AsType[*UnknownError](err)
			if !ok || ue.Index != 7 || !strings.Contains(err.Error(), "upgrade this node") {
				t.Fatalf("got %v", err)
			}
			if _, err := s.Apply(8, ConfigCommand(time.Unix(1, 0), nil, "", "", []byte("later"))); err == nil {
				t.Error("went on applying")
			}
			if v, _ := s.Config(); string(v.Payload) != "kept" || s.Index() != 6 {
				t.Errorf("has %q, index %d", v.Payload, s.Index())
			}
			if _, err := s.Snapshot(); err == nil {
				t.Error("made a snapshot, after which the log would be dropped")
			}
		})
	}
	s := newState()
	if r := mustApply(t, s, 1, Command(TypeLease, 2, []byte{5})); r.Err != nil || r.Value != 1 {
		t.Errorf("a known version of a part: %+v", r)
	}
}

func TestStickyEntries(t *testing.T) {
	at := func(sec int) time.Time { return time.Unix(int64(1000+sec), 0).UTC() }
	k := Key{"web", "10.0.0.1"}
	bind := func(server, was string) []Binding {
		return []Binding{{Key: k, Server: server, Was: was, Expire: 10 * time.Second}}
	}
	steps := []struct {
		name    string
		cmd     []byte
		changes string // kind:server
		server  string
	}{
		{"first writer", TablesCommand(at(0), bind("a", ""), nil), "bound:a", "a"},
		{"second writer loses and is told", TablesCommand(at(1), bind("b", ""), nil), "kept:a", "a"},
		{"redispatch from another server loses", TablesCommand(at(2), bind("b", "c"), nil), "kept:a", "a"},
		{"redispatch", TablesCommand(at(3), bind("b", "a"), nil), "bound:b", "b"},
		{"renewal by a clock that is behind", TablesCommand(at(1), bind("b", ""), nil), "renewed:b", "b"},
		{"age counts from the newest stamp", TablesCommand(at(12), nil, nil), "", "b"},
		{"expiry before the batch's own bindings", TablesCommand(at(13), bind("c", ""), nil), "expired:b bound:c", "c"},
		{"deleted", TablesCommand(at(14), nil, []Key{k, {"web", "nobody"}, {"none", "x"}}), "deleted:c", ""},
		{"nothing left to expire", TablesCommand(at(99), nil, nil), "", ""},
	}
	s := newState()
	for i, st := range steps {
		r := mustApply(t, s, uint64(i+1), st.cmd)
		var got []string
		for _, c := range r.Changes {
			got = append(got, c.Kind.String()+":"+c.Server)
		}
		e, _ := s.Lookup(k)
		if strings.Join(got, " ") != st.changes || e.Server != st.server {
			t.Errorf("%s: changes %v and server %q, want %q and %q", st.name, got, e.Server, st.changes, st.server)
		}
	}
	if len(s.Tables()) != 0 {
		t.Errorf("empty tables stay: %v", s.Tables())
	}
}

func TestBatchesOfOtherNodesAreCheckedAndStamped(t *testing.T) {
	cmd := TablesCommand(time.Unix(0, 0), []Binding{{Key: Key{"t", "k"}, Server: "s"}}, []Key{{"t", "x"}})
	if err := Restamp(cmd, time.Unix(50, 0)); err != nil {
		t.Fatal(err)
	}
	s := newState()
	mustApply(t, s, 1, cmd)
	if e, _ := s.Lookup(Key{"t", "k"}); !e.Bound.Equal(time.Unix(50, 0)) {
		t.Errorf("bound at %v", e.Bound)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "config": ConfigCommand(time.Unix(1, 0), nil, "", "", nil),
		"newer": append([]byte{byte(TypeTables), 9}, cmd[2:]...), "cut": cmd[:len(cmd)-1], "more": append(bytes.Clone(cmd), 0),
	} {
		if err := Restamp(bad, time.Unix(1, 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, b := range []Binding{
		{}, {Key: Key{"t", ""}, Server: "s"}, {Key: Key{"", "k"}, Server: "s"}, {Key: Key{"t", "k"}},
		{Key: Key{"t", strings.Repeat("k", MaxKey+1)}, Server: "s"}, {Key: Key{"t", "k"}, Server: strings.Repeat("s", MaxServer+1)},
	} {
		if b.Fits() {
			t.Errorf("%+v fits", b)
		}
	}
}

func TestDamagedSnapshotsAreRefused(t *testing.T) {
	s := newState()
	mustApply(t, s, 1, ConfigCommand(time.Unix(1, 0), nil, "a", "s", []byte("p")))
	mustApply(t, s, 2, TablesCommand(time.Unix(1, 0), []Binding{{Key: Key{"t", "k"}, Server: "s"}}, nil))
	whole := write(t, s)
	for i := range whole {
		n := newState()
		if err := n.Restore(bytes.NewReader(whole[:i])); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		if _, ok := n.Config(); ok {
			t.Fatalf("cut at %d: half of it was taken", i)
		}
	}
	newer := bytes.Clone(whole)
	newer[len(snapshotMagic)]++
	if err := newState().Restore(bytes.NewReader(newer)); !errors.Is(err, ErrSnapshot) {
		t.Errorf("newer format: %v", err)
	}
	if err := New(nil).Restore(bytes.NewReader(whole)); !errors.Is(err, ErrSnapshot) {
		t.Errorf("a part that is not known: %v", err)
	}
}

func BenchmarkBind(b *testing.B) {
	s := newState()
	var binds []Binding
	for i := range 1000 {
		binds = append(binds, Binding{Key: Key{"web", fmt.Sprintf("10.0.%d.%d", i/250, i%250)}, Server: "srv1", Expire: time.Hour})
	}
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		i++
		if _, err := s.Apply(i, TablesCommand(time.Unix(int64(i), 0), binds, nil)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(i)/1000, "ns/entry")
}

// A snapshot of a big table must not hold up applying.
func BenchmarkSnapshotOfMillion(b *testing.B) {
	s := newState()
	var binds []Binding
	for i := range 1 << 20 {
		binds = append(binds, Binding{Key: Key{"web", fmt.Sprint(i)}, Server: "srv1"})
	}
	if _, err := s.Apply(1, TablesCommand(time.Unix(1, 0), binds, nil)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Snapshot(); err != nil {
			b.Fatal(err)
		}
	}
}
