package vip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
)

// everything is a configuration that changes all that can be changed.
func everything() vrrp.Config {
	no := false
	rule := vrrp.Rule{From: prefix("10.0.0.100/32"), Table: "100", Priority: 700}
	route := vrrp.Route{Dst: prefix("10.20.0.0/16"), Via: netip.MustParseAddr("10.0.0.9"), Dev: "eth0"}
	return vrrp.Config{
		Instances: []vrrp.Instance{{
			Name: "V", Interface: "eth0", VirtualRouterID: 51, Priority: 100, VMAC: vrrp.VMAC{Use: true}, Promote: true, Accept: &no,
			Addresses: []vrrp.Address{address("10.0.0.100/24")}, Routes: []vrrp.Route{route}, Rules: []vrrp.Rule{rule}, VIPLifetime: -1,
		}},
		Static: vrrp.Static{
			Addresses: []vrrp.Address{{Prefix: prefix("10.0.0.77/24"), Dev: "eth0"}},
			Routes:    []vrrp.Route{{Dst: prefix("10.21.0.0/16"), Via: netip.MustParseAddr("10.0.0.9"), Dev: "eth0"}},
			Rules:     []vrrp.Rule{{From: prefix("10.0.0.77/32"), Table: "200", Priority: 701}},
		},
	}
}

// TestCrash: what a life that was killed left is undone by the next one, whatever its configuration is.
func TestCrash(t *testing.T) {
	n := lab.New(t)
	h := n.Host("a", "10.0.0.1/24")
	journal := filepath.Join(t.TempDir(), "journal")
	life := func() machine {
		m := machine{New(Options{Journal: journal}), t, h}
		t.Cleanup(func() { m.Close() })
		return m
	}
	settled(t, h, 1)
	before := truth(t, h)
	c := everything()
	plans, problems := Plans(c)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	dead := life()
	dead.do(func() error { _, err := dead.Prepare(NewSetup(c, plans)); return err })
	dead.add(plans[0].Group)
	left := strings.Join(truth(t, h), "\n")
	for _, want := range []string{"vrrp.51", "10.20.0.0/16", "10.21.0.0/16", "lookup 100", "lookup 200", "10.0.0.77", "table ip keepalived"} {
		if !strings.Contains(left, want) {
			t.Errorf("%s is not there", want)
		}
	}
	next := life()
	next.do(func() error { _, err := next.Prepare(Setup{}); return err })
	if d := cmp.Diff(before, truth(t, h)); d != "" {
		t.Errorf("not as before (-before +after):\n%s", d)
	}
	if _, err := os.Stat(journal); err == nil {
		t.Error("the journal is still there")
	}
}

// TestReload: what both configurations want stays as it is, what only the old one wants goes.
func TestReload(t *testing.T) {
	n := lab.New(t)
	h := n.Host("a", "10.0.0.1/24")
	m := machine{New(Options{}), t, h}
	t.Cleanup(func() { m.Close() })
	settled(t, h, 1)
	before := truth(t, h)
	prepare := func(c vrrp.Config) []Plan {
		t.Helper()
		plans, _ := Plans(c)
		m.do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err })
		return plans
	}
	index := func(dev string) (index int) {
		m.do(func() error { l, err := m.Link(dev); index = l.Index; return err })
		return index
	}
	c := everything()
	plans := prepare(c)
	m.add(plans[0].Group)
	first := index("vrrp.51")
	c.Instances = append(c.Instances, vrrp.Instance{
		Name: "W", Interface: "eth0", VirtualRouterID: 52, VMAC: vrrp.VMAC{Use: true}, Addresses: []vrrp.Address{address("10.0.0.102/32")},
	})
	c.Static = vrrp.Static{}
	prepare(c)
	if index("vrrp.51") != first || index("vrrp.52") == 0 {
		t.Error("the interface that stays was made anew")
	}
	text := strings.Join(truth(t, h), "\n")
	for what, want := range map[string]bool{"10.0.0.100/24": true, "10.20.0.0/16": true, "10.0.0.77": false, "10.21.0.0/16": false, "lookup 200": false} {
		if strings.Contains(text, what) != want {
			t.Errorf("%s there: %v", what, !want)
		}
	}
	m.do(func() error { return m.Remove(plans[0].Group) })
	c.Instances = nil
	prepare(c)
	if d := cmp.Diff(before, truth(t, h)); d != "" {
		t.Errorf("not as before (-before +after):\n%s", d)
	}
}

