package vip

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
)

// output runs a program on a host.
func output(t *testing.T, h *lab.Host, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p := h.Command(argv...)
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return p.Output()
}

// truth is what the machine is like: every link, address, route, rule, table and kernel setting, without what differs from
// one machine to the next.
func truth(t *testing.T, h *lab.Host) []string {
	t.Helper()
	text := output(t, h, "ip", "-d", "link") + output(t, h, "ip", "-d", "addr") + output(t, h, "ip", "-d", "route", "show", "table", "all") +
		output(t, h, "ip", "-6", "-d", "route", "show", "table", "all") + output(t, h, "ip", "-d", "rule") + output(t, h, "nft", "list", "ruleset")
	replace := []struct{ pattern, with string }{
		{`(?m)^\d+: `, ""},         // indexes
		{`eth(\d)@if\d+`, "eth$1"}, //
		{`link-netnsid \d+ ?`, ""},
		{`: 33554432`, `: "eth0"`}, // nft shows the number of eth0 in another order of bytes: the library can't tell it the right one
		{`(ether|link/ether) 0[0-9a-f]:(?:[0-9a-f]{2}:){4}[0-9a-f]{2}`, "$0"},
		{`qlen 1000|promiscuity \d+ *`, ""},
		{`(?m)^.*(valid_lft|numtxqueues).*\n`, ""},
		{`fe80::[0-9a-f]+:[0-9a-f]+:[0-9a-f:]+`, "LINKLOCAL"}, // made of random MAC addresses
		{`(?m)^multicast .*\n|^.*table local.*\n|^.*anycast.*\n`, ""},
		{`link/ether (?:[13-9a-f][0-9a-f]|0[1-9a-f]|2[0-9a-f]):\S+`, "link/ether RANDOM"},
	}
	for _, r := range replace {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	lines := strings.Split(text, "\n")
	err := h.Do(func() error {
		for _, pattern := range []string{"/proc/sys/net/ipv4/conf/*/*", "/proc/sys/net/ipv6/conf/*/*", "/proc/sys/net/ipv4/igmp_*"} {
			files, err := filepath.Glob(pattern)
			if err != nil {
				return err
			}
			for _, f := range files {
				if b, err := os.ReadFile(f); err == nil && !strings.Contains(f, "stable_secret") {
					lines = append(lines, f+" = "+strings.TrimSpace(string(b)))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines) // chains and sets stand in the order of their making
	return slices.DeleteFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "" })
}

// settled waits until the kernel has given each of so many interfaces its link-local address.
func settled(t *testing.T, h *lab.Host, interfaces int) {
	t.Helper()
	text := ""
	defer func() {
		if t.Failed() {
			t.Logf("%s has\n%s", h.Name(), text)
		}
	}()
	within(t, 30*time.Second, "link-local addresses", func() bool {
		text = output(t, h, "ip", "-6", "addr", "show", "scope", "link")
		return strings.Count(text, "fe80::") == interfaces && !strings.Contains(text, "tentative")
	})
}

// alike makes two hosts: keepalived on one, this package on the other.
func alike(t *testing.T) (k, r *lab.Host, m machine) {
	n := lab.New(t)
	for _, name := range []string{"k", "r"} {
		h := n.Host(name, "10.0.0.1/24", "fd00::1/64")
		s, err := n.Switch("apart-" + name) // the same addresses twice: not on one segment
		n.Must(err)
		_, err = h.Attach(s, "eth1", "10.3.0.1/24")
		n.Must(err)
		n.Must(n.Partition())
		if name == "k" {
			k = h
		} else {
			r = h
		}
	}
	n.Must(n.Partition([]*lab.Host{k}, []*lab.Host{r}))
	m = machine{New(Options{Journal: filepath.Join(t.TempDir(), "journal")}), t, r}
	t.Cleanup(func() { m.Close() })
	for _, h := range []*lab.Host{k, r} {
		settled(t, h, 2)
	}
	return k, r, m
}

func address(p string) vrrp.Address { return vrrp.Address{Prefix: prefix(p)} }

// asKeepalived compares the machine of a MASTER, and after the end, with the real one's. allowed are lines that may differ.
func asKeepalived(t *testing.T, conf string, c vrrp.Config, last string, allowed ...string) {
	k, r, m := alike(t)
	before := truth(t, r)
	p, err := k.Keepalived(t.TempDir(), conf)
	if err != nil {
		t.Fatal(err)
	}
	within(t, 15*time.Second, "keepalived is MASTER", func() bool { return strings.Contains(output(t, k, "ip", "addr"), last) })
	time.Sleep(200 * time.Millisecond) // it goes on after its addresses, and says when by nothing
	for i := range c.Instances {
		c.Instances[i].VIPLifetime = -1
	}
	plans, problems := Plans(c)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	m.do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err })
	for _, plan := range plans {
		m.add(plan.Group)
		if f := m.Faults(plan.Instance); len(f) > 0 {
			t.Error(f)
		}
	}
	without := func(lines []string) []string {
		return slices.DeleteFunc(lines, func(l string) bool {
			return slices.ContainsFunc(allowed, func(a string) bool { return strings.Contains(l, a) })
		})
	}
	d := ""
	for range 40 { // the kernel says UNKNOWN of a link before it says UP
		if d = cmp.Diff(without(truth(t, k)), without(truth(t, r))); d == "" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if d != "" {
		t.Errorf("a MASTER differs (-keepalived +ours):\n%s\n%s", d, p.Output())
	}
	for _, plan := range slices.Backward(plans) {
		m.do(func() error { return m.Remove(plan.Group) })
	}
	m.do(m.Undo)
	if d = cmp.Diff(before, truth(t, r)); d != "" {
		t.Errorf("not as it was before (-before +after):\n%s", d)
	}
	if _, err := os.Stat(m.o.Journal); err == nil {
		t.Error("the journal is still there")
	}
}

func TestVMACAsKeepalived(t *testing.T) {
	asKeepalived(t, `
vrrp_instance V4 {
  interface eth0
  virtual_router_id 51
  priority 255
  use_vmac
  virtual_ipaddress {
    10.0.0.100/24
    10.0.0.101
  }
}
vrrp_instance V6 {
  interface eth0
  version 3
  virtual_router_id 52
  priority 255
  use_vmac
  virtual_ipaddress {
    fe80::100
    fd00::100/64
  }
}
vrrp_instance XB {
  interface eth0
  virtual_router_id 63
  priority 255
  use_vmac xb
  vmac_xmit_base
  virtual_ipaddress {
    10.0.0.130/24
  }
}`, vrrp.Config{Instances: []vrrp.Instance{
		{Name: "V4", Interface: "eth0", VirtualRouterID: 51, Priority: 255, VMAC: vrrp.VMAC{Use: true},
			Addresses: []vrrp.Address{address("10.0.0.100/24"), address("10.0.0.101/32")}},
		{Name: "V6", Interface: "eth0", Version: 3, VirtualRouterID: 52, Priority: 255, VMAC: vrrp.VMAC{Use: true},
			Addresses: []vrrp.Address{address("fe80::100/128"), address("fd00::100/64")}},
		{Name: "XB", Interface: "eth0", VirtualRouterID: 63, Priority: 255, VMAC: vrrp.VMAC{Use: true, Name: "xb", XmitBase: true},
			Addresses: []vrrp.Address{address("10.0.0.130/24")}},
	}}, "10.0.0.130", "conf/eth0/promote_secondaries")
}

func TestNoLocalIGMPAsKeepalived(t *testing.T) {
	asKeepalived(t, `
global_defs {
  disable_local_igmp
}
vrrp_instance V4 {
  interface eth0
  virtual_router_id 51
  priority 255
  use_vmac
  virtual_ipaddress {
    10.0.0.100/24
  }
}
vrrp_instance V6 {
  interface eth0
  version 3
  virtual_router_id 52
  priority 255
  use_vmac
  virtual_ipaddress {
    fe80::100
  }
}`, vrrp.Config{Global: vrrp.Global{DisableLocalIGMP: true}, Instances: []vrrp.Instance{
		{Name: "V4", Interface: "eth0", VirtualRouterID: 51, Priority: 255, VMAC: vrrp.VMAC{Use: true}, Addresses: []vrrp.Address{address("10.0.0.100/24")}},
		{Name: "V6", Interface: "eth0", Version: 3, VirtualRouterID: 52, Priority: 255, VMAC: vrrp.VMAC{Use: true}, Addresses: []vrrp.Address{address("fe80::100/128")}},
	}}, "fe80::100", "conf/eth0/promote_secondaries")
}

func TestNoAcceptAsKeepalived(t *testing.T) {
	no := false
	asKeepalived(t, `
vrrp_instance ST {
  interface eth0
  version 3
  virtual_router_id 53
  priority 254
  advert_int 0.1
  no_accept
  virtual_ipaddress {
    10.0.0.110/32
    10.3.0.111/32 dev eth1
  }
}
vrrp_instance ST6 {
  interface eth0
  version 3
  virtual_router_id 54
  priority 254
  advert_int 0.1
  no_accept
  virtual_ipaddress {
    fe80::110
    fd00::110
  }
}`, vrrp.Config{Instances: []vrrp.Instance{
		{Name: "ST", Interface: "eth0", Version: 3, VirtualRouterID: 53, Priority: 254, Accept: &no,
			Addresses: []vrrp.Address{address("10.0.0.110/32"), {Prefix: prefix("10.3.0.111/32"), Dev: "eth1"}}},
		{Name: "ST6", Interface: "eth0", Version: 3, VirtualRouterID: 54, Priority: 254, Accept: &no,
			Addresses: []vrrp.Address{address("fe80::110/128"), address("fd00::110/128")}},
	}}, "fd00::110")
}

func TestRoutesAndRulesAsKeepalived(t *testing.T) {
	via, eight := netip.MustParseAddr("10.0.0.9"), 8
	line := func(n int) (p vrrp.Rule) { p.Pos.Line = n; return p }
	rule := func(n int, r vrrp.Rule) vrrp.Rule { r.Pos = line(n).Pos; return r }
	asKeepalived(t, `
vrrp_instance R {
  interface eth0
  virtual_router_id 53
  priority 255
  promote_secondaries
  virtual_ipaddress {
    10.0.0.110/24
  }
  virtual_ipaddress_excluded {
    fd00::110/64
  }
  virtual_routes {
    10.12.0.0/16 via 10.0.0.9 metric 7 table 100
    blackhole 10.13.0.0/16
    src 10.0.0.110 to 10.14.0.0/16 via 10.0.0.9 dev eth0
    10.15.0.0/16 nexthop via 10.0.0.8 weight 2 nexthop via 10.0.0.9 weight 1
    10.16.0.0/16 dev eth0 scope link
    10.17.0.0/16 dev eth0
    fd07::/32 via fd00::9 dev eth0
    10.18.0.0/16 via 10.0.0.9 dev eth0 onlink mtu 1400 advmss 1300 initcwnd 5 protocol static
  }
  virtual_rules {
    from 10.0.0.110 table 100
    to 10.7.0.0/16 table 101 fwmark 5
    from 10.0.0.121 priority 500 blackhole
    iif eth0 oif eth1 table 102 priority 600
    not from 10.0.0.5 table 110 priority 610
    ipproto tcp dport 80-90 table 111 priority 620
    from 10.8.0.0/16 suppress_prefixlength 8 table 112 priority 630
    to 10.7.7.0/24 goto 32766 priority 640
    from 10.6.0.0/16 fwmark 4/12 table 113 priority 650
  }
}
static_ipaddress {
  10.0.0.77/24 dev eth0
}
static_routes {
  10.20.0.0/16 via 10.0.0.9 dev eth0
}
static_rules {
  from 10.0.0.77 table 200
}`, vrrp.Config{
		Instances: []vrrp.Instance{{
			Name: "R", Interface: "eth0", VirtualRouterID: 53, Priority: 255, Promote: true,
			Addresses: []vrrp.Address{address("10.0.0.110/24")}, Excluded: []vrrp.Address{address("fd00::110/64")},
			Routes: []vrrp.Route{
				{Dst: prefix("10.12.0.0/16"), Via: via, Metric: 7, Table: "100"},
				{Dst: prefix("10.13.0.0/16"), Type: "blackhole"},
				{Dst: prefix("10.14.0.0/16"), Via: via, Dev: "eth0", Src: netip.MustParseAddr("10.0.0.110")},
				{Dst: prefix("10.15.0.0/16"), Hops: []vrrp.Hop{{Via: netip.MustParseAddr("10.0.0.8"), Weight: 2}, {Via: via, Weight: 1}}},
				{Dst: prefix("10.16.0.0/16"), Dev: "eth0", Scope: "link"},
				{Dst: prefix("10.17.0.0/16"), Dev: "eth0"},
				{Dst: prefix("10.18.0.0/16"), Via: via, Dev: "eth0", OnLink: true, MTU: 1400, AdvMSS: 1300, InitCwnd: 5, Protocol: "static"},
				{Dst: prefix("fd07::/32"), Via: netip.MustParseAddr("fd00::9"), Dev: "eth0"},
			},
			Rules: []vrrp.Rule{
				rule(20, vrrp.Rule{From: prefix("10.0.0.110/32"), Table: "100"}),
				rule(21, vrrp.Rule{To: prefix("10.7.0.0/16"), Table: "101", Fwmark: 5}),
				rule(22, vrrp.Rule{From: prefix("10.0.0.121/32"), Priority: 500, Type: "blackhole"}),
				rule(23, vrrp.Rule{IIF: "eth0", OIF: "eth1", Table: "102", Priority: 600}),
				{Not: true, From: prefix("10.0.0.5/32"), Table: "110", Priority: 610},
				{IPProto: "tcp", DPort: "80-90", Table: "111", Priority: 620},
				{From: prefix("10.8.0.0/16"), SuppressPrefixLength: &eight, Table: "112", Priority: 630},
				{To: prefix("10.7.7.0/24"), Goto: 32766, Priority: 640},
				{From: prefix("10.6.0.0/16"), Fwmark: 4, FwmarkMask: 12, Table: "113", Priority: 650},
			},
		}},
		Static: vrrp.Static{
			Addresses: []vrrp.Address{{Prefix: prefix("10.0.0.77/24"), Dev: "eth0"}},
			Routes:    []vrrp.Route{{Dst: prefix("10.20.0.0/16"), Via: via, Dev: "eth0"}},
			Rules:     []vrrp.Rule{rule(40, vrrp.Rule{From: prefix("10.0.0.77/32"), Table: "200"})},
		},
	}, "10.0.0.110")
}

// TestReverseFilterAsKeepalived: everybody's rp_filter would be the virtual MAC's too.
func TestReverseFilter(t *testing.T) {
	n := lab.New(t)
	h := n.Host("a", "10.0.0.1/24")
	m := machine{New(Options{}), t, h}
	t.Cleanup(func() { m.Close() })
	n.Must(h.Sysctl("net.ipv4.conf.all.rp_filter", "1"), h.Sysctl("net.ipv4.conf.lo.rp_filter", "2"), h.Sysctl("net.ipv4.conf.eth0.rp_filter", "0"))
	get := func(dev string) string {
		var b []byte
		m.do(func() (err error) { b, err = os.ReadFile("/proc/sys/net/ipv4/conf/" + dev + "/rp_filter"); return err })
		return strings.TrimSpace(string(b))
	}
	c := vrrp.Config{Instances: []vrrp.Instance{{Name: "V", Interface: "eth0", VirtualRouterID: 7, VMAC: vrrp.VMAC{Use: true}, Addresses: []vrrp.Address{address("10.0.0.9/32")}}}}
	plans, _ := Plans(c)
	m.do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err })
	if got := fmt.Sprint(get("all"), get("lo"), get("eth0"), get("vrrp.7")); got != "0 2 1 0" && got != "0210" {
		t.Errorf("rp_filter of all, lo, eth0, vrrp.7: %s", got)
	}
	m.do(m.Undo)
	if got := fmt.Sprint(get("all"), get("lo"), get("eth0")); got != "1 2 0" && got != "120" {
		t.Errorf("afterwards, of all, lo, eth0: %s", got)
	}
}
