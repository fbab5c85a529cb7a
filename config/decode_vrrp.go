package config

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

func defaultVRRPGlobal() vrrp.Global {
	g := vrrp.Global{Version: 2, McastGroup4: netip.AddrFrom4([4]byte{224, 0, 0, 18}), McastGroup6: netip.MustParseAddr("ff02::12"),
		GarpMasterDelay: 5 * time.Second, GarpMasterRepeat: 5, GarpMasterRefreshRept: 1, DownTimerAdverts: 3}
	g.Startup.Timeout, g.Shutdown.Timeout = 10*time.Second, 10*time.Second
	g.Mail.Port, g.Mail.ConnectTimeout = 25, 30*time.Second
	g.SNMP.Version, g.SNMP.Community = "2c", "public"
	return g
}

// section reads a section of keepalived.conf, whatever its spelling; it reports whether n is one.
func (d *decoder) section(n tree.Node) bool {
	c := &d.doc.VRRP
	switch n.Def.Name {
	case "global_defs":
		d.globalDefs(n.Pos, n.Kids)
	case "net_namespace", "net_namespace_ipvs", "namespace_with_ipsets", "instance", "use_pid_dir", "child_wait_time", "linkbeat_use_polling":
		d.globalDefs(n.Pos, []tree.Node{n})
	case "linkbeat_interfaces":
		d.noEffect(n)
	case "static_ipaddress":
		c.Static.Addresses = append(c.Static.Addresses, d.addresses(n, true)...)
	case "static_routes":
		c.Static.Routes = append(c.Static.Routes, d.routes(n, true)...)
	case "static_rules":
		c.Static.Rules = append(c.Static.Rules, d.rules(n, true)...)
	case "interface_up_down_delays":
		d.interfaceDelays(n)
	case "track_group":
		c.TrackGroups = append(c.TrackGroups, d.trackGroup(n))
	case "vrrp_script":
		d.script(n)
	case "vrrp_track_process":
		d.process(n)
	case "track_file":
		d.trackFile(n)
	case "vrrp_sync_group":
		d.syncGroup(n)
	case "garp_group":
		d.garpGroup(n)
	case "vrrp_instance":
		d.instance(n)
	case "snmp":
		d.snmp(n)
	case "webhook":
		d.webhook(n)
	default:
		return false
	}
	return true
}

func (d *decoder) globalDefs(at source.Pos, kids []tree.Node) {
	g := &d.doc.VRRP.Global
	if g.Pos.IsZero() {
		g.Pos = at
	}
	for _, k := range kids {
		d.noEffect(k)
		if k.Def.Status == words.Accepted && k.Def.Field == "" {
			continue
		}
		switch k.Def.Type {
		case words.Script:
			d.script1(command(g, k.Def.Field), k)
		case words.Line:
			d.globalLine(g, k)
		default:
			d.globalWord(g, k)
		}
	}
}

// globalWord reads a word with one value.
func (d *decoder) globalWord(g *vrrp.Global, k tree.Node) {
	switch k.Def.Name {
	case "notification_email":
		g.Mail.To = append(g.Mail.To, texts(k.Args)...)
	case "reload_file":
		g.ReloadFile = new(name(k))
	case "nftables":
		if g.Nftables = "keepalived"; len(k.Args) > 0 {
			d.scalar(k, g)
		}
	case "vrrp_mcast_group4":
		d.group(&g.McastGroup4, k, netip.Addr.Is4, "224.0.0.18")
	case "vrrp_mcast_group6":
		d.group(&g.McastGroup6, k, func(a netip.Addr) bool { return a.Is6() && (a.IsLinkLocalMulticast() || !a.IsMulticast()) }, "ff02::12")
	case "vrrp_garp_interval", "vrrp_gna_interval":
		if d.scalar(k, g) && d.dialect == words.Keepalived && len(k.Args) > 0 && strings.Trim(k.Args[0].Text, "0.") == "" {
			d.warnf(k.Args[0].Pos, "leave it out", "'%s 0' is taken for no pause; keepalived refuses it", k.Def.Name)
			d.ps.As(source.ClassSilent)
		}
	default:
		d.scalar(k, g)
	}
}

// group reads a multicast group of one family.
func (d *decoder) group(to *netip.Addr, k tree.Node, fits func(netip.Addr) bool, example string) {
	v, ok := d.value(k)
	if !ok {
		return
	}
	if a := v.(netip.Addr); !a.IsMulticast() || !fits(a) {
		d.errorf(k.Args[0].Pos, example, "%s is no multicast address for '%s'", tree.Quote(a.String()), k.Def.Name)
		return
	}
	*to = v.(netip.Addr)
}

