package lab

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { Main(m) }

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
