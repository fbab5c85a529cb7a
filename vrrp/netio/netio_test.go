package netio

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp/packet"
)

type checked struct{ *testing.M }

// Run fails the package when a goroutine is left.
func (c checked) Run() int {
	code := c.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		println(err.Error())
		return 1
	}
	return code
}

func TestMain(m *testing.M) { lab.Main(checked{m}) }

// node is a Port in a host of the lab: its sockets are made by Run, which therefore has a thread there.
type node struct {
	*Port
	got   chan packet.Datagram
	state chan error
	trash atomic.Int64
	stop  func()
}

func newNode(t *testing.T, h *lab.Host) *node { return newNodeWith(t, h, Options{Interface: "eth0"}) }

func newNodeWith(t *testing.T, h *lab.Host, o Options) *node {
	n := &node{got: make(chan packet.Datagram, 64), state: make(chan error, 16)}
	o.Receive = func(d packet.Datagram) {
		d.Payload = append([]byte(nil), d.Payload...)
		n.got <- d
	}
	o.Garbage = func() { n.trash.Add(1) }
	o.State = func(err error) { n.state <- err }
	n.Port = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Do(func() error { return n.Run(ctx) })
	}()
	n.stop = func() { cancel(); <-done }
	t.Cleanup(n.stop)
	return n
}

func (n *node) opened(t *testing.T) {
	t.Helper()
	for {
		select {
		case err := <-n.state:
			if err == nil {
				return
			}
		case <-time.After(5 * time.Second):
			t.Fatal("no socket")
		}
	}
}

func (n *node) next(t *testing.T) packet.Datagram {
	t.Helper()
	select {
	case d := <-n.got:
		return d
	case <-time.After(5 * time.Second):
		t.Fatal("nothing received")
	}
	panic("unreachable")
}

func TestSendAndReceive(t *testing.T) {
	n := lab.New(t)
	a, b := newNode(t, n.Host("a", "10.0.0.1/24")), newNode(t, n.Host("b", "10.0.0.2/24"))
	a.opened(t)
	b.opened(t)
	source := netip.MustParseAddr("10.0.0.1")
	if err := a.Send(source, []byte("sixteen bytes or")); err != nil {
		t.Fatal(err)
	}
	d := b.next(t)
	if d.Source != source || d.Destination != packet.Group4 || d.TTL != 255 || string(d.Payload) != "sixteen bytes or" {
		t.Errorf("received %+v", d)
	}
	if err := b.Send(netip.MustParseAddr("10.0.0.2"), []byte("back")); err != nil {
		t.Fatal(err)
	}
	if d := a.next(t); d.Source != netip.MustParseAddr("10.0.0.2") {
		t.Errorf("the first thing a hears is %+v: its own?", d)
	}
}

// TestNoInterface: an interface that is missing is told once and waited for, and used when
// it comes.
func TestNoInterface(t *testing.T) {
	n := lab.New(t)
	h := n.Host("a", "10.0.0.1/24")
	p := New(Options{Interface: "eth7", Receive: func(packet.Datagram) {}, State: func(err error) {}})
	if err := p.Send(netip.MustParseAddr("10.0.0.1"), nil); !errors.Is(err, ErrNotOpen) {
		t.Errorf("send without a socket: %v", err)
	}
	var told atomic.Int64
	opened := make(chan struct{}, 1)
	p.o.State = func(err error) {
		if err != nil {
			told.Add(1)
			return
		}
		opened <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Do(func() error { return p.Run(ctx) }) }()
	defer func() { cancel(); <-done }()
	for range 20 {
		p.Poke()
		time.Sleep(time.Millisecond)
	}
	n.Attach(h, "other", "eth7", "10.7.0.1/24")
	p.Poke()
	select {
	case <-opened:
	case <-time.After(5 * time.Second):
		t.Fatal("the interface is there and not used")
	}
	if told.Load() != 1 {
		t.Errorf("told %d times that there is none", told.Load())
	}
}

// TestHostile: fragments of the wrong length and other sizes neither end the reader nor reach the receiver as whole.
func TestHostile(t *testing.T) {
	n := lab.New(t)
	b := newNode(t, n.Host("b", "10.0.0.2/24"))
	b.opened(t)
	other := n.Host("x", "10.0.0.9/24")
	conn, err := other.ListenPacket("ip4:112", "10.0.0.9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, size := range []int{0, 1, 7, 1400, 5000} { // the last one is fragmented, and longer than the buffer
		if _, err := conn.WriteTo(make([]byte, size), &net.IPAddr{IP: packet.Group4.AsSlice()}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{0, 1, 7, 1400} {
		if d := b.next(t); len(d.Payload) != want || d.TTL != 1 {
			t.Errorf("received %d bytes with TTL %d, want %d", len(d.Payload), d.TTL, want)
		}
	}
	for b.trash.Load() != 1 {
		time.Sleep(time.Millisecond)
	}
	if err := b.Send(netip.MustParseAddr("10.0.0.2"), []byte("alive")); err != nil {
		t.Error(err)
	}
}

// TestAH: protocol 51 in both directions, with an identification of the sender's, and deaf to protocol 112, as a Port of
// that is to 51.
func TestAH(t *testing.T) {
	n := lab.New(t)
	ha, hb := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	o := Options{Interface: "eth0", AH: true}
	a, b, plainA, plainB := newNodeWith(t, ha, o), newNodeWith(t, hb, o), newNode(t, ha), newNode(t, hb)
	for _, p := range []*node{a, b, plainA, plainB} {
		p.opened(t)
	}
	source := netip.MustParseAddr("10.0.0.1")
	if err := plainA.Send(source, []byte("an advert without header")); err != nil {
		t.Fatal(err)
	}
	frame := append(make([]byte, packet.AHLen), "an advert"...)
	packet.KeyOf("test").Seal(frame, packet.Datagram{
		Source: source, Destination: packet.Group4, TTL: packet.TTL, AH: packet.AuthHeader{ID: 7, Sequence: 9},
	})
	if err := a.SendTo(Envelope{Source: source, Destination: packet.Group4, ID: 7}, frame); err != nil {
		t.Fatal(err)
	}
	d := b.next(t)
	if !d.AH.Present || d.AH.ID != 7 || d.AH.Sequence != 9 || d.Source != source || d.TTL != 255 || string(d.Payload) != "an advert" {
		t.Errorf("received %+v", d)
	}
	if d := plainB.next(t); d.AH.Present || string(d.Payload) != "an advert without header" {
		t.Errorf("received %+v", d)
	}
	for name, p := range map[string]*node{"51": b, "112": plainB} {
		select {
		case d := <-p.got:
			t.Errorf("the port of protocol %s has %+v too", name, d)
		default:
		}
	}
}
