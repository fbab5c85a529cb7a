package config

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// conf reads a keepalived.conf that has no errors.
func conf(t *testing.T, content string) vrrp.Config {
	t.Helper()
	d, ps := parseText(t, "k.conf", content)
	if err := ps.Err(); err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	return d.VRRP
}

// settings of an instance with one more line in it.
func in(t *testing.T, lines string) vrrp.Instance {
	t.Helper()
	return conf(t, vi("V", "eth0", 5, "10.0.0.1/24", lines)).Instances[0]
}

// check compares a value with what is wanted.
func check1(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func TestInstanceWords(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		lines string
		got   func(vrrp.Instance) any
		want  any
	}{
		{"version 3\nadvert_int 0.2", func(i vrrp.Instance) any { return i.AdvertInt }, 200 * time.Millisecond},
		{"version 3", func(i vrrp.Instance) any { return i.Version }, 3},
		{"", func(i vrrp.Instance) any { return i.Version }, 2},
		{"unicast_src_ip 10.0.0.2", func(i vrrp.Instance) any { return i.McastSrcIP }, netip.MustParseAddr("10.0.0.2")},
		{"unicast_peer {\n10.0.0.3\n}", func(i vrrp.Instance) any { return i.Unicast.Peers[0].MaxTTL }, 255},
		{"unicast_peer {\n10.0.0.3\n}", func(i vrrp.Instance) any { return i.Unicast.CheckSrc }, (*bool)(nil)},
		{"unicast_peer {\n10.0.0.3 min_ttl 250\n}", func(i vrrp.Instance) any { return i.Unicast.CheckSrc }, &yes},
		{"old_unicast_checksum", func(i vrrp.Instance) any { return i.Unicast.OldChecksum }, &yes},
		{"old_unicast_checksum never", func(i vrrp.Instance) any { return i.Unicast.OldChecksum }, &no},
		{"use_vmac", func(i vrrp.Instance) any { return i.VMAC }, vrrp.VMAC{Use: true}},
		{"use_vmac v5 02:00:00:00:00", func(i vrrp.Instance) any { return i.VMAC }, vrrp.VMAC{Use: true, Name: "v5", MAC: "02:00:00:00:00:05"}},
		{"use_ipvlan iv 10.0.0.7/24 bridge", func(i vrrp.Instance) any { return i.VMAC },
			vrrp.VMAC{IPVlan: true, Name: "iv", IPVlanIP: netip.MustParsePrefix("10.0.0.7/24"), IPVlanMode: "bridge"}},
		{"accept", func(i vrrp.Instance) any { return i.Accept }, &yes},
		{"no_accept", func(i vrrp.Instance) any { return i.Accept }, &no},
		{"nopreempt\npreempt", func(i vrrp.Instance) any { return i.NoPreempt }, false},
		{"strict_mode off", func(i vrrp.Instance) any { return i.StrictMode }, &no},
		{"preempt_delay 4.12", func(i vrrp.Instance) any { return i.PreemptDelay }, 4120 * time.Millisecond},
		{"garp_extra_if all 100", func(i vrrp.Instance) any { return []any{*i.Garp.ExtraIf, i.Garp.ExtraIfAll} }, []any{100 * time.Second, true}},
		{"vmac_garp_intvl 10", func(i vrrp.Instance) any { return *i.Garp.ExtraIf }, 10 * time.Second},
		{"garp_lower_prio_repeat 0", func(i vrrp.Instance) any { return *i.Garp.LowerPrioRepeat }, 0},
		{"notify_deleted", func(i vrrp.Instance) any { return []any{i.Notifies.SayDeleted, len(i.Notifies.Deleted.Argv)} }, []any{true, 0}},
		{"notify_master \"/n a b\" root wheel", func(i vrrp.Instance) any { return []any{i.Notifies.Master.Argv, i.Notifies.Master.User} },
			[]any{[]string{"/n", "a", "b"}, "root:wheel"}},
		{"notify_master_rx_lower_pri /n", func(i vrrp.Instance) any { return i.Notifies.MasterRxLower.Argv }, []string{"/n"}},
		{"debug", func(i vrrp.Instance) any { return i.Debug }, 0},
		{"smtp_alert", func(i vrrp.Instance) any { return i.SMTPAlert }, &yes},
		{"virtual_ipaddress_excluded {\n2001:db8::1/64 -nodad preferred_lft 0 no_track\n}", func(i vrrp.Instance) any {
			return i.Excluded[0].NoDAD && i.Excluded[0].NoTrack && *i.Excluded[0].PreferredLft == 0
		}, true},
		{"virtual_ipaddress_excluded {\n10.0.0.3 peer 10.0.0.4/24\n}", func(i vrrp.Instance) any { return i.Excluded[0].Peer.String() }, "10.0.0.4/24"},
		{"virtual_routes {\n10.2.0.0/16 via 10.0.0.9 dev eth0 table 5 metric 7 src 10.0.0.1\n}", func(i vrrp.Instance) any {
			r := i.Routes[0]
			return []any{r.Dst.String(), r.Via.String(), r.Dev, r.Table, r.Metric, r.Src.String(), len(r.Words)}
		}, []any{"10.2.0.0/16", "10.0.0.9", "eth0", "5", 7, "10.0.0.1", 11}},
		{"virtual_routes {\ndefault nexthop via 10.0.0.8 dev eth0 weight 2 nexthop via 10.0.0.9 dev eth0\n}", func(i vrrp.Instance) any {
			return []int{len(i.Routes[0].Hops), i.Routes[0].Hops[0].Weight, i.Routes[0].Hops[1].Weight, i.Routes[0].Dst.Bits()}
		}, []int{2, 2, 1, 0}},
		{"virtual_routes {\nblackhole 2001:db8::/32 dev lo\n}", func(i vrrp.Instance) any { return []any{i.Routes[0].Type, i.Routes[0].IPv6} }, []any{"blackhole", true}},
		{"virtual_rules {\nfrom 10.0.0.1 fwmark 0x10/0xff table 5 preference 9\n}", func(i vrrp.Instance) any {
			r := i.Rules[0]
			return []any{r.From.String(), r.Fwmark, r.FwmarkMask, r.Table, r.Priority}
		}, []any{"10.0.0.1/32", uint32(16), uint32(255), "5", 9}},
	} {
		check1(t, c.lines, c.got(in(t, c.lines)), c.want)
	}
}

