package engine

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stats"
)

func (s *site) row(server string) stats.Row {
	s.t.Helper()
	r, ok := s.e.Stats().Find("be", server)
	if !ok {
		s.t.Fatalf("no row of %s", server)
	}
	return r
}

// Weight and limit of a server that came up grow in HAProxy's steps: of slowstart 4s on weight 100 these are measured.
func TestSlowStart(t *testing.T) {
	for _, alg := range []proxy.Algorithm{proxy.RoundRobin, proxy.LeastConn, proxy.Random, proxy.StaticRR} {
		t.Run(alg.String(), func(t *testing.T) {
			_, a := named(t, "a")
			_, b := named(t, "b")
			a.Weight, a.SlowStart, a.MaxConn, a.Check = 100, 4*time.Second, 50, "be/a"
			b.Weight = 100
			s := start(t, proxy.HTTP, []proxy.Server{a, b}, func(c *proxy.Config) { c.Backends[0].Balance = alg })
			if r := s.row("a"); r.Weight != 100 || r.Throttle != 0 {
				t.Errorf("at the start: weight %d, throttle %d", r.Weight, r.Throttle)
			}
			s.e.mu.Lock() // keeps tend out, whose clock is another
			defer s.e.mu.Unlock()
			now, rt := time.Now(), s.e.find("be", "a")
			conf := rt.backend.conf.Load()
			s.e.heard(rt, false, stats.CheckResult{Failed: true}, nil, now)
			s.e.heard(rt, true, stats.CheckResult{}, nil, now)
			weights, throttles, limits := []int{7, 32, 57, 82, 100}, []int{6, 31, 56, 81, 0}, []int64{1, 12, 25, 37, 50}
			for i, want := range weights {
				s.e.heard(rt, true, stats.CheckResult{}, nil, now.Add(time.Duration(i)*time.Second))
				throttle := throttles[i]
				if alg == proxy.StaticRR {
					want, throttle = 100, 0
					if i < 4 {
						throttle = 100
					}
				}
				if w, th, limit := rt.shownWeight(conf), rt.throttle(conf), rt.cap(); w != want || th != throttle || limit != limits[i] {
					t.Errorf("after %d s: weight %d, throttle %d, limit %d, want %d, %d, %d", i, w, th, limit, want, throttle, limits[i])
				}
			}
		})
	}
}

// Time alone makes a slow start go on.
func TestSlowStartEnds(t *testing.T) {
	_, a := named(t, "a")
	a.Weight, a.SlowStart, a.Check = 100, time.Second, "be/a"
	s := start(t, proxy.HTTP, []proxy.Server{a}, nil)
	s.e.SetHealth("be", "a", false, stats.CheckResult{Failed: true})
	s.e.SetHealth("be", "a", true, stats.CheckResult{})
	if w := s.row("a").Weight; w > 7 && w != 100 {
		t.Errorf("weight %d right after it came up", w)
	}
	for end := time.Now().Add(10 * time.Second); s.row("a").Weight != 100; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the weight does not grow")
		}
	}
}

