package mux

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = []byte("0123456789abcdef0123456789abcdef")

func authority(t testing.TB, k []byte) *Authority {
	t.Helper()
	a, err := NewAuthority(k)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// open starts a Mux on a free port.
func open(t testing.TB, id string, change func(*Options)) (*Mux, Target) {
	t.Helper()
	o := Options{Authority: authority(t, key), ID: id, Name: "node-" + id, Bind: "127.0.0.1:0"}
	if change != nil {
		change(&o)
	}
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return m, Target{ID: id, Addr: m.Addr().String()}
}

func TestCallsCarryWhoSpeaks(t *testing.T) {
	server, to := open(t, "s", nil)
	client, _ := open(t, "c", nil)
	server.Handle("who", func(_ context.Context, from Peer, body []byte) ([]byte, error) {
		return fmt.Appendf(nil, "%s %s %s", from.ID, from.Name, body), nil
	})
	big := bytes.Repeat([]byte("x"), MaxFrame/2)
	server.Handle("big", func(_ context.Context, _ Peer, body []byte) ([]byte, error) { return body, nil })
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			got, err := client.Call(t.Context(), to, "who", fmt.Append(nil, i))
			if want := fmt.Sprintf("c node-c %d", i); err != nil || string(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
	wg.Wait()
	if got, err := client.Call(t.Context(), to, "big", big); err != nil || !bytes.Equal(got, big) {
		t.Errorf("a big body: %d bytes, %v", len(got), err)
	}
	if _, err := client.Call(t.Context(), to, "big", bytes.Repeat(big, 3)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too big a body: %v", err)
	}
	if n := server.Counters().Accepted; n != 1 {
		t.Errorf("%d connections for calls of one node", n)
	}
	if _, err := client.Call(t.Context(), Target{ID: "other", Addr: to.Addr}, "who", nil); !errors.Is(err, ErrOtherNode) {
		t.Errorf("another node at the address: %v", err)
	}
}

func TestFailuresCross(t *testing.T) {
	mine := errors.New("mine")
	server, to := open(t, "s", func(o *Options) {
		o.EncodeError = func(err error) (string, []byte) {
			if errors.Is(err, mine) {
				return "mine", []byte("detail")
			}
			return "", nil
		}
	})
	client, _ := open(t, "c", func(o *Options) {
		o.DecodeError = func(code, text string, detail []byte) error {
			if code == "mine" {
				return fmt.Errorf("%s %s: %w", text, detail, mine)
			}
			return nil
		}
	})
	server.Handle("mine", func(context.Context, Peer, []byte) ([]byte, error) { return nil, mine })
	server.Handle("plain", func(context.Context, Peer, []byte) ([]byte, error) { return nil, errors.New("just words") })
	server.Handle("panic", func(context.Context, Peer, []byte) ([]byte, error) { panic("boom") })
	ended := make(chan struct{})
	server.Handle("slow", func(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	if _, err := client.Call(t.Context(), to, "mine", nil); !errors.Is(err, mine) || err.Error() != "mine detail: mine" {
		t.Errorf("coded: %v", err)
	}
	if _, err := client.Call(t.Context(), to, "plain", nil); err == nil || err.Error() != "just words" {
		t.Errorf("plain: %v", err)
	}
	if _, err := client.Call(t.Context(), to, "panic", nil); err == nil || strings.Contains(err.Error(), "boom") {
		t.Errorf("panic: %v", err)
	}
	if _, err := client.Call(t.Context(), to, "nothing", nil); !errors.Is(err, ErrNoMethod) {
		t.Errorf("no method: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := client.Call(ctx, to, "slow", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	select { // who no longer waits frees the other side too
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the handler of a cancelled call goes on")
	}
}

func TestNobodyListensAndConnectionsBreak(t *testing.T) {
	client, _ := open(t, "c", nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if _, err := client.Call(t.Context(), Target{Addr: ln.Addr().String()}, "x", nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}

	server, to := open(t, "s", nil)
	entered := make(chan struct{})
	server.Handle("hang", func(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	lost := make(chan error, 1)
	go func() {
		_, err := client.Call(t.Context(), to, "hang", nil)
		lost <- err
	}()
	<-entered
	server.Close()
	if err := <-lost; !errors.Is(err, ErrLost) && !errors.Is(err, context.Canceled) {
		t.Errorf("a server that went: %v", err)
	}
	client.Close()
	if _, err := client.Call(t.Context(), to, "x", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestTooManyInFlight(t *testing.T) {
	server, to := open(t, "s", func(o *Options) { o.MaxInFlight = 4 })
	client, _ := open(t, "c", nil)
	free := make(chan struct{})
	server.Handle("hang", func(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
		<-free
		return nil, nil
	})
	results := make(chan error, 10)
	for range 10 {
		go func() {
			_, err := client.Call(t.Context(), to, "hang", nil)
			results <- err
		}()
	}
	for range 6 {
		if err := <-results; !errors.Is(err, ErrBusy) {
			t.Errorf("over the bound: %v", err)
		}
	}
	close(free)
	for range 4 {
		if err := <-results; err != nil {
			t.Errorf("within the bound: %v", err)
		}
	}
}

func TestStreams(t *testing.T) {
	server, to := open(t, "s", nil)
	client, _ := open(t, "c", nil)
	server.HandleStream("echo", func(_ context.Context, from Peer, c net.Conn) {
		fmt.Fprintf(c, "%s\n", from.ID)
		io.Copy(c, c)
	})
	c, err := client.Stream(t.Context(), to, "echo")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprint(c, "hello")
	got := make([]byte, 7)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "c\nhello" {
		t.Errorf("got %q, %v", got, err)
	}
	n, err := client.Stream(t.Context(), to, "nothing")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := n.Read(got); !errors.Is(err, io.EOF) {
		t.Errorf("a stream of an unknown name: %v", err)
	}
}

// Whatever a stranger sends costs a counter, and a bounded time.
func TestStrangersAreRefused(t *testing.T) {
	server, to := open(t, "s", func(o *Options) { o.HandshakeTimeout = 300 * time.Millisecond })
	inside := func(first string) func(net.Conn) {
		return func(raw net.Conn) {
			m, err := New(Options{Authority: authority(t, key), ID: "x", Name: "x"})
			if err != nil {
				t.Fatal(err)
			}
			c := tls.Client(raw, m.client)
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, first)
		}
	}
	cases := map[string]func(net.Conn){
		"silence":        func(net.Conn) {},
		"http":           func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\n\r\n") },
		"no certificate": func(c net.Conn) { tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake() },
		"old tls": func(c net.Conn) {
			tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}).Handshake()
		},
		"unknown kind":      inside("?"),
		"half a name":       inside("S\x20abc"),
		"nothing after TLS": inside(""),
	}
	before := server.Counters()
	for name, do := range cases {
		c, err := net.Dial("tcp", to.Addr)
		if err != nil {
			t.Fatal(err)
		}
		do(c)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Errorf("%s: the connection stays", name)
		}
		c.Close()
	}
	deadline := time.Now().Add(5 * time.Second)
	for server.Counters().Refused-before.Refused < uint64(len(cases)) && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // a counter tells nobody
	}
	if n := server.Counters(); n.Refused-before.Refused != uint64(len(cases)) || n.Accepted != before.Accepted {
		t.Errorf("counters %+v after %d strangers", n, len(cases))
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

func TestConnectionsAreBounded(t *testing.T) {
	server, to := open(t, "s", func(o *Options) { o.MaxHandshakes, o.HandshakeTimeout = 3, 2*time.Second })
	var conns []net.Conn
	for range 8 {
		c, err := net.Dial("tcp", to.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	closed := 0
	for _, c := range conns {
		c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
			closed++
		}
	}
	if full := server.Counters().Full; closed != 5 || full != 5 {
		t.Errorf("%d closed, %d counted, want 5", closed, full)
	}
}

func TestKeys(t *testing.T) {
	a, b, c := authority(t, key), authority(t, key), authority(t, bytes.Repeat([]byte("k"), KeySize))
	if a.ClusterID() != b.ClusterID() || a.ClusterID() == c.ClusterID() || !bytes.Equal(a.Certificate(), b.Certificate()) {
		t.Error("authorities of one key differ, or of two keys agree")
	}
	if bytes.Contains(a.Certificate(), key) || strings.Contains(a.ClusterID(), string(key)) {
		t.Error("the key shows")
	}
	if _, err := NewAuthority([]byte("short")); err == nil {
		t.Error("a short key was taken")
	}
}

func TestLimiter(t *testing.T) {
	l := NewLimiter(10*time.Second, 2)
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	for i, c := range []struct {
		key  string
		at   int
		ok   bool
		held int
	}{
		{"a", 0, true, 0}, {"a", 1, false, 0}, {"a", 9, false, 0}, {"a", 10, true, 2},
		{"b", 11, true, 0}, {"c", 12, false, 0} /* no room */, {"c", 21, true, 0} /* a and b are over */, {"c", 22, false, 0},
	} {
		if ok, held := l.Allow(c.key, at(c.at)); ok != c.ok || held != c.held {
			t.Errorf("%d: %s at %d: %v, %d held", i, c.key, c.at, ok, held)
		}
	}
}

func FuzzFrames(f *testing.F) {
	b, _ := requestFrame(7, time.Second, "method", []byte("body"))
	f.Add(b)
	b, _ = failureFrame(8, "code", "text", []byte("detail"))
	f.Add(b)
	b, _ = answerFrame(9, []byte("x"))
	f.Add(b)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := readFrame(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again []byte
		switch fr.kind {
		case frameRequest:
			timeout, method, body, err := parseRequest(fr.rest)
			if err != nil || method == "" || timeout == 0 || timeout > 1<<31*time.Millisecond {
				return
			}
			again, err = requestFrame(fr.seq, timeout, method, body)
			if err != nil {
				t.Fatal(err)
			}
		case frameFailure:
			code, text, detail, err := parseFailure(fr.rest)
			if err != nil || len(code) > maxMethod || len(text) > maxText {
				return
			}
			again, err = failureFrame(fr.seq, code, text, detail)
			if err != nil {
				t.Fatal(err)
			}
		default:
			return
		}
		if !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func BenchmarkCall(b *testing.B) {
	server, to := open(b, "s", nil)
	client, _ := open(b, "c", nil)
	server.Handle("echo", func(_ context.Context, _ Peer, body []byte) ([]byte, error) { return body, nil })
	body := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Call(context.Background(), to, "echo", body); err != nil {
			b.Fatal(err)
		}
	}
}
