package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/reeve-lb/reeve/check"
	"github.com/reeve-lb/reeve/internal/lab/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is the servers as a Runner sees them, on the fake clock of a synctest bubble.
type world struct {
	mu      sync.Mutex
	begin   time.Time
	down    map[string]bool
	silent  map[string]bool // neither accepts nor refuses
	dials   map[string][]time.Duration
	results []Result
	at      []time.Duration
}

func (w *world) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dials[address] = append(w.dials[address], time.Since(w.begin))
	down, silent := w.down[address], w.silent[address]
	w.mu.Unlock()
	switch {
	case silent:
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	case down:
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	a, b := net.Pipe()
	b.Close()
	return a, nil
}

func (w *world) set(address string, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[address] = down
}

func (w *world) take(r Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.results, w.at = append(w.results, r), append(w.at, time.Since(w.begin))
}

// inWorld runs f beside a Runner in a bubble of fake time.
func inWorld(t *testing.T, f func(w *world, p *Runner)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{begin: time.Now(), down: map[string]bool{}, silent: map[string]bool{}, dials: map[string][]time.Duration{}}
		p := New(Options{Dial: w.dial, Results: w.take, Rand: func() float64 { return 1 }})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		f(w, p)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func tcp(address string) check.Config {
	return check.Config{Kind: check.TCP, Address: address, Inter: ms(1000), FastInter: ms(200), DownInter: ms(500), Rise: 2, Fall: 3}
}

// pass lets time go by and everything happen that then happens.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestIntervalsFollowTheState(t *testing.T) {
	inWorld(t, func(w *world, p *Runner) {
		p.Apply(map[string]check.Config{"b/s": tcp("s:1")})
		pass(ms(1500)) // ok at 0 and 1000
		w.set("s:1", true)
		pass(ms(1500)) // fails at 2000, 2200, 2400: down; 2900
		w.set("s:1", false)
		pass(ms(1500)) // ok at 3400, 3600: up
		want := []string{"0s UP", "1s UP", "2s UP 2/3", "2.2s UP 1/3", "2.4s DOWN", "2.9s DOWN", "3.4s DOWN 1/2", "3.6s UP"}
		var got []string
		for i, r := range w.results {
			got = append(got, fmt.Sprint(w.at[i], " ", r.State))
			if r.Changed != (i == 4 || i == 7) || r.First != (i == 0) || r.Name != "b/s" || r.Up != strings.HasPrefix(r.State, "UP") {
				t.Errorf("%d: %+v", i, r)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		for i, streak := range []int{0, 0, 1, 2, 0, 0, 1, 0} {
			if r := w.results[i]; r.Streak != streak || r.OK != (i < 2 || i > 5) || r.Rise != 2 || r.Fall != 3 {
				t.Errorf("%d: streak %d, ok %v of %s", i, r.Streak, r.OK, r.State)
			}
		}
		last := w.results[len(w.results)-1]
		if last.Failed != 3 || last.Downs != 1 || last.Since.Sub(w.begin) != ms(3600) || last.Status != L4OK {
			t.Errorf("at the end: %+v", last)
		}
	})
}

func TestStartsAreSpread(t *testing.T) {
	inWorld(t, func(w *world, p *Runner) {
		p.Apply(map[string]check.Config{"b/1": tcp("1:1"), "b/2": tcp("2:1"), "b/3": tcp("3:1"), "b/4": tcp("4:1")})
		pass(ms(1400))
		for i := range 4 {
			a := fmt.Sprintf("%d:1", i+1)
			want := []time.Duration{ms(250 * i)}
			if i < 2 {
				want = append(want, ms(250*i+1000))
			}
			if !slices.Equal(w.dials[a], want) {
				t.Errorf("%s asked at %v, want %v", a, w.dials[a], want)
			}
		}
	})
}

func TestJitter(t *testing.T) {
	inWorld(t, func(w *world, p *Runner) {
		c := tcp("s:1")
		c.Jitter = 50
		p.Apply(map[string]check.Config{"b/s": c})
		pass(ms(3100))
		if want := []time.Duration{0, ms(1500), ms(3000)}; !slices.Equal(w.dials["s:1"], want) {
			t.Errorf("asked at %v, want %v", w.dials["s:1"], want)
		}
	})
	p := New(Options{})
	for range 1000 {
		if d := p.jitter(ms(1000), 20); d < ms(800) || d > ms(1200) {
			t.Fatalf("20 %% of 1 s made it %v", d)
		}
	}
}

func TestConnectIsBounded(t *testing.T) {
	inWorld(t, func(w *world, p *Runner) {
		w.silent["s:1"] = true
		a, b := tcp("s:1"), tcp("s:1")
		a.Connect, b.Connect = ms(100), ms(5000)
		p.Apply(map[string]check.Config{"short": a})
		pass(ms(300))
		p.Apply(map[string]check.Config{"long": b})
		pass(ms(1100))
		if len(w.results) != 2 {
			t.Fatalf("%+v", w.results)
		}
		for i, want := range []time.Duration{ms(100), ms(1000)} { // the smaller of connect and inter
			if r := w.results[i]; r.Status != L4TOUT || r.Duration != want || r.Up {
				t.Errorf("got %+v, want L4TOUT after %v", r, want)
			}
		}
	})
}

func TestApplyDisturbsOnlyWhatChanged(t *testing.T) {
	inWorld(t, func(w *world, p *Runner) {
		w.set("b:1", true)
		p.Apply(map[string]check.Config{"a": tcp("a:1"), "b": tcp("b:1"), "c": tcp("c:1")})
		pass(ms(900)) // a at 0, b at 333 and 833, c at 666
		moved := tcp("c:2")
		same := tcp("a:1")
		same.Pos.Line = 17
		p.Apply(map[string]check.Config{"a": same, "c": moved, "d": tcp("d:1")})
		pass(ms(900))
		if want := []time.Duration{0, ms(1000)}; !slices.Equal(w.dials["a:1"], want) {
			t.Errorf("unchanged: asked at %v, want %v", w.dials["a:1"], want)
		}
		if n := len(w.dials["b:1"]); n != 2 {
			t.Errorf("taken away: asked %d times, want 2", n)
		}
		for _, addr := range []string{"c:2", "d:1"} {
			if want := []time.Duration{ms(900)}; !slices.Equal(w.dials[addr], want) {
				t.Errorf("%s asked at %v, want at once", addr, w.dials[addr])
			}
		}
		for _, r := range w.results {
			if r.Name == "c" && r.First && w.dials["c:2"] == nil {
				t.Error("a changed check is not a new one")
			}
		}
		// Down stays down until it has risen.
		p.Apply(map[string]check.Config{"b": tcp("b:1")})
		pass(ms(10))
		w.set("b:2", false)
		p.Apply(map[string]check.Config{"b": tcp("b:2")})
		pass(ms(100))
		if r := w.results[len(w.results)-1]; r.Name != "b" || r.Up || r.State != "DOWN 1/2" || r.Downs != 1 {
			t.Errorf("moved while down: %+v", r)
		}
	})
}

// Ending while a dial hangs, and while many results are on their way, leaves nothing behind.
func TestRunEnds(t *testing.T) {
	inWorld(t, func(w *world, p *Runner) {
		checks := map[string]check.Config{}
		for i := range 50 {
			a := fmt.Sprintf("%d:1", i)
			w.silent[a] = i%2 == 0
			checks[a] = tcp(a)
		}
		p.Apply(checks)
		pass(ms(700))
		p.Apply(nil)
		pass(ms(1))
		n := len(w.results)
		pass(time.Minute)
		if len(w.results) != n {
			t.Error("results after all checks were taken away")
		}
		p.Apply(checks)
		pass(ms(700))
	})
}

// serve answers each connection on a real socket.
func serve(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); answer(c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// reply reads the request, writes text and waits until the prober is through.
func reply(text string) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 4096)
		_, _ = c.Read(buf)
		_, _ = c.Write([]byte(text))
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, _ = c.Read(buf)
	}
}

