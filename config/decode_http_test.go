package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// TestHTTPWords reads the words about connections, retries and pages, in both spellings.
func TestHTTPWords(t *testing.T) {
	const text = `defaults
 mode http
 retry-on all-retryable-errors
 errorfile 503 /etc/haproxy/errors/503.http
 option http-buffer-request
 option abortonclose
listen a
 bind *:80
 http-reuse aggressive
 retry-on empty-response 503 503
 errorloc 503 http://sorry/
 errorloc303 400 /bad
 no option abortonclose
 option http-pretend-keepalive
 timeout client 1s
 timeout connect 1s
 timeout server 1s
 server s 10.0.0.1:80 pool-max-conn 0 pool-purge-delay 1s max-reuse -1
`
	d, ps := parseText(t, "a.cfg", text)
	if ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	b, f := d.Proxy.Backends[0], d.Proxy.Frontends[0]
	s := b.Servers[0]
	switch {
	case b.HTTPReuse != proxy.ReuseAggressive, !slices.Equal(b.RetryOn, []string{"empty-response", "503"}), b.AbortOnClose, !b.PretendKeepAlive,
		!b.BufferRequest, !f.BufferRequest:
		t.Errorf("%+v", b)
	case *s.PoolMaxConn != 0, *s.PoolPurgeDelay != time.Second, *s.MaxReuse != -1:
		t.Errorf("%+v", s)
	}
	for _, files := range [][]proxy.ErrorFile{f.ErrorFiles, b.ErrorFiles} {
		if len(files) != 2 || files[0].Code != 503 || files[0].Location != "http://sorry/" || files[0].Status != 302 || files[0].File != "" ||
			files[1].Status != 303 {
			t.Errorf("%+v", files)
		}
	}
	again, ps := parseText(t, "a.hcl", string(WriteHCL(d)))
	if ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	wantEqual(t, again, d)
}

func TestHTTPMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"http-reuse sometimes":              `'sometimes' is no value for 'http-reuse'`,
		"retry-on 502 timeouts":             `'timeouts' is no cause for 'retry-on'`,
		"retry-on none 503":                 "'retry-on none' stands alone",
		"retry-on":                          "'retry-on' needs a cause",
		"errorfile 418 /x":                  `'418' is no status with a page`,
		"errorfile 503 /x /y":               "surplus word",
		"errorloc 503 \"a b\"":              "is no URL",
		"server s 10.0.0.1:80 max-reuse -2": "max-reuse",
	} {
		_, ps := parseText(t, "a.cfg", "backend b\n mode http\n "+text+"\n")
		if err := ps.Err(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "a.cfg:3:") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
