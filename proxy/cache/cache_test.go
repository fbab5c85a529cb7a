package cache

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

const second = int64(time.Second)

var t0 = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC).UnixNano()

func query(target string, fields ...string) *Query {
	q := &Query{}
	q.Reset()
	q.Target([]byte("x"), []byte(target))
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		q.Field([]byte(name), []byte(value))
	}
	return q
}

func answer(now int64, fields ...string) *Answer {
	a := &Answer{}
	a.Reset(now)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		a.Field([]byte(name), []byte(value))
	}
	return a
}

// put stores an answer; it reports whether the cache took it.
func put(c *Cache, q *Query, a *Answer, body string, now int64) bool {
	if !a.Storable(c.Options()) {
		return false
	}
	s := c.Begin(q, a, []byte("HTTP/1.1 200 OK\r\n"), int64(len(body)), now)
	if s == nil {
		return false
	}
	if !s.Write([]byte(body)) {
		s.Abort()
		return false
	}
	s.Commit()
	return true
}

func small() *Cache {
	return New("c", Options{TotalMaxSize: 1 << 20, MaxObjectSize: 100 << 10, MaxAge: time.Minute, MaxSecondaryEntries: 10})
}

func TestTimeToLive(t *testing.T) {
	for _, c := range []struct {
		fields string
		lives  time.Duration // 0: not stored
	}{
		{"", 0},
		{"Cache-Control: max-age=10", 10 * time.Second},
		{"Cache-Control: max-age=1000", time.Minute},
		{"Cache-Control: s-maxage=5, max-age=10", 5 * time.Second},
		{"Cache-Control: max-age=junk|ETag: \"a\"", 0},
		{"Cache-Control: max-age=10|Age: 4", 6 * time.Second},
		{"Cache-Control: max-age=10|Age: 10", 0},
		{"Expires: Sun, 01 Jun 2025 12:00:20 GMT", 20 * time.Second},
		{"Expires: Sun, 01 Jun 2025 11:00:00 GMT", 0},
		{"Expires: Sun, 01 Jun 2025 11:00:00 GMT|Cache-Control: max-age=7", 7 * time.Second},
		{"ETag: \"a\"", time.Minute},
		{"Last-Modified: Sun, 01 Jun 2025 11:00:00 GMT", time.Minute},
		{"Last-Modified: yesterday", 0},
	} {
		cache, q := small(), query("/")
		var fields []string
		if c.fields != "" {
			fields = strings.Split(c.fields, "|")
		}
		stored := put(cache, q, answer(t0, fields...), "ok", t0)
		if stored != (c.lives > 0) {
			t.Errorf("%q is stored: %t", c.fields, stored)
			continue
		}
		if stored && (cache.Lookup(q, t0+int64(c.lives)-1) == nil || cache.Lookup(q, t0+int64(c.lives)) != nil) {
			t.Errorf("%q does not live for %s", c.fields, c.lives)
		}
	}
}

func TestAgeCountsFromTheOrigin(t *testing.T) {
	c, q := small(), query("/")
	put(c, q, answer(t0, "Cache-Control: max-age=50", "Age: 7"), "ok", t0)
	if got := c.Lookup(q, t0+3*second+second/2).Age(t0 + 3*second + second/2); got != 10 {
		t.Errorf("age %d after 3.5 s, want 10", got)
	}
}

// TestBytesAreBounded: however much is stored, of whatever sizes, the bound holds, also for what is on its way in.
func TestBytesAreBounded(t *testing.T) {
	c := small()
	var open []*Store
	for i := range 3000 {
		q := query(fmt.Sprint("/", i))
		body := strings.Repeat("x", i*37%90000)
		if i%7 == 0 { // of unknown length, left open for a while
			if s := c.Begin(q, answer(t0, "Cache-Control: max-age=60"), []byte("HTTP/1.1 200 OK\r\n"), -1, t0); s != nil {
				for len(body) > 0 && s.Write([]byte(body[:min(1000, len(body))])) {
					body = body[min(1000, len(body)):]
				}
				open = append(open, s)
			}
			if len(open) > 5 {
				open[0].Commit()
				open[1].Abort()
				open = open[2:]
			}
		} else {
			put(c, q, answer(t0, "Cache-Control: max-age=60"), body, t0)
		}
		if _, n := c.Size(); n > 1<<20 || n < 0 {
			t.Fatalf("%d bytes after %d objects", n, i)
		}
	}
	for _, s := range open {
		s.Abort()
	}
	entries, n := c.Size()
	sum := int64(0)
	for e := c.ring.newer; e != &c.ring; e = e.newer {
		sum += e.cost()
	}
	if entries == 0 || sum != n {
		t.Errorf("%d entries of %d bytes, which are counted as %d", entries, sum, n)
	}
}

// TestWhatIsAskedForStays: eviction takes what nobody has asked for first.
func TestWhatIsAskedForStays(t *testing.T) {
	c := small()
	dear := query("/dear")
	put(c, dear, answer(t0, "Cache-Control: max-age=60"), "dear", t0)
	for i := range 500 {
		put(c, query(fmt.Sprint("/", i)), answer(t0, "Cache-Control: max-age=60"), strings.Repeat("x", 10000), t0)
		if c.Lookup(dear, t0) == nil {
			t.Fatalf("gone after %d other objects", i)
		}
	}
	if c.Lookup(query("/1"), t0) != nil {
		t.Error("nothing was evicted")
	}
}

