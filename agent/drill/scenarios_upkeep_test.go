package drill

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var secondVIP = netip.MustParseAddr("10.91.0.101")

// TestScenario23Deleted: somebody deletes the address on the master. keepalived says priority 0, is without it for its own
// skew and MASTER again; Reeve has it back at once and stays MASTER. Nobody else has it meanwhile.
func TestScenario23Deleted(t *testing.T) {
	pairs(t, func(t *testing.T, ra, rb role) {
		s := newSegment(t)
		a := s.start("a", ra, file("", "", instance{priority: 100}))
		s.owned("a")
		b := s.start("b", rb, file("", "", instance{priority: 50}))
		b.said(b.began, "Entering BACKUP STATE")
		for range 2 {
			s.wire.await(time.Now(), "adverts of a", 2, at("a", 100))
			deleted := time.Now()
			s.Must(s.host("a").DelAddr("eth0", vip+"/24"))
			gone := s.lost("a", deleted)
			back := s.gained("a", deleted)
			if ra == keepalived {
				zero := s.wire.await(deleted, "priority 0 of a", 1, zero("a", 51)).at
				took(t, "keepalived's way back", zero, s.spoke("a", 51, zero), skew(100))
				continue
			}
			if d := back.Sub(gone); d > contended(50*time.Millisecond) {
				t.Errorf("the address was away for %v", d)
			}
			s.wire.await(deleted, "gratuitous ARP of a", 1, garp("a"))
		}
		if ra == reeve {
			a.silent(s.gained("a", time.Time{}), "Entering BACKUP STATE")
			if got := s.wire.all(time.Time{}, zero("a", 51)); len(got) > 0 {
				t.Errorf("%d adverts of priority 0", len(got))
			}
			if n := s.watch.OwnersMax(vipAddr); n != 1 {
				t.Errorf("%d hosts had the address at once: %s", n, s.timeline(vipAddr))
			}
			b.silent(b.began, "Entering MASTER STATE")
		}
	})
}

// TestScenario24Reload: the file gets another address, loses an instance, gets broken. What the change does not concern
// goes on, adverts in their time; what is gone is given up as at a stop; a broken file changes nothing, where keepalived
// dies and leaves the address to two.
func TestScenario24Reload(t *testing.T) {
	pairs(t, func(t *testing.T, ra, rb role) {
		s := newSegment(t)
		conf := func(priority int, vips ...string) string {
			return file("", "", instance{priority: priority, vips: vips},
				instance{name: "VI_2", vrid: 52, priority: priority, vips: []string{"10.91.0.110/24"}})
		}
		two := netip.MustParseAddr("10.91.0.110")
		a := s.start("a", ra, conf(100, vip+"/24"))
		s.owned("a")
		s.ownedAddr(two, "a")
		b := s.start("b", rb, conf(50, vip+"/24"))
		b.said(b.began, "(VI_2) Entering BACKUP STATE")
		s.wire.await(time.Now(), "adverts of a", 2, of("a", 51))

		began := time.Now()
		b.reload(conf(50, vip+"/24", "10.91.0.101/24"))
		a.reload(conf(100, vip+"/24", "10.91.0.101/24"))
		within(t, "the new address", began, s.came(secondVIP, "a", began), contended(time.Second))
		s.wire.await(began, "adverts with both addresses", 4, func(f frame) bool {
			return of("a", 51)(f) && slices.Equal(f.addrs, []netip.Addr{vipAddr, secondVIP})
		})
		s.steady("a", 51, began)

		removed := time.Now()
		one := file("", "", instance{priority: 100, vips: []string{vip + "/24", "10.91.0.101/24"}})
		a.reload(one)
		zeroed := s.wire.await(removed, "priority 0 of VI_2", 1, zero("a", 52)).at
		within(t, "VI_2 without its address", zeroed.Add(-100*time.Millisecond), s.went(two, "a", removed), contended(200*time.Millisecond))
		took(t, "VI_2 on the other host", zeroed, s.spoke("b", 52, removed), skew(50))
		s.ownedAddr(two, "b")
		s.wire.await(removed, "adverts of VI_1", 4, of("a", 51))
		s.steady("a", 51, began)
		for _, d := range []*daemon{a, b} {
			d.silent(began, "(VI_1) Entering ")
		}

		broken := time.Now()
		a.reload(strings.Replace(one, "interface eth0", "interface", 1))
		if ra == keepalived {
			a.ended()
			s.owned("a", "b")
			return
		}
		a.said(broken, "Reload refused")
		s.wire.await(broken, "adverts of VI_1", 5, of("a", 51))
		s.steady("a", 51, broken)
		s.owned("a")
		s.ownedAddr(secondVIP, "a")
		a.silent(began, "(VI_1) Entering ")
		a.stop()
		s.owned("b")
	})
}

// steady wants adverts no further apart than an interval and a little, since a time.
func (s *segment) steady(host string, vrid int, since time.Time) {
	s.t.Helper()
	all := s.wire.all(since, of(host, vrid))
	for i := 1; i < len(all); i++ {
		if d := all[i].at.Sub(all[i-1].at); d > time.Second+toleranceOf(s.t) {
			s.t.Errorf("%s: %v between adverts for %d", host, d, vrid)
		}
	}
}

