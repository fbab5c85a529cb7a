package engine

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// TestCurl10: curl as a client of HTTP/1.0, in clear and over TLS: answers of unknown length end with the connection and have
// no chunks, others leave it standing for who asks for that, and a body reaches the server.
func TestCurl10(t *testing.T) {
	ca := pki.New(t)
	server := handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			for i := range 3 {
				fmt.Fprintf(w, "part %d,", i)
				w.(http.Flusher).Flush()
			}
			return
		}
		io.Copy(w, r.Body)
		io.WriteString(w, r.Method+" "+r.Host)
	})
	for scheme, bind := range map[string]func(*proxy.Config){
		"http":  func(*proxy.Config) {},
		"https": overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM())),
	} {
		t.Run(scheme, func(t *testing.T) {
			s := start(t, proxy.HTTP, []proxy.Server{server}, bind)
			url := scheme + "://" + s.addr
			curl := func(args ...string) string {
				t.Helper()
				return runClient(t, "curl", append([]string{"-sSk", "--http1.0", "-m", "10"}, args...)...)
			}
			out := curl("-i", "--raw", url+"/stream")
			head, body, _ := strings.Cut(out, "\r\n\r\n")
			if body != "part 0,part 1,part 2," || strings.Contains(strings.ToLower(head), "transfer-encoding") || !strings.Contains(strings.ToLower(head), "connection: close") {
				t.Errorf("%q", out)
			}
			s.want(" be/a ", " 200 ", ` "GET /stream HTTP/1.0"`)
			if out := curl("-d", "some text,", url+"/"); out != "some text,POST "+s.addr {
				t.Errorf("%q", out)
			}
			s.want(" be/a ", " 200 ", ` "POST / HTTP/1.0"`)
			if out := curl("-H", "Connection: keep-alive", "-w", " %{num_connects} ", url+"/", url+"/"); out != "GET "+s.addr+" 1 GET "+s.addr+" 0 " {
				t.Errorf("%q", out)
			}
			for range 2 {
				s.want(" be/a ", " 200 ", ` "GET / HTTP/1.0"`)
			}
		})
	}
}

var h2loadLine = regexp.MustCompile(`requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)

// TestH2Load: many streams at once on several connections, in clear and over TLS, with and without bodies, to servers of
// either protocol: each is answered with its own content.
func TestH2Load(t *testing.T) {
	const n, content = 4000, 3000
	ca := pki.New(t)
	file := filepath.Join(t.TempDir(), "body")
	write(t, file, strings.Repeat("x", content))
	var seen atomic.Int64
	answer := func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if b, err := io.ReadAll(r.Body); err != nil || r.Method == "POST" && len(b) != content {
			w.WriteHeader(http.StatusTeapot)
		}
		io.WriteString(w, strings.Repeat("y", content))
	}
	h2, _ := h2Server(t, "a", answer)
	for to, server := range map[string]proxy.Server{"HTTP/1.1": handler(t, "a", answer), "HTTP/2": h2} {
		for scheme, bind := range map[string]func(*proxy.Config){"http": func(*proxy.Config) {}, "https": h2OverTLS(ca)} {
			for method, args := range map[string][]string{"GET": nil, "POST": {"-d", file}} {
				t.Run(method+" by "+scheme+" to "+to, func(t *testing.T) {
					s := start(t, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) {
						bind(c)
						c.Frontends[0].Log = nil
						// Three hundred requests at once may take their time on a busy machine.
						c.Frontends[0].Timeouts.Client = 30 * time.Second
						c.Backends[0].Timeouts.Connect, c.Backends[0].Timeouts.Server = 30*time.Second, 30*time.Second
					})
					seen.Store(0)
					out := runClient(t, "h2load", append(args, "-n", fmt.Sprint(n), "-c", "6", "-m", "50", scheme+"://"+s.addr+"/")...)
					m := h2loadLine.FindStringSubmatch(out)
					if want := fmt.Sprintf("[%d %d 0 0 0]", n, n); m == nil || fmt.Sprint(m[1:]) != want {
						t.Errorf("total, succeeded, failed, errored, timeout are not %s: %s", want, out)
					}
					if !strings.Contains(out, fmt.Sprintf("status codes: %d 2xx,", n)) || !strings.Contains(out, fmt.Sprintf(" (%d) data", n*content)) {
						t.Errorf("want %d bytes by %d answers of 200: %s", n*content, n, out)
					}
					becomes(t, "statistics of all requests", func() bool {
						row, _ := s.e.Stats().Find("fe", "FRONTEND")
						return row.ReqTot == n && row.Hrsp2xx == n && row.ConnTot == 6
					})
					if seen.Load() != n {
						t.Errorf("the server saw %d requests", seen.Load())
					}
				})
			}
		}
	}
}
