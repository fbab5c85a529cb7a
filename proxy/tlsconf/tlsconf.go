// Package tlsconf turns what bind and server lines say about TLS into ready *tls.Config: certificates as HAProxy reads
// them, the choice among them by SNI and key type, versions, ciphers by OpenSSL's names, client certificates, stapled OCSP
// answers and the keys of session tickets.
//
// A Bind or Server reads its files when it is made and again when Refresh finds one changed; handshakes under way keep what
// they began with.
package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// Bind is the TLS of one bind line. Safe for concurrent use.
type Bind struct {
	base  *tls.Config
	store *Store
	src   *proxy.BindTLS
	dirs  dirs
	now   atomic.Pointer[set]

	mu     sync.Mutex // of Refresh
	files  *reading
	failed source.Problems // what is wrong with the files as they are, since they could not be used; nil: nothing
}

// dirs are what relative names begin with.
type dirs struct{ crt, ca string }

// NewBind reads the files of a bind line. With an error among the problems there is no Bind.
func (s *Store) NewBind(src *proxy.BindTLS, global *proxy.Global) (*Bind, source.Problems) {
	b := &Bind{store: s, src: src, dirs: dirs{crt: global.CrtBase, ca: global.CABase}}
	b.files = s.reading(b.dirs)
	set, ps := b.load(b.files)
	if ps.HasErrors() {
		return nil, ps
	}
	params, err := compile(&src.TLSParams, b.files)
	if err != nil {
		ps.Errorf(src.Pos, "", "%v", err)
		return nil, ps
	}
	b.base = params.config()
	b.base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return b.now.Load().choose(hello), nil }
	b.use(set)
	return b, ps
}

// Config is the configuration of the listener's connections. It stays the same; what it leads to changes.
func (b *Bind) Config() *tls.Config { return b.base }

// Same reports whether the bind was made of these settings.
func (b *Bind) Same(src *proxy.BindTLS, global *proxy.Global) bool {
	if b.dirs != (dirs{global.CrtBase, global.CABase}) || len(b.src.Crts) != len(src.Crts) || b.src.StrictSNI != src.StrictSNI ||
		b.src.TicketKeys != src.TicketKeys || b.src.TLSParams != src.TLSParams {
		return false
	}
	for i, c := range src.Crts {
		if c.File != b.src.Crts[i].File || c.List != b.src.Crts[i].List {
			return false
		}
	}
	return true
}

// use makes a set the one that handshakes choose from.
func (b *Bind) use(s *set) {
	b.now.Store(s)
	b.seal()
}

// seal sets the ticket keys, on what GetConfigForClient answers too: QUIC has that alone. Connections that asked for a
// client's certificate have keys of their own for each CA file, so that no session opens a door it was not let in by.
func (b *Bind) seal() {
	s := b.now.Load()
	keys := s.tickets
	if keys == nil {
		keys = b.store.ticketKeys()
	}
	b.base.SetSessionTicketKeys(derive(keys, &b.src.TLSParams))
	for _, e := range s.all {
		e.config.SetSessionTicketKeys(derive(keys, e.params.src))
	}
}

// Refresh reads the files again if one of them has changed since, and reports whether what is served has changed. With
// problems what was served goes on being served; they are told once.
func (b *Bind) Refresh(now time.Time) (bool, source.Problems) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.now.Load(); !b.files.changed() && (s.until.IsZero() || now.Before(s.until) || b.failed != nil) {
		return false, nil
	}
	files := b.store.reading(b.dirs)
	set, ps := b.load(files)
	b.files = files
	if b.failed = nil; ps.HasErrors() {
		b.failed = ps
		return false, ps
	}
	b.use(set)
	return true, ps
}

// Problems are those with the files as they are now, if what is served is older.
func (b *Bind) Problems() source.Problems {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed
}

