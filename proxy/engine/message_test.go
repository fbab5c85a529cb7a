package engine

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stats"
)

// TestBadRequests sends what two readers could understand differently; no server may see any of it.
func TestBadRequests(t *testing.T) {
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) { t.Errorf("the server got %s %s", r.Method, r.URL) })
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	many := strings.Repeat("a: b\r\n", 105)
	for name, req := range map[string]string{
		"two lengths":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"length and chunked": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"xchunked":           "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"obs-fold":           "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
		"bare CR":            "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
		"bare LF":            "GET / HTTP/1.1\nHost: x\n\n",
		"space in name":      "GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n",
		"space before colon": "GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
		"no Host":            "GET / HTTP/1.1\r\n\r\n",
		"two Hosts":          "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"absolute mismatch":  "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
		"lower version":      "GET / http/1.1\r\nHost: x\r\n\r\n",
		"0.9":                "GET /\r\n\r\n",
		"headers":            "GET / HTTP/1.1\r\nHost: x\r\n" + many + "\r\n",
		"too long":           "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("b", 20000) + "\r\n\r\n",
		"negative length":    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"bad chunk":          "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"chunked 1.0":        "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if out := s.raw(req); !strings.HasPrefix(out, "HTTP/1.1 400 ") || !strings.Contains(out, "connection: close") {
				t.Errorf("answer %q", out)
			}
			s.want(" fe fe/<NOSRV> ", " 400 ", " PR-- ", `"<BADREQ>"`)
		})
	}
	if row, _ := s.e.Stats().Find("fe", "FRONTEND"); row.EReq != 18 {
		t.Errorf("ereq %d", row.EReq)
	}
}

func TestHeadTimeouts(t *testing.T) {
	_, a := named(t, "a")
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) { c.Frontends[0].Timeouts.HTTPRequest = 200 * time.Millisecond })
	for name, part := range map[string]string{"mute": "", "drip": "GET / HT"} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			out := s.raw(part)
			if took := time.Since(begin); !strings.HasPrefix(out, "HTTP/1.1 408 ") || took < 190*time.Millisecond || took > time.Second {
				t.Errorf("%q after %v", out, took)
			}
			s.want(" 408 ", " cR-- ", "fe/<NOSRV> -1/-1/-1/-1/", `"<BADREQ>"`)
		})
	}
	t.Run("half", func(t *testing.T) {
		c := s.dial()
		io.WriteString(c, "GET / HT")
		c.Close()
		s.want(" 400 ", " CR-- ")
	})
}

func TestForwardFor(t *testing.T) {
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["X-Forwarded-For"]) })
	for name, tc := range map[string]struct {
		f    proxy.ForwardFor
		sent []string
		want string
	}{
		"alone":   {proxy.ForwardFor{}, nil, "[127.0.0.1]"},
		"appends": {proxy.ForwardFor{}, []string{"X-Forwarded-For", "9.9.9.9"}, "[9.9.9.9 127.0.0.1]"},
		"if-none": {proxy.ForwardFor{IfNone: true}, []string{"X-Forwarded-For", "9.9.9.9"}, "[9.9.9.9]"},
		"except":  {proxy.ForwardFor{Except: netip.MustParsePrefix("127.0.0.0/8")}, nil, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, proxy.HTTP, []proxy.Server{h}, func(c *proxy.Config) { c.Frontends[0].ForwardFor = &tc.f })
			if _, body := s.get("/", tc.sent...); body != tc.want {
				t.Errorf("server saw %s, want %s", body, tc.want)
			}
		})
	}
}

