package engine

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// figuresRule answers /figures with samples of the data plane.
func figuresRule(samples string) proxy.Rules {
	text := "%[" + strings.ReplaceAll(samples, " ", "],%[") + "]"
	return proxy.Rules{HTTPRequest: []proxy.Rule{{Words: proxy.Words("return status 200 content-type text/plain lf-string " + text + " if { path /figures }")}}}
}

// What rules see of loads and queues is what HAProxy's see.
func TestFiguresAreHAProxys(t *testing.T) {
	samples := "fe_conn be_conn(be) nbsrv(be) queue(be) avg_queue(be) connslots(be) be_conn_free(be) srv_conn(be/a) srv_conn_free(be/a) srv_queue(be/a) srv_is_up(be/a) srv_is_up(be/d)"
	limits := func(b *proxy.Backend) {
		for i := range b.Servers {
			b.Servers[i].MaxConn, b.Servers[i].MaxQueue = 1, 3
		}
		b.Servers[2].Backup, b.Servers[3].Disabled = true, true
		b.Timeouts.Queue = 10 * time.Second
	}
	for name, change := range map[string]func(*proxy.Backend){
		"unbounded": func(b *proxy.Backend) { b.Servers[3].Disabled = true },
		"bounded":   limits,
		"backups": func(b *proxy.Backend) {
			limits(b)
			b.Servers[0].Backup, b.Servers[1].Disabled = true, true
		},
		"all backups": func(b *proxy.Backend) {
			limits(b)
			b.Servers[0].Backup, b.Servers[1].Disabled, b.AllBackups = true, true, true
		},
		"none": func(b *proxy.Backend) {
			for i := range b.Servers {
				b.Servers[i].Disabled = true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pair{t: t, rules: figuresRule(samples)}
			p.begin([]int{1, 1, 1, 1}, change)
			p.compare(func(addr string) (got []string) {
				got = append(got, p.figures(addr, 0, 1))
				if name == "none" {
					return got
				}
				held := 2
				if name == "backups" {
					held = 1
				}
				for range held {
					p.hold(addr, "/hold")
				}
				got = append(got, p.figures(addr, 0, held+1))
				if name != "unbounded" && name != "backups" { // the only backup has a queue of its own there
					got = append(got, p.wait(addr, held+1))
				}
				p.letGo()
				return got
			})
		})
	}
}

// figures asks until the one at an index is n, or for five seconds: who asked before may still be a connection, and neither
// proxy tells when it is none any more.
func (p *pair) figures(addr string, at, n int) (all string) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		all = p.ask(addr, "/figures")
		if f := strings.Split(all, ","); at < len(f) && f[at] == fmt.Sprint(n) {
			return all
		}
	}
	p.t.Errorf("figure %d of %s is not %d", at, all, n)
	return all
}

// wait sends a request that has to queue, so that the backend has n, and returns the figures when it does. The asker is a
// connection of the frontend, too.
func (p *pair) wait(addr string, n int) string {
	p.holding.Go(func() {
		p.ask(addr, "/hold")
		p.answered <- struct{}{}
	})
	p.expected++
	p.figures(addr, 1, n)
	return p.figures(addr, 0, n+1)
}

// Rates are HAProxy's: what went by within the last second, whichever loop it came to.
func TestRatesAreHAProxys(t *testing.T) {
	p := &pair{t: t, rules: figuresRule("fe_sess_rate fe_req_rate be_sess_rate(be) srv_sess_rate(be/a)")}
	p.begin([]int{1}, func(*proxy.Backend) {})
	many := startLoops(t, 2, proxy.HTTP, p.reeve.e.cfg.Backends[0].Servers, func(c *proxy.Config) { c.Frontends[0].Rules = p.rules })
	p.addrs["two loops"] = many.addr
	for who, addr := range p.addrs {
		const n = 30
		for range n {
			p.ask(addr, "/")
		}
		rates := p.ask(addr, "/figures")
		for i, r := range strings.Split(rates, ",") {
			if rate, err := strconv.Atoi(r); err != nil || rate < n*2/3 || rate > n+1 {
				t.Errorf("%s: after %d requests the rates are %s (%d)", who, n, rates, i)
			}
		}
	}
}

// A figure of something that is not there is refused with its place, before it is applied as when it is.
func TestFiguresAreNamed(t *testing.T) {
	_, a := named(t, "a")
	var cfg proxy.Config
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) { cfg = *c })
	for text, want := range map[string]string{
		"deny if { be_sess_rate(bee) gt 1 }": "'be_sess_rate': there is no backend 'bee' (did you mean 'be'?)",
		"deny if { nbsrv lt 1 }":             "'nbsrv': there is no backend 'fe'",
		"deny if { srv_conn(be/b) gt 1 }":    "'srv_conn': there is no server 'be/b' (did you mean 'be/a'?)",
		"deny if { fe_req_rate(be) gt 1 }":   "'fe_req_rate': there is no frontend 'be'",
	} {
		next := cfg
		next.Frontends = []proxy.Frontend{cfg.Frontends[0]}
		next.Frontends[0].HTTPRequest = []proxy.Rule{{Words: proxy.Words(text)}}
		if got := fmt.Sprint(s.e.CanRun(next)); !strings.Contains(got, want) {
			t.Errorf("can run %s: %s", text, got)
		}
		if got := fmt.Sprint(s.e.Apply(next)); !strings.Contains(got, want) {
			t.Errorf("apply %s: %s", text, got)
		}
	}
}
