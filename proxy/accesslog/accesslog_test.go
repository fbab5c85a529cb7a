package accesslog

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reeve-lb/reeve/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 21, 3, 51, 25, 769e6, time.Local).UnixNano()

func entry() *Entry {
	return &Entry{Client: netip.MustParseAddrPort("127.0.0.1:44344"), Start: start, Frontend: "ok", Backend: "be_s", Server: "s1", Status: 200, Bytes: 57,
		Flags: [4]byte{'-', '-', '-', '-'}, Counts: Counts{1, 1, 0, 0}, Request: []byte("GET / HTTP/1.1")}
}

func TestHTTPLine(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Entry)
		want   string
	}{
		"plain": {func(*Entry) {}, `127.0.0.1:44344 [21/Nov/2026:03:51:25.769] ok be_s/s1 0/0/0/0/0 200 57 - - ---- 1/1/0/0/0 0/0 "GET / HTTP/1.1"`},
		"bad request": {func(e *Entry) {
			e.Backend, e.Server, e.Request, e.Status, e.Flags = "ok", "", nil, 400, [4]byte{'P', 'R', '-', '-'}
			e.TR, e.Tw, e.Tc, e.Tr = -1, -1, -1, -1
		}, `127.0.0.1:44344 [21/Nov/2026:03:51:25.769] ok ok/<NOSRV> -1/-1/-1/-1/0 400 57 - - PR-- 1/1/0/0/0 0/0 "<BADREQ>"`},
		"redispatched, queued, IPv6": {func(e *Entry) {
			e.Client, e.Retries, e.Redispatched, e.ServerQueue, e.BackendQueue = netip.MustParseAddrPort("[2001:db8::1]:5"), 2, true, 3, 4
		}, `2001:db8::1:5 [21/Nov/2026:03:51:25.769] ok be_s/s1 0/0/0/0/0 200 57 - - ---- 1/1/0/0/+2 3/4 "GET / HTTP/1.1"`},
		"escaped": {func(e *Entry) { e.Request = []byte("GET /\"\x01\xe9# HTTP/1.1") },
			`127.0.0.1:44344 [21/Nov/2026:03:51:25.769] ok be_s/s1 0/0/0/0/0 200 57 - - ---- 1/1/0/0/0 0/0 "GET /#22#01#E9#23 HTTP/1.1"`},
	} {
		t.Run(name, func(t *testing.T) {
			e := entry()
			tc.change(e)
			if got := string(AppendHTTP(nil, &Stamp{}, e)); got != tc.want {
				t.Errorf("got\n%s, want\n%s", got, tc.want)
			}
		})
	}
}

func TestTCPAndBasicLines(t *testing.T) {
	e := entry()
	e.Frontend, e.Backend, e.Server, e.Tw, e.Tc, e.Ta, e.Bytes, e.Retries = "tcpdown", "tcpbd", "s1", 1, -1, 502, 0, 1
	e.Flags = [4]byte{'S', 'C', '-', '-'}
	if got := string(AppendTCP(nil, &Stamp{}, e)); got != `127.0.0.1:44344 [21/Nov/2026:03:51:25.769] tcpdown tcpbd/s1 1/-1/502 0 SC 1/1/0/0/1 0/0` {
		t.Error(got)
	}
	if got := string(AppendBasic(nil, e.Client, netip.MustParseAddrPort("10.0.0.1:80"), "www", "HTTP")); got != "Connect from 127.0.0.1:44344 to 10.0.0.1:80 (www/HTTP)" {
		t.Error(got)
	}
}

func TestLinesDoNotAllocate(t *testing.T) {
	e, s, b := entry(), &Stamp{}, make([]byte, 0, 4096)
	w := New(1, "x", 1, "h")
	sink := w.Sink([]proxy.LogTarget{{Address: "127.0.0.1"}})
	b = AppendHTTP(b[:0], s, e)
	if n := testing.AllocsPerRun(100, func() {
		b = AppendHTTP(b[:0], s, e)
		w.Ring(0).Put(sink, Info, b)
	}); n != 0 {
		t.Errorf("%v allocations a line", n)
	}
}

