package engine

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// TestCertificatesChange: a new certificate counts for the next handshake, by file, by name and by configuration;
// connections that stand go on with theirs, and a bad one changes nothing.
func TestCertificatesChange(t *testing.T) {
	ca := pki.New(t)
	first, second, third := ca.ECDSA("a.example"), ca.ECDSA("a.example"), ca.ECDSA("a.example")
	file := ca.Write("a.pem", first.PEM())
	_, a := named(t, "a")
	var cfg proxy.Config
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) { overTLS(file)(c); cfg = *c })
	old := s.dialTLS(ca, nil)
	r := bufio.NewReader(old)
	serves := func(p pki.Pair) {
		t.Helper()
		c := s.dialTLS(ca, nil)
		defer c.Close()
		if !c.ConnectionState().PeerCertificates[0].Equal(p.Leaf) {
			t.Error("another certificate is shown")
		}
		if _, body := askOn(t, old, r, "/"); body != "a" {
			t.Errorf("the connection that stands: %q", body)
		}
	}
	serves(first)
	os.Remove(file)
	ca.Write("a.pem", second.PEM())
	s.e.refreshTLS(time.Now()) // what the watch does every few seconds
	serves(second)
	if got, err := s.e.SetCertificate("a.pem", third.PEM()); err != nil || got != file {
		t.Fatal(got, err)
	}
	serves(third)
	if _, err := s.e.SetCertificate("a.pem", append(bytes.Clone(first.Cert), second.Key...)); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("a key that does not fit: %v", err)
	}
	if _, err := s.e.SetCertificate("b.pem", third.PEM()); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("a file that nobody names: %v", err)
	}
	if ps := s.e.Apply(cfg); len(ps) > 0 {
		t.Fatal(ps)
	}
	serves(third)
	if _, err := s.e.RemoveCertificate(file); err != nil {
		t.Fatal(err)
	}
	serves(second)
	os.Remove(file)
	s.e.refreshTLS(time.Now())
	serves(second)
	if ps := s.e.Apply(cfg); !ps.HasErrors() || !strings.Contains(ps.Err().Error(), "a.pem: no such file") {
		t.Errorf("apply without the file: %v", ps)
	}
	serves(second)
	if cs := s.e.Certificates(); len(cs) != 1 || cs[0].File != file || cs[0].Key != "ECDSA" || cs[0].Names[0] != "a.example" {
		t.Errorf("%+v", cs)
	}
	old.Close()
}

// TestTicketKeysOfTheCluster: two nodes with the same keys resume each other's sessions.
func TestTicketKeysOfTheCluster(t *testing.T) {
	ca := pki.New(t)
	file := ca.Write("a.pem", ca.ECDSA("a.example").PEM())
	_, a := named(t, "a")
	one := start(t, proxy.HTTP, []proxy.Server{a}, overTLS(file))
	two := start(t, proxy.HTTP, []proxy.Server{a}, overTLS(file))
	cache := tls.NewLRUClientSessionCache(1)
	visit := func(s *site) bool {
		t.Helper()
		c := s.dialTLS(ca, func(c *tls.Config) { c.ClientSessionCache = cache })
		defer c.Close()
		askOn(t, c, bufio.NewReader(c), "/")
		return c.ConnectionState().DidResume
	}
	visit(one)
	if visit(two) {
		t.Error("resumed without shared keys")
	}
	for _, s := range []*site{one, two} {
		if err := s.e.SetTicketKeys([]tlsconf.TicketKey{{1}}); err != nil {
			t.Fatal(err)
		}
	}
	visit(one)
	if !visit(two) {
		t.Error("not resumed though the keys are the same")
	}
	if err := one.e.SetTicketKeys(nil); err == nil {
		t.Error("no keys were taken")
	}
}
