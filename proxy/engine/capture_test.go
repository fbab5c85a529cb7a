package engine

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/proxy"
)

func captureText(c proxy.Capture) string {
	form := map[proxy.CaptureOf]string{proxy.CaptureRequest: "capture request header %s len %d", proxy.CaptureResponse: "capture response header %s len %d",
		proxy.CaptureCookie: "capture cookie %s len %d", proxy.DeclareRequest: "declare capture request%s len %d", proxy.DeclareResponse: "declare capture response%s len %d"}[c.Of]
	return fmt.Sprintf(form, c.Name, c.Len)
}

// What is captured is in the log line where HAProxy has it, and as HAProxy writes it.
func TestCapturesAreLogged(t *testing.T) {
	server := func(t *testing.T, _ *notes) []proxy.Server {
		return []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Date"] = nil
			w.Header().Set("X-B", "1|2{3}")
			w.Header().Add("Set-Cookie", "OTHER=1")
			w.Header().Add("Set-Cookie", "SESSION=abcdefghij; path=/")
			io.WriteString(w, "ok")
		})}
	}
	scenario{name: "captures", servers: server, lines: 5, change: func(c *proxy.Config) {
		f := &c.Frontends[0]
		f.Captures = []proxy.Capture{{Of: proxy.CaptureRequest, Name: "X-A", Len: 6}, {Of: proxy.DeclareRequest, Len: 3}, {Of: proxy.CaptureRequest, Name: "Host", Len: 20},
			{Of: proxy.CaptureResponse, Name: "X-B", Len: 20}, {Of: proxy.DeclareResponse, Len: 2}, {Of: proxy.CaptureCookie, Name: "SESS", Len: 12}}
		f.HTTPRequest = []proxy.Rule{{Words: proxy.Words("capture req.hdr(x-c) id 1")}, {Words: proxy.Words("capture path,length len 2")},
			{Words: proxy.Words("deny if { path /denied }")}}
		f.HTTPResponse = []proxy.Rule{{Words: proxy.Words("capture status id 1")}}
	}, conns: []exchange{
		get("X-A: first", "X-A: second one", "X-C: 12345", "Cookie: x=1; SESSION=theclient; SESSION=another"),
		get("X-A: a|b{c}\"#", "Cookie: SES=1"),
		{send: []string{request("GET /denied", "X-A: denied")}, answers: 1},
		{send: []string{"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n"}, answers: 1},
		get(),
	}}.run(t)
}

// No capture leaves anything behind for the next request of a connection.
func TestCapturesAreForgotten(t *testing.T) {
	_, a := named(t, "a")
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		c.Frontends[0].Captures = []proxy.Capture{{Of: proxy.CaptureRequest, Name: "X-A", Len: 6}}
	})
	s.get("/", "X-A", strings.Repeat("x", 10))
	s.want(" {xxxxxx} \"GET / ")
	s.get("/")
	s.want(" {} \"GET / ")
}
