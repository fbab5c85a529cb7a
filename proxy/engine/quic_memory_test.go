package engine

import (
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http3"
)

// TestQUICConnectionsOfTheBound: beyond the memory that the process may take connections are refused at once, which is counted;
// when one has gone there is room again.
func TestQUICConnectionsOfTheBound(t *testing.T) {
	const room = 3
	_, a := named(t, "a")
	s := startQUICOptions(t, Options{Loops: 1, MemoryMax: (room*(http3.ConnMemory+idleCost) + http3.ConnMemory/2) * 5 / 4}, []proxy.Server{a}, nil)
	var conns []*quic.Conn
	for range room {
		_, c := s.h3Client(nil)
		conns = append(conns, c)
	}
	if !s.refuses() {
		t.Error("one more than there is memory for is let in")
	}
	for end := time.Now().Add(5 * time.Second); s.e.Stats().Process.NoMemory == 0; {
		if time.Now().After(end) {
			t.Fatal("nothing was counted")
		}
	}
	conns[0].CloseWithError(quic.ApplicationErrorCode(h3.ErrCodeNoError), "")
	for end := time.Now().Add(5 * time.Second); s.refuses(); {
		if time.Now().After(end) {
			t.Fatal("there is no room when one has gone")
		}
	}
}

// TestQUICRequestsOfTheBound: requests for which there is no memory are answered with 503; those that were let in end well, and
// afterwards there is room again.
func TestQUICRequestsOfTheBound(t *testing.T) {
	const room = 3
	hold, held := make(chan struct{}), make(chan struct{}, 100)
	sv := handler(t, "a", func(w http.ResponseWriter, r *http.Request) { held <- struct{}{}; <-hold; io.WriteString(w, "a") })
	each := int64(http3.RequestMemory + 3*smallBuffer + idleCost)
	s := startQUICOptions(t, Options{Loops: 1, MemoryMax: (http3.ConnMemory + idleCost + room*each + each/2) * 5 / 4}, []proxy.Server{sv}, nil)
	client, _ := s.h3Client(nil)
	statuses := make(chan int, room)
	for range room {
		go func() {
			resp, err := client.RoundTrip(s.request("GET", "/", nil))
			if err != nil {
				statuses <- 0
				return
			}
			resp.Body.Close()
			statuses <- resp.StatusCode
		}()
		<-held
	}
	if resp, _ := s.do(client, s.request("GET", "/", nil)); resp.StatusCode != 503 {
		t.Errorf("beyond the bound: status %d", resp.StatusCode)
	}
	s.want(" fe~ fe/<NOSRV> ", " 503 ", " RR-- ")
	close(hold)
	for range room {
		if status := <-statuses; status != 200 {
			t.Errorf("a request that was let in: status %d", status)
		}
	}
	for end := time.Now().Add(5 * time.Second); ; { // what a request took is given back when its client has been told its end
		if resp, _ := s.do(client, s.request("GET", "/", nil)); resp.StatusCode == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("there is no room afterwards")
		}
	}
}

// TestQUICWindowsOfTheBound: what is granted for larger windows counts, and is given back with the connection.
func TestQUICWindowsOfTheBound(t *testing.T) {
	sv := handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(make([]byte, 8<<20))
	})
	s := startQUICOptions(t, Options{Loops: 1, MemoryMax: 1 << 30}, []proxy.Server{sv}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	client, conn := s.h3Client(nil)
	if _, body := s.do(client, s.request("POST", "/", io.LimitReader(zeros{}, 8<<20))); len(body) != 8<<20 {
		t.Errorf("%d bytes", len(body))
	}
	l := s.e.loops[0]
	if n := l.quicKept.Load(); n <= http3.ConnMemory {
		t.Errorf("%d bytes are kept for a connection whose windows have grown", n)
	}
	conn.CloseWithError(quic.ApplicationErrorCode(h3.ErrCodeNoError), "")
	for end := time.Now().Add(5 * time.Second); l.quicKept.Load() != 0; {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are kept for nobody", l.quicKept.Load())
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestQUICConnMemoryIsAnUpperBound: what a connection that has done its first request takes, at both of its ends, is not more than
// is set aside for it beside its windows.
func TestQUICConnMemoryIsAnUpperBound(t *testing.T) {
	_, a := named(t, "a")
	s := startQUIC(t, []proxy.Server{a}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	const n = 100
	taken := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	one := func() {
		client, _ := s.h3Client(nil)
		s.do(client, s.request("GET", "/", nil))
	}
	one()
	before := taken()
	for range n {
		one()
	}
	if each := (taken() - before) / n; each > http3.ConnMemory {
		t.Errorf("a connection takes %d bytes, %d are set aside", each, http3.ConnMemory)
	} else {
		t.Logf("a connection takes %d bytes at both ends", each)
	}
}
