package engine

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/rule"
)

// rulesOf makes rules of lines; a ~ stands for a blank within a word.
func rulesOf(lines ...string) []proxy.Rule {
	var out []proxy.Rule
	for _, l := range lines {
		texts := strings.Fields(l)
		for i := range texts {
			texts[i] = strings.ReplaceAll(texts[i], "~", " ")
		}
		out = append(out, proxy.Rule{Words: proxy.Line(source.Pos{}, texts...)})
	}
	return out
}

// telling answers what it was asked, in a fixed order.
func telling(t *testing.T, name string) proxy.Server {
	return handler(t, name, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-From", name)
		fmt.Fprintf(w, "%s %s %s", name, r.Method, r.RequestURI)
		for _, h := range []string{"X-A", "X-B", "X-C", "X-Forwarded-For"} {
			if vs := r.Header.Values(h); vs != nil {
				fmt.Fprintf(w, " %s=%q", h, vs)
			}
		}
	})
}

// TestRequestRules: what a server sees of a request that rules have changed, and what a client gets in its place.
func TestRequestRules(t *testing.T) {
	s := start(t, proxy.HTTP, []proxy.Server{telling(t, "a")}, func(c *proxy.Config) {
		f := &c.Frontends[0]
		f.ForwardFor = &proxy.ForwardFor{IfNone: true}
		f.Monitor = proxy.Monitor{URI: "/alive"}
		f.HTTPRequest = rulesOf("deny if { path_beg /denied }", "deny deny_status 429 if { path /many }",
			"return status 418 content-type text/plain string I~am~a~pot hdr X-Pot yes if { path /pot }",
			"redirect prefix https://x.org code 301 if { path_beg /r/ }", "redirect scheme https drop-query append-slash if { path /s }",
			"reject if { path /rejected }", "set-header X-A %[path],%[src] if { path_beg /h }", "add-header X-B two if { path_beg /h }",
			"del-header X-C if { path_beg /h }", "replace-header X-B (o)ne \\1-1 if { path_beg /h }", "set-header X-Forwarded-For me if { path /h/xff }",
			"set-path /new%[path] if { path_beg /old }", "set-query a=b if { path_end /q }", "set-method PUT if { path /put }",
			"replace-path ^/v1/(.*) /v2/\\1", "set-var(txn.x) path,upper", "set-header X-C %[var(txn.x)] if { path /var }")
	})
	for _, c := range []struct{ path, status, body string }{
		{"/plain", "200", `a GET /plain X-B=["one"] X-C=["gone"] X-Forwarded-For=["127.0.0.1"]`}, {"/denied/x", "403", "<html>"}, {"/many", "429", "<html>"}, {"/pot", "418", "I am a pot"},
		{"/r/a?b=1", "301", ""}, {"/s?y=1", "302", ""}, {"/h", "200", `a GET /h X-A=["/h,127.0.0.1"] X-B=["o-1" "two"] X-Forwarded-For=["127.0.0.1"]`},
		{"/h/xff", "200", `a GET /h/xff X-A=["/h/xff,127.0.0.1"] X-B=["o-1" "two"] X-Forwarded-For=["me"]`}, {"/old?q", "200", "a GET /new/old?q "},
		{"/x/q?z", "200", "a GET /x/q?a=b "}, {"/put", "200", "a PUT /put "}, {"/v1/a/b", "200", "a GET /v2/a/b "}, {"/var", "200", `X-C=["/VAR"]`}, {"/alive", "200", "<html>"},
	} {
		answer := s.raw("GET " + c.path + " HTTP/1.1\r\nHost: h\r\nX-B: one\r\nX-C: gone\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 "+c.status+" ") || !strings.Contains(answer, c.body) && c.path != "/var" || c.path == "/h" && strings.Contains(answer, "X-C") {
			t.Errorf("%s: %q", c.path, answer)
		}
		if c.path == "/var" && !strings.Contains(answer, c.body) {
			t.Errorf("%s: %q", c.path, answer)
		}
		for path, location := range map[string]string{"/r/a?b=1": "location: https://x.org/r/a?b=1\r\n", "/s?y=1": "location: https://h/s/\r\ncache-control: no-cache\r\n"} {
			if c.path == path && !strings.Contains(answer, location) {
				t.Errorf("%s: %q lacks %q", path, answer, location)
			}
		}
		if c.path != "/alive" { // a monitor's question is not logged
			flags := map[string]string{"403": "PR--", "429": "PR--", "418": "LR--", "301": "LR--", "302": "LR--", "200": "----"}[c.status]
			s.want(" "+c.status+" ", flags)
		}
	}
	if answer := s.raw("GET /rejected HTTP/1.1\r\nHost: h\r\n\r\n"); answer != "" {
		t.Errorf("a rejected request is answered: %q", answer)
	}
	s.want(" -1 0 ", "PR--")
}