// globalLine reads a word with a grammar of its own.
func (d *decoder) globalLine(g *vrrp.Global, k tree.Node) {
	switch k.Def.Name {
	case "script_user":
		d.user(&g.ScriptUser, k.Def.Name, k.Pos, k.Args)
	case "smtp_server":
		d.smtpServer(&g.Mail, k)
	case "vrrp_garp_extra_if":
		d.garpExtra(&g.GarpExtraIf, &g.GarpExtraIfAll, k)
	case "dynamic_interfaces":
		d.dynamicInterfaces(g, k)
	case "vrrp_iptables":
		d.warnf(k.Pos, "write nftables [TABLE]", "'vrrp_iptables' is taken for 'nftables'; chains of iptables are left alone")
		d.ps.As(source.ClassSilent)
	case "notify_fifo":
		d.fifo(&g.FIFO, k)
	case "vrrp_notify_fifo":
		d.fifo(&g.VRRPFIFO, k)
	case "reload_check_config":
		g.ReloadCheckConfig = name(k) != "false"
	case "umask":
		d.umask(g, k)
	default:
		if strings.HasSuffix(k.Def.Field, ".User") {
			d.user(field(reflect.ValueOf(g).Elem(), k.Def.Field).Addr().Interface().(*string), k.Def.Name, k.Pos, k.Args)
		}
	}
}

func (d *decoder) dynamicInterfaces(g *vrrp.Global, k tree.Node) {
	g.DynamicInterfaces = true
	for _, w := range k.Args {
		switch {
		case w.Text == "allow_if_changes":
			g.AllowIfChanges = true
		case d.dialect == words.HCL && w.Text == "true":
		case d.dialect == words.HCL && w.Text == "false":
			g.DynamicInterfaces = false
		default:
			d.errorf(w.Pos, "allow_if_changes", "unknown option %s of 'dynamic_interfaces'", tree.Quote(w.Text))
		}
	}
}

// garpExtra reads [all] TIME.
func (d *decoder) garpExtra(to **time.Duration, all *bool, k tree.Node) {
	args := k.Args
	if *all = len(args) > 0 && args[0].Text == "all"; *all {
		args = args[1:]
	}
	if len(args) != 1 {
		d.errorf(k.Pos, "[all] TIME", "'%s' needs a time", k.Def.Name)
		*all = false
		return
	}
	v, meant, err := parseDuration(&words.Word{Name: k.Def.Name, Dialect: k.Def.Dialect, Unit: time.Second, Max: 86400}, args[0].Text, d.dialect)
	if err != nil {
		d.errorf(args[0].Pos, meant, "%s", err)
		return
	}
	*to = new(v.(time.Duration))
}

// fifo reads PATH [USER [GROUP]].
func (d *decoder) fifo(f *vrrp.FIFO, k tree.Node) {
	if len(k.Args) == 0 {
		d.errorf(k.Pos, "PATH [USER [GROUP]]", "'%s' needs a path", k.Def.Name)
		return
	}
	if f.Path != "" && d.dialect == words.Keepalived {
		d.again(k)
		return
	}
	f.Path = k.Args[0].Text
	if len(k.Args) > 1 {
		d.user(&f.User, k.Def.Name, k.Pos, k.Args[1:])
	}
}

// again says that a word stands there twice where the first one counts.
func (d *decoder) again(k tree.Node) {
	d.errorf(k.Pos, "the first one counts in keepalived", "'%s' is already specified", k.Def.Name)
}

var maskBits = map[string]int{"IRUSR": 0o400, "IWUSR": 0o200, "IXUSR": 0o100, "IRGRP": 0o40, "IWGRP": 0o20, "IXGRP": 0o10, "IROTH": 4, "IWOTH": 2, "IXOTH": 1,
	"IRWXU": 0o700, "IRWXG": 0o70, "IRWXO": 7}

// umask reads a number in C's spellings, or names of bits.
func (d *decoder) umask(g *vrrp.Global, k tree.Node) {
	text := strings.Join(texts(k.Args), "")
	if n, err := strconv.ParseUint(text, 0, 16); err == nil && n <= 0o777 {
		g.Umask = new(int(n))
		return
	}
	mask := 0
	for part := range strings.SplitSeq(text, "|") {
		bit, ok := maskBits[strings.TrimPrefix(part, "S_")]
		if !ok {
			d.errorf(k.Args[0].Pos, "022, or IWGRP|IWOTH", "%s is no mask", tree.Quote(text))
			return
		}
		mask |= bit
	}
	g.Umask = &mask
}

