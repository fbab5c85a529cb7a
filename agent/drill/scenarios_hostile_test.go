package drill

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// forged is a VRRP packet as a stranger makes it; the zero value is a good one of version 2 and priority 0.
type forged struct {
	version  int  // 2 if 0
	kind     byte // version and type, those of an advert if 0 and not odd
	odd      bool // kind is meant, even if 0
	vrid     byte // 51 if 0
	priority byte
	count    int // of addresses; 0: as many as there are
	interval byte
	damage   bool // a wrong checksum
	cut      int  // 0: all bytes are sent
	extra    int  // bytes too many
	ttl      int  // 255 if 0
	to       netip.Addr
}

// bytes writes it out by the figures of RFC 3768 (PASS test) or RFC 5798, with the one address of section 7.
func (f forged) bytes() []byte {
	if f.version == 0 {
		f.version = 2
	}
	if f.kind == 0 && !f.odd {
		f.kind = byte(f.version<<4 | 1)
	}
	if f.vrid == 0 {
		f.vrid = 51
	}
	if f.count == 0 {
		f.count = 1
	}
	if f.interval == 0 {
		f.interval = 1
	}
	head := []byte{f.kind, f.vrid, f.priority, byte(f.count)}
	b := slices.Concat(head, []byte{1, f.interval, 0, 0, 10, 91, 0, 100, 't', 'e', 's', 't', 0, 0, 0, 0})
	pseudo := uint32(0)
	if f.version == 3 {
		b = slices.Concat(head, []byte{0, 100 * f.interval, 0, 0, 10, 91, 0, 100})
		pseudo = partial(0, slices.Concat(address("o").AsSlice(), f.to.AsSlice(), []byte{0, protoVRRP, 0, byte(len(b))}))
	}
	binary.BigEndian.PutUint16(b[6:], ^sum(pseudo, b))
	if f.damage {
		b[6] ^= 0x55
	}
	b = append(b, make([]byte, f.extra)...)
	if f.cut > 0 {
		b = b[:f.cut]
	}
	return b
}

// stranger is a raw socket of the observer.
type stranger struct {
	s    *segment
	conn *net.IPConn
}

func (s *segment) stranger() *stranger {
	s.t.Helper()
	c, err := s.observer.ListenPacket("ip4:112", address("o").String())
	s.Must(err)
	s.t.Cleanup(func() { _ = c.Close() })
	return &stranger{s, c.(*net.IPConn)}
}

// send sends a packet.
func (x *stranger) send(f forged) {
	x.s.t.Helper()
	if f.ttl == 0 {
		f.ttl = 255
	}
	if !f.to.IsValid() {
		f.to = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	}
	raw, err := x.conn.SyscallConn()
	x.s.Must(err)
	x.s.Must(raw.Control(func(fd uintptr) {
		for _, option := range []int{unix.IP_MULTICAST_TTL, unix.IP_TTL} {
			if err == nil {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, option, f.ttl)
			}
		}
	}), err)
	_, err = x.conn.WriteTo(f.bytes(), &net.IPAddr{IP: f.to.AsSlice()})
	x.s.Must(err)
}

// zero sends a good advert of priority 0 and tells when it was on the wire.
func (x *stranger) zero() time.Time {
	x.s.t.Helper()
	asked := time.Now()
	x.send(forged{})
	return x.s.wire.await(asked, "the forged advert", 1, zero("o", 51)).at
}

// answered proves that packets of the stranger arrive, and that those before it were worked off: to a good one of priority
// 0 the master answers at once with an advert.
func (x *stranger) answered(master string) {
	x.s.t.Helper()
	before := x.s.wire.first(master, time.Now())
	at := x.zero()
	got := x.s.wire.first(master, before.at)
	within(x.s.t, "the answer of "+master, at, got.at, 0)
	if d := got.at.Sub(before.at); d > 900*time.Millisecond {
		x.s.t.Errorf("%s did not answer: its advert came in its turn, %v after the one before", master, d)
	}
}

