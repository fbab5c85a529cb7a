package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// keepalived complains about this machine too (interfaces, users, scripts), which says nothing about the file.
var aboutTheMachine = regexp.MustCompile(`(?i)doesn't exist|non-existent interface|script_user|security|unsafe permissions|default user|cannot find|unable to (find|access)|^\s*$`)

const instance = `vrrp_instance V {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 100
    virtual_ipaddress {
        10.0.0.1/24
    }
    %
}
`

var keepalivedCases = []struct {
	name, text string // text beginning with + goes into an instance
	why        string
}{
	{name: "plain", text: "+"},
	{name: "unknown keyword", text: "+frobnicate"},
	{name: "unknown block", text: "vrrp_rsync_groups G {\n group {\n V\n }\n}"},
	{name: "priority abc", text: "+priority abc"},
	{name: "priority 256", text: "+priority 256"},
	{name: "priority 0", text: "+priority 0"},
	{name: "priority 255", text: "+priority 255"},
	{name: "advert_int 0", text: "+advert_int 0"},
	{name: "advert_int 3", text: "+advert_int 3"},
	{name: "state FOO", text: "+state FOO"},
	{name: "invalid address", text: "+virtual_ipaddress_excluded {\n 10.1.1.300/32\n}"},
	{name: "address words", text: "+virtual_ipaddress_excluded {\n 10.1.1.3/32 brd 10.1.1.255 dev eth0 scope link label eth0:1\n}"},
	{name: "two addresses on a line", text: "+virtual_ipaddress_excluded {\n 10.1.1.3/32 10.1.1.4/32\n}"},
	{name: "unknown track_script", text: "+track_script {\n nosuch\n}"},
	{name: "auth_pass of nine", text: "+authentication {\n auth_type PASS\n auth_pass 123456789\n}", why: "keepalived truncates it and says so, Reeve warns"},
	{name: "auth_type unknown", text: "+authentication {\n auth_type PLAIN\n auth_pass x\n}"},
	{name: "auth_type and auth_pass on a line", text: "+authentication {\n auth_type PASS auth_pass x\n}"},
	{name: "auth in the brace's line", text: "+authentication { auth_type PASS\n auth_pass abc }"},
	{name: "brace on its own line", text: "+authentication\n{\n auth_type PASS\n auth_pass abc\n}"},
	{name: "brace attached", text: "+authentication{\n auth_type PASS\n auth_pass abc\n}"},
	{name: "comment inside a word", text: "+authentication {\n auth_type PASS\n auth_pass a!b\n}"},
	{name: "duplicate instance", text: "vrrp_instance V {\n interface eth1\n virtual_router_id 7\n virtual_ipaddress {\n 10.0.0.9\n }\n}"},
	{name: "same VRID on an interface", text: "vrrp_instance W {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 10.0.0.9\n }\n}", why: ""},
	{name: "no VRID", text: "vrrp_instance W {\n interface eth0\n virtual_ipaddress {\n 10.0.0.9\n }\n}"},
	{name: "no address", text: "vrrp_instance W {\n interface eth0\n virtual_router_id 9\n}", why: "keepalived says so and runs, Reeve warns"},
	{name: "one brace too many", text: "}"},
	{name: "brace missing at the end", text: "global_defs {\n router_id x"},
	{name: "hexadecimal", text: "+priority 0x10"},
	{name: "global_defs twice", text: "global_defs {\n router_id a\n}\nglobal_defs {\n router_id b\n}"},
	{name: "garp", text: "global_defs {\n vrrp_garp_master_delay 3\n vrrp_garp_master_repeat 2\n vrrp_garp_interval 0.001\n}"},
	{name: "garp interval 0", text: "global_defs {\n vrrp_garp_interval 0\n}", why: "keepalived ignores the 0 of its own sample with a message; to Reeve it means no pause"},
	{name: "mail", text: "global_defs {\n notification_email {\n a@b c@d\n }\n notification_email_from x@y\n smtp_server 127.0.0.1\n smtp_connect_timeout 3\n}"},
	{name: "bool words", text: "global_defs {\n vrrp_strict off\n vrrp_skip_check_adv_addr yes\n}"},
	{name: "script", text: "vrrp_script c {\n script \"/bin/true\"\n interval 2\n weight -10\n fall 2\n rise 2\n}\n+track_script {\n c\n}"},
	{name: "script weight too large", text: "vrrp_script c {\n script \"/bin/true\"\n weight 300\n}\n+track_script {\n c\n}"},
	{name: "script without a command", text: "vrrp_script c {\n interval 2\n}\n+track_script {\n c\n}"},
	{name: "unmatched quote", text: "global_defs {\n router_id \"x\n}"},
	{name: "unused script", text: "vrrp_script c {\n script \"/bin/true\"\n}"},
	{name: "missing argument", text: "+priority"},
	{name: "notify", text: "+notify_master \"/bin/true a b\"\n notify /bin/true"},
	{name: "debug", text: "+debug 2"},
	{name: "mcast_src_ip nonsense", text: "+mcast_src_ip 1.2.3"},
	{name: "nopreempt", text: "+nopreempt"},
	{name: "preempt_delay", text: "+preempt_delay 5"},
	{name: "nopreempt and preempt_delay", text: "+nopreempt\n preempt_delay 5", why: "keepalived drops the delay and says so, Reeve warns"},
	{name: "preempt_delay too long", text: "+preempt_delay 5000"},
	{name: "use_vmac", text: "+use_vmac"},
	{name: "surplus word", text: "+priority 100 200", why: "keepalived ignores it without a word"},
}

func TestKeepalivedAgrees(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range keepalivedCases {
		before, inside, _ := strings.Cut(c.text, "+")
		content := before + "\n" + strings.Replace(instance, "%", inside, 1)
		if c.name == "brace missing at the end" {
			content = strings.Replace(instance, "%", "", 1) + c.text + "\n"
		}
		code, out := run(t, dir, "keepalived.conf", content, "keepalived", "-t", "-f")
		theirs := true
		for line := range strings.Lines(out) {
			if !aboutTheMachine.MatchString(line) {
				theirs = false
			}
		}
		if code == 2 {
			theirs = false
		}
		_, ps := parseText(t, "keepalived.conf", content)
		compare(t, c.name, c.why, !ps.HasErrors(), theirs, ps.Err(), out)
	}
}

func TestKeepalivedAcceptsTheCorpus(t *testing.T) {
	for _, file := range []string{"testdata/classic-pair/lb1.conf", "testdata/classic-pair/lb2.conf"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, out := run(t, t.TempDir(), "keepalived.conf", string(content), "keepalived", "-t", "-f")
		for line := range strings.Lines(out) {
			if !aboutTheMachine.MatchString(line) {
				t.Errorf("keepalived about %s: %s", file, line)
			}
		}
	}
}
