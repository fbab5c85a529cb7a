package drill

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Scripts as people write them, and worse. What a script leaves behind in a session of its own is a service that it started;
// it is nobody's to end.
const (
	hangs       = "#!/bin/sh\necho $$ >> /run/hung\ntrap '' TERM\nwhile :; do sleep 4001; done\n"
	floods      = "#!/bin/sh\necho $$ >> /run/flooded\nexec yes 'all work and no play makes a line that nobody wants to read'\n"
	leaves      = "#!/bin/sh\necho $$ >> /run/left\nsleep 4002 &\nsetsid sleep 4003 &\nexit 0\n"
	hangsNotify = "#!/bin/sh\necho \"$*\" > /run/notified\ntrap '' TERM\nwhile :; do sleep 4004; done\n"
)

// hostileConf tracks them all, and a good script; every notify script hangs. VI_2 has one that does not.
func hostileConf(priority int) string {
	scripts := ""
	for name, weight := range map[string]int{"hang": -1, "flood": -2, "leave": -4} {
		scripts += fmt.Sprintf("vrrp_script %s {\n  script /run/%s\n  interval 1\n  timeout 1\n  weight %d\n}\n", name, name, weight)
	}
	return conf(settings{priority: priority, before: scripts + `vrrp_script good {
  script "/usr/bin/test -e /run/fine"
  interval 1
  weight -60
}
vrrp_instance VI_2 {
  interface eth0
  virtual_router_id 52
  priority 255
  virtual_ipaddress {
    10.91.0.110/24
  }
  notify "/run/notes VI_2"
}`, words: "track_script {\n    hang\n    flood\n    leave\n    good\n  }"})
}

// children are the command lines of all processes of the daemon's host that began as a script.
func (d *daemon) children() map[string]int {
	d.s.t.Helper()
	pids, err := d.host.Pids()
	d.s.Must(err)
	out := map[string]int{}
	for _, pid := range pids {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if err == nil { // else it ended meanwhile
			out[strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " "))]++
		}
	}
	return out
}

// runs counts the lines that a script wrote into a file of /run, one a run.
func (d *daemon) runs(file string) int {
	b, _ := os.ReadFile(filepath.Join(d.run, file))
	return strings.Count(string(b), "\n")
}

// TestHostileScripts: trackers that hang, deaf to TERM, flood their output or leave children, and notify scripts that hang,
// cost themselves alone. Adverts keep their time, the good tracker and the other instance's notify script work, nothing
// piles up, and nothing is left when the daemon was stopped.
func TestHostileScripts(t *testing.T) {
	abreast(t)
	s := newSegment(t, "a")
	d := s.box("a", reeve)
	for name, text := range map[string]string{
		"hang": hangs, "flood": floods, "leave": leaves, "notify": hangsNotify, "notes": notifyScript,
	} {
		d.write(name, text, 0o755)
	}
	d.write("fine", "", 0o644)
	d.again(hostileConf(100))
	d.told(d.began, "VI_2 INSTANCE VI_2 MASTER 255")
	s.owned("a")
	first := s.wire.await(d.began, "advert of VI_1", 1, func(f frame) bool { return by("a")(f) && f.vrid == 51 })
	// Those that never end well have cost their weights by now: 100 - 1 - 2.
	s.wire.await(d.began, "the weights of the hostile ones", 1, at("a", 97))
	d.remove("fine")
	failed := time.Now()
	worse := s.wire.await(failed, "the weight of the good one", 1, at("a", 37))
	within(t, "a failed script in the adverts", failed, worse.at, 2*time.Second)
	d.write("fine", "", 0o644)
	better := s.wire.await(time.Now(), "its recovery", 1, at("a", 97))
	// Until each was started again and again: one that is deaf to TERM is gone 3 s after its start.
	for _, file := range []string{"hung", "flooded", "left"} {
		s.until("runs of "+file, func() bool { return d.runs(file) >= 4 })
	}
	alive := d.children()
	if n := alive["sleep 4001"]; n > 1 {
		t.Errorf("%d children of the script that hangs", n)
	}
	if n := alive["sleep 4002"]; n > 1 { // one may have been started just now
		t.Errorf("%d children that were left", n)
	}
	u := s.usage("a")
	if mib := u.resident >> 10; mib > 120 {
		t.Errorf("%d MiB", mib)
	}
	stopped := d.stop()
	ended := time.Now()
	within(t, "the farewell", stopped, s.wire.await(stopped, "farewell", 1, at("a", 0)).at, 0)
	within(t, "the address going", stopped, s.lost("a", stopped), 0)
	if took := ended.Sub(stopped); took > 6*time.Second {
		t.Errorf("the end took %v", took)
	}
	for what, n := range d.children() {
		if what != "sleep 4003" {
			t.Errorf("left behind: %s (%d)", what, n)
		}
	}
	previous := first
	for _, f := range s.wire.all(first.at, func(f frame) bool { return by("a")(f) && f.vrid == 51 && f.at.Before(stopped) }) {
		if gap := f.at.Sub(previous.at); gap > longestGap {
			t.Errorf("no advert for %v until %s", gap, f.at.Format("05.000"))
		}
		previous = f
	}
	if previous.at.Before(better.at) {
		t.Error("the adverts ended early")
	}
	if lines := d.log.all(d.began, ""); len(lines) > 100 {
		t.Errorf("%d lines of log", len(lines))
	}
}

// until asks again and again what tells nobody when it changes.
func (s *segment) until(what string, yes func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			s.t.Fatalf("waited in vain: %s", what)
		}
	}
}
