package drill

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestScenario01LoneStart is scenario 1: a lone daemon joins the group, waits MasterDownInterval, speaks once a second with
// the bytes of section 4.1, and announces its address five times at once and five times after five seconds.
func TestScenario01LoneStart(t *testing.T) {
	each(t, func(t *testing.T, a role) {
		s := newSegment(t, "a")
		d := s.start("a", a, conf(settings{priority: 100}))
		backup := d.said(d.began, "(VI_1) Entering BACKUP STATE")
		first := s.wire.first("a", d.began)
		took(t, "first advert", backup, first.at, masterDown(100))
		within(t, "address after the first advert", first.at.Add(-time.Millisecond), s.owned("a"), 20*time.Millisecond)
		lookOfAdvert(t, first)

		tenth := s.wire.await(d.began, "gratuitous ARP", 10, garp("a"))
		garps := s.wire.all(d.began, garp("a"))
		within(t, "the first five", first.at, garps[4].at, 20*time.Millisecond)
		took(t, "the second five", garps[0].at, garps[5].at, 5*time.Second)
		within(t, "the last of them", garps[5].at, tenth.at, 20*time.Millisecond)
		for _, g := range garps {
			if g.kind != kindRequest || g.targHW != ethBroadcast || g.ethDst != ethBroadcast || g.senderHW != g.ethSrc {
				t.Errorf("gratuitous ARP %+v", g)
			}
		}
		adverts := s.wire.all(d.began, by("a"))
		for i, f := range adverts[1:] {
			took(t, "an advert after the other", adverts[i].at, f.at, time.Second)
		}
		if len(adverts) < 5 {
			t.Errorf("%d adverts in five seconds", len(adverts))
		}
		join := s.wire.await(time.Time{}, "join", 1, func(f frame) bool { return f.host == "a" && f.kind == kindJoin })
		if join.group != group4 {
			t.Errorf("joined %v", join.group)
		}
	})
}

var (
	ethBroadcast = [6]byte{255, 255, 255, 255, 255, 255}
	group4       = netip.MustParseAddr("224.0.0.18")
)

// lookOfAdvert holds an advert of priority 100 against section 4.1.
func lookOfAdvert(t *testing.T, f frame) {
	t.Helper()
	if f.ethDst != [6]byte{1, 0, 0x5e, 0, 0, 0x12} || f.src != address("a") || f.dst != group4 || f.tos != 0xc0 || f.ttl != 255 || f.dontFrag {
		t.Errorf("Ethernet or IP header: %+v", f)
	}
	if f.version != 2 || f.vrid != 51 || f.priority != 100 || f.interval != time.Second || !slices.Equal(f.addrs, []netip.Addr{vipAddr}) {
		t.Errorf("VRRP: %+v", f)
	}
	if f.authType != 1 || f.auth != "test" || len(f.broken) > 0 {
		t.Errorf("authentication or checksums: %+v", f)
	}
}

// TestScenario02Owner is scenario 2: priority 255 speaks within 50 ms of its first word, with the address there. Here the
// start of a program counts: no other labs are beside it, and the best of three says what it can do.
func TestScenario02Owner(t *testing.T) {
	for _, a := range alone() {
		s := newSegment(t, "a")
		d := s.box("a", a)
		best := time.Hour
		for range 3 {
			d.again(conf(settings{priority: 255}))
			first := s.wire.first("a", d.began)
			best = min(best, first.at.Sub(d.said(d.began, "Starting Keepalived v2.2.7")))
			within(t, "address after the first advert", first.at.Add(-time.Millisecond), s.owned("a"), 20*time.Millisecond)
			d.stop()
		}
		t.Logf("%s: first advert after %v", a, best.Round(time.Millisecond/10))
		if best > toleranceOf(t) {
			t.Errorf("%s: first advert took %v, want at most 50 ms", a, best)
		}
	}
}

// TestScenario03SilentBackup is scenario 3: beside a better master nothing is heard of a backup for 15 s.
func TestScenario03SilentBackup(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		s.start("a", a, conf(settings{priority: 100}))
		s.owned("a")
		d := s.start("b", b, conf(settings{priority: 50}))
		d.said(d.began, "(VI_1) Entering BACKUP STATE")
		s.after(d.began.Add(15 * time.Second))
		s.silent("b", d.began)
		d.silent(d.began, "MASTER")
		s.alone("a", 0)
	})
}