// TestPrepareFaults: what is missing is named, the rest is done, and the next call makes good what failed.
func TestPrepareFaults(t *testing.T) {
	n := lab.New(t)
	h := n.Host("a", "10.0.0.1/24")
	m := machine{New(Options{}), t, h}
	t.Cleanup(func() { m.Close() })
	c := vrrp.Config{Instances: []vrrp.Instance{
		{Name: "A", Interface: "eth7", VirtualRouterID: 51, VMAC: vrrp.VMAC{Use: true}, Addresses: []vrrp.Address{address("10.7.0.100/24")}},
		{Name: "B", Interface: "eth0", VirtualRouterID: 52, VMAC: vrrp.VMAC{Use: true, Name: "lo"}, Addresses: []vrrp.Address{address("10.0.0.100/24")}},
		{Name: "C", Interface: "eth0", VirtualRouterID: 53, VMAC: vrrp.VMAC{Use: true}, Addresses: []vrrp.Address{address("10.0.0.101/24")}},
	}}
	plans, _ := Plans(c)
	prepare := func() error {
		return h.Do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err })
	}
	if err := prepare(); !errors.Is(err, ErrNoInterface) || !errors.Is(err, ErrForeign) {
		t.Errorf("error: %v", err)
	}
	there := func(dev string) bool { return h.Do(func() error { _, err := m.Link(dev); return err }) == nil }
	if there("vrrp.51") || !there("vrrp.53") || !there("lo") {
		t.Error("not what can be was done")
	}
	n.Attach(h, "other", "eth7", "10.7.0.1/24")
	if err := prepare(); errors.Is(err, ErrNoInterface) {
		t.Errorf("error: %v", err)
	}
	if !there("vrrp.51") {
		t.Error("the interface came and its virtual MAC did not")
	}
	bad := Group{Instance: "R", Interface: "eth0", Lifetime: -1, Addresses: []vrrp.Address{address("10.0.0.120/32")}, Routes: []vrrp.Route{
		{Dst: prefix("10.30.0.0/16"), Via: netip.MustParseAddr("10.99.0.1")}, {Dst: prefix("10.31.0.0/16"), Via: netip.MustParseAddr("10.0.0.9")},
		{Dst: prefix("10.32.0.0/16"), Table: "nosuch"},
	}}
	m.add(bad) // no error: the address is on
	var pe *PolicyError
	if f := m.Faults("R"); len(f) != 2 || !errors.As(errors.Join(f...), &pe) || !strings.Contains(errors.Join(f...).Error(), "10.30.0.0/16 via 10.99.0.1") {
		t.Errorf("faults: %v", f)
	}
	if !strings.Contains(output(t, h, "ip", "route"), "10.31.0.0/16") {
		t.Error("one bad route kept another from going on")
	}
	m.do(func() error { return m.Remove(bad) })
	if strings.Contains(output(t, h, "ip", "route"), "10.31.0.0/16") || len(m.Faults("R")) != 0 {
		t.Error("route not removed")
	}
}

// TestForeignStays: an address, a route and a setting that were there before are there afterwards.
func TestForeignStays(t *testing.T) {
	n := lab.New(t)
	h := n.Host("a", "10.0.0.1/24")
	m := machine{New(Options{}), t, h}
	t.Cleanup(func() { m.Close() })
	n.Must(h.AddAddr("eth0", "10.0.0.77/24"), h.Sysctl("net.ipv4.conf.eth0.arp_ignore", "2"))
	output(t, h, "ip", "route", "add", "10.20.0.0/16", "via", "10.0.0.5")
	settled(t, h, 1)
	before := truth(t, h)
	c := everything()
	plans, _ := Plans(c)
	m.do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err })
	m.add(plans[0].Group)
	m.add(plans[0].Group) // nothing is there twice
	if !strings.Contains(output(t, h, "ip", "route", "get", "10.20.0.1"), "via 10.0.0.9") {
		t.Error("the instance's route does not count")
	}
	m.do(func() error { return m.Remove(plans[0].Group) })
	m.do(m.Undo)
	if d := cmp.Diff(before, truth(t, h)); d != "" {
		t.Errorf("not as before (-before +after):\n%s", d)
	}
}

