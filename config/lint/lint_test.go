package lint_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/config/lint"
	"github.com/reeve-lb/reeve/internal/source"
)

// vi is the smallest vrrp_instance that nothing is to be said about, with lines of its own.
func vi(name, iface, vrid, vip string, lines ...string) string {
	return "vrrp_instance " + name + " {\n interface " + iface + "\n virtual_router_id " + vrid + "\n virtual_ipaddress {\n  " + vip + "\n }\n" +
		indented(lines) + "}\n"
}

func indented(lines []string) string {
	out := ""
	for _, l := range lines {
		out += " " + l + "\n"
	}
	return out
}

func v1(lines ...string) string { return vi("VI_1", "eth0", "51", "192.0.2.10/24", lines...) }

// chk is a vrrp_script that nothing is to be said about.
func chk(lines ...string) string {
	return "vrrp_script chk {\n script \"/usr/bin/curl -fsS -m 1 http://127.0.0.1/\"\n interval 2\n" + indented(lines) + "}\n"
}

const (
	tracked = "track_script {\n  chk\n }"
	global  = "global_defs {\n "
)

// pair is two nodes' keepalived.conf.
func pair(a, b string) []config.File {
	return []config.File{{Name: "lb1.conf", Content: []byte(a), Node: "lb1"}, {Name: "lb2.conf", Content: []byte(b), Node: "lb2"}}
}

func one(text string) []config.File { return []config.File{{Name: "k.conf", Content: []byte(text)}} }

func with(fs []config.File, name, text string) []config.File {
	return append(fs, config.File{Name: name, Content: []byte(text)})
}

// look is what `validate` says.
func look(t *testing.T, files []config.File, o lint.Options) source.Problems {
	t.Helper()
	doc, _, ps := config.Load(files)
	if ps.HasErrors() {
		t.Fatalf("the files have errors:\n%v", ps.Err())
	}
	for _, f := range files {
		if f.Node != "" {
			o.Nodes = append(o.Nodes, f.Node)
		}
	}
	return lint.All(doc, ps, o)
}

func named(ps source.Problems) []string {
	var out []string
	for _, p := range ps {
		if p.Rule != "" {
			out = append(out, p.Rule)
		}
	}
	slices.Sort(out)
	return out
}

