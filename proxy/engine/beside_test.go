package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stats"
)

// The real HAProxy beside Reeve: both get one configuration, the same servers and the same bytes on the same kind of
// connections, and what a client, an operator's log and the servers notice is compared field by field.

// scenario is one configuration and what is asked of it.
type scenario struct {
	name    string
	change  func(*proxy.Config)
	servers func(t *testing.T, seen *notes) []proxy.Server
	down    []string // servers that checks have found dead: their address must refuse
	conns   []exchange
	lines   int // log lines to compare
	// parallel asks on all connections at once, each begun a little after the one before.
	parallel bool
	// differs names what deliberately is not as HAProxy has it, by the start of the observation's line, with the reason.
	differs map[string]string
}

// exchange is one client connection: what it sends, piece by piece, and how many answers it awaits before it looks
// whether the connection stays open.
type exchange struct {
	send    []string
	pause   time.Duration // between the pieces
	head    bool          // the requests are HEAD
	answers int           // 0: reads until the connection ends
	leave   bool          // closes after sending
}

func get(lines ...string) exchange {
	return exchange{send: []string{request("GET /", lines...)}, answers: 1}
}

func request(line string, headers ...string) string {
	text := line + " HTTP/1.1\r\nHost: x\r\n"
	for _, h := range headers {
		text += h + "\r\n"
	}
	return text + "\r\n"
}

// notes is what servers saw.
type notes struct {
	mu  sync.Mutex
	all []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, fmt.Sprintf(format, args...))
}

func (n *notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.all
	n.all = nil
	return all
}

// party is one of the two under test.
type party struct {
	addr string
	logs *logSink
	csv  func() string // the statistics as CSV
}

// rulesText spells the rules of a proxy. Their words have no blanks in these scenarios.
func rulesText(p func(string, ...any), r *proxy.Rules) {
	for _, a := range r.ACLs {
		p(" acl %s", a)
	}
	for _, l := range []struct {
		word  string
		rules []proxy.Rule
	}{{"tcp-request", r.TCPRequest}, {"tcp-response", r.TCPResponse}, {"http-request", r.HTTPRequest}, {"redirect", r.Redirect},
		{"http-response", r.HTTPResponse}, {"http-after-response", r.HTTPAfterResponse}} {
		for _, line := range l.rules {
			p(" %s %s", l.word, line)
		}
	}
}

// haproxyText spells a configuration for the real one. It knows the words that the scenarios use.
func haproxyText(c proxy.Config, stats string) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("global\n nbthread 1\n maxconn 1000\n stats socket %s mode 600", stats)
	common := func(c proxy.Common, front bool) {
		p(" mode %s", c.Mode)
		for _, l := range c.Log {
			p(" log %s %s", l.Address, l.Facility)
		}
		if front && c.LogFormat == proxy.LogHTTP {
			p(" option httplog")
		}
		switch c.ConnMode {
		case proxy.Close:
			p(" option httpclose")
		case proxy.ServerClose:
			p(" option http-server-close")
		}
		if f := c.ForwardFor; f != nil {
			text := " option forwardfor"
			if f.Except.IsValid() {
				text += " except " + f.Except.String()
			}
			if f.IfNone {
				text += " if-none"
			}
			p("%s", text)
		}
		if s := c.Stats; s != nil {
			p(" stats uri %s", s.URI)
			for _, a := range s.Auth {
				p(" stats auth %s:%s", a.User, a.Password)
			}
		}
		for _, t := range []struct {
			name  string
			d     time.Duration
			front bool
		}{{"connect", c.Timeouts.Connect, false}, {"client", c.Timeouts.Client, true}, {"server", c.Timeouts.Server, false},
			{"http-request", c.Timeouts.HTTPRequest, true}, {"http-keep-alive", c.Timeouts.HTTPKeepAlive, true}, {"queue", c.Timeouts.Queue, false}} {
			if t.d != 0 && t.front == front {
				p(" timeout %s %dms", t.name, t.d.Milliseconds())
			}
		}
	}
	for _, f := range c.Frontends {
		p("frontend %s", f.Name)
		common(f.Common, true)
		for _, bind := range f.Binds {
			p(" bind %s", bind.Addr)
		}
		for _, c := range f.Captures {
			p(" %s", captureText(c))
		}
		rulesText(p, &f.Rules)
		for _, u := range f.UseBackend {
			p(" use_backend %s", u)
		}
		if f.DefaultBackend != "" {
			p(" default_backend %s", f.DefaultBackend)
		}
	}
	for _, k := range c.Backends {
		p("backend %s", k.Name)
		common(k.Common, false)
		rulesText(p, &k.Rules)
		for _, u := range k.UseServer {
			p(" use-server %s", u)
		}
		p("%s retries %d", balanceText(k), k.Retries)
		if k.Redispatch != 0 {
			p(" option redispatch %d", k.Redispatch)
		}
		if k.RetryOn != nil {
			p(" retry-on %s", strings.Join(k.RetryOn, " "))
		}
		if k.Cookie != nil {
			p(" cookie %s", cookieText(k.Cookie))
		}
		for _, s := range k.Servers {
			line := fmt.Sprintf(" server %s %s weight %d", s.Name, s.Address, s.Weight)
			if s.Cookie != "" {
				line += " cookie " + s.Cookie
			}
			if s.MaxConn > 0 {
				line += fmt.Sprint(" maxconn ", s.MaxConn)
			}
			if s.Backup {
				line += " backup"
			}
			line += serverText(s)
			if s.Check != "" {
				words := s.Check
				if !strings.Contains(words, " ") {
					words = "check inter 50ms fall 1 rise 1"
				}
				line += " " + words
			}
			p("%s", line)
		}
	}
	return b.String()
}