// interfaceDelays reads IF DOWN [UP], one a line.
func (d *decoder) interfaceDelays(n tree.Node) {
	def := &words.Word{Name: n.Def.Name, Dialect: words.Keepalived, Unit: time.Second, Max: 255}
	for _, line := range n.Kids {
		out := vrrp.InterfaceDelay{Interface: line.Args[0].Text, Pos: line.Pos}
		ok := d.interfaceName(line.Args[0])
		if len(line.Args) < 2 {
			d.warnf(line.Pos, "IF DOWN [UP]", "no delay is given for %s", tree.Quote(out.Interface))
			continue
		}
		for i, w := range line.Args[1:] {
			v, meant, err := parseDuration(def, w.Text, d.dialect)
			switch {
			case i > 1:
				d.errorf(w.Pos, "IF DOWN [UP]", "surplus word %s", tree.Quote(w.Text))
				ok = false
			case err != nil:
				d.errorf(w.Pos, meant, "%s", err)
				ok = false
			case i == 0:
				out.Down, out.Up = v.(time.Duration), v.(time.Duration)
			default:
				out.Up = v.(time.Duration)
			}
		}
		if ok {
			d.doc.VRRP.Global.InterfaceDelays = append(d.doc.VRRP.Global.InterfaceDelays, out)
		}
	}
}

// user reads USER [GROUP] as user:group.
func (d *decoder) user(to *string, word string, at source.Pos, args []tree.Word) {
	switch len(args) {
	case 0:
		d.errorf(at, "USER [GROUP]", "'%s' needs a user", word)
	case 1, 2:
		*to = strings.Join(texts(args), ":")
	default:
		d.errorf(args[2].Pos, "USER [GROUP]", "surplus word %s after '%s'", tree.Quote(args[2].Text), word)
	}
}

func name(n tree.Node) string {
	if len(n.Args) > 0 {
		return n.Args[0].Text
	}
	return ""
}

// command is the Command in a field of v, a pointer to settings.
func command(v any, path string) *vrrp.Command {
	return field(reflect.ValueOf(v).Elem(), path).Addr().Interface().(*vrrp.Command)
}

// command reads what a Script word runs: argv, or a line for the shell.
func (d *decoder) command(k tree.Node) (argv []string, shell string) {
	if len(k.Args) == 0 || k.Args[0].Text == "" {
		d.errorf(k.Pos, "", "the command of '%s' is empty", k.Def.Name)
		return nil, ""
	}
	if !k.Shell {
		return texts(k.Args), ""
	}
	argv, shell, err := tree.Command(k.Args[0].Text)
	if err != nil {
		d.errorf(k.Args[0].Pos, "", "'%s': %s", k.Def.Name, err)
		return nil, ""
	}
	return argv, shell
}

// argv is a command that always is one.
func (d *decoder) argv(k tree.Node) []string {
	argv, shell := d.command(k)
	if shell != "" {
		return []string{"/bin/sh", "-c", shell}
	}
	return argv
}

// script1 reads a command with its user. keepalived keeps the first of two.
func (d *decoder) script1(to *vrrp.Command, k tree.Node) {
	if len(to.Argv) > 0 && d.dialect == words.Keepalived {
		d.again(k)
		return
	}
	argv := d.argv(k)
	if argv == nil {
		return
	}
	to.Argv, to.Pos = argv, k.Pos
	if k.Shell && len(k.Args) > 1 {
		d.user(&to.User, k.Def.Name, k.Pos, k.Args[1:])
	}
}

// notify reads the words of the notify family into v (an Instance or a SyncGroup); it reports whether k is one.
func (d *decoder) notify(v any, ns *vrrp.Notifies, k tree.Node) bool {
	switch {
	case k.Def.Name == "notify_deleted":
		ns.SayDeleted = true
		if len(k.Args) > 0 {
			d.script1(&ns.Deleted, k)
		}
	case k.Def.Type == words.Script:
		d.script1(command(v, k.Def.Field), k)
	case strings.HasSuffix(k.Def.Field, ".User"):
		d.user(&command(v, strings.TrimSuffix(k.Def.Field, ".User")).User, k.Def.Name, k.Pos, k.Args)
	default:
		return false
	}
	return true
}

// interfaceName holds to the kernel's rule: 1 to 15 bytes, no slash, no blank, no colon.
func (d *decoder) interfaceName(w tree.Word) bool {
	if n := w.Text; n == "" || len(n) > 15 || n == "." || n == ".." || strings.ContainsAny(n, "/: \t\n\r") {
		d.errorf(w.Pos, "at most 15 bytes, as in eth0", "%s can't be the name of an interface", tree.Quote(n))
		return false
	}
	return true
}

func (d *decoder) interfaceNames(ws []tree.Word) []string {
	return texts(slices.DeleteFunc(slices.Clone(ws), func(w tree.Word) bool { return !d.interfaceName(w) }))
}
