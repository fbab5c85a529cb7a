package drill

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/vrrp/alert"
	"github.com/reeve-lb/reeve/vrrp/packet"
)

// subjects lists what a router mailed, by its router_id.
func subjects(mails *journal, router string) []string {
	var out []string
	for _, l := range mails.all(time.Time{}, "|["+router+"] ") {
		f := strings.Split(l.text, "|")
		if len(f) == 7 {
			out = append(out, f[5])
		}
	}
	return out
}

// TestAlertsMail: a failover, a return and a fault send the mails that keepalived sends, to both addresses, and no other.
func TestAlertsMail(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t, "a", "b", "n")
		mails := s.mailbox("n")
		text := func(name string, priority int) string {
			return conf(settings{priority: priority, global: fmt.Sprintf(`router_id LB_%s
  notification_email {
    ops@example.org
    oncall@example.org
  }
  notification_email_from lb@example.org
  smtp_server %s 25
  smtp_connect_timeout 5`, name, address("n")), before: `vrrp_script ok {
  script "/usr/bin/test -e /run/ok"
  interval 1
}`, words: "smtp_alert\n  track_script {\n    ok\n  }"})
		}
		one, two := s.box("a", a), s.box("b", b)
		one.write("ok", "", 0o644)
		two.write("ok", "", 0o644)
		one.again(text("a", 150))
		s.owned("a")
		two.again(text("b", 100))
		two.said(two.began, "(VI_1) Entering BACKUP STATE")
		one.stop()
		s.owned("b")
		one.again("")
		s.owned("a")
		one.remove("ok")
		s.owned("b")
		one.write("ok", "", 0o644)
		s.owned("a")
		state := func(router, state string) string {
			return "[" + router + "] VRRP Instance VI_1 - Entering " + state + " state"
		}
		for router, states := range map[string][]string{
			"LB_a": {"BACKUP", "MASTER", "BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER"}, "LB_b": {"BACKUP", "MASTER", "BACKUP", "MASTER", "BACKUP"},
		} {
			var want []string
			for _, st := range states {
				want = append(want, state(router, st))
			}
			s.until(router+"'s mails", func() bool { return len(subjects(mails, router)) >= len(want) })
			// Each mail has a connection of its own, and keepalived does not wait for the one before.
			got := subjects(mails, router)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s mailed %q, want %q", router, subjects(mails, router), want)
			}
		}
		for _, l := range mails.all(time.Time{}, "") {
			f := strings.Split(l.text, "|")
			if len(f) != 7 || f[0] == "" || f[1] != "<lb@example.org>" || f[2] != "<ops@example.org>,<oncall@example.org>" ||
				!strings.Contains(f[3], "lb@example.org") || !strings.Contains(f[4], "ops@example.org") || !strings.Contains(f[4], "oncall@example.org") || f[6] == "" {
				t.Errorf("mail %q", l.text)
			}
		}
	})
}

// Object identifiers of KEEPALIVED-MIB, VRRP-MIB (RFC 2787) and VRRPV3-MIB (RFC 6527), as Debian's keepalived ships them.
const (
	trapIs     = ".1.3.6.1.6.3.1.1.4.1.0 = OID: "
	k          = ".1.3.6.1.4.1.9586.100.5"
	newMaster2 = ".1.3.6.1.2.1.68.0.1"
	authFailed = ".1.3.6.1.2.1.68.0.2"
	newMaster3 = ".1.3.6.1.2.1.207.0.1"
	protoError = ".1.3.6.1.2.1.207.0.2"
)

// trap waits for one with all these variables.
func (s *segment) trap(traps *journal, vars ...string) time.Time {
	s.t.Helper()
	var at time.Time
	s.until(fmt.Sprintf("the trap %q", vars), func() bool {
		for _, l := range traps.all(time.Time{}, vars[0]) {
			have := strings.Split(l.text, "\t")
			for i, v := range have {
				have[i] = strings.TrimSpace(v)
			}
			if !slices.ContainsFunc(vars, func(want string) bool { return !slices.Contains(have, want) }) {
				at = l.at
				return true
			}
		}
		return false
	})
	return at
}

