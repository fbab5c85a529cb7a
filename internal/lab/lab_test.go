package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// pair is two hosts that throw datagrams at each other.
type pair struct {
	*Test
	a, b *Host
}

func newPair(t *testing.T) pair {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	n := New(t)
	return pair{n, n.Host("a", "10.0.0.1/24", "fd00::1/64"), n.Host("b", "10.0.0.2/24", "fd00::2/64")}
}

// heard reports whether a datagram from one host reaches another. Datagrams go to the broadcast address, so that a one-way
// cut is not hidden behind an ARP answer that could not come back.
func heard(t *testing.T, from, to *Host) bool {
	t.Helper()
	in, err := to.ListenPacket("udp4", "0.0.0.0:9999")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := from.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	buf := make([]byte, 16)
	for range 3 {
		if _, err := out.WriteTo([]byte("hello"), netAddr("10.0.0.255:9999")); err != nil {
			return false
		}
		_ = in.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
		if _, _, err := in.ReadFrom(buf); err == nil {
			return true
		}
	}
	return false
}

func TestCutsAndHeals(t *testing.T) {
	p := newPair(t)
	cases := []struct {
		name   string
		cut    func() error
		ab, ba bool
	}{
		{"nothing", func() error { return nil }, true, true},
		{"cut", p.b.Cut, false, false},
		{"in", p.b.CutIn, false, true},
		{"out", p.b.CutOut, true, false},
		{"in and out", func() error { p.Must(p.b.CutIn()); return p.b.CutOut() }, false, false},
		{"carrier", func() error { return p.b.Carrier(false) }, false, false},
		{"partition", func() error { return p.Partition([]*Host{p.a}, []*Host{p.b}) }, false, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if !heard(t, p.a, p.b) || !heard(t, p.b, p.a) {
				t.Fatal("the hosts do not hear each other to begin with")
			}
			p.Must(c.cut())
			if got := heard(t, p.a, p.b); got != c.ab {
				t.Errorf("a to b: %v, want %v", got, c.ab)
			}
			if got := heard(t, p.b, p.a); got != c.ba {
				t.Errorf("b to a: %v, want %v", got, c.ba)
			}
			p.Must(p.Heal())
		})
	}
}

func TestOwnersAreCounted(t *testing.T) {
	p := newPair(t)
	w := p.Watch()
	vip := netip.MustParseAddr("10.0.0.100")
	ctx := within(t, 5*time.Second)
	p.Must(p.a.AddAddr("eth0", "10.0.0.100/32"), p.a.DelAddr("eth0", "10.0.0.100/32"), p.b.AddAddr("eth0", "10.0.0.100/32"))
	if _, err := w.AwaitOwner(ctx, vip, "b"); err != nil {
		t.Fatal(err)
	}
	if got := w.OwnersMax(vip); got != 1 {
		t.Errorf("handed over: %d owners at once, want 1", got)
	}
	p.Must(p.a.AddAddr("eth0", "10.0.0.100/32"))
	if err := w.Await(ctx, func() bool { return w.OwnersMax(vip) == 2 }); err != nil {
		t.Errorf("on both: %d owners at once, want 2", w.OwnersMax(vip))
	}
}

func TestCutKeepsCarrier(t *testing.T) {
	p := newPair(t)
	carrier := func() (value string) {
		err := p.b.Do(func() error {
			l, err := p.b.nl.LinkByName("eth0")
			value = l.Attrs().OperState.String()
			return err
		})
		p.Must(err)
		return value
	}
	for name, cut := range map[string]func() error{"cut": p.b.Cut, "in": p.b.CutIn, "out": p.b.CutOut} {
		p.Must(cut())
		if got := carrier(); got != "up" {
			t.Errorf("%s: the host sees its link %s, want up", name, got)
		}
		p.Must(p.b.Heal())
	}
	p.Must(p.b.Port("eth0").Carrier(false))
	for deadline := time.Now().Add(time.Second); carrier() == "up"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the host sees its link up though the switch's side is down")
		}
	}
}

func TestPartitionKeepsGroupsTogether(t *testing.T) {
	p := newPair(t)
	c := p.Host("c", "10.0.0.3/24")
	p.Must(p.Partition([]*Host{p.a, c}, []*Host{p.b}))
	if !heard(t, p.a, c) {
		t.Error("two hosts of one group do not hear each other")
	}
	if heard(t, c, p.b) {
		t.Error("a frame went from one group to the other")
	}
	p.Must(p.b.Cut(), p.b.Heal())
	if heard(t, c, p.b) {
		t.Error("healing a link healed the partition")
	}
}

