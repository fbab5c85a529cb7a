package engine

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/reeve-lb/reeve/proxy"
)

// mallocs is how many allocations there are while f runs.
func mallocs(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// cachingConf puts a cache in front of the servers.
func cachingConf(name string) func(*proxy.Config) {
	return func(c *proxy.Config) {
		c.Caches = []proxy.Cache{{Name: name, TotalMaxSize: 4, MaxObjectSize: 100000}}
		c.Frontends[0].HTTPRequest = append(c.Frontends[0].HTTPRequest, proxy.Rule{Words: proxy.Words("cache-use " + name)})
		c.Frontends[0].HTTPResponse = append(c.Frontends[0].HTTPResponse, proxy.Rule{Words: proxy.Words("cache-store " + name)})
	}
}

// counting is a server whose answers may be kept; each says which one it is.
func counting(t *testing.T, size int) (proxy.Server, *atomic.Int64) {
	var n atomic.Int64
	return handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprintf(w, "%d %s", n.Add(1), strings.Repeat("x", size))
	}), &n
}

// TestHitsAllocateNothing: the path of a hit is a request path like any other.
func TestHitsAllocateNothing(t *testing.T) {
	server, n := counting(t, 100)
	s := start(t, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) {
		cachingConf("c")(c)
		c.Frontends[0].Log = nil
	})
	per := allocationsPer(t, s, "GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"b\"\r\n\r\n", "xxxxxx")
	if per > 0.05 || n.Load() != 1 {
		t.Errorf("%.3f allocations a hit, %d requests at the server", per, n.Load())
	}
	row, _ := s.e.Stats().Find("fe", "FRONTEND")
	if row.CacheLookups != 3200 || row.CacheHits != 3199 {
		t.Errorf("%d hits of %d", row.CacheHits, row.CacheLookups)
	}
}

// TestLoopsShareACache: what one loop has stored all give out.
func TestLoopsShareACache(t *testing.T) {
	server, n := counting(t, 10000)
	s := startLoops(t, 4, proxy.HTTP, []proxy.Server{server}, cachingConf("c"))
	_, first := s.get("/")
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if _, body := s.get("/"); body != first {
				t.Errorf("another answer: %.10q", body)
			}
		})
	}
	all.Wait()
	if n.Load() != 1 {
		t.Errorf("%d requests at the server", n.Load())
	}
}

// TestCachesLiveThroughChanges: a change of something else leaves what is stored, one of the cache's own settings loses it,
// and nothing else's.
func TestCachesLiveThroughChanges(t *testing.T) {
	server, _ := counting(t, 10)
	var cfg proxy.Config
	s := start(t, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) {
		c.Caches = []proxy.Cache{{Name: "c", TotalMaxSize: 4}, {Name: "d", TotalMaxSize: 4}}
		for _, name := range []string{"c", "d"} {
			cond := "if { path_beg /" + name + " }"
			c.Frontends[0].HTTPRequest = append(c.Frontends[0].HTTPRequest, proxy.Rule{Words: proxy.Words("cache-use " + name + " " + cond)})
			which := " if { var(txn.which) -m str " + name + " }"
			c.Frontends[0].HTTPResponse = append(c.Frontends[0].HTTPResponse, proxy.Rule{Words: proxy.Words("cache-store " + name + which)})
		}
		c.Frontends[0].HTTPRequest = append(c.Frontends[0].HTTPRequest, proxy.Rule{Words: proxy.Words("set-var(txn.which) path,field(2,/)")})
		cfg = *c
	})
	ask := func(path string) string {
		_, body := s.get(path)
		n, _, _ := strings.Cut(body, " ")
		return n
	}
	if got := ask("/c") + ask("/d") + ask("/c") + ask("/d"); got != "1212" {
		t.Fatalf("before: %s", got)
	}
	next := cfg
	next.Frontends = []proxy.Frontend{cfg.Frontends[0]}
	next.Frontends[0].MaxConn = 77
	next.Caches = []proxy.Cache{cfg.Caches[0], cfg.Caches[1]}
	if ps := s.e.Apply(next); len(ps) > 0 {
		t.Fatal(ps)
	}
	if got := ask("/c") + ask("/d"); got != "12" {
		t.Errorf("after a change of something else: %s", got)
	}
	next.Caches = []proxy.Cache{cfg.Caches[0], {Name: "d", TotalMaxSize: 5}}
	if ps := s.e.Apply(next); len(ps) > 0 {
		t.Fatal(ps)
	}
	if got := ask("/c") + ask("/d"); got != "13" {
		t.Errorf("after a change of one cache: %s", got)
	}
}

// TestHitsAreCompressed: what is stored is as the server sent it; who takes gzip gets it compressed, over HTTP/2 too.
func TestHitsAreCompressed(t *testing.T) {
	server, n := counting(t, 50000)
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) {
		cachingConf("c")(c)
		compressing("gzip")(c)
	})
	_, plainBody := s.get("/", "Accept-Encoding", "identity")
	for _, client := range []*http.Client{keepAliveClient(), h2Client(t)} {
		for range 2 {
			resp, err := client.Get("http://" + s.addr + "/") // asks for gzip and unpacks it
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != plainBody || !resp.Uncompressed || resp.Header.Get("Age") == "" {
				t.Errorf("%s: %d bytes, compressed %t, %v, %v", resp.Proto, len(body), resp.Uncompressed, resp.Header, err)
			}
			resp.Body.Close()
		}
		client.CloseIdleConnections()
	}
	if n.Load() != 1 {
		t.Errorf("%d requests at the server", n.Load())
	}
	s.want(" fe be/a ", " ---- ")
	s.want(" fe be/<CACHE> ", " LR-- ")
}
