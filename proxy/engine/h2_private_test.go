package engine

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// Connections of HTTP/2 to servers that serve one client alone.

// introduced is a connection whose PROXY header is read before anything else.
type introduced struct {
	net.Conn
	r    *bufio.Reader
	once sync.Once
	who  string
}

func (c *introduced) Read(p []byte) (int, error) {
	c.once.Do(func() { c.who = readHeader(c.r) })
	return c.r.Read(p)
}

// introducing accepts such connections.
type introducing struct{ net.Listener }

func (l introducing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &introduced{Conn: c, r: bufio.NewReader(c)}, nil
}

// h2BehindHeader is a server of HTTP/2 in clear behind a PROXY header; it answers whom the header names. Ends of connections
// are told.
func h2BehindHeader(t *testing.T) (_ proxy.Server, ended chan string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended = make(chan string, 100)
	type key struct{}
	srv := &http.Server{Protocols: new(http.Protocols), ConnState: func(c net.Conn, st http.ConnState) {
		if st == http.StateClosed {
			ended <- c.(*introduced).who
		}
	}, ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, key{}, c) },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.Context().Value(key{}).(*introduced).who)
		})}
	srv.Protocols.SetUnencryptedHTTP2(true)
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(introducing{l}) })
	t.Cleanup(func() {
		srv.Close()
		wg.Wait()
	})
	s := target("a", l.Addr().String())
	s.Proto = proxy.H2Proto
	return s, ended
}

// TestH2SendProxy: each client has a connection of its own, whose header names it, for all of its requests, whatever it
// speaks; the connection ends when the client leaves.
func TestH2SendProxy(t *testing.T) {
	for version := 1; version <= 2; version++ {
		server, ended := h2BehindHeader(t)
		server.SendProxy = version
		s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
		for round, speaks := range []string{"HTTP/1.1", "HTTP/2.0"} {
			var leave []func()
			for _, ip := range []string{"127.0.0.77", "127.0.0.78"} {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
				tr := &http.Transport{DialContext: d.DialContext, MaxConnsPerHost: 1, Protocols: new(http.Protocols)}
				tr.Protocols.SetHTTP1(speaks == "HTTP/1.1")
				tr.Protocols.SetUnencryptedHTTP2(speaks == "HTTP/2.0")
				leave = append(leave, tr.CloseIdleConnections)
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() {
						resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get("http://" + s.addr + "/")
						if err != nil {
							t.Error(err)
							return
						}
						defer resp.Body.Close()
						if b, _ := io.ReadAll(resp.Body); !strings.HasPrefix(string(b), ip+":") || !strings.HasSuffix(string(b), " to "+s.addr) {
							t.Errorf("version %d, %s from %s: the header names %q", version, speaks, ip, b)
						}
					})
				}
				wg.Wait()
			}
			if row, _ := s.e.Stats().Find("be", "a"); row.Connect != uint64(2*(round+1)) {
				t.Errorf("version %d, %s: %d connections, want one a client", version, speaks, row.Connect)
			}
			for _, f := range leave {
				f()
				select {
				case <-ended:
				case <-time.After(5 * time.Second):
					t.Fatalf("version %d, %s: the connection outlives its client", version, speaks)
				}
			}
		}
	}
}

// TestH2SendProxyToHAProxy: its HTTP/2 behind a PROXY header, in clear and under TLS.
func TestH2SendProxyToHAProxy(t *testing.T) {
	ca := pki.New(t)
	crt := ca.Write("haproxy.pem", ca.ECDSA("a.example").PEM())
	for _, words := range []string{"proto h2", "ssl crt " + crt + " alpn h2,http/1.1"} {
		at := ports.Free(t, "127.0.0.1")
		haproxyPeer(t, at, fmt.Sprintf("frontend f\n bind %s accept-proxy %s\n http-request return status 200 content-type text/plain lf-string \"%%[src] %%[req.ver]\"\n", at, words))
		server := target("a", at.String())
		server.SendProxy = 2
		if strings.HasPrefix(words, "ssl") {
			server.TLS = offeringH2(ca, "")
		} else {
			server.Proto = proxy.H2Proto
		}
		s := start(t, proxy.HTTP, []proxy.Server{server}, nil)
		for _, ip := range []string{"127.0.0.77", "127.0.0.78"} {
			if got := from(t, ip, s.addr); got != ip+" 2.0" {
				t.Errorf("%s: %q, want %s in 2.0", words, got, ip)
			}
		}
	}
}

