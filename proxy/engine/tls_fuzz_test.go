package engine

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// spoiling is a client's socket that, once told to, spoils what is written through it.
type spoiling struct {
	net.Conn
	with []byte
	on   bool
}

func (s *spoiling) Write(p []byte) (int, error) {
	if !s.on || len(s.with) == 0 {
		return s.Conn.Write(p)
	}
	b := append([]byte(nil), p...)
	for i, x := range s.with {
		b[(i*7)%len(b)] ^= x
	}
	return s.Conn.Write(b)
}

// FuzzTLSRecords sends hostile bytes in place of a handshake (how 0), after one (1), and good records that were spoiled on
// the way (2). Whatever comes, the next client is served.
func FuzzTLSRecords(f *testing.F) {
	const patience = 5 * time.Second // beside other fuzzing a good client may be slow, too
	ca := pki.New(f)
	s := startLoops(f, 1, proxy.HTTP, []proxy.Server{rawServer(f, "a", pingPong)}, func(c *proxy.Config) {
		overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM()))(c)
		c.Frontends[0].Log = nil
		c.Frontends[0].Timeouts.Client, c.Frontends[0].Timeouts.HTTPRequest = patience, patience
	})
	hello := []byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03")
	for how := range byte(3) {
		for _, b := range [][]byte{nil, hello, []byte("GET / HTTP/1.1\r\n\r\n"), []byte("\x17\x03\x03\x00\x13aaaaaaaaaaaaaaaaaaa"),
			[]byte("\x15\x03\x03\x00\x02\x01\x00"), []byte("\x14\x03\x03\x00\x01\x01"), []byte("\x17\x03\x03\xff\xff"), []byte("\x80\x2e\x01\x00\x02")} {
			f.Add(how, b)
		}
	}
	f.Fuzz(func(t *testing.T, how byte, b []byte) {
		raw, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(4 * patience))
		if how %= 3; how == 0 {
			raw.Write(b)
		} else {
			wire := &spoiling{Conn: raw, with: b}
			c := tls.Client(wire, &tls.Config{RootCAs: ca.Pool, ServerName: "a.example"})
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			wire.on = how == 2
			if how == 1 {
				raw.Write(b)
			}
			io.WriteString(c, benchRequest)
		}
		raw.(*net.TCPConn).CloseWrite()
		began := time.Now()
		if io.Copy(io.Discard, raw); time.Since(began) > 3*patience {
			t.Error("the connection is never ended")
		}
		here := *s
		here.t = t
		good := here.dialTLS(ca, nil)
		exchangeOnce(t, good, []byte(benchRequest), make([]byte, 4096))
		good.Close()
	})
}
