package engine

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
)

const (
	benchRequest = "GET /some/path HTTP/1.1\r\nHost: example.org\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
	benchAnswer  = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
)

// pingPong is a server that answers without allocating, so that what is left is ours.
func pingPong(c net.Conn, _ *bufio.Reader) {
	b, answer := make([]byte, 4096), []byte(benchAnswer)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// exchangeOnce sends one request on a kept connection and reads its answer, without allocating.
func exchangeOnce(tb testing.TB, c net.Conn, req, buf []byte) {
	if _, err := c.Write(req); err != nil {
		tb.Fatal(err)
	}
	for got := 0; got < 5 || string(buf[got-5:got]) != "hello"; {
		n, err := c.Read(buf[got:])
		if err != nil {
			tb.Fatal(err)
		}
		got += n
	}
}

// unlogged is a site with forwardfor and without a log, whose one server is f.
func unlogged(tb testing.TB, f func(net.Conn, *bufio.Reader), more ...func(*proxy.Config)) *site {
	return start(tb, proxy.HTTP, []proxy.Server{rawServer(tb, "a", f)}, func(c *proxy.Config) {
		c.Frontends[0].ForwardFor, c.Frontends[0].Log = &proxy.ForwardFor{}, nil
		for _, m := range more {
			m(c)
		}
	})
}

// cost is what one request makes the whole process allocate.
type cost struct{ objects, bytes float64 }

// costOf is the mean of n requests, after some by which buffers and tables get their size.
func costOf(n int, once func()) cost {
	for range max(n/10, 100) {
		once()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		once()
	}
	runtime.ReadMemStats(&after)
	return cost{float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)}
}

// repeat is a benchmark's loop; the first request, which makes the connections, does not count.
func repeat(b *testing.B, once func()) {
	once()
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}

// TestNoAllocationsPerRequest holds the whole path, with forwardfor and a log line, to no allocation per request.
func TestNoAllocationsPerRequest(t *testing.T) {
	unread, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	s := unlogged(t, pingPong, func(c *proxy.Config) {
		c.Backends[0].Cookie = &proxy.Cookie{Name: "SRV", Indirect: true, NoCache: true}
		c.Backends[0].Servers[0].Cookie = "a"
		c.Frontends[0].Log = []proxy.LogTarget{{Address: unread.LocalAddr().String()}}
	})
	c := s.dial()
	req, buf := []byte(benchRequest), make([]byte, 4096)
	// The logger's goroutine and the runtime itself may allocate a little now and then, never once a request.
	if per := costOf(5000, func() { exchangeOnce(t, c, req, buf) }); per.objects > 0.05 {
		t.Errorf("%.3f allocations a request", per.objects)
	}
}

func BenchmarkKeepAlive(b *testing.B) {
	s := unlogged(b, pingPong)
	c := s.dial()
	c.SetDeadline(time.Time{})
	req, buf := []byte(benchRequest), make([]byte, 4096)
	repeat(b, func() { exchangeOnce(b, c, req, buf) })
}

// TestIdleConnectionIsSmall: what an idle client connection keeps besides the kernel's share is its session, which the allocator
// rounds up to 352 bytes.
func TestIdleConnectionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > 352 {
		t.Errorf("a session takes %d bytes, want 352 at most", n)
	}
}

// pathsOfARequest are the ways a request may take, each with how many bytes of its answer there are.
var pathsOfARequest = []struct {
	name, request, answer string
}{
	{"keep-alive", benchRequest, benchAnswer},
	{"POST", "POST /some/path HTTP/1.1\r\nHost: example.org\r\nContent-Length: 11\r\n\r\nhello world", benchAnswer},
	{"chunked", "POST /some/path HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	{"pipelined", benchRequest + benchRequest, benchAnswer + benchAnswer},
	{"close", "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
}

// answeringEach is a server that answers each request it reads, without allocating. It tells requests apart by their
// first letters, which no body here has.
func answeringEach(c net.Conn, _ *bufio.Reader) {
	b, plain, chunked := make([]byte, 4096), []byte(benchAnswer), []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	got := 0
	for {
		n, err := c.Read(b[got:])
		if err != nil {
			return
		}
		got += n
		answer := plain
		switch {
		case bytes.HasPrefix(b[:got], []byte("GET ")):
			if !bytes.HasSuffix(b[:got], []byte("\r\n\r\n")) {
				continue
			}
		case bytes.Contains(b[:got], []byte("chunked")):
			if answer = chunked; !bytes.HasSuffix(b[:got], []byte("0\r\n\r\n")) {
				continue
			}
		case !bytes.HasSuffix(b[:got], []byte("world")):
			continue
		}
		got = 0
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// askFor is a connection that sends and awaits the same again and again. It is made of raw calls where it makes a
// connection of its own each time, so that none of the allocations is its own.
type askFor struct {
	addr    unix.SockaddrInet4
	request []byte
	answer  []byte
	buf     []byte
	fd      int
	close   bool
}

func newAskFor(tb testing.TB, s *site, request, answer string) *askFor {
	at := netip.MustParseAddrPort(s.addr)
	a := &askFor{addr: unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}, request: []byte(request), answer: []byte(answer),
		buf: make([]byte, 4096), fd: -1, close: strings.Contains(request, "close")}
	tb.Cleanup(func() { unix.Close(a.fd) })
	return a
}

func (a *askFor) once(tb testing.TB) {
	if a.fd < 0 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			tb.Fatal(err)
		}
		if err := unix.Connect(fd, &a.addr); err != nil {
			tb.Fatal(err)
		}
		a.fd = fd
	}
	if _, err := unix.Write(a.fd, a.request); err != nil {
		tb.Fatal(err)
	}
	for got := 0; got < len(a.answer); {
		n, err := unix.Read(a.fd, a.buf[got:])
		if n <= 0 || err != nil {
			tb.Fatalf("after %q: %v", a.buf[:got], err)
		}
		if got += n; !bytes.HasPrefix(a.answer, a.buf[:got]) {
			tb.Fatalf("%q, want %q", a.buf[:got], a.answer)
		}
	}
	if a.close {
		unix.Close(a.fd)
		a.fd = -1
	}
}

// TestNoAllocationsOnAnyPath: none of the ways a request may take allocates.
func TestNoAllocationsOnAnyPath(t *testing.T) {
	for _, path := range pathsOfARequest {
		t.Run(path.name, func(t *testing.T) {
			a := newAskFor(t, unlogged(t, answeringEach), path.request, path.answer)
			if per := costOf(1000, func() { a.once(t) }); per.objects > 0.1 {
				t.Errorf("%.3f allocations a request", per.objects)
			}
		})
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, path := range pathsOfARequest {
		b.Run(path.name, func(b *testing.B) {
			a := newAskFor(b, unlogged(b, answeringEach), path.request, path.answer)
			repeat(b, func() { a.once(b) })
		})
	}
}
