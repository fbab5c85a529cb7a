package engine

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/reeve-lb/reeve/proxy"
)

// gated answers "x", and /slow when the gate opens; in tells that it has one.
func gated(t *testing.T) (server proxy.Server, in chan struct{}, gate chan struct{}) {
	in, gate = make(chan struct{}, 10), make(chan struct{})
	return handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			in <- struct{}{}
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		}
		io.WriteString(w, "x")
	}), in, gate
}

func (r *h2Raw) get(id uint32, path string) {
	r.t.Helper()
	r.head(id, true, ":method", "GET", ":scheme", "http", ":authority", "x", ":path", path)
}

func (r *h2Raw) wantStatus(id uint32, want string) {
	r.t.Helper()
	if f, ok := r.until(ofStream(id)).(*http2.MetaHeadersFrame); !ok || f.PseudoValue("status") != want {
		r.t.Fatalf("stream %d: %v, want %s", id, f, want)
	}
}

func (r *h2Raw) wantGoAway(last uint32) {
	r.t.Helper()
	if f, ok := r.until(isGoAway).(*http2.GoAwayFrame); !ok || f.LastStreamID != last || f.ErrCode != http2.ErrCodeNo {
		r.t.Fatalf("%v, want GOAWAY NO_ERROR, %d", f, last)
	}
}

// wantEnd reads what there is until the connection ends.
func (r *h2Raw) wantEnd() {
	r.t.Helper()
	for {
		if _, err := r.f.ReadFrame(); err != nil {
			if err != io.EOF {
				r.t.Errorf("%v, want the end of the connection", err)
			}
			r.c.Close()
			return
		}
	}
}

// farewell reads the first GOAWAY, asks for /, answers the PING behind it, and reads the second.
func (r *h2Raw) farewell(id uint32) {
	r.t.Helper()
	r.wantGoAway(1<<31 - 1)
	ping, ok := r.until(func(f http2.Frame) bool { return f.Header().Type == http2.FramePing }).(*http2.PingFrame)
	if !ok {
		r.t.Fatal("no PING behind the first GOAWAY")
	}
	r.get(id, "/") // was on its way
	r.f.WritePing(true, ping.Data)
	var status string
	r.until(func(f http2.Frame) bool {
		if h, ok := f.(*http2.MetaHeadersFrame); ok && h.StreamID == id {
			status = h.PseudoValue("status")
		}
		return isGoAway(f) && f.(*http2.GoAwayFrame).LastStreamID == id
	})
	if status == "" {
		r.wantStatus(id, "200")
	} else if status != "200" {
		r.t.Errorf("what was on its way: %s", status)
	}
}

// TestH2Drain: at a soft stop the client is told in time to go elsewhere, and what it has asked for by then is answered.
func TestH2Drain(t *testing.T) {
	server, in, gate := gated(t)
	s := start(t, proxy.HTTP, []proxy.Server{server}, nil)
	busy, idle := s.h2raw(), s.h2raw()
	busy.get(1, "/slow")
	<-in
	idle.get(1, "/")
	idle.wantStatus(1, "200")
	idle.wantData(1, "x", true)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.e.Drain(ctx) }()
	idle.farewell(3)
	idle.wantEnd()
	busy.farewell(3)
	busy.get(5, "/") // the second GOAWAY said that nobody looks at it
	if c, err := net.Dial("tcp", s.addr); err == nil {
		c.Close()
		t.Error("a new connection is accepted")
	}
	close(gate)
	busy.wantStatus(1, "200")
	busy.wantData(1, "x", true)
	busy.wantEnd()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestH2FrontendRemoved: its clients go on with the frontend that has the address now, and none of their requests fails.
