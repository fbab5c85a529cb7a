package engine

import (
	"bufio"
	"bytes"
	"crypto/elliptic"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// hello is what a client sends first.
func hello(t *testing.T) []byte {
	t.Helper()
	c := &firstWords{}
	if err := tls.Client(c, &tls.Config{ServerName: "a.example"}).Handshake(); !errors.Is(err, errTest) {
		t.Fatal(err)
	}
	return c.said.Bytes()
}

var errTest = errors.New("that was it")

// firstWords is a connection that takes note of what is said until an answer is wanted.
type firstWords struct {
	net.Conn
	said bytes.Buffer
}

func (c *firstWords) Write(p []byte) (int, error)      { return c.said.Write(p) }
func (c *firstWords) Read([]byte) (int, error)         { return 0, errTest }
func (c *firstWords) Close() error                     { return nil }
func (c *firstWords) SetDeadline(time.Time) error      { return nil }
func (c *firstWords) SetWriteDeadline(time.Time) error { return nil }

// TestHandshakesGivenUp: clients that leave in the middle of their handshake, also while their signature is being made, leave
// nothing behind, and hinder nobody.
func TestHandshakesGivenUp(t *testing.T) {
	ca := pki.New(t)
	for name, pair := range map[string]pki.Pair{"P-256": ca.ECDSA("a.example"), "RSA": ca.RSA("a.example"), "P-521": ca.On(elliptic.P521(), "a.example")} {
		t.Run(name, func(t *testing.T) {
			_, a := named(t, "a")
			s := start(t, proxy.HTTP, []proxy.Server{a}, overTLS(ca.Write("a.pem", pair.PEM())))
			first := hello(t)
			const n = 100
			for i := range n {
				c := s.dial()
				c.Write(first)
				if i%2 == 0 {
					c.(*net.TCPConn).SetLinger(0)
				}
				c.Close()
			}
			for range n {
				s.want("] fe/1: ", "SSL handshake")
			}
			if cur := s.e.shaking.cur.Load(); cur != 0 {
				t.Errorf("%d handshakes are under way", cur)
			}
			c := s.dialTLS(ca, nil)
			if resp, _ := askOn(t, c, bufio.NewReader(c), "/"); resp.StatusCode != 200 {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
}

// TestHandshakesTakeTurns: many handshakes that are due at once don't go on at once: after a few of them others have their
// turn.
func TestHandshakesTakeTurns(t *testing.T) {
	ca := pki.New(t)
	_, a := named(t, "a")
	s := start(t, proxy.HTTP, []proxy.Server{a}, overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM())))
	first := hello(t)
	const n = 5 * shakesPerTurn
	began := make(chan int, 1)
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = s.dial()
		defer conns[i].Close()
	}
	l := s.e.loops[0]
	held, said := make(chan struct{}), make(chan struct{})
	l.post(func() { close(held); <-said })
	<-held
	for _, c := range conns {
		c.Write(first)
	}
	close(said)
	// What is posted from the loop comes with its next look at events, after this turn's handshakes.
	var look func()
	look = func() {
		count := 0
		for _, c := range l.fds {
			if c != nil && c.tls != nil && c.tls.hs != nil && c.tls.hs.by != nil {
				count++
			}
		}
		if count == 0 {
			l.post(look)
			return
		}
		began <- count
	}
	l.post(look)
	if got := <-began; got > 2*shakesPerTurn {
		t.Errorf("%d of %d handshakes had begun when others had their turn", got, n)
	}
}
