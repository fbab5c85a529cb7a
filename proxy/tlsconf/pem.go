package tlsconf

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/reeve-lb/reeve/internal/source"
)

// keyKind is the type of a certificate's key.
type keyKind uint8

const (
	rsaKey keyKind = iota + 1
	ecdsaKey
	ed25519Key
)

func (k keyKind) String() string { return [...]string{"", "RSA", "ECDSA", "Ed25519"}[k] }

// certificate is a certificate with chain and key, as read from one file and those beside it.
type certificate struct {
	file  string
	tls   tls.Certificate
	leaf  *x509.Certificate
	kind  keyKind
	until time.Time // when the stapled answer is to be left out; zero: never
}

func (c *certificate) describe() Certificate {
	return Certificate{File: c.file, Names: c.names(), Key: c.kind.String(), Serial: c.leaf.SerialNumber.Text(16), Issuer: c.leaf.Issuer.String(),
		NotBefore: c.leaf.NotBefore, NotAfter: c.leaf.NotAfter, OCSP: c.tls.OCSPStaple != nil}
}

// names are those it was issued for, in lower case: the subject's common name counts too, as with HAProxy.
func (c *certificate) names() []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range append(c.leaf.DNSNames, c.leaf.Subject.CommonName) {
		if n = strings.ToLower(n); n != "" && !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// beside are the endings of files that belong to another one.
var beside = []string{".key", ".ocsp", ".issuer", ".sctl"}

// bundle are the endings by which certificates of several key types hide behind one name.
var bundle = []string{".ecdsa", ".rsa"}

// certificates reads a file, the files of a directory in the order of their names, or the bundle FILE.ecdsa and FILE.rsa.
func (r *reading) certificates(name string, pos source.Pos, ps *source.Problems) []*certificate {
	name = in(r.dirs.crt, name)
	var files []string
	st, err := os.Stat(name)
	_, put := r.store.stored(name)
	switch {
	case !put && err == nil && st.IsDir():
		if files, err = r.directory(name); err != nil {
			ps.Errorf(pos, "", "crt %s: %v", name, cause(err))
			return nil
		}
		if len(files) == 0 {
			ps.Errorf(pos, "", "crt %s: the directory has no certificate", name)
		}
	case !put && err != nil:
		for _, b := range bundle {
			if r.exists(name + b) {
				files = append(files, name+b)
			}
		}
	}
	if len(files) == 0 && !(err == nil && st.IsDir()) {
		files = []string{name}
	}
	var out []*certificate
	for _, f := range files {
		c, err := r.certificate(f)
		if err != nil {
			ps.Errorf(pos, "", "crt %v", err)
			continue
		}
		out = append(out, c)
	}
	return out
}

// directory lists the files of a directory that may be certificates.
func (r *reading) directory(name string) ([]string, error) {
	r.seen[name] = r.store.stamp(name)
	all, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		full := filepath.Join(name, e.Name())
		if strings.HasPrefix(e.Name(), ".") || hasSuffix(e.Name(), beside) {
			continue
		}
		if st, err := os.Stat(full); err != nil || !st.Mode().IsRegular() { // a link may lead to a file
			continue
		}
		out = append(out, full)
	}
	return out, nil
}

func hasSuffix(s string, of []string) bool {
	for _, e := range of {
		if strings.HasSuffix(s, e) {
			return true
		}
	}
	return false
}

// certificate reads FILE, and FILE.key, FILE.issuer and FILE.ocsp where they are.
func (r *reading) certificate(name string) (*certificate, error) {
	if c := r.crts[name]; c != nil {
		return c, nil
	}
	content, err := r.file(name)
	if err != nil {
		return nil, err
	}
	var key, issuer []byte
	_, put := r.store.stored(name)
	if !put {
		if r.exists(name + ".key") {
			if key, err = r.file(name + ".key"); err != nil {
				return nil, err
			}
		}
		if r.exists(name + ".issuer") {
			if issuer, err = r.file(name + ".issuer"); err != nil {
				return nil, err
			}
		}
	}
	c, err := parseCertificate(name, content, key, issuer)
	if err != nil {
		return nil, err
	}
	if r.exists(name + ".ocsp") {
		// An answer about the file's certificate is not about one that stands in its place.
		if err := r.staple(c, name+".ocsp", issuer); err != nil && !put {
			return nil, err
		}
	}
	r.crts[name] = c
	return c, nil
}

