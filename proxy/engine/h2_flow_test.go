package engine

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
)

// heap is what lives on it.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestH2SlowReader: streams that take nothing more hold up neither others nor much memory.
func TestH2SlowReader(t *testing.T) {
	const slow, window = 40, 65535
	s := start(t, proxy.HTTP, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/big" {
			for b := make([]byte, 32<<10); r.Context().Err() == nil; {
				w.Write(b)
			}
		}
		io.WriteString(w, "x")
	})}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	r := s.h2raw()
	r.f.WriteWindowUpdate(0, 1<<24)
	before := heap()
	for id := uint32(1); id < 2*slow; id += 2 {
		r.get(id, "/big")
	}
	left := slow * window
	r.until(func(f http2.Frame) bool {
		if d, ok := f.(*http2.DataFrame); ok {
			left -= len(d.Data())
		}
		return left <= 0
	})
	for id := uint32(2*slow + 1); id < 2*slow+100; id += 2 {
		r.get(id, "/")
		r.wantStatus(id, "200")
		r.wantData(id, "x", true)
	}
	if grown := heap() - before; left != 0 || grown > slow*4*bigBuffer {
		t.Errorf("%d streams that wait keep %d kB, %d bytes have not come", slow, grown>>10, left)
	}
	r.f.WriteWindowUpdate(1, 100_000) // goes on
	left = 100_000
	r.until(func(f http2.Frame) bool {
		if d, ok := f.(*http2.DataFrame); ok && d.StreamID == 1 {
			left -= len(d.Data())
		}
		return left <= 0
	})
	if left != 0 {
		t.Errorf("%d bytes have not come", left)
	}
}

// TestH2SlowServer: a body that its server does not take holds up no other's, and comes through in the end.
func TestH2SlowServer(t *testing.T) {
	gate := make(chan struct{})
	s := start(t, proxy.HTTP, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-gate
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	client := h2Client(t)
	post := func(path string, size int) {
		resp, err := client.Post("http://"+s.addr+path, "", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != strconv.Itoa(size) {
			t.Errorf("%s: %q of %d, %v", path, b, size, err)
		}
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { post("/slow", 16<<20) })
	}
	for range 50 {
		post("/", 100_000)
	}
	close(gate)
	wg.Wait()
}

// TestH2ManySlowUploads: bodies that their server does not take, more than a connection's window together, hold up no other
// one of the connection.
func TestH2ManySlowUploads(t *testing.T) {
	const slow = 40
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) { // soon full
		if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) }); e != nil {
			return e
		}
		return err
	}}
	gate, arrived := make(chan struct{}), make(chan struct{}, slow)
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-gate
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}))
	h.Listener.Close()
	var err error
	if h.Listener, err = small.Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	h.Start()
	t.Cleanup(h.Close)
	s := start(t, proxy.HTTP, []proxy.Server{target("a", h.Listener.Addr().String())}, func(c *proxy.Config) {
		c.Frontends[0].Log = nil
		c.Frontends[0].Timeouts.Client, c.Backends[0].Timeouts.Server = 20*time.Second, 20*time.Second
	})
	client := h2Client(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(gate)
	defer cancel()
	var sent endless
	for range slow {
		wg.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/slow", io.MultiReader(&sent))
			if resp, err := client.Do(req); err == nil {
				resp.Body.Close()
			}
		})
	}
	for range slow {
		<-arrived
	}
	sent.stalls(200 * time.Millisecond)
	for range 10 {
		resp, err := client.Post("http://"+s.addr+"/", "", strings.NewReader(strings.Repeat("x", 1000)))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "1000" {
			t.Errorf("%q, %v, want 1000", b, err)
		}
		resp.Body.Close()
	}
}

// TestH2SlowClients: clients that do not read hold up nobody else's answer on the connection that they share to a server.
func TestH2SlowClients(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	server, conns := h2Server(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			for r.Context().Err() == nil {
				io.WriteString(w, big[:32<<10])
			}
			return
		}
		io.WriteString(w, big)
	})
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	slow := s.h2raw()
	slow.f.WriteWindowUpdate(0, 1<<30)
	const n = 60
	left := n * 65535
	for id := uint32(1); id < 2*n; id += 2 {
		slow.get(id, "/endless")
	}
	slow.until(func(f http2.Frame) bool { // and then no stream may send any more
		if d, ok := f.(*http2.DataFrame); ok {
			left -= len(d.Data())
		}
		return left <= 0
	})
	for range 5 {
		resp, body := s.get("/")
		if resp.StatusCode != 200 || body != big {
			t.Fatalf("%d, %d of %d bytes", resp.StatusCode, len(body), len(big))
		}
	}
	if c := conns.Load(); c != 1 {
		t.Errorf("%d connections to the server, want 1", c)
	}
}
