package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/vrrp"
)

func optBool(t *rapid.T, label string) *bool {
	return maybe(t, label, func() *bool { return new(rapid.Bool().Draw(t, label)) })
}

func addr6(t *rapid.T, label string) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("%s%x:%x", rapid.SampledFrom([]string{"fe80::", "2001:db8::"}).Draw(t, label), num(t, label+" c", 1, 65535), num(t, label+" d", 1, 65535)))
}

func addr(t *rapid.T, label string, six bool) netip.Addr {
	if six {
		return addr6(t, label)
	}
	return addr4(t, label)
}

func micros(t *rapid.T, label string, hi int) time.Duration {
	return time.Duration(num(t, label, 0, hi)) * time.Microsecond
}

func genUser(t *rapid.T, label string) string {
	return maybe(t, label, func() string {
		return genHost.Draw(t, "u") + maybe(t, "group?", func() string { return ":" + genHost.Draw(t, "g") })
	})
}

// genCommand is a command as readers make it: without an argv there is no user either.
func genCommand(t *rapid.T, label string) vrrp.Command {
	return vrrp.Command{Argv: genArgv(t, label), User: genUser(t, label+" user")}
}

func genFIFO(t *rapid.T, label string) vrrp.FIFO {
	f := vrrp.FIFO{Script: genCommand(t, label+" script")}
	if f.Path = maybe(t, label, func() string { return str(t, label) }); f.Path != "" {
		f.User = genUser(t, label+" user")
	}
	return f
}

func genVRRPGlobal(t *rapid.T) vrrp.Global {
	g := defaultVRRPGlobal()
	g.RouterID = maybe(t, "router", func() string { return str(t, "router") })
	g.Version = num(t, "version", 2, 3)
	g.SkipCheckAdvAddr, g.Strict, g.CheckUnicastSrc = rapid.Bool().Draw(t, "skip"), rapid.Bool().Draw(t, "strict"), rapid.Bool().Draw(t, "check")
	g.GarpMasterDelay, g.GarpMasterRepeat = seconds(t, "delay", 0, 100), num(t, "repeat", 1, 255)
	g.GarpInterval, g.GnaInterval = micros(t, "interval", 4_294_000_000), micros(t, "gna", 4_294_000_000)
	g.GarpLowerPrioDelay = maybe(t, "lower", func() *time.Duration { return new(seconds(t, "lower delay", 0, 9)) })
	g.GarpLowerPrioRepeat = maybe(t, "lower rep", func() *int { return new(num(t, "lower repeat", 0, 9)) })
	g.GarpExtraIf, g.GarpExtraIfAll = genExtra(t)
	g.MinGarp, g.LowerPrioNoAdvert, g.HigherPrioSendAdvert = rapid.Bool().Draw(t, "min"), rapid.Bool().Draw(t, "lna"), rapid.Bool().Draw(t, "hsa")
	g.DownTimerAdverts, g.StartupDelay = num(t, "down", 1, 100), micros(t, "startup", 99_000_000)
	g.NotifyPriorityChanges, g.LogUnknownVRIDs, g.DisableLocalIGMP = rapid.Bool().Draw(t, "npc"), rapid.Bool().Draw(t, "luv"), rapid.Bool().Draw(t, "igmp")
	g.DynamicInterfaces = rapid.Bool().Draw(t, "dynamic")
	g.AllowIfChanges = g.DynamicInterfaces && rapid.Bool().Draw(t, "changes")
	g.DefaultInterface = maybe(t, "default if", func() string { return genIface.Draw(t, "if") })
	g.InterfaceDelays = list(t, "delays", 2, func(int) vrrp.InterfaceDelay {
		return vrrp.InterfaceDelay{Interface: genIface.Draw(t, "if"), Down: micros(t, "down", 255_000_000), Up: micros(t, "up", 255_000_000)}
	})
	g.ScriptUser, g.EnableScriptSecurity = genUser(t, "script user"), rapid.Bool().Draw(t, "security")
	g.Startup, g.Shutdown = genCommand(t, "startup"), genCommand(t, "shutdown")
	g.Startup.Timeout, g.Shutdown.Timeout = seconds(t, "st", 1, 1000), seconds(t, "sh", 1, 1000)
	g.FIFO, g.VRRPFIFO, g.FIFOStatesOnReload = genFIFO(t, "fifo"), genFIFO(t, "vrrp fifo"), rapid.Bool().Draw(t, "states")
	g.Nftables = maybe(t, "nft", func() string { return genHost.Draw(t, "table") })
	g.NftablesPriority = maybe(t, "nft prio", func() *int { return new(num(t, "prio", -300, 300)) })
	g.VMACPrefix, g.InstanceName = maybe(t, "prefix", func() string { return genHost.Draw(t, "p") }), maybe(t, "instance", func() string { return str(t, "i") })
	g.NetNamespace, g.UsePIDDir = maybe(t, "ns", func() string { return genHost.Draw(t, "ns") }), rapid.Bool().Draw(t, "pid dir")
	g.ReloadTimeFile, g.ReloadRepeat = maybe(t, "time file", func() string { return str(t, "file") }), rapid.Bool().Draw(t, "repeat")
	g.ReloadFile = maybe(t, "reload file", func() *string { return new(str(t, "file")) })
	g.Umask = maybe(t, "umask", func() *int { return new(num(t, "mask", 0, 0o777)) })
	g.RandomSeed, g.ReloadCheckConfig = maybe(t, "seed", func() *int { return new(num(t, "s", 0, 99)) }), rapid.Bool().Draw(t, "check config")
	g.Mail = genMail(t, g.Mail)
	g.SNMP = genSNMP(t, g.SNMP)
	g.Webhooks = list(t, "hooks", 2, func(i int) vrrp.Webhook {
		return vrrp.Webhook{Name: fmt.Sprintf("h%d%s", i, genText.Draw(t, "name")), URL: "https://h.example/" + genHost.Draw(t, "path"),
			Secret: maybe(t, "secret", func() string { return str(t, "secret") }), Timeout: seconds(t, "timeout", 1, 300), Retries: num(t, "retries", 0, 100)}
	})
	return g
}

