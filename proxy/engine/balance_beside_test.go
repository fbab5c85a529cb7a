package engine

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// Which server is chosen, by every algorithm, compared with the real HAProxy's choice for the same requests.

// balanceText spells what a backend says about balancing for the real one.
func balanceText(k proxy.Backend) string {
	var b strings.Builder
	a := k.BalanceArgs
	name := k.Balance.String()
	switch k.Balance {
	case proxy.Hdr:
		name += "(" + a.Name + ")"
		if a.DomainOnly {
			name += " use_domain_only"
		}
	case proxy.URLParam:
		name += " " + a.Name
	case proxy.RDPCookie:
		name += "(" + a.Name + ")"
	case proxy.HashOf:
		name += " " + a.Sample.Text
	case proxy.URI:
		for _, w := range []struct {
			text string
			n    int
		}{{"len", a.Len}, {"depth", a.Depth}} {
			if w.n > 0 {
				name += fmt.Sprintf(" %s %d", w.text, w.n)
			}
		}
		name += map[bool]string{true: " whole"}[a.Whole] + map[bool]string{true: " path-only"}[a.PathOnly]
	}
	fmt.Fprintf(&b, " balance %s\n", name)
	if h := k.HashType; k.Balance.Hashes() {
		fmt.Fprintf(&b, " hash-type %s %s%s\n", []string{"map-based", "consistent"}[h.Method], []string{"sdbm", "djb2", "wt6", "crc32", "none"}[h.Function],
			map[bool]string{true: " avalanche"}[h.Avalanche])
	}
	if k.PersistRDP != "" {
		fmt.Fprintf(&b, " persist rdp-cookie(%s)\n", k.PersistRDP)
	}
	if k.HashFactor > 0 {
		fmt.Fprintf(&b, " hash-balance-factor %d\n", k.HashFactor)
	}
	if k.FullConn > 0 {
		fmt.Fprintf(&b, " fullconn %d\n", k.FullConn)
	}
	for name, on := range map[string]bool{"allbackups": k.AllBackups, "persist": k.Persist, "prefer-last-server": k.PreferLast} {
		if on {
			fmt.Fprintf(&b, " option %s\n", name)
		}
	}
	return b.String()
}

func serverText(s proxy.Server) (line string) {
	for _, w := range []struct {
		name string
		n    int
	}{{"id", s.ID}, {"minconn", s.MinConn}, {"maxqueue", s.MaxQueue}} {
		if w.n > 0 {
			line += fmt.Sprintf(" %s %d", w.name, w.n)
		}
	}
	if s.Disabled {
		line += " disabled"
	}
	return line
}

// pair is Reeve and HAProxy with one configuration before the same servers.
type pair struct {
	t        *testing.T
	mode     proxy.Mode  // 0: HTTP
	rules    proxy.Rules // of the frontend
	addrs    map[string]string
	csv      map[string]func() string // the statistics, by address
	reeve    *site
	arrived  chan string
	release  chan struct{}
	answered chan struct{}
	holding  sync.WaitGroup
	expected int
}

// newPair starts both. The servers a, b, ... have these weights and answer their name; at /hold only once they are let go.
func newPair(t *testing.T, weights []int, change func(*proxy.Backend)) *pair {
	t.Helper()
	p := &pair{t: t}
	p.begin(weights, change)
	return p
}

func (p *pair) begin(weights []int, change func(*proxy.Backend)) {
	t := p.t
	t.Helper()
	p.arrived, p.release, p.answered = make(chan string, 100), make(chan struct{}), make(chan struct{}, 100)
	var servers []proxy.Server
	for i, w := range weights {
		name := string(rune('a' + i))
		s := handler(t, name, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				p.arrived <- name
				<-p.release
			}
			io.WriteString(w, name)
		})
		s.Weight = w
		servers = append(servers, s)
	}
	p.start(servers, change)
}

// start runs both before these servers.
func (p *pair) start(servers []proxy.Server, change func(*proxy.Backend)) {
	t := p.t
	t.Helper()
	var cfg proxy.Config
	p.reeve = startLoops(t, 1, cmp.Or(p.mode, proxy.HTTP), servers, func(c *proxy.Config) {
		change(&c.Backends[0])
		c.Frontends[0].Rules = p.rules
		cfg = *c
	})
	other := cfg
	other.Frontends, other.Backends = slices.Clone(cfg.Frontends), slices.Clone(cfg.Backends)
	other.Frontends[0].Binds = []proxy.Bind{{Addr: ports.Free(t, "127.0.0.1")}}
	other.Frontends[0].Log, other.Backends[0].Log = nil, nil
	ha := realHAProxy(t, other)
	p.addrs = map[string]string{"HAProxy": ha.addr, "Reeve": p.reeve.addr}
	p.csv = map[string]func() string{ha.addr: ha.csv, p.reeve.addr: p.reeve.csv}
}