// TestScenario18Malformed: what is wrong in a packet costs its receiver a counter, the same one as keepalived's, and nothing
// else, in both states.
func TestScenario18Malformed(t *testing.T) {
	pairs(t, func(t *testing.T, ra, rb role) {
		s := newSegment(t)
		a := s.start("a", ra, file("", "", instance{priority: 100}))
		s.owned("a")
		b := s.start("b", rb, file("", "", instance{priority: 50}))
		b.said(b.began, "Entering BACKUP STATE")
		x := s.stranger()
		x.answered("a")
		began := time.Now()
		const rounds = 3
		for round := range rounds {
			for _, f := range []forged{
				{ttl: 254}, {damage: true}, {cut: 7}, {cut: 19}, {extra: 1}, {kind: 0x22}, {vrid: 77}, {count: 255}, {odd: true},
				{odd: true, kind: 0x01}, {odd: true, kind: 0xf1}, {interval: 9}, {cut: 1}, {cut: 2},
			} {
				f.priority = 255
				x.send(f)
			}
			for _, d := range []*daemon{a, b} {
				d.counted("Packet Errors/TTL", round+1)
			}
		}
		x.answered("a")
		for _, d := range []*daemon{a, b} {
			got := d.stats("VI_1")
			for counter, want := range map[string]int{
				"Packet Errors/TTL": rounds, "Packet Errors/Invalid Type": rounds, "Packet Errors/Advertisement Interval": rounds,
				"Authentication Errors/Failure": 0, "Authentication Errors/Invalid Type": 0, "Packet Errors/Address List": 0,
			} {
				if got[counter] != want && !uncounted(d.role, counter) {
					t.Errorf("%s (%s) counts %d for %s, want %d", d.host.Name(), d.role, got[counter], counter, want)
				}
			}
			if n := got["Packet Errors/Length"]; n < 3*rounds {
				t.Errorf("%s (%s) counts %d wrong lengths of at least %d", d.host.Name(), d.role, n, 3*rounds)
			}
			for _, cause := range []string{"ttl", "checksum", "too_short", "too_long", "type", "version", "advert_int"} {
				if n := len(d.log.all(began, "cause="+cause+" ")); d.role == reeve && n < 1 {
					t.Errorf("%s does not say that the %s is wrong", d.host.Name(), cause)
				}
			}
			if n := len(d.log.all(began, "advert dropped")); n > 20 { // ten a minute
				t.Errorf("%s says %d times that it dropped something", d.host.Name(), n)
			}
		}
		for _, d := range []*daemon{a, b} {
			d.silent(began, "Entering ")
		}
		if got := s.timeline(vipAddr); strings.Count(got, "-") != 1 {
			t.Errorf("the address moved: %s", got)
		}
		s.wire.await(time.Now(), "adverts of a", 3, at("a", 100))
	})
}

