package stick

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func key(n int) Key {
	return AddrKey(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}))
}

func TestKey(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "::ffff:10.0.0.1": "10.0.0.1", "fe80::1%eth0": "fe80::1", "2001:DB8::0:1": "2001:db8::1",
	} {
		k, err := ParseKey(in)
		if err != nil || k.String() != want {
			t.Errorf("%s: got %q, %v; want %q", in, k, err, want)
		}
		if back, err := ParseKey(k.String()); err != nil || back != k {
			t.Errorf("%s does not survive the wire: %v %v", in, back, err)
		}
		if k.Addr().String() != want || k.IsZero() {
			t.Errorf("%s: address %v", in, k.Addr())
		}
	}
	for _, in := range []string{"", "10.0.0", "host", "10.0.0.1:80", "1.2.3.4/32"} {
		if k, err := ParseKey(in); err == nil || !k.IsZero() || k.String() != "" {
			t.Errorf("%q: got %v, want an error", in, k)
		}
	}
}

func server(t *testing.T, tab *Table, k Key, now int64) string {
	t.Helper()
	f, _ := tab.Lookup(k, now)
	return f.Server
}

func TestTheLogWins(t *testing.T) {
	tab := New(10, time.Minute)
	b := tab.Bind("web", key(1), "s1", 0)
	if want := (Binding{Table: "web", Key: key(1).String(), Server: "s1", TTL: time.Minute}); b != want {
		t.Errorf("to be offered: %+v, want %+v", b, want)
	}
	if f, ok := tab.Lookup(key(1), 1); !ok || !f.Tentative || f.Server != "s1" {
		t.Errorf("before the log spoke: %+v %v", f, ok)
	}
	tab.Apply(key(1), "s2", time.Minute, 2)
	if f, ok := tab.Lookup(key(1), 3); !ok || f.Tentative || f.Server != "s2" {
		t.Errorf("after the log said s2: %+v %v", f, ok)
	}
	tab.Bind("web", key(1), "s2", 4)
	if f, _ := tab.Lookup(key(1), 5); f.Tentative {
		t.Error("renewing what the log confirmed made it tentative")
	}
	tab.Bind("web", key(1), "s3", 6)
	if got, _ := tab.Tentative("web", 0, 10, 6+int64(time.Second)); len(got) != 1 || got[0].Server != "s3" || got[0].TTL != 59*time.Second || got[0].Was != "s2" {
		t.Errorf("to be offered again: %+v", got)
	}
	tab.Apply(key(1), "", 0, 7)
	if _, ok := tab.Lookup(key(1), 8); ok || tab.Len() != 0 {
		t.Error("the log deleted it, yet it is there")
	}
	if (Binding{Server: "s", TTL: 0}).Deletes() != true || b.Deletes() {
		t.Error("Deletes")
	}
	Nowhere{}.Offer(b)
}

func TestRenewalIsToldOncePerHalfLife(t *testing.T) {
	tab := New(10, 10*time.Second)
	at := func(s int) int64 { return int64(s) * int64(time.Second) }
	tab.Bind("web", key(1), "s1", at(0))
	var told []int
	for s := range 10 {
		if f, ok := tab.Lookup(key(1), at(s)); !ok {
			t.Fatalf("gone after %d s", s)
		} else if f.Renew {
			told = append(told, s)
		}
	}
	if !slices.Equal(told, []int{5}) {
		t.Errorf("told to renew at %v s, want at 5", told)
	}
	if _, ok := tab.Lookup(key(1), at(10)); ok {
		t.Error("alive at its expiry")
	}
	tab.Bind("web", key(1), "s1", at(20))
	if f, ok := tab.Lookup(key(1), at(26)); !ok || !f.Renew {
		t.Error("a bound entry is not to be renewed at its half-life")
	}
	tab.Bind("web", key(1), "s1", at(26))
	if f, ok := tab.Lookup(key(1), at(35)); !ok || !f.Renew {
		t.Error("renewed at 26 s it lives until 36 s")
	}
}

func TestForever(t *testing.T) {
	tab := New(1, 0)
	now := time.Now().UnixNano()
	tab.Bind("web", key(1), "s1", now)
	if f, ok := tab.Lookup(key(1), now+int64(100*365*24*time.Hour)); !ok || f.Renew {
		t.Errorf("an entry of a table without expire: %+v %v", f, ok)
	}
}

func TestFullTableLosesWhatExpiresFirst(t *testing.T) {
	tab := New(3, time.Minute)
	for i := range 3 {
		tab.Bind("web", key(i), "s", int64(i))
	}
	tab.Bind("web", key(0), "s", 10) // now 1 expires first
	tab.Bind("web", key(9), "s", 11)
	if server(t, tab, key(1), 12) != "" || server(t, tab, key(0), 12) != "s" || tab.Len() != 3 || tab.Purged() != 1 {
		t.Errorf("entries %v, purged %d", maps.Collect(tab.Range(12)), tab.Purged())
	}
}