// parseCertificate takes the first certificate for the one to be shown and the others for its chain. The key may stand
// before, between or behind them, or in a file of its own.
func parseCertificate(name string, content, key, issuer []byte) (*certificate, error) {
	c := &certificate{file: name}
	der, keyDER, keyType, err := blocks(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(der) == 0 {
		return nil, fmt.Errorf("%s has no certificate in it", name)
	}
	where := name
	if keyDER == nil && key != nil {
		where = name + ".key"
		if _, keyDER, keyType, err = blocks(key); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
	}
	if keyDER == nil {
		return nil, fmt.Errorf("%s has no private key in it, nor is there one in %s.key", name, name)
	}
	if c.leaf, err = x509.ParseCertificate(der[0]); err != nil {
		return nil, fmt.Errorf("%s: the certificate: %w", name, err)
	}
	private, err := privateKey(keyDER, keyType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if err := c.match(private); err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if len(der) == 1 && issuer != nil { // the chain may be given as the issuer alone
		more, _, _, err := blocks(issuer)
		if err != nil {
			return nil, fmt.Errorf("%s.issuer: %w", name, err)
		}
		for _, d := range more {
			if i, err := x509.ParseCertificate(d); err == nil && i.CheckSignatureFrom(i) != nil { // a root need not be sent
				der = append(der, d)
			}
		}
	}
	c.tls = tls.Certificate{Certificate: der, PrivateKey: private, Leaf: c.leaf}
	return c, nil
}

// blocks sorts the blocks of PEM. Parameters of Diffie-Hellman and of curves, which older files carry, are passed over.
func blocks(content []byte) (certs [][]byte, key []byte, keyType string, err error) {
	for {
		var b *pem.Block
		if b, content = pem.Decode(content); b == nil {
			return certs, key, keyType, nil
		}
		switch {
		case b.Type == "CERTIFICATE" || b.Type == "X509 CERTIFICATE" || b.Type == "TRUSTED CERTIFICATE":
			certs = append(certs, b.Bytes)
		case b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, nil, "", errors.New("the private key has a passphrase, which nobody is there to type")
		case strings.HasSuffix(b.Type, "PRIVATE KEY") && key == nil:
			key, keyType = b.Bytes, b.Type
		}
	}
}

func privateKey(der []byte, kind string) (crypto.Signer, error) {
	var key any
	var err error
	switch kind {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(der)
	default:
		return nil, fmt.Errorf("a key of the kind %s can't be used", kind)
	}
	if err != nil {
		return nil, errors.New("the private key can't be understood") // its error may tell of the key
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key is of a kind that can't sign")
	}
	return signer, nil
}

// match checks that the key is the certificate's, of a kind that TLS can use.
func (c *certificate) match(key crypto.Signer) error {
	same := false
	switch pub := c.leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		c.kind, same = rsaKey, pub.Equal(key.Public())
	case *ecdsa.PublicKey:
		c.kind, same = ecdsaKey, pub.Equal(key.Public())
	case ed25519.PublicKey:
		c.kind, same = ed25519Key, pub.Equal(key.Public())
	default:
		return fmt.Errorf("a certificate with a key of the kind %s can't be used", c.leaf.PublicKeyAlgorithm)
	}
	if !same {
		return errors.New("the private key is not the certificate's")
	}
	return nil
}

// staple reads the OCSP answer beside a certificate. One that is no longer good is left out, not refused: the certificate
// is as good without.
func (r *reading) staple(c *certificate, name string, issuerPEM []byte) error {
	der, err := r.file(name)
	if err != nil {
		return err
	}
	var issuer *x509.Certificate
	if len(c.tls.Certificate) > 1 {
		issuer, _ = x509.ParseCertificate(c.tls.Certificate[1])
	} else if more, _, _, _ := blocks(issuerPEM); len(more) > 0 {
		issuer, _ = x509.ParseCertificate(more[0])
	}
	answer, err := ocsp.ParseResponseForCert(der, c.leaf, issuer)
	if err != nil {
		return fmt.Errorf("%s: the OCSP answer: %w", name, err)
	}
	if answer.Status != ocsp.Good || !answer.NextUpdate.IsZero() && time.Now().After(answer.NextUpdate) {
		return nil
	}
	c.tls.OCSPStaple, c.until = der, answer.NextUpdate
	return nil
}
