package drill

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

type prefix = netip.Prefix

const vip = "10.91.0.100"

var vipAddr = netip.MustParseAddr(vip)

// segment is a switch with hosts "a" (10.91.0.1), "b" (10.91.0.2), ... and a stranger "o" (10.91.0.9).
type segment struct {
	*lab.Test
	t        *testing.T
	ctx      context.Context
	hosts    map[string]*lab.Host
	observer *lab.Host // o
	watch    *lab.Watch
	wire     *wire
}

// newSegment makes a segment with hosts of these names, a and b if there are none, and begins to listen.
func newSegment(t *testing.T, names ...string) *segment {
	t.Helper()
	if len(names) == 0 {
		names = []string{"a", "b"}
	}
	t.TempDir() // what is cleaned up last: daemons write into their folders until the lab has ended them
	// In turn with others, at the end too: what is cleaned up first was registered last.
	done := busy(t)
	t.Cleanup(func() { done() })
	n := lab.New(t)
	t.Cleanup(func() { done(); done = busy(t) })
	s := &segment{Test: n, t: t, hosts: map[string]*lab.Host{}}
	for _, name := range append(names, "o") {
		s.hosts[name] = n.Host(name, address(name).String()+"/24")
	}
	s.observer = s.hosts["o"]
	done()
	s.watch = n.Watch()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	s.ctx = ctx
	var all []*lab.Host
	for _, h := range s.hosts {
		all = append(all, h)
	}
	s.wire = &wire{s, record(t, virtual(), all...)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("on the wire:\n%s\naddress: %s", s.wire, s.timeline(vipAddr))
		}
	})
	return s
}

// address of a host: a is .1, b .2; the observer is .9.
func address(host string) netip.Addr {
	last := byte(9)
	if host != "o" {
		last = host[0] - 'a' + 1
	}
	return netip.AddrFrom4([4]byte{10, 91, 0, last})
}

func (s *segment) host(name string) *lab.Host {
	s.t.Helper()
	h := s.hosts[name]
	if h == nil {
		s.t.Fatalf("no host %s", name)
	}
	return h
}

// owned waits until the address is on exactly these hosts, and tells since when.
func (s *segment) owned(hosts ...string) time.Time {
	s.t.Helper()
	return s.ownedAddr(vipAddr, hosts...)
}

// ownedAddr is owned for another address.
func (s *segment) ownedAddr(addr netip.Addr, hosts ...string) time.Time {
	s.t.Helper()
	slices.Sort(hosts)
	err := s.watch.Await(s.ctx, func() bool {
		o := s.watch.Owners(addr)
		slices.Sort(o)
		return slices.Equal(o, hosts)
	})
	if err != nil {
		s.t.Fatalf("%s was never on %v alone, but: %s (%v)", addr, hosts, s.timeline(addr), err)
	}
	last := time.Time{}
	for _, e := range s.watch.Events() {
		if e.Addr == addr {
			last = e.At
		}
	}
	return last
}

// gained and lost tell when a host got or lost the address, by the first such event after since; they wait for it.
func (s *segment) gained(host string, since time.Time) time.Time {
	s.t.Helper()
	return s.moved(host, since, true)
}

func (s *segment) lost(host string, since time.Time) time.Time {
	s.t.Helper()
	return s.moved(host, since, false)
}

func (s *segment) moved(host string, since time.Time, added bool) time.Time {
	s.t.Helper()
	var at time.Time
	err := s.watch.Await(s.ctx, func() bool {
		for _, e := range s.watch.Events() {
			if e.Addr == vipAddr && e.Host == host && e.Added == added && e.At.After(since) {
				at = e.At
				return true
			}
		}
		return false
	})
	if err != nil {
		s.t.Fatalf("%s: the address never came (%v) or went: %s", host, added, s.timeline(vipAddr))
	}
	return at
}

// timeline is the story of an address in words.
func (s *segment) timeline(addr netip.Addr) string {
	var out strings.Builder
	for _, x := range s.watch.Timeline(addr) {
		out.WriteString(x.Host + " " + x.From.Format("05.000") + "-")
		if !x.To.IsZero() {
			out.WriteString(x.To.Format("05.000"))
		}
		out.WriteString(" ")
	}
	return out.String()
}

// both is how long in all two hosts or more had the address since then, until now.
func (s *segment) both(since time.Time) time.Duration {
	have, from, sum := map[string]bool{}, time.Time{}, time.Duration(0)
	for _, e := range s.watch.Events() {
		if e.Addr != vipAddr {
			continue
		}
		if len(have) > 1 && e.At.After(since) {
			if from.Before(since) {
				from = since
			}
			sum += e.At.Sub(from)
		}
		if e.Added {
			have[e.Host] = true
		} else {
			delete(have, e.Host)
		}
		from = e.At
	}
	if len(have) > 1 {
		if from.Before(since) {
			from = since
		}
		sum += time.Since(from)
	}
	return sum
}

// after waits until a moment has come: for what must not happen until then there is no event.
func (s *segment) after(at time.Time) {
	s.t.Helper()
	select {
	case <-time.After(time.Until(at)):
	case <-s.ctx.Done():
		s.t.Fatal("the lab's time is over")
	}
}

// took fails unless at is as long after since as want says.
func took(t *testing.T, what string, since, at time.Time, want time.Duration) {
	t.Helper()
	if d := at.Sub(since); d < want-toleranceOf(t) || d > want+toleranceOf(t) {
		t.Errorf("%s took %v, want %v", what, d.Round(time.Millisecond), want)
	}
}

// within fails unless at comes no later after since than most says, and not before it.
func within(t *testing.T, what string, since, at time.Time, most time.Duration) {
	t.Helper()
	if d := at.Sub(since); d < 0 || d > most+toleranceOf(t) {
		t.Errorf("%s took %v, want at most %v", what, d.Round(time.Millisecond), most)
	}
}

// skew is SkewTime of version 2: (256 - priority) / 256 s. RFC 3768, section 6.1.
func skew(priority int) time.Duration { return time.Duration(256-priority) * time.Second / 256 }

// masterDown is MasterDownInterval of version 2 at advert_int 1. RFC 3768, section 6.1.
func masterDown(priority int) time.Duration { return 3*time.Second + skew(priority) }
