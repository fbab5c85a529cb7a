package tally

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
)

const second = int64(time.Second)

func table(t *testing.T, size int, expire time.Duration, stores ...string) *Table {
	t.Helper()
	c := Config{Size: size, Expire: expire, Type: String}
	for _, text := range stores {
		s, err := ParseStore(text)
		if err != nil {
			t.Fatal(err)
		}
		c.Stores = append(c.Stores, s)
	}
	return New(c)
}

func TestParseStore(t *testing.T) {
	for text, want := range map[string]string{
		"gpc0": "", "http_req_rate(10s)": "", "conn_rate(500)": "", "bytes_in_rate(1d)": "",
		"gpc0(3)":            "'gpc0' is no rate and has no period",
		"http_req_rate":      "'http_req_rate' needs its period: http_req_rate(10s)",
		"http_req_rate(10s":  "'http_req_rate' needs its period: http_req_rate(10s)",
		"http_req_rate(10x)": "'http_req_rate' needs its period: http_req_rate(10s)",
		"http_req_rate(0)":   "'http_req_rate' needs its period: http_req_rate(10s)",
		"conn_rate(30d)":     "'conn_rate' needs its period: conn_rate(10s)",
		"http_request_rate":  "'http_request_rate' is nothing that a stick-table stores",
		"server_id":          "'store server_id' is not supported yet",
	} {
		got := ""
		if _, err := ParseStore(text); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if s, _ := ParseStore("conn_rate(500)"); s != (Store{ConnRate, 500 * time.Millisecond}) {
		t.Errorf("%+v", s)
	}
}

// A rate is what happened within the period that ends now; of the window before as much as is left.
func TestRate(t *testing.T) {
	var r rate
	const period = 10 * second
	at := func(now int64, want uint64) {
		t.Helper()
		if got := r.read(period, now); got != want {
			t.Errorf("after %v the rate is %d, want %d", time.Duration(now), got, want)
		}
	}
	begin := 1000 * second
	at(begin, 0)
	for range 100 {
		r.add(1, period, begin)
	}
	at(begin+9*second, 100)
	at(begin+15*second, 50)
	r.add(1, period, begin+15*second)
	at(begin+15*second, 51)
	at(begin+19*second, 11)
	at(begin+20*second, 1)
	at(begin+29*second, 1) // a single event does not fade
	at(begin+30*second, 0)
	r.add(7, period, begin+100*second)
	at(begin+100*second, 7)
}

func TestCounts(t *testing.T) {
	tb := table(t, 10, time.Minute, "conn_cnt", "conn_cur", "http_req_rate(10s)", "gpc0", "gpt0", "bytes_in_cnt")
	now := 50 * second
	read := func(d Data, want uint64) {
		t.Helper()
		if got, ok := tb.Read([]byte("k"), d, now); !ok || got != want {
			t.Errorf("%s is %d (%v), want %d", d, got, ok, want)
		}
	}
	read(ConnCnt, 0)
	a, b := tb.Track([]byte("k"), now), tb.Track([]byte("k"), now)
	a.Add(Req, 1, now)
	b.Add(Req, 1, now)
	b.Add(In, 1000, now)
	b.Add(Err, 1, now) // not stored
	read(ConnCnt, 2)
	read(ConnCur, 2)
	read(ReqRate, 2)
	read(InCnt, 1000)
	b.Release(now)
	read(ConnCur, 1)
	if n := a.Add(General0, 1, now); n != 1 {
		t.Errorf("gpc0 is %d after one", n)
	}
	if was := tb.Set([]byte("k"), GPC0, 0, now); was != 1 {
		t.Errorf("gpc0 was %d before it was cleared", was)
	}
	a.Set(GPT0, 7, now)
	read(GPT0, 7)
	if _, stored := tb.Read([]byte("k"), ErrCnt, now); stored {
		t.Error("what is not stored is told")
	}
	if tb.Has([]byte("other"), now) {
		t.Error("reading made an entry")
	}
	a.Release(now)
	var none Ref
	none.Add(Req, 1, now)
	none.Release(now)
}

// What is tracked stays whatever its age; the rest goes when its time is over, or when there is no room.
func TestEntriesGo(t *testing.T) {
	tb := table(t, 3, time.Minute, "conn_cnt")
	held := tb.Track([]byte("held"), 0)
	for i := range 5 {
		tb.Track(fmt.Append(nil, "k", i), int64(i)).Release(int64(i))
	}
	if tb.Len() != 3 || !tb.Has([]byte("held"), 10) || tb.Has([]byte("k2"), 10) || !tb.Has([]byte("k3"), 10) || !tb.Has([]byte("k4"), 10) {
		t.Errorf("the wrong ones went, %d are left", tb.Len())
	}
	late := 120 * second
	if tb.Has([]byte("k4"), late) || !tb.Has([]byte("held"), late) {
		t.Error("an entry outlives its time, or one that is held does not")
	}
	held.Release(late)
	if !tb.Has([]byte("held"), late+59*second) || tb.Has([]byte("held"), late+61*second) {
		t.Error("a life begins when the entry is let go of")
	}
	full := New(Config{Size: 1, NoPurge: true, Type: String})
	full.Track([]byte("a"), 0).Release(0)
	if r := full.Track([]byte("b"), 1); !r.IsZero() || !full.Has([]byte("a"), 1) {
		t.Error("a table that purges nothing has purged")
	}
	all := table(t, 1, 0, "conn_cnt")
	one := all.Track([]byte("a"), 0)
	if r := all.Track([]byte("b"), 1); !r.IsZero() {
		t.Error("an entry that is held went")
	}
	one.Release(1)
	tb.Resize(Config{Size: 1, Expire: time.Hour})
	tb.Track([]byte("last"), late).Release(late)
	if tb.Len() != 1 || !tb.Has([]byte("last"), late+59*60*second) {
		t.Errorf("%d entries after the table has shrunk", tb.Len())
	}
}

func TestKeys(t *testing.T) {
	four, six := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("2001:db8::1")
	if k, ok := IP.AddrKey(nil, netip.MustParseAddr("::ffff:10.1.2.3")); !ok || string(k) != "\x0a\x01\x02\x03" {
		t.Errorf("%x", k)
	}
	if _, ok := IP.AddrKey(nil, six); ok {
		t.Error("an IPv6 address is a key among IPv4 ones")
	}
	if k, ok := IPv6.AddrKey(nil, four); !ok || len(k) != 16 {
		t.Errorf("%x", k)
	}
	str, bin := New(Config{Type: String, Len: 4, Size: 1}), New(Config{Type: Binary, Len: 4, Size: 1})
	if k := str.TextKey(nil, []byte("abcdef")); string(k) != "abcd" {
		t.Errorf("%q", k)
	}
	if k := bin.TextKey(nil, []byte("a")); string(k) != "a\x00\x00\x00" {
		t.Errorf("%q", k)
	}
	if k := NumberKey(nil, 1<<32+5); string(k) != "\x00\x00\x00\x05" {
		t.Errorf("%x", k)
	}
}

// Loops that count at once lose nothing, in a table of one part as in one of many.
func TestCountingAtOnce(t *testing.T) {
	for _, size := range []int{100, partsFrom} {
		tb := table(t, size, time.Minute, "conn_cnt", "conn_cur", "http_req_rate(1h)")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for i := range 1000 {
					r := tb.Track(fmt.Append(nil, i%50), second)
					r.Add(Req, 1, second)
					r.Release(second)
				}
			})
		}
		all.Wait()
		for i := range 50 {
			for d, want := range map[Data]uint64{ConnCnt: 160, ConnCur: 0, ReqRate: 160} {
				if n, _ := tb.Read(fmt.Append(nil, i), d, second); n != want {
					t.Fatalf("size %d, key %d: %s is %d, want %d", size, i, d, n, want)
				}
			}
		}
	}
}

// A key that is known costs no allocation.
func TestKnownKeysAllocateNothing(t *testing.T) {
	tb := table(t, 100, time.Minute, "conn_cnt", "http_req_rate(10s)")
	key := []byte("client")
	tb.Track(key, 1).Release(1)
	if n := testing.AllocsPerRun(100, func() {
		r := tb.Track(key, 2)
		r.Add(Req, 1, 2)
		r.Read(ReqRate, 2)
		r.Release(2)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