func TestWeightsAtRunTime(t *testing.T) {
	_, a := named(t, "a")
	_, b := named(t, "b")
	s := start(t, proxy.HTTP, []proxy.Server{a, b}, nil)
	set := func(server string, weight int) {
		t.Helper()
		if err := s.e.SetWeight("be", server, weight); err != nil {
			t.Error(err)
		}
	}
	count := func(n int) string {
		got := map[string]int{}
		for range n {
			_, body := s.get("/")
			got[body]++
		}
		return fmt.Sprint(got)
	}
	set("a", 3)
	if got := count(8); got != "map[a:6 b:2]" {
		t.Errorf("3:1 gave %s", got)
	}
	set("a", 0)
	if got := count(4); got != "map[b:4]" {
		t.Errorf("0:1 gave %s", got)
	}
	s.e.mu.Lock()
	same := s.e.cfg
	s.e.mu.Unlock()
	s.e.Apply(same)
	if got := count(2); got != "map[b:2]" {
		t.Errorf("after an apply that says nothing new: %s", got)
	}
	for _, bad := range []struct {
		backend, server string
		weight          int
	}{{"x", "a", 1}, {"be", "x", 1}, {"be", "a", 257}, {"be", "a", -1}} {
		if s.e.SetWeight(bad.backend, bad.server, bad.weight) == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	same.Backends = slices.Clone(same.Backends)
	same.Backends[0].Balance = proxy.StaticRR
	s.e.Apply(same)
	if s.e.SetWeight("be", "a", 7) == nil || s.e.SetWeight("be", "a", 1) != nil || s.e.SetWeight("be", "a", 0) != nil {
		t.Error("a static map takes 0 and the configured weight, and no other")
	}
}

// slow is a server that answers its name when it is let go.
func slow(t *testing.T, name string, arrived chan<- string, release <-chan struct{}) proxy.Server {
	return handler(t, name, func(w http.ResponseWriter, r *http.Request) {
		arrived <- name + r.URL.Path
		<-release
		io.WriteString(w, name)
	})
}

// A server's queue is full at maxqueue: who is tied to it goes elsewhere with `option redispatch`, and is refused without.
func TestMaxQueue(t *testing.T) {
	for _, redispatch := range []int{0, -1} {
		t.Run(fmt.Sprint(redispatch), func(t *testing.T) {
			arrived, release := make(chan string, 10), make(chan struct{})
			a := slow(t, "a", arrived, release)
			_, b := named(t, "b")
			a.Cookie, b.Cookie, a.MaxConn, a.MaxQueue, b.Weight = "a", "b", 1, 1, 0
			b.Weight = 1
			s := start(t, proxy.HTTP, []proxy.Server{a, b}, func(c *proxy.Config) {
				c.Backends[0].Cookie = &proxy.Cookie{Name: "S"}
				c.Backends[0].Redispatch = redispatch
				c.Backends[0].Timeouts.Queue = 5 * time.Second
			})
			answers := make(chan string, 2)
			for i := range 2 {
				go func() { _, body := s.get("/", "Cookie", "S=a"); answers <- body }()
				if i == 0 {
					<-arrived
				}
			}
			for end := time.Now().Add(5 * time.Second); s.row("a").QCur != 1; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("nobody queues")
				}
			}
			resp, body := s.get("/third", "Cookie", "S=a")
			if redispatch == 0 && resp.StatusCode != 503 || redispatch != 0 && (body != "b" || resp.Header.Get("Set-Cookie") != "S=b; path=/") {
				t.Errorf("%d %q %q", resp.StatusCode, body, resp.Header.Get("Set-Cookie"))
			}
			if redispatch == 0 {
				s.want(" SQV- ", "503", "be/<NOSRV>")
			}
			close(release)
			if x, y := <-answers, <-answers; x != "a" || y != "a" {
				t.Errorf("those in the queue got %q and %q", x, y)
			}
		})
	}
}

// The queue is served by class, then by time and offset; equals in the order in which they came.
func TestQueueOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &queue{}
		conf := &backConf{}
		type entry struct {
			key int64
			n   int
		}
		var want []entry
		var in []*waiter
		for n := range rapid.IntRange(1, 30).Draw(t, "waiters") {
			key := queueKey(rapid.Int32Range(-3, 3).Draw(t, "class"), rapid.Int32Range(-20, 20).Draw(t, "offset"), int64(n/3)*1e6)
			w := &waiter{conf: conf, key: key, life: uint64(n)}
			q.join(w)
			in = append(in, w)
			want = append(want, entry{key, n})
			if rapid.IntRange(0, 4).Draw(t, "gives up") == 0 {
				k := rapid.IntRange(0, len(in)-1).Draw(t, "who")
				q.leave(in[k])
				in, want = slices.Delete(in, k, k+1), slices.Delete(want, k, k+1)
			}
		}
		slices.SortStableFunc(want, func(a, b entry) int { return int(min(max(a.key-b.key, -1), 1)) })
		var got []entry
		last := (*waiter)(nil)
		for w := q.head; w != nil; w = w.next {
			if w.prev != last {
				t.Fatal("the list is torn")
			}
			got, last = append(got, entry{w.key, int(w.life)}), w
		}
		if q.tail != last || !slices.Equal(got, want) || int(q.size.Load()) != len(want) {
			t.Fatalf("the queue is %v, want %v", got, want)
		}
	})
}

func TestTrack(t *testing.T) {
	_, a := named(t, "a")
	_, b := named(t, "b")
	_, c := named(t, "c")
	b.Track, c.Track, a.Check = "be/a", "b", "be/a"
	_, d := named(t, "d")
	s := start(t, proxy.HTTP, []proxy.Server{a, b, c, d}, nil)
	s.e.SetHealth("be", "a", false, stats.CheckResult{Status: "L4CON", Failed: true})
	s.want("Server be/a is DOWN, reason: Layer4 connection problem")
	both := s.want(" via be/a.") + s.want(" via be/a.")
	if !strings.Contains(both, "Server be/b is DOWN") || !strings.Contains(both, "Server be/c is DOWN") {
		t.Errorf("told %q", both)
	}
	if _, body := s.get("/"); body != "d" {
		t.Errorf("%q answers", body)
	}
	s.e.SetHealth("be", "a", true, stats.CheckResult{Status: "L4OK"})
	got := map[string]bool{}
	for range 4 {
		_, body := s.get("/")
		got[body] = true
	}
	if len(got) != 4 {
		t.Errorf("afterwards %v answer", got)
	}
}

