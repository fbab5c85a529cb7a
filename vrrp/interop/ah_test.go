package interop

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/packet"
)

func sealed(in *vrrp.Instance) { in.AuthType = vrrp.AuthAH }

// sealedKeepalived is keepalived with auth_type AH.
func (s segment) sealedKeepalived(t *testing.T, h *lab.Host, priority int, words string) *lab.Process {
	t.Helper()
	return s.keepalivedWith(t, h, fmt.Sprintf(strings.Replace(keepalived, "auth_type PASS", "auth_type AH", 1), priority, words))
}

// TestAHFramesEqualKeepaliveds: a start from the same address sends the same packets, every byte of them.
func TestAHFramesEqualKeepaliveds(t *testing.T) {
	fields := []string{
		"ip.version", "ip.hdr_len", "ip.dsfield", "ip.len", "ip.id", "ip.flags", "ip.frag_offset", "ip.ttl", "ip.proto", "ip.checksum", "ip.src",
		"ip.dst", "ah.length", "ah.reserved", "ah.spi", "ah.sequence", "ah.icv", "vrrp.version", "vrrp.type", "vrrp.virt_rtr_id",
		"vrrp.prio", "vrrp.addr_count", "vrrp.auth_type", "vrrp.adver_int", "vrrp.checksum", "vrrp.ip_addr", "vrrp.auth_string",
	}
	for name, unicast := range map[string]bool{"multicast": false, "unicast": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := map[string][][]string{}
			for _, who := range []string{"keepalived", "reeve"} {
				n := lab.New(t)
				s := segment{Test: n, a: n.Host("a", "10.91.0.1/24"), observer: n.Host("o", "10.91.0.9/24"), ctx: t.Context()}
				c, err := s.observer.Capture(s.ctx, "eth0", "proto 51", "vrrp", fields...)
				s.Must(err)
				words, peers := "", []vrrp.Peer(nil)
				if unicast {
					words, peers = "unicast_peer {\n 10.91.0.9\n }\n unicast_ttl 7", []vrrp.Peer{{Addr: netip.MustParseAddr("10.91.0.9")}}
				}
				if who == "keepalived" {
					s.sealedKeepalived(t, s.a, 100, words)
				} else {
					start(t, s.Test, s.a, config(100, sealed, func(in *vrrp.Instance) {
						if in.Unicast.Peers = peers; unicast {
							in.Unicast.TTL = 7
						}
					}))
				}
				rows[who], err = c.Await(s.ctx, 3, nil)
				s.Must(err, c.Stop())
			}
			for n := range 3 {
				for i, f := range fields {
					if k, r := rows["keepalived"][n][i], rows["reeve"][n][i]; k != r {
						t.Errorf("advert %d: %s: keepalived sends %q, Reeve %q", n, f, k, r)
					}
				}
			}
		})
	}
}

// TestAHPair: Reeve and keepalived back each other, by multicast and by unicast, through stops and a crash, and neither
// refuses an advert of the other's.
func TestAHPair(t *testing.T) {
	for _, unicast := range []bool{false, true} {
		t.Run(map[bool]string{false: "multicast", true: "unicast"}[unicast], func(t *testing.T) {
			s := newSegment(t)
			words, change := "", func(*vrrp.Instance) {}
			if unicast {
				words = "unicast_peer {\n 10.91.0.1\n }"
				change = func(in *vrrp.Instance) { in.Unicast.Peers = []vrrp.Peer{{Addr: netip.MustParseAddr("10.91.0.2")}} }
			}
			p, _ := start(t, s.Test, s.a, config(100, sealed, change))
			k := s.sealedKeepalived(t, s.b, 50, words)
			s.owner(t, s.a)
			begin := time.Now()
			s.Must(p.Signal(syscall.SIGTERM))
			s.owner(t, s.b)
			took(t, "take-over by keepalived", begin, 806*time.Millisecond)
			p, _ = start(t, s.Test, s.a, config(100, sealed, change))
			s.owner(t, s.a) // its numbers go on from keepalived's
			s.Must(k.AwaitOutput(s.ctx, "Master received advert from 10.91.0.1 with higher priority 100, ours 50"))
			s.Must(k.Signal(syscall.SIGTERM))
			k2 := s.sealedKeepalived(t, s.b, 150, words)
			s.owner(t, s.b)
			begin = time.Now()
			s.Must(k2.Signal(syscall.SIGTERM))
			s.owner(t, s.a)
			took(t, "take-over by Reeve", begin, 610*time.Millisecond)
			for who, out := range map[string]string{"Reeve": p.Output(), "keepalived": k.Output() + k2.Output()} {
				for _, bad := range []string{"IPSEC", "AH header", "advert dropped", "invalid"} {
					if strings.Contains(out, bad) {
						t.Errorf("%s says %s:\n%s", who, bad, out)
					}
				}
			}
		})
	}
}

