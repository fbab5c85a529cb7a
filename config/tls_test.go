package config

import (
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/proxy"
)

// TestTLSDefaultsStandIn: what a line says wins over the global section, wherever that stands.
func TestTLSDefaultsStandIn(t *testing.T) {
	d, ps := parseText(t, "a.cfg", `frontend f
 mode http
 timeout client 1s
 bind :443,:444 ssl crt a.pem crt-list l.txt alpn h2,http/1.1 verify optional ca-file ca.pem
 bind :445 ssl crt b.pem ssl-min-ver TLSv1.0 no-tlsv10 ciphers ECDHE+AESGCM strict-sni
 bind :446 ssl crt b.pem force-tlsv12
 default_backend b
backend b
 mode http
 timeout connect 1s
 timeout server 1s
 default-server ssl sni req.hdr(host) check
 server s1 10.0.0.1:443
 server s2 10.0.0.2:443 verify required ca-file @system-ca port 8080 check-sni x.example
 server s3 10.0.0.3:443 no-check-ssl no-ssl-reuse
 server s4 10.0.0.4:80 no-ssl
global
 crt-base /etc/certs
 ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets no-sslv3
 ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256
 ssl-default-server-options no-tlsv13
 ssl-server-verify none
`)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	binds := d.Proxy.Frontends[0].Binds
	first := binds[0].TLS
	if len(binds) != 4 || binds[1].TLS == nil || len(first.Crts) != 2 || !first.Crts[1].List || first.Verify != proxy.VerifyOptional ||
		first.MinVersion != proxy.TLSv12 || !first.NoTickets || !strings.HasPrefix(first.Ciphers, "ECDHE-ECDSA-") || first.StrictSNI {
		t.Errorf("%+v", first)
	}
	if b := binds[2].TLS; b.MinVersion != proxy.TLSv11 || b.Ciphers != "ECDHE+AESGCM" || !b.StrictSNI {
		t.Errorf("%+v", b)
	}
	if b := binds[3].TLS; b.MinVersion != proxy.TLSv12 || b.MaxVersion != proxy.TLSv12 {
		t.Errorf("%+v", b)
	}
	s := d.Proxy.Backends[0].Servers
	if s[0].TLS.Verify != proxy.VerifyNone || s[0].TLS.SNI != "req.hdr(host)" || s[0].TLS.MaxVersion != proxy.TLSv12 ||
		s[1].TLS.Verify != proxy.VerifyRequired || !s[2].TLS.NoReuse || s[3].TLS != nil {
		t.Errorf("%+v %+v %+v %+v", s[0].TLS, s[1].TLS, s[2].TLS, s[3].TLS)
	}
	for i, over := range []bool{true, false, false, false} {
		if c := d.Checks[s[i].Check]; c.TLS != over {
			t.Errorf("check of %s over TLS: %v", s[i].Name, c.TLS)
		}
	}
	if d.Proxy.Global.CrtBase != "/etc/certs" {
		t.Errorf("%+v", d.Proxy.Global)
	}
	again, ps := parseText(t, "a.hcl", string(WriteHCL(d)))
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, again, d)
}

func TestTLSMistakes(t *testing.T) {
	_, ps := parseText(t, "a.cfg", `frontend f
 mode http
 timeout client 1s
 bind :443 ssl
 bind :444 ssl crt a.pem verify required
 bind :445 ssl crt a.pem ciphers NOPE curves P-1
 bind :446 ssl crt a.pem ssl-min-ver TLSv1.3 no-tlsv13
 bind :447 crt a.pem
 bind :448 ssl crt a.pem ciphersuites TLS_AES_128_GCM_SHA256
 bind :449 ssl crt a.pem ssl-min-ver TLS1.2
backend b
 timeout connect 1s
 timeout server 1s
 server s 10.0.0.1:443 ssl
 server t 10.0.0.1:443 ssl verify none sni var(x)
 server u 10.0.0.1:80 verify none check-ssl check
 server v 10.0.0.1:443 ssl verify none proto h1 alpn h2,http/1.1
 server w 10.0.0.1:443 ssl verify none proto h2 alpn http/1.1
 server x 10.0.0.1:443 ssl verify none proto h2 ws h3
`)
	var text strings.Builder
	for _, p := range ps {
		text.WriteString(p.Error() + "\n")
	}
	for _, want := range []string{
		"a.cfg:4:2: error: a bind with 'ssl' needs a certificate",
		"a.cfg:5:2: error: 'verify required' needs to be told who signs",
		"a.cfg:6:26: error: 'NOPE' is no cipher that OpenSSL knows",
		"a.cfg:6:39: error: 'P-1' is no curve that OpenSSL knows",
		"a.cfg:7:2: error: no version of TLS is left",
		"a.cfg:8:12: warning: 'crt' has no effect on a bind without 'ssl'",
		"a.cfg:9:26: warning: the cipher suites of TLSv1.3 that 'ciphersuites' leaves out are offered too",
		"a.cfg:10:38: error: 'TLS1.2' is no value for 'ssl-min-ver'",
		"a.cfg:14:2: error: the certificate of server 'b/s' is to be verified, and there is no ca-file",
		"a.cfg:15:44: error: the expression 'var(x)' is not supported yet",
		"a.cfg:16:23: warning: 'verify' has no effect on a server without 'ssl'",
		"a.cfg:16:2: error: 'check-ssl' on a server without 'ssl' is not supported yet",
		"a.cfg:17:2: error: 'proto h1' speaks HTTP/1.1 even if the server agrees on HTTP/2, which 'alpn h2,http/1.1' offers it (alpn http/1.1)",
		"a.cfg:18:2: error: 'proto h2' speaks HTTP/2, which 'alpn http/1.1' does not offer the server (alpn h2)",
		"a.cfg:19:52: error: 'h3' is no value for 'ws'",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(text.String())
	}
}