// TestH2ReuseNever: `http-reuse never` keeps the requests of clients apart in HTTP/2, too.
func TestH2ReuseNever(t *testing.T) {
	server, conns := h2Server(t, "a", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Backends[0].HTTPReuse = proxy.ReuseNever })
	seen := map[string]bool{}
	for range 3 {
		client := h2Client(t)
		var first string
		for i := range 3 {
			resp, err := client.Get("http://" + s.addr + "/")
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if i == 0 {
				first = string(b)
			}
			if string(b) != first || i == 0 && seen[first] {
				t.Errorf("request %d of a client came over %s, its first over %s, others' over %v", i, b, first, seen)
			}
		}
		seen[first] = true
	}
	if n := conns.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// TestH2Authenticated: nobody comes after a client whom the server asks to authenticate the connection.
func TestH2Authenticated(t *testing.T) {
	server, conns := h2Server(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/private" {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(401)
		}
	})
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	for i, c := range []struct {
		path  string
		conns int32
	}{{"/", 1}, {"/private", 1}, {"/", 2}, {"/", 2}} {
		s.get(c.path)
		if n := conns.Load(); n != c.conns {
			t.Errorf("%d connections after request %d, want %d", n, i, c.conns)
		}
	}
}

// TestH2WebSocketToServer: an upgrade of HTTP/1 and an extended CONNECT reach a server over HTTP/2 that has announced to take
// them; `ws` says by what.
func TestH2WebSocketToServer(t *testing.T) {
	ca := pki.New(t)
	crt := ca.Write("haproxy.pem", ca.ECDSA("a.example").PEM())
	echo := rawServer(t, "b", func(c net.Conn, r *bufio.Reader) {
		r.ReadString('\n')
		head, err := textproto.NewReader(r).ReadMIMEHeader()
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\nX-By: %s\r\nSec-WebSocket-Accept: %s\r\n\r\nwelcome",
			head.Get("X-By"), acceptOf(head.Get("Sec-Websocket-Key")))
		io.Copy(c, r)
		io.WriteString(c, "bye")
	})
	clear, secured := ports.Free(t, "127.0.0.1"), ports.Free(t, "127.0.0.1")
	haproxyPeer(t, secured, fmt.Sprintf("listen l\n timeout tunnel 10s\n bind %s proto h2\n bind %s ssl crt %s alpn h2,http/1.1\n http-request set-header X-By %%[req.ver]\n server s %s\n",
		clear, secured, crt, echo.Address))
	overTLS := func(alpn string, ws proxy.Proto) proxy.Server {
		s := target("a", secured.String())
		s.TLS, s.WS = offeringH2(ca, ""), ws
		s.TLS.ALPN = alpn
		return s
	}
	inClear := target("a", clear.String())
	inClear.Proto = proxy.H2Proto
	for name, c := range map[string]struct {
		server proxy.Server
		by     string
	}{
		"proto h2":                    {inClear, "2.0"},
		"alpn h2":                     {overTLS("h2", 0), "2.0"},
		"alpn h2,http/1.1, by itself": {overTLS("h2,http/1.1", 0), "1.1"},
		"alpn h2,http/1.1 ws h2":      {overTLS("h2,http/1.1", proxy.H2Proto), "2.0"},
		"alpn http/1.1 ws h2":         {overTLS("http/1.1", proxy.H2Proto), "2.0"},
		"alpn h2 ws h1":               {overTLS("h2", proxy.H1), "1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startLoops(t, 1, proxy.HTTP, []proxy.Server{c.server}, nil)
			for range 2 {
				upgraded(t, s, c.by)
				s.want(" be/a ", " 101 ", " ---- ", `"GET /chat HTTP/1.1"`)
				r := s.h2raw()
				f := r.webSocket(1, "/chat")
				by := ""
				for _, h := range f.RegularFields() {
					if h.Name == "x-by" {
						by = h.Value
					}
				}
				if f.PseudoValue("status") != "200" || by != c.by {
					t.Errorf("%s by %q, want 200 by %s", f.PseudoValue("status"), by, c.by)
				}
				r.wantData(1, "welcome", false)
				r.f.WriteData(1, false, []byte("hello"))
				r.wantData(1, "hello", false)
				r.f.WriteData(1, true, nil)
				r.wantData(1, "bye", true)
				s.want(" be/a ", " 101 ", " ---- ", `"GET /chat HTTP/2.0"`)
			}
		})
	}
}

