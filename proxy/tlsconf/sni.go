package tlsconf

import (
	"crypto/tls"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
)

// entry is a certificate with the names it is shown for and the settings of its line.
type entry struct {
	cert   *certificate
	params *params
	names  []string // what the crt-list says; none: the certificate's
	not    []string
	config *tls.Config
	pos    source.Pos
}

// set is all certificates of a bind at one time. It does not change once finish is done.
type set struct {
	all     []*entry
	strict  bool
	exact   map[string][]*entry
	wild    map[string][]*entry // by what follows the star: ".example.com"
	other   []*entry            // for who names no name, or none of ours
	none    *tls.Config         // refuses: unrecognized_name
	tickets []TicketKey         // nil: the Store's
	until   time.Time           // when a stapled answer gets too old; zero: never
}

func newSet(strict bool) *set {
	return &set{strict: strict, exact: map[string][]*entry{}, wild: map[string][]*entry{}, none: &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil },
	}}
}

func (s *set) add(e *entry) {
	if len(e.names) == 0 {
		e.names = e.cert.names()
	}
	e.config = e.params.config()
	e.config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return setApart(hello.Context(), &e.cert.tls), nil
	}
	s.all = append(s.all, e)
	if u := e.cert.until; !u.IsZero() && (s.until.IsZero() || u.Before(s.until)) {
		s.until = u
	}
	for _, n := range e.names {
		switch rest, wild := strings.CutPrefix(n, "*"); {
		case n == "*":
			s.other = append(s.other, e)
		case wild:
			s.wild[rest] = append(s.wild[rest], e)
		default:
			s.exact[n] = append(s.exact[n], e)
		}
	}
}

// finish picks the default: the first certificate, and those of other key types for the same name.
func (s *set) finish() {
	s.none.MinVersion = tls.VersionTLS10
	if s.strict || len(s.all) == 0 || len(s.other) > 0 {
		return
	}
	first := s.all[0]
	s.other = []*entry{first}
	for _, e := range s.all[1:] {
		if e.cert.kind != first.cert.kind && e.params == first.params && sameName(e, first) {
			s.other = append(s.other, e)
		}
	}
}

func sameName(a, b *entry) bool {
	for _, n := range a.names {
		for _, m := range b.names {
			if n == m {
				return true
			}
		}
	}
	return false
}

// choose finds the configuration for a client: by the whole name, by a wildcard for its first label, else the default.
func (s *set) choose(hello *tls.ClientHelloInfo) *tls.Config {
	name := strings.ToLower(hello.ServerName)
	if name != "" {
		if e := fitting(s.exact[name], hello, name); e != nil {
			return e.config
		}
		if dot := strings.IndexByte(name, '.'); dot > 0 {
			if e := fitting(s.wild[name[dot:]], hello, name); e != nil {
				return e.config
			}
		}
	}
	if e := fitting(s.other, hello, ""); e != nil {
		return e.config
	}
	return s.none
}

// fitting prefers elliptic curves where the client can: signing with them costs an eighth of RSA. If it can't with any, the
// first one is as good as another.
func fitting(of []*entry, hello *tls.ClientHelloInfo, name string) *entry {
	var first, usable *entry
	anyName := *hello
	anyName.ServerName = "" // the names of a crt-list need not be the certificate's
	for _, e := range of {
		if name != "" && excepted(e, name) {
			continue
		}
		if first == nil {
			first = e
		}
		if len(of) == 1 || anyName.SupportsCertificate(&e.cert.tls) != nil {
			continue
		}
		if e.cert.kind != rsaKey {
			return e
		}
		if usable == nil {
			usable = e
		}
	}
	if usable != nil {
		return usable
	}
	return first
}

func excepted(e *entry, name string) bool {
	for _, n := range e.not {
		if n == name {
			return true
		}
	}
	return false
}

// hasECDSA: every name of an RSA certificate has one with a curve beside it.
func (s *set) hasECDSA(e *entry) bool {
	for _, n := range e.names {
		found := false
		of := s.exact[n]
		if rest, wild := strings.CutPrefix(n, "*"); wild {
			of = s.wild[rest]
		}
		for _, o := range of {
			found = found || o.cert.kind != rsaKey
		}
		if !found {
			return false
		}
	}
	return len(e.names) > 0
}
