package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// SNIFrom is where the name comes from that a server is asked for.
type SNIFrom int

// The sources: none, a constant, the request's Host, and what the client asked us for.
const (
	SNINone SNIFrom = iota
	SNIConstant
	SNIHost
	SNIClient
)

// ParseSNI understands the expression after `sni`.
func ParseSNI(expr string) (from SNIFrom, name string, err error) {
	switch inner, isString := strings.CutPrefix(expr, "str("); {
	case expr == "":
		return SNINone, "", nil
	case isString && strings.HasSuffix(inner, ")") && len(inner) > 1:
		return SNIConstant, strings.ToLower(strings.TrimSuffix(inner, ")")), nil
	case expr == "req.hdr(host)" || expr == "hdr(host)" || expr == "req.hdr(Host)":
		return SNIHost, "", nil
	case expr == "ssl_fc_sni":
		return SNIClient, "", nil
	}
	return SNINone, "", fmt.Errorf("the expression '%s' is not supported yet: str(NAME), req.hdr(host) and ssl_fc_sni are", expr)
}

// sessionsKept bounds how many servers' sessions are remembered, by name.
const sessionsKept = 256

// Server is the TLS of connections to one server. Safe for concurrent use.
type Server struct {
	From SNIFrom
	Name string // of SNIConstant

	src   *proxy.ServerTLS
	store *Store
	dirs  dirs
	now   atomic.Pointer[tls.Config]

	mu    sync.Mutex // of Refresh
	files *reading
}

// NewServer reads the files of a server line.
func (s *Store) NewServer(src *proxy.ServerTLS, global *proxy.Global) (*Server, source.Problems) {
	var ps source.Problems
	out := &Server{src: src, store: s, dirs: dirs{crt: global.CrtBase, ca: global.CABase}}
	var err error
	if out.From, out.Name, err = ParseSNI(src.SNI); err != nil {
		ps.Errorf(src.Pos, "", "sni: %v", err)
		return nil, ps
	}
	out.files = s.reading(out.dirs)
	c := out.load(out.files, &ps)
	if ps.HasErrors() {
		return nil, ps
	}
	out.now.Store(c)
	return out, ps
}

// Same reports whether the server was made of these settings.
func (s *Server) Same(src *proxy.ServerTLS, global *proxy.Global) bool {
	a, b := *s.src, *src
	a.Pos, b.Pos = source.Pos{}, source.Pos{}
	return a == b && s.dirs == dirs{global.CrtBase, global.CABase}
}

// Config is the configuration for one handshake; name is sent as SNI ("": none).
func (s *Server) Config(name string) *tls.Config {
	c := s.now.Load().Clone()
	c.ServerName = name
	return c
}

// Refresh reads the files again if one has changed.
func (s *Server) Refresh() (bool, source.Problems) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.files.changed() {
		return false, nil
	}
	var ps source.Problems
	s.files = s.store.reading(s.dirs)
	c := s.load(s.files, &ps)
	if ps.HasErrors() {
		return false, ps
	}
	s.now.Store(c)
	return true, ps
}

func (s *Server) load(files *reading, ps *source.Problems) *tls.Config {
	p, err := compile(&s.src.TLSParams, files)
	if err != nil {
		ps.Errorf(s.src.Pos, "", "%v", err)
		return nil
	}
	// The library verifies names where there is SNI, and only there; HAProxy's rules are others, so that it is done here.
	c := &tls.Config{MinVersion: p.min, MaxVersion: p.max, CipherSuites: p.ciphers, CurvePreferences: p.curves, NextProtos: p.alpn, InsecureSkipVerify: true}
	if !s.src.NoReuse && !s.src.NoTickets {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(sessionsKept)
	}
	if s.src.Verify != proxy.VerifyNone {
		if p.cas == nil {
			ps.Errorf(s.src.Pos, "write ca-file FILE or verify none", "the server's certificate is to be verified, but there is no ca-file")
			return nil
		}
		c.VerifyConnection = (&verifier{cas: p.cas, crls: p.crls, name: s.src.VerifyHost}).verify
	}
	if s.src.Crt != "" {
		c.GetClientCertificate = fittingOf(files.certificates(s.src.Crt, s.src.Pos, ps))
	}
	return c
}

// fittingOf chooses the first certificate that a server can do with; with none of them no certificate is shown.
func fittingOf(certs []*certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		for _, c := range certs {
			if asked.SupportsCertificate(&c.tls) == nil {
				return setApart(asked.Context(), &c.tls), nil
			}
		}
		return new(tls.Certificate), nil
	}
}

// verifier checks a server's certificate.
type verifier struct {
	cas  *x509.CertPool
	crls *revocations
	name string // verifyhost
}

var errNoCertificate = errors.New("the server has shown no certificate")

// verify checks chain, name (verifyhost, else what was sent as SNI, else any) and revocation.
func (v *verifier) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errNoCertificate
	}
	o := x509.VerifyOptions{Roots: v.cas, Intermediates: x509.NewCertPool(), DNSName: v.name}
	if o.DNSName == "" {
		o.DNSName = cs.ServerName
	}
	for _, c := range cs.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	chains, err := cs.PeerCertificates[0].Verify(o)
	if err != nil || v.crls == nil {
		return err
	}
	return v.crls.check(chains)
}
