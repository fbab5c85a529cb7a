package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/lab/ports"
)

// variants are the ways to cut what is sent into pieces.
var variants = map[string]func(text []byte) [][]byte{
	"whole": func(text []byte) [][]byte { return [][]byte{text} },
	"bytes": func(text []byte) (out [][]byte) {
		for len(text) > 0 && len(out) < 400 {
			out, text = append(out, text[:1]), text[1:]
		}
		return append(out, text)
	},
	"after CR": func(text []byte) (out [][]byte) {
		for len(out) < 400 {
			cr := bytes.IndexByte(text, '\r')
			if cr < 0 {
				break
			}
			out, text = append(out, text[:cr+1]), text[cr+1:]
		}
		return append(out, text)
	},
	"odd places": func(text []byte) (out [][]byte) {
		r := rand.New(rand.NewPCG(uint64(len(text)), 1))
		for range 5 {
			n := r.IntN(len(text) + 1)
			out, text = append(out, text[:n]), text[n:]
		}
		return append(out, text)
	},
}

// TestExchanges plays the corpus through the engine, byte for byte, however the bytes come.
func TestExchanges(t *testing.T) {
	for name, cut := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := readExchanges(t)
			if name != "whole" {
				all = slices.DeleteFunc(all, func(x *rawExchange) bool { return x.whole })
			}
			stage := newStage(t, all)
			stage.reeve(t)
			stage.play(t, cut, false)
			stage.counted(t)
		})
	}
}

// TestExchangesBesideHAProxy plays the same through the real one. What it does otherwise has its reason in the corpus.
func TestExchangesBesideHAProxy(t *testing.T) {
	t.Parallel()
	stage := newStage(t, readExchanges(t))
	stage.haproxy(t)
	stage.play(t, variants["whole"], true)
}

// stage is a proxy with a section and a server for each exchange.
type stage struct {
	all     []*rawExchange
	global  string // lines of the global section
	addrs   []string
	servers []*actor
	log     *logSink
	lines   []chan string // of each exchange
	engine  *Engine
}

// actor accepts an exchange's server connections, in order.
type actor struct {
	l     net.Listener
	conns chan net.Conn
}

func newStage(t *testing.T, all []*rawExchange) *stage {
	t.Helper()
	s := &stage{all: all, log: newLogSink(t)}
	for range all {
		s.addrs = append(s.addrs, ports.Free(t, "127.0.0.1").String())
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		a := &actor{l, make(chan net.Conn, 16)}
		var accepting sync.WaitGroup
		accepting.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					close(a.conns)
					return
				}
				a.conns <- c
			}
		})
		t.Cleanup(func() {
			l.Close()
			accepting.Wait()
			for c := range a.conns {
				c.Close()
			}
		})
		s.servers = append(s.servers, a)
		s.lines = append(s.lines, make(chan string, 16))
	}
	return s
}

// text is the configuration, for both proxies alike.
func (s *stage) text(global string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global\n%s%s\ndefaults\n mode http\n log %s local0\n option httplog\n", s.global, global, s.log.conn.LocalAddr())
	b.WriteString(" timeout connect 500ms\n timeout client 4s\n timeout server 4s\n")
	for i, x := range s.all {
		if len(x.cache) > 0 {
			fmt.Fprintf(&b, "cache c%d\n %s\n", i, strings.Join(x.cache, "\n "))
		}
		if len(x.users) > 0 {
			fmt.Fprintf(&b, "userlist x%d\n %s\n", i, strings.Join(x.users, "\n "))
		}
		fmt.Fprintf(&b, "listen x%d\n bind %s\n", i, s.addrs[i])
		addr := s.servers[i].l.Addr().String()
		for _, words := range x.set {
			fmt.Fprintf(&b, " %s\n", strings.NewReplacer("SERVER", addr, "SELF", fmt.Sprint("x", i), "CACHE", fmt.Sprint("c", i)).Replace(words))
		}
		fmt.Fprintf(&b, " server s %s %s\n", addr, strings.Join(x.server, " "))
		for k, l := range x.backs {
			if k == 0 || l.name != x.backs[k-1].name {
				fmt.Fprintf(&b, "backend %s\n server s %s\n", l.name, addr)
			}
			fmt.Fprintf(&b, " %s\n", strings.ReplaceAll(l.words, "SERVER", addr))
		}
	}
	return b.String()
}

