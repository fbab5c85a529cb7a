package engine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stats"
	"github.com/reeve-lb/reeve/proxy/stick"
)

func TestTCP(t *testing.T) {
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		b, _ := io.ReadAll(r) // until the client's half close
		fmt.Fprintf(c, "%x", sha256.Sum256(b))
	})
	s := start(t, proxy.TCP, []proxy.Server{h}, nil)
	body := bytes.Repeat([]byte("0123456789"), 200_000)
	c := s.dial()
	if _, err := c.Write(body); err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != fmt.Sprintf("%x", sha256.Sum256(body)) {
		t.Fatalf("%q %v", got, err)
	}
	s.want(" fe be/a 0/", " 64 -- 1/1/0/0/0 0/0")
	row, _ := s.e.Stats().Find("be", "a")
	if row.BIn != uint64(len(body)) || row.BOut != 64 {
		t.Errorf("bin %d bout %d", row.BIn, row.BOut)
	}
}

func TestTCPServerFirst(t *testing.T) {
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) { io.WriteString(c, "220 hello\r\n"); io.Copy(io.Discard, r) })
	s := start(t, proxy.TCP, []proxy.Server{h}, nil)
	begin := time.Now()
	line, err := bufio.NewReader(s.dial()).ReadString('\n')
	if line != "220 hello\r\n" || err != nil || time.Since(begin) > 500*time.Millisecond {
		t.Errorf("%q %v after %v", line, err, time.Since(begin))
	}
}

func TestTCPRefused(t *testing.T) {
	s := start(t, proxy.TCP, []proxy.Server{target("a", ports.Free(t, "127.0.0.1").String())}, func(c *proxy.Config) { c.Backends[0].Retries = 1 })
	if out := s.raw(""); out != "" {
		t.Errorf("%q", out)
	}
	// Half a second, the time of a connection, lies between the two attempts; how much more it takes is the machine's.
	m := regexp.MustCompile(` fe be/a \d+/-1/(\d+) 0 SC 1/1/0/0/1 0/0`).FindStringSubmatch(s.logs.next(t))
	if m == nil {
		t.Fatal("not logged as refused twice")
	}
	if took, err := strconv.Atoi(m[1]); err != nil || took < 500 {
		t.Errorf("over after %s ms", m[1])
	}
}

func TestStick(t *testing.T) {
	_, a := named(t, "a")
	_, b := named(t, "b")
	a.Check, b.Check = "a", "b"
	s := start(t, proxy.HTTP, []proxy.Server{a, b}, func(c *proxy.Config) {
		c.Backends[0].StickTable = &proxy.StickTable{Type: "ip", Size: 100, Expire: time.Minute}
		c.Backends[0].Stick = []proxy.StickRule{{On: "src"}}
	})
	for range 10 {
		if _, body := s.get("/"); body != "a" {
			t.Fatalf("%s answered", body)
		}
	}
	if o := s.rep.list(); len(o) != 1 || o[0].Server != "a" || o[0].Table != "be" || o[0].Key != "127.0.0.1" {
		t.Fatalf("offered %v", o)
	}
	s.e.Bindings([]stick.Binding{{Table: "be", Key: "127.0.0.1", Server: "b", TTL: time.Minute}})
	for range 10 {
		if _, body := s.get("/"); body != "b" {
			t.Fatalf("%s answered against the log", body)
		}
	}
	s.e.SetHealth("be", "b", false, stats.CheckResult{Status: "L4CON", Failed: true})
	if _, body := s.get("/"); body != "a" {
		t.Errorf("%s answered", body)
	}
}

