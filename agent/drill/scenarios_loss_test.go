package drill

import (
	"io"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
)

type tenure = lab.Tenure

// running starts a with priority 100 and b with 50, and waits until a is MASTER with b behind it.
func running(t *testing.T, s *segment, a, b role) (*daemon, *daemon) {
	t.Helper()
	x := s.start("a", a, conf(settings{priority: 100}))
	s.owned("a")
	y := s.start("b", b, conf(settings{priority: 50}))
	backup := y.said(y.began, "(VI_1) Entering BACKUP STATE")
	s.wire.await(backup, "advert", 2, by("a"))
	return x, y
}

// TestScenario05Stop is scenario 5: a master that is asked to stop says priority 0 once and takes its address off; the
// other follows after its skew.
func TestScenario05Stop(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		x, _ := running(t, s, a, b)
		asked := x.stop()
		before := asked.Add(-time.Second / 2)
		zero := s.wire.await(before, "priority 0", 1, at("a", 0))
		took(t, "take-over", zero.at, s.wire.first("b", before).at, skew(50))
		within(t, "the address off", asked, s.lost("a", before), 150*time.Millisecond)
		s.owned("b")
		if n := len(s.wire.all(before, at("a", 0))); n != 1 {
			t.Errorf("%d adverts of priority 0, want 1", n)
		}
		if both := s.both(before); both > 0 {
			t.Errorf("both had the address for %v", both)
		}
	})
}

// TestScenario06Killed is scenario 6: with all its processes killed at once a master is followed MasterDownInterval after
// its last advert. What keepalived leaves on the interface, the kernel takes off for Reeve before the other has it; what
// is there when a daemon starts goes before its first advert.
func TestScenario06Killed(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		x, _ := running(t, s, a, b)
		dead := x.kill()
		took(t, "take-over", s.wire.last("a", dead).at, s.wire.first("b", dead).at, masterDown(50))
		s.gained("b", dead)
		if a == reeve {
			s.owned("b")
			if both := s.both(dead); both > 0 {
				t.Errorf("both had the address for %v", both)
			}
			s.Must(x.host.AddAddr("eth0", vip+"/24"))
		}
		s.owned("a", "b")
		x.again("")
		gone := s.lost("a", x.began)
		first := s.wire.first("a", x.began)
		took(t, "coming back", x.said(x.began, "(VI_1) Entering BACKUP STATE"), first.at, masterDown(100))
		if !gone.Before(first.at) {
			t.Errorf("the leftover went at %s, after the first advert", gone.Format("05.000"))
		}
		s.owned("a")
	})
}

// TestScenario06Guarded is what Reeve does more in scenario 6: with its main process killed the guard takes the address
// off at once.
func TestScenario06Guarded(t *testing.T) {
	abreast(t)
	for _, b := range []role{keepalived, reeve} {
		t.Run("R"+string(b), func(t *testing.T) {
			t.Parallel()
			s := newSegment(t)
			x, _ := running(t, s, reeve, b)
			dead := time.Now()
			x.signal(unix.SIGKILL)
			within(t, "the address off", dead, s.lost("a", dead), 0)
			took(t, "take-over", s.wire.last("a", dead).at, s.wire.first("b", dead).at, masterDown(50))
			s.owned("b")
			if both := s.both(dead); both > 0 {
				t.Errorf("both had the address for %v", both)
			}
		})
	}
}

// TestScenario07LinkDown is scenario 7: a master that loses its link is in FAULT at once, and its address goes; when the
// link is back it waits as BACKUP and preempts.
func TestScenario07LinkDown(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		x, _ := running(t, s, a, b)
		cut := time.Now()
		s.Must(s.host("a").Carrier(false))
		within(t, "FAULT in the log", cut, x.said(cut, "(VI_1) Entering FAULT STATE"), 100*time.Millisecond)
		within(t, "FAULT notified", cut, x.told(cut, "any INSTANCE VI_1 FAULT 100"), 100*time.Millisecond)
		within(t, "the address off", cut, s.lost("a", cut), 100*time.Millisecond)
		took(t, "take-over", s.wire.last("a", cut).at, s.wire.first("b", cut).at, masterDown(50))
		s.owned("b")
		healed := time.Now()
		s.Must(s.host("a").Heal())
		backup := x.said(healed, "(VI_1) Entering BACKUP STATE")
		took(t, "coming back", backup, s.wire.first("a", healed).at, masterDown(100))
		s.owned("a")
	})
}

