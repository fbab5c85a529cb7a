package engine

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// overTLS gives the frontend a bind with ssl and this certificate.
func overTLS(files ...string) func(*proxy.Config) {
	return func(c *proxy.Config) {
		b := &proxy.BindTLS{}
		for _, f := range files {
			b.Crts = append(b.Crts, proxy.Crt{File: f})
		}
		c.Frontends[0].Binds[0].TLS = b
	}
}

// dialTLS opens a connection that trusts the authority.
func (s *site) dialTLS(ca *pki.Authority, change func(*tls.Config)) *tls.Conn {
	s.t.Helper()
	config := &tls.Config{RootCAs: ca.Pool, ServerName: "a.example"}
	if change != nil {
		change(config)
	}
	c := tls.Client(s.dial(), config)
	if err := c.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// askOn sends a request on a connection and reads its answer.
func askOn(t testing.TB, c net.Conn, r *bufio.Reader, path string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a.example\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestTLS(t *testing.T) {
	ca := pki.New(t)
	_, a := named(t, "a")
	s := start(t, proxy.HTTP, []proxy.Server{a}, overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM())))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := s.dialTLS(ca, func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
		r := bufio.NewReader(c)
		for range 3 {
			if _, body := askOn(t, c, r, "/"); body != "a" {
				t.Errorf("%q", body)
			}
			s.want(" fe~ be/a ", " 200 ")
		}
		c.CloseWrite()
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("after the client's close_notify: %v", err)
		}
		c.Close()
	}
}

// TestTLSBulk: large bodies both ways through sockets that are full most of the time.
func TestTLSBulk(t *testing.T) {
	ca := pki.New(t)
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	s := start(t, proxy.HTTP, []proxy.Server{h}, overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM())))
	body := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool, ServerName: "a.example"}}}
	defer client.CloseIdleConnections()
	for range 2 {
		resp, err := client.Post("https://"+s.addr+"/", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(got) != body {
			t.Fatalf("%d of %d bytes, %v", len(got), len(body), err)
		}
	}
}

func TestTLSHandshakeFailures(t *testing.T) {
	ca := pki.New(t)
	_, a := named(t, "a")
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM()))(c)
		c.Frontends[0].Timeouts.HTTPRequest = 1500 * time.Millisecond
	})
	s.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	s.want("] fe/1: SSL handshake failure")
	mute := s.dial()
	s.want("] fe/1: Timeout during SSL handshake")
	mute.Close()
	half := s.dial()
	half.Write([]byte{22, 3, 1, 0, 200, 1})
	s.want("] fe/1: Timeout during SSL handshake")
	if _, err := half.Read(make([]byte, 10)); err != io.EOF {
		t.Errorf("a client that says half of a hello: %v", err)
	}
	untrusting := tls.Client(s.dial(), &tls.Config{ServerName: "a.example"})
	if err := untrusting.Handshake(); err == nil {
		t.Error("trusted without a CA")
	}
	s.want("] fe/1: SSL handshake failure")
}

func TestTLSOfTCPMode(t *testing.T) {
	ca := pki.New(t)
	h := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		b, _ := io.ReadAll(r) // until the client's half close
		c.Write(b)
	})
	s := start(t, proxy.TCP, []proxy.Server{h}, overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM())))
	c := s.dialTLS(ca, nil)
	body := strings.Repeat("x", 300_000)
	go func() { io.WriteString(c, body); c.CloseWrite() }()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != body {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	s.want(" fe~ be/a ", " -- ")
}