func TestIPv6MakesVersion3(t *testing.T) {
	c := conf(t, "global_defs {\nvrrp_version 2\n}\n"+vi("V", "eth0", 5, "fe80::5/64\n2001:db8::5/64", "advert_int 0.5"))
	if i := c.Instances[0]; i.Version != 3 || !i.IPv6() || len(i.Addresses) != 2 {
		t.Errorf("%+v", i)
	}
	c = conf(t, vi("V", "eth0", 5, "10.0.0.1", "advert_int 0.5")+"global_defs {\nvrrp_version 3\n}\n") // wherever it stands
	if c.Instances[0].Version != 3 {
		t.Errorf("vrrp_version 3 did not reach the instance")
	}
}

func TestTrackersAndGroups(t *testing.T) {
	c := conf(t, `vrrp_script s {
 script "</dev/tcp/127.0.0.1/80"
 interval 2
 weight -10 reverse
}
vrrp_track_process p {
 process "/usr/sbin/haproxy" -f "a b"
 quorum_max 0
 delay 1.5
}
vrrp_track_file f {
 file "/tmp/f"
 weight 3 reverse
 init_file 5 overwrite
}
vrrp_rsync_group G {
 group {
  V W
 }
 track_process {
  p weight 254
 }
 track_file {
  f weight -1 noreverse
 }
 notify_stop "/n stop"
 sync_group_tracking_weight
}
`+vi("V", "eth0", 5, "10.0.0.1", "track_script {\ns weight 254\n}")+vi("W", "eth1", 6, "10.0.1.1", ""))
	s, p, f, g := c.Scripts[0], c.Processes[0], c.Files[0], c.SyncGroups[0]
	check1(t, "script", []any{s.Shell, s.Weight, s.Reverse, s.Timeout}, []any{"</dev/tcp/127.0.0.1/80", -10, true, 2 * time.Second})
	check1(t, "process", []any{p.Command, p.Args, p.QuorumMax, p.ForkDelay, p.TerminateDelay, p.Weight},
		[]any{"/usr/sbin/haproxy", []string{"-f", "a b"}, -1, 1500 * time.Millisecond, 1500 * time.Millisecond, 0})
	check1(t, "file", []any{f.Path, f.Weight, f.Reverse, *f.Init, f.Overwrite}, []any{"/tmp/f", 3, true, 5, true})
	check1(t, "group", []any{g.Members, g.TrackingWeight, g.Notifies.Stop.Argv, *g.TrackProcesses[0].Weight, g.TrackFiles[0].NoReverse},
		[]any{[]string{"V", "W"}, true, []string{"/n", "stop"}, 254, true})
	check1(t, "254 is taken for 253", *c.Instances[0].TrackScripts[0].Weight, 253)
}

