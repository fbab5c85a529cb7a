package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stick"
)

// from asks on a connection of a loopback address.
func (s *site) from(ip string) string {
	s.t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).DialContext}
	resp, err := (&http.Client{Transport: tr}).Get("http://" + s.addr + "/")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

func stickSite(t *testing.T) *site {
	_, a := named(t, "a")
	_, b := named(t, "b")
	return start(t, proxy.HTTP, []proxy.Server{a, b}, func(c *proxy.Config) {
		c.Backends[0].StickTable = &proxy.StickTable{Type: "ip", Size: 10_000, Expire: time.Minute}
		c.Backends[0].Stick = []proxy.StickRule{{On: "src"}}
	})
}

// TestOfferAgain: without a quorum clients are served and stay with their server; after the heal the cluster hears of all
// that it has not confirmed, and of nothing else.
func TestOfferAgain(t *testing.T) {
	s := stickSite(t)
	s.rep.set(true)
	want := map[string]string{}
	for _, ip := range []string{"127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14"} {
		want[ip] = s.from(ip)
		if again := s.from(ip); again != want[ip] {
			t.Errorf("%s moved from %s to %s while offers were dropped", ip, want[ip], again)
		}
	}
	// The log decided on one of them, and against this node on another.
	s.e.Bindings([]stick.Binding{
		{Table: "be", Key: "127.0.0.11", Server: want["127.0.0.11"], TTL: time.Minute},
		{Table: "be", Key: "127.0.0.12", Server: "a", TTL: time.Minute},
	})
	delete(want, "127.0.0.11")
	delete(want, "127.0.0.12")

	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if n, err := s.e.OfferAgain(soon); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing finds room: %d taken, %v", n, err)
	}
	s.rep.set(false)
	if n, err := s.e.OfferAgain(t.Context()); n != 2 || err != nil {
		t.Errorf("%d taken, %v; want 2", n, err)
	}
	for _, b := range s.rep.list() {
		if want[b.Key] != b.Server || b.Table != "be" || b.TTL <= 0 || b.TTL > time.Minute {
			t.Errorf("offered %+v, want %v", b, want)
		}
		delete(want, b.Key)
	}
	if len(want) > 0 {
		t.Errorf("not offered again: %v", want)
	}
	// Once the log has confirmed them there is nothing left to say.
	confirm := s.rep.list()
	s.e.Bindings(confirm)
	s.rep.set(false)
	if n, err := s.e.OfferAgain(t.Context()); n != 0 || err != nil || len(s.rep.list()) != 0 {
		t.Errorf("%d offered after all was confirmed, %v", n, err)
	}
}

// TestOfferAgainOfManyEntries: a table of many pieces is offered in full while the Replicator is full now and then, and
// requests are answered meanwhile.
func TestOfferAgainOfManyEntries(t *testing.T) {
	s := stickSite(t)
	const entries = 5000
	filled := make(chan struct{})
	s.e.loops[0].post(func() {
		defer close(filled)
		tab := s.e.backs["be"].tables[0]
		for i := range entries {
			ip := net.IPv4(10, 0, byte(i>>8), byte(i)).String()
			key, err := stick.ParseKey(ip)
			if err != nil {
				t.Error(err)
			}
			tab.Bind("be", key, "a", s.e.loops[0].now)
		}
	})
	<-filled
	s.rep.set(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if n, err := s.e.OfferAgain(t.Context()); n < entries || err != nil {
			t.Errorf("%d taken, %v", n, err)
		}
	}()
	begin := time.Now()
	s.from("127.0.0.21")
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a request took %v", took)
	}
	s.rep.set(false)
	<-done
	seen := map[string]bool{}
	for _, b := range s.rep.list() {
		seen[b.Key] = true
	}
	if len(seen) < entries {
		t.Errorf("%d of %d entries were offered", len(seen), entries)
	}
}

// TestOfferAgainOfAnEngineThatDoesNotRun returns at once.
func TestOfferAgainOfAnEngineThatDoesNotRun(t *testing.T) {
	if n, err := New(Options{}).OfferAgain(t.Context()); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// TestBindingsAreWithEveryLoop when the call returns, however much a loop has to do: who is told then lets clients come.
func TestBindingsAreWithEveryLoop(t *testing.T) {
	s := stickSite(t)
	s.from("127.0.0.1") // it runs
	busy := make(chan struct{})
	var free atomic.Bool
	s.e.loops[1].post(func() { <-busy })
	time.AfterFunc(50*time.Millisecond, func() {
		free.Store(true)
		close(busy)
	})
	s.e.Bindings([]stick.Binding{{Table: "be", Key: "127.0.0.1", Server: "b", TTL: time.Minute}})
	if !free.Load() {
		t.Error("it returned before a loop that had something else to do")
	}
}

// contrary is a Replicator whose cluster has agreed on a server before an offer returns.
type contrary struct {
	e      atomic.Pointer[Engine]
	server string
}

func (c *contrary) Offer(b stick.Binding) bool {
	e := c.e.Load()
	key, err := stick.ParseKey(b.Key)
	if err != nil {
		return false
	}
	for _, l := range e.loops {
		l.post(func() { e.backs[b.Table].tables[l.id].Apply(key, c.server, time.Minute, l.now) })
	}
	return true
}

// TestQuickAnswerOfTheLog: where the cluster had agreed on another server, every loop follows it, even if it says so before
// the loop that asked has told the others. Else a client would have one server on this loop and another on that.
func TestQuickAnswerOfTheLog(t *testing.T) {
	_, a := named(t, "a")
	_, b := named(t, "b")
	log := &contrary{server: "b"}
	s := startOptions(t, Options{Loops: 3, Replicator: log}, proxy.HTTP, []proxy.Server{a, b}, func(c *proxy.Config) {
		c.Backends[0].StickTable = &proxy.StickTable{Type: "ip", Size: 100, Expire: time.Minute}
		c.Backends[0].Stick = []proxy.StickRule{{On: "src"}}
	})
	log.e.Store(s.e)
	if got := s.from("127.0.0.31"); got != "a" {
		t.Fatalf("%s answered first", got)
	}
	key, err := stick.ParseKey("127.0.0.31")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range s.e.loops {
		read := make(chan stick.Found, 1)
		l.post(func() {
			f, _ := s.e.backs["be"].tables[l.id].Lookup(key, l.now)
			read <- f
		})
		if f := <-read; f.Server != "b" || f.Tentative {
			t.Errorf("loop %d sends the client to %q (tentative: %v), the log says b", l.id, f.Server, f.Tentative)
		}
	}
}
