package config

import (
	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/proxy"
)

func genTLSParams(t *rapid.T) proxy.TLSParams {
	one := func(label string, of ...string) string { return rapid.SampledFrom(append(of, "")).Draw(t, label) }
	p := proxy.TLSParams{
		Ciphers:      one("ciphers", "ECDHE+AESGCM:!aNULL", "ECDHE-RSA-AES128-GCM-SHA256"),
		CipherSuites: one("suites", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"),
		Curves:       one("curves", "X25519:P-256", "secp384r1"),
		ALPN:         one("alpn", "h2,http/1.1", "http/1.1", "h2"),
		CRLFile:      maybe(t, "crl", func() string { return str(t, "crl") }),
		NoTickets:    rapid.Bool().Draw(t, "tickets"),
	}
	p.MinVersion = rapid.SampledFrom([]proxy.TLSVersion{0, proxy.TLSv10, proxy.TLSv12}).Draw(t, "min")
	p.MaxVersion = rapid.SampledFrom([]proxy.TLSVersion{0, proxy.TLSv12, proxy.TLSv13}).Draw(t, "max")
	return p
}

func genBindTLS(t *rapid.T) *proxy.BindTLS {
	b := &proxy.BindTLS{TLSParams: genTLSParams(t), StrictSNI: rapid.Bool().Draw(t, "strict")}
	b.Crts = append([]proxy.Crt{{File: str(t, "crt")}}, list(t, "crts", 2, func(int) proxy.Crt {
		return proxy.Crt{File: str(t, "crt"), List: rapid.Bool().Draw(t, "list")}
	})...)
	if b.Verify = rapid.SampledFrom([]proxy.Verify{proxy.VerifyNone, proxy.VerifyOptional, proxy.VerifyRequired}).Draw(t, "verify"); b.Verify != proxy.VerifyNone {
		b.CAFile = str(t, "ca")
	}
	b.TicketKeys = maybe(t, "keys", func() string { return str(t, "keys") })
	return b
}

func genServerTLS(t *rapid.T) *proxy.ServerTLS {
	s := &proxy.ServerTLS{TLSParams: genTLSParams(t), NoReuse: rapid.Bool().Draw(t, "reuse")}
	if rapid.Bool().Draw(t, "verify") {
		s.Verify, s.CAFile = proxy.VerifyRequired, str(t, "ca")
	}
	s.SNI = rapid.SampledFrom([]string{"", "str(www.example)", "req.hdr(host)", "ssl_fc_sni"}).Draw(t, "sni")
	s.VerifyHost = maybe(t, "host", func() string { return genHost.Draw(t, "host") })
	s.Crt = maybe(t, "crt", func() string { return str(t, "crt") })
	return s
}