func genMail(t *rapid.T, m vrrp.Mail) vrrp.Mail {
	m.To = list(t, "mail", 3, func(int) string { return str(t, "mail") })
	if m.Server = maybe(t, "smtp", func() string { return "mail.example" }); m.Server != "" {
		m.Port = num(t, "port", 1, 65535)
	}
	m.From, m.HeloName = maybe(t, "from", func() string { return str(t, "from") }), maybe(t, "helo", func() string { return genHost.Draw(t, "helo") })
	m.ConnectTimeout = seconds(t, "connect", 1, 100)
	m.Alert, m.AlertVRRP, m.NoFaults = optBool(t, "alert"), optBool(t, "alert vrrp"), rapid.Bool().Draw(t, "no faults")
	return m
}

func genSNMP(t *rapid.T, s vrrp.SNMP) vrrp.SNMP {
	s.EnableTraps = rapid.Bool().Draw(t, "traps")
	s.TrapSink = maybe(t, "sink", func() string {
		return rapid.SampledFrom([]string{"10.0.0.1", "sink.example:1162", "[::1]:162"}).Draw(t, "s")
	})
	s.Community = str(t, "community")
	if rapid.Bool().Draw(t, "v3") {
		s.Version = "3"
		s.User = vrrp.SNMPUser{Name: genHost.Draw(t, "user"), AuthProtocol: "SHA", AuthPass: "password1", PrivProtocol: "AES", PrivPass: "password2"}
	}
	return s
}

func genExtra(t *rapid.T) (*time.Duration, bool) {
	if !rapid.Bool().Draw(t, "extra") {
		return nil, false
	}
	return new(seconds(t, "extra time", 0, 86400)), rapid.Bool().Draw(t, "all")
}

func genArgv(t *rapid.T, label string) []string {
	return maybe(t, label, func() []string {
		return append([]string{"/bin/" + genHost.Draw(t, label)}, list(t, label, 2, func(int) string { return str(t, label) })...)
	})
}

