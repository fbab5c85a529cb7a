package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// authorities reads a ca-file: a file, a directory of files, or @system-ca.
func (r *reading) authorities(name string) (*x509.CertPool, error) {
	if name == "@system-ca" {
		return x509.SystemCertPool()
	}
	name = in(r.dirs.ca, name)
	files := []string{name}
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		r.seen[name] = r.store.stamp(name)
		files, _ = filepath.Glob(filepath.Join(name, "*.[pc][er][mrt]"))
	}
	pool := x509.NewCertPool()
	n := 0
	for _, f := range files {
		content, err := r.file(f)
		if err != nil {
			return nil, err
		}
		der, _, _, err := blocks(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		for i, d := range der {
			c, err := x509.ParseCertificate(d)
			if err != nil {
				return nil, fmt.Errorf("%s: certificate %d: %w", f, i+1, err)
			}
			pool.AddCert(c)
			n++
		}
	}
	if n == 0 {
		return nil, fmt.Errorf("%s has no certificate in it", name)
	}
	return pool, nil
}

// revocations are the lists of revoked certificates, by their issuer.
type revocations struct {
	lists map[string][]*x509.RevocationList
}

func (r *reading) revocations(name string) (*revocations, error) {
	name = in(r.dirs.ca, name)
	content, err := r.file(name)
	if err != nil {
		return nil, err
	}
	out := &revocations{lists: map[string][]*x509.RevocationList{}}
	for {
		var b *pem.Block
		if b, content = pem.Decode(content); b == nil {
			break
		}
		if b.Type != "X509 CRL" {
			continue
		}
		l, err := x509.ParseRevocationList(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out.lists[string(l.RawIssuer)] = append(out.lists[string(l.RawIssuer)], l)
	}
	if len(out.lists) == 0 {
		return nil, fmt.Errorf("%s has no list of revoked certificates in it", name)
	}
	return out, nil
}

var (
	errRevoked = errors.New("the certificate has been revoked")
	errNoList  = errors.New("no list of revoked certificates is there for the certificate's issuer")
)

// verify is for tls.Config.VerifyConnection: of a chain that was found good no certificate may have been revoked. As with
// HAProxy there must be a list of the one who issued the other side's certificate.
func (r *revocations) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return nil
	}
	return r.check(cs.VerifiedChains)
}

func (r *revocations) check(chains [][]*x509.Certificate) error {
	err := errNoList
	for _, chain := range chains {
		if err = r.checkChain(chain); err == nil {
			return nil
		}
	}
	return err
}

func (r *revocations) checkChain(chain []*x509.Certificate) error {
	for i := 0; i+1 < len(chain); i++ {
		listed := false
		for _, l := range r.lists[string(chain[i].RawIssuer)] {
			if l.CheckSignatureFrom(chain[i+1]) != nil {
				continue
			}
			listed = true
			for _, e := range l.RevokedCertificateEntries {
				if e.SerialNumber.Cmp(chain[i].SerialNumber) == 0 {
					return errRevoked
				}
			}
		}
		if !listed && i == 0 {
			return errNoList
		}
	}
	return nil
}
