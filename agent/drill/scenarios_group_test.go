package drill

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var otherVIP = netip.MustParseAddr("10.92.0.100")

// came and went tell when an address came to a host, or left it, after since; they wait for it.
func (s *segment) came(addr netip.Addr, host string, since time.Time) time.Time {
	s.t.Helper()
	return s.change(addr, host, since, true)
}

func (s *segment) went(addr netip.Addr, host string, since time.Time) time.Time {
	s.t.Helper()
	return s.change(addr, host, since, false)
}

func (s *segment) change(addr netip.Addr, host string, since time.Time, added bool) time.Time {
	s.t.Helper()
	var at time.Time
	err := s.watch.Await(s.ctx, func() bool {
		for _, e := range s.watch.Events() {
			if e.Addr == addr && e.Host == host && e.Added == added && e.At.After(since) {
				at = e.At
				return true
			}
		}
		return false
	})
	if err != nil {
		s.t.Fatalf("%s: %s never came (%v) or went: %s", host, addr, added, s.timeline(addr))
	}
	return at
}

// grouped is a sync group of two instances, on eth0 and eth1.
func grouped(priority int) string {
	return file("", "vrrp_sync_group VG_1 {\n  group {\n    VI_1\n    VI_2\n  }\n}",
		instance{priority: priority}, instance{name: "VI_2", dev: "eth1", vrid: 52, priority: priority, vips: []string{"10.92.0.100/24"}})
}

// TestScenario15SyncGroup: one of two interfaces of the master fails. Both addresses leave it at once and come to the peer
// together, when the silence on the failed side is long enough; when the link is back, so are both.
func TestScenario15SyncGroup(t *testing.T) {
	pairs(t, func(t *testing.T, ra, rb role) {
		s := newSegment(t)
		for i, host := range []string{"a", "b"} {
			s.Attach(s.host(host), "second", "eth1", fmt.Sprintf("10.92.0.%d/24", i+1))
			s.Must(s.wire.r.tap(s.host(host), "eth1"))
		}
		a := s.start("a", ra, grouped(100))
		s.owned("a")
		s.ownedAddr(otherVIP, "a")
		b := s.start("b", rb, grouped(50))
		b.said(b.began, "(VI_2) Entering BACKUP STATE")
		s.wire.await(time.Now(), "adverts of a", 2, of("a", 52))

		cut := time.Now()
		s.Must(s.host("a").Port("eth1").Carrier(false))
		within(t, "the address of the failed link", cut, s.went(otherVIP, "a", cut), contended(100*time.Millisecond))
		within(t, "the address of the other link", cut, s.went(vipAddr, "a", cut), contended(100*time.Millisecond))
		a.said(cut, "(VI_1) Entering FAULT STATE")
		a.said(cut, "VRRP_Group(VG_1) Syncing instances to FAULT state")
		taken := s.spoke("b", 52, cut)
		heard := s.wire.all(time.Time{}, func(f frame) bool { return of("a", 52)(f) && f.kind == kindAdvert && f.at.Before(taken) })
		last := heard[len(heard)-1].at
		took(t, "take-over on the failed side", last, taken, masterDown(50))
		took(t, "take-over on the other side", last, s.spoke("b", 51, cut), masterDown(50))
		s.owned("b")
		s.ownedAddr(otherVIP, "b")

		back := time.Now()
		s.Must(s.host("a").Port("eth1").Carrier(true))
		up := a.said(back, "(VI_2) Entering BACKUP STATE")
		one, other := s.spoke("a", 51, back), s.spoke("a", 52, back)
		took(t, "the way back", up, one, masterDown(100))
		took(t, "the way back of the failed side", up, other, masterDown(100))
		if other.Before(one) { // who yields on one side yields on both
			one = other
		}
		within(t, "b without the one", one, s.went(vipAddr, "b", back), contended(100*time.Millisecond))
		within(t, "b without the other", one, s.went(otherVIP, "b", back), contended(100*time.Millisecond))
		s.owned("a")
		s.ownedAddr(otherVIP, "a")
	})
}

// look tells the test its arguments, how many there are, and whether the address that is the second is on eth0.
const look = `#!/bin/sh
ip -4 -o addr show dev eth0 | grep -qF " $2/" && v=on || v=off
echo "$* [$#] $v" > /run/notified
`

// notifies are all of notify for something.
func notifies(name, addr string) string {
	var out strings.Builder
	for _, state := range []string{"master", "backup", "fault", "stop"} {
		fmt.Fprintf(&out, "  notify_%s \"/run/look %s %s %s\"\n", state, name, addr, state)
	}
	return out.String() + fmt.Sprintf("  notify \"/run/look %s %s any\"\n", name, addr)
}

func notified(priority int) string {
	group := "vrrp_sync_group VG_1 {\n  group {\n    VI_1\n    VI_2\n  }\n" + notifies("VG_1", vip) + "}"
	return file("vrrp_notify_fifo /run/fifo", group,
		instance{priority: priority, words: notifies("VI_1", vip)},
		instance{name: "VI_2", vrid: 52, priority: priority, vips: []string{"10.91.0.101/24"}, words: notifies("VI_2", "10.91.0.101")})
}

