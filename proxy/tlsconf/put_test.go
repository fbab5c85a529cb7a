package tlsconf

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// TestPutAll: what stands in place of files is exactly what was said last; a file that is not there needs none, and an OCSP
// answer about the file's certificate is not stapled to another one.
func TestPutAll(t *testing.T) {
	ca := pki.New(t)
	own, one, two := ca.ECDSA("a.example"), ca.ECDSA("a.example"), ca.ECDSA("a.example")
	file := ca.Write("a.pem", own.PEM())
	ca.Write("a.pem.issuer", ca.CertPEM())
	ca.Write("a.pem.ocsp", ca.OCSP(own.Leaf, time.Now().Add(time.Hour)))
	s := NewStore()
	b := bind(t, s, &proxy.BindTLS{Crts: crts(file)})
	serves := func(what string, leaf *x509.Certificate, stapled bool) {
		t.Helper()
		if _, ps := b.Refresh(time.Now()); ps.HasErrors() {
			t.Fatalf("%s: %v", what, ps.Err())
		}
		cs, err := shake(t, b, ca, &tls.Config{ServerName: "a.example"})
		if err != nil || !cs.PeerCertificates[0].Equal(leaf) || (cs.OCSPResponse != nil) != stapled {
			t.Errorf("%s: another certificate, or stapled: %v (%v)", what, cs.OCSPResponse != nil, err)
		}
	}
	serves("the file", own.Leaf, true)
	s.PutAll(map[string][]byte{file: one.PEM(), "/nowhere.pem": two.PEM()})
	serves("set", one.Leaf, false)
	if changed, _ := b.Refresh(time.Now()); changed {
		t.Error("nothing has changed, and it was read again")
	}
	s.PutAll(map[string][]byte{file: one.PEM()})
	if changed, _ := b.Refresh(time.Now()); changed {
		t.Error("the same was set, and it was read again")
	}
	os.Remove(file)
	serves("set, without a file", one.Leaf, false)
	fresh := bind(t, s, &proxy.BindTLS{Crts: crts(file)})
	if c := fresh.Certificates(); len(c) != 1 || c[0].Serial != one.Leaf.SerialNumber.Text(16) {
		t.Errorf("a bind made without the file: %+v", c)
	}
	ca.Write("a.pem", own.PEM())
	s.PutAll(nil)
	serves("taken back", own.Leaf, true)
}

// TestCheck: a key that does not fit, and a time that is over or to come, are refused; no answer tells of the key.
func TestCheck(t *testing.T) {
	ca := pki.New(t)
	a, b := ca.ECDSA("a.example", "b.example"), ca.RSA("a.example")
	if c, ps := Check("/a.pem", a.PEM(), time.Now()); len(ps) > 0 || c.Key != "ECDSA" || !slices.Equal(c.Names, []string{"a.example", "b.example"}) {
		t.Errorf("%+v, %v", c, ps)
	}
	for what, c := range map[string]struct {
		content []byte
		at      time.Duration
		want    string
	}{
		"foreign key": {append(bytes.Clone(a.Cert), b.Key...), 0, "/a.pem: the private key is not the certificate's"},
		"no key":      {a.Cert, 0, "has no private key in it"},
		"garbage":     {[]byte("garbage"), 0, "/a.pem has no certificate in it"},
		"ended":       {a.PEM(), 48 * time.Hour, "/a.pem: the certificate ended on "},
		"to come":     {a.PEM(), -48 * time.Hour, "/a.pem: the certificate begins on "},
		"large":       {make([]byte, maxFile+1), 0, "at most 16 MiB"},
	} {
		_, ps := Check("/a.pem", c.content, time.Now().Add(c.at))
		if !ps.HasErrors() || !strings.Contains(ps.Err().Error(), c.want) || strings.Contains(ps.Err().Error(), "PRIVATE") {
			t.Errorf("%s: %v, want %q", what, ps, c.want)
		}
	}
	if err := CheckFile(ca.Write("good.pem", a.PEM())); err != nil {
		t.Error(err)
	}
	if err := CheckFile("/nowhere.pem"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestUncovered(t *testing.T) {
	names := func(n ...string) Certificate { return Certificate{Names: n} }
	for _, c := range []struct {
		was, by Certificate
		want    []string
	}{
		{names("a.example"), names("a.example"), nil},
		{names("a.example", "b.example"), names("a.example"), []string{"b.example"}},
		{names("a.example.com", "x.a.example.com"), names("*.example.com"), []string{"x.a.example.com"}},
		{names("*.example.com"), names("a.example.com"), []string{"*.example.com"}},
		{names("*.example.com"), names("*.example.com"), nil},
	} {
		if got := Uncovered(c.was, c.by); !slices.Equal(got, c.want) {
			t.Errorf("%v by %v: %v, want %v", c.was.Names, c.by.Names, got, c.want)
		}
	}
}

func TestFind(t *testing.T) {
	files := []string{"/etc/a.pem", "/etc/x/b.pem", "/etc/y/b.pem", "/etc/a.pem"}
	for name, want := range map[string]string{"/etc/a.pem": "/etc/a.pem", "etc/a.pem": "/etc/a.pem", "a.pem": "/etc/a.pem", "/etc/y/b.pem": "/etc/y/b.pem"} {
		if got, err := Find(files, name); err != nil || got != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := Find(files, "c.pem"); !errors.Is(err, ErrNoCertificate) {
		t.Error(err)
	}
	if _, err := Find(files, "b.pem"); !errors.Is(err, ErrSeveral) {
		t.Error(err)
	}
}

// TestAhead: before a bind names a file its whole path is needed.
func TestAhead(t *testing.T) {
	for name, want := range map[string]string{"/etc/a.pem": "/etc/a.pem", "etc/a.pem": "/etc/a.pem", "//etc/./a.pem": "/etc/a.pem", "/a.pem": "/a.pem",
		"a.pem": "", "": "", "etc/": "", "/": ""} {
		if got, ok := Ahead(name); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", name, got, ok, want)
		}
	}
}

// TestOvertaken: somebody renews a file that does not count: that is told once, and only if it would be better.
func TestOvertaken(t *testing.T) {
	ca := pki.New(t)
	older := ca.ECDSA("a.example")
	ca.Lasts = 48 * time.Hour
	newer := ca.ECDSA("a.example")
	file := ca.Write("a.pem", older.PEM())
	s := NewStore()
	s.PutAll(map[string][]byte{file: newer.PEM()})
	if ps := s.Overtaken(); len(ps) > 0 {
		t.Errorf("the file is older: %v", ps)
	}
	s.PutAll(map[string][]byte{file: older.PEM()})
	os.Remove(file)
	ca.Write("a.pem", newer.PEM())
	ps := s.Overtaken()
	if len(ps) != 1 || !strings.Contains(ps[0].Text, "ends later") || !strings.Contains(ps[0].Hint, "reeve certificate remove "+file) {
		t.Errorf("a renewed file: %v", ps)
	}
	if ps := s.Overtaken(); len(ps) > 0 {
		t.Errorf("told twice: %v", ps)
	}
}
