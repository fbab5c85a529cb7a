package netio

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp/packet"
)

var addr = netip.MustParseAddr

// linkLocal waits for the kernel's own address of the interface, which duplicate detection holds back at first.
func linkLocal(t *testing.T, h *lab.Host) netip.Addr {
	t.Helper()
	for range 200 {
		all, err := h.Addrs("eth0")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			if p.Addr().IsLinkLocalUnicast() {
				return p.Addr()
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no link-local address")
	panic("unreachable")
}

func TestMulticastIPv6(t *testing.T) {
	n := lab.New(t)
	ha, hb := n.Host("a"), n.Host("b")
	a, b := newNodeWith(t, ha, Options{Interface: "eth0", Group: Group6}), newNodeWith(t, hb, Options{Interface: "eth0", Group: Group6})
	a.opened(t)
	b.opened(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := hb.Capture(ctx, "eth0", "ip6 proto 112", "", "ipv6.src", "ipv6.dst", "ipv6.hlim", "ipv6.tclass", "eth.dst")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	from := linkLocal(t, ha)
	if err := a.Send(from, []byte("an advert of v3")); err != nil {
		t.Fatal(err)
	}
	d := b.next(t)
	if d.Source != from || d.Destination != Group6 || d.TTL != 255 || string(d.Payload) != "an advert of v3" {
		t.Errorf("received %+v", d)
	}
	if err := b.Send(linkLocal(t, hb), []byte("back")); err != nil {
		t.Fatal(err)
	}
	if d := a.next(t); string(d.Payload) != "back" {
		t.Errorf("the first thing a hears is %+v: its own?", d)
	}
	want := []string{from.String(), "ff02::12", "255", "0x000000c0", "33:33:00:00:00:12"}
	for len(c.Rows()) == 0 && ctx.Err() == nil { // the capture may have begun after the first ones
		n.Must(b.Send(linkLocal(t, hb), []byte("again")))
		time.Sleep(50 * time.Millisecond)
	}
	want[0] = linkLocal(t, hb).String()
	if rows := c.Rows(); len(rows) == 0 || !slices.Equal(rows[0], want) {
		t.Errorf("on the wire %v, want %v", rows, want)
	}
	if err := a.Send(addr("10.0.0.1"), nil); !errors.Is(err, ErrFamily) {
		t.Errorf("an IPv4 source: %v", err)
	}
	if s := a.Stats(); s.Sent != 1 || s.SendErrors != 1 || s.Received == 0 || s.Opened != 1 || s.Dropped != 0 {
		t.Errorf("counters %+v", s)
	}
}

// TestMulticastMembership: the kernel has joined the group, and left it when the Port ends.
func TestMulticastMembership(t *testing.T) {
	h := lab.New(t).Host("a", "10.0.0.1/24")
	joined := func(file, group string) bool {
		var b []byte
		if err := h.Do(func() (err error) { b, err = os.ReadFile("/proc/thread-self/net/" + file); return }); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(b), group)
	}
	four, six := newNode(t, h), newNodeWith(t, h, Options{Interface: "eth0", Group: Group6})
	four.opened(t)
	six.opened(t)
	if !joined("igmp", "120000E0") || !joined("igmp6", "ff020000000000000000000000000012") {
		t.Error("groups not joined")
	}
	four.stop()
	six.stop()
	if joined("igmp", "120000E0") || joined("igmp6", "ff020000000000000000000000000012") {
		t.Error("groups not left")
	}
}

func TestUnicast(t *testing.T) {
	for _, c := range []struct{ name, a, b, stranger string }{
		{"IPv4", "10.0.0.1", "10.0.0.2", "10.0.0.3"},
		{"IPv6", "fd00::1", "fd00::2", "fd00::3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := lab.New(t)
			bits := "/24"
			if addr(c.a).Is6() {
				bits = "/64"
			}
			ha, hb, hc := n.Host("a", c.a+bits), n.Host("b", c.b+bits), n.Host("c", c.stranger+bits)
			a := newNodeWith(t, ha, Options{Interface: "eth0", Unicast: true, Source: addr(c.a)})
			b := newNodeWith(t, hb, Options{Unicast: true, Source: addr(c.b)}) // by the routes
			other := newNodeWith(t, hc, Options{Interface: "eth0", Unicast: true, Source: addr(c.stranger)})
			for _, p := range []*node{a, b, other} {
				p.opened(t)
			}
			if err := a.SendTo(Envelope{Source: addr(c.a), Destination: addr(c.b)}, []byte("one")); err != nil {
				t.Fatal(err)
			}
			if d := b.next(t); d.Source != addr(c.a) || d.Destination != addr(c.b) || d.TTL != 255 || string(d.Payload) != "one" {
				t.Errorf("received %+v", d)
			}
			if err := b.SendTo(Envelope{Source: addr(c.b), Destination: addr(c.a), TTL: 7}, []byte("two")); err != nil {
				t.Fatal(err)
			}
			if d := a.next(t); d.TTL != 7 || string(d.Payload) != "two" {
				t.Errorf("received %+v", d)
			}
			select {
			case d := <-other.got:
				t.Errorf("a third host received %+v", d)
			default:
			}
		})
	}
}

// TestUnicastReachesNoMulticastEar and the reverse: who listens for the one is told of the other's destination, so that it
// can say what it expected.
func TestDestinationIsTold(t *testing.T) {
	n := lab.New(t)
	ha, hb := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	group := newNode(t, hb)
	group.opened(t)
	from := newNodeWith(t, ha, Options{Interface: "eth0", Unicast: true, Source: addr("10.0.0.1")})
	from.opened(t)
	if err := from.SendTo(Envelope{Source: addr("10.0.0.1"), Destination: addr("10.0.0.2")}, []byte("to you")); err != nil {
		t.Fatal(err)
	}
	if d := group.next(t); d.Destination != addr("10.0.0.2") {
		t.Errorf("received %+v", d)
	}
	unicast := newNodeWith(t, hb, Options{Interface: "eth0", Unicast: true, Source: addr("10.0.0.2")})
	unicast.opened(t)
	if err := from.SendTo(Envelope{Source: addr("10.0.0.1"), Destination: packet.Group4}, []byte("to all")); err != nil {
		t.Fatal(err)
	}
	if d := group.next(t); string(d.Payload) != "to all" {
		t.Errorf("received %+v", d)
	}
	select {
	case d := <-unicast.got:
		t.Errorf("the unicast port received %+v", d)
	default:
	}
}

// TestUnicastWaitsForItsAddress: the source comes later than the socket.
func TestUnicastWaitsForItsAddress(t *testing.T) {
	n := lab.New(t)
	ha, hb := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	b := newNodeWith(t, hb, Options{Interface: "eth0", Unicast: true, Source: addr("10.0.0.20")})
	b.opened(t)
	n.Must(hb.AddAddr("eth0", "10.0.0.20/24"))
	a := newNodeWith(t, ha, Options{Interface: "eth0", Unicast: true, Source: addr("10.0.0.1")})
	a.opened(t)
	if err := a.SendTo(Envelope{Source: addr("10.0.0.1"), Destination: addr("10.0.0.20")}, []byte("late")); err != nil {
		t.Fatal(err)
	}
	if d := b.next(t); string(d.Payload) != "late" {
		t.Errorf("received %+v", d)
	}
}
