package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// The tests of this file hold the processors, or measure what daemons take of them: none runs beside other labs.

// longestGap is the longest time between two adverts of a master under attack, whose advert_int is 1.
const longestGap = 1300 * time.Millisecond

// bareSegment is a segment that nobody listens to: nothing has to work off what a load test sends but what is measured.
func bareSegment(t *testing.T, names ...string) *segment {
	t.Helper()
	n := lab.New(t)
	s := &segment{Test: n, t: t, hosts: map[string]*lab.Host{}}
	for _, name := range names {
		s.hosts[name] = n.Host(name, address(name).String()+"/16")
	}
	s.watch = n.Watch()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	s.ctx = ctx
	return s
}

// usage is what all processes of a host have used: Reeve's agent and its guard.
type usage struct {
	cpu      time.Duration
	resident int // KiB
}

func (s *segment) usage(host string) (u usage) {
	s.t.Helper()
	pids, err := s.host(host).Pids()
	s.Must(err)
	if len(pids) == 0 {
		s.t.Fatalf("no process on %s", host)
	}
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		s.Must(err)
		// Behind the name, which ends at the last bracket: state is field 3, utime and stime are 14 and 15, in hundredths.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for _, f := range fields[11:13] {
			ticks, err := strconv.Atoi(f)
			s.Must(err)
			u.cpu += time.Duration(ticks) * 10 * time.Millisecond
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		s.Must(err)
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		kib, err := strconv.Atoi(strings.Fields(rest)[0])
		s.Must(err)
		u.resident += kib
	}
	return u
}

// many is a keepalived.conf of n instances, each with an address.
func many(n, priority int) string {
	var b strings.Builder
	b.WriteString("global_defs {\n  vrrp_garp_master_delay 0\n}\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "vrrp_instance VI_%d {\n  interface eth0\n  virtual_router_id %d\n  priority %d\n  advert_int 1\n"+
			"  virtual_ipaddress {\n    %s/16\n  }\n}\n", i, i, priority, nth(i))
	}
	return b.String()
}

func nth(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 91, 1, byte(i)}) }

// TestTwoHundredInstances: what a node with 200 instances costs, master and backup of all of them. With -v it prints it.
func TestTwoHundredInstances(t *testing.T) {
	const n, length = 200, 10 * time.Second
	cpu, resident := 20.0, 120.0 // of a core in percent, and MiB: on a machine that others use too
	if fine() {
		cpu, resident = 5, 80
	}
	s := bareSegment(t, "a", "b")
	s.start("a", reeve, many(n, 150))
	for i := 1; i <= n; i++ {
		s.ownedAddr(nth(i), "a")
	}
	b := s.start("b", reeve, many(n, 100))
	for i := 1; i <= n; i++ {
		b.said(b.began, fmt.Sprintf("(VI_%d) Entering BACKUP STATE", i))
	}
	before, began := map[string]usage{"a": s.usage("a"), "b": s.usage("b")}, time.Now()
	s.after(began.Add(length))
	took := time.Since(began)
	for host, part := range map[string]string{"a": "master", "b": "backup"} {
		now := s.usage(host)
		percent := 100 * (now.cpu - before[host].cpu).Seconds() / took.Seconds()
		mib := float64(now.resident) / 1024
		t.Logf("%d instances, %s of all: %.1f %% of a core, %.0f MiB", n, part, percent, mib)
		if percent > cpu || mib > resident {
			t.Errorf("%s of %d instances takes %.1f %% of a core and %.0f MiB, want at most %.0f %% and %.0f MiB", part, n, percent, mib, cpu, resident)
		}
		if got := s.rawSockets(host); got > 2 {
			t.Errorf("%s: %d raw sockets, want one that sends and one that receives", host, got)
		}
	}
	for i := 1; i <= n; i++ {
		if got := s.watch.Timeline(nth(i)); len(got) != 1 {
			t.Errorf("%s moved: %v", nth(i), got)
		}
	}
}

