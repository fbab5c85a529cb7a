package config

import "github.com/reeve-lb/reeve/proxy"

func (v *validator) bindTLS(b *proxy.BindTLS) {
	if b == nil || !b.Pos.IsZero() && b.Pos == v.secured { // the addresses of a line share it
		return
	}
	v.secured = b.Pos
	if len(b.Crts) == 0 && !b.StrictSNI {
		v.ps.Errorf(b.Pos, "write crt FILE", "a bind with 'ssl' needs a certificate")
	}
	if b.Verify != proxy.VerifyNone && b.CAFile == "" {
		v.ps.Errorf(b.Pos, "write ca-file FILE", "'verify %s' needs to be told who signs the clients' certificates", b.Verify)
	}
}

func (v *validator) serverTLS(b *proxy.Backend, s proxy.Server) {
	if s.TLS != nil && s.TLS.Verify != proxy.VerifyNone && s.TLS.CAFile == "" {
		v.ps.Errorf(s.TLS.Pos, "write ca-file FILE or verify none", "the certificate of server '%s/%s' is to be verified, and there is no ca-file", b.Name, s.Name)
	}
}
