package engine

import (
	"bufio"
	"net"
	"runtime"
	"testing"
	"time"
	"unsafe"

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

// TestNoAllocationsPerRequest holds the whole path, with forwardfor and a log line, to no allocation per request.
func TestNoAllocationsPerRequest(t *testing.T) {
	unread, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	s := start(t, proxy.HTTP, []proxy.Server{rawServer(t, "a", pingPong)}, func(c *proxy.Config) {
		c.Frontends[0].ForwardFor = &proxy.ForwardFor{}
		c.Backends[0].Cookie = &proxy.Cookie{Name: "SRV", Indirect: true, NoCache: true}
		c.Backends[0].Servers[0].Cookie = "a"
		c.Frontends[0].Log = []proxy.LogTarget{{Address: unread.LocalAddr().String()}}
	})
	c := s.dial()
	req, buf := []byte(benchRequest), make([]byte, 4096)
	for range 200 {
		exchangeOnce(t, c, req, buf)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 5000
	for range n {
		exchangeOnce(t, c, req, buf)
	}
	runtime.ReadMemStats(&after)
	// The logger's goroutine and the runtime itself may allocate a little now and then, never once a request.
	if per := float64(after.Mallocs-before.Mallocs) / n; per > 0.05 {
		t.Errorf("%.3f allocations a request", per)
	}
}

func BenchmarkKeepAlive(b *testing.B) {
	s := start(b, proxy.HTTP, []proxy.Server{rawServer(b, "a", pingPong)}, func(c *proxy.Config) {
		c.Frontends[0].ForwardFor, c.Frontends[0].Log = &proxy.ForwardFor{}, nil
	})
	c := s.dial()
	c.SetDeadline(time.Time{})
	req, buf := []byte(benchRequest), make([]byte, 4096)
	exchangeOnce(b, c, req, buf)
	b.ReportAllocs()
	for b.Loop() {
		exchangeOnce(b, c, req, buf)
	}
}

// TestIdleConnectionIsSmall: what an idle client connection keeps besides the kernel's share is its session.
func TestIdleConnectionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > 320 {
		t.Errorf("a session takes %d bytes, want 320 at most", n)
	}
}
