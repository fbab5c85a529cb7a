package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stats"
)

// answering are web servers that answer their name and note what they were asked.
func answering(names ...string) func(*testing.T, *notes) []proxy.Server {
	return func(t *testing.T, seen *notes) []proxy.Server {
		var ss []proxy.Server
		for _, n := range names {
			ss = append(ss, handler(t, n, func(w http.ResponseWriter, r *http.Request) {
				seen.add("%s: %s %s cookie=%q for=%q", n, r.Method, r.URL, r.Header["Cookie"], r.Header["X-Forwarded-For"])
				w.Header()["Date"] = nil
				io.WriteString(w, n)
			}))
		}
		return ss
	}
}

// refusing replaces the addresses of some servers by ones where nobody listens.
func refusing(inner func(*testing.T, *notes) []proxy.Server, names ...string) func(*testing.T, *notes) []proxy.Server {
	return func(t *testing.T, seen *notes) []proxy.Server {
		ss := inner(t, seen)
		for i := range ss {
			for _, n := range names {
				if ss[i].Name == n {
					ss[i].Address = ports.Free(t, "127.0.0.1").String()
				}
			}
		}
		return ss
	}
}

// each changes the servers.
func each(inner func(*testing.T, *notes) []proxy.Server, f func(i int, s *proxy.Server)) func(*testing.T, *notes) []proxy.Server {
	return func(t *testing.T, seen *notes) []proxy.Server {
		ss := inner(t, seen)
		for i := range ss {
			f(i, &ss[i])
		}
		return ss
	}
}

// deaf is a server whose machine answers no handshake: as many connections wait at it as it lets wait.
func deaf(t *testing.T, _ *notes) []proxy.Server {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
	for {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return []proxy.Server{target("s", addr)}
		}
		t.Cleanup(func() { c.Close() })
	}
}

// speaking is one server that reads a head and then does as told.
func speaking(f func(c net.Conn, r *bufio.Reader)) func(*testing.T, *notes) []proxy.Server {
	return func(t *testing.T, seen *notes) []proxy.Server {
		return []proxy.Server{rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
			for {
				h, err := readHead(r)
				if err != nil {
					return
				}
				line, _, _ := strings.Cut(h, "\r\n")
				seen.add("a: %s", line)
				f(c, r)
			}
		})}
	}
}

func saying(text string) func(*testing.T, *notes) []proxy.Server {
	return speaking(func(c net.Conn, r *bufio.Reader) { io.WriteString(c, text); c.Close() })
}

func repeated(n int, x exchange) (all []exchange) {
	for range n {
		all = append(all, x)
	}
	return all
}

func withCookie(c *proxy.Config) {
	c.Backends[0].Cookie = &proxy.Cookie{Name: "SRV", Indirect: true, NoCache: true}
}

func named2(s *proxy.Server) { s.Cookie = s.Name }

const closing = "Connection: close"

// TestBesideHAProxy plays the scenarios of the compatibility list against both. Their numbers are the list's.
func TestBesideHAProxy(t *testing.T) {
	for _, sc := range slicesOf(balancing(), failing(), pages()) {
		t.Run(sc.name, func(t *testing.T) { t.Parallel(); sc.run(t) })
	}
}

func slicesOf(lists ...[]scenario) (all []scenario) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

const (
	ownVersion = "a proxy tells its own version (RFC 9110 section 6.2)"
	announced  = "a connection that ends is announced with connection: close; this one stays"
)

