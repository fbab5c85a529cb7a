package engine

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// h2OverTLS gives the frontend a bind with ssl that offers both protocols.
func h2OverTLS(ca *pki.Authority) func(*proxy.Config) {
	file := ca.Write("h2.pem", ca.ECDSA("a.example").PEM())
	return func(c *proxy.Config) {
		overTLS(file)(c)
		c.Frontends[0].Binds[0].TLS.ALPN = "h2,http/1.1"
	}
}

// TestH2CurlOverTLS: ALPN decides; a client that does not use it gets HTTP/1.1. Rules and logs know of the connection's TLS
// and variables, whatever the protocol.
func TestH2CurlOverTLS(t *testing.T) {
	ca := pki.New(t)
	s := start(t, proxy.HTTP, []proxy.Server{echoingH2(t)}, func(c *proxy.Config) {
		h2OverTLS(ca)(c)
		c.Frontends[0].TCPRequest = rulesOf("session set-var(sess.name) ssl_fc_sni")
		c.Frontends[0].HTTPRequest = rulesOf("redirect scheme https unless { ssl_fc }", "deny unless { ssl_fc_sni a.example }", "deny deny_status 429 unless { var(sess.name) -m str a.example }")
	})
	_, port, _ := net.SplitHostPort(s.addr)
	for _, c := range []struct {
		flags      []string
		said, line string
	}{
		{[]string{"--http2"}, "2", "HTTP/2.0"},
		{[]string{"--http2", "--tls-max", "1.2"}, "2", "HTTP/2.0"},
		{[]string{"--http1.1"}, "1.1", "HTTP/1.1"},
		{[]string{"--http2", "--no-alpn"}, "1.1", "HTTP/1.1"},
	} {
		args := append([]string{"-sS", "-m", "10", "--cacert", ca.File, "--resolve", "a.example:" + port + ":127.0.0.1", "-d", "some text",
			"-w", " in %{http_version}"}, c.flags...)
		if out := run(t, "", "curl", append(args, "https://a.example:"+port+"/path")...); out != "some text in "+c.said {
			t.Errorf("curl %v: %q", c.flags, out)
		}
		s.want(" fe~ be/a ", " 200 ", `"POST /path `+c.line+`"`)
	}
}

// TestH2BulkOverTLS: large bodies both ways on several streams of a connection at once.
func TestH2BulkOverTLS(t *testing.T) {
	ca := pki.New(t)
	s := start(t, proxy.HTTP, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })}, func(c *proxy.Config) {
		h2OverTLS(ca)(c)
		c.Frontends[0].Log = nil
	})
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: ca.Pool, ServerName: "a.example"}}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			body := bytes.Repeat([]byte{byte('a' + i)}, 1<<20)
			resp, err := client.Post("https://"+s.addr+"/", "text/plain", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body) || resp.ProtoMajor != 2 {
				t.Errorf("%s: %d of %d bytes, %v", resp.Proto, len(got), len(body), err)
			}
		})
	}
	wg.Wait()
}

// TestNoH2Upgrade: the preface is a bad request then; who agreed on HTTP/2 beforehand speaks it all the same.
func TestNoH2Upgrade(t *testing.T) {
	ca := pki.New(t)
	off := func(more func(*proxy.Config)) func(*proxy.Config) {
		return func(c *proxy.Config) {
			c.Frontends[0].NoH2Upgrade = true
			more(c)
		}
	}
	s := start(t, proxy.HTTP, []proxy.Server{echoingH2(t)}, off(func(*proxy.Config) {}))
	if out := s.raw(http2.ClientPreface); !strings.HasPrefix(out, "HTTP/1.1 400 ") {
		t.Errorf("%q, want 400", out)
	}
	s.want(" 400 ", " PR-- ", `"<BADREQ>"`)
	if resp, _ := s.get("/"); resp.StatusCode != 200 {
		t.Errorf("HTTP/1.1: %d", resp.StatusCode)
	}
	s.want(" 200 ")
	s = start(t, proxy.HTTP, []proxy.Server{echoingH2(t)}, off(func(c *proxy.Config) { c.Frontends[0].Binds[0].Proto = proxy.H2Proto }))
	if resp, err := h2Client(t).Get("http://" + s.addr + "/"); err != nil || resp.StatusCode != 200 {
		t.Errorf("proto h2: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	s = start(t, proxy.HTTP, []proxy.Server{echoingH2(t)}, off(h2OverTLS(ca)))
	if out := run(t, "", "curl", "-sSk", "-m", "10", "--http2", "-d", "x", "-w", " in %{http_version}", "https://"+s.addr+"/"); out != "x in 2" {
		t.Errorf("by ALPN: %q", out)
	}
}
