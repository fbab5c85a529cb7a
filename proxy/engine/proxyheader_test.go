package engine

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/proxyproto"
)

var (
	clientAddr = netip.MustParseAddrPort("192.0.2.9:4711")
	destAddr   = netip.MustParseAddrPort("198.51.100.1:443")
)

func acceptProxy(c *proxy.Config) { c.Frontends[0].Binds[0].AcceptProxy = true }

// echoForwarded answers with the address that X-Forwarded-For names.
func echoForwarded(t *testing.T) proxy.Server {
	t.Helper()
	return handler(t, "a", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-Forwarded-For")) })
}

func tellClient(c *proxy.Config) {
	c.Frontends[0].ForwardFor = &proxy.ForwardFor{Header: "X-Forwarded-For"}
}

// TestAcceptProxy: the client that the header names is the one the server hears of and the log tells, however the bytes
// come.
func TestAcceptProxy(t *testing.T) {
	s := start(t, proxy.HTTP, []proxy.Server{echoForwarded(t)}, func(c *proxy.Config) { acceptProxy(c); tellClient(c) })
	req := request("GET /", "Connection: close")
	for _, c := range []struct {
		name, header, client string
	}{
		{"version 1", string(proxyproto.Append1(nil, clientAddr, destAddr)), "192.0.2.9"},
		{"version 2", string(proxyproto.Append2(nil, clientAddr, destAddr, false)), "192.0.2.9"},
		{"IPv6", string(proxyproto.Append2(nil, netip.MustParseAddrPort("[2001:db8::9]:4711"), destAddr, false)), "2001:db8::9"},
		{"UNKNOWN", "PROXY UNKNOWN\r\n", "127.0.0.1"},
		{"LOCAL", string(proxyproto.Append2(nil, netip.AddrPort{}, netip.AddrPort{}, false)), "127.0.0.1"},
	} {
		out := s.raw(c.header + req)
		if !strings.HasSuffix(out, "\r\n\r\n"+c.client) {
			t.Errorf("%s: %q", c.name, out)
		}
		s.want(c.client+":", " fe be/a ")
	}
	c := s.dial()
	c.(*net.TCPConn).SetNoDelay(true)
	for _, b := range []byte(string(proxyproto.Append1(nil, clientAddr, destAddr)) + req) {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if out, _ := io.ReadAll(c); !strings.HasSuffix(string(out), "192.0.2.9") {
		t.Errorf("byte by byte: %q", out)
	}
}

// TestAcceptProxyRefuses: without a good header nobody is let in, and the reason is logged and counted.
func TestAcceptProxyRefuses(t *testing.T) {
	s := start(t, proxy.HTTP, []proxy.Server{echoForwarded(t)}, func(c *proxy.Config) {
		acceptProxy(c)
		c.Frontends[0].Timeouts.Client = 300 * time.Millisecond
	})
	bad := proxyproto.Append2(nil, clientAddr, destAddr, false)
	bad[12] = 0x22
	for _, c := range []struct{ name, in, log string }{
		{"a request", request("GET /"), "no PROXY header"},
		{"a bad line", "PROXY TCP4 1.2.3.4\r\n" + request("GET /"), "malformed PROXY line"},
		{"a command", string(bad) + request("GET /"), "unknown version or command"},
		{"an endless line", "PROXY UNKNOWN " + strings.Repeat("x", 200), "too long"},
		{"a torn one", "PROXY TCP4 ", "in time"},
		{"nothing", "", "in time"},
	} {
		if out := s.raw(c.in); out != "" {
			t.Errorf("%s: %q", c.name, out)
		}
		s.want("127.0.0.1:", "] fe/1: ", c.log)
	}
	c := s.dial()
	io.WriteString(c, "PROXY TCP4 ")
	c.(*net.TCPConn).CloseWrite()
	s.want("fe/1: connection closed within the PROXY header")
	row, _ := s.e.Stats().Find("fe", "FRONTEND")
	if row.EReq != 7 {
		t.Errorf("%d errors counted", row.EReq)
	}
}

// TestSourceOfTheHeader: balance source and stick tables go by the client that the header names.
func TestSourceOfTheHeader(t *testing.T) {
	_, a := named(t, "a")
	_, b := named(t, "b")
	s := start(t, proxy.HTTP, []proxy.Server{a, b}, func(c *proxy.Config) {
		acceptProxy(c)
		c.Backends[0].StickTable = &proxy.StickTable{Type: "ip", Size: 100, Expire: time.Minute}
		c.Backends[0].Stick = []proxy.StickRule{{On: "src"}}
	})
	s.raw(string(proxyproto.Append1(nil, clientAddr, destAddr)) + request("GET /", "Connection: close"))
	if o := s.rep.list(); len(o) != 1 || o[0].Key != "192.0.2.9" {
		t.Errorf("bound %v", o)
	}
}

// TestSendProxy: the server learns who the client is, before anything else comes, once for each connection; and what one
// client's connection says is never said for another.
func TestSendProxy(t *testing.T) {
	for _, version := range []int{1, 2} {
		heads := make(chan string, 10)
		h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
			text := readHeader(r)
			for {
				if _, err := readHead(r); err != nil {
					return
				}
				heads <- text
				text = "again"
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		h.SendProxy = version
		s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
		for range 2 {
			c := s.dial()
			r := bufio.NewReader(c)
			for _, want := range []string{c.LocalAddr().String() + " to " + s.addr, "again"} {
				ask(t, c, r, request("GET /"))
				if got := <-heads; got != want {
					t.Errorf("version %d: %q, want %q", version, got, want)
				}
			}
		}
	}
}

// readHeader takes the header off a connection and tells what it says.
func readHeader(r *bufio.Reader) string {
	for n := 1; ; n++ {
		b, err := r.Peek(n)
		if err != nil {
			return "no header: " + err.Error()
		}
		var h proxyproto.Header
		taken, f := proxyproto.Parse(b, &h)
		switch {
		case f == proxyproto.None:
			r.Discard(taken)
			if h.Local {
				return "local"
			}
			return h.Source.String() + " to " + h.Dest.String()
		case f != proxyproto.Incomplete:
			return f.String()
		}
	}
}

// TestSendProxyTCP: a server that speaks first knows already to whom, and what a header said to us goes on as it was.
func TestSendProxyTCP(t *testing.T) {
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) { io.WriteString(c, readHeader(r)) })
	h.SendProxy = 2
	s := start(t, proxy.TCP, []proxy.Server{h}, acceptProxy)
	for _, c := range []struct{ header, want string }{
		{string(proxyproto.Append2(nil, clientAddr, destAddr, false)), "192.0.2.9:4711 to 198.51.100.1:443"},
	} {
		if out := s.raw(c.header); out != c.want {
			t.Errorf("%q, want %q", out, c.want)
		}
	}
}

// peer runs another program until the test ends; it listens on addr when it is ready.
func peer(t *testing.T, addr netip.AddrPort, name string, args ...string) {
	t.Helper()
	bin, err := exec.LookPath(name)
	if err != nil {
		bin = "/usr/sbin/" + name // where an ordinary user's shell does not look
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s, which `make deps` installs: %v", name, err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said: %s", name, &out)
		}
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) { // nothing tells of a bind
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen on %s: %s", name, addr, &out)
		}
	}
}