// ask sends one request on a connection of its own and returns the name of the server that answered, or the status.
func (p *pair) ask(addr, target string, headers ...string) string {
	p.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, request("GET "+target, append(headers, "Connection: close")...))
	all, err := io.ReadAll(c)
	if err != nil {
		p.t.Error(err)
	}
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if !strings.Contains(head, " 200 ") {
		head, _, _ = strings.Cut(head, "\r\n")
		return head
	}
	return body
}

// hold opens a request that stays with its server until all are let go, and returns the server's name.
func (p *pair) hold(addr, target string, headers ...string) string {
	p.holding.Go(func() {
		p.ask(addr, target, headers...)
		p.answered <- struct{}{}
	})
	select {
	case name := <-p.arrived:
		p.expected++
		return name
	case <-time.After(5 * time.Second):
		p.t.Fatal("no server is asked")
		return ""
	}
}

// letGo ends what is held, one after the other in the order in which it began.
func (p *pair) letGo() {
	for range p.expected {
		p.release <- struct{}{}
		<-p.answered
	}
	p.expected = 0
	p.holding.Wait()
	for len(p.arrived) > 0 { // those that had to queue
		<-p.arrived
	}
}

// compare runs the script of one party after the other.
func (p *pair) compare(script func(addr string) []string) {
	p.t.Helper()
	want := script(p.addrs["HAProxy"])
	got := script(p.addrs["Reeve"])
	if !slices.Equal(want, got) {
		p.t.Errorf("HAProxy chose\n%v\nReeve\n%v", want, got)
	}
}

func TestChoiceIsHAProxys(t *testing.T) {
	paths := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("/d%d/e%d/f?user=%d&x=%d", i%7, i%5, i*7919, i))
		}
		return out
	}
	type choice struct {
		name    string
		weights []int
		change  func(*proxy.Backend)
		targets []string
		headers func(i int) []string
	}
	none := func(int) []string { return nil }
	plain := slices.Repeat([]string{"/"}, 40)
	cases := []choice{
		{"static-rr", []int{5, 3, 2}, func(b *proxy.Backend) { b.Balance = proxy.StaticRR }, plain, none},
		{"leastconn idle", []int{1, 1, 1}, func(b *proxy.Backend) { b.Balance = proxy.LeastConn }, plain, none},
		{"leastconn idle weighted", []int{3, 1}, func(b *proxy.Backend) { b.Balance = proxy.LeastConn }, plain, none},
		{"first", []int{1, 1}, func(b *proxy.Backend) {
			b.Balance = proxy.First
			b.Servers[0].ID, b.Servers[1].ID = 7, 3
		}, plain[:4], none},
		{"first backup", []int{1, 1, 1}, func(b *proxy.Backend) {
			b.Servers[0].Disabled, b.Servers[1].Backup, b.Servers[2].Backup = true, true, true
		}, plain[:6], none},
		{"all backups", []int{1, 1, 1}, func(b *proxy.Backend) {
			b.Servers[0].Disabled, b.Servers[1].Backup, b.Servers[2].Backup, b.AllBackups = true, true, true, true
		}, plain[:6], none},
		{"uri depth", []int{1, 2, 1}, func(b *proxy.Backend) { b.Balance, b.BalanceArgs.Depth = proxy.URI, 1 }, paths(40), none},
		{"uri len", []int{1, 2, 1}, func(b *proxy.Backend) { b.Balance, b.BalanceArgs.Len = proxy.URI, 5 }, paths(40), none},
		{"uri whole path-only", []int{1, 2, 1}, func(b *proxy.Backend) {
			b.Balance, b.BalanceArgs = proxy.URI, proxy.BalanceArgs{Whole: true, PathOnly: true}
		}, append(paths(40), "http://x/abs/olute?a=1"), none},
		{"url_param absent", []int{2, 1}, func(b *proxy.Backend) { b.Balance, b.BalanceArgs.Name = proxy.URLParam, "none" }, paths(12), none},
		{"hdr", []int{1, 1, 1}, func(b *proxy.Backend) { b.Balance, b.BalanceArgs.Name = proxy.Hdr, "X-Key" }, plain,
			func(i int) []string {
				return [][]string{{fmt.Sprintf("X-Key: v%d, other", i)}, {}, {"x-key:"}, {fmt.Sprintf("X-KEY:  %d ", i)}}[i%4]
			}},
		{"hdr domain", []int{1, 1, 1, 1}, func(b *proxy.Backend) {
			b.Balance, b.BalanceArgs = proxy.Hdr, proxy.BalanceArgs{Name: "X-Host", DomainOnly: true}
		}, plain, func(i int) []string {
			return []string{"X-Host: " + fmt.Sprintf([]string{"www.site%d.org", "site%d.org", "site%d", "a.b.site%d.co.uk", "site%d."}[i%5], i)}
		}},
	}
	for _, sample := range []string{"req.hdr(x-key)", "req.hdr(x-key),lower,crc32", "src", "src,ipmask(8),hex", "path", "path,field(2,/)", "method", "int(7)",
		"req.cook(none)", "url_param(user)", "query,length", "rand(1)"} {
		cases = append(cases, choice{"hash " + sample, []int{1, 2, 3, 1}, func(b *proxy.Backend) {
			b.Balance, b.BalanceArgs.Sample.Text = proxy.HashOf, sample
			b.HashType = proxy.HashType{Method: proxy.Consistent, Function: proxy.WT6}
		}, paths(24), func(i int) []string { return []string{fmt.Sprint("X-Key: Value", i)}[:min(i%4, 1)] }})
	}
	for f := proxy.SDBM; f <= proxy.CRC32; f++ {
		for _, m := range []proxy.HashMethod{proxy.MapBased, proxy.Consistent} {
			for _, avalanche := range []bool{false, true} {
				cases = append(cases, choice{fmt.Sprintf("function %d method %d %v", f, m, avalanche), []int{1, 2, 3, 1}, func(b *proxy.Backend) {
					b.Balance, b.BalanceArgs.Name = proxy.URLParam, "user"
					b.HashType = proxy.HashType{Method: m, Function: f, Avalanche: avalanche}
					b.Servers[2].ID = 40
				}, paths(60), none})
			}
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			newPair(t, c.weights, c.change).compareTargets(c.targets, c.headers)
		})
	}
}