// alertsConf has a sync group of two instances, one of version 2, the other of version 3.
func alertsConf(name string, priority int) string {
	return fmt.Sprintf(`global_defs {
  router_id LB_%s
  enable_traps
}
vrrp_sync_group VG_1 {
  group {
    VI_1
    VI_2
  }
}
vrrp_instance VI_1 {
  interface eth0
  virtual_router_id 51
  priority %d
  authentication {
    auth_type PASS
    auth_pass test
  }
  virtual_ipaddress {
    %s/24
  }
}
vrrp_instance VI_2 {
  interface eth0
  virtual_router_id 52
  version 3
  priority %d
  virtual_ipaddress {
    10.91.0.101/24
  }
}
`, name, priority, vip, priority)
}

// instanceTrap are the variables of vrrpInstanceStateChange of the instance in a row.
func instanceTrap(name string, row int, router string, state int) []string {
	return []string{trapIs + k + ".2.10.0.2", fmt.Sprintf(k+".2.3.1.2.%d = STRING: \"%s\"", row, name),
		fmt.Sprintf(k+".2.3.1.4.%d = INTEGER: %d", row, state), fmt.Sprintf(k+".2.3.1.5.%d = INTEGER: 1", row),
		k + ".1.2.0 = STRING: \"" + router + "\""}
}

// groupTrap are those of vrrpSyncGroupStateChange.
func groupTrap(router string, state int) []string {
	return []string{trapIs + k + ".2.10.0.1", k + ".2.1.1.2.1 = STRING: \"VG_1\"", fmt.Sprintf(k+".2.1.1.3.1 = INTEGER: %d", state), k + ".1.2.0 = STRING: \"" + router + "\""}
}