func genVRRP(t *rapid.T, c *vrrp.Config) {
	c.Scripts = list(t, "scripts", 2, func(i int) vrrp.Script { return genScript(t, i) })
	c.Processes = list(t, "processes", 2, func(i int) vrrp.Process { return genProcess(t, i) })
	c.Files = list(t, "files", 2, func(i int) vrrp.File { return genFile(t, i) })
	c.Instances = list(t, "instances", 2, func(i int) vrrp.Instance { return genInstance(t, i, c) })
	names := each(c.Instances, func(in vrrp.Instance) string { return in.Name })
	if len(names) > 0 {
		c.TrackGroups = list(t, "track groups", 2, func(i int) vrrp.TrackGroup {
			return vrrp.TrackGroup{Name: fmt.Sprintf("tg%d", i), Members: names}
		})
		c.SyncGroups = list(t, "groups", 1, func(i int) vrrp.SyncGroup { return genSyncGroup(t, i, names, c) })
	}
	c.GarpGroups = list(t, "garp groups", 2, func(int) vrrp.GarpGroup {
		return vrrp.GarpGroup{GarpInterval: micros(t, "garp", 9_000_000) + 1000, GnaInterval: micros(t, "gna", 9_000_000),
			Interfaces: list(t, "ifs", 3, func(int) string { return genIface.Draw(t, "if") })}
	})
	group := func() string {
		if len(c.TrackGroups) == 0 {
			return ""
		}
		return maybe(t, "tg", func() string { return c.TrackGroups[0].Name })
	}
	c.Static.Addresses = list(t, "static", 2, func(int) vrrp.Address {
		a := genAddress(t, rapid.Bool().Draw(t, "six"))
		a.NoTrack, a.UseVMAC, a.TrackGroup = false, false, group()
		return a
	})
	c.Static.Routes = list(t, "static routes", 1, func(int) vrrp.Route { return genRoute(t) })
	c.Static.Rules = list(t, "static rules", 1, func(int) vrrp.Rule { return genRule(t) })
}

func genScript(t *rapid.T, i int) vrrp.Script {
	s := vrrp.Script{Name: fmt.Sprintf("chk%d%s", i, genText.Draw(t, "name")), Interval: seconds(t, "interval", 1, 100), Timeout: seconds(t, "timeout", 1, 100),
		Weight: num(t, "weight", -253, 253), Reverse: rapid.Bool().Draw(t, "reverse"), Rise: num(t, "rise", 1, 9), Fall: num(t, "fall", 1, 9),
		User: genUser(t, "user"), InitFail: rapid.Bool().Draw(t, "init")}
	if s.Command = genArgv(t, "script"); s.Command == nil {
		s.Shell = str(t, "shell")
	}
	return s
}

func genProcess(t *rapid.T, i int) vrrp.Process {
	p := vrrp.Process{Name: fmt.Sprintf("p%d%s", i, genText.Draw(t, "name")), Command: str(t, "process"), Args: list(t, "args", 2, func(int) string { return str(t, "arg") }),
		FullCommand: rapid.Bool().Draw(t, "full"), ParamMatch: rapid.SampledFrom([]string{"", "initial", "partial", "exact"}).Draw(t, "match"),
		Weight: num(t, "weight", -254, 254), Reverse: rapid.Bool().Draw(t, "reverse"), Quorum: num(t, "quorum", 1, 3), QuorumMax: num(t, "max", 3, 9),
		ForkDelay: micros(t, "fork", 9_000_000), TerminateDelay: micros(t, "terminate", 9_000_000)}
	if p.QuorumMax > 6 {
		p.QuorumMax = rapid.SampledFrom([]int{0, -1}).Draw(t, "no max")
	}
	return p
}

func genFile(t *rapid.T, i int) vrrp.File {
	f := vrrp.File{Name: fmt.Sprintf("f%d", i), Path: str(t, "path"), Weight: num(t, "weight", -254, 254), Reverse: rapid.Bool().Draw(t, "reverse")}
	if f.Init = maybe(t, "init", func() *int { return new(num(t, "value", -9, 9)) }); f.Init != nil {
		f.Overwrite = rapid.Bool().Draw(t, "overwrite")
	}
	return f
}

