package lint_test

import (
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/lint"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// certificateRule is the rule that Certificates' reader tells by; tlsconf names it.
const certificateRule = "rsa-certificate"

// TestCertificates: each bind with TLS is looked at once, however many nodes have it, and what is said of it can be silenced.
func TestCertificates(t *testing.T) {
	site := "global\n    crt-base /etc/certs\nfrontend web\n    mode http\n    timeout client 1s\n    bind :80\n    bind :443 ssl crt rsa.pem\n    bind :8443 ssl crt ecdsa.pem\n    default_backend app\n" +
		"backend app\n    mode http\n    timeout connect 1s\n    timeout server 1s\n    server a 192.0.2.1:80\n"
	doc, _, ps := config.Load([]config.File{{Name: "site.cfg", Content: []byte(site)}})
	if ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	read := func(b *proxy.BindTLS, g *proxy.Global) (ps source.Problems) {
		if strings.HasPrefix(b.Crts[0].File, "rsa") {
			ps.Warnf(b.Crts[0].Pos, "", "%s/%s is RSA", g.CrtBase, b.Crts[0].File)
			ps.Name(certificateRule)
		}
		return ps
	}
	got := lint.Certificates(doc, lint.Options{Members: []string{"lb1", "lb2"}}, read)
	if len(got) != 1 || got[0].Rule != certificateRule || !strings.HasPrefix(got[0].Error(), "site.cfg:7:") || !strings.Contains(got[0].Error(), "/etc/certs/rsa.pem is RSA") {
		t.Errorf("%s", text(got))
	}
	if got := lint.Certificates(doc, lint.Options{Ignore: []string{certificateRule}}, read); len(got) > 0 {
		t.Errorf("silenced, and yet:\n%s", text(got))
	}
}
