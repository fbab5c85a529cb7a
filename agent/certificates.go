package agent

import (
	"encoding/base64"
	"errors"

	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/proxy/engine"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// Certificates implements httpapi.Service.
func (a *Agent) Certificates() []api.Certificate {
	out := []api.Certificate{}
	for _, c := range a.engine.Certificates() {
		out = append(out, api.Certificate{File: c.File, Names: c.Names, Key: c.Key, Serial: c.Serial, Issuer: c.Issuer, NotBefore: c.NotBefore,
			NotAfter: c.NotAfter, OCSP: c.OCSP})
	}
	return out
}

// SetCertificate implements httpapi.Service. It is this node's alone and ends with the process, as with HAProxy's `set ssl
// cert`.
func (a *Agent) SetCertificate(name string, content []byte) (api.CertificateChange, error) {
	file, err := a.engine.SetCertificate(name, content)
	if err != nil {
		return api.CertificateChange{}, certificateError(err)
	}
	a.log.Info("a certificate was set in place of its file", "file", file)
	return api.CertificateChange{File: file}, nil
}

// RemoveCertificate implements httpapi.Service.
func (a *Agent) RemoveCertificate(name string) (api.CertificateChange, error) {
	file, err := a.engine.RemoveCertificate(name)
	if err != nil {
		return api.CertificateChange{}, certificateError(err)
	}
	a.log.Info("a certificate's file counts again", "file", file)
	return api.CertificateChange{File: file}, nil
}

func certificateError(err error) error {
	code := api.CodeInvalid
	if errors.Is(err, engine.ErrNoCertificate) {
		code = api.CodeNotFound
	}
	return &api.Error{Code: code, Message: err.Error()}
}

// SetTicketKeys implements httpapi.Service.
func (a *Agent) SetTicketKeys(r api.TicketKeysRequest) error {
	var keys []tlsconf.TicketKey
	for _, text := range r.Keys {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(b) != len(tlsconf.TicketKey{}) {
			return &api.Error{Code: api.CodeInvalid, Message: "a ticket key is 32 bytes in base64"} // the key itself is not told
		}
		keys = append(keys, tlsconf.TicketKey(b))
	}
	if err := a.engine.SetTicketKeys(keys); err != nil {
		return &api.Error{Code: api.CodeInvalid, Message: err.Error()}
	}
	a.log.Info("ticket keys were set", "keys", len(keys))
	return nil
}