func TestResize(t *testing.T) {
	tab := New(100, time.Hour)
	for i := range 100 {
		tab.Bind("web", key(i), "s", int64(i))
	}
	tab.Resize(10, time.Second, 100)
	if tab.Len() != 10 || tab.Size() != 10 || server(t, tab, key(99), 101) != "s" || server(t, tab, key(89), 101) != "" {
		t.Errorf("%d entries left", tab.Len())
	}
	if n := tab.Expire(100 + int64(time.Second)); n != 10 {
		t.Errorf("%d expired after the shorter life, want 10", n)
	}
}

func TestDeleteServer(t *testing.T) {
	tab := New(100, time.Hour)
	for i := range 20 {
		tab.Bind("web", key(i), fmt.Sprintf("s%d", i%4), 0)
	}
	if n := tab.DeleteServer("s1"); n != 5 || tab.Len() != 15 || server(t, tab, key(1), 1) != "" {
		t.Errorf("%d forgotten, %d left", n, tab.Len())
	}
	if !tab.Delete(key(0)) || tab.Delete(key(0)) {
		t.Error("Delete reports whether it was there")
	}
}

// simple is a table as one would write it without minding cost.
type simple struct {
	size    int
	entries map[Key]Entry
}

func (m *simple) expire(now int64) {
	maps.DeleteFunc(m.entries, func(_ Key, e Entry) bool { return e.Expires <= now })
}

func (m *simple) put(k Key, e Entry) (purged []Key) {
	if _, ok := m.entries[k]; !ok && len(m.entries) >= m.size {
		first := int64(1 << 62)
		for _, e := range m.entries {
			first = min(first, e.Expires)
		}
		for k, e := range m.entries {
			if e.Expires == first {
				purged = append(purged, k)
			}
		}
	}
	m.entries[k] = e
	return purged
}

func TestTableIsTheSimpleModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const life = 100
		m := &simple{rapid.IntRange(1, 8).Draw(t, "size"), map[Key]Entry{}}
		tab := New(m.size, life)
		now := int64(0)
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			now += rapid.Int64Range(0, 30).Draw(t, "later")
			k := key(rapid.IntRange(0, 12).Draw(t, "key"))
			srv := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "server")
			var maybe []Key
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				m.expire(now)
				old := m.entries[k]
				maybe = m.put(k, Entry{srv, now + life, old.Server != srv || old.Tentative})
				tab.Bind("t", k, srv, now)
			case 1:
				ttl := rapid.Int64Range(1, 2*life).Draw(t, "ttl")
				m.expire(now)
				maybe = m.put(k, Entry{srv, now + ttl, false})
				tab.Apply(k, srv, time.Duration(ttl), now)
			case 2:
				delete(m.entries, k)
				tab.Delete(k)
			case 3:
				m.expire(now)
				tab.Expire(now)
			}
			// Among those that expire at one instant either may go.
			for _, gone := range maybe {
				if _, ok := tab.at[gone]; !ok {
					delete(m.entries, gone)
				}
			}
			same(t, tab, m, now)
		}
	})
}

func same(t *rapid.T, tab *Table, m *simple, now int64) {
	want := maps.Clone(m.entries)
	maps.DeleteFunc(want, func(_ Key, e Entry) bool { return e.Expires <= now })
	if got := maps.Collect(tab.Range(now)); !maps.Equal(got, want) {
		t.Fatalf("at %d:\ngot  %v\nwant %v", now, got, want)
	}
	for k, e := range want {
		if f, ok := tab.Lookup(k, now); !ok || f.Server != e.Server || f.Tentative != e.Tentative {
			t.Fatalf("lookup of %v: %+v %v, want %+v", k, f, ok, e)
		}
	}
	if tab.Len() > m.size {
		t.Fatalf("%d entries of at most %d", tab.Len(), m.size)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	tab := New(1000, time.Hour)
	addr := netip.MustParseAddr("::ffff:10.0.0.5")
	tab.Bind("web", AddrKey(addr), "s1", 0)
	if n := testing.AllocsPerRun(1000, func() {
		if f, _ := tab.Lookup(AddrKey(addr), 1); f.Server != "s1" {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations a lookup", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	tab := New(100_000, time.Hour)
	for i := range 100_000 {
		tab.Bind("web", key(i), "s1", int64(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tab.Lookup(key(i%100_000), 5)
	}
}

func BenchmarkBindRenews(b *testing.B) {
	tab := New(100_000, time.Hour)
	for i := range 100_000 {
		tab.Bind("web", key(i), "s1", int64(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tab.Bind("web", key(i%100_000), "s1", int64(100_000+i))
	}
}

// A snapshot's entries come in any order, here the worst one.
func BenchmarkApplySnapshot(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		tab := New(100_000, time.Hour)
		for i := range 100_000 {
			tab.Apply(key(i), "s1", time.Hour-time.Duration(i), 0)
		}
	}
}
