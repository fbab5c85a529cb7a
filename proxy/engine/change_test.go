package engine

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// upgrading answers its name, and echoes what comes after an upgrade.
func upgrading(t *testing.T, name string) proxy.Server {
	return rawServer(t, name, func(c net.Conn, r *bufio.Reader) {
		for {
			head, err := readHead(r)
			if err != nil {
				return
			}
			if strings.Contains(head, "Upgrade: websocket") {
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				io.Copy(c, r)
				return
			}
			if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name); err != nil {
				return
			}
		}
	})
}

// TestServersChangeUnderLoad: 100 keep-alive clients and a WebSocket live through a change of the server list: no request
// fails, nobody new goes to the server that was removed, what is under way there goes on, and the counters go on too.
func TestServersChangeUnderLoad(t *testing.T) {
	a, b, c := upgrading(t, "a"), upgrading(t, "b"), upgrading(t, "c")
	var cfg proxy.Config
	s := start(t, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		c.Frontends[0].Log, c.Backends[0].Log = nil, nil
		cfg = *c
	})
	apply := func(servers ...proxy.Server) {
		t.Helper()
		next := cfg
		next.Backends = []proxy.Backend{cfg.Backends[0]}
		next.Backends[0].Servers = servers
		if ps := s.e.Apply(next); len(ps) > 0 {
			t.Fatal(ps)
		}
	}
	socket := s.talk(s.addr)
	socket.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(socket, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if head, err := readHead(socket.r); err != nil || !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("%q, %v", head, err)
	}
	echo := func(text string) {
		t.Helper()
		io.WriteString(socket, text)
		got := make([]byte, len(text))
		if _, err := io.ReadFull(socket.r, got); err != nil || string(got) != text {
			t.Fatalf("the WebSocket echoed %q, %v", got, err)
		}
	}
	echo("before")
	apply(a, b)

	const clients, each = 100, 30
	var gone, asked atomic.Int64 // gone: since when requests that begin may not go to a, by the number of those that did
	var wg sync.WaitGroup
	half := make(chan struct{})
	for range clients {
		conn := s.talk(s.addr)
		wg.Go(func() {
			for n := range each {
				removed := gone.Load()
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				resp, err := http.ReadResponse(conn.r, nil)
				if err != nil {
					t.Errorf("request %d: %v", n, err)
					return
				}
				body, _ := io.ReadAll(resp.Body)
				if resp.StatusCode != 200 || removed == 1 && string(body) == "a" {
					t.Errorf("request %d: status %d by %q", n, resp.StatusCode, body)
				}
				if asked.Add(1) == clients*each/2 {
					close(half)
				}
			}
		})
	}
	<-half
	apply(b, c)
	gone.Store(1)
	echo("after its server was removed")
	wg.Wait()
	echo("at the end")
	row, _ := s.e.Stats().Find("fe", "FRONTEND")
	if row.ConnTot != clients+1 || row.ReqTot != clients*each+1 || row.SCur != clients+1 {
		t.Errorf("%d connections, %d requests, %d now; want %d, %d, %d", row.ConnTot, row.ReqTot, row.SCur, clients+1, clients*each+1, clients+1)
	}
	if _, there := s.e.Stats().Find("be", "a"); there {
		t.Error("the removed server is still told of")
	}
}

// TestOtherProxiesGoOn: what a change does not name is not touched: connections and pools of another frontend and backend.
func TestOtherProxiesGoOn(t *testing.T) {
	_, a := named(t, "a")
	kept := 0
	var mu sync.Mutex
	h := rawServer(t, "b", func(c net.Conn, r *bufio.Reader) {
		mu.Lock()
		kept++
		mu.Unlock()
		for {
			if _, err := readHead(r); err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb")
		}
	})
	other := ports.Free(t, "127.0.0.1")
	var cfg proxy.Config
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) {
		c.Frontends = append(c.Frontends, proxy.Frontend{Name: "stays", Common: common(proxy.HTTP, nil), Binds: []proxy.Bind{{Addr: other}}, DefaultBackend: "kept"})
		c.Backends = append(c.Backends, proxy.Backend{Name: "kept", Common: common(proxy.HTTP, nil), Balance: proxy.RoundRobin, Servers: []proxy.Server{h}})
		cfg = *c
	})
	client := s.talk(other.String())
	for range 3 {
		if got := client.ask(t, 5*time.Second); got != 200 {
			t.Fatalf("status %d", got)
		}
		next := cfg
		next.Frontends = []proxy.Frontend{cfg.Frontends[1]} // the first goes and comes
		next.Backends = []proxy.Backend{cfg.Backends[1]}
		for _, c := range []proxy.Config{next, cfg} {
			if ps := s.e.Apply(c); len(ps) > 0 {
				t.Fatal(ps)
			}
		}
	}
	if got := client.ask(t, 5*time.Second); got != 200 {
		t.Fatalf("status %d", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if kept != 1 {
		t.Errorf("the server that stays has seen %d connections, want the one of the pool", kept)
	}
	if row, _ := s.e.Stats().Find("stays", "FRONTEND"); row.ReqTot != 4 || row.ConnTot != 1 {
		t.Errorf("%+v", row)
	}
}

// TestThreadsNeedAStart: another number of event loops is no change that can be made in place, and that is said.
func TestThreadsNeedAStart(t *testing.T) {
	_, a := named(t, "a")
	var cfg proxy.Config
	s := startOptions(t, Options{}, proxy.HTTP, []proxy.Server{a}, func(c *proxy.Config) { c.Global.NbThread = 1; cfg = *c })
	cfg.Global.NbThread = 2
	if ps := s.e.Apply(cfg); len(ps) != 1 || ps.HasErrors() || !strings.Contains(ps[0].Text, "nbthread 2 needs a start: 1 event loop") {
		t.Errorf("%v", ps)
	}
	if _, body := s.get("/"); body != "a" {
		t.Errorf("%q", body)
	}
}