func (s *stage) reeve(t *testing.T) {
	t.Helper()
	doc, _, ps := config.Load([]config.File{{Name: "exchanges.cfg", Content: []byte(s.text(""))}})
	if ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	e := New(Options{Loops: 1})
	s.engine = e
	if ps := e.Apply(doc.Proxy); ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (s *stage) haproxy(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "reeve-") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "sock")
	runHAProxy(t, dir, s.text(" nbthread 1\n maxconn 2000\n stats socket "+socket+" mode 600"), socket)
}

// runHAProxy runs the real one until the test ends.
func runHAProxy(t *testing.T, dir, text, socket string) (csv func() string) {
	t.Helper()
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := "haproxy"
	if _, err := exec.LookPath(bin); err != nil {
		bin = "/usr/sbin/haproxy"
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, bin, "-db", "-f", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatalf("haproxy, which `make deps` installs: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("haproxy said: %s\n%.2000s", out, text)
		}
	})
	csv = func() string {
		k, err := net.Dial("unix", socket)
		if err != nil {
			return ""
		}
		defer k.Close()
		io.WriteString(k, "show stat\n")
		b, _ := io.ReadAll(k)
		return string(b)
	}
	for end := time.Now().Add(10 * time.Second); csv() == ""; time.Sleep(5 * time.Millisecond) { // nothing tells of a bind
		if time.Now().After(end) {
			t.Fatalf("haproxy does not start: %s", out)
		}
	}
	return csv
}

// play plays all exchanges, many at a time.
func (s *stage) play(t *testing.T, cut func([]byte) [][]byte, haproxy bool) {
	done := make(chan struct{})
	var sorting sync.WaitGroup
	sorting.Go(func() { s.sortLog(done) })
	room := make(chan struct{}, 48)
	var all sync.WaitGroup
	for i, x := range s.all {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			p := &performance{x: x, addr: s.addrs[i], server: s.servers[i], lines: s.lines[i], cut: cut, loose: haproxy, at: map[string]*seat{}}
			p.run()
			switch {
			case !haproxy && len(p.wrong) > 0:
				t.Errorf("%s: %s\n\t%s", x.at, x.name, strings.Join(p.wrong, "\n\t"))
			case haproxy && x.differs == "" && len(p.wrong) > 0:
				t.Errorf("%s: %s: HAProxy does otherwise, and nothing says why\n\t%s", x.at, x.name, strings.Join(p.wrong, "\n\t"))
			case haproxy && x.differs != "" && len(p.wrong) == 0 && !strings.HasPrefix(x.differs, "sometimes "):
				t.Errorf("%s: %s: HAProxy does the same now (%s)", x.at, x.name, x.differs)
			}
		})
	}
	all.Wait()
	close(done)
	sorting.Wait()
}

// counted looks whether each request that was no good, or that a rule denied, is counted as such.
func (s *stage) counted(t *testing.T) {
	snap := s.engine.Stats()
	for i, x := range s.all {
		bad := uint64(0)
		for _, step := range x.steps {
			if f := strings.Fields(string(step.text)); step.does == "logs" && f[1][0] != 'L' && f[1][1] == 'R' {
				bad++
			}
		}
		if row, ok := snap.Find(fmt.Sprint("x", i), "FRONTEND"); !ok || bad > 0 && row.EReq+row.DReq != bad {
			t.Errorf("%s: %s: %d bad requests are counted, want %d", x.at, x.name, row.EReq+row.DReq, bad)
		}
	}
}

var exchangeLine = regexp.MustCompile(`\] x(\d+) (\S+)/(\S+) \S+ (?:(-?\d+) \+?\d+ - - (\S{4})|\+?\d+ (\S\S)) \d+/\d+/\d+/\d+/(\S+) `)

// sortLog hands each line to its exchange.
func (s *stage) sortLog(done chan struct{}) {
	for {
		select {
		case <-done:
			return
		case l := <-s.log.lines:
			m := exchangeLine.FindStringSubmatch(l)
			if m == nil {
				continue
			}
			var i int
			fmt.Sscan(m[1], &i)
			back, server, text := m[2], m[3], m[4]+" "+m[5]
			if m[6] != "" {
				text = "tcp " + m[6]
			}
			if back == "x"+m[1] {
				back = "x"
			}
			if back != "x" || server != "s" && server != "<NOSRV>" {
				text += " by " + back + "/" + server
			}
			if m[7] != "0" {
				text += " retries " + m[7]
			}
			s.lines[i] <- text
		}
	}
}

