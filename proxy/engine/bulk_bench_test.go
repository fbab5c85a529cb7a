package engine

import (
	"bufio"
	"bytes"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// bulk is how long the long answers of these tests are.
const bulk = 1 << 20

// pouring is a server that answers each request, which it takes for one read, with a long answer whose last byte alone is
// 0xff. It does not allocate.
func pouring(head string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, _ *bufio.Reader) {
		b, answer := make([]byte, 4096), append([]byte(head), make([]byte, bulk)...)
		answer[len(answer)-1] = 0xff
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}

// pour asks once and reads the whole answer, without allocating.
func pour(tb testing.TB, c net.Conn, req, buf []byte) {
	if _, err := c.Write(req); err != nil {
		tb.Fatal(err)
	}
	for got := 0; ; {
		n, err := c.Read(buf)
		if err != nil {
			tb.Fatalf("after %d bytes: %v", got, err)
		}
		if got += n; buf[n-1] == 0xff {
			return
		}
	}
}

// unloggedTCP is a site in mode tcp without a log.
func unloggedTCP(tb testing.TB, f func(net.Conn, *bufio.Reader)) *site {
	return start(tb, proxy.TCP, []proxy.Server{rawServer(tb, "a", f)}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
}

const bulkHead = "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"

// streams are the ways of bytes on a kept connection beside the requests of bench_test.go: what one turn is.
func streams(tb testing.TB) map[string]func() {
	req, buf := []byte(benchRequest), make([]byte, 1<<16)
	client := func(s *site) net.Conn {
		c := s.dial()
		c.SetDeadline(time.Time{})
		return c
	}
	pingPong, tcp, http := client(unloggedTCP(tb, pingPong)), client(unloggedTCP(tb, pouring(""))), client(unlogged(tb, pouring(bulkHead)))
	return map[string]func(){
		"TCP ping-pong": func() { exchangeOnce(tb, pingPong, req, buf) },
		"TCP bulk":      func() { pour(tb, tcp, req, buf) },
		"HTTP bulk":     func() { pour(tb, http, req, buf) },
	}
}

// TestLongAnswersKeepTheirConnection: what epoll still has to say of bytes that were read does not end a server's connection.
func TestLongAnswersKeepTheirConnection(t *testing.T) {
	var conns atomic.Int64
	s := unlogged(t, func(c net.Conn, r *bufio.Reader) {
		conns.Add(1)
		pouring(bulkHead)(c, r)
	})
	c, buf := s.dial(), make([]byte, 1<<16)
	for range 100 {
		pour(t, c, []byte(benchRequest), buf)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("100 answers came over %d connections, want 1", n)
	}
}

// TestNoAllocationsOfStreams: neither bytes that go to and fro in mode tcp nor long answers, which are spliced, allocate.
func TestNoAllocationsOfStreams(t *testing.T) {
	for name, turn := range streams(t) {
		t.Run(name, func(t *testing.T) {
			// The runtime itself may allocate a little now and then, never once a turn.
			if per := costOf(500, turn); per.objects > 0.1 {
				t.Errorf("%.3f allocations a turn", per.objects)
			}
		})
	}
}

func BenchmarkStream(b *testing.B) {
	for name, turn := range streams(b) {
		b.Run(name, func(b *testing.B) { repeat(b, turn) })
	}
}

// BenchmarkBulkTLS is a long answer under TLS. What allocates is crypto/tls: its record layer on both sides.
func BenchmarkBulkTLS(b *testing.B) {
	ca := pki.New(b)
	c := unlogged(b, pouring(bulkHead), overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM()))).dialTLS(ca, nil)
	c.SetDeadline(time.Time{})
	req, buf := []byte(benchRequest), make([]byte, 1<<16)
	b.SetBytes(bulk)
	repeat(b, func() { pour(b, c, req, buf) })
}

// ruled gives a frontend rules of the kinds that a site has: tests of the head, headers written from samples, a map, a
// counter of the client, a capture.
func ruled(file string) func(*proxy.Config) {
	return func(c *proxy.Config) {
		f := &c.Frontends[0]
		rule := func(line string) proxy.Rule { return proxy.Rule{Words: proxy.Words(line)} }
		f.ACLs = []proxy.ACL{{Name: "some", Test: proxy.Words("path_beg /some /other")}, {Name: "bad", Test: proxy.Words("hdr(user-agent) -m sub evil")}}
		f.StickTable = &proxy.StickTable{Type: "ip", Size: 1000, Expire: time.Minute, Store: []string{"http_req_rate(10s)", "conn_cur"}}
		f.HTTPRequest = []proxy.Rule{
			rule("track-sc0 src"), rule("deny if bad"), rule("deny deny_status 429 if { sc0_http_req_rate gt 1000000000 }"),
			rule("set-header X-Path %[path,lower] if some"), rule("set-var(txn.host) hdr(host),lower"), rule("capture req.hdr(user-agent) len 20"),
			rule("del-header Accept"),
		}
		f.HTTPResponse = []proxy.Rule{rule("set-header X-Served by-%[var(txn.host)]"), rule("del-header Server")}
		f.UseBackend = []proxy.UseBackend{{Backend: "%[hdr(host),lower,map(" + file + ",be)]"}}
	}
}

// TestNoAllocationsOfRules: a request through rules of every common kind, with the log line that has what they captured.
func TestNoAllocationsOfRules(t *testing.T) {
	unread, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	file := t.TempDir() + "/hosts.map"
	write(t, file, "www.example.org none\nexample.org be\n")
	s := unlogged(t, pingPong, ruled(file), func(c *proxy.Config) { c.Frontends[0].Log = []proxy.LogTarget{{Address: unread.LocalAddr().String()}} })
	c := s.dial()
	req, buf := []byte(benchRequest), make([]byte, 4096)
	exchangeOnce(t, c, req, buf)
	if !bytes.Contains(buf[:200], []byte("x-served: by-example.org\r\n")) && !bytes.Contains(buf[:200], []byte("X-Served: by-example.org\r\n")) {
		t.Fatalf("the rules have done nothing: %q", buf[:200])
	}
	if per := costOf(5000, func() { exchangeOnce(t, c, req, buf) }); per.objects > 0.05 {
		t.Errorf("%.3f allocations a request", per.objects)
	}
}