func TestDisabledAndShutdown(t *testing.T) {
	arrived, release := make(chan string, 10), make(chan struct{})
	a, b := slow(t, "a", arrived, release), slow(t, "b", arrived, release)
	defer close(release)
	_, c := named(t, "c")
	a.OnMarkedDown, a.OnMarkedUp, a.Check = "shutdown-sessions", "shutdown-backup-sessions", "be/a"
	b.Backup, c.Disabled = true, true
	s := start(t, proxy.HTTP, []proxy.Server{a, b, c}, nil)
	if st := s.row("c").Status; st != "MAINT" {
		t.Errorf("status %q", st)
	}
	for _, step := range []struct{ server, flags string }{{"a", " DH-- "}, {"b", " UH-- "}} {
		status := make(chan int, 1)
		go func() { resp, _ := s.get("/"); status <- resp.StatusCode }()
		if got := <-arrived; got != step.server+"/" {
			t.Errorf("%s is asked", got)
		}
		s.e.SetHealth("be", "a", step.server == "b", stats.CheckResult{Status: "L4CON", Failed: step.server == "a"})
		if got := <-status; got != 502 {
			t.Errorf("status %d", got)
		}
		s.untilLogged(step.flags)
	}
}

// dropping is a server that closes instead of answering while bad says so.
func dropping(t *testing.T, name string, bad func() bool) proxy.Server {
	return rawServer(t, name, func(c net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err == nil && !bad() {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n"+name)
		}
	})
}

// nginx's passive check: after max_fails failures a server is left alone, later it is tried again.
func TestMaxFails(t *testing.T) {
	a := dropping(t, "a", func() bool { return true })
	_, b := named(t, "b")
	a.MaxFails, a.FailTimeout = 2, time.Hour
	s := start(t, proxy.HTTP, []proxy.Server{a, b}, nil)
	for range 4 {
		s.get("/")
	}
	s.untilLogged("Server be/a is left alone for 1h0m0s after 2 failures. 1 active")
	for range 6 {
		if _, body := s.get("/"); body != "b" {
			t.Fatalf("%q answers", body)
		}
	}
	if st := s.row("a").Status; st != "DOWN (max_fails)" {
		t.Errorf("status %q", st)
	}
	s.e.advance(time.Now().Add(2 * time.Hour))
	s.untilLogged("Server be/a is tried again. 2 active")
	s.get("/")
	s.get("/")
	s.untilLogged("Server be/a is left alone") // one failure is enough now
}