func TestStatsPage(t *testing.T) {
	_, a := named(t, "a")
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		c.Frontends[0].Stats = &proxy.Stats{URI: "/stats", Auth: []proxy.UserPassword{{User: "u", Password: "p"}}}
	})
	resp, _ := s.get("/stats")
	if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != `Basic realm="HAProxy Statistics"` {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	s.want("<STATS>", " LR-- ", " 401 ")
	if resp, _ := s.get("/stats", "Authorization", "Basic dTp4"); resp.StatusCode != 401 {
		t.Errorf("wrong password: %d", resp.StatusCode)
	}
	resp, body := s.get("/stats", "Authorization", "Basic dTpw")
	if resp.StatusCode != 200 || !strings.Contains(body, "uptime = ") || !strings.Contains(body, "HAProxy version ") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	resp, body = s.get("/stats;csv", "Authorization", "Basic dTpw")
	lines := strings.Split(body, "\n")
	if !strings.HasPrefix(lines[0], "# pxname,svname,qcur,qmax,scur,") || !strings.HasPrefix(lines[1], "fe,FRONTEND,,,") {
		t.Errorf("%d %q", resp.StatusCode, lines)
	}
	if n := strings.Count(lines[0], ","); n != strings.Count(lines[1], ",") || n != 107 {
		t.Errorf("%d columns", n)
	}
}

func TestApplyInPlace(t *testing.T) {
	_, a := named(t, "a")
	_, b := named(t, "b")
	var cfg proxy.Config
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) { cfg = *c })
	c := s.dial()
	r := bufio.NewReader(c)
	ask := func(want string) {
		t.Helper()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(resp.Body); string(got) != want {
			t.Errorf("%s answered, want %s", got, want)
		}
	}
	ask("a")
	next := cfg
	next.Backends = []proxy.Backend{cfg.Backends[0]}
	next.Backends[0].Servers = []proxy.Server{b}
	if ps := s.e.Apply(next); len(ps) > 0 {
		t.Fatal(ps)
	}
	ask("b")
	row, _ := s.e.Stats().Find("fe", "FRONTEND")
	if row.ConnTot != 1 || row.ReqTot != 2 {
		t.Errorf("%+v", row)
	}
	// Another address: the old one closes, and the idle connection of a removed frontend with it.
	moved := next
	moved.Frontends = []proxy.Frontend{next.Frontends[0]}
	moved.Frontends[0].Name = "other"
	moved.Frontends[0].Binds = []proxy.Bind{{Addr: ports.Free(t, "127.0.0.1")}}
	if ps := s.e.Apply(moved); len(ps) > 0 {
		t.Fatal(ps)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("idle connection of a removed frontend: %v", err)
	}
	if c, err := net.Dial("tcp", s.addr); err == nil {
		c.Close()
		t.Error("the removed address still listens")
	}
	s.addr = moved.Frontends[0].Binds[0].Addr.String()
	if _, body := s.get("/"); body != "b" {
		t.Errorf("%q", body)
	}
}

func TestPortHeldByAnother(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, a := named(t, "a")
	var cfg proxy.Config
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) { cfg = *c })
	next := cfg
	next.Frontends = []proxy.Frontend{cfg.Frontends[0]}
	pos := cfg.Frontends[0].Pos
	pos.File, pos.Line, pos.Col = "x.cfg", 7, 3
	next.Frontends[0].Binds = append(next.Frontends[0].Binds[:1:1], proxy.Bind{Addr: netip.MustParseAddrPort(l.Addr().String()), Pos: pos})
	for name, f := range map[string]func(proxy.Config) string{
		"can run": func(c proxy.Config) string { return fmt.Sprint(s.e.CanRun(c)) },
		"apply":   func(c proxy.Config) string { return fmt.Sprint(s.e.Apply(c)) },
	} {
		if text := f(next); !strings.Contains(text, "x.cfg:7:3: error: ") || !strings.Contains(text, "engine.test") && !strings.Contains(text, "this process itself") {
			t.Errorf("%s: %s", name, text)
		}
	}
	if ps := s.e.CanRun(cfg); len(ps) > 0 {
		t.Errorf("own listener is no stranger: %v", ps)
	}
	if _, body := s.get("/"); body != "a" {
		t.Error("the rest does not run")
	}
}

