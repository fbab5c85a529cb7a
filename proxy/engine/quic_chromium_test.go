package engine

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// page is a document that is whole when it has asked for more and got it.
const page = `<!DOCTYPE html><html><head><link rel="icon" href="data:,"></head><body><script>
fetch("/data", {method: "POST", body: "some text"}).then(r => r.text()).then(x => document.body.append("answered: " + x))
</script></body></html>`

// TestQUICChromium: a browser loads a page over HTTP/3, and what its script asks for, on one connection. TCP would not do:
// there the port speaks in clear.
func TestQUICChromium(t *testing.T) {
	s := startQUIC(t, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, page)
			return
		}
		fmt.Fprintf(w, "%s of %d bytes over %s", r.Method, r.ContentLength, r.Header.Get("X-Version"))
	})}, func(c *proxy.Config) { c.Frontends[0].HTTPRequest = rulesOf("set-header x-version %[req.ver]") })
	_, port, _ := net.SplitHostPort(s.addr)
	dom := chromium(t, s.leaf, "--origin-to-force-quic-on=a.example:"+port, "https://a.example:"+port+"/")
	if !strings.Contains(dom, "answered: POST of 9 bytes over 3.0") {
		t.Errorf("the browser has\n%s", dom)
	}
	s.want(" fe~ be/a ", " 200 ", `"GET / HTTP/3.0"`)
	s.want(" fe~ be/a ", " 200 ", `"POST /data HTTP/3.0"`)
	if row, _ := s.e.Stats().Find("fe", "FRONTEND"); row.ConnTot != 1 || row.SSLSess != 1 {
		t.Errorf("%d connections, %d handshakes", row.ConnTot, row.SSLSess)
	}
}

// chromium runs the browser until its page rests, and returns the document. It trusts the certificate.
func chromium(t *testing.T, leaf *x509.Certificate, args ...string) string {
	t.Helper()
	key := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, "chromium", append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--user-data-dir=" + dir, "--host-resolver-rules=MAP a.example 127.0.0.1",
		"--ignore-certificate-errors-spki-list=" + base64.StdEncoding.EncodeToString(key[:]), "--timeout=60000", "--virtual-time-budget=10000", "--dump-dom"}, args...)...)
	cmd.Env = append(cmd.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the browser is many processes
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var told strings.Builder
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium ('make deps' installs it): %v\n%s", err, told.String())
	}
	return string(out)
}