func balancing() []scenario {
	ab := answering("a", "b")
	cookies := each(ab, func(_ int, s *proxy.Server) { named2(s) })
	return []scenario{
		{name: "1 equal weights", servers: ab, conns: repeated(6, get(closing)), lines: 6},
		{name: "2 weights 5:3:2", servers: each(answering("a", "b", "c"), func(i int, s *proxy.Server) { s.Weight = []int{5, 3, 2}[i] }),
			conns: repeated(10, get(closing)), lines: 10},
		{name: "3 weight 0 and a cookie", servers: each(cookies, func(i int, s *proxy.Server) { s.Weight = i }), change: withCookie,
			conns: []exchange{get(closing), get(closing, "Cookie: SRV=a"), get(closing, "Cookie: SRV=b"), get(closing, "Cookie: SRV=zz")}, lines: 4},
		{name: "4 all weights 0", servers: each(ab, func(_ int, s *proxy.Server) { s.Weight = 0 }), conns: []exchange{get(closing)}, lines: 1},
		{name: "5 refused", servers: refusing(answering("a"), "a"), change: func(c *proxy.Config) { c.Backends[0].Retries = 1 },
			conns: []exchange{get(closing)}, lines: 1},
		{name: "6 refused and redispatched", servers: refusing(ab, "a"),
			change: func(c *proxy.Config) { c.Backends[0].Retries, c.Backends[0].Redispatch = 1, -1 }, conns: repeated(2, get(closing)), lines: 2},
		{name: "7 down", servers: refusing(ab, "a"), down: []string{"a"}, conns: repeated(3, get(closing)), lines: 3},
		{name: "7 all down", servers: refusing(ab, "a", "b"), down: []string{"a", "b"}, conns: []exchange{get(closing)}, lines: 1},
		{name: "14 backup", servers: refusing(each(answering("a", "c", "d"), func(i int, s *proxy.Server) { s.Backup = i > 0 }), "a"),
			down: []string{"a"}, conns: repeated(3, get(closing)), lines: 3},
		{name: "14 backup in reserve", servers: each(answering("a", "c"), func(i int, s *proxy.Server) { s.Backup = i > 0 }),
			conns: repeated(2, get(closing)), lines: 2},
		{name: "15 insert indirect nocache", change: withCookie, servers: each(
			func(t *testing.T, seen *notes) []proxy.Server {
				return []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
					seen.add("%s cookie=%q", r.URL, r.Header["Cookie"])
					if r.URL.Path == "/fresh" {
						w.Header().Set("Cache-Control", "max-age=60")
					}
					if r.URL.Path == "/tagged" {
						w.Header().Set("ETag", `"1"`)
					}
					w.Header()["Date"] = nil
				})}
			}, func(_ int, s *proxy.Server) { named2(s) }),
			conns: []exchange{get(closing), get(closing, "Cookie: other=1; SRV=a; more=2"), get(closing, "Cookie: SRV=a"),
				{send: []string{request("GET /fresh", closing)}, answers: 1}, {send: []string{request("GET /tagged", closing)}, answers: 1},
				{send: []string{request("GET /tagged", closing, "Cookie: SRV=a")}, answers: 1}}, lines: 6},
		{name: "17 cookie of a server that is down", servers: refusing(cookies, "a"), change: withCookie, down: []string{"a"},
			conns: []exchange{get(closing, "Cookie: SRV=a"), get(closing, "Cookie: SRV=b")}, lines: 2},
		{name: "18 path_beg -i", servers: ab, change: func(c *proxy.Config) {
			two := c.Backends[0]
			two.Name, two.Servers = "ms1", two.Servers[1:]
			c.Backends[0].Servers = c.Backends[0].Servers[:1]
			c.Backends = append(c.Backends, two)
			c.Frontends[0].ACLs = []proxy.ACL{{Name: "one", Test: proxy.Words("path_beg -i /ms1/")}}
			c.Frontends[0].UseBackend = []proxy.UseBackend{{Backend: "ms1", Cond: proxy.Words("if one")}}
		}, conns: []exchange{{send: []string{request("GET /MS1/x", closing)}, answers: 1}, {send: []string{request("GET /ms1", closing)}, answers: 1},
			{send: []string{request("GET /ms2/", closing)}, answers: 1}, {send: []string{request("GET http://x/ms1/y", closing)}, answers: 1}}, lines: 4},
		{name: "25 forwardfor except if-none", servers: ab, change: func(c *proxy.Config) {
			c.Frontends[0].ForwardFor = &proxy.ForwardFor{Except: netip.MustParsePrefix("10.0.0.0/8"), IfNone: true}
		}, conns: []exchange{get(closing), get(closing, "X-Forwarded-For: 9.9.9.9")}, lines: 2},
		{name: "25 forwardfor appends", servers: ab, change: func(c *proxy.Config) { c.Frontends[0].ForwardFor = &proxy.ForwardFor{} },
			conns: []exchange{get(closing), get(closing, "X-Forwarded-For: 9.9.9.9")}, lines: 2},
		{name: "25 forwardfor except the client", servers: ab, change: func(c *proxy.Config) {
			c.Frontends[0].ForwardFor = &proxy.ForwardFor{Except: netip.MustParsePrefix("127.0.0.0/8")}
		}, conns: []exchange{get(closing)}, lines: 1},
	}
}