// TestMulticastReportsLeaveByTheBase: a switch must not learn the virtual MAC from a BACKUP.
func TestMulticastReportsLeaveByTheBase(t *testing.T) {
	n := lab.New(t)
	h, other := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	m := machine{New(Options{}), t, h}
	t.Cleanup(func() { m.Close() })
	c := vrrp.Config{Instances: []vrrp.Instance{{Name: "V", Interface: "eth0", VirtualRouterID: 51, VMAC: vrrp.VMAC{Use: true}, Addresses: []vrrp.Address{address("10.0.0.100/32")}}}}
	plans, _ := Plans(c)
	m.do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	capture, err := other.Capture(ctx, "eth0", "igmp", "", "eth.src")
	n.Must(err)
	defer capture.Stop()
	var base string
	m.do(func() error { l, err := m.Link("eth0"); base = l.MAC.String(); return err })
	for len(capture.Rows()) == 0 && ctx.Err() == nil {
		m.do(func() error { // joins and leaves: each is a report
			v, err := m.Link("vrrp.51")
			if err != nil {
				return err
			}
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: [4]byte{224, 0, 0, 18}, Ifindex: int32(v.Index)})
		})
		time.Sleep(50 * time.Millisecond)
	}
	for _, row := range capture.Rows() {
		if row[0] != base {
			t.Errorf("a report from %s, want %s", row[0], base)
		}
	}
	if len(capture.Rows()) == 0 {
		t.Error("no report at all")
	}
}

// TestNoAcceptTakesNoTraffic: nobody is answered by the address, but everybody finds it.
func TestNoAcceptTakesNoTraffic(t *testing.T) {
	n := lab.New(t)
	h, other := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	m := machine{New(Options{}), t, h}
	t.Cleanup(func() { m.Close() })
	g := group("eth0", -1, "10.0.0.100/32")
	l, err := h.Listen("tcp", "0.0.0.0:80")
	n.Must(err)
	defer l.Close()
	answers := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		c, err := other.Dial(ctx, "tcp", "10.0.0.100:80")
		if err != nil {
			return false
		}
		c.Close()
		return true
	}
	m.add(g)
	if !answers() {
		t.Fatal("no answer without a filter")
	}
	g.Block = true
	m.add(g)
	if answers() {
		t.Error("it answers")
	}
	if !strings.Contains(output(t, other, "ip", "neigh"), "10.0.0.100 dev eth0 lladdr") {
		t.Error("nobody finds it")
	}
	m.do(func() error { return m.Remove(g) })
	m.fw.name = strings.Repeat("x", 1000) // more than the kernel takes
	m.add(g)
	if f := m.Faults("VI_1"); len(f) != 1 || !strings.Contains(f[0].Error(), "nftables") || !answers() {
		t.Errorf("without its filter the address is not on, or nobody is told: %v", f)
	}
	m.fw.name = defaultTable
	m.do(func() error { return m.Remove(g) })
	g.Block = false
	m.add(g)
	if !answers() {
		t.Error("the filter is still there")
	}
}

// TestReplacedBase: an interface that was replaced under its name takes its virtual MACs along; the next Prepare makes all
// of it again.
func TestReplacedBase(t *testing.T) {
	n := lab.New(t)
	h := n.Host("a", "10.0.0.1/24")
	n.Attach(h, "other", "eth1", "10.1.0.1/24")
	m := machine{New(Options{}), t, h}
	t.Cleanup(func() { m.Close() })
	c := vrrp.Config{Instances: []vrrp.Instance{{Name: "V", Interface: "eth1", VirtualRouterID: 51, VMAC: vrrp.VMAC{Use: true}, Addresses: []vrrp.Address{address("10.1.0.100/32")}}}}
	plans, _ := Plans(c)
	prepare := func() { t.Helper(); m.do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err }) }
	setting := func() string {
		return strings.TrimSpace(output(t, h, "cat", "/proc/sys/net/ipv4/conf/eth1/arp_ignore"))
	}
	prepare()
	output(t, h, "ip", "link", "del", "eth1")
	output(t, h, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "peer1")
	output(t, h, "ip", "link", "set", "eth1", "up")
	if got := setting(); got != "0" {
		t.Fatalf("arp_ignore of the new interface: %s", got)
	}
	prepare()
	if got := setting(); got != "1" || !strings.Contains(output(t, h, "ip", "link", "show", "vrrp.51"), "vrrp.51@eth1") {
		t.Errorf("arp_ignore %s, or no virtual MAC", got)
	}
	m.do(m.Undo)
	if got := setting(); got != "0" {
		t.Errorf("arp_ignore afterwards: %s", got)
	}
}

