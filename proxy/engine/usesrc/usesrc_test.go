// Package usesrc_test is for what of the engine needs CAP_NET_ADMIN: its tests run in namespaces of their own.
package usesrc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/engine"
)

func TestMain(m *testing.M) {
	lab.MustEnter()
	goleak.VerifyTestMain(m)
}

// whoCalls is a server that tells every client its address.
func whoCalls(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, c.RemoteAddr().String())
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// run starts an engine with a frontend on addr.
func run(t *testing.T, bind proxy.Bind, source *proxy.SourceAddress) {
	t.Helper()
	common := proxy.Common{Mode: proxy.TCP, Timeouts: proxy.Timeouts{Connect: time.Second, Client: 5 * time.Second, Server: 5 * time.Second}}
	e := engine.New(engine.Options{Loops: 1})
	ps := e.Apply(proxy.Config{
		Frontends: []proxy.Frontend{{Name: "fe", Common: common, Binds: []proxy.Bind{bind}, DefaultBackend: "be"}},
		Backends: []proxy.Backend{{Name: "be", Common: common, Balance: proxy.RoundRobin, Source: source,
			Servers: []proxy.Server{{Name: "s", Address: whoCalls(t), Weight: 1}}}},
	})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// ask connects from an address and returns what the server saw, and the client's own.
func ask(t *testing.T, from string, to netip.AddrPort) (saw, own string) {
	t.Helper()
	// A client on the same machine has its port for itself unless it says otherwise.
	shared := func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		return errors.Join(e, err)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second, Control: shared}
	c, err := d.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), c.LocalAddr().String()
}

// TestUseSrc: the server sees the client's address, with its port or another one, or a third machine's.
func TestUseSrc(t *testing.T) {
	for _, c := range []struct {
		source proxy.SourceAddress
		want   func(own string) string // how what the server saw begins
	}{
		{proxy.SourceAddress{UseSrc: proxy.UseSrcClient}, func(own string) string { return own }},
		{proxy.SourceAddress{UseSrc: proxy.UseSrcClientIP}, func(string) string { return "127.0.0.77:" }},
		{proxy.SourceAddress{UseSrc: proxy.UseSrcAddr, As: netip.MustParseAddrPort("127.5.5.5:0")}, func(string) string { return "127.5.5.5:" }},
		{proxy.SourceAddress{Interface: "lo"}, func(string) string { return "127.0.0.1:" }},
	} {
		c.source.Addr = netip.IPv4Unspecified()
		at := ports.Free(t, "127.0.0.1")
		run(t, proxy.Bind{Addr: at}, &c.source)
		if saw, own := ask(t, "127.0.0.77", at); !strings.HasPrefix(saw, c.want(own)) {
			t.Errorf("%+v: the server saw %s, the client is %s", c.source, saw, own)
		}
	}
}

// TestTransparentBind: an address that is no one's here is listened on where the kernel sends it to this machine.
func TestTransparentBind(t *testing.T) {
	at := ports.Free(t, "127.0.0.1")
	run(t, proxy.Bind{Addr: at, Transparent: true, Interface: "lo"}, nil)
	if saw, _ := ask(t, "127.0.0.77", at); !strings.HasPrefix(saw, "127.0.0.1:") {
		t.Errorf("%q", saw)
	}
}