// realHAProxy runs the configuration on an address and log of its own.
func realHAProxy(t *testing.T, c proxy.Config) party {
	t.Helper()
	dir, err := os.MkdirTemp("", "reeve-") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "sock")
	csv := runHAProxy(t, dir, haproxyText(c, socket), socket)
	return party{addr: c.Frontends[0].Binds[0].Addr.String(), csv: csv}
}

// await polls HAProxy's statistics until a server has a status.
func (p party) await(t *testing.T, server, status string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); column(p.csv(), server, "status") != status; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("server %s is %q, want %q", server, column(p.csv(), server, "status"), status)
		}
	}
}

// column finds a figure of a row of the backend be.
func column(csv, row, name string) string { return columnOf(csv, "be", row, name) }

func columnOf(csv, proxy, row, name string) string {
	lines := strings.Split(csv, "\n")
	at := slices.Index(strings.Split(strings.TrimPrefix(lines[0], "# "), ","), name)
	for _, l := range lines[1:] {
		if f := strings.Split(l, ","); at >= 0 && len(f) > at && f[1] == row && f[0] == proxy {
			return f[at]
		}
	}
	return ""
}

// run asks both and compares.
func (sc scenario) run(t *testing.T) {
	seen := &notes{}
	servers := sc.servers(t, seen)
	for i := range servers {
		if slices.Contains(sc.down, servers[i].Name) {
			servers[i].Check = servers[i].Name
		}
	}
	var cfg proxy.Config
	reeve := startLoops(t, 1, proxy.HTTP, servers, func(c *proxy.Config) {
		if sc.change != nil {
			sc.change(c)
		}
		cfg = *c
	})
	for _, name := range sc.down {
		reeve.e.SetHealth("be", name, false, stats.CheckResult{Status: "L4CON", Failed: true, Rise: 1, Fall: 1})
		reeve.untilLogged("Server be/" + name + " is DOWN")
	}
	other := cfg
	sink := newLogSink(t)
	other.Frontends = slices.Clone(cfg.Frontends)
	other.Backends = slices.Clone(cfg.Backends)
	other.Frontends[0].Binds = []proxy.Bind{{Addr: ports.Free(t, "127.0.0.1")}}
	for i := range other.Frontends {
		other.Frontends[i].Log = []proxy.LogTarget{{Address: sink.conn.LocalAddr().String(), Facility: "local0"}}
	}
	for i := range other.Backends {
		other.Backends[i].Log = nil
	}
	ha := realHAProxy(t, other)
	ha.logs = sink
	for _, name := range sc.down {
		ha.await(t, name, "DOWN")
	}
	want := sc.ask(t, ha, seen)
	got := sc.ask(t, party{reeve.addr, reeve.logs, reeve.csv}, seen)
	sc.compare(t, want, got)
}

func (s *site) csv() string { return string(stats.AppendCSV(nil, s.e.Stats())) }

// figures are the counters of each row that an operator watches.
func figures(csv string) (out []string) {
	for _, l := range strings.Split(csv, "\n")[1:] {
		f := strings.Split(l, ",")
		if len(f) < 2 {
			continue
		}
		text := "figures of " + f[0] + "/" + f[1] + ":"
		for _, name := range []string{"stot", "ereq", "econ", "eresp", "wretr", "wredis", "lbtot", "cli_abrt", "srv_abrt", "req_tot", "qmax",
			"hrsp_2xx", "hrsp_4xx", "hrsp_5xx", "intercepted", "conn_tot", "status"} {
			text += " " + name + "=" + columnOf(csv, f[0], f[1], name)
		}
		out = append(out, text)
	}
	return out
}

func (s *site) untilLogged(text string) {
	s.t.Helper()
	for !strings.Contains(s.logs.next(s.t), text) {
	}
}

func (sc scenario) compare(t *testing.T, want, got []string) {
	t.Helper()
	used := map[string]bool{}
	for i := range max(len(want), len(got)) {
		var w, g string
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		if w == g {
			continue
		}
		excused := false
		for start := range sc.differs {
			if strings.HasPrefix(w, start) || strings.HasPrefix(g, start) {
				used[start], excused = true, true
			}
		}
		if !excused {
			t.Errorf("\nHAProxy %s\nReeve   %s", w, g)
		}
	}
	for start, why := range sc.differs {
		if !used[start] {
			t.Errorf("no difference in %q any more (%s)", start, why)
		}
	}
}