func TestGlobalWords(t *testing.T) {
	g := conf(t, `net_namespace blue
instance one
use_pid_dir
global_defs {
 notification_email {
  a@b c@d
 }
 smtp_server 127.0.0.1 2525
 vrrp_garp_extra_if all 60
 dynamic_interfaces allow_if_changes
 startup_script "/bin/up now" nobody
 startup_script_timeout 3
 notify_fifo /run/f root adm
 notify_fifo_script "/bin/read x"
 vrrp_iptables in out
 vrrp_garp_interval 0
 vrrp_mcast_group6 ff02::99
 umask IWGRP|IWOTH
 reload_file
 nftables
 nftables_priority -5
 vrrp_startup_delay 5.5
 enable_traps
}
interface_up_down_delays {
 eth0 1
 eth1 0.5 2
}
static_ipaddress {
 10.3.0.1/24 dev eth0 track_group T
}
track_group T {
 group {
  V
 }
}
garp_group {
 garp_interval 0.01
 interface eth0
}
`+vi("V", "eth0", 5, "10.0.0.1", ""))
	check1(t, "outside of blocks", []any{g.Global.NetNamespace, g.Global.InstanceName, g.Global.UsePIDDir}, []any{"blue", "one", true})
	m := g.Global
	check1(t, "mail", []any{m.Mail.To, m.Mail.Server, m.Mail.Port, m.Mail.ConnectTimeout}, []any{[]string{"a@b", "c@d"}, "127.0.0.1", 2525, 30 * time.Second})
	check1(t, "scripts", []any{m.Startup.Argv, m.Startup.User, m.Startup.Timeout, m.Shutdown.Timeout}, []any{[]string{"/bin/up", "now"}, "nobody", 3 * time.Second, 10 * time.Second})
	check1(t, "fifo", []any{m.FIFO.Path, m.FIFO.User, m.FIFO.Script.Argv}, []any{"/run/f", "root:adm", []string{"/bin/read", "x"}})
	check1(t, "others", []any{*m.GarpExtraIf, m.GarpExtraIfAll, m.AllowIfChanges, *m.Umask, *m.ReloadFile, m.Nftables, *m.NftablesPriority, m.StartupDelay, m.McastGroup6.String(), m.SNMP.EnableTraps},
		[]any{time.Minute, true, true, 0o22, "", "keepalived", -5, 5500 * time.Millisecond, "ff02::99", true})
	check1(t, "delays", []any{m.InterfaceDelays[0].Up, m.InterfaceDelays[1].Down, m.InterfaceDelays[1].Up}, []any{time.Second, time.Second / 2, 2 * time.Second})
	check1(t, "static", []any{g.Static.Addresses[0].TrackGroup, g.TrackGroups[0].Members, g.GarpGroups[0].Interfaces}, []any{"T", []string{"V"}, []string{"eth0"}})
}

func TestAlertsInHCL(t *testing.T) {
	d, ps := parseText(t, "a.hcl", `snmp {
  trap_sink = "10.0.0.9:1162"
  version   = "3"
  user {
    name          = "reeve"
    auth_protocol = "SHA"
    auth_pass     = "password1"
  }
}
webhook "ops" {
  url    = "https://ops.example/hook"
  secret = "s"
}
`)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	g := d.VRRP.Global
	check1(t, "snmp", []any{g.SNMP.TrapSink, g.SNMP.Version, g.SNMP.User.Name}, []any{"10.0.0.9:1162", "3", "reeve"})
	check1(t, "webhook", []any{g.Webhooks[0].Name, g.Webhooks[0].Timeout, g.Webhooks[0].Retries}, []any{"ops", 5 * time.Second, 3})
	for _, c := range Diff(emptyDocument(), d) {
		if strings.Contains(c.String(), "password1") || strings.Contains(c.New, "secret s") {
			t.Errorf("a secret is shown: %s", c)
		}
	}
}

