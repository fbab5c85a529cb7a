package drill

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReloadTimeFile: a change waits for the moment that reload_time_file says, and the file is gone afterwards; the
// process goes by its process_name, and reload_file is taken away by who has read the configuration.
func TestReloadTimeFile(t *testing.T) {
	each(t, func(t *testing.T, a role) {
		s := newSegment(t, "a")
		global := "reload_time_file /run/when\n  reload_file /run/busy\n  process_name fence"
		d := s.start("a", a, conf(settings{priority: 255, global: global}))
		s.owned("a")
		d.said(d.began, "Startup complete")
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", d.speaker())); err != nil || strings.TrimSpace(string(name)) != "fence" {
			t.Errorf("the process is called %q (%v)", name, err)
		}
		d.write("busy", "an update is on its way", 0o644)
		d.write("keepalived.conf", conf(settings{priority: 255, global: global, vips: vip + "/24\n    10.91.0.101/24"}), 0o644)
		at := time.Now().Truncate(time.Second).Add(4 * time.Second)
		d.write("when", at.Format("15:04:05")+"\n", 0o644)
		d.said(d.began, "Scheduling reload for "+at.Format("2006-01-02 15:04:05"))
		reloading := d.said(d.began, "Reloading ...")
		if late := reloading.Sub(at); late < -tolerance() || late > time.Second+tolerance() { // keepalived's clock has whole seconds
			t.Errorf("reloaded %v after its time", late)
		}
		s.until("the added address", func() bool { return s.has("a", "eth0", "10.91.0.101") })
		for _, file := range []string{"when", "busy"} {
			s.until(file+" to go", func() bool {
				_, err := os.Stat(filepath.Join(d.run, file))
				return os.IsNotExist(err)
			})
		}
		d.silent(d.began, "Entering BACKUP")
	})
}

// TestTrackedByPlace: an interface that carries an address or a route of an instance, or something static of its
// track_group, takes it to FAULT when it goes down, without a track_interface; with no_track it does not.
func TestTrackedByPlace(t *testing.T) {
	each(t, func(t *testing.T, a role) {
		s := newSegment(t, "a")
		for i := 1; i <= 4; i++ {
			s.Attach(s.host("a"), "other", fmt.Sprintf("eth%d", i), fmt.Sprintf("10.8%d.0.1/24", i))
		}
		d := s.start("a", a, conf(settings{
			priority: 255,
			before: `track_group TG {
  group {
    VI_1
  }
}
static_ipaddress {
  10.83.0.5/24 dev eth3 track_group TG
}`,
			vips:  vip + "/24\n    10.81.0.100/24 dev eth1\n    10.84.0.100/24 dev eth4 no_track",
			words: "virtual_routes {\n    192.0.2.0/24 via 10.82.0.9 dev eth2\n  }",
		}))
		s.owned("a")
		for _, dev := range []string{"eth1", "eth2", "eth3"} {
			at := time.Now()
			s.Must(s.host("a").Port(dev).Carrier(false))
			d.told(at, "any INSTANCE VI_1 FAULT")
			s.owned()
			at = time.Now()
			s.Must(s.host("a").Port(dev).Carrier(true))
			d.told(at, "any INSTANCE VI_1 MASTER")
			s.owned("a")
		}
		at := time.Now()
		s.Must(s.host("a").Port("eth4").Carrier(false))
		s.wire.await(at, "adverts", 3, by("a"))
		d.silent(at, "Entering FAULT")
	})
}

// TestPutBack: what somebody takes off beside the addresses comes back, but for what says no_track. Reeve stays MASTER over
// it; keepalived gives up the mastership for a virtual route or rule, and is back after its skew.
func TestPutBack(t *testing.T) {
	each(t, func(t *testing.T, a role) {
		s := newSegment(t, "a")
		d := s.start("a", a, conf(settings{
			priority: 100,
			before: `static_ipaddress {
  10.91.0.70/24 dev eth0
}
static_routes {
  192.0.3.0/24 via 10.91.0.9 dev eth0
}
static_rules {
  from 192.0.3.1 table 100 priority 901
}`,
			words: `virtual_routes {
    192.0.2.0/24 via 10.91.0.9 dev eth0
    192.0.9.0/24 via 10.91.0.9 dev eth0 no_track
  }
  virtual_rules {
    from 192.0.2.1 table 100 priority 801
    from 192.0.9.1 table 100 priority 802 no_track
  }`,
		}))
		s.owned("a")
		ip := func(words string) string {
			t.Helper()
			p := s.host("a").Command(append([]string{"ip"}, strings.Fields(words)...)...)
			s.Must(p.Run(s.ctx))
			return p.Output()
		}
		there := func(what string) bool {
			return strings.Contains(ip("route")+ip("rule")+ip("-br addr show dev eth0"), what)
		}
		all := map[string]string{
			"10.91.0.70/24": "addr del 10.91.0.70/24 dev eth0", "192.0.3.0/24": "route del 192.0.3.0/24", "901:": "rule del priority 901",
			"192.0.2.0/24": "route del 192.0.2.0/24", "801:": "rule del priority 801",
		}
		for what := range all {
			s.until(what+" to be there", func() bool { return there(what) })
		}
		ip("route del 192.0.9.0/24")
		ip("rule del priority 802")
		s.wire.await(time.Now(), "adverts", 2, by("a"))
		if there("192.0.9.0/24") || there("802:") {
			t.Error("what says no_track was put back")
		}
		at := time.Now()
		for what, words := range all {
			ip(words)
			s.until(what+" to be back", func() bool { return there(what) })
			s.owned("a")
		}
		if a == reeve {
			d.silent(at, "Entering BACKUP")
		}
	})
}
