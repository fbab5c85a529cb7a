package engine

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// run runs a program to its end and returns what it said.
func run(t *testing.T, stdin string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() != nil {
		t.Errorf("%s %v: %v: %s", name, args, ctx.Err(), out)
	}
	return string(out)
}

// TestTLSWithCurl: the real client, with a certificate of its own and without.
func TestTLSWithCurl(t *testing.T) {
	ca := pki.New(t)
	_, a := named(t, "a")
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM()))(c)
		c.Frontends[0].Binds[0].TLS.Verify, c.Frontends[0].Binds[0].TLS.CAFile = proxy.VerifyRequired, ca.File
		c.Frontends[0].Binds[0].TLS.ALPN = "http/1.1"
	})
	own := ca.Write("client.pem", ca.ECDSA("client").PEM())
	_, port, _ := net.SplitHostPort(s.addr)
	url := "https://a.example:" + port + "/"
	args := []string{"-sS", "-m", "10", "--cacert", ca.File, "--resolve", "a.example:" + port + ":127.0.0.1"}
	if out := run(t, "", "curl", append(args, "--cert", own, url, url)...); out != "aa" {
		t.Errorf("%q", out)
	}
	if out := run(t, "", "curl", append(args, "-v", "--tls-max", "1.2", "--cert", own, url)...); !strings.HasSuffix(out, "a") ||
		!strings.Contains(out, "SSL connection using TLSv1.2") || !strings.Contains(out, "ALPN: server accepted http/1.1") {
		t.Errorf("%q", out)
	}
	if out := run(t, "", "curl", append(args, url)...); !strings.Contains(out, "curl: (") {
		t.Errorf("without a certificate: %q", out)
	}
	for range 3 {
		s.want(" fe~ be/a ", ` "GET / HTTP/1.1"`)
	}
	s.want("] fe/1: SSL handshake failure")
}

// TestTLSWithOpenSSL: s_client resumes its session and is shown the stapled answer.
func TestTLSWithOpenSSL(t *testing.T) {
	ca := pki.New(t)
	_, a := named(t, "a")
	pair := ca.ECDSA("a.example")
	file := ca.Write("a.pem", append(pair.PEM(), ca.CertPEM()...))
	ca.Write("a.pem.ocsp", ca.OCSP(pair.Leaf, time.Now().Add(time.Hour)))
	s := start(t, proxy.HTTP, []proxy.Server{a}, overTLS(file))
	session := filepath.Join(ca.Dir(), "session")
	client := func(args ...string) string {
		return run(t, request("GET /", "Connection: close"), "openssl", append([]string{"s_client", "-connect", s.addr, "-servername", "a.example",
			"-CAfile", ca.File, "-verify_return_error", "-ign_eof"}, args...)...)
	}
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		if out := client(version, "-sess_out", session, "-status"); !strings.Contains(out, "HTTP/1.1 200 OK") || !strings.Contains(out, "OCSP Response Status: successful") ||
			!strings.Contains(out, "Verification: OK") {
			t.Errorf("%s", out)
		}
		if out := client(version, "-sess_in", session); !strings.Contains(out, "HTTP/1.1 200 OK") || !strings.Contains(out, "Reused, TLSv1.") {
			t.Errorf("not resumed: %s", out)
		}
	}
	if out := client("-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"); strings.Contains(out, "HTTP/1.1 200 OK") {
		t.Errorf("TLSv1.1 was spoken: %s", out)
	}
	if row, _ := s.e.Stats().Find("fe", "FRONTEND"); row.SSLSess != 4 || row.SSLReusedSess != 2 || row.SSLFailedHandshake != 1 {
		t.Errorf("%d handshakes, %d resumed, %d failed", row.SSLSess, row.SSLReusedSess, row.SSLFailedHandshake)
	}
}

// realTLSServer is HAProxy that ends TLS and tells what it saw of the connection.
func realTLSServer(t *testing.T, ca *pki.Authority, words string) proxy.Server {
	t.Helper()
	addr := ports.Free(t, "127.0.0.1").String()
	crt := ca.Write("haproxy.pem", ca.ECDSA("a.example").PEM())
	file := ca.Write("haproxy.cfg", fmt.Appendf(nil, `global
 maxconn 100
defaults
 mode http
 timeout client 5s
 timeout server 5s
 timeout connect 5s
frontend f
 bind %s ssl crt %s %s
 http-request return status 200 content-type text/plain lf-string "%%[ssl_fc_sni] %%[ssl_fc_protocol] %%[ssl_c_s_dn(CN)] %%[ssl_fc_is_resumed]"
`, addr, crt, words))
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "haproxy", "-db", "-f", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatalf("haproxy, which `make deps` installs: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("haproxy said: %s", out)
		}
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) { // nothing tells of a bind
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return target("a", addr)
		}
		if time.Now().After(end) {
			t.Fatalf("haproxy does not start: %s", out)
		}
	}
}

// TestTLSToHAProxy: re-encryption to the real one, with name, certificate and resumed sessions.
func TestTLSToHAProxy(t *testing.T) {
	ca := pki.New(t)
	server := realTLSServer(t, ca, "verify required ca-file "+ca.File)
	server.TLS = verified(ca, "req.hdr(host)")
	server.TLS.Crt = ca.Write("reeve.pem", ca.ECDSA("reeve").PEM())
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) { c.Backends[0].ConnMode = proxy.ServerClose })
	for i := range 3 {
		out := s.raw("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
		if want := fmt.Sprintf("a.example TLSv1.3 reeve %d", min(i, 1)); !strings.HasSuffix(out, want) {
			t.Errorf("%q, want %q", out, want)
		}
		s.want(" be/a ", " 200 ")
	}
}