// TestIPVlan: a kernel that has ipvlan makes one, one that has not is named.
func TestIPVlan(t *testing.T) {
	n := lab.New(t)
	h := n.Host("a", "10.0.0.1/24")
	m := machine{New(Options{}), t, h}
	t.Cleanup(func() { m.Close() })
	in := vrrp.Instance{Name: "V", Interface: "eth0", VirtualRouterID: 51, VMAC: vrrp.VMAC{IPVlan: true}, Addresses: []vrrp.Address{address("10.0.0.100/32")}}
	if _, problems := Plans(vrrp.Config{Instances: []vrrp.Instance{in}}); len(problems) != 1 || !strings.Contains(problems[0].Error(), "mcast_src_ip") {
		t.Errorf("without an address to send from: %v", problems)
	}
	in.McastSrcIP = netip.MustParseAddr("10.0.0.51")
	c := vrrp.Config{Instances: []vrrp.Instance{in}}
	plans, _ := Plans(c)
	err := h.Do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err })
	var le *LinkError
	if errors.Is(err, unix.EOPNOTSUPP) && errors.As(err, &le) && strings.Contains(err.Error(), "ipvlan on eth0") {
		return
	}
	if err != nil || !strings.Contains(output(t, h, "ip", "-d", "addr", "show", "vrrp.51"), "10.0.0.51/32") {
		t.Errorf("error: %v", err)
	}
}

// TestExtra: what garp_extra_if repeats leaves from the virtual MAC alone.
func TestExtra(t *testing.T) {
	n := lab.New(t)
	h, other := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	m := machine{New(Options{}), t, h}
	t.Cleanup(func() { m.Close() })
	c := vrrp.Config{Instances: []vrrp.Instance{{
		Name: "V", Interface: "eth0", VirtualRouterID: 51, VMAC: vrrp.VMAC{Use: true, XmitBase: true}, VIPLifetime: -1,
		Addresses: []vrrp.Address{address("10.0.0.100/32"), {Prefix: prefix("10.0.0.101/32"), Dev: "eth0"}},
	}}}
	plans, _ := Plans(c)
	p := plans[0]
	if p.Interface != "eth0" || len(p.Extra) != 1 || p.Extra[0] != "vrrp.51" || p.Group.Interface != "vrrp.51" {
		t.Fatalf("%+v", p)
	}
	m.do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err })
	m.add(p.Group)
	fd := listener(t, other, etherTypeARP)
	within(t, 2*time.Second, "carrier", func() bool { return m.link("vrrp.51").Carrier })
	m.do(func() error { return m.AnnounceOn(p.Group, p.Extra) })
	var b [128]byte
	if k, _, err := recvfrom(fd, b[:], 0); err != nil || string(b[6:12]) != "\x00\x00\x5e\x00\x01\x33" || b[31] != 100 {
		t.Errorf("received %x (%v)", b[:k], err)
	}
	tv := unix.Timeval{Usec: 50000}
	n.Must(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	if k, _, err := recvfrom(fd, b[:], 0); err == nil {
		t.Errorf("received %x too", b[:k])
	}
}

// TestBadJournal: a journal that can't be read is named and stops nothing.
func TestBadJournal(t *testing.T) {
	n := lab.New(t)
	h := n.Host("a", "10.0.0.1/24")
	path := filepath.Join(t.TempDir(), "journal")
	n.Must(os.WriteFile(path, []byte("{"), 0o600))
	m := machine{New(Options{Journal: path}), t, h}
	t.Cleanup(func() { m.Close() })
	c := everything()
	plans, _ := Plans(c)
	if err := h.Do(func() error { _, err := m.Prepare(NewSetup(c, plans)); return err }); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error: %v", err)
	}
	if j, err := readJournal(path); err != nil || j == nil || len(j.VMACs) != 1 || len(j.Settings) != 3 {
		t.Errorf("the journal afterwards: %+v %v", j, err)
	}
	m.do(m.Undo)
}