// silent fails if a host sent an advert after since.
func (s *segment) silent(host string, since time.Time) {
	s.t.Helper()
	if f := s.wire.all(since, by(host)); len(f) > 0 {
		s.t.Errorf("%s sent an advert of priority %d at %s", host, f[0].priority, f[0].at.Format("05.000"))
	}
}

// alone fails unless only this host ever had the address, and came to it but once beside so many earlier times.
func (s *segment) alone(host string, earlier int) {
	s.t.Helper()
	line := s.watch.Timeline(vipAddr)
	if len(line) != 1+earlier || slices.ContainsFunc(line, func(x tenure) bool { return x.Host != host }) {
		s.t.Errorf("the address was on %s", s.timeline(vipAddr))
	}
}

// TestScenario04Preempt is scenario 4: who comes back with the higher priority takes over MasterDownInterval after its
// start; the other leaves at the first advert of it, without a priority 0.
func TestScenario04Preempt(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		lower := s.start("b", b, conf(settings{priority: 50}))
		s.owned("b")
		d := s.start("a", a, conf(settings{priority: 100}))
		backup := d.said(d.began, "(VI_1) Entering BACKUP STATE")
		first := s.wire.first("a", d.began)
		took(t, "take-over", backup, first.at, masterDown(100))
		gone := s.lost("b", d.began)
		within(t, "leaving of the lower", first.at, gone, 20*time.Millisecond)
		lower.said(d.began, "(VI_1) Master received advert from 10.91.0.1 with higher priority 100, ours 50")
		s.owned("a")
		if both := s.both(d.began); both > 20*time.Millisecond+toleranceOf(t) {
			t.Errorf("both had the address for %v", both)
		}
		s.wire.await(first.at, "advert", 3, by("a"))
		s.silent("b", first.at.Add(10*time.Millisecond))
		if zero := s.wire.all(d.began, at("b", 0)); len(zero) > 0 {
			t.Errorf("%d adverts of priority 0", len(zero))
		}
	})
}

// TestScenario10NoPreempt is scenario 10: a nopreempt router that starts second stays BACKUP while the lower one speaks,
// and follows it after its own skew.
func TestScenario10NoPreempt(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		master := s.start("b", b, conf(settings{priority: 50}))
		s.owned("b")
		d := s.start("a", a, conf(settings{priority: 100, words: "state BACKUP\n  nopreempt"}))
		backup := d.said(d.began, "(VI_1) Entering BACKUP STATE")
		s.wire.await(backup, "advert", 6, by("b"))
		s.silent("a", d.began)
		stopped := master.stop()
		zero := s.wire.await(stopped.Add(-time.Second), "priority 0", 1, at("b", 0))
		took(t, "take-over", zero.at, s.wire.first("a", stopped).at, skew(100))
		s.owned("a")
	})
}

// TestScenario11PreemptDelay is scenario 11: a router with preempt_delay 5 obeys lower adverts for that long from the first
// that it hears, and takes over MasterDownInterval after the last of them. The sixth comes when the delay ends, and mostly
// a little late: it may count or not.
func TestScenario11PreemptDelay(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		s.start("b", b, conf(settings{priority: 50}))
		s.owned("b")
		d := s.start("a", a, conf(settings{priority: 150, words: "state BACKUP\n  preempt_delay 5"}))
		backup := d.said(d.began, "(VI_1) Entering BACKUP STATE")
		heard := s.wire.first("b", backup)
		first := s.wire.first("a", backup)
		obeyed := s.wire.last("b", first.at.Add(toleranceOf(t)-masterDown(150)))
		took(t, "take-over", obeyed.at, first.at, masterDown(150))
		if d := obeyed.at.Sub(heard.at).Round(time.Second); d != 4*time.Second && d != 5*time.Second {
			t.Errorf("lower adverts were obeyed for %v", d)
		}
		s.owned("a")
	})
}
