package tlsconf

import (
	"context"
	"crypto/elliptic"
	"crypto/tls"
	"errors"
	"net"
	"testing"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// TestApart: of the work of a handshake only a slow key's is done apart, and what becomes of that decides the handshake.
func TestApart(t *testing.T) {
	ca := pki.New(t)
	rsaExchange := func(c *tls.Config) {
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	}
	at12 := func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	for _, tc := range []struct {
		name   string
		pair   pki.Pair
		client func(*tls.Config)
		want   int
	}{
		{"P-256", ca.ECDSA("a.example"), nil, 0},
		{"P-384", ca.On(elliptic.P384(), "a.example"), nil, 1},
		{"RSA", ca.RSA("a.example"), nil, 1},
		{"RSA, TLS 1.2", ca.RSA("a.example"), at12, 1},
		{"RSA decrypts", ca.RSA("a.example"), rsaExchange, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bind := &proxy.BindTLS{Crts: []proxy.Crt{{File: ca.Write("a.pem", tc.pair.PEM())}}, TLSParams: proxy.TLSParams{Ciphers: "ALL"}}
			b, ps := NewStore().NewBind(bind, &proxy.Global{})
			if ps.HasErrors() {
				t.Fatal(ps)
			}
			n := 0
			if err := shakeApart(t, b, ca, tc.client, func(compute func()) error { n++; compute(); return nil }); err != nil {
				t.Fatal(err)
			}
			if n != tc.want {
				t.Errorf("%d pieces of work done apart, want %d", n, tc.want)
			}
			gone := errors.New("gone")
			if err := shakeApart(t, b, ca, tc.client, func(func()) error { return gone }); tc.want > 0 && err == nil || tc.want == 0 && err != nil {
				t.Errorf("with nobody to do it: %v", err)
			}
		})
	}
}

// shakeApart is the server's side of one handshake, and its error.
func shakeApart(t *testing.T, b *Bind, ca *pki.Authority, change func(*tls.Config), apart Apart) error {
	near, far := net.Pipe()
	defer near.Close()
	config := &tls.Config{RootCAs: ca.Pool, ServerName: "a.example"}
	if change != nil {
		change(config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		c := tls.Client(far, config)
		if c.Handshake() == nil {
			c.Read(make([]byte, 1)) // the tickets, or the end
		}
	}()
	err := tls.Server(near, b.Config()).HandshakeContext(WithApart(context.Background(), apart))
	near.Close()
	<-done
	return err
}