// frozen is for how long the master's process stands still.
const frozen = 10 * time.Second

// TestScenario27Freeze: the process of the master stands still for ten seconds. Of keepalived both have the address until
// it wakes. Of Reeve the guard takes it off three intervals after the last advert, before anybody else can have it; when it
// wakes it says nothing before it has waited like any backup.
func TestScenario27Freeze(t *testing.T) {
	pairs(t, func(t *testing.T, ra, rb role) {
		s := newSegment(t)
		a := s.start("a", ra, file("", "", instance{priority: 100}))
		s.owned("a")
		b := s.start("b", rb, file("", "", instance{priority: 50}))
		b.said(b.began, "Entering BACKUP STATE")
		s.wire.await(time.Now(), "adverts of a", 2, at("a", 100))

		last := s.wire.first("a", time.Now()).at
		s.after(last.Add(200 * time.Millisecond)) // the guard has heard of it
		asleep := a.freeze()
		took(t, "take-over", last, s.spoke("b", 51, asleep), masterDown(50))
		s.gained("b", asleep)
		if ra == reeve {
			gone := s.lost("a", asleep)
			within(t, "the guard", last, gone, contended(3*time.Second))
			if d := gone.Sub(last); d < 3*time.Second-toleranceOf(t) {
				t.Errorf("the address went after %v, want three intervals", d)
			}
			s.after(asleep.Add(frozen))
			if d := s.both(asleep); d > 0 {
				t.Errorf("both had the address for %v", d)
			}
			awake := a.thaw()
			first := s.wire.first("a", awake).at
			took(t, "the first advert after it woke", awake, first, masterDown(100))
			if on := s.gained("a", awake); on.Before(first) {
				t.Errorf("it had the address %v before it said so: %s", first.Sub(on), s.timeline(vipAddr))
			}
			s.owned("a")
			within(t, "b without it", first, s.lost("b", awake), contended(300*time.Millisecond))
			return
		}
		s.after(asleep.Add(frozen))
		awake := a.thaw()
		within(t, "b without it", awake, s.lost("b", asleep), contended(300*time.Millisecond))
		if d := s.both(asleep); d < frozen-masterDown(50)-toleranceOf(t) {
			t.Errorf("both had the address for %v alone", d)
		}
	})
}

// TestScenario29Strict: vrrp_strict drops the password, and a filter keeps everybody from the address, which is there and
// does not answer; at the stop the filter is gone.
func TestScenario29Strict(t *testing.T) {
	pairs(t, func(t *testing.T, ra, rb role) {
		s := newSegment(t)
		a := s.start("a", ra, file("vrrp_strict", "", instance{priority: 100}))
		s.owned("a")
		b := s.start("b", rb, file("vrrp_strict", "", instance{priority: 50}))
		b.said(b.began, "Entering BACKUP STATE")
		s.wire.await(time.Now(), "adverts of a without a password", 5, func(f frame) bool {
			return at("a", 100)(f) && f.authType == 0 && f.auth == "" && len(f.broken) == 0
		})
		if got := s.wire.all(b.began, by("b")); len(got) > 0 {
			t.Errorf("%d adverts of b", len(got))
		}
		s.filtered("a")
		stopped := a.stop()
		s.gained("b", stopped)
		if rules := s.ruleset("a"); strings.Contains(rules, "table") {
			t.Errorf("a leaves behind:\n%s", rules)
		}
		s.filtered("b")
		b.stop()
		if rules := s.ruleset("b"); strings.Contains(rules, "table") {
			t.Errorf("b leaves behind:\n%s", rules)
		}
	})
}

// filtered wants that a host has the address and that nobody reaches it there, though the host answers by its own.
func (s *segment) filtered(host string) {
	s.t.Helper()
	s.owned(host)
	for since := time.Now(); !strings.Contains(s.ruleset(host), "table ip keepalived"); time.Sleep(20 * time.Millisecond) {
		if time.Since(since) > 5*time.Second {
			s.t.Fatalf("%s has no table of keepalived's:\n%s", host, s.ruleset(host))
		}
	}
	for addr, want := range map[string]error{address(host).String(): syscall.ECONNREFUSED, vip: os.ErrDeadlineExceeded} {
		ctx, cancel := context.WithTimeout(s.ctx, 1500*time.Millisecond)
		c, err := s.observer.Dial(ctx, "tcp", net.JoinHostPort(addr, "9"))
		cancel()
		if err == nil {
			_ = c.Close()
		}
		if late := errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err); !errors.Is(err, want) && !(late && want == os.ErrDeadlineExceeded) {
			s.t.Errorf("%s: a connection to %s: %v, want %v", host, addr, err, want)
		}
	}
}

// ruleset is what nft lists on a host.
func (s *segment) ruleset(host string) string {
	s.t.Helper()
	p := s.host(host).Command("nft", "list", "ruleset")
	s.Must(p.Run(s.ctx))
	return p.Output()
}
