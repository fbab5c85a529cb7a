package engine

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// HTTP/2 to servers over TLS: ALPN decides.

// offeringH2 is what a server line says with `alpn h2,http/1.1`.
func offeringH2(ca *pki.Authority, sni string) *proxy.ServerTLS {
	c := verified(ca, sni)
	c.ALPN = "h2,http/1.1"
	return c
}

// secureH2 is a server that agrees on one of these protocols; conns counts its connections.
func secureH2(t testing.TB, ca *pki.Authority, config *tls.Config, f http.HandlerFunc, protos ...string) (_ proxy.Server, conns *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pair := ca.ECDSA("a.example", "b.example")
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = append(config.Certificates, cert)
	conns = &atomic.Int32{}
	srv := &http.Server{Handler: f, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0), Protocols: new(http.Protocols), ConnState: func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}}
	for _, p := range protos {
		srv.Protocols.SetHTTP2(p == "h2" || srv.Protocols.HTTP2())
		srv.Protocols.SetHTTP1(p == "http/1.1" || srv.Protocols.HTTP1())
	}
	var wg sync.WaitGroup
	wg.Go(func() { srv.ServeTLS(l, "", "") })
	t.Cleanup(func() {
		srv.Close()
		wg.Wait()
	})
	s := target("a", l.Addr().String())
	s.TLS = offeringH2(ca, "")
	return s, conns
}

// both asks by HTTP/1.1 and by HTTP/2 in clear.
func both(t *testing.T) map[string]*http.Client {
	plain := keepAliveClient()
	t.Cleanup(plain.CloseIdleConnections)
	return map[string]*http.Client{"HTTP/1.1": plain, "HTTP/2.0": h2Client(t)}
}

// TestH2ServerOverTLS: requests of both protocols go over one connection that agreed on HTTP/2, with bodies and trailers
// both ways; the server sees the scheme of its own connection.
func TestH2ServerOverTLS(t *testing.T) {
	ca := pki.New(t)
	server, conns := secureH2(t, ca, &tls.Config{}, echoing(func(r *http.Request) string {
		return fmt.Sprintf("%s %s %s %v", r.Proto, r.Method, r.TLS.NegotiatedProtocol, r.Trailer)
	}), "h2", "http/1.1")
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	for name, client := range both(t) {
		for _, size := range []int{0, 10, 300_000} {
			body := strings.Repeat("x", size)
			req, _ := http.NewRequest("POST", "http://"+s.addr+"/p", io.MultiReader(strings.NewReader(body)))
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
			if want := "HTTP/2.0 POST h2 map[X-More:[yes]]"; resp.Header.Get("X-Seen") != want {
				t.Errorf("%s: the server saw %q, want %q", name, resp.Header.Get("X-Seen"), want)
			}
			s.want(`"POST /p `+name+`"`, " be/a ", " 200 ", " ---- ")
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections to the server, want 1", n)
	}
	if row, _ := s.e.Stats().Find("be", "a"); row.Connect != 1 || row.Reuse != 5 {
		t.Errorf("connect %d, reuse %d, want 1 and 5", row.Connect, row.Reuse)
	}
}

// TestH2ServerHandshakeIsShared: requests that come while the first connection is being made wait for it.
func TestH2ServerHandshakeIsShared(t *testing.T) {
	ca := pki.New(t)
	const n = 20
	gate := make(chan struct{})
	server, conns := secureH2(t, ca, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { <-gate; return nil, nil }},
		func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }, "h2")
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Backends[0].Timeouts.Connect = 5 * time.Second })
	r := s.h2raw()
	for id := uint32(1); id < 2*n; id += 2 {
		r.get(id, "/")
	}
	r.f.WritePing(false, [8]byte{1}) // its answer comes when all before it has been seen to
	r.until(func(f http2.Frame) bool { p, ok := f.(*http2.PingFrame); return ok && p.IsAck() })
	waiting := make(chan int)
	s.e.loops[0].post(func() {
		n := 0
		for x := s.e.loops[0].live; x != nil; x = x.next {
			if x.phase == phaseConnect {
				n++
			}
		}
		waiting <- n
	})
	if got := <-waiting; got != n {
		t.Fatalf("%d requests connect, want %d", got, n)
	}
	close(gate)
	for range n {
		s.want(" be/a ", " 200 ", " ---- ")
	}
	if c := conns.Load(); c != 1 {
		t.Errorf("%d connections, want 1", c)
	}
}

