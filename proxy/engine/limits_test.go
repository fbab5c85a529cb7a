package engine

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// TestFitConnections: two descriptors a connection, as HAProxy counts: maxconn 30000 with 18 others needs 60018.
func TestFitConnections(t *testing.T) {
	for _, c := range []struct {
		wanted             int
		each, fixed, limit int64
		conns, need        int64
	}{
		{30000, 2, 18, 100000, 30000, 60018},
		{30000, 2, 18, 60018, 30000, 60018},
		{30000, 2, 18, 60016, 29999, 60018},
		{30000, 3, 18, 100000, 30000, 90018},
		{0, 2, 40, 20000, 9980, 20000},
		{0, 2, 400, 256, leastConns, 2*leastConns + 400},
	} {
		if conns, need := fitConnections(c.wanted, c.each, c.fixed, c.limit); conns != c.conns || need != c.need {
			t.Errorf("maxconn %d, %d others, limit %d: %d connections, needs %d; want %d and %d", c.wanted, c.fixed, c.limit, conns, need, c.conns, c.need)
		}
	}
}

// talk is a client that keeps its connection.
type talk struct {
	net.Conn
	r *bufio.Reader
}

func (s *site) talk(addr string) talk {
	s.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return talk{c, bufio.NewReader(c)}
}

// ask sends a request and returns the status, 0 when no answer came in time.
func (c talk) ask(t *testing.T, patience time.Duration) int {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return 0
	}
	return c.answer()
}

func (c talk) answer() int {
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestBindMaxConn: an address at its maxconn lets nobody in until somebody left; another address of the same frontend does.
func TestBindMaxConn(t *testing.T) {
	other := ports.Free(t, "127.0.0.1")
	_, sv := named(t, "a")
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{sv}, func(c *proxy.Config) {
		c.Frontends[0].Binds[0].MaxConn = 2
		c.Frontends[0].Binds = append(c.Frontends[0].Binds, proxy.Bind{Addr: other})
	})
	first, second, third := s.talk(s.addr), s.talk(s.addr), s.talk(s.addr)
	for _, c := range []talk{first, second} {
		if got := c.ask(t, 5*time.Second); got != 200 {
			t.Fatalf("status %d", got)
		}
	}
	if got := third.ask(t, 200*time.Millisecond); got != 0 {
		t.Errorf("the third is answered with %d", got)
	}
	if got := s.talk(other.String()).ask(t, 5*time.Second); got != 200 {
		t.Errorf("the other address: status %d", got)
	}
	first.Close()
	third.SetDeadline(time.Now().Add(5 * time.Second))
	if got := third.answer(); got != 200 {
		t.Errorf("after one left: %d", got)
	}
}

// TestSessionRate: what comes faster than the rate waits, and is served.
func TestSessionRate(t *testing.T) {
	_, sv := named(t, "a")
	for name, change := range map[string]func(*proxy.Config){
		"rate-limit sessions": func(c *proxy.Config) { c.Frontends[0].SessionRate = 20 },
		"maxconnrate":         func(c *proxy.Config) { c.Global.MaxConnRate = 20 },
		"maxsessrate":         func(c *proxy.Config) { c.Global.MaxSessRate, c.Global.MaxConnRate = 20, 1000 },
	} {
		s := start(t, proxy.HTTP, []proxy.Server{sv}, change)
		began := time.Now()
		for i := range 30 {
			c := s.talk(s.addr)
			if got := c.ask(t, 5*time.Second); got != 200 {
				t.Fatalf("%s: request %d: status %d", name, i, got)
			}
			c.Close()
		}
		// At most 20 in the first second, and what remains of them counts in the next.
		if took := time.Since(began); took < 400*time.Millisecond {
			t.Errorf("%s: 30 sessions took %v", name, took)
		}
	}
}

// TestMemoryBound: requests for which there is no memory are answered with 503, counted and logged; those that were let in
// end well, and afterwards there is room again.
func TestMemoryBound(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{}, 100)
	sv := handler(t, "a", func(w http.ResponseWriter, r *http.Request) { held <- struct{}{}; <-hold; io.WriteString(w, "a") })
	const room = 8
	s := startOptions(t, Options{Loops: 1, MemoryMax: (room*(3*smallBuffer+idleCost) + 2*room*idleCost) * 5 / 4}, proxy.HTTP, []proxy.Server{sv}, nil)
	var waiting []talk
	for range room {
		c := s.talk(s.addr)
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		waiting = append(waiting, c)
		<-held
	}
	for range 3 {
		if got := s.talk(s.addr).ask(t, 5*time.Second); got != 503 {
			t.Errorf("beyond the bound: status %d", got)
		}
		s.want(" fe fe/<NOSRV> ", " 503 ", " RR-- ")
	}
	if n := s.e.Stats().Process.NoMemory; n < 3 {
		t.Errorf("%d refusals were counted", n)
	}
	close(hold)
	for i, c := range waiting {
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if got := c.answer(); got != 200 {
			t.Errorf("request %d that was let in: status %d", i, got)
		}
	}
	if got := s.talk(s.addr).ask(t, 5*time.Second); got != 200 {
		t.Errorf("afterwards: status %d", got)
	}
}
