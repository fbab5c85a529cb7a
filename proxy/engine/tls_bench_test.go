//go:build !race

package engine

import (
	"bufio"
	"crypto/tls"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
)

// BenchmarkKeepAliveTLS is a request on a kept connection over TLS. The client of the benchmark allocates as the engine's
// side does, 24 bytes a read in crypto/tls each; nothing of it is ours (TestNoAllocationsPerRequestTLS holds that).
func BenchmarkKeepAliveTLS(b *testing.B) {
	ca := pki.New(b)
	s := unlogged(b, pingPong, overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM())))
	c := s.dialTLS(ca, nil)
	c.SetDeadline(time.Time{})
	req, buf := []byte(benchRequest), make([]byte, 4096)
	repeat(b, func() { exchangeOnce(b, c, req, buf) })
}

// BenchmarkHandshake is a full handshake or a resumed one, client and all, with the key exchange that make bench measures.
// What a client of Go and this side would agree on otherwise, with ML-KEM in it, costs so much more on both sides that the
// signature, which is what a resumed handshake saves, hardly shows.
func BenchmarkHandshake(b *testing.B) {
	ca := pki.New(b)
	for name, resumed := range map[string]bool{"full": false, "resumed": true} {
		b.Run(name, func(b *testing.B) {
			s := unlogged(b, pingPong, overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM())))
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

// TestNoAllocationsPerRequestTLS: a request over TLS allocates what crypto/tls does on its own, and nothing besides. The
// measure is the same client with a server that is crypto/tls alone: it allocates 24 bytes a read on either side.
func TestNoAllocationsPerRequestTLS(t *testing.T) {
	ca := pki.New(t)
	pair := ca.ECDSA("a.example")
	s := unlogged(t, pingPong, overTLS(ca.Write("a.pem", pair.PEM())))
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	alone := &site{t: t, addr: rawServer(t, "tls", func(c net.Conn, _ *bufio.Reader) {
		pingPong(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}), nil)
	}).Address}
	req, buf := []byte(benchRequest), make([]byte, 4096)
	measure := func(s *site) cost {
		c := s.dialTLS(ca, nil)
		return costOf(2000, func() { exchangeOnce(t, c, req, buf) })
	}
	own, ours := measure(alone), measure(s)
	t.Logf("crypto/tls alone: %+v, the engine: %+v", own, ours)
	if own.objects < 1 {
		t.Errorf("crypto/tls allocates %.3f objects a request: there is nothing to compare with", own.objects)
	}
	// The runtime itself may allocate a little now and then, never once a request.
	if more := ours.objects - own.objects; more > 0.05 {
		t.Errorf("%.3f allocations a request beside crypto/tls's own %.3f", more, own.objects)
	}
	if more := ours.bytes - own.bytes; more > 4 {
		t.Errorf("%.1f bytes a request beside crypto/tls's own %.1f", more, own.bytes)
	}
}

// TestIdleTLSConnectionIsSmall: what an idle client over TLS keeps on the heap is 7 kB; the client of the test, which is
// counted too, keeps somewhat more.
func TestIdleTLSConnectionIsSmall(t *testing.T) {
	ca := pki.New(t)
	s := unlogged(t, pingPong, overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM())))
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