// TestAHPartition: after a cut the machine beyond it, MASTER for a shorter time, has the lower sequence numbers. Its adverts
// are refused, and still the addresses are announced anew, to those who heard it.
func TestAHPartition(t *testing.T) {
	s := newSegment(t)
	p, _ := start(t, s.Test, s.a, config(100, sealed, func(in *vrrp.Instance) { in.Garp.MasterDelay = new(time.Duration) }))
	k := s.sealedKeepalived(t, s.b, 50, "")
	s.owner(t, s.a)
	s.Must(k.AwaitOutput(s.ctx, "Entering BACKUP STATE"), s.b.Cut(), k.AwaitOutput(s.ctx, "Entering MASTER STATE"))
	var mac string
	s.Must(s.a.Do(func() error {
		i, err := net.InterfaceByName("eth0")
		if err == nil {
			mac = i.HardwareAddr.String()
		}
		return err
	}))
	arp, err := s.observer.Capture(s.ctx, "eth0", "arp", "arp.isgratuitous == 1", "arp.src.proto_ipv4", "arp.src.hw_mac")
	s.Must(err)
	t.Cleanup(func() { _ = arp.Stop() })
	s.Must(s.b.Heal(), p.AwaitOutput(s.ctx, "already processed. Packet dropped."))
	s.owner(t, s.a)
	if _, err := arp.Await(s.ctx, 5, func(r []string) bool { return r[0] == vip && r[1] == mac }); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(p.Output(), "from=MASTER") {
		t.Error("the better machine gave up MASTER")
	}
}

// TestAHRefused: a wrong password and a replay are named and counted, and nobody obeys them.
func TestAHRefused(t *testing.T) {
	s := newSegment(t)
	p, _ := start(t, s.Test, s.a, config(50, sealed))
	s.owner(t, s.a)
	send := func(pass string, sequence uint32) {
		a, err := packet.New(51, 255, time.Second, "", []netip.Addr{netip.MustParseAddr(vip)})
		s.Must(err)
		a.AuthType = packet.AuthAH
		frame, err := a.Append(make([]byte, packet.AHLen), netip.Addr{}, netip.Addr{})
		s.Must(err)
		source := netip.MustParseAddr("10.91.0.9")
		packet.KeyOf(pass).Seal(frame, packet.Datagram{
			Source: source, Destination: packet.Group4, TTL: packet.TTL, AH: packet.AuthHeader{ID: 1, Sequence: sequence},
		})
		s.sendSealed(t, append(packet.AppendIPv4(nil, source, packet.Group4, len(frame)), frame...))
	}
	send("wrong", 1<<30)
	s.Must(p.AwaitOutput(s.ctx, "invalid IPSEC HMAC-MD5 value"))
	send("test", 1)
	s.Must(p.AwaitOutput(s.ctx, "sequence number 1 already processed"))
	c := s.status(t, p).Counters
	if c["password"] != 1 || c["replayed"] != 1 || strings.Contains(p.Output(), "from=MASTER") {
		t.Errorf("counters %v", c)
	}
	send("test", 1<<30)
	s.Must(p.AwaitOutput(s.ctx, "Entering BACKUP STATE: from=MASTER"))
}

// sendSealed sends a packet of protocol 51 whose IP header is there.
func (s segment) sendSealed(t *testing.T, b []byte) {
	t.Helper()
	b[4], b[5], b[9] = 0, 1, packet.ProtocolAH
	s.Must(s.observer.Do(func() error {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		if err := syscall.BindToDevice(fd, "eth0"); err != nil {
			return err
		}
		return syscall.Sendto(fd, b, 0, &syscall.SockaddrInet4{Addr: packet.Group4.As4()})
	}))
}