// cases: for each rule the smallest files that it warns of, what it says, and the smallest change that it is content with.
// Every pair differs in what the rule is about and in nothing else.
var cases = []struct {
	rule       string
	bad        []config.File
	says       string // the line as `validate` prints it
	good       []config.File
	also       []string // what other rules rightly say about the bad files
	alsoOfGood []string
}{
	{rule: "weight-never-fails-over",
		bad:  pair(chk("weight -10")+v1("priority 100", tracked), chk("weight -10")+v1("priority 50", tracked)),
		says: "lb1.conf:14:3: warning: the weight -10 of 'chk' can never move vrrp_instance 'VI_1' from lb1 to lb2: 90 is still more than 50 (more than 50 is needed, as in weight -60; weight 0 makes every failure a FAULT)",
		good: pair(chk("weight -51")+v1("priority 100", tracked), chk("weight -51")+v1("priority 50", tracked))},
	{rule: "weight-never-fails-over", // as much as the gap is not enough: an equal priority preempts nobody
		bad:  pair(chk("weight -50")+v1("priority 100", tracked), chk("weight -50")+v1("priority 50", tracked)),
		says: "lb1.conf:14:3: warning: the weight -50 of 'chk' can never move vrrp_instance 'VI_1' from lb1 to lb2: 50 is not less than 50 (more than 50 is needed, as in weight -60; weight 0 makes every failure a FAULT)",
		good: pair(chk("weight 0")+v1("priority 100", tracked), chk("weight 0")+v1("priority 50", tracked))},
	{rule: "weight-never-fails-over", // a positive weight falls away from the better one and stays with the other
		bad:  pair(chk("weight 20")+v1("priority 120", tracked), chk("weight 20")+v1("priority 100", tracked)),
		says: "lb1.conf:14:3: warning: the weight 20 of 'chk' can never move vrrp_instance 'VI_1' from lb1 to lb2: 120 is not less than 120 (more than 20 is needed, as in weight 30; weight 0 makes every failure a FAULT)",
		good: pair(chk("weight 21")+v1("priority 120", tracked), chk("weight 21")+v1("priority 100", tracked))},
	{rule: "weight-never-fails-over", // the weight on the line of track_script wins; two together
		bad: pair(chk("weight -60")+v1("priority 100", "track_script {\n  chk weight -10\n }", "track_interface {\n  eth1 weight -20\n }"),
			chk("weight -60")+v1("priority 50", "track_script {\n  chk weight -10\n }", "track_interface {\n  eth1 weight -20\n }")),
		says: "lb1.conf:14:3: warning: all weights (-10 of 'chk', -20 of 'eth1') can never move vrrp_instance 'VI_1' from lb1 to lb2: 70 is still more than 50 (more than 50 together is needed)",
		good: pair(chk("weight -60")+v1("priority 100", "track_script {\n  chk weight -31\n }", "track_interface {\n  eth1 weight -20\n }"),
			chk("weight -60")+v1("priority 50", "track_script {\n  chk weight -31\n }", "track_interface {\n  eth1 weight -20\n }"))},
	{rule: "weight-never-fails-over", // 255
		bad:  one(chk("weight -60") + v1("priority 255", tracked)),
		says: "k.conf:14:3: warning: the weight of 'chk' has no effect: vrrp_instance 'VI_1' has the priority 255 (write weight 0, or a priority below 255)",
		good: one(chk("weight -60") + v1("priority 254", tracked))},
	{rule: "weight-never-fails-over",
		bad: pair("vrrp_track_process web {\n process haproxy\n weight 1\n}\n"+v1("priority 100", "track_process {\n  web\n }"),
			"vrrp_track_process web {\n process haproxy\n weight 1\n}\n"+v1("priority 50", "track_process {\n  web\n }")),
		says: "lb1.conf:13:3: warning: the weight 1 of 'web' can never move vrrp_instance 'VI_1' from lb1 to lb2: 100 is still more than 51 (more than 50 is needed, as in weight 60; weight 0 makes every failure a FAULT)",
		good: pair("vrrp_track_process web {\n process haproxy\n}\n"+v1("priority 100", "track_process {\n  web\n }"),
			"vrrp_track_process web {\n process haproxy\n}\n"+v1("priority 50", "track_process {\n  web\n }"))},
	{rule: "nopreempt-weight",
		bad:  one(chk("weight -60") + v1("priority 100", "nopreempt", tracked)),
		says: "k.conf:15:3: warning: the weight -60 of 'chk' moves nothing in vrrp_instance 'VI_1': with nopreempt a backup leaves a master alone however low its priority is (with nopreempt only a FAULT moves an address: leave the weight at 0, or do without nopreempt)",
		good: one(chk() + v1("priority 100", "nopreempt", tracked))},
	{rule: "nopreempt-master", // the reader of one file says it
		bad:  one(v1("state MASTER", "priority 100", "nopreempt")),
		says: "k.conf:9:2: warning: state MASTER cancels nopreempt in vrrp_instance 'VI_1' (write state BACKUP on all machines)",
		good: one(v1("state BACKUP", "priority 100", "nopreempt"))},
	{rule: "nopreempt-master", // only the linter sees both
		bad:  with(one(v1("nopreempt")), "n.hcl", "node \"lb1\" {\n  vrrp_instance \"VI_1\" {\n    state = \"MASTER\"\n  }\n}\n"),
		says: "n.hcl:2:3: warning: state MASTER cancels nopreempt in vrrp_instance 'VI_1' (write state BACKUP on all machines)",
		good: with(one(v1("nopreempt")), "n.hcl", "node \"lb1\" {\n  vrrp_instance \"VI_1\" {\n    state = \"BACKUP\"\n  }\n}\n")},
	{rule: "preempt-delay-master",
		bad:  one(v1("state MASTER", "priority 100", "preempt_delay 60")),
		says: "k.conf:9:16: warning: state MASTER cancels preempt_delay in vrrp_instance 'VI_1' (write state BACKUP on all machines)",
		good: one(v1("state BACKUP", "priority 100", "preempt_delay 60"))},
	{rule: "equal-priorities",
		bad:  pair(v1("priority 100"), v1("priority 100")),
		says: "lb1.conf:1:1: warning: lb1 and lb2 both have priority 100 in vrrp_instance 'VI_1': who comes first is master, and if both are at once, the higher address decides (write the machine that shall have the address a higher one)",
		good: pair(v1("priority 100"), v1("priority 101"))},
	{rule: "equal-priorities",
		bad:  pair(v1("state MASTER", "priority 255"), v1("state BACKUP", "priority 255")),
		says: "lb2.conf:1:1: warning: lb1 and lb2 both have priority 255 in vrrp_instance 'VI_1': two machines can't own an address (255 belongs to the one machine that has the address of its own; write at most 254)",
		good: pair(v1("state MASTER", "priority 255"), v1("state BACKUP", "priority 254"))},
	{rule: "equal-priorities", // a third node that nobody gave a place has the default
		bad:  with(one(v1()), "n.hcl", "node \"a\" {\n  vrrp_instance \"VI_1\" {\n    priority = 150\n  }\n}\nnode \"b\" {\n  router_id = \"b\"\n}\nnode \"c\" {\n  router_id = \"c\"\n}\n"),
		says: "k.conf:1:1: warning: b and c both have priority 100 in vrrp_instance 'VI_1': who comes first is master, and if both are at once, the higher address decides (write the machine that shall have the address a higher one)",
		good: with(one(v1()), "n.hcl", "node \"b\" {\n  router_id = \"b\"\n}\nnode \"c\" {\n  router_id = \"c\"\n}\n")},
	{rule: "vrid-twice", // two files, two interfaces, one network
		bad:  with(one(v1()), "l.conf", vi("VI_2", "eth1", "51", "192.0.2.11/24")),
		says: "l.conf:1:1: warning: vrrp_instance 'VI_2' (eth1, 192.0.2.0/24) has virtual_router_id 51, as has 'VI_1' (eth0, 192.0.2.0/24) at k.conf:1:1: if that is one segment, each drops the other's adverts (each virtual router of a segment has its own number)",
		good: with(one(v1()), "l.conf", vi("VI_2", "eth1", "51", "198.51.100.11/24"))},
	{rule: "vrid-twice", // a node's own interface
		bad:  with(one(v1()+vi("VI_2", "eth1", "51", "198.51.100.11/24")), "n.hcl", "node \"lb2\" {\n  vrrp_instance \"VI_2\" {\n    interface = \"eth0\"\n  }\n}\n"),
		says: "n.hcl:2:3: warning: vrrp_instance 'VI_2' has virtual_router_id 51 on eth0 on lb2, as has 'VI_1' at k.conf:1:1 (each virtual router of a segment has its own number)",
		good: with(one(v1()+vi("VI_2", "eth1", "52", "198.51.100.11/24")), "n.hcl", "node \"lb2\" {\n  vrrp_instance \"VI_2\" {\n    interface = \"eth0\"\n  }\n}\n")},
	{rule: "advert-int-mismatch",
		bad:  one("vrrp_sync_group G {\n group {\n  VI_1\n  VI_2\n }\n}\n" + v1("advert_int 1") + vi("VI_2", "eth1", "52", "198.51.100.11/24", "advert_int 3")),
		says: "k.conf:15:1: warning: vrrp_sync_group 'G': 'VI_2' has advert_int 3 and 'VI_1' at k.conf:7:1 has 1: the group is as slow as the slowest of them (write the same advert_int in all members)",
		good: one("vrrp_sync_group G {\n group {\n  VI_1\n  VI_2\n }\n}\n" + v1("advert_int 3") + vi("VI_2", "eth1", "52", "198.51.100.11/24", "advert_int 3"))},
	{rule: "strict-firewall",
		bad:  one(global + "vrrp_strict\n}\n" + v1("priority 100")),
		says: "k.conf:4:1: warning: vrrp_strict makes a firewall drop whatever is sent to the addresses of vrrp_instance 'VI_1': no ping, no connection (leave out vrrp_strict and strict_mode: samples have it, hardly anybody wants it)",
		good: one(global + "vrrp_strict\n}\n" + v1("state MASTER", "priority 255"))},
	{rule: "strict-firewall",
		bad:  one(v1("strict_mode on")),
		says: "k.conf:1:1: warning: vrrp_strict makes a firewall drop whatever is sent to the addresses of vrrp_instance 'VI_1': no ping, no connection (leave out vrrp_strict and strict_mode: samples have it, hardly anybody wants it)",
		good: one(global + "vrrp_strict\n}\n" + v1("strict_mode off"))},
	{rule: "strict-conflict",
		bad:  one(v1("strict_mode on", "authentication {\n  auth_type PASS\n  auth_pass x\n }")),
		says: "k.conf:9:13: warning: strict mode leaves out the authentication in vrrp_instance 'VI_1' (strict mode holds to the RFC)",
		also: []string{"strict-firewall"},
		good: one(v1("strict_mode on")), alsoOfGood: []string{"strict-firewall"}},
	{rule: "process-check",
		bad:  one(strings.Replace(chk(), "/usr/bin/curl -fsS -m 1 http://127.0.0.1/", "killall -0 haproxy", 1) + v1(tracked)),
		says: "k.conf:1:1: warning: vrrp_script 'chk' starts a program every 2s to ask by killall -0 whether another one runs: one that hangs runs, too (vrrp_track_process { process haproxy } sees it end at once and starts nothing; to know whether it answers, ask it)",
		good: one(chk() + v1(tracked))},
	{rule: "interval-below-timeout",
		bad:  one(chk("timeout 3") + v1(tracked)),
		says: "k.conf:1:1: warning: vrrp_script 'chk' may run for 3s and is due every 2s: runs that are due meanwhile are left out, and a failure is known that much later (write a timeout of at most the interval)",
		good: one(chk("timeout 2") + v1(tracked))},
	{rule: "check-flaps",
		bad:  one(strings.Replace(chk(), "interval 2", "interval 1", 1) + v1(tracked)),
		says: "k.conf:1:1: warning: vrrp_script 'chk' decides by one run, every 1s: one that is slow moves the address, and the next one moves it back (write fall 2 and rise 2)",
		good: one(strings.Replace(chk(), "interval 2", "interval 1\n fall 2", 1) + v1(tracked))},
	{rule: "garp-once",
		bad:  one(v1("garp_master_delay 0")),
		says: "k.conf:1:1: warning: vrrp_instance 'VI_1' announces its addresses once (garp_master_delay 0): neighbours that miss it send to the old machine until their entry ages (leave out garp_master_delay: 5 s, or write garp_master_refresh)",
		good: one(v1("garp_master_delay 1"))},
	{rule: "garp-once",
		bad:  one(global + "vrrp_garp_master_delay 0\n}\n" + v1()),
		says: "k.conf:4:1: warning: vrrp_instance 'VI_1' announces its addresses once (garp_master_delay 0): neighbours that miss it send to the old machine until their entry ages (leave out garp_master_delay: 5 s, or write garp_master_refresh)",
		good: one(global + "vrrp_garp_master_delay 0\n vrrp_garp_master_refresh 60\n}\n" + v1())},
	{rule: "sync-group-weight",
		bad:  one(chk("weight -60") + "vrrp_sync_group G {\n group {\n  VI_1\n  VI_2\n }\n}\n" + v1(tracked) + vi("VI_2", "eth1", "52", "198.51.100.11/24")),
		says: "k.conf:19:3: warning: the weight of 'chk' has no effect in a member of vrrp_sync_group 'G' (track it in the group, or write sync_group_tracking_weight there)",
		good: one(chk("weight -60") + "vrrp_sync_group G {\n group {\n  VI_1\n  VI_2\n }\n " + tracked + "\n}\n" + v1() + vi("VI_2", "eth1", "52", "198.51.100.11/24"))},
	{rule: "sync-group-weight",
		bad: one("vrrp_track_process web {\n process haproxy\n weight 1\n}\nvrrp_sync_group G {\n group {\n  VI_1\n  VI_2\n }\n}\n" +
			v1("track_process {\n  web\n }") + vi("VI_2", "eth1", "52", "198.51.100.11/24")),
		says: "k.conf:18:3: warning: the weight of 'web' has no effect in a member of vrrp_sync_group 'G' (track it in the group, or write sync_group_tracking_weight there)",
		good: one("vrrp_track_process web {\n process haproxy\n}\nvrrp_sync_group G {\n group {\n  VI_1\n  VI_2\n }\n}\n" +
			v1("track_process {\n  web\n }") + vi("VI_2", "eth1", "52", "198.51.100.11/24"))},
	{rule: "sync-group-single",
		bad:  one("vrrp_sync_group G {\n group {\n  VI_1\n }\n}\n" + v1()),
		says: "k.conf:1:1: warning: vrrp_sync_group 'G' has one member, which has nobody to be in step with",
		good: one("vrrp_sync_group G {\n group {\n  VI_1\n  VI_2\n }\n}\n" + v1() + vi("VI_2", "eth1", "52", "198.51.100.11/24"))},
	{rule: "vip-host-length",
		bad:  one(vi("VI_1", "eth0", "51", "192.0.2.10\n  192.0.2.11")),
		says: "k.conf:5:3: warning: 192.0.2.10 (and 1 more) in vrrp_instance 'VI_1' is a /32: it is reached only while the interface has another address of its network (write the length of the interface's network, as in 192.0.2.10/24)",
		good: one(vi("VI_1", "eth0", "51", "192.0.2.10/24\n  192.0.2.11 dev dummy0"))},
	{rule: "proxy-untracked",
		bad:  with(one(v1()), "h.cfg", frontend),
		says: "k.conf:1:1: warning: nothing is tracked in vrrp_instance 'VI_1', and frontend 'web' listens on its 192.0.2.10: a machine that is up and does not answer keeps the address (write a track_script that asks the frontend, as curl -fsS -m 1 does)",
		good: with(one(chk()+v1(tracked)), "h.cfg", frontend)},
	{rule: "script-writable",
		bad:  one(v1("notify_master \"/tmp/master.sh\"")),
		says: "k.conf:7:2: warning: /tmp/master.sh is in /tmp, where everybody may write: who puts another there is run in its place (keep scripts where only root writes, as in /etc/reeve)",
		good: one(v1("notify_master \"/etc/reeve/master.sh\""))},
	{rule: "auth-pass-long",
		bad:  one(v1("authentication {\n  auth_type PASS\n  auth_pass 123456789\n }")),
		says: "k.conf:9:13: warning: only the first 8 bytes of auth_pass are used (keepalived does the same)",
		good: one(v1("authentication {\n  auth_type PASS\n  auth_pass 12345678\n }"))},
}

