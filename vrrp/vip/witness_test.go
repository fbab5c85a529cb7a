package vip

import (
	"context"
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
)

var strangerMAC = net.HardwareAddr{0x02, 0xbb, 0, 0, 0, 1}

// arpFrame is an ARP packet of the stranger's.
func arpFrame(op byte, sender, target string) []byte {
	s, d := netip.MustParseAddr(sender).As4(), netip.MustParseAddr(target).As4()
	body := []byte{0, 1, 8, 0, 6, 4, 0, op}
	body = append(append(body, strangerMAC...), s[:]...)
	body = append(append(body, 0, 0, 0, 0, 0, 0), d[:]...)
	return ethernet(broadcastMAC, strangerMAC, etherTypeARP, body)
}

// solicitation is a probe of IPv6's duplicate detection.
func solicitation(target string) []byte {
	f, _ := neighbourAdvertisement(strangerMAC, netip.MustParseAddr(target), true)
	f[54] = ndSolicit
	for i := range 16 {
		f[22+i] = 0
	}
	return f
}

func TestClaims(t *testing.T) {
	advert, err := neighbourAdvertisement(strangerMAC, netip.MustParseAddr("fd00::64"), true)
	if err != nil {
		t.Fatal(err)
	}
	routed := append([]byte(nil), advert...)
	routed[21] = 64
	question := solicitation("fd00::64")
	question[37] = 1 // from somewhere: somebody looks for the address
	for _, c := range []struct {
		name  string
		frame []byte
		parse func([]byte) (claim, bool)
		want  string // "": none
	}{
		{"announcement", arpFrame(1, "10.0.0.100", "10.0.0.100"), parseARP, "10.0.0.100"},
		{"answer", arpFrame(2, "10.0.0.100", "10.0.0.1"), parseARP, "10.0.0.100"},
		{"probe", arpFrame(1, "0.0.0.0", "10.0.0.100"), parseARP, "10.0.0.100"},
		{"question of another", arpFrame(1, "10.0.0.7", "10.0.0.100"), parseARP, "10.0.0.7"},
		{"of nobody for nobody", arpFrame(1, "0.0.0.0", "0.0.0.0"), parseARP, ""},
		{"short", arpFrame(1, "10.0.0.100", "10.0.0.100")[:41], parseARP, ""},
		{"no Ethernet", append(append([]byte(nil), advert[:12]...), make([]byte, 40)...), parseARP, ""},
		{"neighbour advertisement", advert, parseND, "fd00::64"},
		{"probe of IPv6", solicitation("fd00::64"), parseND, "fd00::64"},
		{"question of IPv6", question, parseND, ""},
		{"routed", routed, parseND, ""},
		{"short of IPv6", advert[:77], parseND, ""},
		{"empty", nil, parseND, ""},
	} {
		got, ok := c.parse(c.frame)
		if ok != (c.want != "") || ok && (got.address.String() != c.want || net.HardwareAddr(got.mac[:]).String() != strangerMAC.String()) {
			t.Errorf("%s: %v %+v", c.name, ok, got)
		}
	}
}

func FuzzClaims(f *testing.F) {
	f.Add(arpFrame(1, "10.0.0.100", "10.0.0.100"))
	f.Add(solicitation("fd00::64"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := parseARP(b); ok && !c.address.Is4() {
			t.Errorf("%+v", c)
		}
		if c, ok := parseND(b); ok && !c.address.Is6() {
			t.Errorf("%+v", c)
		}
	})
}

// TestReportsAreBounded: whoever floods us with claims is told of once, and many of them a few times a second.
func TestReportsAreBounded(t *testing.T) {
	w := newWitness(New(Options{}))
	w.ours = map[met]owned{{2, netip.MustParseAddr("10.0.0.100")}: {place: place{"eth0", prefix("10.0.0.100/32")}, instance: "VI_1", mac: "02:00:00:00:00:0a"}}
	w.macs = map[[6]byte]bool{{2, 0, 0, 0, 0, 0xa}: true}
	now := boottime.Time(time.Hour)
	c := claim{2, netip.MustParseAddr("10.0.0.100"), [6]byte{2, 0, 0, 0, 0, 1}}
	e, tell := w.judge(c, now)
	if !tell || e.Kind != DuplicateAddress || e.Instance != "VI_1" || e.OurMAC != "02:00:00:00:00:0a" || e.TheirMAC != "02:00:00:00:00:01" {
		t.Errorf("told %v %+v", tell, e)
	}
	if _, tell := w.judge(c, now.Add(time.Second)); tell {
		t.Error("told twice within a minute")
	}
	if _, tell := w.judge(c, now.Add(2*reportAgain)); !tell {
		t.Error("never told again")
	}
	own, other := c, c
	own.mac = [6]byte{2, 0, 0, 0, 0, 0xa}
	other.index = 3
	for _, c := range []claim{own, other} {
		if _, tell := w.judge(c, now); tell {
			t.Errorf("told of %+v", c)
		}
	}
	told := 0
	for n := range 100000 {
		c.mac = [6]byte{2, 1, byte(n >> 16), byte(n >> 8), byte(n)}
		if _, tell := w.judge(c, now.Add(10*time.Minute)); tell {
			told++
		}
		if len(w.told) > reportsMax {
			t.Fatal("remembers without bound")
		}
	}
	if told > reportPace {
		t.Errorf("told %d times in an instant", told)
	}
}

