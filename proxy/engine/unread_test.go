package engine

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// pourOut writes until the other side has had enough, and tells how much it took.
func pourOut(c net.Conn, took chan<- int) {
	b, all := make([]byte, 1<<16), 0
	for {
		c.SetWriteDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Write(b)
		if all += n; err != nil {
			took <- all
			return
		}
	}
}

// TestUnread: a client that reads nothing of an endless answer, and a server that reads nothing of an endless request, are
// cut off when their time is over; meanwhile the other side is held back.
func TestUnread(t *testing.T) {
	const limit = 300 * time.Millisecond
	for name, c := range map[string]struct {
		mode   proxy.Mode
		server bool // it is the server that does not read
		log    []string
	}{
		"client of HTTP": {proxy.HTTP, false, []string{" 200 ", " cD-- "}},
		"client of TCP":  {proxy.TCP, false, []string{" cD "}},
		"server of HTTP": {proxy.HTTP, true, []string{" 504 ", " sH-- "}},
		"server of TCP":  {proxy.TCP, true, []string{" sD "}},
	} {
		t.Run(name, func(t *testing.T) {
			took, over := make(chan int, 1), make(chan struct{})
			defer close(over)
			sv := rawServer(t, "a", func(k net.Conn, r *bufio.Reader) {
				if c.mode == proxy.HTTP {
					readHead(r)
				}
				if c.server {
					<-over
					return
				}
				if c.mode == proxy.HTTP {
					io.WriteString(k, "HTTP/1.1 200 OK\r\n\r\n")
				}
				pourOut(k, took)
			})
			s := start(t, c.mode, []proxy.Server{sv}, func(conf *proxy.Config) {
				if c.server {
					conf.Backends[0].Timeouts.Server = limit
				} else {
					conf.Frontends[0].Timeouts.Client = limit
				}
			})
			client := s.dial()
			switch {
			case c.server && c.mode == proxy.HTTP:
				io.WriteString(client, request("POST /", "Content-Length: 1000000000000"))
			case c.mode == proxy.HTTP:
				io.WriteString(client, request("GET /"))
			}
			if c.server {
				go pourOut(client, took)
			}
			began := time.Now()
			s.want(c.log...)
			if waited := time.Since(began); waited < limit/2 || waited > 4*time.Second {
				t.Errorf("it was over after %v, want %v", waited, limit)
			}
			n := <-took
			if c.server && c.mode == proxy.HTTP {
				return // what still comes is thrown away for a moment, so that the client gets to see the answer
			}
			if n > 64<<20 {
				t.Errorf("%d MiB were taken that nobody reads", n>>20)
			}
		})
	}
}