func TestCookieInsert(t *testing.T) {
	cookie := func(name string) proxy.Server {
		sv := handler(t, name, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/cacheable" {
				w.Header().Set("ETag", `"x"`)
			}
			fmt.Fprint(w, name, r.Header["Cookie"])
		})
		sv.Cookie = name
		return sv
	}
	a, b := cookie("a"), cookie("b")
	a.Weight = 0
	b.Check = "b"
	s := start(t, proxy.HTTP, []proxy.Server{a, b}, func(c *proxy.Config) {
		c.Backends[0].Cookie = &proxy.Cookie{Name: "SRV", Indirect: true, NoCache: true}
	})
	for _, tc := range []struct{ path, cookie, body, set, cache, flags string }{
		{"/", "", "b[]", "SRV=b; path=/", "", "--NI"},
		{"/cacheable", "", "b[]", "SRV=b; path=/", "private", "--NI"},
		{"/", "SRV=a", "a[]", "", "", "--VN"}, // weight 0 keeps its sessions
		{"/", "x=1; SRV=b; y=2", "b[x=1; y=2]", "", "", "--VN"},
		{"/", "SRV=nobody", "b[]", "SRV=b; path=/", "", "--II"},
	} {
		var hs []string
		if tc.cookie != "" {
			hs = []string{"Cookie", tc.cookie}
		}
		resp, body := s.get(tc.path, hs...)
		if body != tc.body || resp.Header.Get("Set-Cookie") != tc.set || resp.Header.Get("Cache-Control") != tc.cache {
			t.Errorf("%+v: %q %v", tc, body, resp.Header)
		}
		s.want(" " + tc.flags + " ")
	}
	s.e.SetHealth("be", "b", false, stats.CheckResult{Status: "L4CON", Info: "Connection refused", Failed: true})
	s.want("Server be/b is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", check duration: 0ms. 0 active and 0 backup servers left.")
	s.want("backend 'be' has no server available!")
	resp, _ := s.get("/", "Cookie", "SRV=b")
	if resp.StatusCode != 503 {
		t.Errorf("status %d", resp.StatusCode)
	}
	s.want("be/<NOSRV> 0/-1/-1/-1/0 503 ", " SCD")
}

func TestNoServer(t *testing.T) {
	_, a := named(t, "a")
	a.Weight = 0
	s := start(t, proxy.HTTP, []proxy.Server{a}, nil)
	resp, body := s.get("/")
	if resp.StatusCode != 503 || !strings.Contains(body, "<h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	s.want("be/<NOSRV> 0/-1/-1/-1/0 503 ", " SC-- ")
	if row, _ := s.e.Stats().Find("be", "BACKEND"); row.ECon != 1 {
		t.Errorf("econ %d", row.ECon)
	}
}

func TestBackup(t *testing.T) {
	_, a := named(t, "a")
	_, c := named(t, "c")
	_, d := named(t, "d")
	a.Check, c.Backup, d.Backup = "a", true, true
	s := start(t, proxy.HTTP, []proxy.Server{a, c, d}, nil)
	ask := func(want string) {
		t.Helper()
		for range 3 {
			if _, body := s.get("/"); body != want {
				t.Errorf("%s answered, want %s", body, want)
			}
		}
	}
	ask("a")
	s.e.SetHealth("be", "a", false, stats.CheckResult{Status: "L4TOUT", Failed: true})
	ask("c")
	s.e.SetHealth("be", "a", true, stats.CheckResult{Status: "L4OK"})
	ask("a")
}

func TestACL(t *testing.T) {
	_, a := named(t, "a")
	_, b := named(t, "b")
	_, d := named(t, "d")
	s := start(t, proxy.HTTP, []proxy.Server{d}, func(c *proxy.Config) {
		c.Backends = append(c.Backends,
			proxy.Backend{Name: "ms1", Common: common(proxy.HTTP, nil), Servers: []proxy.Server{a}},
			proxy.Backend{Name: "ms2", Common: common(proxy.HTTP, nil), Servers: []proxy.Server{b}})
		f := &c.Frontends[0]
		f.ACLs = []proxy.ACL{{Name: "one", Test: proxy.Words("path_beg -i /ms1/")}, {Name: "two", Test: proxy.Words("path_beg /ms2")}}
		f.UseBackend = []proxy.UseBackend{
			{Backend: "ms1", Cond: proxy.Words("if one !two")},
			{Backend: "ms2", Cond: proxy.Words("if two")}}
	})
	for path, want := range map[string]string{"/MS1/x": "a", "/ms1/y?z": "a", "/ms2": "b", "/MS2": "d", "/": "d", "/?/ms1/": "d"} {
		if _, body := s.get(path); body != want {
			t.Errorf("%s went to %s, want %s", path, body, want)
		}
	}
}

func TestQueue(t *testing.T) {
	var release = make(chan struct{}, 10)
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) { <-release; io.WriteString(w, r.URL.Path) })
	h.MaxConn = 1
	s := start(t, proxy.HTTP, []proxy.Server{h}, func(c *proxy.Config) { c.Backends[0].Timeouts.Queue = 2 * time.Second })
	got := make(chan string, 5)
	for i := range 5 {
		go func() {
			_, body := s.get(fmt.Sprintf("/%d", i))
			got <- body
		}()
		wait := time.Now().Add(3 * time.Second)
		for { // one after the other
			row, _ := s.e.Stats().Find("be", "BACKEND")
			srv, _ := s.e.Stats().Find("be", "a")
			if row.QCur == int64(i) && srv.SCur == 1 || time.Now().After(wait) {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	for i := range 5 {
		release <- struct{}{}
		if body := <-got; body != fmt.Sprintf("/%d", i) {
			t.Errorf("answer %d is %s", i, body)
		}
	}
	row, _ := s.e.Stats().Find("be", "BACKEND")
	if row.QMax != 4 || row.QCur != 0 {
		t.Errorf("qmax %d qcur %d", row.QMax, row.QCur)
	}
}

func TestQueueTimeout(t *testing.T) {
	release := make(chan struct{})
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) { <-release })
	h.MaxConn = 1
	s := start(t, proxy.HTTP, []proxy.Server{h}, func(c *proxy.Config) { c.Backends[0].Timeouts.Queue = 200 * time.Millisecond })
	done := make(chan struct{})
	go func() { s.get("/1"); close(done) }()
	for r, _ := s.e.Stats().Find("be", "a"); r.SCur == 0; r, _ = s.e.Stats().Find("be", "a") {
		time.Sleep(time.Millisecond)
	}
	begin := time.Now()
	resp, _ := s.get("/2")
	if took := time.Since(begin); resp.StatusCode != 503 || took < 190*time.Millisecond || took > time.Second {
		t.Errorf("%d after %v", resp.StatusCode, took)
	}
	s.want("be/<NOSRV> ", " 503 ", " sQ-- ")
	close(release)
	<-done
}

