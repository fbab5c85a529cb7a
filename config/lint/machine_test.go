package lint_test

import (
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/lint"
)

type machineCase struct {
	rule, text string
	says       string // "": content
}

var machineCases = []machineCase{
	{rule: "vip-outside-networks", text: vi("VI_1", "eth0", "51", "192.0.3.10/24"),
		says: "k.conf:5:3: warning: 192.0.3.10 in vrrp_instance 'VI_1' is in no network of eth0, which has 192.0.2.0/24 (is it the right address, and the right interface?)"},
	{rule: "vip-outside-networks", text: v1()},
	{rule: "vip-outside-networks", text: vi("VI_1", "eth0", "51", "192.0.2.11/32")},
	{rule: "vip-outside-networks", text: vi("VI_1", "eth9", "51", "192.0.3.10/24")}, // no such interface: an error says so
	{rule: "vip-outside-networks", text: vi("VI_1", "bare", "51", "192.0.3.10/24")}, // without an address of its own
	{rule: "vip-outside-networks", text: vi("VI_1", "eth1", "51", "192.0.2.12/24 dev eth0")},
	{rule: "vip-outside-networks", text: vi("VI_1", "carries", "51", "203.0.113.10/24"), // it is on the interface now, and proves nothing
		says: "k.conf:5:3: warning: 203.0.113.10 in vrrp_instance 'VI_1' is in no network of carries, which has 198.51.100.0/24 (is it the right address, and the right interface?)"},

	{rule: "script-not-runnable", text: v1(`notify "/etc/reeve/none"`),
		says: "k.conf:7:2: warning: notify of vrrp_instance 'VI_1': there is no /etc/reeve/none on this machine (every node needs it)"},
	{rule: "script-not-runnable", text: v1(`notify "/etc/reeve/data"`),
		says: "k.conf:7:2: warning: notify of vrrp_instance 'VI_1': /etc/reeve/data is not executable (chmod +x /etc/reeve/data)"},
	{rule: "script-not-runnable", text: v1(`notify "/etc/reeve"`),
		says: "k.conf:7:2: warning: notify of vrrp_instance 'VI_1': /etc/reeve is a directory"},
	{rule: "script-not-runnable", text: v1(`notify "/etc/reeve/run.sh"`)},
	{rule: "script-not-runnable", text: v1(`notify "/bin/sh /etc/reeve/data"`)}, // the interpreter is what runs
	{rule: "script-not-runnable", text: v1(`notify "/bin/sh /etc/reeve/none"`),
		says: "k.conf:7:2: warning: notify of vrrp_instance 'VI_1': there is no /etc/reeve/none on this machine (every node needs it)"},
	{rule: "script-not-runnable", text: v1(`notify "logger moved"`)}, // searched for when it is run
	{rule: "script-not-runnable", text: "vrrp_script chk {\n script \"/etc/reeve/none\"\n interval 2\n}\n" + v1(tracked),
		says: "k.conf:1:1: warning: vrrp_script 'chk': there is no /etc/reeve/none on this machine (every node needs it)"},

	{rule: "script-writable", text: v1(`notify_backup "/srv/open/run.sh"`),
		says: "k.conf:7:2: warning: notify_backup of vrrp_instance 'VI_1': everybody may write to /srv/open: what is put there is run in its place (keep scripts where only root writes, as in /etc/reeve)"},
	{rule: "script-writable", text: v1(`notify_backup "/bin/sh /etc/reeve/open.sh"`),
		says: "k.conf:7:2: warning: notify_backup of vrrp_instance 'VI_1': everybody may write to /etc/reeve/open.sh: what is put there is run in its place (keep scripts where only root writes, as in /etc/reeve)"},
	{rule: "script-writable", text: v1(`notify_backup "/etc/reeve/run.sh"`)},
}

var disk = fstest.MapFS{
	"bin/sh":            {Mode: 0o755},
	"etc":               {Mode: fs.ModeDir | 0o755},
	"etc/reeve":         {Mode: fs.ModeDir | 0o755},
	"etc/reeve/run.sh":  {Mode: 0o755},
	"etc/reeve/data":    {Mode: 0o644},
	"etc/reeve/open.sh": {Mode: 0o757},
	"srv/open":          {Mode: fs.ModeDir | 0o777},
	"srv/open/run.sh":   {Mode: 0o755},
}

func environment() lint.Environment {
	nets := map[string][]netip.Prefix{
		"eth0": {netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("fe80::1/64")}, "eth1": {netip.MustParsePrefix("198.51.100.1/24")},
		"bare":    {netip.MustParsePrefix("fe80::2/64")},
		"carries": {netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("203.0.113.10/24")},
	}
	return lint.Environment{
		Networks: func(name string) ([]netip.Prefix, bool) { n, ok := nets[name]; return n, ok },
		Stat: func(path string) (fs.FileInfo, error) {
			if path == "/" {
				path = "/."
			}
			return fs.Stat(disk, path[1:])
		},
	}
}

func TestMachine(t *testing.T) {
	for _, c := range machineCases {
		doc, _, ps := config.Load(one(c.text))
		if ps.HasErrors() {
			t.Fatal(ps.Err())
		}
		got := lint.Machine(doc, "lb1", environment(), nil)
		switch {
		case c.says == "" && len(got) > 0:
			t.Errorf("%s\nis fine, and yet:\n%s", c.text, text(got))
		case c.says != "" && (len(got) != 1 || got[0].Rule != c.rule || got[0].Error() != c.says):
			t.Errorf("%s\nsays\n%sand was to say\n%s: %s", c.text, text(got), c.rule, c.says)
		}
		if got := lint.Machine(doc, "lb1", environment(), []string{c.rule}); len(got) > 0 {
			t.Errorf("silenced, and yet:\n%s", text(got))
		}
	}
}

// TestMachineOfANode: what a node has otherwise is what its machine is asked about.
func TestMachineOfANode(t *testing.T) {
	doc, _, ps := config.Load(pair(v1("priority 100"), strings.Replace(v1("priority 90"), "eth0", "eth1", 1)))
	if ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	for node, want := range map[string][]string{"lb1": nil, "lb2": {"vip-outside-networks"}} {
		if got := lint.Machine(doc, node, environment(), nil); !slices.Equal(named(got), want) {
			t.Errorf("%s: %s", node, text(got))
		}
	}
}

// TestMachineAsksNobody: a machine that tells nothing is asked nothing.
func TestMachineAsksNobody(t *testing.T) {
	doc, _, _ := config.Load(one(v1(`notify "/etc/reeve/none"`)))
	if got := lint.Machine(doc, "", lint.Environment{}, nil); len(got) > 0 {
		t.Errorf("%s", text(got))
	}
}
