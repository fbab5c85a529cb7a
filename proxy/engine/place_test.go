package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// socketDir is a directory whose name leaves room for a socket's.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "reeve-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func bindUnix(path string) func(*proxy.Config) {
	return func(c *proxy.Config) {
		c.Frontends[0].Binds = append(c.Frontends[0].Binds, proxy.Bind{Unix: path, Mode: "600", Pos: source.Pos{File: "x.cfg", Line: 3, Col: 1}})
	}
}

// getUnix asks over a Unix socket.
func getUnix(t *testing.T, path string) string {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	resp, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Get("http://x/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// TestUnixSockets: a client on one, a server on another; nobody's address is made up.
func TestUnixSockets(t *testing.T) {
	dir := socketDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, "server"))
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "forwarded for %q", r.Header.Get("X-Forwarded-For"))
	}))
	h.Listener.Close()
	h.Listener = l
	h.Start()
	defer h.Close()
	path := filepath.Join(dir, "client")
	s := start(t, proxy.HTTP, []proxy.Server{target("a", l.Addr().String())}, func(c *proxy.Config) { bindUnix(path)(c); tellClient(c) })
	for range 20 { // both loops accept
		if got := getUnix(t, path); got != `forwarded for ""` {
			t.Fatalf("%q", got)
		}
		s.want("unix:2 [", " fe be/a ")
	}
	if _, got := s.get("/"); got != `forwarded for "127.0.0.1"` {
		t.Errorf("over TCP: %q", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestUnixSocketFiles: what a dead program left is replaced, what a living one holds is not, and what is ours goes with us.
func TestUnixSocketFiles(t *testing.T) {
	dir := socketDir(t)
	stale, held, plain := filepath.Join(dir, "stale"), filepath.Join(dir, "held"), filepath.Join(dir, "plain")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if l, err = net.ListenUnix("unix", &net.UnixAddr{Name: held}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	write(t, plain, "text")
	_, a := named(t, "a")
	var cfg proxy.Config
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) { bindUnix(stale)(c); cfg = *c })
	if got := getUnix(t, stale); got != "a" {
		t.Errorf("in the place of a stale socket: %q", got)
	}
	for path, want := range map[string]string{held: "is held by engine.test (pid", plain: "is no socket", dir + "/none/x": "no such file"} {
		next := cfg
		next.Frontends = []proxy.Frontend{cfg.Frontends[0]}
		bindUnix(path)(&next)
		if text := fmt.Sprint(s.e.CanRun(next)); !strings.Contains(text, "x.cfg:3:1: error: ") || !strings.Contains(text, want) {
			t.Errorf("can run: %s", text)
		}
		if text := fmt.Sprint(s.e.Apply(next)); !strings.Contains(text, want) {
			t.Errorf("apply: %s", text)
		}
	}
	if ps := s.e.CanRun(cfg); len(ps) > 0 {
		t.Errorf("our own socket is in the way: %v", ps)
	}
	next := cfg
	next.Frontends = []proxy.Frontend{cfg.Frontends[0]}
	next.Frontends[0].Binds = next.Frontends[0].Binds[:1]
	if ps := s.e.Apply(next); len(ps) > 0 {
		t.Fatal(ps)
	}
	if _, err := os.Lstat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of a removed bind: %v", err)
	}
	if err := s.e.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("left behind: %v", files)
	}
}

// TestAbstractSockets are those of HAProxy's abns@, whose names it fills up with zeros.
func TestAbstractSockets(t *testing.T) {
	name := fmt.Sprintf("reeve-%d", os.Getpid())
	_, a := named(t, "a")
	start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		c.Frontends[0].Binds = append(c.Frontends[0].Binds, proxy.Bind{Unix: "@" + name})
	})
	at := ports.Free(t, "127.0.0.1")
	haproxyPeer(t, at, fmt.Sprintf("listen l\n bind %s\n server s abns@%s\n", at, name))
	if got := from(t, "127.0.0.1", at.String()); got != "a" {
		t.Errorf("HAProxy to Reeve: %q", got)
	}
	other := name + "-b"
	behind := ports.Free(t, "127.0.0.1")
	haproxyPeer(t, behind, fmt.Sprintf("listen l\n bind %s\n bind abns@%s\n server s %s\n", behind, other, a.Address))
	s := start(t, proxy.HTTP, []proxy.Server{target("h", "abns@"+other)}, nil)
	if _, got := s.get("/"); got != "a" {
		t.Errorf("Reeve to HAProxy: %q", got)
	}
}

// TestPortOfTheClient: a server without a port has the one that the client addressed, or one at a distance from it.
func TestPortOfTheClient(t *testing.T) {
	_, a := named(t, "a")
	at := netip.MustParseAddrPort(a.Address)
	listens := ports.Free(t, "127.0.0.3")
	s := start(t, proxy.HTTP, []proxy.Server{target("a", fmt.Sprintf("%s:%+d", at.Addr(), int(at.Port())-int(listens.Port())))}, func(c *proxy.Config) {
		c.Frontends[0].Binds = []proxy.Bind{{Addr: listens}}
	})
	s.addr = listens.String()
	for range 2 {
		if _, got := s.get("/"); got != "a" {
			t.Errorf("at a distance: %q", got)
		}
	}
	same := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.4"), at.Port())
	s = start(t, proxy.HTTP, []proxy.Server{target("a", "127.0.0.1")}, func(c *proxy.Config) { c.Frontends[0].Binds = []proxy.Bind{{Addr: same}} })
	s.addr = same.String()
	if _, got := s.get("/"); got != "a" {
		t.Errorf("the client's port: %q", got)
	}
}

// TestSource: the server sees the connection come from the address that `source` names, from each of its ports in turn.
func TestSource(t *testing.T) {
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) { io.WriteString(c, c.RemoteAddr().String()) })
	low := ports.Free(t, "127.0.0.9").Port()
	s := start(t, proxy.TCP, []proxy.Server{h}, func(c *proxy.Config) {
		c.Backends[0].Source = &proxy.SourceAddress{Addr: netip.MustParseAddr("127.0.0.8")}
	})
	if got := s.raw(""); !strings.HasPrefix(got, "127.0.0.8:") {
		t.Errorf("the backend's: %q", got)
	}
	h.Source = &proxy.SourceAddress{Addr: netip.MustParseAddr("127.0.0.9"), First: low + 12000, Last: low + 12001}
	s = start(t, proxy.TCP, []proxy.Server{h}, func(c *proxy.Config) {
		c.Backends[0].Source = &proxy.SourceAddress{Addr: netip.MustParseAddr("127.0.0.8")}
	})
	seen := map[string]bool{s.raw(""): true, s.raw(""): true}
	for port := low + 12000; port <= low+12001; port++ {
		if at := fmt.Sprintf("127.0.0.9:%d", port); !seen[at] {
			t.Errorf("never from %s, but %v", at, seen)
		}
	}
}

// TestBothFamilies: [::] takes IPv4 too, as HAProxy's does, unless v6only has it otherwise.
func TestBothFamilies(t *testing.T) {
	_, a := named(t, "a")
	for only, want := range map[bool]bool{false: true, true: false} {
		port := ports.Free(t, "::").Port()
		start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
			c.Frontends[0].Binds = []proxy.Bind{{Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), port), V4V6: true, V6Only: only}}
		})
		c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		if (err == nil) != want {
			t.Errorf("v6only %v: %v", only, err)
		}
	}
}