func (p *pair) compareTargets(targets []string, headers func(int) []string) {
	p.t.Helper()
	p.compare(func(addr string) (got []string) {
		for i, target := range targets {
			got = append(got, p.ask(addr, target, headers(i)...))
		}
		return got
	})
}

// Requests that stay make loads, and those decide.
func TestChoiceByLoadIsHAProxys(t *testing.T) {
	for _, c := range []struct {
		name    string
		weights []int
		change  func(*proxy.Backend)
	}{
		{"leastconn", []int{1, 1, 1}, func(b *proxy.Backend) { b.Balance = proxy.LeastConn }},
		{"leastconn weighted", []int{2, 1, 4}, func(b *proxy.Backend) { b.Balance = proxy.LeastConn }},
		{"first", []int{1, 1, 1}, func(b *proxy.Backend) {
			b.Balance = proxy.First
			b.Servers[0].MaxConn, b.Servers[1].MaxConn, b.Servers[2].MaxConn = 2, 3, 20
		}},
		{"bounded", []int{1, 2, 1}, func(b *proxy.Backend) {
			b.Balance, b.HashType, b.HashFactor = proxy.URI, proxy.HashType{Method: proxy.Consistent, Avalanche: true}, 125
		}},
		{"minconn", []int{1, 1}, func(b *proxy.Backend) {
			b.Balance, b.FullConn = proxy.First, 8
			b.Servers[0].MinConn, b.Servers[0].MaxConn = 1, 4
			b.Servers[1].MaxConn = 20
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t, c.weights, c.change)
			p.compare(func(addr string) (got []string) {
				for i := range 12 {
					got = append(got, p.hold(addr, "/hold"))
					if i%3 == 0 {
						got = append(got, "/"+p.ask(addr, "/"))
					}
				}
				p.letGo()
				for range 5 {
					got = append(got, p.ask(addr, "/"))
				}
				return got
			})
		})
	}
}

// queue asks for a path while the only server is busy, and waits until n requests are in the queue.
func (p *pair) queue(addr, target string, n int) {
	p.holding.Go(func() { p.ask(addr, target) })
	waiting := fmt.Sprint(n)
	for end := time.Now().Add(5 * time.Second); column(p.csv[addr](), "BACKEND", "qcur") != waiting; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s does not queue: %q wait, want %s", target, column(p.csv[addr](), "BACKEND", "qcur"), waiting)
		}
	}
}

// Who waits for a server is served by the class that a rule gave it, then in the order of arrival that an offset moves.
func TestPriorityIsHAProxys(t *testing.T) {
	rule := func(line string) proxy.Rule { return proxy.Rule{Words: proxy.Words(line)} }
	p := &pair{t: t, arrived: make(chan string, 1), release: make(chan struct{}), answered: make(chan struct{}, 1)}
	p.rules.HTTPRequest = []proxy.Rule{
		rule("set-priority-class int(-5) if { path /first }"), rule("set-priority-class int(7) if { path /last }"),
		rule("set-priority-offset int(-60000) if { path /early }"), rule("set-priority-offset url_param(by) if { path /late }"),
	}
	targets, served := []string{"/last", "/late?by=60000", "/plain", "/early", "/first"}, make(chan string, 10)
	server := handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			p.arrived <- "a"
			<-p.release
			return
		}
		served <- r.URL.String()
	})
	server.MaxConn = 1
	p.start([]proxy.Server{server}, func(b *proxy.Backend) { b.Timeouts.Queue = 10 * time.Second })
	p.compare(func(addr string) (order []string) {
		p.hold(addr, "/hold")
		for i, target := range targets {
			p.queue(addr, target, i+1)
		}
		p.letGo()
		for range targets {
			order = append(order, <-served)
		}
		if want := []string{"/first", "/early", "/plain", "/late?by=60000", "/last"}; !slices.Equal(order, want) {
			t.Errorf("served in the order %v, want %v", order, want)
		}
		return order
	})
}