// seat is one end of a connection, a client's or the server's, and what was said there.
type seat struct {
	c       *net.TCPConn
	sending sync.WaitGroup
	got     []byte
	want    []byte // so far
	sent    []byte
	gone    bool // closed by ourselves
	ended   bool
}

// performance is one exchange being played.
type performance struct {
	x      *rawExchange
	addr   string
	server *actor
	lines  chan string
	cut    func([]byte) [][]byte
	loose  bool // the same in other words is good enough
	at     map[string]*seat
	wrong  []string
	served int
}

const (
	patience = 4 * time.Second
	glance   = 15 * time.Millisecond // to see that nothing comes
)

func (p *performance) fail(s step, format string, args ...any) {
	p.wrong = append(p.wrong, fmt.Sprintf("line %d: ", s.line)+fmt.Sprintf(format, args...))
}

// patient is how long to wait for something that should come: not long once HAProxy has gone its own way.
func (p *performance) patient() time.Duration {
	switch {
	case p.loose && len(p.wrong) > 0:
		return 2 * glance
	case p.loose:
		return 1500 * time.Millisecond
	}
	return patience
}

func (p *performance) run() {
	defer func() {
		for _, s := range p.at {
			if !s.gone {
				s.c.Close()
			}
			s.sending.Wait()
		}
	}()
	for _, s := range p.x.steps {
		if !p.step(s) || !p.loose && len(p.wrong) > 0 {
			break
		}
	}
	select {
	case l := <-p.lines:
		p.wrong = append(p.wrong, fmt.Sprintf("one line too many: %q", l))
	case c, ok := <-p.server.conns:
		if ok {
			c.SetReadDeadline(time.Now().Add(glance))
			b := make([]byte, 300)
			n, _ := c.Read(b)
			c.Close()
			p.wrong = append(p.wrong, fmt.Sprintf("one connection too many at the server, which says %q", b[:n]))
		}
	default:
	}
}

// seat finds a connection, making it if it is new.
func (p *performance) seat(s step) *seat {
	if k := p.at[s.who]; k != nil {
		return k
	}
	var c net.Conn
	if s.who >= "a" {
		var err error
		if c, err = net.Dial("tcp", p.addr); errors.Is(err, syscall.ECONNRESET) { // turned away before the call came back
			p.at[s.who] = &seat{gone: true}
			return p.at[s.who]
		}
		if err != nil {
			p.fail(s, "%v", err)
			return nil
		}
	} else {
		select {
		case c = <-p.server.conns:
		case <-time.After(p.patient()):
		}
		if p.served++; c == nil || s.who != fmt.Sprint(p.served) {
			p.fail(s, "the server is not given connection %s%s", s.who, p.heard())
			return nil
		}
	}
	k := &seat{c: c.(*net.TCPConn)}
	p.at[s.who] = k
	return k
}

// heard is what waits unread at the other ends, which says more than that something did not come.
func (p *performance) heard() string {
	text := ""
	for who, k := range p.at {
		if k.gone {
			continue
		}
		b := make([]byte, 300)
		k.c.SetReadDeadline(time.Now().Add(glance))
		if n, err := k.c.Read(b); n > 0 || errors.Is(err, io.EOF) {
			k.got = append(k.got, b[:n]...)
			text += fmt.Sprintf("; %s sees %q %v", who, b[:n], err)
		}
	}
	return text
}

// logged waits for the next line.
func (p *performance) logged(s step) {
	select {
	case l := <-p.lines:
		if l != string(s.text) {
			p.fail(s, "logged %q, want %q", l, s.text)
		}
	case <-time.After(p.patient()):
		p.fail(s, "no line in the log, want %q%s", s.text, p.heard())
	}
}