// TestScenario22Notify: which scripts run, with what, through start, failure, return and stop: a state's own without further
// arguments, the generic one with four. MASTER is told when the address is on, STOP when it is off. Reeve keeps the order
// of each instance and group; keepalived runs scripts side by side. What the FIFO gets is in order, groups after members.
func TestScenario22Notify(t *testing.T) {
	pairs(t, func(t *testing.T, ra, rb role) {
		s := newSegment(t)
		a, b := s.box("a", ra), s.box("b", rb)
		for _, d := range []*daemon{a, b} {
			d.write("look", look, 0o755)
		}
		pipeA, pipeB := a.pipe("fifo"), b.pipe("fifo")
		// All scripts of a state are through before the next thing happens.
		group := func(d *daemon, since time.Time, state string) {
			for _, of := range []string{"GROUP VG_1 ", "INSTANCE VI_1 ", "INSTANCE VI_2 "} {
				d.told(since, of+state+" ")
			}
			for _, of := range []string{"VG_1 " + vip, "VI_1 " + vip, "VI_2 10.91.0.101"} {
				d.told(since, of+" "+strings.ToLower(state)+" [3]")
			}
		}
		a.again(notified(100))
		group(a, a.began, "MASTER")
		b.again(notified(50))
		group(b, b.began, "BACKUP")
		at := time.Now()
		s.Must(s.host("a").Carrier(false))
		group(a, at, "FAULT")
		group(b, at, "MASTER")
		at = time.Now()
		s.Must(s.host("a").Carrier(true))
		group(a, at, "MASTER")
		group(b, at, "BACKUP")
		at = a.stop()
		group(a, at, "STOP")
		group(b, at, "MASTER")
		at = b.stop()
		group(b, at, "STOP")
		all := []string{"BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "STOP"}
		a.ran(100, all...)
		piped(t, a, pipeA, 100, all...)
		all = []string{"BACKUP", "MASTER", "BACKUP", "MASTER", "STOP"}
		b.ran(50, all...)
		piped(t, b, pipeB, 50, all...)
	})
}

// ran wants that these states were told of both instances and of their group.
func (d *daemon) ran(priority int, states ...string) {
	d.s.t.Helper()
	var all []string
	for _, l := range d.notified.all(time.Time{}, "") {
		all = append(all, l.text)
	}
	for name, addr := range map[string]string{"VI_1": vip, "VI_2": "10.91.0.101", "VG_1": vip} {
		kind, said := "INSTANCE", priority
		if name == "VG_1" {
			kind, said = "GROUP", 0
		}
		var want, got []string
		for _, state := range states {
			on := "off"
			if state == "MASTER" {
				on = "on"
			}
			want = append(want, fmt.Sprintf("%s %s %s [3] %s", name, addr, strings.ToLower(state), on),
				fmt.Sprintf("%s %s any %s %s %s %d [7] %s", name, addr, kind, name, state, said, on))
		}
		for _, text := range all {
			if strings.HasPrefix(text, name+" ") {
				got = append(got, text)
			}
		}
		if d.role == keepalived {
			inPairs(want)
			inPairs(got)
		}
		if !slices.Equal(got, want) {
			d.s.t.Errorf("%s (%s) notified of %s:\n%s\nwant:\n%s", d.host.Name(), d.role, name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// piped wants that the FIFO had every state of both instances and of their group, which comes when both its members' have.
func piped(t *testing.T, d *daemon, pipe *journal, priority int, states ...string) {
	t.Helper()
	var got, want []string
	for _, l := range pipe.all(time.Time{}, "") {
		got = append(got, l.text)
	}
	for _, state := range states {
		want = append(want, fmt.Sprintf("INSTANCE \"VI_1\" %s %d", state, priority), fmt.Sprintf("INSTANCE \"VI_2\" %s %d", state, priority),
			fmt.Sprintf("GROUP \"VG_1\" %s 0", state))
	}
	if d.role == keepalived && len(got) > 2 { // at its start alone it begins with the group
		got[0], got[2] = got[2], got[0]
	}
	for i := 0; i+2 < len(got); i += 3 { // the members are in any order
		slices.Sort(got[i : i+2])
	}
	if !slices.Equal(got, want) {
		t.Errorf("the FIFO of %s (%s) had\n%s\nwant:\n%s", d.host.Name(), d.role, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// pipe makes a named pipe of the box and keeps what is written to it.
func (d *daemon) pipe(name string) *journal {
	d.s.t.Helper()
	j, path := newJournal(), filepath.Join(d.run, name)
	d.s.Must(unix.Mkfifo(path, 0o600))
	in, err := os.OpenFile(path, os.O_RDWR, 0)
	d.s.Must(err)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(j, in) // until it is closed
	}()
	d.s.t.Cleanup(func() {
		_ = in.Close()
		<-over
	})
	return j
}

// inPairs sorts two lines at a time: scripts of one state may finish in any order.
func inPairs(lines []string) {
	for i := 0; i+1 < len(lines); i += 2 {
		slices.Sort(lines[i : i+2])
	}
}
