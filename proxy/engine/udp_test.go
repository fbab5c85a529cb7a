package engine

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// udpServer answers each datagram with what f makes of it; nil: not at all.
func udpServer(t *testing.T, name string, f func(data []byte, from netip.AddrPort) []byte) proxy.Server {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 65536)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if answer := f(b[:n], from); answer != nil {
				c.WriteToUDPAddrPort(answer, from)
			}
		}
	})
	t.Cleanup(func() { c.Close(); wg.Wait() })
	return target(name, c.LocalAddr().String())
}

func says(name string) func([]byte, netip.AddrPort) []byte {
	return func(b []byte, _ netip.AddrPort) []byte { return fmt.Appendf(nil, "%s: %s", name, b) }
}

// startUDP is start for datagrams.
func startUDP(t *testing.T, servers []proxy.Server, change func(*proxy.Config)) *site {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(c.LocalAddr().String())
	c.Close() // nobody else asks for this port in the meantime
	s := start(t, proxy.UDP, servers, func(c *proxy.Config) {
		c.Frontends[0].Binds[0].Addr = addr
		c.Frontends[0].LogFormat = proxy.LogTCP
		if change != nil {
			change(c)
		}
	})
	s.addr = addr.String()
	return s
}

// ask sends a datagram and returns the answer.
func askUDP(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return hearUDP(t, c, 5*time.Second)
}

func hearUDP(t *testing.T, c net.Conn, patience time.Duration) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 65536)
	n, err := c.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "nothing"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func (s *site) dialUDP() net.Conn {
	s.t.Helper()
	c, err := net.Dial("udp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func responses(n int) func(*proxy.Config) {
	return func(c *proxy.Config) { c.Backends[0].ProxyResponses = &n }
}

// TestUDP: each client has its own session with one server, however many there are and how large what they say is.
func TestUDP(t *testing.T) {
	s := startUDP(t, []proxy.Server{udpServer(t, "a", says("a")), udpServer(t, "b", says("b"))}, func(c *proxy.Config) {
		c.Frontends[0].Timeouts.Client = 300 * time.Millisecond
	})
	var all []net.Conn
	for i := range 20 {
		c := s.dialUDP()
		all = append(all, c)
		want := string("ab"[i%2]) + ": "
		if got := askUDP(t, c, "hello"); got != want+"hello" {
			t.Errorf("client %d: %q", i, got)
		}
	}
	big := strings.Repeat("x", 60000)
	for i, c := range all {
		if got := askUDP(t, c, big); got != string("ab"[i%2])+": "+big {
			t.Errorf("client %d: %d bytes", i, len(got))
		}
	}
	for range all {
		s.want(" fe be/", " 60011 -- ")
	}
	row, _ := s.e.Stats().Find("be", "a")
	if row.STot != 10 || row.BIn != 10*60005 || row.BOut != 10*(60003+8) || row.SCur != 0 {
		t.Errorf("%+v", row)
	}
	if front, _ := s.e.Stats().Find("fe", "FRONTEND"); front.ConnTot != 20 || front.BIn != 20*60005 || front.SCur != 0 || front.Mode != "udp" {
		t.Errorf("%+v", front)
	}
}

// TestUDPResponses: the session is over with the last answer that is expected, and with the sending where none is.
func TestUDPResponses(t *testing.T) {
	s := startUDP(t, []proxy.Server{udpServer(t, "a", says("a"))}, responses(1))
	c := s.dialUDP()
	for range 3 {
		if got := askUDP(t, c, "x"); got != "a: x" {
			t.Errorf("%q", got)
		}
		s.want(" fe be/a 0/", " 4 -- ")
	}
	heard := make(chan string, 10)
	s = startUDP(t, []proxy.Server{udpServer(t, "a", func(b []byte, _ netip.AddrPort) []byte { heard <- string(b); return nil })}, responses(0))
	c = s.dialUDP()
	for range 3 {
		c.Write([]byte("<13>a line of syslog"))
		if got := <-heard; got != "<13>a line of syslog" {
			t.Errorf("%q", got)
		}
		s.want(" fe be/a 0/", " 0 -- ")
	}
}

// TestUDPDeadServer: what a dead server did not answer is asked again elsewhere; where all are dead the log says so.
func TestUDPDeadServer(t *testing.T) {
	gone, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	dead := target("dead", gone.LocalAddr().String())
	gone.Close()
	s := startUDP(t, []proxy.Server{dead, udpServer(t, "a", says("a"))}, func(c *proxy.Config) { c.Backends[0].Redispatch = 1; responses(1)(c) })
	for range 4 {
		if got := askUDP(t, s.dialUDP(), "x"); got != "a: x" {
			t.Errorf("%q", got)
		}
	}
	s = startUDP(t, []proxy.Server{dead}, func(c *proxy.Config) {
		c.Backends[0].Retries = 1
		c.Backends[0].Timeouts.Connect = 10 * time.Millisecond
	})
	s.dialUDP().Write([]byte("x"))
	s.want(" fe be/dead 0/-1/", " 0 SC ")
}

// TestUDPMute: a server that says nothing ends the session by its timeout.
func TestUDPMute(t *testing.T) {
	s := startUDP(t, []proxy.Server{udpServer(t, "a", func([]byte, netip.AddrPort) []byte { return nil })}, func(c *proxy.Config) {
		c.Backends[0].Timeouts.Server = 100 * time.Millisecond
	})
	s.dialUDP().Write([]byte("x"))
	s.want(" fe be/a 0/", " 0 sD ")
}

// TestUDPAnswersWhoAsked: the answer comes from the address that was asked, and from the server that was chosen alone.
func TestUDPAnswersWhoAsked(t *testing.T) {
	froms := make(chan netip.AddrPort, 10)
	s := startUDP(t, []proxy.Server{udpServer(t, "a", func(b []byte, from netip.AddrPort) []byte { froms <- from; return b })}, func(c *proxy.Config) {
		a := c.Frontends[0].Binds[0].Addr
		c.Frontends[0].Binds[0].Addr = netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port())
	})
	port := netip.MustParseAddrPort(s.addr).Port()
	for _, ip := range []string{"127.0.0.1", "127.0.0.5", "127.9.9.9"} {
		c, err := net.Dial("udp", net.JoinHostPort(ip, fmt.Sprint(port))) // takes nothing from another address
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := askUDP(t, c, ip); got != ip {
			t.Errorf("from %s: %q", ip, got)
		}
		stranger, err := net.Dial("udp", (<-froms).String())
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		stranger.Write([]byte("forged"))
		if got := askUDP(t, c, "again"); got != "again" {
			t.Errorf("%q", got)
		}
		<-froms
	}
}

