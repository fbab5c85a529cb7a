package engine

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stats"
)

// TestWheel fires timers of every distance at their millisecond, whatever the steps of the clock.
func TestWheel(t *testing.T) {
	w := newWheel(12345)
	now := int64(12345)
	fired := 0
	var ts []*tester
	for i := range 5000 {
		d := rand.Int64N(1 << (1 + i%26))
		x := &tester{w: w, due: now + 1 + d, fired: &fired, t: t}
		x.timer.owner = x
		w.add(&x.timer, x.due)
		ts = append(ts, x)
	}
	for i, x := range ts {
		if i%5 == 0 {
			w.remove(&x.timer)
			x.removed = true
		}
	}
	for steps := 0; w.next() != noDeadline; steps++ {
		if next := w.next(); next > now+1<<27 {
			t.Fatalf("next is %d at %d", next, now)
		}
		now += 1 + rand.Int64N(1<<(steps%20))
		w.advance(now)
	}
	if fired != 4000 {
		t.Errorf("%d fired", fired)
	}
}

type tester struct {
	timer   timer
	w       *wheel
	due     int64
	removed bool
	fired   *int
	t       *testing.T
}

func (x *tester) expired() {
	*x.fired++
	if x.removed || x.w.now != x.due {
		x.t.Errorf("due %d, fired at %d, removed %v", x.due, x.w.now, x.removed)
	}
}

// TestChangesUnderLoad applies configurations and turns health while clients ask; nobody may see an error.
func TestChangesUnderLoad(t *testing.T) {
	var servers []proxy.Server
	for _, n := range []string{"a", "b", "c"} {
		sv := handler(t, n, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
		sv.Check, sv.MaxConn = n, 2
		servers = append(servers, sv)
	}
	var cfg proxy.Config
	s := start(t, proxy.HTTP, servers, func(c *proxy.Config) {
		c.Backends[0].Timeouts.Queue = 20 * time.Second
		c.Backends[0].Redispatch = -1
		cfg = *c
	})
	stop := make(chan struct{})
	var clients, changes sync.WaitGroup
	for i := range 16 {
		clients.Go(func() {
			c := keepAliveClient()
			defer c.CloseIdleConnections()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				req, _ := http.NewRequest([]string{"GET", "PUT"}[n%2], "http://"+s.addr+"/", nil)
				req.Close = n%7 == i%7
				resp, err := c.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
		})
	}
	changes.Go(func() {
		for i := range 40 {
			down := servers[i%3].Name
			s.e.SetHealth("be", down, false, stats.CheckResult{Status: "L4CON", Failed: true})
			next := cfg
			next.Backends = []proxy.Backend{cfg.Backends[0]}
			next.Backends[0].Servers = append([]proxy.Server(nil), servers...)
			next.Backends[0].Servers[(i+1)%3].Weight = 1 + i%4
			if ps := s.e.Apply(next); len(ps) > 0 {
				t.Error(ps)
			}
			s.e.Stats()
			time.Sleep(10 * time.Millisecond) // load goes on meanwhile
			s.e.SetHealth("be", down, true, stats.CheckResult{Status: "L4OK"})
		}
	})
	changes.Wait()
	close(stop)
	clients.Wait()
	for deadline := time.Now().Add(3 * time.Second); ; {
		row, _ := s.e.Stats().Find("be", "BACKEND")
		if row.SCur == 0 && row.QCur == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left over: %d sessions, %d queued", row.SCur, row.QCur)
		}
	}
	for _, sv := range servers {
		row, _ := s.e.Stats().Find("be", sv.Name)
		if row.SCur != 0 || row.SMax > 2 {
			t.Errorf("%s: scur %d smax %d", sv.Name, row.SCur, row.SMax)
		}
	}
}

func TestSourceKeepsItsServer(t *testing.T) {
	var servers []proxy.Server
	for i := range 3 {
		_, sv := named(t, fmt.Sprint("s", i))
		servers = append(servers, sv)
	}
	s := start(t, proxy.HTTP, servers, func(c *proxy.Config) { c.Backends[0].Balance = proxy.Source })
	_, first := s.get("/")
	for range 10 {
		if _, body := s.get("/"); body != first {
			t.Fatalf("%s answered, before it was %s", body, first)
		}
	}
}

func TestDontLogNull(t *testing.T) {
	_, a := named(t, "a")
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		c.Frontends[0].DontLogNull = true
		c.Frontends[0].Timeouts.HTTPRequest = time.Second
	})
	s.dial().Close()
	s.raw("") // 408, not told
	s.get("/told")
	s.want(`"GET /told HTTP/1.1"`)
}