// upgraded opens a WebSocket by HTTP/1.1 and speaks over it.
func upgraded(t *testing.T, s *site, by string) {
	t.Helper()
	c := s.dial()
	key := "dGhlIHNhbXBsZSBub25jZQ=="
	io.WriteString(c, request("GET /chat", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+key))
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if h := resp.Header; resp.StatusCode != 101 || h.Get("Sec-Websocket-Accept") != acceptOf(key) || !strings.EqualFold(h.Get("Upgrade"), "websocket") ||
		!strings.EqualFold(h.Get("Connection"), "upgrade") || h.Get("Sec-Websocket-Protocol") != "chat" || h.Get("X-By") != by {
		t.Fatalf("%d %v, want 101 by %s", resp.StatusCode, resp.Header, by)
	}
	for _, text := range []string{"welcome", strings.Repeat("x", 10000)} {
		if text != "welcome" {
			io.WriteString(c, text)
		}
		b := make([]byte, len(text))
		if _, err := io.ReadFull(r, b); err != nil || string(b) != text {
			t.Fatalf("%.20q, %v, want %.20q", b, err, text)
		}
	}
	c.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(r); err != nil || string(b) != "bye" {
		t.Errorf("%q, %v, want bye and the end", b, err)
	}
}

// TestH2ServerWithoutWebSockets: one that has not announced to take them is not asked; other upgrades are dropped, as any
// server may do, but for a client that would take the answer for consent.
func TestH2ServerWithoutWebSockets(t *testing.T) {
	server, _ := h2Server(t, "a", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %q", r.Method, r.Header["Upgrade"]) })
	logged := &bytes.Buffer{}
	var mu sync.Mutex
	s := startOptions(t, Options{Loops: 1, Logger: hclog.New(&hclog.LoggerOptions{Output: logged, Mutex: &mu})}, proxy.HTTP, []proxy.Server{server}, nil)
	out := s.raw(request("GET /", "Connection: Upgrade, close", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
	if !strings.HasPrefix(out, "HTTP/1.1 502 ") {
		t.Errorf("WebSocket: %q", out)
	}
	s.want(" be/a ", " 502 ", " SH-- ")
	mu.Lock()
	if !strings.Contains(logged.String(), "server=be/a") || !strings.Contains(logged.String(), "ws h1") {
		t.Errorf("the log does not tell why: %s", logged)
	}
	mu.Unlock()
	out = s.raw(request("GET /", "Connection: Upgrade, close", "Upgrade: other"))
	if !strings.HasPrefix(out, "HTTP/1.1 200 ") || !strings.Contains(out, "GET []") {
		t.Errorf("another upgrade: %q", out)
	}
	s.want(" be/a ", " 200 ", " ---- ")
	r := s.h2raw()
	r.head(1, false, ":method", "CONNECT", ":protocol", "other", ":scheme", "http", ":authority", "example.org", ":path", "/")
	r.wantStatus(1, "502")
}
