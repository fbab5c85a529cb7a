package command

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/reeve-lb/reeve/internal/lab/pki"
)

// TestHAProxyQUIC: an address of QUIC in a haproxy.cfg is there after a reload; at a soft stop the request that is under way
// on it ends well, and so does the program.
func TestHAProxyQUIC(t *testing.T) {
	server, asked, answer := slow(t)
	r := start(t, "20s", server)
	ca := pki.New(t)
	file := ca.Write("site.pem", ca.ECDSA("a.example").PEM())
	text := fmt.Sprintf(runCfg, filepath.Dir(r.file)+"/pid", "20s", r.addr, "one", server.Listener.Addr())
	r.write(strings.Replace(text, "    default_backend", "    bind quic4@"+r.addr+" ssl crt "+file+"\n    http-request set-var(txn.version) req.ver\n    http-after-response set-header x-version %[var(txn.version)]\n    default_backend", 1))
	r.signal(syscall.SIGUSR2)
	r.await("Loading success")
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool, ServerName: "a.example"}}
	t.Cleanup(func() { tr.Close() })
	c := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	resp, err := c.Get("https://" + r.addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "hello" || resp.Proto != "HTTP/3.0" || resp.Header.Get("X-Version") != "3.0" {
		t.Errorf("%v %q %v", resp, b, err)
	}
	resp.Body.Close()
	got := make(chan string, 1)
	go func() {
		body, err := get(t, c, "https://"+r.addr+"/slow")
		got <- fmt.Sprint(body, " ", err)
	}()
	<-asked
	r.signal(syscall.SIGUSR1)
	r.await("Stopping frontend web")
	close(answer)
	if said := <-got; said != "hello <nil>" {
		t.Errorf("the request under way: %s", said)
	}
	if code := r.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
