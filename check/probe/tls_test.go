package probe

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/check"
)

// TestChecksOverTLS: what is asked goes over TLS, as the configuration for the server says; the outcome tells which layer
// failed.
func TestChecksOverTLS(t *testing.T) {
	asked := make(chan string, 10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked <- r.TLS.ServerName }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })
	trusted := x509.NewCertPool()
	trusted.AddCert(s.Certificate())
	config := func(name, sni string) (*tls.Config, error) {
		switch name {
		case "be/trusting":
			return &tls.Config{RootCAs: trusted, ServerName: sni}, nil
		case "be/strict":
			return &tls.Config{RootCAs: x509.NewCertPool(), ServerName: sni}, nil
		}
		return nil, errors.New("no TLS there")
	}
	for _, c := range []struct {
		name, address string
		kind          check.Kind
		want          Status
	}{
		{"be/trusting", s.Listener.Addr().String(), check.TCP, L6OK},
		{"be/trusting", s.Listener.Addr().String(), check.HTTP, L7OK},
		{"be/strict", s.Listener.Addr().String(), check.HTTP, L6RSP},
		{"be/other", s.Listener.Addr().String(), check.HTTP, L6RSP},
		{"be/trusting", mute.Addr().String(), check.HTTP, L6TOUT},
	} {
		out := ask(t.Context(), (&net.Dialer{}).DialContext, config, withDefaults(check.Config{Name: c.name, Kind: c.kind, Address: c.address,
			TLS: true, SNI: "example.com", Timeout: 300 * time.Millisecond}))
		if out.Status != c.want {
			t.Errorf("%s %d: %s (%s), want %s", c.name, c.kind, out.Status, out.Info, c.want)
		}
		if c.want == L7OK {
			if name := <-asked; name != "example.com" {
				t.Errorf("asked for %q", name)
			}
		}
	}
}