const frontend = `frontend web
 mode http
 bind 192.0.2.10:80
 timeout client 1s
 default_backend app
backend app
 mode http
 timeout connect 1s
 timeout server 1s
 server one 198.51.100.1:80
`

// TestRules: each rule warns of the smallest files that have its fault, at its line, with its name, and of nothing else; and
// is silent about the smallest that have not.
func TestRules(t *testing.T) {
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			ps := look(t, c.bad, lint.Options{})
			if got, want := named(ps), sorted(append(c.also, c.rule)); !slices.Equal(got, want) {
				t.Errorf("rules %q, want %q:\n%s", got, want, text(ps))
			}
			if i := slices.IndexFunc(ps, func(p source.Problem) bool { return p.Rule == c.rule }); i >= 0 {
				if got := ps[i].Error(); got != c.says {
					t.Errorf("it says\n%s\nand was to say\n%s", got, c.says)
				}
				if ps[i].Severity != source.Warning {
					t.Error("the linter only warns")
				}
			}
			if ps := look(t, c.good, lint.Options{}); !slices.Equal(named(ps), c.alsoOfGood) {
				t.Errorf("the good files:\n%s", text(ps))
			}
			if ps := look(t, c.bad, lint.Options{Ignore: []string{c.rule}}); !slices.Equal(named(ps), sorted(c.also)) {
				t.Errorf("silenced, and yet:\n%s", text(ps))
			}
		})
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func text(ps source.Problems) string {
	out := ""
	for _, p := range ps {
		out += p.Rule + ": " + p.Error() + "\n"
	}
	return out
}