// TestScenario08Partition is scenario 8: VRRP is filtered both ways for 10 s, so both are MASTER; after the heal the lower
// one leaves within an interval and the winner tells the segment again whose the address is.
func TestScenario08Partition(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		x, y := running(t, s, a, b)
		s.Must(s.filter("a", dropVRRP)(), s.filter("b", dropVRRP)())
		cut := time.Now()
		healA, healB := s.filter("a", passVRRP), s.filter("b", passVRRP)
		last := s.wire.last("a", cut) // the latest that b can have heard
		took(t, "second master", last.at, s.wire.first("b", cut).at, masterDown(50))
		s.owned("a", "b")
		s.after(cut.Add(10 * time.Second))
		// Between a's advert and b's, so that a hears b first.
		s.wire.first("a", time.Now())
		healed := time.Now()
		s.Must(healA(), healB())
		within(t, "leaving of the lower", healed, s.lost("b", healed), time.Second)
		x.said(healed, "(VI_1) Received advert from 10.91.0.2 with lower priority 50, ours 100, forcing new election")
		y.said(healed, "(VI_1) Master received advert from 10.91.0.1 with higher priority 100, ours 50")
		s.wire.await(healed, "gratuitous ARP of the winner", 5, garp("a"))
		s.owned("a")
		if zero := s.wire.all(healed, at("b", 0)); len(zero) > 0 {
			t.Errorf("%d adverts of priority 0", len(zero))
		}
	})
}

const (
	dropVRRP = "table ip drill { chain in { type filter hook input priority -200; ip protocol vrrp drop; }; }\n"
	passVRRP = "delete table ip drill\n"
)

// filter prepares a change of what a host hears, and gives what carries it out and waits for it: nft is there by then, so
// that its start costs no time.
func (s *segment) filter(host, rules string) func() error {
	s.t.Helper()
	in, out := io.Pipe()
	nft := s.host(host).Command("nft", "-f", "-")
	nft.Stdin = in
	s.Must(nft.Start())
	s.t.Cleanup(func() { _ = out.Close() }) // in a test that ends before
	return func() error {
		if _, err := io.WriteString(out, rules); err != nil {
			return err
		}
		if err := out.Close(); err != nil {
			return err
		}
		<-nft.Done()
		return nft.Err()
	}
}

// TestScenario09Equal is scenario 9: of two with the same priority the first to time out is MASTER. A cut of 6 s makes two;
// after it the higher address keeps it.
func TestScenario09Equal(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		x := s.start("a", a, conf(settings{priority: 100}))
		x.said(x.began, "(VI_1) Entering BACKUP STATE")
		y := s.start("b", b, conf(settings{priority: 100}))
		y.said(y.began, "(VI_1) Entering BACKUP STATE")
		s.owned("a")
		s.wire.await(y.began, "advert", 3, by("a"))
		s.silent("b", y.began)
		last := s.cut("b")
		took(t, "second master", last, s.wire.first("b", last).at, masterDown(100))
		s.owned("a", "b")
		s.after(last.Add(6 * time.Second))
		healed := time.Now()
		s.Must(s.host("b").Heal())
		gone := s.lost("a", healed)
		within(t, "leaving of the lower address", healed, gone, time.Second)
		x.said(healed, "(VI_1) Master received advert from 10.91.0.2 with same priority 100 but higher IP address than ours")
		s.owned("b")
		s.wire.await(gone, "advert", 3, by("b"))
		s.silent("a", gone.Add(10*time.Millisecond))
	})
}

// cut takes a host off the switch just after an advert that it heard, and tells when that was.
func (s *segment) cut(host string) time.Time {
	s.t.Helper()
	heard := s.wire.await(time.Now(), "advert", 1, func(f frame) bool { return isAdvert(f) && f.host != host })
	s.Must(s.host(host).Cut())
	return heard.at
}

// TestScenario28ThreeHosts is scenario 28: of three the best is MASTER, and when it is killed the next; who loses says
// nothing.
func TestScenario28ThreeHosts(t *testing.T) {
	abreast(t)
	all := [][3]role{{reeve, keepalived, keepalived}, {keepalived, reeve, keepalived}, {keepalived, keepalived, reeve}, {reeve, reeve, reeve}}
	if fine() {
		all = append(all, [3]role{keepalived, keepalived, keepalived})
	}
	for _, roles := range all {
		t.Run(string(roles[0]+roles[1]+roles[2]), func(t *testing.T) {
			t.Parallel()
			s := newSegment(t, "a", "b", "c")
			var all []*daemon
			for i, priority := range []int{150, 100, 50} {
				d := s.start(string(rune('a'+i)), roles[i], conf(settings{priority: priority}))
				d.said(d.began, "(VI_1) Entering BACKUP STATE")
				s.owned("a")
				all = append(all, d)
			}
			s.wire.await(all[2].began, "advert", 3, by("a"))
			dead := all[0].kill()
			took(t, "take-over by b", s.wire.last("a", dead).at, s.wire.first("b", dead).at, masterDown(100))
			s.wire.await(dead, "advert", 3, by("b"))
			again := all[1].kill()
			took(t, "take-over by c", s.wire.last("b", again).at, s.wire.first("c", again).at, masterDown(50))
			s.wire.await(again, "advert", 3, by("c"))
			s.order("a", "b", "c")
		})
	}
}

// order fails unless the adverts on the wire came from these hosts one after the other.
func (s *segment) order(hosts ...string) {
	s.t.Helper()
	var seen []string
	for _, f := range s.wire.all(time.Time{}, isAdvert) {
		if len(seen) == 0 || seen[len(seen)-1] != f.host {
			seen = append(seen, f.host)
		}
	}
	if !slices.Equal(seen, hosts) {
		s.t.Errorf("masters were %v, want %v", seen, hosts)
	}
}