func haproxyPeer(t *testing.T, addr netip.AddrPort, sections string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	write(t, file, "defaults\n mode http\n timeout connect 1s\n timeout client 5s\n timeout server 5s\n"+sections)
	peer(t, addr, "haproxy", "-db", "-f", file)
}

func nginxPeer(t *testing.T, addr netip.AddrPort, conf string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	write(t, file, fmt.Sprintf("daemon off;\nmaster_process off;\npid %[1]s/pid;\nerror_log stderr;\nevents {}\nhttp {\n access_log off;\n"+
		" client_body_temp_path %[1]s/b;\n proxy_temp_path %[1]s/p;\n fastcgi_temp_path %[1]s/f;\n uwsgi_temp_path %[1]s/u;\n scgi_temp_path %[1]s/s;\n%[2]s}\n", dir, conf))
	peer(t, addr, "nginx", "-p", dir, "-c", file, "-e", "stderr")
}

// from asks for / from a local address of one's own, which no proxy on the way has.
func from(t *testing.T, ip, addr string) string {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	tr := &http.Transport{DisableKeepAlives: true, DialContext: d.DialContext}
	resp, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestProxyHeaderWithHAProxy: in front of Reeve and behind it, in both versions.
func TestProxyHeaderWithHAProxy(t *testing.T) {
	for i, word := range []string{"send-proxy", "send-proxy-v2"} {
		s := start(t, proxy.HTTP, []proxy.Server{echoForwarded(t)}, func(c *proxy.Config) { acceptProxy(c); tellClient(c) })
		at := ports.Free(t, "127.0.0.1")
		haproxyPeer(t, at, fmt.Sprintf("listen l\n bind %s\n server reeve %s %s\n", at, s.addr, word))
		if got := from(t, "127.0.0.77", at.String()); got != "127.0.0.77" {
			t.Errorf("behind HAProxy's %s: %q", word, got)
		}
		behind := ports.Free(t, "127.0.0.1")
		haproxyPeer(t, behind, fmt.Sprintf("listen l\n bind %s accept-proxy\n option forwardfor\n server s %s\n", behind, echoForwarded(t).Address))
		h := target("a", behind.String())
		h.SendProxy = i + 1
		s = start(t, proxy.HTTP, []proxy.Server{h}, nil)
		if got := from(t, "127.0.0.77", s.addr); got != "127.0.0.77" {
			t.Errorf("HAProxy behind Reeve's %s: %q", word, got)
		}
	}
}

// TestProxyHeaderOfNginx: nginx in front, which sends version 1.
func TestProxyHeaderOfNginx(t *testing.T) {
	s := start(t, proxy.HTTP, []proxy.Server{echoForwarded(t)}, func(c *proxy.Config) { acceptProxy(c); tellClient(c) })
	at := ports.Free(t, "127.0.0.1")
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	write(t, file, fmt.Sprintf("load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr;\n"+
		"events {}\nstream {\n server {\n listen %s reuseport;\n proxy_pass %s;\n proxy_protocol on;\n }\n}\n", dir, at, s.addr))
	peer(t, at, "nginx", "-p", dir, "-c", file, "-e", "stderr")
	if got := from(t, "127.0.0.77", at.String()); got != "127.0.0.77" {
		t.Errorf("%q", got)
	}
}

// TestProxyHeaderWithNginx: nginx tells all that it understood of the header.
func TestProxyHeaderWithNginx(t *testing.T) {
	for version := 1; version <= 2; version++ {
		at := ports.Free(t, "127.0.0.1")
		nginxPeer(t, at, fmt.Sprintf(" server {\n listen %s proxy_protocol reuseport;\n location / {\n return 200 "+
			"\"$proxy_protocol_addr $proxy_protocol_server_addr:$proxy_protocol_server_port\";\n }\n }\n", at))
		h := target("a", at.String())
		h.SendProxy = version
		s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
		if got := from(t, "127.0.0.77", s.addr); got != "127.0.0.77 "+s.addr {
			t.Errorf("version %d: %q", version, got)
		}
	}
}