func failing() []scenario {
	short := func(c *proxy.Config) { c.Backends[0].Timeouts.Server = 300 * time.Millisecond }
	slow := func(t *testing.T, seen *notes) []proxy.Server {
		return []proxy.Server{each(func(t *testing.T, seen *notes) []proxy.Server {
			return []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
				seen.add("%s", r.URL)
				time.Sleep(250 * time.Millisecond) // is what makes others queue
				w.Header()["Date"] = nil
			})}
		}, func(_ int, s *proxy.Server) { s.MaxConn = 1 })(t, seen)[0]}
	}
	var five []exchange
	for i := range 5 {
		five = append(five, exchange{send: []string{request(fmt.Sprint("GET /", i), closing)}, answers: 1})
	}
	// a is a server whose answers are worth a retry, b one that works.
	poor := func(text string) func(*testing.T, *notes) []proxy.Server {
		return func(t *testing.T, seen *notes) []proxy.Server {
			return append(saying(text)(t, seen), answering("b")(t, seen)...)
		}
	}
	again := func(redispatch int, on ...string) func(*proxy.Config) {
		return func(c *proxy.Config) {
			c.Backends[0].Retries, c.Backends[0].Redispatch, c.Backends[0].RetryOn = 2, redispatch, on
			c.Backends[0].Timeouts.Server = 300 * time.Millisecond
		}
	}
	counted := map[string]string{"figures of be/": "a repetition counts as one retry or one redispatch, and a request that fails in the end as one bad answer"}
	unavailable := "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
	request700 := func(c *proxy.Config) { c.Frontends[0].Timeouts.HTTPRequest = 300 * time.Millisecond }
	return []scenario{
		{name: "11 queue timeout", servers: slow, parallel: true, change: func(c *proxy.Config) { c.Backends[0].Timeouts.Queue = 60 * time.Millisecond },
			conns: five[:2], lines: 2},
		{name: "12 queue is first come first served", servers: slow, parallel: true,
			change: func(c *proxy.Config) { c.Backends[0].Timeouts.Queue = 5 * time.Second }, conns: five, lines: 5,
			differs: map[string]string{"log: fe be/a n/n/n/n/n 200 ---- ": "a slot that is given back is the next one's at once, so the server's count does not fall in between"}},
		{name: "19 dripping head", servers: answering("a"), change: request700,
			conns: []exchange{{send: []string{"GET / HT", "TP/1.1\r\nHo", "st: x\r\n"}, pause: 120 * time.Millisecond}}, lines: 1},
		{name: "19 says nothing", servers: answering("a"), change: request700, conns: []exchange{{}}, lines: 1},
		{name: "19 leaves without a word", servers: answering("a"), conns: []exchange{{leave: true}}, lines: 1},
		{name: "19 leaves amid the head", servers: answering("a"), conns: []exchange{{send: []string{"GET / HTTP/1.1\r\nHost:"}, leave: true}}, lines: 1},
		{name: "retry-on 503, the same server", servers: poor(unavailable), change: again(0, "503"), conns: []exchange{get(closing)}, lines: 1, differs: counted},
		{name: "retry-on 503, redispatched", servers: poor(unavailable), change: again(1, "503"), conns: []exchange{get(closing)}, lines: 1, differs: counted},
		{name: "retry-on 503, the last redispatched", servers: poor(unavailable), change: again(-1, "503"), conns: []exchange{get(closing)}, lines: 1, differs: counted},
		{name: "retry-on empty-response, redispatched", servers: poor(""), change: again(1, "empty-response"), conns: []exchange{get(closing)}, lines: 1, differs: counted},
		{name: "retry-on junk-response, the same server", servers: poor("what is this\n\n"), change: again(0, "junk-response"), conns: []exchange{get(closing)}, lines: 1, differs: counted},
		{name: "retry-on without conn-failure", servers: refusing(answering("a", "b"), "a"), change: again(1, "503"), conns: []exchange{get(closing)}, lines: 1},
		{name: "connect timeout", servers: deaf, conns: []exchange{get(closing)}, lines: 1, change: func(c *proxy.Config) {
			c.Backends[0].Retries, c.Backends[0].Timeouts.Connect = 1, 150*time.Millisecond
		}},
		{name: "retry-on none", servers: refusing(answering("a", "b"), "a"), change: again(1, "none"), conns: []exchange{get(closing)}, lines: 1},
		{name: "20 silent", servers: speaking(func(c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }), change: short, conns: []exchange{get()}, lines: 1},
		{name: "20 closes", servers: saying(""), conns: []exchange{get()}, lines: 1},
		{name: "20 resets", servers: speaking(func(c net.Conn, r *bufio.Reader) { c.(*net.TCPConn).SetLinger(0); c.Close() }), conns: []exchange{get()}, lines: 1,
			differs: map[string]string{"figures of be/": "one bad answer counts as one in eresp, not as two"}},
		{name: "20 garbage", servers: saying("what is this\n\n"), conns: []exchange{get()}, lines: 1},
		{name: "20 half a head", servers: saying("HTTP/1.1 200 OK\r\nContent-Le"), conns: []exchange{get()}, lines: 1},
		{name: "20 bad chunk", servers: saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), conns: []exchange{get()}, lines: 1},
		{name: "20 truncates", servers: saying("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"), conns: []exchange{get()}, lines: 1},
		{name: "20 truncates chunks", servers: saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"), conns: []exchange{get()}, lines: 1},
		{name: "20 stalls in the body", servers: speaking(func(c net.Conn, r *bufio.Reader) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
			io.Copy(io.Discard, r)
		}), change: short, conns: []exchange{get()}, lines: 1},
		{name: "until the end, HTTP/1.1", servers: saying("HTTP/1.1 200 OK\r\n\r\nbody"), conns: []exchange{get()}, lines: 1},
		{name: "until the end, HTTP/1.0", servers: saying("HTTP/1.1 200 OK\r\n\r\nbody"),
			conns: []exchange{{send: []string{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"}, answers: 1}}, lines: 1},
		{name: "until the end, server of HTTP/1.0", servers: saying("HTTP/1.0 200 OK\r\n\r\nbody"), conns: []exchange{get()}, lines: 1,
			differs: map[string]string{"connection 0 answer 0: HTTP/1.": ownVersion}},
	}
}

// pages are the proxy's own answers: does the connection stay?
func pages() []scenario {
	nobody := refusing(answering("a"), "a")
	down := func(name string, x ...exchange) scenario {
		return scenario{name: "503 " + name, servers: nobody, down: []string{"a"}, conns: x, lines: len(x)}
	}
	withPage := func(c *proxy.Config) {
		c.Frontends[0].Stats = &proxy.Stats{URI: "/stats", Auth: []proxy.UserPassword{{User: "u", Password: "p"}}}
	}
	page := func(path string, headers ...string) exchange {
		return exchange{send: []string{request("GET "+path, headers...)}, answers: 1}
	}
	return []scenario{
		down("without a body", get()),
		down("HEAD", exchange{send: []string{request("HEAD /")}, head: true, answers: 1}),
		down("with a body that is here", exchange{send: []string{request("POST /", "Content-Length: 3") + "abc"}, answers: 1}),
		down("with chunks that are here", exchange{send: []string{request("POST /", "Transfer-Encoding: chunked") + "2\r\nab\r\n0\r\n\r\n"}, answers: 1}),
		down("with a body to come", exchange{send: []string{request("POST /", "Content-Length: 300") + "abc"}, answers: 1}),
		down("that asks to close", get(closing)),
		down("of HTTP/1.0", exchange{send: []string{"GET / HTTP/1.0\r\n\r\n"}, answers: 1}),
		down("of HTTP/1.0 that asks to stay", exchange{send: []string{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"}, answers: 1}),
		{name: "503 twice on one connection", servers: nobody, down: []string{"a"}, lines: 2,
			conns: []exchange{{send: []string{request("GET /1") + request("GET /2")}, answers: 2}}},
		{name: "503 after refusal, then again", servers: nobody, lines: 2, change: func(c *proxy.Config) { c.Backends[0].Retries = 0 },
			conns: []exchange{{send: []string{request("GET /1") + request("GET /2")}, answers: 2}}},
		{name: "28 statistics", servers: answering("a"), change: withPage, lines: 4, conns: []exchange{page("/stats"), page("/stats", "Authorization: Basic dTp4"),
			page("/stats", "Authorization: Basic dTpw"), page("/stats;csv", "Authorization: Basic dTpw")}, differs: map[string]string{
			"connection 0 then": announced, "connection 1 then": announced,
			"connection 2 answer 0: HTTP/1.1 200": "the page says its length and charset", "connection 3 answer 0: HTTP/1.1 200": "the table says its length",
			"log: fe fe/<STATS> n/n/n/-1/n 40": "the status is logged as it was answered, 401"}},
		{name: "28 statistics, then a request", servers: answering("a"), change: withPage, lines: 2, conns: []exchange{
			{send: []string{request("GET /stats", "Authorization: Basic dTpw") + request("GET /")}, answers: 2}},
			differs: map[string]string{"connection 0 answer 0: HTTP/1.1 200": "the page says its length and charset"}},
	}
}

// TestStatusBesideHAProxy is scenario 8: the status column on the way down and up again, fall 3 and rise 2. Reeve is told
// the outcome of each check as its runner tells it.
func TestStatusBesideHAProxy(t *testing.T) {
	t.Parallel()
	addr := ports.Free(t, "127.0.0.1")
	open := func() net.Listener {
		l, err := sharing.Listen(t.Context(), "tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	var cfg proxy.Config
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{{Name: "a", Address: addr.String(), Weight: 1, Check: "check inter 150ms fall 3 rise 2"}},
		func(c *proxy.Config) { cfg = *c })
	other := cfg
	other.Frontends = slices.Clone(cfg.Frontends)
	other.Frontends[0].Binds = []proxy.Bind{{Addr: ports.Free(t, "127.0.0.1")}}
	ha := realHAProxy(t, other)
	for _, step := range []struct {
		status string
		up     bool
		r      stats.CheckResult
		do     func()
	}{
		{"UP", true, stats.CheckResult{Status: "L4OK"}, func() {}},
		{"UP 2/3", true, stats.CheckResult{Status: "L4CON", Failed: true, Streak: 1}, func() { l.Close() }},
		{"UP 1/3", true, stats.CheckResult{Status: "L4CON", Failed: true, Streak: 2}, func() {}},
		{"DOWN", false, stats.CheckResult{Status: "L4CON", Failed: true}, func() {}},
		{"DOWN 1/2", false, stats.CheckResult{Status: "L4OK", Streak: 1}, func() { l = open() }},
		{"UP", true, stats.CheckResult{Status: "L4OK"}, func() {}},
	} {
		step.do()
		step.r.Rise, step.r.Fall = 2, 3
		s.e.SetHealth("be", "a", step.up, step.r)
		if got := column(s.csv(), "a", "status"); got != step.status {
			t.Errorf("status %q, want %q", got, step.status)
		}
		ha.await(t, "a", step.status)
		for _, name := range []string{"weight", "act", "bck", "chkdown", "check_status", "check_rise", "check_fall", "check_desc"} {
			if want, got := column(ha.csv(), "a", name), column(s.csv(), "a", name); got != want {
				t.Errorf("at %s: %s is %q, HAProxy has %q", step.status, name, got, want)
			}
		}
	}
	l.Close()
}
