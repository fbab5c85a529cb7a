package engine

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/reeve-lb/reeve/proxy"
)

// h2Server is a server that speaks HTTP/2 alone, in clear; conns counts its connections.
func h2Server(t *testing.T, name string, f http.HandlerFunc) (_ proxy.Server, conns *atomic.Int32) {
	t.Helper()
	return h2ServerOf(t, name, func(srv *http.Server) { srv.Handler = f })
}

// h2ServerOf is one with settings of its own.
func h2ServerOf(t *testing.T, name string, set func(*http.Server)) (_ proxy.Server, conns *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns = &atomic.Int32{}
	srv := &http.Server{Protocols: new(http.Protocols), ConnState: func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}}
	srv.Protocols.SetUnencryptedHTTP2(true)
	set(srv)
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(l) })
	t.Cleanup(func() {
		srv.Close()
		wg.Wait()
	})
	s := target(name, l.Addr().String())
	s.Proto = proxy.H2Proto
	return s, conns
}

// TestH2Server: requests of both protocols reach a server that speaks HTTP/2, on one connection of a loop, with bodies
// and trailers both ways.
func TestH2Server(t *testing.T) {
	server, conns := h2Server(t, "a", echoing(func(r *http.Request) string {
		return fmt.Sprintf("%s %s %s%s %d %v", r.Proto, r.Method, r.Host, r.URL, r.ContentLength, r.Trailer)
	}))
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	plain := keepAliveClient()
	defer plain.CloseIdleConnections()
	for name, client := range map[string]*http.Client{"HTTP/1.1": plain, "HTTP/2.0": h2Client(t)} {
		for _, size := range []int{0, 10, 300_000} {
			body := strings.Repeat("x", size)
			req, _ := http.NewRequest("POST", "http://"+s.addr+"/p?q", io.MultiReader(strings.NewReader(body)))
			req.Trailer = http.Header{"X-More": {"yes"}}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(name, err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(got) != body || resp.Trailer.Get("X-Sum") != fmt.Sprint(size) {
				t.Errorf("%s: %d of %d bytes, %v, trailers %v", name, len(got), size, err, resp.Trailer)
			}
			if want := "HTTP/2.0 POST " + s.addr + "/p?q -1 map[X-More:[yes]]"; resp.Header.Get("X-Seen") != want {
				t.Errorf("%s: the server saw %q, want %q", name, resp.Header.Get("X-Seen"), want)
			}
			s.want(`"POST /p?q `+name+`"`, " be/a ", " 200 ")
		}
		resp, err := client.Head("http://" + s.addr + "/")
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: HEAD: %v %v", name, resp, err)
		} else {
			resp.Body.Close()
		}
		s.want("HEAD")
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections to the server, want 1", n)
	}
}

// TestH2ServerConcurrency: many requests at a time share the connection, slow ones beside fast ones.
func TestH2ServerConcurrency(t *testing.T) {
	gate := make(chan struct{})
	server, conns := h2Server(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-gate
		}
		io.WriteString(w, strings.Repeat(r.URL.Path, 5000))
	})
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	client := h2Client(t)
	var wg sync.WaitGroup
	get := func(path string) {
		resp, err := client.Get("http://" + s.addr + path)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != strings.Repeat(path, 5000) {
			t.Errorf("%s: %d bytes, %v", path, len(b), err)
		}
	}
	for range 10 {
		wg.Go(func() { get("/slow") })
	}
	for i := range 40 {
		get(fmt.Sprintf("/%d", i))
	}
	close(gate)
	wg.Wait()
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections to the server, want 1", n)
	}
}

// TestH2ServerGone: a request on a connection that the server gives up is asked again on another.
func TestH2ServerGone(t *testing.T) {
	server, conns := h2Server(t, "a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // x/net says GOAWAY
		io.WriteString(w, "x")
	})
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	for range 5 {
		if resp, body := s.get("/"); resp.StatusCode != 200 || body != "x" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
	}
	if n := conns.Load(); n < 2 {
		t.Errorf("%d connections to the server, want several", n)
	}
}

// TestH2ServerRefuses: nobody listens, or somebody who does not speak HTTP/2.
func TestH2ServerRefuses(t *testing.T) {
	h1 := handler(t, "b", func(w http.ResponseWriter, r *http.Request) {})
	h1.Proto = proxy.H2Proto
	for name, server := range map[string]proxy.Server{"nobody": {Name: "a", Address: "127.0.0.1:1", Weight: 1, Proto: proxy.H2Proto}, "HTTP/1": h1} {
		s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(cfg *proxy.Config) { cfg.Backends[0].Retries = 0 })
		if resp, _ := s.get("/"); resp.StatusCode != 503 && resp.StatusCode != 502 {
			t.Errorf("%s: %d, want 502 or 503", name, resp.StatusCode)
		}
	}
}

// TestH2GRPC: messages go both ways while both directions are open, through HTTP/2 on both sides.
func TestH2GRPC(t *testing.T) {
	server, _ := h2Server(t, "a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.(http.Flusher).Flush()
		b := make([]byte, 100)
		for {
			n, err := r.Body.Read(b)
			if n > 0 {
				w.Write(b[:n])
				w.(http.Flusher).Flush()
			}
			if err != nil {
				break
			}
		}
		w.Header().Set("Grpc-Status", r.Header.Get("Te"))
	})
	s := start(t, proxy.HTTP, []proxy.Server{server}, nil)
	in, out := io.Pipe()
	req, _ := http.NewRequest("POST", "http://"+s.addr+"/svc/Method", in)
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	resp, err := h2Client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 100)
	for i := range 20 {
		want := fmt.Sprintf("message %d", i)
		io.WriteString(out, want)
		if n, err := io.ReadFull(resp.Body, b[:len(want)]); err != nil || string(b[:n]) != want {
			t.Fatalf("%q, %v, want %q", b[:n], err, want)
		}
	}
	out.Close()
	if _, err := io.ReadAll(resp.Body); err != nil || resp.Trailer.Get("Grpc-Status") != "trailers" {
		t.Errorf("%v, trailers %v", err, resp.Trailer)
	}
}