// TestBodies sends random bodies of many sizes both ways, by length and by chunks, and compares sums.
func TestBodies(t *testing.T) {
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Sum", fmt.Sprintf("%x", sha256.Sum256(b)))
		w.Header().Set("X-Trailer", r.Trailer.Get("T"))
		w.Header().Set("Trailer", "Back")
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		} else {
			w.(http.Flusher).Flush()
		}
		w.Write(b)
		w.Header().Set("Back", "end")
	})
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	c := keepAliveClient()
	defer c.CloseIdleConnections()
	for _, size := range []int{0, 1, 100, 15000, 16384, 16385, 65536, 300_000, 5_000_000} {
		for _, path := range []string{"/length", "/chunked"} {
			body := make([]byte, size)
			for i := range body {
				body[i] = byte(rand.Uint32())
			}
			req, _ := http.NewRequest("POST", "http://"+s.addr+path, bytes.NewReader(body))
			if path == "/chunked" {
				req.Body = io.NopCloser(bytes.NewReader(body))
				req.ContentLength = -1
				req.Trailer = http.Header{"T": {"yes"}}
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(size, path, err)
			}
			back, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(back, body) {
				t.Fatalf("%d bytes %s: %d came back, %v", size, path, len(back), err)
			}
			if path == "/chunked" && (resp.Header.Get("X-Trailer") != "yes" || resp.Trailer.Get("Back") != "end") {
				t.Errorf("%d: trailers %v %v", size, resp.Header, resp.Trailer)
			}
		}
	}
}

func TestBodilessAnswers(t *testing.T) {
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		for {
			head, err := readHead(r)
			if err != nil {
				return
			}
			switch {
			case strings.HasPrefix(head, "HEAD"):
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
			case strings.HasPrefix(head, "GET /204"):
				io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			case strings.HasPrefix(head, "GET /304"):
				io.WriteString(c, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n")
			case strings.HasPrefix(head, "GET /100"):
				io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			case strings.HasPrefix(head, "GET /close"):
				io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nuntil the end")
				return
			}
		}
	})
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	const tail = " HTTP/1.1\r\nHost: x\r\n\r\n"
	out := s.raw("HEAD /" + tail + "GET /204" + tail + "GET /304" + tail + "GET /100" + tail + "GET /close" + tail)
	want := "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n" +
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" +
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"
	if out != want {
		t.Errorf("got\n%q, want\n%q", out, want)
	}
}