func TestTheLastServerIsNotLeftAlone(t *testing.T) {
	bad := true
	a := dropping(t, "a", func() bool { return bad })
	a.MaxFails = 1
	s := start(t, proxy.HTTP, []proxy.Server{a}, nil)
	for range 3 {
		if resp, _ := s.get("/"); resp.StatusCode != 502 {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	if s.e.find("be", "a").blocked.Load() {
		t.Error("it is blocked")
	}
}

// observe counts bad signs in a row, and tells when there are error-limit of them.
func TestObserve(t *testing.T) {
	for _, c := range []struct {
		name    string
		observe proxy.Observe
		answers string // of the server, one a request: 2 or 5 of a hundred, 1 is 501, x drops the connection
		told    int
	}{
		{"5xx", proxy.Layer7, "555", 1},
		{"in a row", proxy.Layer7, "55255x", 1},
		{"not in a row", proxy.Layer7, "552552", 0},
		{"no server errors", proxy.Layer7, "111111", 0},
		{"layer 4 sees no answers", proxy.Layer4, "5x5x5x", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := make(chan byte, len(c.answers))
			for i := range c.answers {
				next <- c.answers[i]
			}
			a := rawServer(t, "a", func(k net.Conn, r *bufio.Reader) {
				if _, err := readHead(r); err != nil {
					return
				}
				if status := map[byte]string{'2': "200 OK", '5': "500 No", '1': "501 Not"}[<-next]; status != "" {
					io.WriteString(k, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				}
			})
			a.Observe, a.ErrorLimit, a.OnError = c.observe, 3, proxy.MarkDown
			told := make(chan string, 10)
			s := startLoops(t, 1, proxy.HTTP, []proxy.Server{a}, nil)
			s.e.mu.Lock()
			s.e.opts.Observed = func(backend, server string, on proxy.OnError) { told <- fmt.Sprint(backend, "/", server, on) }
			s.e.mu.Unlock()
			for range c.answers {
				s.get("/")
			}
			for range c.told {
				select {
				case got := <-told:
					if got != "be/a1" {
						t.Errorf("told %s", got)
					}
				case <-time.After(5 * time.Second):
					t.Fatal("nothing is told")
				}
			}
			s.e.acted(sign{server: s.e.find("be", "a")}, time.Now()) // one more, so that those before must have come
			if <-told; len(told) > 0 {
				t.Errorf("told %d times too often", len(told))
			}
		})
	}
}

// What another attempt makes good is no bad sign of a server, but for junk: HAProxy's do_l7_retry comes before its
// health_adjust, in all cases but that of an answer that can't be parsed. One that is not made good is.
func TestObserveOfRetries(t *testing.T) {
	closing := func(answer string) func(*testing.T) proxy.Server {
		return func(t *testing.T) proxy.Server {
			return rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
				if _, err := readHead(r); err == nil {
					io.WriteString(c, answer)
				}
			})
		}
	}
	refusing := func(t *testing.T) proxy.Server {
		server, _ := framing(t, func(f *http2.Framer) {
			f.WriteSettings()
			answerFrames(f, func(frame http2.Frame) bool {
				if frame.Header().Type == http2.FrameHeaders {
					f.WriteRSTStream(frame.Header().StreamID, http2.ErrCodeRefusedStream)
				}
				return true
			})
		})
		return server
	}
	for _, c := range []struct {
		name, on string
		server   func(*testing.T) proxy.Server
		retries  int
		told     bool
	}{
		{"refused, made good", "", refusing, 1, false},
		{"refused, not made good", "", refusing, 0, true},
		{"empty, made good", "empty-response", closing(""), 1, false},
		{"empty, not made good", "empty-response", closing(""), 0, true},
		{"a status, made good", "503", closing("HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), 1, false},
		{"junk, made good", "junk-response", closing("junk\r\n\r\n"), 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := c.server(t)
			_, b := named(t, "b")
			a.Observe, b.Observe, a.ErrorLimit, a.OnError = proxy.Layer7, proxy.Layer7, 1, proxy.FastInter
			told := make(chan string, 10)
			s := startLoops(t, 1, proxy.HTTP, []proxy.Server{a, b}, func(cfg *proxy.Config) {
				be := &cfg.Backends[0]
				be.Retries, be.Redispatch = c.retries, 1
				if c.on != "" {
					be.RetryOn = []string{c.on}
				}
			})
			s.e.mu.Lock()
			s.e.opts.Observed = func(_, server string, _ proxy.OnError) { told <- server }
			s.e.mu.Unlock()
			resp, body := s.get("/") // a is the first
			if made := resp.StatusCode == 200 && body == "b"; made != (c.retries > 0) {
				t.Fatalf("%d %q", resp.StatusCode, body)
			}
			s.e.raise(sign{server: s.e.find("be", "b")}) // news come in their order
			if first := <-told; first == "a" != c.told {
				t.Errorf("told of %s", first)
			}
		})
	}
}

// Who answers sooner gets more; nobody is forgotten.
func TestLeastTime(t *testing.T) {
	quick := handler(t, "quick", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "quick") })
	late := handler(t, "late", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(30 * time.Millisecond)
		io.WriteString(w, "late")
	})
	for _, lastByte := range []bool{false, true} {
		s := start(t, proxy.HTTP, []proxy.Server{late, quick}, func(c *proxy.Config) {
			c.Backends[0].Balance, c.Backends[0].BalanceArgs.LastByte = proxy.LeastTime, lastByte
		})
		got := map[string]int{}
		for range 12 {
			_, body := s.get("/")
			got[body]++
		}
		if got["late"] == 0 || got["late"] > 2 {
			t.Errorf("last byte %v: %v", lastByte, got)
		}
	}
}

func TestPreferLastServer(t *testing.T) {
	_, a := named(t, "a")
	_, b := named(t, "b")
	for _, prefer := range []bool{false, true} {
		s := start(t, proxy.HTTP, []proxy.Server{a, b}, func(c *proxy.Config) { c.Backends[0].PreferLast = prefer })
		c := s.dial()
		r := bufio.NewReader(c)
		got := ""
		for range 4 {
			io.WriteString(c, request("GET /"))
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			got += string(body)
		}
		if want := map[bool]string{false: "abab", true: "aaaa"}[prefer]; got != want {
			t.Errorf("prefer %v: %s, want %s", prefer, got, want)
		}
	}
}