// inject sends a frame from a host's eth0.
func inject(t *testing.T, h *lab.Host, frame []byte) {
	t.Helper()
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: ifi.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDuplicateAddress: a stranger claims addresses that are on here, on an interface and on a virtual MAC.
func TestDuplicateAddress(t *testing.T) {
	n := lab.New(t)
	m := newMachine(t, n, "a", "10.0.0.1/24")
	stranger := n.Host("x", "10.0.0.9/24")
	c := vrrp.Config{Instances: []vrrp.Instance{{
		Name: "VM", Interface: "eth0", VirtualRouterID: 51, VMAC: vrrp.VMAC{Use: true}, VIPLifetime: -1,
		Addresses: []vrrp.Address{address("10.0.0.150/24")},
	}}}
	plans, _ := Plans(c)
	m.do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err })
	ch := m.watched()
	m.add(group("eth0", -1, "10.0.0.100/24", "fd00::64/128"))
	m.add(plans[0].Group)
	ours := m.link("eth0").MAC.String()
	advert, err := neighbourAdvertisement(strangerMAC, netip.MustParseAddr("fd00::64"), true)
	n.Must(err)
	for _, want := range []struct {
		what, prefix, instance, dev, mac string
		frame                            []byte
	}{
		{"announcement", "10.0.0.100/24", "VI_1", "eth0", ours, arpFrame(1, "10.0.0.100", "10.0.0.100")},
		{"advertisement", "fd00::64/128", "VI_1", "eth0", ours, advert},
		{"probe for an address of a virtual MAC", "10.0.0.150/24", "VM", "vrrp.51", "00:00:5e:00:01:33", arpFrame(1, "0.0.0.0", "10.0.0.150")},
	} {
		stop := make(chan struct{})
		go func() { // until it listens
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					close(stop)
					return
				case <-tick.C:
					inject(t, stranger, want.frame)
				}
			}
		}()
		e := m.await(ch, want.what, func(e Event) bool { return e.Kind == DuplicateAddress && e.Prefix == prefix(want.prefix) })
		stop <- struct{}{}
		<-stop
		if e.Instance != want.instance || e.Dev != want.dev || e.OurMAC != want.mac || e.TheirMAC != strangerMAC.String() {
			t.Errorf("%s: %+v", want.what, e)
		}
	}
	m.do(func() error { return m.Announce(group("eth0", -1, "10.0.0.100/24"), 5) }) // our own word is no duplicate
	m.do(func() error { return m.Remove(group("eth0", -1, "10.0.0.100/24", "fd00::64/128")) })
	frame := arpFrame(1, "10.0.0.100", "10.0.0.100")
	frame[6+5], frame[14+8+5] = 7, 7 // a MAC address that was not told of
	for range 5 {
		inject(t, stranger, frame)
	}
	inject(t, stranger, arpFrame(2, "10.0.0.150", "10.0.0.1")) // known
	select {
	case e := <-ch:
		if e.Kind == DuplicateAddress {
			t.Errorf("told of an address that is not here: %+v %s", e, hex.EncodeToString(frame))
		}
	case <-time.After(100 * time.Millisecond):
	}
}

// TestFilterWakesNobody: other people's ARP does not reach the socket.
func TestFilterWakesNobody(t *testing.T) {
	n := lab.New(t)
	m, stranger := newMachine(t, n, "a", "10.0.0.1/24"), n.Host("x", "10.0.0.9/24")
	w := newWitness(m.Manager)
	defer w.close()
	m.add(group("eth0", -1, "10.0.0.100/24", "fd00::64/128"))
	m.do(w.learn)
	advert := func(a string) []byte {
		f, err := neighbourAdvertisement(strangerMAC, netip.MustParseAddr(a), true)
		n.Must(err)
		return f
	}
	for _, f := range [][]byte{
		arpFrame(1, "10.0.0.9", "10.0.0.100"), arpFrame(1, "10.0.0.9", "10.0.0.1"), arpFrame(1, "0.0.0.0", "10.0.0.5"), advert("fd00::65"),
		arpFrame(1, "10.0.0.100", "10.0.0.100"), arpFrame(1, "0.0.0.0", "10.0.0.100"), advert("fd00::64"),
	} {
		inject(t, stranger, f)
	}
	count := func(fd int) (got int) {
		within(t, 2*time.Second, "a frame that concerns us", func() bool {
			var b [256]byte
			for {
				if _, _, err := recvfrom(fd, b[:], unix.MSG_DONTWAIT); err != nil {
					return got > 0
				}
				got++
			}
		})
		return got
	}
	if arp, nd := count(w.ears[0]), count(w.ears[1]); arp != 2 || nd != 1 {
		t.Errorf("%d ARP packets and %d of neighbour discovery woke us, want 2 and 1", arp, nd)
	}
	m.do(func() error { return m.Remove(group("eth0", -1, "10.0.0.100/24", "fd00::64/128")) })
	m.do(w.learn)
	if w.ears != [2]int{-1, -1} {
		t.Error("sockets for no address")
	}
}

