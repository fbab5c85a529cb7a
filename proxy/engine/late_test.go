package engine

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// TestLateLoopEndsNobody: a client that said something in time is not ended by its time-out because the loop, on a machine
// with too much to do, looks only later.
func TestLateLoopEndsNobody(t *testing.T) {
	const limit = 500 * time.Millisecond
	echo := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) { io.Copy(c, r) })
	s := startLoops(t, 1, proxy.TCP, []proxy.Server{echo}, func(c *proxy.Config) {
		c.Frontends[0].Timeouts.Client, c.Backends[0].Timeouts.Server = limit, 10*time.Second
	})
	c := s.dial()
	say := func(text string) {
		t.Helper()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) {
		t.Helper()
		b := make([]byte, len(want))
		if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
			t.Fatalf("%q, %v; want %q", b[:n], err, want)
		}
	}
	say("in time")
	hear("in time")
	release := s.holdLoops()
	say("in time, too")
	time.Sleep(2 * limit) // the loop does not run for that long
	release()
	hear("in time, too")
	if _, err := c.Read(make([]byte, 1)); err != io.EOF { // and who says nothing more is ended all the same
		t.Errorf("%v, want the end", err)
	}
	s.want(" cD ")
}