// TestAlertsTrapsAndWebhooks: a failover sends its traps, those of `reeve keepalived` by SNMPv2c and those of an agent by
// SNMPv3, and its webhooks, though each is refused once.
func TestAlertsTrapsAndWebhooks(t *testing.T) {
	abreast(t)
	const secret = "s3cret"
	s := newSegment(t, "a", "b", "n")
	engine := alert.New(alert.Options{Node: "b"}).EngineID()
	traps := s.trapSink("n", "authCommunity log lab", "createUser -e 0x"+engine+" ops SHA authauth AES privpriv", "authUser log ops priv")
	posts := s.hooks("n", secret)
	hook := fmt.Sprintf("webhook \"pager\" {\n  url = \"http://%s:8090/hook\"\n  secret = \"%s\"\n  retries = 5\n}\n", address("n"), secret)
	sink := fmt.Sprintf("snmp {\n  trap_sink = \"%s\"\n", address("n"))
	begin := time.Now()
	a := s.box("a", reeve)
	a.write("keepalived.hcl", sink+"  community = \"lab\"\n}\n"+hook, 0o600)
	a.again(alertsConf("a", 150))
	s.owned("a")
	host, err := os.Hostname()
	s.Must(err)
	index := map[string]int{}
	for _, h := range []string{"a", "b"} {
		s.Must(s.host(h).Do(func() error {
			link, err := net.InterfaceByName("eth0")
			if err == nil {
				index[h] = link.Index
			}
			return err
		}))
	}
	s.trap(traps, instanceTrap("VI_1", 1, "LB_a", 1)...)
	s.trap(traps, instanceTrap("VI_1", 1, "LB_a", 2)...)
	s.trap(traps, instanceTrap("VI_2", 2, "LB_a", 2)...)
	s.trap(traps, groupTrap("LB_a", 2)...)
	s.trap(traps, trapIs+newMaster2, fmt.Sprintf(".1.3.6.1.2.1.68.1.3.1.7.%d.51 = IpAddress: %s", index["a"], address("a")))
	s.trap(traps, trapIs+newMaster3, fmt.Sprintf(".1.3.6.1.2.1.207.1.2.5.1.2.%d.52.1 = INTEGER: 3", index["a"])) // masterNoResponse

	wrong, err := packet.New(51, 200, time.Second, "guess", nil)
	s.Must(err)
	frame, err := wrong.MarshalBinary()
	s.Must(err)
	newBarrage(t, s.host("n"), [][]byte{ipv4(address("n"), 255, frame)}).once(t)
	s.trap(traps, trapIs+authFailed, fmt.Sprintf(".1.3.6.1.2.1.68.1.5.0 = IpAddress: %s", address("n")), ".1.3.6.1.2.1.68.1.6.0 = INTEGER: 3")

	// Of either version, as keepalived 2.2.7 does: a router in between, damage, another version.
	right, err := packet.New(51, 200, time.Second, "test", nil)
	s.Must(err)
	damaged, err := right.MarshalBinary()
	s.Must(err)
	damaged[6]++
	version4 := []byte{0x41, 52, 200, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	newBarrage(t, s.host("n"), [][]byte{ipv4(address("n"), 254, frame), ipv4(address("n"), 255, damaged), ipv4(address("n"), 255, version4)}).once(t)
	for _, reason := range []string{"51.1 = INTEGER: 1", "51.1 = INTEGER: 3", "52.1 = INTEGER: 2"} {
		s.trap(traps, trapIs+protoError, fmt.Sprintf(".1.3.6.1.2.1.207.1.2.5.1.6.%d.%s", index["a"], reason))
	}

	v3 := sink + "  version = \"3\"\n  user {\n    name = \"ops\"\n    auth_protocol = \"SHA\"\n    auth_pass = \"authauth\"\n" +
		"    priv_protocol = \"AES\"\n    priv_pass = \"privpriv\"\n  }\n}\n"
	b := s.agent("b", alertsConf("b", 100), v3+hook)
	s.trap(traps, groupTrap("LB_b", 1)...)
	s.Must(b.AwaitOutput(s.ctx, "(VI_1) Entering BACKUP STATE"))
	a.stop()
	s.owned("b")
	s.trap(traps, instanceTrap("VI_1", 1, "LB_b", 2)...)
	s.trap(traps, groupTrap("LB_b", 2)...)
	s.trap(traps, trapIs+newMaster2, fmt.Sprintf(".1.3.6.1.2.1.68.1.3.1.7.%d.51 = IpAddress: %s", index["b"], address("b")))
	s.trap(traps, trapIs+newMaster3, fmt.Sprintf(".1.3.6.1.2.1.207.1.2.5.1.2.%d.52.1 = INTEGER: 2", index["b"])) // preempted

	for _, want := range []alert.Payload{
		{Node: host, Instance: "VI_1", From: "INIT", To: "BACKUP", Priority: 150},
		{Node: host, Instance: "VI_1", From: "BACKUP", To: "MASTER", Priority: 150},
		{Node: host, Instance: "VI_2", From: "BACKUP", To: "MASTER", Priority: 150},
		{Node: host, Group: "VG_1", From: "BACKUP", To: "MASTER"},
		{Node: "b", Instance: "VI_1", From: "BACKUP", To: "MASTER", Priority: 100},
		{Node: "b", Group: "VG_1", From: "BACKUP", To: "MASTER"},
	} {
		s.posted(posts, want, begin)
	}
	if bad := posts.all(begin, "403 "); len(bad) > 0 {
		t.Errorf("posts of the wrong form or signature: %v", bad)
	}
}

// posted waits for an event that was refused first and taken then, unchanged.
func (s *segment) posted(posts *journal, want alert.Payload, begin time.Time) {
	s.t.Helper()
	s.until(fmt.Sprintf("the post %+v", want), func() bool {
		for _, l := range posts.all(begin, "200 /hook ") {
			body := strings.TrimPrefix(l.text, "200 /hook ")
			var got alert.Payload
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				s.t.Fatalf("%s: %v", body, err)
			}
			seen := got
			got.ID, got.Cause, got.Time = "", "", time.Time{}
			if got != want {
				continue
			}
			if seen.ID == "" || seen.Cause == "" && want.Group == "" || seen.Time.Before(begin.Add(-time.Second)) || seen.Time.After(l.at) {
				s.t.Errorf("post %s", body)
			}
			if len(posts.all(begin, "500 /hook "+body)) != 1 {
				s.t.Errorf("not tried again unchanged: %s", body)
			}
			return true
		}
		return false
	})
}