// counted waits until a counter of VI_1 is that high.
func (d *daemon) counted(counter string, n int) {
	d.s.t.Helper()
	for d.stats("VI_1")[counter] < n {
		if d.s.ctx.Err() != nil {
			d.s.t.Fatalf("%s (%s) counts too few: %v", d.host.Name(), d.role, d.stats("VI_1"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestScenario19ForgedZero: priority 0 of a stranger. The master answers at once and stays what it is, by which the backup
// stays too; a backup that does not hear the master is MASTER after its own skew.
func TestScenario19ForgedZero(t *testing.T) {
	pairs(t, func(t *testing.T, ra, rb role) {
		s := newSegment(t)
		a := s.start("a", ra, file("", "", instance{priority: 100}))
		s.owned("a")
		b := s.start("b", rb, file("", "", instance{priority: 50}))
		b.said(b.began, "Entering BACKUP STATE")
		x := s.stranger()
		began := time.Now()
		x.answered("a")
		s.wire.await(time.Now(), "adverts of a", 2, by("a"))
		b.silent(began, "Entering MASTER STATE")
		a.silent(began, "Entering ")
		for _, d := range []*daemon{a, b} {
			if n := d.stats("VI_1")["Priority Zero/Received"]; n != 1 {
				t.Errorf("%s (%s) counts %d adverts of priority 0", d.host.Name(), d.role, n)
			}
		}
		s.wire.await(time.Now(), "advert of a", 1, by("a"))
		s.Must(s.host("a").Cut())
		sent := x.zero()
		took(t, "MASTER after priority 0", sent, s.spoke("b", 51, sent), skew(50))
		s.gained("b", sent)
		s.Must(s.host("a").Heal())
		healed := time.Now()
		s.owned("a")
		within(t, "one owner after the heal", healed, s.lost("b", healed), contended(1100*time.Millisecond))
	})
}

// TestScenario21Unicast: with unicast_peer adverts go from address to address and no other way, a failover and the way back
// included; with vrrp_check_unicast_src a stranger's are refused. Both versions.
func TestScenario21Unicast(t *testing.T) {
	abreast(t)
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			pairs(t, func(t *testing.T, ra, rb role) { unicast(t, ra, rb, version) })
		})
	}
}

func unicast(t *testing.T, ra, rb role, version int) {
	s := newSegment(t)
	conf := func(global, host, peer string, priority int) string {
		return file(global, "", instance{priority: priority, auth: map[int]string{2: "test", 3: "-"}[version], words: fmt.Sprintf(
			"version %d\n  unicast_src_ip %s\n  unicast_peer {\n    %s\n  }", version, address(host), address(peer))})
	}
	toB := func(f frame) bool {
		return by("a")(f) && f.dst == address("b") && f.ttl == 255 && int(f.version) == version
	}
	toA := func(f frame) bool {
		return by("b")(f) && f.dst == address("a") && f.ttl == 255 && int(f.version) == version
	}
	const check = "vrrp_check_unicast_src"
	a := s.start("a", ra, conf(check, "a", "b", 100))
	s.owned("a")
	b := s.start("b", rb, conf(check, "b", "a", 50))
	b.said(b.began, "Entering BACKUP STATE")
	s.wire.await(time.Now(), "adverts of a for b", 5, toB)
	b.silent(b.began, "Entering MASTER STATE")

	stopped := s.stopped(a)
	took(t, "take-over", stopped, s.spoke("b", 51, stopped), skew(50))
	s.owned("b")
	a.ended()
	a.again("")
	s.wire.await(a.began, "adverts of b for a", 2, toA)
	up := a.said(a.began, "Entering BACKUP STATE")
	took(t, "the way back", up, s.spoke("a", 51, up), masterDown(100))
	s.owned("a")
	a.said(a.began, "received lower priority (50) advert from 10.91.0.2 - discarding") // it heard b's before

	began := time.Now()
	x := s.stranger()
	intruder := forged{version: version, priority: 200, to: address("a")}
	for range 3 {
		x.send(intruder)
	}
	a.said(began, "unicast source address 10.91.0.9 not a unicast peer")
	s.wire.await(began, "adverts of a", 3, toB)
	a.silent(began, "Entering BACKUP STATE")

	// Without the check whoever reaches the host is obeyed.
	a.reload(conf("", "a", "b", 100))
	for len(a.log.all(began, "(VI_1) Entering BACKUP STATE")) == 0 {
		if s.ctx.Err() != nil {
			t.Fatalf("a (%s) does not obey who is not checked", ra)
		}
		x.send(intruder)
		time.Sleep(50 * time.Millisecond)
	}
	if got := s.wire.all(time.Time{}, func(f frame) bool { return isAdvert(f) && f.dst.IsMulticast() }); len(got) > 0 {
		t.Errorf("%d adverts to the group: %+v", len(got), got[0])
	}
}

// stopped asks a daemon to stop, and tells when it said so by priority 0.
func (s *segment) stopped(d *daemon) time.Time {
	s.t.Helper()
	asked := time.Now()
	d.term()
	return s.wire.await(asked, "priority 0 of "+d.host.Name(), 1, zero(d.host.Name(), 51)).at
}

// TestScenario20Version3: version 3 with 0.2 s between adverts. Each takes the other's checksum, which covers addresses of
// the IP header; who is lost is missed after 0.76 s.
func TestScenario20Version3(t *testing.T) {
	pairs(t, func(t *testing.T, ra, rb role) {
		s := newSegment(t)
		conf := func(priority int) string {
			return file("vrrp_version 3", "", instance{priority: priority, advert: "0.2", auth: "-"})
		}
		down := func(priority int) time.Duration {
			return 600*time.Millisecond + time.Duration(256-priority)*200*time.Millisecond/256
		}
		a := s.start("a", ra, conf(100))
		s.owned("a")
		b := s.start("b", rb, conf(50))
		b.said(b.began, "Entering BACKUP STATE")
		s.wire.await(time.Now(), "adverts of a", 10, func(f frame) bool {
			return by("a")(f) && f.version == 3 && f.interval == 200*time.Millisecond && len(f.broken) == 0
		})
		b.silent(b.began, "Entering MASTER STATE")
		asleep := a.freeze() // it is silent at once
		took(t, "take-over", s.wire.last("a", asleep).at, s.spoke("b", 51, asleep), down(50))
		s.gained("b", asleep)
		awake := time.Now()
		a.thaw()
		s.lost("b", awake)
		s.owned("a")

		stopped := s.stopped(a)
		took(t, "take-over after priority 0", stopped, s.spoke("b", 51, stopped), down(50)-600*time.Millisecond)
		a.ended()
		a.again("")
		up := a.said(a.began, "Entering BACKUP STATE")
		took(t, "preemption", up, s.spoke("a", 51, up), down(100))
		s.owned("a")
		a.said(a.began, "received lower priority (50) advert from 10.91.0.2 - discarding")
	})
}
