package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// ErrNoCertificate: nothing that is served comes from a file of that name.
var ErrNoCertificate = errors.New("no bind serves a certificate from a file of that name")

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
	var last []string
	for _, c := range e.Certificates() {
		if c.File == name || c.File == "/"+name {
			return c.File, nil
		}
		if filepath.Base(c.File) == name {
			last = append(last, c.File)
		}
	}
	switch len(last) {
	case 0:
		return "", fmt.Errorf("%q: %w", name, ErrNoCertificate)
	case 1:
		return last[0], nil
	}
	return "", fmt.Errorf("%q: several files are called that: %q", name, last)
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