// run starts a Writer for one target that a datagram socket of the test receives.
func run(t *testing.T, target proxy.LogTarget) (*Writer, *Sink, net.PacketConn) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target.Address = c.LocalAddr().String()
	w := New(1, "haproxy", 42, "lb1")
	sink := w.Sink([]proxy.LogTarget{target})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; c.Close() })
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	return w, sink, c
}

func receive(t *testing.T, c net.PacketConn) string {
	t.Helper()
	b := make([]byte, 65536)
	n, _, err := c.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestSyslog(t *testing.T) {
	for name, tc := range map[string]struct {
		target proxy.LogTarget
		want   string
	}{
		"rfc3164":   {proxy.LogTarget{Facility: "local0"}, `^<134>[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d haproxy\[42\]: hello\n$`},
		"rfc5424":   {proxy.LogTarget{Facility: "daemon", Format: "rfc5424"}, `^<30>1 \d{4}-\d\d-\d\dT\S+ lb1 haproxy 42 - - hello\n$`},
		"raw":       {proxy.LogTarget{Format: "raw"}, `^hello\n$`},
		"min level": {proxy.LogTarget{Facility: "kern", MinLevel: "debug"}, `^<7>`},
		"length":    {proxy.LogTarget{Format: "raw", Len: 4}, `^hel\n$`},
	} {
		t.Run(name, func(t *testing.T) {
			w, sink, c := run(t, tc.target)
			w.Ring(0).Put(sink, Info, []byte("hello"))
			if got := receive(t, c); !regexp.MustCompile(tc.want).MatchString(got) {
				t.Errorf("%q does not match %s", got, tc.want)
			}
		})
	}
}

func TestMaxLevelAndShared(t *testing.T) {
	w, sink, c := run(t, proxy.LogTarget{Format: "raw", MaxLevel: "notice"})
	w.Ring(0).Put(sink, Info, []byte("dropped"))
	w.Put(sink, Alert, []byte("told"))
	if got := receive(t, c); got != "told\n" {
		t.Errorf("%q", got)
	}
}

func TestWriterWakesUp(t *testing.T) {
	w, sink, c := run(t, proxy.LogTarget{Format: "raw"})
	for deadline := time.Now().Add(5 * time.Second); !w.sleeping.Load(); {
		if time.Now().After(deadline) {
			t.Fatal("the writer does not go to sleep")
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.Ring(0).Put(sink, Info, []byte("hello"))
	if got := receive(t, c); got != "hello\n" {
		t.Errorf("%q", got)
	}
}

func TestRingIsBoundedAndKeepsOrder(t *testing.T) {
	w := New(1, "x", 1, "h")
	sink := w.Sink([]proxy.LogTarget{{Address: "127.0.0.1"}})
	r := w.Ring(0)
	line := bytes.Repeat([]byte("x"), 1000)
	put := 0
	for r.Put(sink, Info, line) {
		put++
	}
	if put < 200 || w.Dropped() != 1 {
		t.Fatalf("%d lines, %d dropped", put, w.Dropped())
	}
	buf := make([]byte, MaxLine)
	for i := range 3 * put { // around the end several times
		_, level, text, ok := r.take(buf)
		if !ok || level != Info || len(text) != 1000 && !strings.HasPrefix(string(text), "n") {
			t.Fatalf("line %d: %d bytes, %v", i, len(text), ok)
		}
		if !r.Put(sink, Info, append([]byte("n"), line[:i%900]...)) {
			t.Fatal("no room after a take")
		}
	}
}

func TestSinksAreShared(t *testing.T) {
	w := New(1, "x", 1, "h")
	a := []proxy.LogTarget{{Address: "127.0.0.1", Facility: "local0"}}
	if w.Sink(a) != w.Sink([]proxy.LogTarget{{Address: "127.0.0.1", Facility: "local0"}}) || w.Sink(nil) != nil {
		t.Error("equal targets, different sinks")
	}
	if w.Sink(a) == w.Sink([]proxy.LogTarget{{Address: "127.0.0.1", Facility: "local1"}}) {
		t.Error("different targets, one sink")
	}
}