func TestHTTPAnswers(t *testing.T) {
	cases := []struct {
		name   string
		answer func(net.Conn)
		status Status
		code   int
		says   string
	}{
		{"200", reply("HTTP/1.0 200 OK\r\n\r\n"), L7OK, 200, "200"},
		{"redirect", reply("HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n"), L7OK, 302, "302"},
		{"no reason, bare LF", reply("HTTP/1.1 204\n\n"), L7OK, 204, "204"},
		{"404", reply("HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nno!"), L7STS, 404, "404"},
		{"503", reply("HTTP/1.1 503 x\r\n\r\n"), L7STS, 503, "503"},
		{"garbage", reply("SSH-2.0-OpenSSH\r\n"), L7RSP, 0, "not HTTP"},
		{"code", reply("HTTP/1.1 2x0 OK\r\n\r\n"), L7RSP, 0, "not HTTP"},
		{"four digits", reply("HTTP/1.1 2000 OK\r\n\r\n"), L7RSP, 0, "not HTTP"},
		{"code 99", reply("HTTP/1.1 099 OK\r\n\r\n"), L7RSP, 0, "not HTTP"},
		{"closes", func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, L7RSP, 0, "closed without an answer"},
		{"closes in the head", func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)); _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nx:")) }, L7RSP, 0, "within the head"},
		{"silent", reply(""), L7TOUT, 0, "no answer in time"},
		{"drips", func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nx: "))
			for range 100 {
				if _, err := c.Write([]byte("y")); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}, L7TOUT, 0, "no answer in time"},
		{"endless head", func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n"))
			for {
				if _, err := c.Write([]byte("a: " + strings.Repeat("b", 1000) + "\r\n")); err != nil {
					return
				}
			}
		}, L7RSP, 0, "longer than"},
		{"endless body", func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
			for {
				if _, err := c.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}, L7OK, 200, "200"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conf := withDefaults(check.Config{Kind: check.HTTP, Address: serve(t, c.answer), Timeout: ms(300)})
			start := time.Now()
			out := ask(t.Context(), New(Options{}).opts.Dial, nil, conf)
			if out.Status != c.status || out.Code != c.code || !strings.Contains(out.Info, c.says) {
				t.Errorf("got %+v", out)
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		conf check.Config
		want string
	}{
		{check.Config{}, "OPTIONS / HTTP/1.0\r\n\r\n"},
		{check.Config{Method: "GET", URI: "/up", Host: "www"}, "GET /up HTTP/1.0\r\nHost: www\r\n\r\n"},
		{check.Config{Version: "HTTP/1.1", Host: "www"}, "OPTIONS / HTTP/1.1\r\nHost: www\r\nConnection: close\r\n\r\n"},
		{check.Config{Version: "HTTP/1.1", Address: "10.0.0.1:80"}, "OPTIONS / HTTP/1.1\r\nHost: 10.0.0.1:80\r\nConnection: close\r\n\r\n"},
	} {
		got := make(chan string, 1)
		address := serve(t, func(c net.Conn) {
			buf := make([]byte, 4096)
			n, _ := c.Read(buf)
			got <- string(buf[:n])
			_, _ = c.Write([]byte("HTTP/1.0 200 OK\r\n\r\n"))
		})
		conf := withDefaults(c.conf)
		conf.Kind = check.HTTP
		dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		if conf.Address == "" {
			conf.Address = address
		}
		if out := ask(t.Context(), dial, nil, conf); out.Status != L7OK {
			t.Errorf("%+v", out)
		}
		if g := <-got; g != c.want {
			t.Errorf("sent %q, want %q", g, c.want)
		}
	}
}

