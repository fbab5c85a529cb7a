//go:build !race

package engine

import (
	"crypto/tls"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// BenchmarkKeepAliveTLS is a request on a kept connection over TLS. The client of the benchmark allocates as the engine's
// side does, 24 bytes a read in crypto/tls each; nothing of it is ours.
func BenchmarkKeepAliveTLS(b *testing.B) {
	ca := pki.New(b)
	s := start(b, proxy.HTTP, []proxy.Server{rawServer(b, "a", pingPong)}, func(c *proxy.Config) {
		overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM()))(c)
		c.Frontends[0].ForwardFor, c.Frontends[0].Log = &proxy.ForwardFor{}, nil
	})
	c := s.dialTLS(ca, nil)
	c.SetDeadline(time.Time{})
	req, buf := []byte(benchRequest), make([]byte, 4096)
	exchangeOnce(b, c, req, buf)
	b.ReportAllocs()
	for b.Loop() {
		exchangeOnce(b, c, req, buf)
	}
}

// BenchmarkHandshake is a full handshake or a resumed one, client and all, with the key exchange that make bench measures.
// What a client of Go and this side would agree on otherwise, with ML-KEM in it, costs so much more on both sides that the
// signature, which is what a resumed handshake saves, hardly shows.
func BenchmarkHandshake(b *testing.B) {
	ca := pki.New(b)
	for name, resumed := range map[string]bool{"full": false, "resumed": true} {
		b.Run(name, func(b *testing.B) {
			s := start(b, proxy.HTTP, []proxy.Server{rawServer(b, "a", pingPong)}, func(c *proxy.Config) {
				overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM()))(c)
				c.Frontends[0].Log = nil
			})
			config := &tls.Config{RootCAs: ca.Pool, ServerName: "a.example", MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}
			if resumed {
				config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			req, buf := []byte(benchRequest), make([]byte, 4096)
			all, again := 0, 0
			for b.Loop() {
				raw, err := net.Dial("tcp", s.addr)
				if err != nil {
					b.Fatal(err)
				}
				c := tls.Client(raw, config)
				exchangeOnce(b, c, req, buf)
				all++
				if c.ConnectionState().DidResume {
					again++
				}
				c.Close()
			}
			if resumed && again < all-1 || !resumed && again > 0 {
				b.Errorf("%d of %d handshakes were resumed", again, all)
			}
		})
	}
}

// TestNoAllocationsPerRequestTLS: what a request costs is what crypto/tls allocates when it reads: 24 bytes a read, at the
// client of the test too (BenchmarkKeepAliveTLS shows it). Under the race detector the library's pools forget on purpose,
// which the bound leaves room for: a buffer a request would still be seen.
func TestNoAllocationsPerRequestTLS(t *testing.T) {
	ca := pki.New(t)
	s := start(t, proxy.HTTP, []proxy.Server{rawServer(t, "a", pingPong)}, func(c *proxy.Config) {
		overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM()))(c)
		c.Frontends[0].ForwardFor, c.Frontends[0].Log = &proxy.ForwardFor{}, nil
	})
	c := s.dialTLS(ca, nil)
	req, buf := []byte(benchRequest), make([]byte, 4096)
	for range 200 {
		exchangeOnce(t, c, req, buf)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 2000
	for range n {
		exchangeOnce(t, c, req, buf)
	}
	runtime.ReadMemStats(&after)
	if per := float64(after.TotalAlloc-before.TotalAlloc) / n; per > 400 {
		t.Errorf("%.0f bytes a request", per)
	}
}

// TestIdleTLSConnectionIsSmall: what an idle client over TLS keeps on the heap is 7 kB; the client of the test, which is
// counted too, keeps somewhat more.
func TestIdleTLSConnectionIsSmall(t *testing.T) {
	ca := pki.New(t)
	s := start(t, proxy.HTTP, []proxy.Server{rawServer(t, "a", pingPong)}, func(c *proxy.Config) {
		overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM()))(c)
		c.Frontends[0].Log = nil
	})
	req, buf := []byte(benchRequest), make([]byte, 4096)
	const n = 200
	live := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	conns := make([]*tls.Conn, 0, n)
	before := live()
	for range n {
		c := s.dialTLS(ca, nil)
		exchangeOnce(t, c, req, buf)
		conns = append(conns, c)
	}
	per := (live() - before) / n
	if per > 16<<10 {
		t.Errorf("%d bytes a connection, client and server together", per)
	}
	runtime.KeepAlive(conns)
}