func TestSecondSwitch(t *testing.T) {
	p := newPair(t)
	p.Attach(p.a, "back", "eth1", "10.0.1.1/24")
	p.Attach(p.b, "back", "eth1", "10.0.1.2/24")
	web, err := p.a.Web("10.0.1.1:80")
	p.Must(err)
	defer web.Close()
	p.Must(p.a.Port("eth0").Cut())
	conn, err := p.b.Dial(within(t, time.Second), "tcp", web.Addr)
	p.Must(err)
	p.Must(conn.Close(), p.a.Port("eth1").Cut())
	if conn, err := p.b.Dial(within(t, 100*time.Millisecond), "tcp", web.Addr); err == nil {
		conn.Close()
		t.Error("the second link is cut and yet it carries")
	}
}

func TestHostsAnswer(t *testing.T) {
	p := newPair(t)
	ctx := within(t, 5*time.Second)
	p.Must(p.a.Echo(7), p.a.AddAddr("eth0", "10.0.0.100/32"))
	c, err := p.b.Dial(ctx, "udp", "10.0.0.100:7") // connected: an answer from another address would not come through
	p.Must(err)
	defer c.Close()
	p.Must(c.SetDeadline(time.Now().Add(5 * time.Second)))
	_, err = c.Write([]byte("who?"))
	p.Must(err)
	buf := make([]byte, 16)
	n, err := c.Read(buf)
	p.Must(err)
	if got := string(buf[:n]); got != "a" {
		t.Errorf("the echo says %q, want its host's name", got)
	}
	web, err := p.a.Web("[fd00::1]:80")
	p.Must(err)
	conn, err := p.b.Dial(ctx, "tcp", web.Addr)
	p.Must(err)
	defer conn.Close()
}

func TestProcessesOfAHostEndWithIt(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	n, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	h, err := n.Host("a", "10.0.0.1/24")
	if err != nil {
		t.Fatal(err)
	}
	// A daemon in a session of its own, as a guard is.
	p := h.Command("setsid", "--fork", "sh", "-c", "trap '' TERM INT HUP; echo daemon $$; while :; do sleep 60; done")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if err := p.AwaitOutput(within(t, 5*time.Second), "daemon "); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscanf(p.Output(), "daemon %d", &pid); err != nil {
		t.Fatal(err)
	}
	if pids, err := h.Pids(); err != nil || len(pids) < 1 {
		t.Fatalf("processes of the host: %v, %v", pids, err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(b), ") Z ") {
		t.Errorf("the daemon outlived its host: %s", b)
	}
}

func TestKeepalivedAndCapture(t *testing.T) {
	p := newPair(t)
	ctx := within(t, 15*time.Second)
	c, err := p.b.Capture(ctx, "eth0", "proto 112", "vrrp", "ip.src", "vrrp.virt_rtr_id", "vrrp.prio")
	p.Must(err)
	w := p.Watch()
	k, err := p.a.Keepalived(t.TempDir(), `
global_defs {
	router_id a
}
vrrp_instance VI_1 {
	state MASTER
	interface eth0
	virtual_router_id 51
	priority 150
	advert_int 1
	virtual_ipaddress {
		10.0.0.100/24
	}
}
`)
	p.Must(err)
	if _, err := w.AwaitOwner(ctx, netip.MustParseAddr("10.0.0.100"), "a"); err != nil {
		t.Fatalf("%v: %s", err, k.Output())
	}
	rows, err := c.Await(ctx, 1, nil)
	p.Must(err)
	if got := fmt.Sprint(rows[0]); got != "[10.0.0.1 51 150]" {
		t.Errorf("caught %s", got)
	}
	p.Must(c.Stop(), k.Stop(5*time.Second))
}

func TestHAProxyServes(t *testing.T) {
	p := newPair(t)
	dir := t.TempDir()
	ctx := within(t, 10*time.Second)
	_, err := p.b.HAProxy(dir, fmt.Sprintf(`
global
	stats socket %s
defaults
	mode http
	timeout connect 1s
	timeout client 1s
	timeout server 1s
listen l
	bind 10.0.0.2:80
	http-request return status 200
`, filepath.Join(dir, "sock")))
	p.Must(err)
	for {
		conn, err := p.a.Dial(ctx, "tcp", "10.0.0.2:80")
		if err == nil {
			p.Must(conn.Close())
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
