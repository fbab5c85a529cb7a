// Package pki makes certificates for tests: an authority and what it signs, in the files that proxies read.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Authority signs certificates. Its own is in File.
type Authority struct {
	File string
	Pool *x509.CertPool
	// Lasts is how long certificates are good that are made from now on; a day at first.
	Lasts time.Duration
	t     testing.TB
	dir   string
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	next  int64
}

// New makes an authority whose files live as long as the test.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir(), Pool: x509.NewCertPool(), Lasts: 24 * time.Hour, next: 1}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.key = key
	template := a.template("Test CA")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	a.cert = a.sign(template, template, key.Public())
	a.Pool.AddCert(a.cert)
	a.File = a.Write("ca.pem", encode("CERTIFICATE", a.cert.Raw))
	return a
}

func (a *Authority) template(name string) *x509.Certificate {
	a.next++
	return &x509.Certificate{SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(a.Lasts), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, SubjectKeyId: []byte{byte(a.next)}}
}

func (a *Authority) sign(template, parent *x509.Certificate, public any) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// Pair is a certificate with its key, as PEM.
type Pair struct {
	Leaf      *x509.Certificate
	Cert, Key []byte
}

// PEM is both in one.
func (p Pair) PEM() []byte { return append(append([]byte(nil), p.Cert...), p.Key...) }

// ECDSA makes a certificate with a P-256 key; names may be addresses.
func (a *Authority) ECDSA(names ...string) Pair {
	a.t.Helper()
	return a.On(elliptic.P256(), names...)
}

// On makes a certificate with a key of that curve.
func (a *Authority) On(curve elliptic.Curve, names ...string) Pair {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.pair(key, names)
}

// rsaKey is made once: it takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// RSA makes a certificate with an RSA-2048 key; all have the same.
func (a *Authority) RSA(names ...string) Pair {
	a.t.Helper()
	key, err := rsaKey()
	if err != nil {
		a.t.Fatal(err)
	}
	return a.pair(key, names)
}

func (a *Authority) pair(key crypto.Signer, names []string) Pair {
	a.t.Helper()
	template := a.template(names[0])
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	leaf := a.sign(template, a.cert, key.Public())
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return Pair{Leaf: leaf, Cert: encode("CERTIFICATE", leaf.Raw), Key: encode("PRIVATE KEY", der)}
}

// OCSP is an answer about a certificate: good until then.
func (a *Authority) OCSP(of *x509.Certificate, until time.Time) []byte {
	a.t.Helper()
	der, err := ocsp.CreateResponse(a.cert, a.cert, ocsp.Response{Status: ocsp.Good, SerialNumber: of.SerialNumber,
		ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: until}, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// CRL is a list that revokes certificates, as PEM.
func (a *Authority) CRL(of ...*x509.Certificate) []byte {
	a.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range of {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return encode("X509 CRL", der)
}

// Write makes a file in the authority's directory and returns its path. name may lead through directories.
func (a *Authority) Write(name string, content []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// Dir is where Write writes.
func (a *Authority) Dir() string { return a.dir }

// CertPEM is the authority's certificate.
func (a *Authority) CertPEM() []byte { return encode("CERTIFICATE", a.cert.Raw) }

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