// TestPlans: names of virtual MACs, priorities of rules, who takes no traffic.
func TestPlans(t *testing.T) {
	yes, no := true, false
	vmac := func(name, dev, vip string, vrid int) vrrp.Instance {
		return vrrp.Instance{Name: name, Interface: dev, VirtualRouterID: vrid, Priority: 100, VMAC: vrrp.VMAC{Use: true}, Addresses: []vrrp.Address{address(vip)}}
	}
	bad := vmac("BAD", "eth0", "10.0.0.5/32", 9)
	bad.VMAC.MAC = "no:mac"
	elsewhere := vmac("F", "eth1", "10.0.0.6/32", 10)
	elsewhere.VMAC = vrrp.VMAC{Addr: true}
	elsewhere.Addresses = append(elsewhere.Addresses, vrrp.Address{Prefix: prefix("10.9.0.1/32"), Dev: "eth2"})
	plans, problems := Plans(vrrp.Config{Instances: []vrrp.Instance{
		vmac("A", "eth0", "10.0.0.1/32", 7), vmac("B", "eth1", "10.0.0.2/32", 7), vmac("C", "eth2", "10.0.0.3/32", 7), vmac("D", "eth0", "fd00::4/128", 7), bad, elsewhere,
	}})
	var got []string
	for _, p := range plans {
		for _, v := range p.VMACs {
			got = append(got, p.Instance+" "+p.Interface+" "+v.Name+"@"+v.Base+" "+v.MAC.String())
		}
	}
	want := []string{
		"A vrrp.7 vrrp.7@eth0 00:00:5e:00:01:07", "B vrrp4.7 vrrp4.7@eth1 00:00:5e:00:01:07", "C vrrp4.7.1 vrrp4.7.1@eth2 00:00:5e:00:01:07",
		"D vrrp6.7 vrrp6.7@eth0 00:00:5e:00:02:07", "F eth1 vrrp.10@eth2 00:00:5e:00:01:0a",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "BAD") {
		t.Errorf("problems: %v", problems)
	}
	if on := plans[len(plans)-1].Group.On(); on[0].Dev != "eth1" || on[1].Dev != "vrrp.10" {
		t.Errorf("use_vmac_addr: %v", on)
	}
	// What keepalived 2.2.7 does: addresses that are not listed say nothing of the family, and those of the other one stay on
	// the interface below.
	mixed := vmac("G", "eth0", "10.0.0.7/32", 11)
	mixed.Excluded = []vrrp.Address{address("fd00::7/64"), address("10.0.0.8/32")}
	unlisted := vmac("H", "eth0", "10.0.0.9/32", 12)
	unlisted.Addresses, unlisted.Excluded = nil, []vrrp.Address{address("fd00::9/64")}
	plans, _ = Plans(vrrp.Config{Instances: []vrrp.Instance{mixed, unlisted}})
	got = nil
	for _, p := range plans {
		got = append(got, fmt.Sprint(p.VMACs[0].MAC, p.Group.On()))
	}
	want = []string{"00:00:5e:00:01:0b [{vrrp.11 10.0.0.7/32} {eth0 fd00::7/64} {vrrp.11 10.0.0.8/32}]", "00:00:5e:00:01:0c [{eth0 fd00::9/64}]"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, c := range []struct {
		accept, strict *bool
		global         bool
		priority       int
		want           bool
	}{
		{nil, nil, false, 100, false}, {&no, nil, false, 100, true}, {&no, nil, false, 255, false}, {nil, nil, true, 100, true},
		{&yes, nil, true, 100, false}, {nil, &no, true, 100, false}, {nil, &yes, false, 100, true}, {nil, &yes, false, 255, false},
	} {
		if got := takesNone(vrrp.Instance{Accept: c.accept, StrictMode: c.strict, Priority: c.priority}, vrrp.Global{Strict: c.global}); got != c.want {
			t.Errorf("%+v: takes no traffic %v", c, got)
		}
	}
}
