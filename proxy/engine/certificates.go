package engine

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// ErrNoCertificate: nothing that is served comes from a file of that name.
var ErrNoCertificate = tlsconf.ErrNoCertificate

// Certificates lists what binds serve, a file once. Keys are never told.
func (e *Engine) Certificates() []tlsconf.Certificate {
	var out []tlsconf.Certificate
	binds, _ := e.secured()
	for _, b := range binds {
		for _, c := range b.Certificates() {
			if !slices.ContainsFunc(out, func(o tlsconf.Certificate) bool { return o.File == c.File }) {
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, func(a, b tlsconf.Certificate) int {
		if a.File < b.File {
			return -1
		}
		return 1
	})
	return out
}

// SetCertificate lets content (PEM: certificate, chain and key) stand in place of a file that binds serve, from the next
// handshake on, until RemoveCertificate or the end of the process. name is the file's path, or its last part where that
// is enough. It returns the path.
func (e *Engine) SetCertificate(name string, content []byte) (string, error) {
	file, err := e.certificateFile(name)
	if err != nil {
		return "", err
	}
	if err := e.certs.Put(file, content); err != nil {
		return "", err
	}
	e.refreshTLS(time.Now())
	return file, nil
}

// RemoveCertificate takes back what SetCertificate said: the file counts again.
func (e *Engine) RemoveCertificate(name string) (string, error) {
	file, err := e.certificateFile(name)
	if err != nil {
		return "", err
	}
	if !e.certs.Remove(file) {
		return "", fmt.Errorf("%q: nothing was set in the file's place", file)
	}
	e.refreshTLS(time.Now())
	return file, nil
}

// certificateFile finds the file that is meant.
func (e *Engine) certificateFile(name string) (string, error) {
	var files []string
	for _, c := range e.Certificates() {
		files = append(files, c.File)
	}
	return tlsconf.Find(files, name)
}

// CheckCertificate says what speaks against SetCertificate: a warning tells of names that clients ask for now and that the
// new certificate is not good for.
func (e *Engine) CheckCertificate(file string, content []byte) source.Problems {
	c, ps := tlsconf.Check(file, content, time.Now())
	if ps.HasErrors() {
		return ps
	}
	for _, now := range e.Certificates() {
		if now.File != file {
			continue
		}
		if lost := tlsconf.Uncovered(now, c); len(lost) > 0 {
			ps.Warnf(source.Pos{}, "", "%s: the certificate is not for %s, which the one before it is for", file, strings.Join(lost, ", "))
		}
	}
	return ps
}

// CheckFile says why a file that a bind names could not count again, or nil.
func (e *Engine) CheckFile(file string) error {
	if !slices.ContainsFunc(e.Certificates(), func(c tlsconf.Certificate) bool { return c.File == file }) {
		return nil
	}
	return tlsconf.CheckFile(file)
}

// ServeTLS lets these certificates stand in place of the files of their names, and of no others, also of files that no bind
// names yet; and sets ticket keys, if there are any, as SetTicketKeys does. With problems a bind goes on with what it had.
func (e *Engine) ServeTLS(certificates map[string][]byte, keys []tlsconf.TicketKey) source.Problems {
	e.certs.PutAll(certificates)
	ps := e.refreshTLS(time.Now())
	if len(keys) > 0 {
		if err := e.SetTicketKeys(keys); err != nil {
			ps.Errorf(source.Pos{}, "", "%v", err)
		}
	}
	return ps
}

// SetTicketKeys sets the keys that session tickets are sealed with; the first one seals, all open.
func (e *Engine) SetTicketKeys(keys []tlsconf.TicketKey) error {
	if err := e.certs.SetTicketKeys(keys); err != nil {
		return err
	}
	binds, _ := e.secured()
	for _, b := range binds {
		b.Reseal()
	}
	return nil
}

// ServerTLS is the configuration of one connection to a server that is spoken to over TLS; name is sent as SNI ("": none).
func (e *Engine) ServerTLS(backend, server, name string) (*tls.Config, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.servers[e.backs[backend]][server]; s != nil && s.tls != nil {
		c := s.tls.Config(name)
		c.NextProtos = nil // what is agreed on is for requests
		return c, nil
	}
	return nil, fmt.Errorf("server %q of backend %q does not speak TLS", server, backend)
}