// rawSockets counts a host's raw sockets of VRRP.
func (s *segment) rawSockets(host string) (n int) {
	s.t.Helper()
	s.Must(s.host(host).Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/raw")
		for l := range strings.Lines(string(b)) {
			f := strings.Fields(l)
			if len(f) > 1 && strings.HasSuffix(f[1], ":0070") { // the protocol stands where a port would
				n++
			}
		}
		return err
	}))
	return n
}

// TestBarrage: tens of thousands of hostile packets a second, which both routers hear, disturb no mastership, make no log
// grow, and cost no advert its time. With -v it prints how many there were.
func TestBarrage(t *testing.T) {
	const length = 5 * time.Second
	most, least := 20_000, 10_000.0
	if fine() {
		most, least = 75_000, 50_000
	}
	s := bareSegment(t, "a", "b", "x")
	// Where it is sent from, the capture hears the master and not the barrage, which takes no detour by way of it.
	c, err := s.host("x").Capture(s.ctx, "eth0", "proto 112 and src host "+address("a").String(), "", "frame.time_epoch")
	s.Must(err)
	t.Cleanup(func() { _ = c.Stop() })
	a := s.start("a", reeve, conf(settings{priority: 150}))
	s.owned("a")
	b := s.start("b", reeve, conf(settings{priority: 100}))
	b.said(b.began, "(VI_1) Entering BACKUP STATE")
	_, err = c.Await(s.ctx, 1, nil)
	s.Must(err)

	guns := newBarrage(t, s.host("x"), hostile(t, 51, "test", vipAddr))
	before, began := s.usage("b"), time.Now()
	sent, took, err := guns.fire(length, most)
	s.Must(err)
	rate := float64(sent) / took.Seconds()
	after := s.usage("b")
	for range 2 { // somebody else may have had the processors
		if rate < least {
			more, length, err := guns.fire(length, most)
			s.Must(err)
			rate = max(rate, float64(more)/length.Seconds())
		}
	}
	ended := time.Now()
	_, err = c.Await(s.ctx, 2, func(row []string) bool { return epoch(row[0]).After(ended) })
	s.Must(err)
	adverts := c.Rows()
	t.Logf("%.0f packets/s for %v; the backup took %.0f %% of a core and has %d MiB; the master sent %d adverts", rate,
		took.Round(time.Millisecond), 100*(after.cpu-before.cpu).Seconds()/took.Seconds(), after.resident>>10, len(adverts))
	if rate < least {
		t.Errorf("%.0f packets/s, want %.0f", rate, least)
	}
	for i := range adverts[1:] {
		if gap := epoch(adverts[i+1][0]).Sub(epoch(adverts[i][0])); gap > longestGap {
			t.Errorf("the master was silent for %v", gap)
		}
	}
	if got := s.watch.Timeline(vipAddr); len(got) != 1 || got[0].Host != "a" {
		t.Errorf("the address moved: %s", s.timeline(vipAddr))
	}
	for _, d := range []*daemon{a, b} {
		if lines := d.log.all(began, ""); len(lines) >= 100 {
			t.Errorf("%s wrote %d lines: %v", d.host.Name(), len(lines), lines)
		}
		d.silent(began, "Entering")
		var all []struct{ Stats map[string]int }
		if err := json.Unmarshal([]byte(d.dump(36, "keepalived.json")), &all); err != nil || len(all) != 1 {
			t.Fatal(err)
		}
		for _, key := range []string{"packet_len_err", "advert_interval_err", "ip_ttl_err", "invalid_type_rcvd", "invalid_authtype", "authtype_mismatch", "auth_failure"} {
			if all[0].Stats[key] == 0 {
				t.Errorf("%s counted no %s", d.host.Name(), key)
			}
		}
		t.Logf("%s: %v", d.host.Name(), all[0].Stats)
	}
}

// epoch reads tshark's frame.time_epoch.
func epoch(text string) time.Time {
	seconds, fraction, _ := strings.Cut(text, ".")
	sec, _ := strconv.ParseInt(seconds, 10, 64)
	nsec, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	return time.Unix(sec, nsec)
}
