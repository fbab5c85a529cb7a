package lease

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// sayTimeout bounds all that the guard does to be heard.
const sayTimeout = time.Second

// SayConfig is what a guard needs to reach the peers when its agent is gone. It holds a private key: it stays in memory.
type SayConfig struct {
	Node  string    // whose addresses it tells of
	Peers []SayPeer // every other node
	// Cert is the node's certificate chain and Key its private key (PKCS #8), CA the certificates peers' must be signed by: all DER.
	Cert [][]byte
	Key  []byte
	CA   [][]byte
	// Prefix is written in clear before the TLS handshake, Inner as the first bytes inside TLS: what the port's mux wants
	// to see for the lease service.
	Prefix, Inner []byte
}

// SayPeer is one node to tell.
type SayPeer struct {
	ID      string // must be the serial number in its certificate's subject; "": any of the CA's will do
	Address string // host:port of its RPC port
}

// Encode returns the blob for SayReleased. It contains the private key.
func (c SayConfig) Encode() ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode the guard's instructions: %w", err)
	}
	return b, nil
}

// SayReleased tells all peers of the blob, in parallel, that the addresses of these words are off this node. It returns nil as
// soon as all were tried and one at least has answered; it takes a second at most.
func SayReleased(ctx context.Context, blob []byte, words []Word) error {
	var c SayConfig
	if err := json.Unmarshal(blob, &c); err != nil {
		return errors.New("read the guard's instructions: damaged") // no detail: it could quote the key
	}
	conf, err := c.tls()
	if err != nil {
		return fmt.Errorf("say released: %w", err)
	}
	for i := range words {
		words[i].Node = c.Node
	}
	ctx, cancel := context.WithTimeout(ctx, sayTimeout)
	defer cancel()
	results := make(chan error, len(c.Peers))
	for _, p := range c.Peers {
		go func() { results <- c.say(ctx, p, conf, words) }()
	}
	var errs []error
	for range c.Peers {
		if err := <-results; err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) < len(c.Peers) {
		return nil
	}
	return fmt.Errorf("say released: no peer answered: %w", errors.Join(errs...))
}

func (c *SayConfig) tls() (*tls.Config, error) {
	key, err := x509.ParsePKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, errors.New("private key: damaged")
	}
	pool := x509.NewCertPool()
	for _, der := range c.CA {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("ca certificate: %w", err)
		}
		pool.AddCert(ca)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: c.Cert, PrivateKey: key}},
		RootCAs:      pool,
	}, nil
}

// verifyPeer checks the chain and the ID; host names mean nothing between nodes, whose addresses change.
func verifyPeer(p SayPeer, pool *x509.CertPool, cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	leaf := cs.PeerCertificates[0]
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if p.ID != "" && leaf.Subject.SerialNumber != p.ID {
		return errors.New("another node answers there")
	}
	return nil
}

// say tells one peer and waits for its answer.
func (c *SayConfig) say(ctx context.Context, p SayPeer, conf *tls.Config, words []Word) error {
	d := net.Dialer{}
	d.SetMultipathTCP(false)
	raw, err := d.DialContext(ctx, "tcp", p.Address)
	if err != nil {
		return err
	}
	defer raw.Close()
	deadline, _ := ctx.Deadline()
	if err := raw.SetDeadline(deadline); err != nil {
		return fmt.Errorf("%s: %w", p.Address, err)
	}
	if len(c.Prefix) > 0 {
		if _, err := raw.Write(c.Prefix); err != nil {
			return fmt.Errorf("%s: %w", p.Address, err)
		}
	}
	conf = conf.Clone()
	conf.InsecureSkipVerify = true // the host name only: verifyPeer checks the chain
	conf.VerifyConnection = func(cs tls.ConnectionState) error { return verifyPeer(p, conf.RootCAs, cs) }
	conn := tls.Client(raw, conf)
	frame := appendWords(append([]byte(nil), c.Inner...), words)
	if _, err := conn.Write(frame); err != nil {
		return fmt.Errorf("%s: %w", p.Address, err)
	}
	var r frameReader
	kind, _, err := r.next(conn)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Address, err)
	}
	if kind != frameHeard {
		return fmt.Errorf("%s: %w", p.Address, ErrProtocol)
	}
	return nil
}