// TestEveryRuleHasItsCase: a rule without a failing and a passing document is not tested, and not documented.
func TestEveryRuleHasItsCase(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)
	seen := map[string]bool{}
	for _, r := range lint.Rules() {
		if seen[r.Name] || !name.MatchString(r.Name) {
			t.Errorf("%q is taken, or no name", r.Name)
		}
		seen[r.Name] = true
		tested := slices.ContainsFunc(machineCases, func(c machineCase) bool { return c.rule == r.Name }) || r.Name == certificateRule
		for _, c := range cases {
			tested = tested || c.rule == r.Name
		}
		if !tested {
			t.Errorf("rule %s has no case", r.Name)
		}
		if r.Says == "" || r.Why == "" || r.Where.String() == "unknown" {
			t.Errorf("rule %s is not described", r.Name)
		}
	}
	for _, c := range cases {
		if !seen[c.rule] {
			t.Errorf("there is no rule %s", c.rule)
		}
	}
}

// TestMembers: nodes that the cluster knows and the Document does not name run it, too.
func TestMembers(t *testing.T) {
	files := with(one(chk("weight -10")+v1(tracked)), "n.hcl", "node \"lb1\" {\n  vrrp_instance \"VI_1\" {\n    priority = 150\n  }\n}\n")
	if ps := look(t, files, lint.Options{}); len(named(ps)) != 0 {
		t.Errorf("one node is known, and yet:\n%s", text(ps))
	}
	ps := look(t, files, lint.Options{Members: []string{"lb1", "lb2", "lb3"}})
	if got := named(ps); !slices.Equal(got, []string{"weight-never-fails-over"}) {
		t.Errorf("three nodes:\n%s", text(ps))
	}
}

