package engine

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/proxy"
)

// Limits of heads that a configuration sets are HAProxy's, in whatever pieces the bytes come.
func TestTunedLimits(t *testing.T) {
	for dir, global := range map[string]string{
		"tuned": " tune.bufsize 32768\n tune.maxrewrite 2048\n tune.http.maxhdr 201\n",
		"small": " tune.bufsize 16384\n tune.maxrewrite 8192\n tune.http.maxhdr 11\n",
	} {
		t.Run(dir, func(t *testing.T) {
			for name, cut := range variants {
				s := newStage(t, readExchangesIn(t, dir))
				s.global = global
				if s.reeve(t); name == "whole" {
					s.play(t, cut, false)
					other := newStage(t, readExchangesIn(t, dir))
					other.global = global
					other.haproxy(t)
					other.play(t, cut, true)
				} else {
					s.play(t, cut, false)
				}
			}
		})
	}
}

// Another limit waits for a start, which is said, and heads go on as they were.
func TestLimitsNeedAStart(t *testing.T) {
	_, a := named(t, "a")
	var cfg proxy.Config
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) { c.Global.BufSize, cfg = 32768, *c })
	next := cfg
	next.Global.BufSize = 16384
	if ps := s.e.Apply(next); !strings.Contains(fmt.Sprint(ps), "need a start: heads of up to 31744 bytes go on") {
		t.Error(ps)
	}
	if resp, _ := s.get("/", "X-Long", strings.Repeat("x", 30000)); resp.StatusCode != 200 {
		t.Errorf("a long head is answered %d", resp.StatusCode)
	}
}

// Long heads go by HTTP/2 as by HTTP/1, to servers and to clients, however many frames that takes.
func TestLongHeadsByHTTP2(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Long", r.Header.Get("X-Long")) }
	h2, _ := h2Server(t, "a", echo)
	for size, long := range map[int]int{32768: 30000, 65536: 63500} {
		for server, sv := range map[string]proxy.Server{"HTTP/1": handler(t, "a", echo), "HTTP/2": h2} {
			s := start(t, proxy.HTTP, []proxy.Server{sv}, func(c *proxy.Config) { c.Global.BufSize = size })
			plain := keepAliveClient()
			for name, client := range map[string]*http.Client{"HTTP/1": plain, "HTTP/2": h2Client(t)} {
				req, _ := http.NewRequest("GET", "http://"+s.addr+"/", nil)
				req.Header.Set("X-Long", strings.Repeat("x", long))
				resp, err := client.Do(req)
				if err != nil {
					t.Errorf("%s to %s, %d bytes: %v", name, server, long, err)
					continue
				}
				resp.Body.Close()
				if got := len(resp.Header.Get("X-Long")); resp.StatusCode != 200 || got != long {
					t.Errorf("%s to %s: answered %d with %d of %d bytes", name, server, resp.StatusCode, got, long)
				}
			}
			plain.CloseIdleConnections()
		}
	}
}
