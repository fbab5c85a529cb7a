package config

import (
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

const quicSite = `global
    tune.quic.frontend.max-idle-timeout 20s
    tune.quic.frontend.max-streams-bidi 50
    tune.quic.retry-threshold 10
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend f
    bind :443 ssl crt a.pem alpn h2,http/1.1
    bind quic4@:443 ssl crt a.pem
    default_backend b
backend b
    server s 192.0.2.1:80
`

// TestQUIC: an address of QUIC stands beside one of TCP with the same port, agrees on h3 unasked, takes the defaults of
// TLS, and goes through HCL and back.
func TestQUIC(t *testing.T) {
	text := strings.Replace(quicSite, "bind quic4@:443 ssl crt a.pem", "bind quic4@*:443,quic4@127.0.0.2:8443 ssl crt a.pem\n    bind quic6@:443 ssl crt a.pem alpn h3 quic-force-retry", 1)
	d, ps := parseText(t, "a.cfg", text+"global\n ssl-default-bind-options strict-sni\n")
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	binds := d.Proxy.Frontends[0].Binds
	var places []string
	for _, b := range binds {
		places = append(places, b.Place())
	}
	if got := strings.Join(places, " "); got != "0.0.0.0:443 quic4@0.0.0.0:443 quic4@127.0.0.2:8443 quic6@[::]:443" {
		t.Errorf("addresses %s", got)
	}
	for _, b := range binds[1:] {
		if !b.QUIC || b.TLS.ALPN != "h3" || !b.TLS.StrictSNI {
			t.Errorf("%+v %+v", b, b.TLS)
		}
	}
	if binds[0].QUIC || binds[0].TLS.ALPN != "h2,http/1.1" || !binds[3].ForceRetry || binds[1].ForceRetry {
		t.Errorf("%+v", binds)
	}
	if q := d.Proxy.Global.QUIC; q != (proxy.QUIC{IdleTimeout: 20 * time.Second, MaxStreams: 50, RetryThreshold: 10}) {
		t.Errorf("%+v", q)
	}
	again, ps := parseText(t, "a.hcl", string(WriteHCL(d)))
	if len(ps) > 0 || !d.Equal(again) {
		t.Errorf("%v\n%s", ps, WriteHCL(d))
	}
	if !strings.Contains(string(WriteHCL(d)), `"quic4@*:443 ssl crt a.pem alpn h3 strict-sni"`) {
		t.Errorf("%s", WriteHCL(d))
	}
}

// TestQUICMistakes: what can't be had over QUIC is said at its address.
func TestQUICMistakes(t *testing.T) {
	const line = "bind quic4@:443 ssl crt a.pem"
	for from, want := range map[string]string{
		line:                                         "",
		line + " alpn h3,h2":                         "12:10: error: 'alpn h3,h2' of quic4@0.0.0.0:443: over QUIC there is h3 alone (write alpn h3)",
		line + " accept-proxy":                       "12:10: error: 'accept-proxy' is not supported on quic4@0.0.0.0:443, an address of QUIC",
		line + " transparent":                        "12:10: error: 'transparent' is not supported on quic4@0.0.0.0:443, an address of QUIC",
		line + " backlog 5":                          "12:10: error: 'backlog' is not supported on quic4@0.0.0.0:443, an address of QUIC",
		line + " proto h2":                           "12:10: error: 'proto' is not supported on quic4@0.0.0.0:443, an address of QUIC",
		line + " ssl-max-ver TLSv1.2":                "12:10: error: quic4@0.0.0.0:443 needs TLSv1.3, and this line ends at TLSv1.2",
		line + " no-tlsv13":                          "12:10: error: quic4@0.0.0.0:443 needs TLSv1.3, and this line ends at TLSv1.2",
		line + " quic-cc-algo cubic":                 "12:35: error: 'quic-cc-algo' is not supported yet",
		line + "\n    bind quic4@:443 ssl crt a.pem": "13:10: error: quic4@0.0.0.0:443 is listened on already at a.cfg:12:10",
		"bind quic4@:443":                            "12:10: error: quic4@0.0.0.0:443 needs 'ssl': there is no QUIC in clear (write ssl crt FILE alpn h3)",
		"bind quic4@::1:443 ssl crt a.pem":           "12:10: error: 'quic4@::1:443' is no address to listen on (an IP address, * or nothing in front of the port)",
		"bind quic6@127.0.0.1:443 ssl crt a.pem":     "12:10: error: 'quic6@127.0.0.1:443' is no address to listen on (an IP address, * or nothing in front of the port)",
		"bind quic4@:443,:444 ssl crt a.pem":         "12:10: error: addresses of QUIC and others can't share a line (write a bind for each)",
		"bind :444 ssl crt a.pem alpn h3":            "12:10: warning: 'alpn h3' of 0.0.0.0:444: h3 is spoken over QUIC, this address is of TCP (write a bind quic4@ADDRESS for it)",
		"bind :444 quic-force-retry":                 "12:10: warning: 'quic-force-retry' has no effect on 0.0.0.0:444 (write quic4@ in front of the address)",
		line + "\nlisten l\n    mode tcp\n    bind quic4@:444 ssl crt a.pem": "15:10: error: frontend 'l' is in tcp mode and can't listen on quic4@0.0.0.0:444: over QUIC there is HTTP/3 alone (write mode http)",
	} {
		_, ps := parseText(t, "a.cfg", strings.Replace(quicSite, line, from, 1))
		var got []string
		for _, p := range ps {
			got = append(got, strings.TrimPrefix(p.Error(), "a.cfg:"))
		}
		if text := strings.Join(got, "\n"); text != want && !(want != "" && strings.HasPrefix(text, want)) {
			t.Errorf("%s:\n got %s\nwant %s", from, text, want)
		}
	}
	_, ps := parseText(t, "a.cfg", strings.Replace(quicSite, "192.0.2.1:80", "quic4@192.0.2.1:443", 1))
	if !ps.HasErrors() {
		t.Error("a server over QUIC is taken")
	}
}
