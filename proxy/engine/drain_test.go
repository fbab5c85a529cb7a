package engine

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

func (s *site) drain() <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		done <- s.e.Drain(ctx)
	}()
	return done
}

// TestDrainUnderLoad: clients keep their connections and ask without a pause while the node drains. All they may notice
// is that the address takes no new connections any more; one that the kernel took as the listener closed is reset.
func TestDrainUnderLoad(t *testing.T) {
	h := handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Millisecond) // so that the drain finds requests under way
		io.WriteString(w, "x")
	})
	s := start(t, proxy.HTTP, []proxy.Server{h}, nil)
	var served, closed atomic.Int64
	var clients sync.WaitGroup
	for range 24 {
		clients.Go(func() {
			c := keepAliveClient()
			defer c.CloseIdleConnections()
			for {
				reused := false
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+s.addr+"/", nil)
				resp, err := c.Do(req)
				if errors.Is(err, syscall.ECONNREFUSED) || !reused && errors.Is(err, syscall.ECONNRESET) && s.e.draining.Load() {
					return
				}
				if err != nil {
					t.Errorf("after %d requests: %v", served.Load(), err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || string(b) != "x" {
					t.Errorf("%d %q %v", resp.StatusCode, b, err)
				}
				served.Add(1)
				if resp.Close {
					closed.Add(1)
				}
			}
		})
	}
	for served.Load() < 500 && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	if err := <-s.drain(); err != nil {
		t.Error(err)
	}
	clients.Wait()
	if closed.Load() == 0 {
		t.Error("no answer said connection: close")
	}
}

// TestDrainAnswersWhatWasSent: a request that has arrived but was not looked at when the drain began is answered, and so
// is the first request of a connection that was open by then.
func TestDrainAnswersWhatWasSent(t *testing.T) {
	_, a := named(t, "a")
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		c.Frontends[0].Timeouts.HTTPRequest = 900 * time.Millisecond // shorter than accepting would be deferred
	})
	kept, fresh := s.dial(), s.dial()
	kr, fr := bufio.NewReader(kept), bufio.NewReader(fresh)
	ask(t, kept, kr, request("GET /"))
	l := s.e.loops[0]
	asleep, wake := make(chan struct{}), make(chan struct{})
	l.post(func() { close(asleep); <-wake })
	<-asleep
	if _, err := io.WriteString(kept, request("GET /")); err != nil {
		t.Fatal(err)
	}
	drained := s.drain()
	for !s.e.draining.Load() || !hasMail(l) {
		time.Sleep(time.Millisecond)
	}
	close(wake)
	resp, err := http.ReadResponse(kr, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); string(b) != "a" || !resp.Close {
		t.Errorf("%q, close %v", b, resp.Close)
	}
	if resp, body := ask(t, fresh, fr, request("GET /")); body != "a" || !resp.Close {
		t.Errorf("a new connection: %q, close %v", body, resp.Close)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func hasMail(l *loop) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mail) > 0
}

// TestDrainDoesNotWaitForTheMute: who connected and says nothing holds the drain up for a moment only.
func TestDrainDoesNotWaitForTheMute(t *testing.T) {
	_, a := named(t, "a")
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		c.Frontends[0].Timeouts.HTTPRequest = 0
		c.Frontends[0].Timeouts.Client = 900 * time.Millisecond
		c.Frontends[0].Timeouts.HTTPKeepAlive = time.Hour
	})
	s.dial()
	s.get("/")
	begin := time.Now()
	if err := <-s.drain(); err != nil || time.Since(begin) > 2*freshFor {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}