// TestH2ServerDeclines: a server that agrees on HTTP/1.1 is spoken to in HTTP/1.1, all of many at once too, and its
// connections are kept for others. One that learns HTTP/2 later is spoken to in it.
func TestH2ServerDeclines(t *testing.T) {
	ca := pki.New(t)
	var h2 atomic.Bool
	config := &tls.Config{}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := config.Clone()
		c.GetConfigForClient, c.NextProtos = nil, []string{"http/1.1"}
		if h2.Load() {
			c.NextProtos = []string{"h2"}
		}
		return c, nil
	}
	server, conns := secureH2(t, ca, config, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/last" {
			w.Header().Set("Connection", "close")
		}
		io.WriteString(w, r.Proto)
	}, "h2", "http/1.1")
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) {
		c.Frontends[0].Log, c.Backends[0].Timeouts.Connect = nil, 10*time.Second // many handshakes at once
	})
	client := h2Client(t)
	ask := func(path, want string) {
		resp, err := client.Post("http://"+s.addr+path, "", strings.NewReader("body"))
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || string(b) != want {
			t.Errorf("%s: %d %q %v, want %s", path, resp.StatusCode, b, err, want)
		}
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { ask("/", "HTTP/1.1") })
	}
	wg.Wait()
	before := conns.Load()
	for range 5 {
		s.get("/") // idempotent: over a connection that is there
	}
	if n := conns.Load(); n != before {
		t.Errorf("%d connections after %d: none was used again", n, before)
	}
	h2.Store(true)
	proto := ""
	for i := int32(0); i <= before && proto != "HTTP/2.0"; i++ { // each ends one of the connections that are there
		_, proto = s.get("/last")
	}
	if n := conns.Load(); proto != "HTTP/2.0" || n != before+1 {
		t.Errorf("%s, %d connections after %d: the server speaks HTTP/2 now", proto, n, before)
	}
}

// TestH2ServerByName: a connection that was made for one name serves no request for another.
func TestH2ServerByName(t *testing.T) {
	ca := pki.New(t)
	server, conns := secureH2(t, ca, &tls.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.ServerName != r.Host {
			w.WriteHeader(421)
		}
		fmt.Fprint(w, r.Host)
	}, "h2")
	server.TLS = offeringH2(ca, "req.hdr(host)")
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	for i := range 12 {
		host := []string{"a.example", "b.example"}[i/2%2]
		out := s.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(out, "HTTP/1.1 200 ") || !strings.HasSuffix(out, host) {
			t.Errorf("%s: %q", host, out)
		}
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections for two names", n)
	}
}

// TestH2ServerNotReached: whoever waits for a connection that fails is told so, with the flags of HTTP/1.
func TestH2ServerNotReached(t *testing.T) {
	ca, other := pki.New(t), pki.New(t)
	distrusted, _ := secureH2(t, other, &tls.Config{}, func(http.ResponseWriter, *http.Request) {}, "h2")
	distrusted.TLS = offeringH2(ca, "")
	h1, _ := secureH2(t, ca, &tls.Config{}, func(http.ResponseWriter, *http.Request) {}, "http/1.1")
	h1.Proto = proxy.H2Proto
	refused := target("a", ports.Free(t, "127.0.0.1").String())
	refused.TLS = offeringH2(ca, "")
	release := make(chan struct{})
	defer close(release)
	silent, _ := secureH2(t, ca, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { <-release; return nil, nil }},
		func(http.ResponseWriter, *http.Request) {}, "h2")
	for name, c := range map[string]struct {
		server proxy.Server
		flags  string
	}{"nobody listens": {refused, " SC-- "}, "no certificate to trust": {distrusted, " SC-- "}, "proto h2 and a server that declines": {h1, " SC-- "}, "silence": {silent, " sC-- "}} {
		t.Run(name, func(t *testing.T) {
			s := startLoops(t, 1, proxy.HTTP, []proxy.Server{c.server}, func(cfg *proxy.Config) {
				cfg.Backends[0].Retries = 0
				if c.flags == " sC-- " {
					cfg.Backends[0].Timeouts.Connect = 200 * time.Millisecond
				} else {
					cfg.Backends[0].Timeouts.Connect = 5 * time.Second
				}
			})
			r := s.h2raw()
			for id := uint32(1); id < 6; id += 2 {
				r.get(id, "/")
			}
			for range 3 {
				s.want(" be/a ", " 503 ", c.flags)
			}
		})
	}
}