// A TCP check leaves with a FIN: the server reads an end of file, not a reset.
func TestTCP(t *testing.T) {
	saw := make(chan error, 1)
	address := serve(t, func(c net.Conn) {
		_, err := c.Read(make([]byte, 1))
		saw <- err
	})
	dial := New(Options{}).opts.Dial
	conf := withDefaults(check.Config{Kind: check.TCP, Address: address})
	if out := ask(t.Context(), dial, nil, conf); out.Status != L4OK {
		t.Errorf("%+v", out)
	}
	if err := <-saw; errors.Is(err, syscall.ECONNRESET) || err == nil {
		t.Errorf("the server saw %v, want the end of the stream", err)
	}

	host, _, _ := net.SplitHostPort(address)
	conf.Address, conf.Port = host, int(ports.Free(t, "127.0.0.1").Port())
	if out := ask(t.Context(), dial, nil, conf); out.Status != L4CON || out.Info != "connection refused" {
		t.Errorf("nobody listens: %+v", out)
	}
	conf.Address, conf.Port = "no port", 0
	if out := ask(t.Context(), dial, nil, conf); out.Status != L4CON || !strings.Contains(out.Info, "missing port") {
		t.Errorf("no port: %+v", out)
	}
}

func TestStopWhileServerIsSilent(t *testing.T) {
	p := New(Options{Results: func(r Result) { t.Errorf("a result: %+v", r) }})
	asked := make(chan struct{}, 10)
	address := serve(t, func(c net.Conn) { asked <- struct{}{}; reply("")(c) })
	p.Apply(map[string]check.Config{"b/s": {Kind: check.HTTP, Address: address, Inter: time.Hour}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	<-asked
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("Run waits for a silent server")
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 404\n\n", "HTTP/1.", "", "HTTP/1.1 200", "junk"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		head, err := readHead(strings.NewReader(string(b)))
		if len(head) > maxHead {
			t.Fatalf("%d bytes kept", len(head))
		}
		if code, ok := statusCode(head); ok && (code < 100 || code > 999 || err == nil && !mayBeHTTP(b)) {
			t.Fatalf("code %d of %q", code, b)
		}
	})
}
