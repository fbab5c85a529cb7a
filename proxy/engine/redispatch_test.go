package engine

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// A request that met a dead server goes to another over an idle connection, if there is one: else each of the many that meet
// the dead one before its check says so would leave a connection more.
func TestRedispatchedRequestsReuse(t *testing.T) {
	var conns atomic.Int32
	live := rawServer(t, "live", func(c net.Conn, r *bufio.Reader) {
		conns.Add(1)
		for {
			if _, err := readHead(r); err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	dead := target("dead", ports.Free(t, "127.0.0.1").String())
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{dead, live}, func(c *proxy.Config) { c.Backends[0].Redispatch = 1 })
	c := s.dial()
	r := bufio.NewReader(c)
	for n := range 20 {
		fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", n)
		if head, err := readHead(r); err != nil || !strings.HasPrefix(head, "HTTP/1.1 200 ") {
			t.Fatalf("request %d: %q, %v", n, head, err)
		}
		io.CopyN(io.Discard, r, 2)
	}
	if met := s.row("BACKEND").WRedis; met < 5 {
		t.Fatalf("%d requests met the dead server", met)
	}
	if n := conns.Load(); n > 1 {
		t.Errorf("the live server was given %d connections for one client", n)
	}
}