// TestManyHeld: the kernel takes a filter of more addresses than it can hold.
func TestManyHeld(t *testing.T) {
	n := lab.New(t)
	m := newMachine(t, n, "a", "10.0.0.1/24")
	w := newWitness(m.Manager)
	defer w.close()
	words := make([]uint32, 5000)
	for i := range words {
		words[i] = uint32(i + 1)
	}
	m.do(func() error { return w.ear(0, etherTypeARP, words, arpFilter) })
	m.do(func() error { return w.ear(1, etherTypeIPv6, words, ndFilter) })
}

// TestPacedAnnouncements: a list longer than a turn, at a pace, leaves in the background; the caller is back at once and
// the address that goes takes its announcements along.
func TestPacedAnnouncements(t *testing.T) {
	n := lab.New(t)
	a, b := newMachine(t, n, "a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	a.do(func() error {
		_, err := a.Prepare(Setup{Pacing: Pacing{GarpInterval: 5 * time.Millisecond}})
		return err
	})
	go drained(a.watched())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	within(t, 2*time.Second, "carrier", func() bool { return a.link("eth0").Carrier })
	fd := listener(t, b, etherTypeARP)
	g := group("eth0", -1, "10.0.0.100/32", "10.0.0.101/32", "10.0.0.102/32", "10.0.0.103/32")
	a.add(g)
	began := time.Now()
	a.do(func() error { return a.Announce(g, 5) })
	if d := time.Since(began); d > 50*time.Millisecond {
		t.Errorf("the caller waited %s", d)
	}
	buf := make([]byte, 128)
	for got := 0; got < 20 && ctx.Err() == nil; got++ {
		if _, _, err := recvfrom(fd, buf, 0); err != nil {
			t.Fatalf("after %d: %v", got, err)
		}
	}
	if d := time.Since(began); d < 19*5*time.Millisecond {
		t.Errorf("20 frames, 5 ms apart, in %s", d)
	}
	a.do(func() error { return a.Announce(g, 1000) })
	a.do(func() error { return a.Remove(g) })
	for {
		if _, _, err := recvfrom(fd, buf, unix.MSG_DONTWAIT); err != nil {
			break
		}
	}
	tv := unix.Timeval{Usec: 100000}
	n.Must(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	if _, _, err := recvfrom(fd, buf, 0); err == nil {
		t.Error("an address that is off was announced")
	}
	a.do(func() error { return a.Add(g, boottime.Now().Add(30*time.Millisecond)) })
	a.do(func() error { return a.Announce(g, 1000) })
	time.Sleep(60 * time.Millisecond)
	for {
		if _, _, err := recvfrom(fd, buf, unix.MSG_DONTWAIT); err != nil {
			break
		}
	}
	if _, _, err := recvfrom(fd, buf, 0); err == nil {
		t.Error("announced after the lease ran out")
	}
}

// TestRemoverTakesVirtualMACs: the guard's tool needs no more than a name and a prefix.
func TestRemoverTakesVirtualMACs(t *testing.T) {
	n := lab.New(t)
	m := newMachine(t, n, "a", "10.0.0.1/24")
	c := vrrp.Config{Instances: []vrrp.Instance{
		{Name: "V4", Interface: "eth0", VirtualRouterID: 51, VMAC: vrrp.VMAC{Use: true}, VIPLifetime: -1, Addresses: []vrrp.Address{address("10.0.0.150/24")}},
		{Name: "V6", Interface: "eth0", Version: 3, VirtualRouterID: 52, VMAC: vrrp.VMAC{Use: true, XmitBase: true}, VIPLifetime: -1,
			Addresses: []vrrp.Address{address("fe80::64/128"), address("fd00::64/64")}},
	}}
	plans, _ := Plans(c)
	m.do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err })
	var on []On
	for _, p := range plans {
		m.add(p.Group)
		on = append(on, p.Group.On()...)
	}
	if len(on) != 3 || on[0] != (On{"vrrp.51", prefix("10.0.0.150/24")}) {
		t.Errorf("on: %v", on)
	}
	m.do(func() error {
		r, err := NewRemover()
		if err != nil {
			return err
		}
		defer r.Close()
		return r.Remove(on)
	})
	for _, dev := range []string{"vrrp.51", "vrrp.52"} {
		all, err := m.host.Addrs(dev)
		if err != nil || len(all) > 0 {
			t.Errorf("%s still has %v (%v)", dev, all, err)
		}
	}
}
