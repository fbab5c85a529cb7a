package probe

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/check"
)

// TestUDP: a server that answers and one that says nothing are alive, a port where nobody listens is not.
func TestUDP(t *testing.T) {
	dial := New(Options{}).opts.Dial
	conf := withDefaults(check.Config{Kind: check.UDP, Timeout: 200 * time.Millisecond})
	for _, answers := range []bool{true, false} {
		server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		saw := make(chan int, 1)
		go func() {
			n, from, err := server.ReadFromUDPAddrPort(make([]byte, 10))
			if err != nil {
				n = -1
			} else if answers {
				server.WriteToUDPAddrPort([]byte("what?"), from)
			}
			saw <- n
		}()
		conf.Address = server.LocalAddr().String()
		want := map[bool]string{true: "answered", false: "not refused"}[answers]
		if out := ask(t.Context(), dial, nil, conf); out.Status != L4OK || out.Info != want {
			t.Errorf("a server that answers: %v: %+v", answers, out)
		}
		if n := <-saw; n != 0 {
			t.Errorf("the server saw %d bytes, want none", n)
		}
		server.Close()
		if out := ask(t.Context(), dial, nil, conf); out.Status != L4CON || !strings.Contains(out.Info, "refused") {
			t.Errorf("nobody listens: %+v", out)
		}
	}
}