func TestH2FrontendRemoved(t *testing.T) {
	server, in, gate := gated(t)
	var cfg proxy.Config
	s := start(t, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { cfg = *c })
	client := h2Client(t)
	get := func(path string) {
		resp, err := client.Get("http://" + s.addr + path)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "x" {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	get("/")
	s.want(" fe be/a ")
	var wg sync.WaitGroup
	wg.Go(func() { get("/slow") })
	<-in
	next := cfg
	next.Frontends = []proxy.Frontend{cfg.Frontends[0]}
	next.Frontends[0].Name = "other"
	if ps := s.e.Apply(next); len(ps) > 0 {
		t.Fatal(ps)
	}
	for end := time.Now().Add(5 * time.Second); ; { // the client may ask before it reads GOAWAY
		get("/")
		if strings.Contains(s.want(" 200 "), " other be/a ") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("requests go on to the frontend that was removed")
		}
	}
	close(gate)
	wg.Wait()
	s.want(" fe be/a ", "/slow", " 200 ", " ---- ")
}

// holdLoops stops all loops, so that what happens until release is seen by them at once.
func (s *site) holdLoops() (release func()) {
	held, hold := make(chan struct{}), make(chan struct{})
	s.e.each(func(*loop) { held <- struct{}{}; <-hold })
	for range s.e.loops {
		<-held
	}
	return func() { close(hold) }
}

// TestH2ClientLeaves: what is left to say on a connection that is gone is not said on the next one.
func TestH2ClientLeaves(t *testing.T) {
	server, in, gate := gated(t)
	defer close(gate)
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	for _, how := range []string{"close", "error"} {
		r := s.h2raw()
		for id := uint32(1); id < 7; id += 2 {
			r.get(id, "/slow")
			<-in
		}
		release := s.holdLoops()
		if how == "error" {
			r.f.WriteRSTStream(99, 0)
		}
		r.c.Close()
		next := s.talk(s.addr)
		next.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(next, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		release()
		resp, err := http.ReadResponse(next.r, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("after %s: %v, %v", how, resp, err)
		}
	}
}

// TestH2ServerDies: requests on a connection that breaks are asked again on another, all of them.
func TestH2ServerDies(t *testing.T) {
	const n = 10
	var waiting sync.WaitGroup
	var first atomic.Pointer[net.Conn]
	var once sync.Once
	waiting.Add(n)
	server, conns := h2ServerOf(t, "a", func(srv *http.Server) {
		type key struct{}
		srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			first.CompareAndSwap(nil, &c)
			return context.WithValue(ctx, key{}, c)
		}
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/die" && r.Context().Value(key{}) == *first.Load() {
				waiting.Done()
				waiting.Wait()
				once.Do(func() { (*first.Load()).Close() })
				<-r.Context().Done()
				return
			}
			io.WriteString(w, "x")
		})
	})
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	if resp, _ := s.get("/"); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	var wg sync.WaitGroup
	client := h2Client(t)
	for range n {
		wg.Go(func() {
			resp, err := client.Get("http://" + s.addr + "/die")
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(b) != "x" {
				t.Errorf("%d %q", resp.StatusCode, b)
			}
		})
	}
	wg.Wait()
	if c := conns.Load(); c != 2 {
		t.Errorf("%d connections to the server, want 2", c)
	}
}

// TestH2Timeouts: who does not begin, goes on or read is not waited for.
func TestH2Timeouts(t *testing.T) {
	// A response's body begins when as many have been asked for as the case has.
	endless := func(c net.Conn, r *bufio.Reader, begin func()) {
		if _, err := readHead(r); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		begin()
		for b := make([]byte, 1<<16); ; {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}
	const limit = 300 * time.Millisecond
	for name, c := range map[string]struct {
		times  func(*proxy.Timeouts)
		play   func(*testing.T, *site)
		bodies int32 // 0: 1
	}{
		"http-request, no request": {func(t *proxy.Timeouts) { t.HTTPRequest = limit }, func(t *testing.T, s *site) {
			r := s.h2raw()
			r.wantGoAway(0)
			r.wantEnd()
		}, 0},
		"http-request, half a preface": {func(t *proxy.Timeouts) { t.HTTPRequest = limit }, func(t *testing.T, s *site) {
			if out := s.raw(http2.ClientPreface[:12]); !strings.Contains(out, " 408 ") {
				t.Errorf("%q", out)
			}
		}, 0},
		"http-request, half a head": {func(t *proxy.Timeouts) { t.HTTPRequest = limit }, func(t *testing.T, s *site) {
			r := s.h2raw()
			r.f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			r.wantGoAway(1)
			r.wantEnd()
		}, 0},
		"http-keep-alive": {func(t *proxy.Timeouts) { t.HTTPKeepAlive = limit }, func(t *testing.T, s *site) {
			r := s.h2raw()
			r.head(1, true, ":method", "HEAD", ":scheme", "http", ":authority", "x", ":path", "/")
			r.wantStatus(1, "200")
			r.wantGoAway(1)
			r.wantEnd()
		}, 0},
		"client, no window": {func(t *proxy.Timeouts) { t.Client = limit }, func(t *testing.T, s *site) {
			r := s.h2raw()
			r.get(1, "/")
			if f, ok := r.until(func(f http2.Frame) bool { return f.Header().Type == http2.FrameRSTStream }).(*http2.RSTStreamFrame); !ok || f.StreamID != 1 {
				t.Errorf("%v, want RST_STREAM", f)
			}
			s.want(" 200 ", " cD-- ")
		}, 0},
		"client, never reads": {func(t *proxy.Timeouts) { t.Client = limit }, func(t *testing.T, s *site) {
			r := s.h2says(func(r *h2Raw) {
				r.f.WriteWindowUpdate(0, 1<<30)
				r.get(1, "/")
				r.get(3, "/")
			}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
			s.want(" 200 ", " cD-- ")
			s.want(" 200 ", " cD-- ")
			if n, _ := io.Copy(io.Discard, r.c); n > 100<<20 {
				t.Errorf("%d bytes were sent", n)
			}
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			all := make(chan struct{})
			server := rawServer(t, "a", func(conn net.Conn, r *bufio.Reader) {
				endless(conn, r, func() {
					if asked.Add(1) == max(c.bodies, 1) {
						close(all)
					}
					select {
					case <-all:
					case <-t.Context().Done():
					}
				})
			})
			s := start(t, proxy.HTTP, []proxy.Server{server}, func(cfg *proxy.Config) { c.times(&cfg.Frontends[0].Timeouts) })
			begin := time.Now()
			c.play(t, s)
			if took := time.Since(begin); took < limit*9/10 {
				t.Errorf("over after %s", took)
			}
		})
	}
}
