package drill

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stats is the file that SIGUSR2 makes, by "section/counter" of an instance.
func (d *daemon) stats(name string) map[string]int {
	d.s.t.Helper()
	out, inside, section := map[string]int{}, false, ""
	for l := range strings.Lines(d.dump(unix.SIGUSR2, "keepalived.stats")) {
		l = strings.TrimRight(l, "\n")
		key, value, _ := strings.Cut(strings.TrimSpace(l), ": ")
		switch {
		case strings.HasPrefix(l, "VRRP Instance"):
			inside = value == name
		case !inside:
		case strings.HasSuffix(l, ":"):
			section = strings.TrimSuffix(key, ":") + "/"
		default:
			n := 0
			if _, err := fmt.Sscan(value, &n); err != nil {
				d.s.t.Fatalf("%s: line %q of the counters", d.host.Name(), l)
			}
			if !strings.HasPrefix(l, "    ") {
				section = ""
			}
			out[section+key] = n
		}
	}
	if len(out) == 0 {
		d.s.t.Fatalf("%s: no counters of %s", d.host.Name(), name)
	}
	return out
}

// mismatch is an instance whose two ends differ, and what each says of the other's adverts.
type mismatch struct {
	a, b     instance
	ofA, ofB string // what is said of a's adverts by b, of b's by a
	counter  string // of the file of counters; "": it has none
}

var mismatches = []mismatch{
	{
		a: instance{name: "VI_1", vrid: 51, auth: "test"}, b: instance{auth: "wrong"},
		ofA: "received an invalid passwd!", ofB: "received an invalid passwd!", counter: "Authentication Errors/Failure",
	},
	{
		a: instance{name: "VI_2", vrid: 52, auth: "test"}, b: instance{auth: "-"},
		ofA: "received a 1 auth, expecting 0!", ofB: "received a 0 auth, expecting 1!", counter: "Authentication Errors/Type Mismatch",
	},
	{
		a: instance{name: "VI_3", vrid: 53, advert: "1"}, b: instance{advert: "2"},
		ofA:     "advertisement interval mismatch mine=2 sec rcv'd=1 sec",
		ofB:     "advertisement interval mismatch mine=1 sec rcv'd=2 sec",
		counter: "Packet Errors/Advertisement Interval",
	},
	{
		a: instance{name: "VI_4", vrid: 54, auth: "-", words: "version 2"}, b: instance{auth: "-", words: "version 3"},
		ofA: "wrong version. Received 2 and expect 3", ofB: "wrong version. Received 3 and expect 2",
	},
}

// mismatched are the configurations of both hosts.
func mismatched() (a, b string) {
	var as, bs []instance
	for _, m := range mismatches {
		m.a.priority, m.b.priority = 100, 50
		m.a.vips = []string{fmt.Sprintf("10.91.0.1%d/24", m.a.vrid)}
		m.b.name, m.b.vrid, m.b.vips = m.a.name, m.a.vrid, m.a.vips
		as, bs = append(as, m.a), append(bs, m.b)
	}
	return file("", "", as...), file("", "", bs...)
}

// speaks is how many adverts of a master of this program have to be seen. A keepalived that is MASTER and drops adverts
// waits anew with each of them before it sends one of its own, and so may fall silent.
func (r role) speaks() int {
	if r == keepalived {
		return 1
	}
	return 5
}