// TestH2ToNginx: its HTTP/2 over TLS, with an answer that is larger than all windows.
func TestH2ToNginx(t *testing.T) {
	ca := pki.New(t)
	pair := ca.ECDSA("a.example")
	crt, key := ca.Write("nginx.crt", pair.Cert), ca.Write("nginx.key", pair.Key)
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 256<<10)
	if err := os.WriteFile(filepath.Join(root, "big"), big, 0o644); err != nil {
		t.Fatal(err)
	}
	at := ports.Free(t, "127.0.0.1")
	nginxPeer(t, at, fmt.Sprintf(" server {\n listen %s ssl http2 reuseport;\n ssl_certificate %s;\n ssl_certificate_key %s;\n root %s;\n location /who {\n"+
		" return 200 \"$server_protocol $ssl_server_name $ssl_alpn_protocol $scheme $connection\";\n }\n }\n", at, crt, key, root))
	server := target("a", at.String())
	server.TLS = offeringH2(ca, "str(a.example)")
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	seen := map[string]bool{}
	for name, client := range both(t) {
		for range 3 {
			resp, err := client.Get("http://" + s.addr + "/who")
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if !strings.HasPrefix(string(b), "HTTP/2.0 a.example h2 https ") {
				t.Errorf("%s: %q", name, b)
			}
			seen[string(b)] = true
		}
		resp, err := client.Get("http://" + s.addr + "/big")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(b, big) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(b), len(big), err)
		}
		resp.Body.Close()
	}
	if len(seen) != 1 {
		t.Errorf("several connections: %v", seen)
	}
}

// TestH2ToHAProxy: its HTTP/2 over TLS, with bodies both ways to a server behind it.
func TestH2ToHAProxy(t *testing.T) {
	ca := pki.New(t)
	crt := ca.Write("haproxy.pem", ca.ECDSA("a.example").PEM())
	at := ports.Free(t, "127.0.0.1")
	haproxyPeer(t, at, fmt.Sprintf("listen l\n bind %s ssl crt %s alpn h2,http/1.1\n http-request set-header X-Via %%[ssl_fc_alpn],%%[req.ver]\n server s %s\n", at, crt,
		handler(t, "b", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Seen", r.Header.Get("X-Via"))
			io.Copy(w, r.Body)
		}).Address))
	server := target("a", at.String())
	server.TLS = offeringH2(ca, "")
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	for name, client := range both(t) {
		for _, size := range []int{0, 100, 500_000} {
			body := bytes.Repeat([]byte("x"), size)
			resp, err := client.Post("http://"+s.addr+"/", "text/plain", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(b, body) || resp.Header.Get("X-Seen") != "h2,2.0" {
				t.Errorf("%s: %d of %d bytes, %v, by %q", name, len(b), size, err, resp.Header.Get("X-Seen"))
			}
		}
	}
	if row, _ := s.e.Stats().Find("be", "a"); row.Connect != 1 {
		t.Errorf("%d connections, want 1", row.Connect)
	}
}

// TestGRPCOverTLS: messages go both ways while both directions are open, under TLS on both sides.
func TestGRPCOverTLS(t *testing.T) {
	ca := pki.New(t)
	server, _ := secureH2(t, ca, &tls.Config{}, func(w http.ResponseWriter, r *http.Request) {
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
		w.Header().Set("Grpc-Status", r.Proto+" "+r.Header.Get("Te"))
	}, "h2")
	s := start(t, proxy.HTTP, []proxy.Server{server}, h2OverTLS(ca))
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: ca.Pool, ServerName: "a.example"}}
	defer tr.CloseIdleConnections()
	in, out := io.Pipe()
	req, _ := http.NewRequest("POST", "https://"+s.addr+"/svc/Method", in)
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(req)
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
	if _, err := io.ReadAll(resp.Body); err != nil || resp.ProtoMajor != 2 || resp.Trailer.Get("Grpc-Status") != "HTTP/2.0 trailers" {
		t.Errorf("%s, %v, trailers %v", resp.Proto, err, resp.Trailer)
	}
}