func TestTooLarge(t *testing.T) {
	c := small()
	a := answer(t0, "Cache-Control: max-age=60")
	if c.Begin(query("/"), a, []byte("h"), 100<<10, t0) != nil {
		t.Error("a length that is too large is taken")
	}
	s := c.Begin(query("/"), a, []byte("h"), -1, t0)
	for range 1024 {
		if !s.Write(make([]byte, 1024)) {
			s.Abort()
			if _, n := c.Size(); n != 0 {
				t.Errorf("%d bytes are left of it", n)
			}
			return
		}
	}
	t.Error("a body that is too large is taken")
}

func TestInvalidation(t *testing.T) {
	c, q := small(), query("/")
	a := answer(t0, "Cache-Control: max-age=60")
	put(c, q, a, "ok", t0)
	other := query("/other")
	put(c, other, a, "ok", t0)
	s := c.Begin(query("/coming"), a, []byte("h"), 2, t0)
	c.Invalidate(q)
	c.Invalidate(query("/coming"))
	s.Write([]byte("ok"))
	s.Commit()
	if c.Lookup(q, t0) != nil || c.Lookup(query("/coming"), t0) != nil || c.Lookup(other, t0) == nil {
		t.Error("not just what was changed is void")
	}
}

func TestOneAnswerAtATimeIsStored(t *testing.T) {
	c, q := small(), query("/")
	a := answer(t0, "Cache-Control: max-age=60")
	s := c.Begin(q, a, []byte("h"), 2, t0)
	if c.Begin(q, a, []byte("h"), 2, t0) != nil {
		t.Error("the same is stored twice at once")
	}
	s.Abort()
	if s = c.Begin(q, a, []byte("h"), 2, t0); s == nil {
		t.Error("after one that was given up nothing is stored any more")
	}
}

func TestCodingsOfVariants(t *testing.T) {
	c := New("c", Options{TotalMaxSize: 1 << 20, MaxObjectSize: 1000, MaxAge: time.Minute, ProcessVary: true, MaxSecondaryEntries: 10})
	for _, v := range []struct{ accept, coding string }{{"gzip, br", "gzip"}, {"br", "br"}, {"zstd", "zstd, gzip"}, {"x", "x"}} {
		put(c, query("/", "Accept-Encoding: "+v.accept), answer(t0, "Cache-Control: max-age=60", "Vary: Accept-Encoding", "Content-Encoding: "+v.coding), v.coding, t0)
	}
	for accept, want := range map[string]string{"gzip": "gzip", "gzip;q=0": "", "br;q=1.0": "br", "": "", "*": "", "zstd": "", "x": "", "deflate": ""} {
		got := ""
		if e := c.Lookup(query("/", "Accept-Encoding: "+accept), t0); e != nil {
			got = string(e.Body)
		}
		if got != want {
			t.Errorf("Accept-Encoding: %s gets %q, want %q", accept, got, want)
		}
	}
}

// TestReadersAndWritersAtOnce is for the race detector, and looks whether what is read is whole.
func TestReadersAndWritersAtOnce(t *testing.T) {
	c := small()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				n := (i*7 + g) % 50
				q := query(fmt.Sprint("/", n))
				if e := c.Lookup(q, t0); e != nil {
					if want := strings.Repeat(fmt.Sprint(n, ","), 1000); string(e.Body) != want {
						t.Errorf("object %d is not what was stored", n)
						return
					}
				} else {
					put(c, q, answer(t0, "Cache-Control: max-age=60"), strings.Repeat(fmt.Sprint(n, ","), 1000), t0)
				}
				if i%100 == 0 {
					c.Invalidate(q)
				}
			}
		})
	}
	all.Wait()
}

func TestLookupAllocatesNothing(t *testing.T) {
	c, q := small(), &Query{}
	put(c, query("/a/b"), answer(t0, "Cache-Control: max-age=60", `ETag: "a"`), "ok", t0)
	host, target, name, value := []byte("x"), []byte("/a/b"), []byte("If-None-Match"), []byte(`"b", "a"`)
	ask := func() {
		q.Reset()
		q.Target(host, target)
		q.Field(name, value)
		e := c.Lookup(q, t0)
		if e == nil || !q.NotModified(e) {
			t.Fatal("it is not found")
		}
	}
	ask()
	if n := testing.AllocsPerRun(100, ask); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	c := small()
	for i := range 1000 {
		put(c, query(fmt.Sprint("/", i)), answer(t0, "Cache-Control: max-age=60"), "ok", t0)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		q := query("/500")
		for pb.Next() {
			if c.Lookup(q, t0) == nil {
				b.Fatal("gone")
			}
		}
	})
}

// FuzzHeads: whatever header lines say, what comes out is a head of one answer with the body that was stored.
func FuzzHeads(f *testing.F) {
	f.Add("Cache-Control", "max-age=60", "Vary", "Accept-Encoding")
	f.Add("Expires", "Sun, 01 Jun 2035 12:00:20 GMT", "Age", "3")
	f.Add("ETag", `W/"a,b"`, "If-None-Match", `"x", W/"a,b"`)
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string) {
		c := New("c", Options{TotalMaxSize: 1 << 20, MaxObjectSize: 1000, MaxAge: time.Minute, ProcessVary: true, MaxSecondaryEntries: 2})
		q := query("/", n1+": "+v1, n2+": "+v2)
		if !put(c, q, answer(t0, n1+": "+v1, n2+": "+v2), "body", t0) {
			return
		}
		if e := c.Lookup(q, t0); e != nil {
			if !bytes.HasSuffix(e.Head, []byte("\r\ncontent-length: 4\r\n\r\n")) || string(e.Body) != "body" || e.Age(t0+1) < 0 {
				t.Errorf("%q %q", e.Head, e.Body)
			}
			q.NotModified(e)
		}
	})
}
