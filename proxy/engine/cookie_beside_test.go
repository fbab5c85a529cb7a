package engine

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// cookieText spells a backend's cookie for the real HAProxy.
func cookieText(c *proxy.Cookie) string {
	text := c.Name + []string{" insert", " rewrite", " prefix", ""}[c.Mode]
	for _, w := range []struct {
		name string
		on   bool
	}{{"indirect", c.Indirect}, {"nocache", c.NoCache}, {"postonly", c.PostOnly}, {"preserve", c.Preserve}, {"httponly", c.HTTPOnly}, {"secure", c.Secure}} {
		if w.on {
			text += " " + w.name
		}
	}
	for _, d := range c.Domains {
		text += " domain " + d
	}
	for _, a := range c.Attrs {
		text += " attr " + a
	}
	if c.MaxIdle > 0 {
		text += fmt.Sprintf(" maxidle %ds", int(c.MaxIdle.Seconds()))
	}
	if c.MaxLife > 0 {
		text += fmt.Sprintf(" maxlife %ds", int(c.MaxLife.Seconds()))
	}
	return text
}

var dates = regexp.MustCompile(`\|[A-Za-z0-9+/]{5}`)

// What servers see of cookies and what clients are given, in every mode, is what HAProxy makes of it.
func TestCookiesAreHAProxys(t *testing.T) {
	at := func(ago time.Duration) string {
		w := writer{b: &buffer{b: make([]byte, 6)}}
		w.date(time.Now().Add(-ago).Unix())
		return string(w.b.data())
	}
	// A date of this very second is none to renew yet, and the next second may begin between the two answers.
	fresh, hour, year := at(10*time.Second), at(time.Hour), at(365*24*time.Hour)
	sent := []string{"", "S=a", "S=b", "S=c", "x=1; S=b; y=2", "S=b~own", "x=1; S=a~; y=2", "S=nobody~own", "S=~", "S=a" + fresh, "S=a" + hour, "S=b" + hour + hour,
		"S=b" + fresh + year, "S=b" + at(-48*time.Hour), "S=a|sh", "S=a|!!!!!", "S=b" + fresh + "|x"}
	for name, c := range map[string]*proxy.Cookie{
		"insert":            {},
		"indirect nocache":  {Indirect: true, NoCache: true},
		"postonly":          {PostOnly: true},
		"preserve":          {Preserve: true},
		"attributes":        {HTTPOnly: true, Secure: true, Domains: []string{".a.org", ".b.org"}, Attrs: []string{"SameSite=Strict"}},
		"maxidle":           {MaxIdle: 30 * time.Minute},
		"maxlife":           {MaxLife: 24 * time.Hour, Indirect: true},
		"both":              {MaxLife: 24 * time.Hour, MaxIdle: 30 * time.Minute},
		"rewrite":           {Mode: proxy.CookieRewrite},
		"prefix":            {Mode: proxy.CookiePrefix},
		"passive":           {Mode: proxy.CookiePassive},
		"preserve indirect": {Indirect: true, Preserve: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pair{t: t}
			var servers []proxy.Server
			for _, n := range []string{"a", "b", "c"} {
				s := handler(t, n, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/set" {
						w.Header().Add("Set-Cookie", "S=abc; path=/app")
						w.Header().Add("Set-Cookie", "other=1")
						w.Header().Set("ETag", `"1"`)
					}
					fmt.Fprintf(w, "%s sees %q", n, r.Header["Cookie"])
				})
				if n != "c" { // c has no value and gets nobody new
					s.Cookie = n
				} else {
					s.Weight = 0
				}
				servers = append(servers, s)
			}
			c.Name = "S"
			p.start(servers, func(b *proxy.Backend) {
				b.Cookie = c
				b.Balance = proxy.First
			})
			p.compare(func(addr string) (got []string) {
				for _, line := range []string{"GET /", "GET /set", "POST /set"} {
					for _, cookie := range sent {
						got = append(got, fmt.Sprintf("\n%s %s: %s", line, cookie, p.cookies(addr, line, cookie)))
					}
				}
				return got
			})
		})
	}
}

// cookies is what a server saw of a request's cookies and what the answer says of some, dates made out.
func (p *pair) cookies(addr, line, cookie string) string {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	headers := []string{"Connection: close"}
	if cookie != "" {
		headers = append(headers, "Cookie: "+cookie)
	}
	if strings.HasPrefix(line, "POST") {
		headers = append(headers, "Content-Length: 0")
	}
	io.WriteString(c, request(line, headers...))
	all, err := io.ReadAll(c)
	if err != nil {
		p.t.Errorf("%s with %q: %v after %q", line, cookie, err, all)
	}
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	out := body
	for h := range strings.SplitSeq(head, "\r\n") {
		name, value, _ := strings.Cut(h, ":")
		if strings.EqualFold(name, "set-cookie") || strings.EqualFold(name, "cache-control") {
			out += ", " + strings.ToLower(name) + ": " + dates.ReplaceAllString(strings.TrimSpace(value), "|date")
		}
	}
	return out
}