func genTracks(t *rapid.T, label string, most int, names []string) []vrrp.Track {
	if len(names) == 0 {
		return nil
	}
	return list(t, label, 2, func(int) vrrp.Track {
		k := vrrp.Track{Name: rapid.SampledFrom(names).Draw(t, label)}
		if k.Weight = maybe(t, "weight", func() *int { return new(num(t, "w", -most, most)) }); k.Weight != nil {
			k.Reverse = rapid.Bool().Draw(t, "reverse")
			k.NoReverse = !k.Reverse && rapid.Bool().Draw(t, "noreverse")
		}
		return k
	})
}

func allTracks(t *rapid.T, c *vrrp.Config) (scripts, processes, files []vrrp.Track) {
	return genTracks(t, "track scripts", 253, each(c.Scripts, func(s vrrp.Script) string { return s.Name })),
		genTracks(t, "track processes", 254, each(c.Processes, func(p vrrp.Process) string { return p.Name })),
		genTracks(t, "track files", 254, each(c.Files, func(f vrrp.File) string { return f.Name }))
}

func genNotifies(t *rapid.T, instance bool) vrrp.Notifies {
	n := vrrp.Notifies{Master: genCommand(t, "master"), Backup: genCommand(t, "backup"), Fault: genCommand(t, "fault"), Stop: genCommand(t, "stop"), Any: genCommand(t, "notify")}
	if instance {
		n.Deleted, n.MasterRxLower = genCommand(t, "deleted"), genCommand(t, "rx lower")
		n.SayDeleted = len(n.Deleted.Argv) > 0 || rapid.Bool().Draw(t, "say")
	}
	return n
}

func genSyncGroup(t *rapid.T, i int, members []string, c *vrrp.Config) vrrp.SyncGroup {
	g := vrrp.SyncGroup{Name: fmt.Sprintf("g%d%s", i, genText.Draw(t, "name")), Members: members, TrackingWeight: rapid.Bool().Draw(t, "tracking"),
		Notifies: genNotifies(t, false), SMTPAlert: optBool(t, "alert"), PriorityChanges: optBool(t, "changes")}
	g.TrackScripts, g.TrackProcesses, g.TrackFiles = allTracks(t, c)
	g.TrackInterfaces = list(t, "tracks", 2, func(int) vrrp.TrackInterface { return genTrackInterface(t) })
	return g
}

func genAddress(t *rapid.T, six bool) vrrp.Address {
	ip := addr(t, "vip", six)
	a := vrrp.Address{Prefix: netip.PrefixFrom(ip, num(t, "bits", 1, ip.BitLen())), Dev: maybe(t, "dev", func() string { return genIface.Draw(t, "dev") }),
		Scope: rapid.SampledFrom([]string{"", "link", "7"}).Draw(t, "scope"), Label: maybe(t, "label", func() string { return genIface.Draw(t, "l") + ":1" }),
		NoTrack: rapid.Bool().Draw(t, "no track"), UseVMAC: rapid.Bool().Draw(t, "vmac"), NoDAD: rapid.Bool().Draw(t, "nodad"), Home: rapid.Bool().Draw(t, "home")}
	if !six {
		a.Broadcast = rapid.SampledFrom([]string{"", "+", "-", "10.0.0.255"}).Draw(t, "brd")
	}
	a.PreferredLft = maybe(t, "lft", func() *time.Duration {
		return new(rapid.SampledFrom([]time.Duration{-1, 0, time.Hour}).Draw(t, "preferred"))
	})
	if rapid.Bool().Draw(t, "peer") {
		a.Prefix, a.Peer = netip.PrefixFrom(ip, ip.BitLen()), netip.PrefixFrom(addr(t, "peer", six), ip.BitLen())
	}
	return a
}

// read makes routes and rules as readers do: of words.
func read[T any](t *rapid.T, section, line string, of func(vrrp.Config) []T) T {
	d, _, ps := Load([]File{{Name: "line.conf", Content: []byte(section + " {\n" + line + "\n}\n")}})
	if err := ps.Err(); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return of(d.VRRP)[0]
}

