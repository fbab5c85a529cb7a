package engine

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stats"
)

// becomes waits for what no event tells of.
func becomes(t *testing.T, what string, is func() bool) {
	t.Helper()
	becomesWithin(t, 5*time.Second, what, is)
}

func becomesWithin(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// turned returns when each loop has ended what it was at: what a client has been told of is in the books.
func (s *site) turned() { s.holdLoops()() }

// holding is a server that answers what is asked of /wait one by one, when it is let, and closes upon /fail. conns counts
// its connections.
type holding struct {
	proxy.Server
	arrived, release, answered chan struct{}
	conns                      atomic.Int32
	left                       chan struct{} // a connection has ended
}

func newHolding(t *testing.T) *holding {
	h := &holding{arrived: make(chan struct{}, 16), release: make(chan struct{}), answered: make(chan struct{}, 16), left: make(chan struct{}, 64)}
	h.Server = rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		h.conns.Add(1)
		defer func() {
			h.conns.Add(-1)
			h.left <- struct{}{}
		}()
		for {
			head, err := readHead(r)
			if err != nil || strings.Contains(head, " /fail ") {
				return
			}
			if strings.Contains(head, " /wait ") {
				h.arrived <- struct{}{}
				select {
				case <-h.release:
				case <-t.Context().Done():
					return
				}
			}
			io.WriteString(c, benchAnswer)
		}
	})
	return h
}

// ask begins so many requests that wait at the server, each on a connection of its own.
func (h *holding) ask(s *site, wg *sync.WaitGroup, n int) {
	for range n {
		wg.Go(func() {
			if out := s.raw("GET /wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(out, "hello") {
				s.t.Errorf("%q", out)
			}
			h.answered <- struct{}{}
		})
	}
	for range n {
		<-h.arrived
	}
}

// answer lets so many requests have their answer.
func (h *holding) answer(n int) {
	for range n {
		h.release <- struct{}{}
	}
	for range n {
		<-h.answered
	}
}

// keeps waits until the server has so many connections.
func (h *holding) keeps(t *testing.T, n int32, what string) {
	t.Helper()
	for h.conns.Load() != n {
		select {
		case <-h.left:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: the server has %d connections, want %d", what, h.conns.Load(), n)
		}
	}
}

// TestPoolsOfServersThatGo: what idles at a server goes with it, whatever takes it out, and a request that ends there later
// leaves no connection behind.
func TestPoolsOfServersThatGo(t *testing.T) {
	applied := func(change func(*proxy.Backend)) func(*site, proxy.Config) {
		return func(s *site, c proxy.Config) {
			c.Backends = slices.Clone(c.Backends)
			c.Backends[0].Servers = slices.Clone(c.Backends[0].Servers)
			change(&c.Backends[0])
			if ps := s.e.Apply(c); len(ps) > 0 {
				s.t.Error(ps)
			}
		}
	}
	for name, goes := range map[string]func(*site, proxy.Config){
		"down": func(s *site, _ proxy.Config) {
			s.e.SetHealth("be", "a", false, stats.CheckResult{Status: "L4CON", Failed: true})
		},
		"max_fails": func(s *site, _ proxy.Config) { s.get("/fail") },
		"disabled":  applied(func(b *proxy.Backend) { b.Servers[0].Disabled = true }),
		"removed":   applied(func(b *proxy.Backend) { b.Servers = b.Servers[1:] }),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHolding(t)
			_, other := named(t, "b")
			var cfg proxy.Config
			s := start(t, proxy.HTTP, []proxy.Server{h.Server, other}, func(c *proxy.Config) {
				c.Backends[0].Balance = proxy.First
				c.Backends[0].Servers[0].MaxFails = 1
				c.Backends[0].HTTPReuse = proxy.ReuseAlways
				cfg = *c
			})
			var all sync.WaitGroup
			h.ask(s, &all, 4)
			h.answer(3)
			s.turned()
			if n := s.row("a").IdleConnCur; n != 3 {
				t.Fatalf("%d connections idle, want 3", n)
			}
			goes(s, cfg)
			h.keeps(t, 1, "the connection of the request is left alone")
			h.answer(1)
			h.keeps(t, 0, "no connection is left")
			all.Wait()
		})
	}
}

// TestPoolOfAServerThatMoves: connections to its former address are closed at once.
func TestPoolOfAServerThatMoves(t *testing.T) {
	h := newHolding(t)
	_, other := named(t, "b")
	var cfg proxy.Config
	s := start(t, proxy.HTTP, []proxy.Server{h.Server}, func(c *proxy.Config) { cfg = *c })
	var all sync.WaitGroup
	h.ask(s, &all, 2)
	h.answer(2)
	all.Wait()
	s.turned()
	if n := s.row("a").IdleConnCur; n != 2 {
		t.Fatalf("%d connections idle, want 2", n)
	}
	cfg.Backends = slices.Clone(cfg.Backends)
	cfg.Backends[0].Servers = []proxy.Server{target("a", other.Address)}
	if ps := s.e.Apply(cfg); len(ps) > 0 {
		t.Fatal(ps)
	}
	h.keeps(t, 0, "no connection is left")
	if _, body := s.get("/"); body != "b" {
		t.Errorf("%q", body)
	}
}

// TestWantOfDescriptorsSparesRequests: what is closed to make room idles; a connection of HTTP/2 that carries a request
// stays.
func TestWantOfDescriptorsSparesRequests(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	server, conns := h2Server(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			arrived <- struct{}{}
			<-release
		}
		io.WriteString(w, "hello")
	})
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		if resp, body := s.get("/wait"); resp.StatusCode != 200 || body != "hello" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
	})
	<-arrived
	shed := func() (some bool) {
		done := make(chan bool)
		s.e.each(func(l *loop) { done <- l.shedIdle() })
		return <-done
	}
	if shed() {
		t.Error("a connection in use was closed")
	}
	close(release)
	wg.Wait()
	s.turned()
	if !shed() {
		t.Error("a connection that idles was not closed")
	}
	if resp, _ := s.get("/"); resp.StatusCode != 200 || conns.Load() != 2 {
		t.Errorf("%d on connection %d", resp.StatusCode, conns.Load())
	}
}