func (p *performance) step(s step) bool {
	switch s.does {
	case "logs":
		p.logged(s)
		return true
	case "pauses":
		d, _ := time.ParseDuration(string(s.text))
		time.Sleep(d)
		return true
	}
	k := p.seat(s)
	if k == nil {
		return p.loose && s.who < "a"
	}
	switch s.does {
	case "sends":
		p.send(k, s.text)
	case "sees":
		k.want = append(k.want, s.text...)
		if p.loose {
			p.seesLike(s, k)
		} else {
			p.sees(s, k)
		}
	case "closes":
		k.sending.Wait()
		k.c.CloseWrite()
	case "leaves", "resets":
		k.sending.Wait()
		if s.does == "resets" {
			k.c.SetLinger(0)
		}
		k.c.Close()
		k.gone = true
	case "ends", "stays":
		if p.loose && !k.gone && p.normal(s.who, k.got) != p.normal(s.who, k.want) {
			p.fail(s, "%s sees %.1500s", s.who, p.normal(s.who, k.got))
		}
		if s.does == "ends" {
			p.ends(s, k)
		} else {
			p.stays(s, k)
		}
	}
	return true
}

func (p *performance) send(k *seat, text []byte) {
	if k.gone {
		return
	}
	k.sending.Wait()
	k.sent = append(k.sent, text...)
	write := func() {
		k.c.SetWriteDeadline(time.Now().Add(p.patient()))
		for _, piece := range p.cut(text) {
			if _, err := k.c.Write(piece); err != nil {
				return // the other side has made up its mind
			}
		}
	}
	if len(text) < 1<<13 {
		write()
		return
	}
	k.sending.Go(write)
}

// sees reads just what is wanted.
func (p *performance) sees(s step, k *seat) {
	b := make([]byte, len(s.text))
	k.c.SetReadDeadline(time.Now().Add(p.patient()))
	n, err := io.ReadFull(k.c, b)
	young(b[:n])
	if !bytes.Equal(b[:n], s.text) || err != nil && len(b) > 0 {
		more := make([]byte, 2000)
		k.c.SetReadDeadline(time.Now().Add(glance))
		m, _ := k.c.Read(more)
		p.fail(s, "%s sees %.1500q (%v), want %.1500q%s", s.who, append(b[:n], more[:m]...), err, s.text, p.heard())
	}
}

// young makes the age of an answer from a cache 0: a few seconds are the machine's.
func young(b []byte) {
	const line = "\r\nage: "
	for at := bytes.Index(b, []byte(line)); at >= 0 && at+len(line)+2 < len(b); {
		if digit := &b[at+len(line)]; *digit >= '1' && *digit <= '9' && b[at+len(line)+1] == '\r' {
			*digit = '0'
		}
		next := bytes.Index(b[at+len(line):], []byte(line))
		if next < 0 {
			break
		}
		at += len(line) + next
	}
}

// seesLike reads until what came says the same as what is wanted.
func (p *performance) seesLike(s step, k *seat) {
	if k.gone {
		return
	}
	end := time.Now().Add(p.patient())
	b := make([]byte, 65536)
	for !strings.HasPrefix(p.normal(s.who, k.got), p.normal(s.who, k.want)) {
		k.c.SetReadDeadline(end)
		n, err := k.c.Read(b)
		k.got = append(k.got, b[:n]...)
		young(k.got)
		if err != nil {
			k.ended = !errors.Is(err, os.ErrDeadlineExceeded)
			if !strings.HasPrefix(p.normal(s.who, k.got), p.normal(s.who, k.want)) {
				p.fail(s, "%s sees\n\t\t%.1500s\n\t  want\n\t\t%.1500s", s.who, p.normal(s.who, k.got), p.normal(s.who, k.want))
				k.got = bytes.Clone(k.want) // once is enough
			}
			return
		}
	}
}

func (p *performance) ends(s step, k *seat) {
	if k.gone || k.ended {
		return
	}
	b := make([]byte, 4096)
	k.c.SetReadDeadline(time.Now().Add(p.patient()))
	n, err := k.c.Read(b)
	switch {
	case n > 0:
		p.fail(s, "%s sees %q more", s.who, b[:n])
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.fail(s, "the connection of %s does not end%s", s.who, p.heard())
	}
}

func (p *performance) stays(s step, k *seat) {
	b := make([]byte, 4096)
	k.c.SetReadDeadline(time.Now().Add(glance))
	n, err := k.c.Read(b)
	switch {
	case n > 0:
		p.fail(s, "%s sees %q more", s.who, b[:n])
	case k.ended || !errors.Is(err, os.ErrDeadlineExceeded):
		p.fail(s, "the connection of %s ends: %v", s.who, err)
	}
}