// load reads all certificates of the line.
func (b *Bind) load(files *reading) (*set, source.Problems) {
	var ps source.Problems
	s := newSet(b.src.StrictSNI)
	params, err := compile(&b.src.TLSParams, files)
	if err != nil {
		ps.Errorf(b.src.Pos, "", "%v", err)
		return nil, ps
	}
	for _, c := range b.src.Crts {
		if c.List {
			s.addList(files, c, params, &ps)
			continue
		}
		for _, cert := range files.certificates(c.File, c.Pos, &ps) {
			s.add(&entry{cert: cert, params: params, pos: c.Pos})
		}
	}
	if b.src.TicketKeys != "" {
		if s.tickets, err = files.ticketFile(b.src.TicketKeys); err != nil {
			ps.Errorf(b.src.Pos, "", "tls-ticket-keys %v", err)
		}
	}
	if !ps.HasErrors() && len(s.all) == 0 && !b.src.StrictSNI {
		ps.Errorf(b.src.Pos, "write crt FILE", "a bind with ssl needs a certificate")
	}
	if ps.HasErrors() {
		return nil, ps
	}
	s.finish()
	return s, ps
}

// Notices tell what could be better about the certificates.
func (b *Bind) Notices() source.Problems {
	var ps source.Problems
	s := b.now.Load()
	told := map[*certificate]bool{}
	for _, e := range s.all {
		if told[e.cert] || e.cert.kind != rsaKey || s.hasECDSA(e) {
			continue
		}
		told[e.cert] = true
		ps.Warnf(e.pos, "put an ECDSA P-256 certificate for the same names beside it: clients that know it get it, the others this one",
			"%s has an RSA key alone: a full handshake costs about 1.2 ms of CPU, with ECDSA about 0.26 ms", e.cert.file)
		ps.Name("rsa-certificate")
	}
	return ps
}

// Certificate is what is told of one certificate; never its key.
type Certificate struct {
	File      string
	Names     []string
	Key       string // "RSA", "ECDSA", "Ed25519"
	Serial    string
	Issuer    string
	NotBefore time.Time
	NotAfter  time.Time
	OCSP      bool // an OCSP answer is stapled
}

// Certificates lists what is served, in the order of the choice.
func (b *Bind) Certificates() []Certificate {
	var out []Certificate
	told := map[*certificate]bool{}
	for _, e := range b.now.Load().all {
		if told[e.cert] {
			continue
		}
		told[e.cert] = true
		out = append(out, e.cert.describe())
	}
	return out
}

// params are the settings of a line, ready for use.
type params struct {
	src      *proxy.TLSParams
	min, max uint16
	ciphers  []uint16
	curves   []tls.CurveID
	alpn     []string
	cas      *x509.CertPool
	crls     *revocations
}

// compile understands names and reads CA and CRL files.
func compile(src *proxy.TLSParams, files *reading) (*params, error) {
	p := &params{src: src, alpn: splitALPN(src.ALPN)}
	var err error
	if p.min, p.max, err = versions(src.MinVersion, src.MaxVersion); err != nil {
		return nil, err
	}
	if p.ciphers, err = Ciphers(src.Ciphers); err != nil {
		return nil, fmt.Errorf("ciphers: %w", err)
	}
	if err = CipherSuites(src.CipherSuites); err != nil {
		return nil, fmt.Errorf("ciphersuites: %w", err)
	}
	if p.curves, err = Curves(src.Curves); err != nil {
		return nil, fmt.Errorf("curves: %w", err)
	}
	if src.CAFile != "" {
		if p.cas, err = files.authorities(src.CAFile); err != nil {
			return nil, fmt.Errorf("ca-file %w", err)
		}
	}
	if src.CRLFile != "" {
		if p.crls, err = files.revocations(src.CRLFile); err != nil {
			return nil, fmt.Errorf("crl-file %w", err)
		}
	}
	return p, nil
}

// config is a server's configuration without certificates.
func (p *params) config() *tls.Config {
	c := &tls.Config{MinVersion: p.min, MaxVersion: p.max, CipherSuites: p.ciphers, CurvePreferences: p.curves, NextProtos: p.alpn,
		SessionTicketsDisabled: p.src.NoTickets}
	switch p.src.Verify {
	case proxy.VerifyOptional:
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case proxy.VerifyRequired:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if c.ClientAuth != tls.NoClientCert {
		c.ClientCAs = p.cas
		if c.ClientCAs == nil {
			c.ClientCAs = x509.NewCertPool() // nobody's; nil would be the machine's
		}
		if p.crls != nil {
			c.VerifyConnection = p.crls.verify
		}
	}
	return c
}