// TestUDPFull: above maxconn a datagram is dropped and counted, and there is room again when a session is over.
func TestUDPFull(t *testing.T) {
	s := startUDP(t, []proxy.Server{udpServer(t, "a", says("a"))}, func(c *proxy.Config) {
		c.Frontends[0].MaxConn = 1
		c.Frontends[0].Timeouts.Client = 300 * time.Millisecond
	})
	first, second := s.dialUDP(), s.dialUDP()
	if got := askUDP(t, first, "x"); got != "a: x" {
		t.Fatalf("%q", got)
	}
	second.Write([]byte("y"))
	if got := hearUDP(t, second, 50*time.Millisecond); got != "nothing" {
		t.Errorf("above maxconn: %q", got)
	}
	s.want(" -- ")
	if got := askUDP(t, second, "y"); got != "a: y" {
		t.Errorf("%q", got)
	}
	if row, _ := s.e.Stats().Find("fe", "FRONTEND"); row.DReq != 1 {
		t.Errorf("%d dropped", row.DReq)
	}
}

// TestUDPApply: the sessions of an address go on when the configuration changes elsewhere, and end with their address.
func TestUDPApply(t *testing.T) {
	var cfg proxy.Config
	s := startUDP(t, []proxy.Server{udpServer(t, "a", says("a")), udpServer(t, "b", says("b"))}, func(c *proxy.Config) { cfg = *c })
	c := s.dialUDP()
	if got := askUDP(t, c, "x"); got != "a: x" {
		t.Fatalf("%q", got)
	}
	if ps := s.e.CanRun(cfg); len(ps) > 0 {
		t.Errorf("can run: %v", ps)
	}
	if ps := s.e.Apply(cfg); len(ps) > 0 {
		t.Fatal(ps)
	}
	if got := askUDP(t, c, "x"); got != "a: x" {
		t.Errorf("after an apply: %q", got)
	}
	held, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	next := cfg
	next.Frontends = []proxy.Frontend{cfg.Frontends[0]}
	next.Frontends[0].Binds = []proxy.Bind{{Addr: netip.MustParseAddrPort(held.LocalAddr().String())}}
	if text := fmt.Sprint(s.e.CanRun(next)); !strings.Contains(text, "is held by") {
		t.Errorf("a port that another socket has: %s", text)
	}
	next.Frontends[0].Binds = nil
	if ps := s.e.Apply(next); len(ps) > 0 {
		t.Fatal(ps)
	}
	s.want(" fe be/a 0/", " KD ")
	if row, _ := s.e.Stats().Find("be", "a"); row.SCur != 0 {
		t.Errorf("%d sessions are left", row.SCur)
	}
}
