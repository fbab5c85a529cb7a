package engine

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// ask sends a request on a connection and returns the answer and its body.
func ask(t *testing.T, c net.Conn, r *bufio.Reader, text string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// guarded are servers that authenticate connections, not requests: the first request of each gets a challenge, and each
// answer tells which connection it came over.
func guarded(t *testing.T, names ...string) (all []proxy.Server) {
	var conns atomic.Int64
	for _, name := range names {
		all = append(all, rawServer(t, name, func(c net.Conn, r *bufio.Reader) {
			id := conns.Add(1)
			who := ""
			for {
				h, err := readHead(r)
				if err != nil {
					return
				}
				if _, v, ok := strings.Cut(h, "Authorization: NTLM "); ok {
					who, _, _ = strings.Cut(v, "\r\n")
				}
				body := fmt.Sprintf("%s/%d %s", name, id, who)
				status := "200 OK"
				if who == "" && !strings.Contains(h, "GET /open ") {
					status = "401 Unauthorized\r\nWWW-Authenticate: NTLM"
				}
				fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
				if strings.Contains(h, "GET /bye ") {
					return
				}
			}
		}))
	}
	return all
}

// TestAuthenticatedConnectionIsItsClientsAlone: two clients log in over NTLM; each goes on over its own connection to its
// own server, and nobody is ever taken for somebody else.
func TestAuthenticatedConnectionIsItsClientsAlone(t *testing.T) {
	s := startLoops(t, 1, proxy.HTTP, guarded(t, "a", "b"), nil)
	type client struct {
		net.Conn
		r   *bufio.Reader
		via string
	}
	var clients []*client
	for _, name := range []string{"anna", "bert", "carl"} {
		c := s.dial()
		k := &client{Conn: c, r: bufio.NewReader(c)}
		resp, challenge := ask(t, c, k.r, request("GET /"))
		if resp.StatusCode != 401 {
			t.Fatalf("%d %q", resp.StatusCode, challenge)
		}
		_, body := ask(t, c, k.r, request("GET /", "Authorization: NTLM "+name))
		if body != challenge+name {
			t.Fatalf("%s logged in at %q, was challenged at %q", name, body, challenge)
		}
		k.via = body
		clients = append(clients, k)
	}
	for range 3 {
		for _, k := range clients {
			if _, body := ask(t, k, k.r, request("GET /")); body != k.via {
				t.Errorf("answered over %q, logged in at %q", body, k.via)
			}
		}
		if resp, body := s.get("/"); resp.StatusCode != 401 {
			t.Errorf("a stranger was let in: %q", body)
		}
	}
	// POST is not repeatable; it goes over the client's connection all the same.
	if _, body := ask(t, clients[0], clients[0].r, request("POST /", "Content-Length: 0")); body != clients[0].via {
		t.Errorf("POST went over %q", body)
	}
	// The server ends the connection: the next request goes elsewhere, as a stranger's.
	ask(t, clients[1], clients[1].r, request("GET /bye"))
	if resp, body := ask(t, clients[1], clients[1].r, request("GET /")); resp.StatusCode != 401 {
		t.Errorf("after the connection was lost: %q", body)
	}
	// A client that leaves takes its connection with it.
	for _, k := range clients {
		k.Close()
	}
	for end := time.Now().Add(3 * time.Second); s.e.Stats().Process.CurrConns > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("connections are left")
		}
	}
	for range 6 {
		if resp, body := s.get("/"); resp.StatusCode != 401 {
			t.Errorf("a stranger got a connection of somebody who left: %q", body)
		}
	}
}

// TestPinnedConnectionThatIsLost: a server connection that ends while its client idles is noticed, not kept.
func TestPinnedConnectionThatIsLost(t *testing.T) {
	closing := make(chan net.Conn, 1)
	sv := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n")
		select {
		case closing <- c:
			io.Copy(io.Discard, r)
		default:
		}
	})
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{sv}, nil)
	c := s.dial()
	r := bufio.NewReader(c)
	ask(t, c, r, request("GET /1"))
	pinned := func() (n int) {
		done := make(chan struct{})
		s.e.loops[0].post(func() {
			for x := s.e.loops[0].live; x != nil; x = x.next {
				if x.pinned != nil {
					n++
				}
			}
			close(done)
		})
		<-done
		return n
	}
	if pinned() != 1 {
		t.Fatal("the connection was not kept for its client")
	}
	(<-closing).Close()
	for end := time.Now().Add(3 * time.Second); pinned() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a lost connection is kept")
		}
	}
	if resp, _ := ask(t, c, r, request("POST /2", "Content-Length: 0")); resp.StatusCode != 401 {
		t.Errorf("status %d", resp.StatusCode)
	}
}