// TestTakenFor: words that keepalived itself refuses are understood, and say what for.
func TestTakenFor(t *testing.T) {
	for text, want := range map[string]string{
		vi("V", "eth0", 5, "10.0.0.1", "debug"):                                         "taken for 'debug 0'",
		"vrrp_rsync_group G {\ngroup {\nV\n}\n}\n" + vi("V", "eth0", 5, "10.0.0.1", ""): "taken for 'vrrp_sync_group'",
		"global_defs {\nvrrp_garp_interval 0\n}\n":                                      "taken for no pause",
		"global_defs {\nvrrp_iptables\n}\n":                                             "taken for 'nftables'",
		"global_defs {\nsmtp_server 127.0.0.1 smtp\n}\n":                                "taken for 25",
		"global_defs {\nsmtp_server 1.2.3.4:25\n}\n":                                    "taken for the port 25",
		"global_defs {\nsmtp_server -x-/\n}\n":                                          "taken for none",
	} {
		_, ps := parseText(t, "k.conf", text)
		if ps.HasErrors() {
			t.Errorf("%s\n%v", text, ps.Err())
		}
		i := slices.IndexFunc(ps, func(p source.Problem) bool { return strings.Contains(p.Text, want) })
		if i < 0 || ps[i].Kind() != source.ClassSilent {
			t.Errorf("%s\n%v: want %q, of no consequence for -t", text, ps, want)
		}
	}
}

// TestTolerant: what keepalived runs with, the personality runs with too, with what keepalived takes instead.
func TestTolerant(t *testing.T) {
	text := vi("V", "eth0", 5, "10.0.0.1", `priority 256
advert_int 1.5
state FOO
frobnicate
garp_master_repeat 0
authentication {
 auth_type PASS
}
track_script {
 nosuch
}
virtual_ipaddress_excluded {
 10.0.0.2/24 frob
 10.1.1.300/32
}`) + vi("V", "eth1", 6, "10.0.0.9", "") + "vrrp_sync_group G {\ngroup {\nV W\n}\n}\n"
	d, _, ps := Load([]File{{Name: "k.conf", Content: []byte(text)}}, Options{Tolerant: true, VRRPOnly: true})
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	if len(d.VRRP.Instances) != 1 || len(ps) < 9 {
		t.Fatalf("%d instances, %d problems: %v", len(d.VRRP.Instances), len(ps), ps)
	}
	i := d.VRRP.Instances[0]
	check1(t, "instance", []any{i.Priority, i.AdvertInt, i.State, i.AuthType, len(i.TrackScripts), len(i.Excluded), *i.Garp.MasterRepeat},
		[]any{100, 2 * time.Second, "", vrrp.AuthNone, 0, 1, 1})
	check1(t, "group", d.VRRP.SyncGroups[0].Members, []string{"V"})
	if ps := Validate(d); ps.HasErrors() {
		t.Errorf("what is left is not whole: %v", ps)
	}
	_, _, ps = Load([]File{{Name: "k.conf", Content: []byte("vrrp_instance V {\ninterface eth0\n}\n")}}, Options{Tolerant: true})
	if !ps.HasErrors() {
		t.Error("an instance without a VRID: keepalived does not start with it")
	}
}

func TestVirtualServersArePassedOver(t *testing.T) {
	text := "virtual_server 10.0.0.1 80 {\nlb_algo rr\nreal_server 10.0.0.2 80 {\nTCP_CHECK {\nnb_get_retry 3\n}\n}\n}\n" + vi("V", "eth0", 5, "10.0.0.1", "")
	d, _, ps := Load([]File{{Name: "k.conf", Content: []byte(text)}}, Options{VRRPOnly: true})
	if len(ps) > 0 || len(d.VRRP.Instances) != 1 {
		t.Errorf("%v", ps)
	}
	_, ps = parseText(t, "k.conf", text)
	if len(ps) != 1 || !strings.Contains(ps[0].Text, "'virtual_server' is not supported yet") || ps[0].Kind() != source.ClassFatal {
		t.Errorf("%v", ps)
	}
}