// TestAnswerRules: rules change a server's answer, and those after them also the proxy's own.
func TestAnswerRules(t *testing.T) {
	s := start(t, proxy.HTTP, []proxy.Server{telling(t, "a")}, func(c *proxy.Config) {
		f := &c.Frontends[0]
		f.HTTPRequest = rulesOf("deny if { path /denied }", "set-var(txn.p) path")
		f.HTTPResponse = rulesOf("set-status 299 reason odd if { var(txn.p) -m str /odd }", "set-header X-Seen %[res.hdr(x-from)]", "deny if { var(txn.p) -m str /no }")
		f.HTTPAfterResponse = rulesOf("set-header Strict-Transport-Security max-age=1")
		c.Backends[0].HTTPResponse = rulesOf("del-header X-From if { var(txn.p) -m str /del }")
	})
	for path, want := range map[string][]string{"/odd": {"HTTP/1.1 299 odd\r\n", "x-seen: a\r\n", "X-From: a"}, "/del": {"HTTP/1.1 200 OK\r\n", "x-seen: \r\n"},
		"/no": {"HTTP/1.1 502 "}, "/denied": {"HTTP/1.1 403 "}} {
		answer := s.raw("GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		for _, w := range append(want, "strict-transport-security: max-age=1\r\n") {
			if !strings.Contains(answer, w) {
				t.Errorf("%s: %q lacks %q", path, answer, w)
			}
		}
		if path == "/del" && strings.Contains(answer, "X-From") {
			t.Errorf("%s: %q", path, answer)
		}
	}
}

// TestTarpit: the client waits, then it is told off.
func TestTarpit(t *testing.T) {
	s := start(t, proxy.HTTP, nil, func(c *proxy.Config) {
		c.Frontends[0].Timeouts.Tarpit = 200 * time.Millisecond
		c.Frontends[0].HTTPRequest = rulesOf("tarpit if { path /t }")
	})
	begin := time.Now()
	answer := s.raw("GET /t HTTP/1.1\r\nHost: h\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 500 ") || time.Since(begin) < 190*time.Millisecond {
		t.Errorf("%q after %v", answer, time.Since(begin))
	}
	s.want(" 500 ", "PT--")
}

// TestRoutes: backends by names made of samples and by maps that change while they are used, and servers by rules.
func TestRoutes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts.map")
	if err := os.WriteFile(file, []byte("# hosts\none.example one\ntwo.example two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, proxy.HTTP, []proxy.Server{telling(t, "a"), telling(t, "b")}, func(c *proxy.Config) {
		for _, name := range []string{"one", "two"} {
			c.Backends = append(c.Backends, proxy.Backend{Name: name, Common: common(proxy.HTTP, nil), Balance: proxy.RoundRobin, Servers: []proxy.Server{telling(t, name)}})
		}
		c.Frontends[0].UseBackend = []proxy.UseBackend{{Backend: "%[path,field(2,/)]", Cond: proxy.Words("if { path_beg /one /none }")},
			{Backend: "%[hdr(host),lower,map_str(" + file + ")]"}}
		c.Backends[0].UseServer = []proxy.UseServer{{Server: "b", Cond: proxy.Words("if { path_end /b }")}}
	})
	ask := func(host, path, want string) {
		t.Helper()
		if answer := s.raw("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); !strings.Contains(answer, "\r\n\r\n"+want+" ") {
			t.Errorf("%s%s: %q, want %s", host, path, answer, want)
		}
	}
	ask("x", "/one/a", "one")
	ask("TWO.example", "/none/a", "two")
	ask("x", "/none/b", "b")
	ask("x", "/b", "b")
	if err := s.e.Maps().Set(file, "two.example", "one"); err != nil {
		t.Fatal(err)
	}
	ask("two.example", "/", "one")
	if err := s.e.Maps().Swap(file, []rule.Entry{{Key: "three.example", Value: "two"}}); err != nil {
		t.Fatal(err)
	}
	ask("three.example", "/", "two")
}

// TestSNIWithoutTermination: TLS connections reach the server whose name they ask for, untouched; others are turned away.
func TestSNIWithoutTermination(t *testing.T) {
	hello := func(name string) proxy.Server {
		return rawServer(t, name, func(c net.Conn, r *bufio.Reader) {
			b, _ := r.Peek(5)
			fmt.Fprintf(c, "%s saw %x", name, b)
		})
	}
	s := start(t, proxy.TCP, []proxy.Server{hello("other")}, func(c *proxy.Config) {
		c.Backends = append(c.Backends, proxy.Backend{Name: "a", Common: common(proxy.TCP, nil), Balance: proxy.RoundRobin, Servers: []proxy.Server{hello("a")}})
		f := &c.Frontends[0]
		f.TCPRequest = rulesOf("inspect-delay 2s", "content accept if { req.ssl_hello_type 1 }", "content reject")
		f.UseBackend = []proxy.UseBackend{{Backend: "a", Cond: proxy.Words("if { req.ssl_sni -i A.example }")}}
	})
	for name, want := range map[string]string{"a.example": "a saw 160301", "b.example": "other saw 160301"} {
		client, record := net.Pipe()
		go tls.Client(client, &tls.Config{ServerName: name}).Handshake()
		b := make([]byte, 4096)
		n, _ := record.Read(b)
		client.Close()
		c := s.dial()
		c.Write(b[:7])
		time.Sleep(20 * time.Millisecond) // the record comes in two pieces
		c.Write(b[7:n])
		answer := make([]byte, 64)
		n, _ = io.ReadFull(c, answer[:len(want)])
		if string(answer[:n]) != want {
			t.Errorf("%s: %q, want %q", name, answer[:n], want)
		}
		c.Close()
	}
	if answer := s.raw("GET / HTTP/1.1\r\n\r\n"); answer != "" {
		t.Errorf("what is no TLS is let through: %q", answer)
	}
}