// TestScenario16Mismatch: a pair whose password, authentication, advert_int or version differ does not hear each other and
// both are MASTER. Each names the field: keepalived at each packet, Reeve once, and both count.
func TestScenario16Mismatch(t *testing.T) {
	pairs(t, func(t *testing.T, ra, rb role) {
		s := newSegment(t)
		confA, confB := mismatched()
		a, b := s.start("a", ra, confA), s.start("b", rb, confB)
		for _, m := range mismatches {
			for _, d := range []*daemon{a, b} {
				d.said(d.began, "("+m.a.name+") Entering MASTER STATE")
			}
		}
		for _, m := range mismatches {
			s.wire.await(time.Time{}, "adverts of a for "+m.a.name, ra.speaks(), of("a", m.a.vrid))
			s.wire.await(time.Time{}, "adverts of b for "+m.a.name, rb.speaks(), of("b", m.a.vrid))
		}
		for _, m := range mismatches {
			a.complains(m.a.name, m.ofB, m.counter, rb)
			b.complains(m.a.name, m.ofA, m.counter, ra)
			if got := s.watch.Owners(netip.MustParseAddr(fmt.Sprintf("10.91.0.1%d", m.a.vrid))); len(got) != 2 {
				t.Errorf("%s is on %v", m.a.name, got)
			}
		}
	})
}

// complains wants that the daemon says what it has against another's adverts, keepalived of each, Reeve once, and counts.
func (d *daemon) complains(name, words, counter string, of role) {
	d.s.t.Helper()
	said := 0
	for _, l := range d.log.all(time.Time{}, words) {
		if strings.Contains(l.text, "("+name+")") {
			said++
		}
	}
	if d.role == reeve && said != 1 || d.role == keepalived && said < of.speaks() {
		d.s.t.Errorf("%s (%s) said %d times of %s: %s", d.host.Name(), d.role, said, name, words)
	}
	if counter == "" {
		return
	}
	if got := d.stats(name); got[counter] < of.speaks() && !uncounted(d.role, counter) {
		d.s.t.Errorf("%s (%s) counts for %s %d %s: %v", d.host.Name(), d.role, name, got[counter], counter, got)
	}
}

// uncounted are counters that keepalived 2.2.7 shows and never moves.
func uncounted(r role, counter string) bool {
	return r == keepalived && counter == "Packet Errors/Advertisement Interval"
}

// TestScenario17OtherList: lists of addresses that differ, by number and by what is in them. keepalived 2.2.7 refuses the
// advert and becomes a second MASTER; Reeve says so once, takes it for what it is, and stays what it was.
func TestScenario17OtherList(t *testing.T) {
	pairs(t, func(t *testing.T, ra, rb role) {
		s := newSegment(t)
		lists := func(priority int, number, content []string) string {
			return file("", "", instance{priority: priority, vips: number},
				instance{name: "VI_2", vrid: 52, priority: priority, vips: content})
		}
		a := s.start("a", ra, lists(100, []string{"10.91.0.100/24", "10.91.0.101/24"}, []string{"10.91.0.110/24"}))
		s.owned("a")
		b := s.start("b", rb, lists(50, []string{"10.91.0.100/24"}, []string{"10.91.0.111/24"}))
		b.said(b.began, "(VI_2) Entering BACKUP STATE")
		s.wire.await(time.Now(), "adverts of a", 6, of("a", 51)) // more than a MasterDownInterval
		other := map[role]string{keepalived: "not present in MASTER advert", reeve: "ip address 10.91.0.111 not present in MASTER advert"}
		for vrid, words := range map[int]string{51: "received an unexpected ip number count 2, expected 1!", 52: other[rb]} {
			name := fmt.Sprintf("VI_%d", vrid-50)
			b.complains(name, words, "Packet Errors/Address List", ra)
			if heard := len(s.wire.all(b.began, of("b", vrid))); (heard > 0) != (rb == keepalived) {
				t.Errorf("b (%s) sent %d adverts for %s", rb, heard, name)
			}
		}
		if rb == keepalived {
			a.complains("VI_1", "received an unexpected ip number count 1, expected 2!", "Packet Errors/Address List", rb)
		}
		// Whatever the other does, who was MASTER stays it.
		if n := len(a.log.all(time.Time{}, "(VI_1) Entering MASTER STATE")); n != 1 {
			t.Errorf("a entered MASTER %d times", n)
		}
		a.silent(s.gained("a", time.Time{}), "Entering BACKUP STATE")
	})
}
