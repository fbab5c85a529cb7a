package engine

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stick"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// offers is a Replicator that remembers.
type offers struct {
	mu   sync.Mutex
	all  []stick.Binding
	full bool
}

func (o *offers) set(full bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all, o.full = nil, full
}

func (o *offers) Offer(b stick.Binding) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full {
		return false
	}
	o.all = append(o.all, b)
	return true
}

func (o *offers) list() []stick.Binding {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]stick.Binding(nil), o.all...)
}

// site is a running engine with its log.
type site struct {
	t    testing.TB
	e    *Engine
	addr string
	logs *logSink
	rep  *offers
}

// logSink receives the datagrams of `log`.
type logSink struct {
	conn  *net.UDPConn
	lines chan string
}

func newLogSink(t testing.TB) *logSink {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &logSink{c, make(chan string, 10000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 65536)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			s.lines <- string(b[:n])
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return s
}

// next is the next line without syslog's prefix.
func (s *logSink) next(t testing.TB) string {
	t.Helper()
	select {
	case l := <-s.lines:
		_, text, _ := strings.Cut(strings.TrimSuffix(l, "\n"), "]: ")
		return text
	case <-time.After(5 * time.Second):
		t.Fatal("no log line")
		return ""
	}
}

// sharing listens on a port that ports.Free holds.
var sharing = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return e
	}
	return err
}}

// common is a defaults section with short timeouts.
func common(mode proxy.Mode, log *logSink) proxy.Common {
	c := proxy.Common{Mode: mode, Timeouts: proxy.Timeouts{Connect: 500 * time.Millisecond, Client: 3 * time.Second, Server: 3 * time.Second}}
	c.LogFormat = proxy.LogHTTP
	if mode == proxy.TCP {
		c.LogFormat = proxy.LogTCP
	}
	if log != nil {
		c.Log = []proxy.LogTarget{{Address: log.conn.LocalAddr().String(), Facility: "local0"}}
	}
	return c
}

// start runs one frontend fe with the backend be of these servers.
func start(t testing.TB, mode proxy.Mode, servers []proxy.Server, change func(*proxy.Config)) *site {
	t.Helper()
	return startLoops(t, 2, mode, servers, change)
}

func startLoops(t testing.TB, loops int, mode proxy.Mode, servers []proxy.Server, change func(*proxy.Config)) *site {
	t.Helper()
	return startOptions(t, Options{Loops: loops}, mode, servers, change)
}

func startOptions(t testing.TB, o Options, mode proxy.Mode, servers []proxy.Server, change func(*proxy.Config)) *site {
	t.Helper()
	s := &site{t: t, logs: newLogSink(t), rep: &offers{}}
	addr := ports.Free(t, "127.0.0.1")
	s.addr = addr.String()
	cfg := proxy.Config{
		Frontends: []proxy.Frontend{{Name: "fe", Common: common(mode, s.logs), Binds: []proxy.Bind{{Addr: addr}}, DefaultBackend: "be"}},
		Backends:  []proxy.Backend{{Name: "be", Common: common(mode, s.logs), Balance: proxy.RoundRobin, Retries: 3, Servers: servers}},
	}
	if change != nil {
		change(&cfg)
	}
	if o.Replicator == nil {
		o.Replicator = s.rep
	}
	s.e = New(o)
	if ps := s.e.Apply(cfg); ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run does not return")
		}
	})
	return s
}

// named is a web server that answers its name.
func named(t *testing.T, name string) (*httptest.Server, proxy.Server) {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) }))
	t.Cleanup(h.Close)
	return h, target(name, h.Listener.Addr().String())
}

func target(name, addr string) proxy.Server {
	return proxy.Server{Name: name, Address: addr, Weight: 1}
}

// handler is a web server of one's own.
func handler(t *testing.T, name string, f http.HandlerFunc) proxy.Server {
	t.Helper()
	h := httptest.NewServer(f)
	t.Cleanup(h.Close)
	return target(name, h.Listener.Addr().String())
}

// rawServer hands every connection to f and closes it afterwards.
func rawServer(t testing.TB, name string, f func(net.Conn, *bufio.Reader)) proxy.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				f(c, bufio.NewReader(c))
				c.Close()
				mu.Lock()
				delete(conns, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return target(name, l.Addr().String())
}

// readHead reads a request's head off a raw server's connection.
func readHead(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String(), err
		}
	}
}

// dial opens a raw client connection.
func (s *site) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// raw sends text on a new connection and returns all that comes until the end.
func (s *site) raw(text string) string {
	s.t.Helper()
	c := s.dial()
	if _, err := io.WriteString(c, text); err != nil {
		s.t.Fatal(err)
	}
	b, _ := io.ReadAll(c)
	c.Close()
	return string(b)
}

// get asks for a path on a connection of its own.
func (s *site) get(path string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest("GET", "http://"+s.addr+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil && err != io.ErrUnexpectedEOF {
		s.t.Log("read:", err)
	}
	return resp, string(b)
}

// want fails unless the log line has all parts.
func (s *site) want(parts ...string) string {
	s.t.Helper()
	line := s.logs.next(s.t)
	for _, p := range parts {
		if !strings.Contains(line, p) {
			s.t.Errorf("log line %q lacks %q", line, p)
		}
	}
	return line
}

func keepAliveClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