func TestContinue(t *testing.T) {
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	c := s.dial()
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	r := bufio.NewReader(c)
	if head, _ := readHead(r); !strings.HasPrefix(head, "HTTP/1.1 100 ") {
		t.Fatalf("%q", head)
	}
	io.WriteString(c, "body")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); string(b) != "body" {
		t.Errorf("%q", b)
	}
}

func TestUpgrade(t *testing.T) {
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		head, _ := readHead(r)
		if !strings.Contains(head, "Connection: Upgrade\r\n") || !strings.Contains(head, "Upgrade: echo\r\n") {
			t.Errorf("server saw %q", head)
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(c, r)
	})
	s := start(t, proxy.HTTP, []proxy.Server{h}, func(c *proxy.Config) {
		c.Backends[0].Timeouts.Server = 100 * time.Millisecond
		c.Backends[0].Timeouts.Tunnel = 600 * time.Millisecond
	})
	c := s.dial()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	r := bufio.NewReader(c)
	if head, _ := readHead(r); !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "Upgrade: echo") {
		t.Fatalf("%q", head)
	}
	time.Sleep(200 * time.Millisecond) // longer than timeout server
	io.WriteString(c, "hello")
	b := make([]byte, 5)
	if _, err := io.ReadFull(r, b); err != nil || string(b) != "hello" {
		t.Fatalf("%q %v", b, err)
	}
	begin := time.Now()
	if _, err := r.ReadByte(); err != io.EOF {
		t.Error(err)
	}
	if took := time.Since(begin); took < 500*time.Millisecond || took > 2*time.Second {
		t.Errorf("the tunnel ended after %v", took)
	}
	s.want(" 101 ")
}

func TestOldClients(t *testing.T) {
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	if out := s.raw("GET / HTTP/1.0\r\n\r\n"); !strings.HasSuffix(out, "\r\n\r\nHTTP/1.0") || !strings.Contains(out, "Connection: close") {
		t.Errorf("%q", out)
	}
	c := s.dial()
	r := bufio.NewReader(c)
	for range 2 {
		io.WriteString(c, "GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != "HTTP/1.0" || resp.Header.Get("Connection") != "keep-alive" {
			t.Errorf("%q %v", b, resp.Header)
		}
	}
}

func TestChunkedForOldClient(t *testing.T) {
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\nT: x\r\n\r\n")
		readHead(r)
	})
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	if out := s.raw("GET / HTTP/1.0\r\n\r\n"); out != "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcdefg" {
		t.Errorf("%q", out)
	}
}

func TestHopByHop(t *testing.T) {
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "X-Mine")
		w.Header().Set("X-Mine", "1")
		fmt.Fprint(w, r.Header["Keep-Alive"], r.Header["X-Secret"], r.Header["Te"], r.Host)
	})
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	out := s.raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: close, X-Secret, Host\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n\r\n")
	if !strings.HasSuffix(out, "[] [] [trailers]x") || strings.Contains(out, "X-Mine") {
		t.Errorf("%q", out)
	}
}

// TestStalePool: the server closes after each answer without saying so; the next request must not suffer.
func TestStalePool(t *testing.T) {
	closed := make(chan struct{}, 100)
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		if head, err := readHead(r); err == nil {
			if strings.Contains(head, "Content-Length: 4") {
				r.Discard(4)
			} else if strings.Contains(head, "chunked") {
				r.Discard(len("4\r\nbody\r\n0\r\n\r\n"))
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			if _, err := readHead(r); err == nil { // the second request on a connection is answered by a reset
				c.(*net.TCPConn).SetLinger(0)
			}
			closed <- struct{}{}
		}
	})
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	c := s.dial()
	r := bufio.NewReader(c)
	for i := range 30 {
		io.WriteString(c, []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
			"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"}[i%3])
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(b) != "ok" {
			t.Fatalf("%d %q", resp.StatusCode, b)
		}
	}
	if row, _ := s.e.Stats().Find("be", "a"); row.EResp != 0 || row.Reuse == 0 {
		t.Errorf("%+v", row)
	}
}
