package vip

import (
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
)

var testMAC = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0a}

// The frames byte for byte: keepalived sends the ARP one; the other is RFC 4861's its checksum computed apart.
func TestAnnouncementFrames(t *testing.T) {
	for _, c := range []struct {
		address string
		router  bool
		want    string
	}{
		{"10.91.0.100", true, "ffffffffffff" + "02000000000a" + "0806" +
			"0001" + "0800" + "06" + "04" + "0001" + "02000000000a" + "0a5b0064" + "ffffffffffff" + "0a5b0064"},
		{"fd00::64", true, "333300000001" + "02000000000a" + "86dd" +
			"60000000" + "0020" + "3a" + "ff" + "fd000000000000000000000000000064" + "ff020000000000000000000000000001" +
			"8800" + "d9cb" + "a0000000" + "fd000000000000000000000000000064" + "0201" + "02000000000a"},
		{"fd00::64", false, "333300000001" + "02000000000a" + "86dd" +
			"60000000" + "0020" + "3a" + "ff" + "fd000000000000000000000000000064" + "ff020000000000000000000000000001" +
			"8800" + "59cc" + "20000000" + "fd000000000000000000000000000064" + "0201" + "02000000000a"},
	} {
		f, err := announcement(testMAC, netip.MustParseAddr(c.address), c.router)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(f); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.address, got, c.want)
		}
	}
	if _, err := announcement(net.HardwareAddr{1}, netip.MustParseAddr("fd00::64"), true); err == nil {
		t.Error("a short hardware address makes no frame")
	}
}

// listener is a packet socket on a host's eth0 that sees every frame of a protocol.
func listener(t *testing.T, h *lab.Host, protocol uint16) int {
	t.Helper()
	fd := -1
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		be := protocol<<8 | protocol>>8
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(be)); err != nil {
			return err
		}
		tv := unix.Timeval{Sec: 2}
		return errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: be, Ifindex: ifi.Index}))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestAnnounceReachesTheSegment(t *testing.T) {
	n := lab.New(t)
	a, b := newMachine(t, n, "a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	var link Link
	within(t, 2*time.Second, "carrier", func() bool {
		a.do(func() (err error) { link, err = a.Link("eth0"); return })
		return link.Carrier
	})
	fd := listener(t, b, etherTypeARP)
	g := group("eth0", 0, "10.0.0.100/32", "10.0.0.101/24")
	for round := range 2 { // the second burst uses the first one's socket and frames
		a.do(func() error { return a.Announce(g, 5) })
		seen := map[string]int{}
		for range 10 {
			buf := make([]byte, 128)
			k, _, err := recvfrom(fd, buf, 0)
			if err != nil {
				t.Fatalf("round %d: after %v: %v", round, seen, err)
			}
			seen[hex.EncodeToString(buf[:min(k, 42)])]++
		}
		for _, p := range g.Addresses {
			want, _ := announcement(link.MAC, p.Prefix.Addr(), true)
			if seen[hex.EncodeToString(want)] != 5 {
				t.Errorf("round %d: %s announced wrongly: %v", round, p.Prefix, seen)
			}
		}
	}
}

// TestRouterFlag: it is in the advertisements where the interface forwards, from the moment it does.
func TestRouterFlag(t *testing.T) {
	n := lab.New(t)
	a, b := newMachine(t, n, "a"), n.Host("b")
	fd := listener(t, b, etherTypeIPv6)
	g := group("eth0", 0, "fd00::64/64")
	for value, flags := range []byte{0x20, 0xa0} {
		n.Must(a.host.Sysctl("net.ipv6.conf.eth0.forwarding", strconv.Itoa(value)))
		a.do(func() error { return a.Announce(g, 1) })
		for buf := make([]byte, 128); ; {
			k, _, err := recvfrom(fd, buf, 0)
			if err != nil {
				t.Fatalf("forwarding %d: no advertisement: %v", value, err)
			}
			if k >= 62 && buf[20] == icmpv6 && buf[54] == 136 { // others are the kernel's
				if buf[58] != flags {
					t.Errorf("forwarding %d: flags %#x, want %#x", value, buf[58], flags)
				}
				break
			}
		}
	}
}

func TestAnnounceFaults(t *testing.T) {
	m := newMachine(t, lab.New(t), "a")
	err := m.host.Do(func() error { return m.Announce(group("nope", 0, "10.0.0.100/32"), 5) })
	if !errors.Is(err, ErrNoInterface) {
		t.Errorf("unknown interface: %v", err)
	}
	m.do(func() error { return m.Announce(group("lo", 0, "10.0.0.100/32"), 5) }) // nobody to tell
}

func BenchmarkAnnounce(b *testing.B) {
	h := lab.New(b).Host("a", "10.0.0.1/24")
	err := h.Do(func() error {
		m := New(Options{})
		defer m.Close()
		g := group("eth0", 0, "10.0.0.100/32")
		b.ReportAllocs()
		for b.Loop() {
			if err := m.Announce(g, 5); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