func genRoute(t *rapid.T) vrrp.Route {
	return read(t, "static_routes", rapid.SampledFrom([]string{"10.0.0.0/8 via 10.9.9.1 dev eth0", "default via 10.9.9.1 table 5 metric 3", "blackhole 10.0.0.0/8",
		"src 10.9.9.9 to 10.0.0.0/8 gw 10.9.9.1", "10.0.0.0/8 via 10.9.9.1 or 10.9.9.2 dev eth0", "2001:db8::/32 via fe80::1 dev eth0 mtu lock 1400",
		"10.0.0.0/8 nexthop via 10.9.9.1 dev eth0 weight 3 nexthop dev eth1 onlink"}).Draw(t, "route"), func(c vrrp.Config) []vrrp.Route { return c.Static.Routes })
}

func genRule(t *rapid.T) vrrp.Rule {
	return read(t, "static_rules", rapid.SampledFrom([]string{"from 10.0.0.0/8 table 5 preference 3", "to 10.0.0.0/8 lookup main priority 100", "not fwmark 0x5/0xff table 5",
		"iif eth0 oif eth1 table 5 tos 16", "from 2001:db8::/32 blackhole", "from all goto 100 priority 50", "uidrange 1-5 dport 10-20 ipproto tcp table 7"}).Draw(t, "rule"),
		func(c vrrp.Config) []vrrp.Rule { return c.Static.Rules })
}

func genTrackInterface(t *rapid.T) vrrp.TrackInterface {
	return vrrp.TrackInterface{Name: genIface.Draw(t, "if"), Weight: num(t, "weight", -253, 253), Reverse: rapid.Bool().Draw(t, "reverse")}
}

func genPeer(t *rapid.T, six bool) vrrp.Peer {
	return vrrp.Peer{Addr: addr(t, "peer", six), MinTTL: num(t, "min", 0, 100), MaxTTL: num(t, "max", 100, 255)}
}

func genInstance(t *rapid.T, i int, c *vrrp.Config) vrrp.Instance {
	in := defaultInstance(fmt.Sprintf("VI_%d%s", i, genText.Draw(t, "name")))
	six := rapid.Bool().Draw(t, "six")
	in.NativeIPv6 = six
	in.State = rapid.SampledFrom([]string{"", "MASTER", "BACKUP"}).Draw(t, "state")
	in.Interface = genIface.Draw(t, "interface")
	in.VirtualRouterID, in.Priority = i+1, num(t, "priority", 1, 255)
	if in.Version = 2; six || rapid.Bool().Draw(t, "v3") {
		in.Version = 3
		in.AdvertInt = time.Duration(num(t, "advert", 1, 4095)) * 10 * time.Millisecond
	} else {
		in.AdvertInt = seconds(t, "advert", 1, 255)
		if rapid.Bool().Draw(t, "auth") {
			in.AuthType = rapid.SampledFrom([]vrrp.AuthType{vrrp.AuthPass, vrrp.AuthAH}).Draw(t, "type")
			if in.AuthType == vrrp.AuthAH && in.State == "MASTER" {
				in.State = "BACKUP" // which it is taken for
			}
			in.AuthPass = rapid.StringMatching(`[!-~]{1,8}`).Draw(t, "pass")
		}
	}
	in.McastSrcIP = maybe(t, "src", func() netip.Addr { return addr(t, "src", six) })
	in.TrackSrcIP, in.Promote = rapid.Bool().Draw(t, "track src"), rapid.Bool().Draw(t, "promote")
	in.Addresses = list(t, "vips", 3, func(int) vrrp.Address { return genAddress(t, six) })
	in.Excluded = list(t, "excluded", 2, func(int) vrrp.Address { return genAddress(t, rapid.Bool().Draw(t, "other")) })
	in.Routes = list(t, "routes", 1, func(int) vrrp.Route { return genRoute(t) })
	in.Rules = list(t, "rules", 1, func(int) vrrp.Rule { return genRule(t) })
	genReach(t, &in, six)
	in.NoPreempt, in.PreemptDelay = rapid.Bool().Draw(t, "nopreempt"), micros(t, "preempt", 999_000_000)
	in.TrackScripts, in.TrackProcesses, in.TrackFiles = allTracks(t, c)
	in.TrackInterfaces = list(t, "tracks", 2, func(int) vrrp.TrackInterface { return genTrackInterface(t) })
	in.Garp.MasterDelay = maybe(t, "garp", func() *time.Duration { return new(seconds(t, "delay", 0, 9)) })
	in.Garp.RefreshRepeat = maybe(t, "refresh", func() *int { return new(num(t, "repeat", 1, 9)) })
	in.Garp.LowerPrioRepeat = maybe(t, "lower", func() *int { return new(num(t, "repeat", 0, 9)) })
	in.Garp.ExtraIf, in.Garp.ExtraIfAll = genExtra(t)
	in.Notifies = genNotifies(t, true)
	in.PriorityChanges, in.SMTPAlert = optBool(t, "changes"), optBool(t, "alert")
	in.Accept, in.SkipCheckAdv = optBool(t, "accept"), optBool(t, "skip")
	in.LowerNoAdvert, in.HigherSend = optBool(t, "lower no advert"), optBool(t, "higher send")
	in.DownTimer = num(t, "down", 0, 100)
	in.DontTrackPrim, in.Debug = rapid.Bool().Draw(t, "prim"), num(t, "debug", 0, 4)
	in.Election = rapid.SampledFrom([]vrrp.Election{vrrp.ElectionAuto, vrrp.ElectionVRRP, vrrp.ElectionCluster}).Draw(t, "election")
	in.OnQuorumLoss = rapid.SampledFrom([]vrrp.QuorumLoss{vrrp.QuorumLossAuto, vrrp.QuorumLossRelease, vrrp.QuorumLossVRRP}).Draw(t, "loss")
	in.VIPLifetime = rapid.SampledFrom([]time.Duration{2 * time.Second, -1, time.Minute}).Draw(t, "lifetime")
	return in
}