func TestStrictModeTakesAway(t *testing.T) {
	d, ps := parseText(t, "k.conf", "global_defs {\nvrrp_strict\n}\n"+vi("V", "eth0", 5, "10.0.0.1",
		"state MASTER\npriority 100\npreempt_delay 5\ndown_timer_adverts 5\nauthentication {\nauth_type PASS\nauth_pass x\n}"))
	if ps.HasErrors() || len(ps) < 4 {
		t.Fatalf("%v", ps)
	}
	i := d.For("x").VRRP.Instances[0]
	check1(t, "strict", []any{i.State, i.AuthType, i.PreemptDelay, i.DownTimer, *i.Accept, *i.LowerNoAdvert}, []any{"BACKUP", vrrp.AuthNone, time.Duration(0), 3, false, true})
	if d.VRRP.Instances[0].AuthType != vrrp.AuthPass {
		t.Error("For changed the Document it was asked for")
	}
}

// TestNodesHaveTheirOwnUnicast: what differs by design between two machines by unicast.
func TestNodesHaveTheirOwnUnicast(t *testing.T) {
	one := vi("V", "eth0", 5, "10.0.0.9", "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}\nnopreempt")
	two := vi("V", "eth0", 5, "10.0.0.9", "unicast_src_ip 10.0.0.2\nunicast_peer {\n10.0.0.1\n}")
	d, _, ps := Load([]File{{Name: "a.conf", Node: "a", Content: []byte(one)}, {Name: "b.conf", Node: "b", Content: []byte(two)}})
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	for node, text := range map[string]string{"a": one, "b": two} {
		own, more := parseText(t, "own.conf", text)
		if more.HasErrors() {
			t.Fatal(more)
		}
		wantEqual(t, d.For(node), own.For(node))
	}
	again, ps := parseText(t, "w.hcl", string(WriteHCL(d)))
	if ps.HasErrors() {
		t.Fatal(ps)
	}
	wantEqual(t, again, d)
}

// TestDiffSeesEveryField: no setting of VRRP changes without a Change that names it.
func TestDiffSeesEveryField(t *testing.T) {
	for _, list := range []struct {
		name string
		add  func(*vrrp.Config) reflect.Value
	}{
		{"Global", func(c *vrrp.Config) reflect.Value { return reflect.ValueOf(&c.Global).Elem() }},
		{"Instance", func(c *vrrp.Config) reflect.Value {
			c.Instances = append(c.Instances, vrrp.Instance{Name: "x"})
			return reflect.ValueOf(&c.Instances[0]).Elem()
		}},
		{"SyncGroup", func(c *vrrp.Config) reflect.Value {
			c.SyncGroups = append(c.SyncGroups, vrrp.SyncGroup{Name: "x"})
			return reflect.ValueOf(&c.SyncGroups[0]).Elem()
		}},
		{"Script", func(c *vrrp.Config) reflect.Value {
			c.Scripts = append(c.Scripts, vrrp.Script{Name: "x"})
			return reflect.ValueOf(&c.Scripts[0]).Elem()
		}},
		{"Process", func(c *vrrp.Config) reflect.Value {
			c.Processes = append(c.Processes, vrrp.Process{Name: "x"})
			return reflect.ValueOf(&c.Processes[0]).Elem()
		}},
		{"File", func(c *vrrp.Config) reflect.Value {
			c.Files = append(c.Files, vrrp.File{Name: "x"})
			return reflect.ValueOf(&c.Files[0]).Elem()
		}},
	} {
		var a Document
		list.add(&a.VRRP)
		n := leaves(list.add(new(vrrp.Config)), func(reflect.Value) {})
		for i := range n {
			var b Document
			at, path := 0, ""
			leaves(list.add(&b.VRRP), func(v reflect.Value) {
				if at == i {
					path = v.Type().String()
					change(v)
				}
				at++
			})
			if len(Diff(a, b)) == 0 {
				t.Errorf("%s: change %d (a %s) is not seen", list.name, i, path)
			}
		}
		if n < 5 {
			t.Errorf("%s: %d settings only", list.name, n)
		}
	}
}

