package config

import (
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/check"
	"github.com/reeve-lb/reeve/proxy"
)

// TestUDPMode: in both spellings, and what can't be had there.
func TestUDPMode(t *testing.T) {
	const cfg = `defaults
    mode udp
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend dns
    bind :53
    default_backend dns
frontend dns-tcp
    mode tcp
    bind :53
    default_backend tcp
backend dns
    proxy_responses 1
    server s 192.0.2.1:53 check check-udp
backend tcp
    mode tcp
    server s 192.0.2.1:53
`
	d, _, ps := Load([]File{{Name: "haproxy.cfg", Content: []byte(cfg)}})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if b := d.Proxy.Backends[0]; b.Mode != proxy.UDP || b.ProxyResponses == nil || *b.ProxyResponses != 1 || d.Proxy.Frontends[0].Mode != proxy.UDP {
		t.Errorf("%+v", b)
	}
	if c := d.Checks["dns/s"]; c.Kind != check.UDP {
		t.Errorf("%+v", c)
	}
	again, _, ps := Load([]File{{Name: "site.hcl", Content: WriteHCL(d)}})
	if len(ps) > 0 || !d.Equal(again) {
		t.Errorf("%v\n%s", ps, WriteHCL(d))
	}
	for from, want := range map[string]string{
		"bind :53\n    default_backend dns":              "",
		"bind :53 accept-proxy\n    default_backend dns": "7:10: error: frontend 'dns' is in udp mode: 'accept-proxy' is not supported there",
		"bind /tmp/x\n    default_backend dns":           "7:10: error: frontend 'dns' is in udp mode and can't listen on a Unix socket",
		"bind :53\n    default_backend tcp":              "8:21: error: frontend 'dns' is in udp mode and backend 'tcp' in tcp mode (write mode udp in both)",
	} {
		_, _, ps := Load([]File{{Name: "haproxy.cfg", Content: []byte(strings.Replace(cfg, "bind :53\n    default_backend dns", from, 1))}})
		if got := strings.TrimPrefix(errorText(ps.Err()), "haproxy.cfg:"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", from, got, want)
		}
	}
	_, _, ps = Load([]File{{Name: "a.cfg", Content: []byte(strings.TrimSuffix(cfg, "\n") + " check check-udp\n")}})
	if got, want := errorText(ps.Err()), "a.cfg:18:5: error: server 's' of backend 'tcp', which is in tcp mode, is checked by UDP (mode udp)"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