// genReach is how adverts get to the others: by multicast, by unicast (which strict mode refuses), over a virtual interface.
func genReach(t *rapid.T, in *vrrp.Instance, six bool) {
	in.StrictMode = new(false)
	if rapid.Bool().Draw(t, "unicast") {
		in.Unicast = vrrp.Unicast{Peers: list(t, "peers", 2, func(int) vrrp.Peer { return genPeer(t, six) }), TTL: num(t, "ttl", 0, 255),
			FaultNoPeer: rapid.Bool().Draw(t, "fault"), CheckSrc: new(rapid.Bool().Draw(t, "check")), OldChecksum: optBool(t, "old")}
	} else if !six {
		in.McastDstIP = maybe(t, "dst", func() netip.Addr { return netip.MustParseAddr("224.0.0.99") })
	}
	in.VMAC = vrrp.VMAC{XmitBase: rapid.Bool().Draw(t, "xmit"), Addr: rapid.Bool().Draw(t, "addr")}
	switch num(t, "virtual", 0, 2) {
	case 1:
		in.VMAC.Use = true
		in.VMAC.XmitBase = in.VMAC.XmitBase || len(in.Unicast.Peers) > 0
		in.VMAC.MAC = maybe(t, "mac", func() string { return strings.ToLower("02:00:00:00:00:0" + fmt.Sprint(num(t, "byte", 0, 9))) })
	case 2:
		in.VMAC.IPVlan = true
		in.VMAC.IPVlanIP = maybe(t, "ip", func() netip.Prefix { return netip.PrefixFrom(addr4(t, "ip"), 24) })
		in.VMAC.IPVlanMode = rapid.SampledFrom([]string{"", "bridge", "vepa"}).Draw(t, "mode")
	}
	if in.VMAC.Use || in.VMAC.IPVlan {
		in.VMAC.Name = maybe(t, "vmac name", func() string { return genIface.Draw(t, "v") })
	}
	slices.SortFunc(in.Unicast.Peers, func(a, b vrrp.Peer) int { return a.Addr.Compare(b.Addr) })
}