// leaves calls f with each setting of a struct and counts them.
func leaves(v reflect.Value, f func(reflect.Value)) int {
	n := 0
	for i := range v.NumField() {
		switch field := v.Field(i); {
		case field.Type() == posType:
		case v.Type() == reflect.TypeFor[vrrp.Command]() && v.Type().Field(i).Name == "Timeout": // of startup and shutdown scripts alone
		case field.Kind() == reflect.Struct && !isLeaf(field.Type()):
			n += leaves(field, f)
		default:
			f(field)
			n++
		}
	}
	return n
}

func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[netip.Addr]() {
			v.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.1")))
		} else {
			v.Set(reflect.ValueOf(netip.MustParsePrefix("192.0.2.0/24")))
		}
	default:
		if v.CanUint() {
			v.SetUint(v.Uint() + 1)
		} else {
			v.SetInt(v.Int() + 1)
		}
	}
}

func TestSurplusAddressesAreExcluded(t *testing.T) {
	var lines []string
	for i := range 300 {
		lines = append(lines, netip.AddrFrom4([4]byte{10, 0, byte(i / 200), byte(1 + i%200)}).String())
	}
	d, ps := parseText(t, "k.conf", vi("V", "eth0", 5, strings.Join(lines, "\n"), ""))
	if len(ps) != 1 || ps[0].Pos.Line != 5+255 {
		t.Errorf("%v", ps)
	}
	i := d.VRRP.Instances[0]
	check1(t, "listed, carried", []int{len(i.Addresses), len(i.Excluded)}, []int{255, 45})
	check1(t, "the first that is not listed", i.Excluded[0].Prefix.Addr().String(), lines[255])
}

// TestAuthTypeAH: a word of keepalived.conf and of HCL, with a warning that is no mistake to -t.
func TestAuthTypeAH(t *testing.T) {
	auth := "authentication {\nauth_type AH\nauth_pass secret\n}\n"
	hcl := `vrrp_instance "V" {
  interface         = "eth0"
  virtual_router_id = 5
  virtual_ipaddress = ["10.0.0.1/24"]
  authentication {
    auth_type = "AH"
    auth_pass = "secret"
  }
}
`
	for _, tc := range []struct {
		name, file, text string
		auth             vrrp.AuthType
		state            string
		words            string
		class            source.Class
	}{
		{"keepalived.conf", "k.conf", vi("V", "eth0", 5, "10.0.0.1/24", auth), vrrp.AuthAH, "", "auth_type AH is deprecated (RFC 3768)", source.ClassSilent},
		{"HCL", "k.hcl", hcl, vrrp.AuthAH, "", "auth_type AH is deprecated (RFC 3768)", source.ClassSilent},
		{"MASTER", "k.conf", vi("V", "eth0", 5, "10.0.0.1/24", "priority 100\nstate MASTER\n"+auth), vrrp.AuthAH, "BACKUP", "'state MASTER' is taken for BACKUP", source.ClassTolerated},
		{"owner", "k.conf", vi("V", "eth0", 5, "10.0.0.1/24", "priority 255\nstate MASTER\n"+auth), vrrp.AuthAH, "MASTER", "deprecated", source.ClassSilent},
		{"IPv6", "k.conf", vi("V", "eth0", 5, "fe80::1/64", auth), vrrp.AuthNone, "", "VRRP version 3 has no authentication", source.ClassTolerated},
		{"version 3", "k.conf", vi("V", "eth0", 5, "10.0.0.1/24", "version 3\n"+auth), vrrp.AuthNone, "", "VRRP version 3 has no authentication", source.ClassTolerated},
		{"no password", "k.conf", vi("V", "eth0", 5, "10.0.0.1/24", "authentication {\nauth_type AH\n}\n"), vrrp.AuthAH, "", "has auth_type AH and no auth_pass", source.ClassTolerated},
		{"HMAC", "k.conf", vi("V", "eth0", 5, "10.0.0.1/24", "authentication {\nauth_type HMAC\n}\n"), vrrp.AuthNone, "", "'auth_type HMAC' is not supported yet", source.ClassFatal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, ps := parseText(t, tc.file, tc.text)
			i := d.VRRP.Instances[0]
			check1(t, "instance", []any{i.AuthType, i.State}, []any{tc.auth, tc.state})
			if !slices.ContainsFunc(ps, func(p source.Problem) bool { return strings.Contains(p.Text, tc.words) && p.Kind() == tc.class }) {
				t.Errorf("not said as %s: %s, but %v", tc.class, tc.words, ps)
			}
		})
	}
}