func TestDrain(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(arrived)
			<-release
		}
		io.WriteString(w, "ok")
	})
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	idle := s.dial()
	io.WriteString(idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	ir := bufio.NewReader(idle)
	resp, err := http.ReadResponse(ir, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.ReadAll(resp.Body)
	type answer struct {
		resp *http.Response
		body string
	}
	slow := make(chan answer, 1)
	go func() {
		resp, body := s.get("/slow")
		slow <- answer{resp, body}
	}()
	<-arrived
	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		drained <- s.e.Drain(ctx)
	}()
	if _, err := ir.ReadByte(); err != io.EOF {
		t.Errorf("idle connection: %v", err)
	}
	close(release)
	if a := <-slow; a.body != "ok" || !a.resp.Close {
		t.Errorf("%+v", a)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", s.addr); err == nil {
		c.Close()
		t.Error("still listens")
	}
}

func TestMaxConn(t *testing.T) {
	_, a := named(t, "a")
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) { c.Frontends[0].MaxConn = 1 })
	first := s.dial()
	io.WriteString(first, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(first), nil); err != nil {
		t.Fatal(err)
	}
	second := s.dial()
	io.WriteString(second, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	second.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, _ := second.Read(make([]byte, 1)); n != 0 {
		t.Error("answered above maxconn")
	}
	first.Close()
	second.SetReadDeadline(time.Now().Add(2 * time.Second))
	if out, err := io.ReadAll(second); err != nil || !strings.HasPrefix(string(out), "HTTP/1.1 200") {
		t.Errorf("%q %v", out, err)
	}
}

func TestFreebind(t *testing.T) {
	_, a := named(t, "a")
	start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		c.Frontends[0].Binds = append(c.Frontends[0].Binds,
			proxy.Bind{Addr: netip.MustParseAddrPort("192.0.2.77:28080")}, proxy.Bind{Addr: netip.MustParseAddrPort("[2001:db8::77]:28080")})
	})
}

// TestMuteBehindDeferredAccept: the kernel holds a client that says nothing back for a second, which its time-out knows.
func TestMuteBehindDeferredAccept(t *testing.T) {
	_, a := named(t, "a")
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) { c.Frontends[0].Timeouts.HTTPRequest = 1500 * time.Millisecond })
	begin := time.Now()
	out := s.raw("")
	if took := time.Since(begin); !strings.HasPrefix(out, "HTTP/1.1 408 ") || took < 1300*time.Millisecond || took > 2200*time.Millisecond {
		t.Errorf("%q after %v", out, took)
	}
}

// TestBindsOfBothFamilies: [::]:port takes IPv6 alone, as HAProxy has it without v4v6, so that a second bind may have the
// IPv4 side.
func TestBindsOfBothFamilies(t *testing.T) {
	_, a := named(t, "a")
	_, b := named(t, "b")
	var port uint16
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		port = ports.Free(t, "::1").Port()
		c.Frontends[0].Binds = []proxy.Bind{{Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), port)}}
		four := c.Frontends[0]
		four.Name, four.DefaultBackend = "four", "four"
		four.Binds = []proxy.Bind{{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), port)}}
		c.Frontends = append(c.Frontends, four)
		other := c.Backends[0]
		other.Name, other.Servers = "four", []proxy.Server{b}
		c.Backends = append(c.Backends, other)
	})
	for host, want := range map[string]string{"127.0.0.1": "b", "[::1]": "a"} {
		s.addr = fmt.Sprintf("%s:%d", host, port)
		if _, body := s.get("/"); body != want {
			t.Errorf("%s: %q answered, want %q", host, body, want)
		}
	}
	row, _ := s.e.Stats().Find("fe", "FRONTEND")
	if row.ConnTot != 1 {
		t.Errorf("the bind on [::] took %d connections, want that of ::1 alone", row.ConnTot)
	}
}
