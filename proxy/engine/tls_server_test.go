package engine

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// secureServer is a web server over TLS with these certificates.
func secureServer(t *testing.T, name string, config *tls.Config, f http.HandlerFunc, pairs ...pki.Pair) proxy.Server {
	t.Helper()
	for _, p := range pairs {
		c, err := tls.X509KeyPair(p.Cert, p.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = append(config.Certificates, c)
	}
	h := httptest.NewUnstartedServer(f)
	h.TLS = config
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	t.Cleanup(h.Close)
	return target(name, h.Listener.Addr().String())
}

// verified is what a server line says that trusts the authority.
func verified(ca *pki.Authority, sni string) *proxy.ServerTLS {
	return &proxy.ServerTLS{TLSParams: proxy.TLSParams{Verify: proxy.VerifyRequired, CAFile: ca.File}, SNI: sni}
}

// TestReencryption: what the server asks for decides whether it is trusted, and what SNI it is sent.
func TestReencryption(t *testing.T) {
	ca, other := pki.New(t), pki.New(t)
	pair := ca.ECDSA("a.example")
	client := ca.Write("client.pem", ca.ECDSA("reeve").PEM())
	h := func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			who = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		fmt.Fprintf(w, "%s %s", r.TLS.ServerName, who)
	}
	for _, c := range []struct {
		name, host string
		server     *proxy.ServerTLS
		ask        tls.ClientAuthType
		want       string // "": 503
	}{
		{"verified", "a.example", verified(ca, ""), 0, " nobody"},
		{"name of the request", "a.example:81", verified(ca, "req.hdr(host)"), 0, "a.example nobody"},
		{"another name", "b.example", verified(ca, "req.hdr(host)"), 0, ""},
		{"constant", "b.example", verified(ca, "str(a.example)"), 0, "a.example nobody"},
		{"another authority", "a.example", verified(other, ""), 0, ""},
		{"not verified", "a.example", &proxy.ServerTLS{}, 0, " nobody"},
		{"verifyhost", "a.example", &proxy.ServerTLS{TLSParams: proxy.TLSParams{Verify: proxy.VerifyRequired, CAFile: ca.File}, VerifyHost: "z.example"}, 0, ""},
		{"no certificate of ours", "a.example", &proxy.ServerTLS{TLSParams: proxy.TLSParams{MaxVersion: proxy.TLSv12}}, tls.RequireAndVerifyClientCert, ""},
		{"certificate of ours", "a.example", &proxy.ServerTLS{Crt: client}, tls.RequireAndVerifyClientCert, " reeve"},
		{"newer than the server", "a.example", &proxy.ServerTLS{TLSParams: proxy.TLSParams{MinVersion: proxy.TLSv13}}, 0, " nobody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := secureServer(t, "a", &tls.Config{ClientAuth: c.ask, ClientCAs: ca.Pool}, h, pair)
			server.TLS = c.server
			s := start(t, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) {
				c.Backends[0].Retries = 0
				c.Backends[0].Timeouts.Connect = 3 * time.Second
			})
			out := s.raw("GET / HTTP/1.1\r\nHost: " + c.host + "\r\nConnection: close\r\n\r\n")
			if c.want == "" {
				if !strings.HasPrefix(out, "HTTP/1.1 503 ") {
					t.Errorf("%q", out)
				}
				s.want(" be/a ", " 503 ", " SC-- ")
				return
			}
			if !strings.HasSuffix(out, "\r\n\r\n"+c.want) {
				t.Errorf("%q, want %q", out, c.want)
			}
			s.want(" be/a ", " 200 ", " ---- ")
		})
	}
}

// TestPoolByName: an idle connection serves the next request for the same name, never one for another; tickets that the
// server sends unasked end no connection.
func TestPoolByName(t *testing.T) {
	ca := pki.New(t)
	var conns atomic.Int32
	config := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { conns.Add(1); return nil, nil }}
	server := secureServer(t, "a", config, func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.ServerName != r.Host {
			w.WriteHeader(421)
		}
		fmt.Fprint(w, r.Host)
	}, ca.ECDSA("a.example", "b.example"))
	server.TLS = verified(ca, "req.hdr(host)")
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	c := s.dial()
	r := bufio.NewReader(c)
	for i := range 12 {
		host := []string{"a.example", "b.example"}[i/2%2]
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(b) != host {
			t.Errorf("%d %q", resp.StatusCode, b)
		}
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections for two names", n)
	}
	if row, _ := s.e.Stats().Find("be", "a"); row.Connect != 2 || row.Reuse != 10 {
		t.Errorf("connect %d, reuse %d", row.Connect, row.Reuse)
	}
}

// TestTruncation: an answer that ends with the connection is whole only if the server has said so.
func TestTruncation(t *testing.T) {
	ca := pki.New(t)
	pair := ca.ECDSA("a.example")
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, whole := range []bool{true, false} {
		server := rawServer(t, "a", func(c net.Conn, _ *bufio.Reader) {
			tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
			r := bufio.NewReader(tc)
			if _, err := readHead(r); err != nil {
				return
			}
			io.WriteString(tc, "HTTP/1.1 200 OK\r\n\r\nhalf of it")
			if whole {
				tc.CloseWrite()
				io.Copy(io.Discard, r) // the socket stays open for now
			}
		})
		server.TLS = &proxy.ServerTLS{}
		s := start(t, proxy.HTTP, []proxy.Server{server}, nil)
		out := s.raw(get().send[0])
		if !strings.HasSuffix(out, "half of it") {
			t.Errorf("%q", out)
		}
		s.want(" 200 ", map[bool]string{true: " ---- ", false: " SD-- "}[whole])
	}
}

// TestServerHandshakeTimeout: a server that accepts and says nothing is given up within `timeout connect`.
func TestServerHandshakeTimeout(t *testing.T) {
	server := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	server.TLS = &proxy.ServerTLS{}
	s := start(t, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) {
		c.Backends[0].Retries, c.Backends[0].Timeouts.Connect = 0, 200*time.Millisecond
	})
	if out := s.raw(get().send[0]); !strings.HasPrefix(out, "HTTP/1.1 503 ") {
		t.Errorf("%q", out)
	}
	s.want(" be/a ", " 503 ", " sC-- ")
}
