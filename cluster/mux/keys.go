package mux

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"
)

// KeySize is the length of a cluster key in bytes.
const KeySize = 32

// The labels separate what is derived from one key. Changing one shuts old nodes out: bump the number only with a way
// to accept both.
const (
	labelCA = "reeve cluster ca v1"
	labelID = "reeve cluster id v1"
)

// Certificates carry no meaningful lifetime: every node holds the CA key, so expiry would guard nothing, and a machine
// that boots with a wrong clock must still be let in.
var (
	notBefore = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Authority is the cluster's certificate authority, the same on every node that has the key.
type Authority struct {
	key  ed25519.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
	id   string
}

// NewAuthority derives the authority from the cluster key (KeySize bytes).
func NewAuthority(clusterKey []byte) (*Authority, error) {
	if len(clusterKey) != KeySize {
		return nil, fmt.Errorf("cluster key has %d bytes, wanted %d", len(clusterKey), KeySize)
	}
	seed, err := hkdf.Key(sha256.New, clusterKey, nil, labelCA, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive CA key: %w", err)
	}
	id, err := hkdf.Key(sha256.New, clusterKey, nil, labelID, 8)
	if err != nil {
		return nil, fmt.Errorf("derive cluster id: %w", err)
	}
	a := &Authority{key: ed25519.NewKeyFromSeed(seed), id: hex.EncodeToString(id), pool: x509.NewCertPool()}
	tmpl := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "reeve cluster " + a.id},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign CA certificate: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("read back CA certificate: %w", err)
	}
	a.pool.AddCert(a.cert)
	return a, nil
}

// ClusterID is a public name of the cluster that the key stands for. It gives nothing of the key away.
func (a *Authority) ClusterID() string { return a.id }

// Certificate is the authority's own certificate, DER.
func (a *Authority) Certificate() []byte { return a.cert.Raw }

// Issue makes a certificate with a fresh key for a node.
func (a *Authority) Issue(id, name string) (tls.Certificate, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make node key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make serial: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, SerialNumber: id},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, pub, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign node certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}, nil
}

// MarshalKey returns a certificate's private key as PKCS #8.
func MarshalKey(c tls.Certificate) ([]byte, error) {
	b, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("encode node key: %w", err)
	}
	return b, nil
}

// peerOf reads a node's identity from its verified certificate.
func peerOf(cs tls.ConnectionState, addr string) (Peer, error) {
	if len(cs.PeerCertificates) == 0 {
		return Peer{}, fmt.Errorf("%s showed no certificate", addr)
	}
	s := cs.PeerCertificates[0].Subject
	if s.SerialNumber == "" {
		return Peer{}, fmt.Errorf("certificate of %s names no node", addr)
	}
	return Peer{ID: s.SerialNumber, Name: s.CommonName, Addr: addr}, nil
}

// tlsConfigs returns the two ends' settings. Both sides verify by chain alone: addresses change, so no host name is
// checked, and who speaks is read from the certificate.
func (a *Authority) tlsConfigs(cert tls.Certificate) (server, client *tls.Config) {
	server = &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{cert},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    a.pool,
		// Node certificates change at each start and connections live long: tickets would only cost memory.
		SessionTicketsDisabled: true,
	}
	client = &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{cert},
		// Only the host name check is skipped: VerifyConnection verifies the chain.
		InsecureSkipVerify: true,
		VerifyConnection:   a.verifyServer,
	}
	return server, client
}

func (a *Authority) verifyServer(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return ErrWrongKey
	}
	_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots:     a.pool,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrongKey, err)
	}
	return nil
}