// ask plays the scenario against one party and tells what was to be noticed.
func (sc scenario) ask(t *testing.T, p party, seen *notes) []string {
	t.Helper()
	seen.take()
	told := make([][]string, len(sc.conns))
	var all sync.WaitGroup
	for i, x := range sc.conns {
		all.Go(func() { told[i] = x.play(t, p, i) })
		if !sc.parallel {
			all.Wait()
		} else {
			time.Sleep(30 * time.Millisecond) // the order of arrival is part of the scenario
		}
	}
	all.Wait()
	out := slices.Concat(told...)
	var lines []string
	for len(lines) < sc.lines {
		if line := p.logs.next(t); !strings.HasPrefix(line, "backend '") { // health is not compared here
			lines = append(lines, logFields(line))
		}
	}
	if sc.parallel {
		slices.Sort(lines)
	}
	out = append(out, lines...)
	for _, n := range seen.take() {
		out = append(out, "server saw "+n)
	}
	out = append(out, figures(p.csv())...)
	for { // one request costs one line
		select {
		case line := <-p.logs.lines:
			if !strings.Contains(line, "]: backend '") {
				t.Errorf("one line too many at %s: %s", p.addr, line)
			}
		default:
			return out
		}
	}
}

// play is one connection.
func (x exchange) play(t *testing.T, p party, n int) (told []string) {
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(8 * time.Second))
	for i, text := range x.send {
		if i > 0 {
			time.Sleep(x.pause) // a slow client is what the scenario is about
		}
		if _, err := io.WriteString(c, text); err != nil {
			break // the other side has made up its mind
		}
	}
	if x.leave {
		return nil
	}
	r := bufio.NewReader(c)
	req := &http.Request{Method: "GET"}
	if x.head {
		req.Method = "HEAD"
	}
	for i := 0; x.answers == 0 || i < x.answers; i++ {
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			if x.answers != 0 || !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
				told = append(told, fmt.Sprintf("connection %d: no answer: %v", n, plain(err)))
			}
			break
		}
		body, err := io.ReadAll(resp.Body)
		told = append(told, fmt.Sprintf("connection %d answer %d: %s", n, i, describe(resp, body, err)))
	}
	return append(told, fmt.Sprintf("connection %d then %s", n, fate(c, r)))
}

// fate is whether the connection stays: both sides decide at once, so a short look is enough.
func fate(c net.Conn, r *bufio.Reader) string {
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := r.ReadByte()
	var late net.Error
	switch {
	case err == nil:
		return "says more"
	case errors.As(err, &late) && late.Timeout():
		return "stays"
	}
	return "ends"
}

func plain(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

// describe tells of an answer what a client may depend on. Pages of the proxy itself are told by their title.
func describe(resp *http.Response, body []byte, err error) string {
	s := fmt.Sprintf("%s %d", resp.Proto, resp.StatusCode)
	for _, name := range []string{"Set-Cookie", "Cache-Control", "Connection", "Content-Type", "Www-Authenticate", "X-Seen"} {
		if v, ok := resp.Header[name]; ok {
			s += fmt.Sprintf(" %s=%q", name, v)
		}
	}
	if resp.Close {
		s += " close"
	}
	s += fmt.Sprintf(" length=%d te=%v", min(resp.ContentLength, 0), resp.TransferEncoding)
	if strings.HasPrefix(string(body), "<html>") || strings.HasPrefix(string(body), "<!DOCTYPE") {
		body = []byte("a page")
	}
	if strings.HasPrefix(string(body), "# pxname,") {
		body = []byte("a table")
	}
	s += fmt.Sprintf(" body=%q", body)
	if err != nil {
		s += " cut short"
	}
	return s
}

var httpLine = regexp.MustCompile(`^127\.0\.0\.1:\d+ \[[^\]]+\] (\S+) (\S+) (\S+) (-?\d+) (\+?\d+) (\S+ \S+) (\S{4}) (\S+) (\S+) (.*)$`)

// logFields takes out of a line what differs from run to run: ports, dates, and of times whether there is one.
func logFields(line string) string {
	m := httpLine.FindStringSubmatch(line)
	if m == nil {
		return "log: " + line
	}
	var times []string
	for _, f := range strings.Split(m[3], "/") {
		if f != "-1" {
			f = "n"
		}
		times = append(times, f)
	}
	cookies := ""
	if m[6] != "- -" {
		cookies = m[6] + " "
	}
	return fmt.Sprintf("log: %s %s %s %s %s%s %s %s %s", m[1], m[2], strings.Join(times, "/"), m[4], cookies, m[7], m[8], m[9], m[10])
}