// TestThreeNodes: the second can't hand over to the third.
func TestThreeNodes(t *testing.T) {
	files := with(one(chk("weight -20")+v1(tracked)), "n.hcl",
		"node \"a\" {\n  vrrp_instance \"VI_1\" {\n    priority = 150\n  }\n}\nnode \"b\" {\n  vrrp_instance \"VI_1\" {\n    priority = 140\n  }\n}\n"+
			"node \"c\" {\n  vrrp_instance \"VI_1\" {\n    priority = 50\n  }\n}\n")
	ps := look(t, files, lint.Options{})
	if len(ps) != 1 || !strings.Contains(ps[0].Text, "from b to c: 120 is still more than 50") {
		t.Errorf("%s", text(ps))
	}
}

// TestBroken: a Document with errors is not looked over, and what was told stays.
func TestBroken(t *testing.T) {
	doc, _, told := config.Load(one(v1("priority 100", "nopreempt", "priority x")))
	if ps := lint.All(doc, told, lint.Options{}); len(ps) != len(told) || !ps.HasErrors() {
		t.Errorf("%s", text(ps))
	}
}

func TestKnown(t *testing.T) {
	if err := lint.Known([]string{"garp-once", "vrid-twice"}); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{
		"garp-onec": "there is no rule 'garp-onec' (did you mean 'garp-once'?)",
		"xyz":       "there is no rule 'xyz'",
	} {
		if err := lint.Known([]string{"garp-once", name}); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestSilence: an error has no name to silence it by.
func TestSilence(t *testing.T) {
	ps := source.Problems{{Severity: source.Error, Rule: "garp-once"}, {Severity: source.Warning, Rule: "garp-once"}, {Severity: source.Warning}}
	if got := lint.Silence(ps, []string{"garp-once", ""}); len(got) != 2 || got[0].Severity != source.Error {
		t.Errorf("%v", got)
	}
}

// TestProcessChecks: the ways people ask whether a program runs, and what only looks like it.
func TestProcessChecks(t *testing.T) {
	for script, want := range map[string]string{
		`"killall -0 haproxy"`:                           "haproxy",
		`"/usr/bin/killall -0 haproxy"`:                  "haproxy",
		`"killall -q -s 0 nginx"`:                        "nginx",
		`"pkill -0 nginx"`:                               "nginx",
		`"pidof haproxy"`:                                "haproxy",
		`"/usr/bin/pgrep -x reeve"`:                      "reeve",
		`"pgrep -f haproxy.*cfg"`:                        "NAME",
		`"kill -0 $(cat /run/haproxy.pid)"`:              "NAME",
		`"/bin/sh -c 'killall -0 haproxy'"`:              "haproxy",
		`"pidof nginx >/dev/null 2>&1 || exit 1"`:        "nginx",
		`"if ! killall -0 haproxy; then exit 1; fi"`:     "haproxy",
		`"killall haproxy"`:                              "",
		`"pkill -HUP haproxy"`:                           "",
		`"/usr/local/bin/check-pidof"`:                   "",
		`"curl -fsS http://127.0.0.1/pgrep"`:             "",
		`"echo killall -0 haproxy | nc 127.0.0.1 9999"`:  "",
		`"/usr/bin/test -e /run/maintenance/killall -0"`: "",
	} {
		ps := look(t, one("vrrp_script chk {\n script "+script+"\n interval 2\n}\n"+v1(tracked)), lint.Options{})
		switch {
		case want == "" && len(named(ps)) > 0:
			t.Errorf("%s: %s", script, text(ps))
		case want != "" && (len(named(ps)) != 1 || !strings.Contains(text(ps), "process "+want+" }")):
			t.Errorf("%s: no process %s in\n%s", script, want, text(ps))
		}
	}
}
