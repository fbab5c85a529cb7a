package config

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/vrrp"
)

func defaultVRRPGlobal() vrrp.Global {
	return vrrp.Global{Version: 2, McastGroup4: netip.AddrFrom4([4]byte{224, 0, 0, 18}),
		GarpMasterDelay: 5 * time.Second, GarpMasterRepeat: 5, GarpMasterRefreshRept: 1}
}

func defaultInstance(name string) vrrp.Instance {
	return vrrp.Instance{Name: name, Version: 2, AdvertInt: time.Second, VIPLifetime: 2 * time.Second}
}

func (d *decoder) globalDefs(n tree.Node) {
	g := &d.doc.VRRP.Global
	if g.Pos.IsZero() {
		g.Pos = n.Pos
	}
	for _, k := range n.Kids {
		d.noEffect(k)
		switch k.Def.Name {
		case "script_user":
			d.user(&g.ScriptUser, k)
		case "smtp_server":
			d.smtpServer(&g.Mail, k)
		case "notification_email":
			g.Mail.To = texts(k.Args)
		case "vrrp_mcast_group4":
			if d.scalar(k, g) && !g.McastGroup4.IsMulticast() {
				d.errorf(k.Args[0].Pos, "224.0.0.18", "%s is no multicast address", tree.Quote(k.Args[0].Text))
			}
		case "vrrp_iptables", "vrrp_ipsets", "vrrp_cpu_affinity", "vrrp_rx_bufs_policy":
		default:
			d.scalar(k, g)
		}
	}
}

// smtpServer reads HOST [PORT].
func (d *decoder) smtpServer(m *vrrp.Mail, k tree.Node) {
	if len(k.Args) == 0 {
		d.errorf(k.Pos, "HOST [PORT]", "'%s' needs a host", k.Def.Name)
		return
	}
	m.Server, m.Port = k.Args[0].Text, 0
	if len(k.Args) > 1 {
		port, ok := parseInt(k.Args[1].Text, false)
		if !ok || port < 1 || port > 65535 {
			d.errorf(k.Args[1].Pos, "a number from 1 to 65535", "%s is no port", tree.Quote(k.Args[1].Text))
			return
		}
		m.Port = int(port)
	}
}

// user reads USER [GROUP] as user:group.
func (d *decoder) user(to *string, k tree.Node) {
	switch len(k.Args) {
	case 0:
		d.errorf(k.Pos, "USER [GROUP]", "'%s' needs a user", k.Def.Name)
	case 1, 2:
		*to = strings.Join(texts(k.Args), ":")
	default:
		d.errorf(k.Args[2].Pos, "USER [GROUP]", "surplus word %s after '%s'", tree.Quote(k.Args[2].Text), k.Def.Name)
	}
}

func (d *decoder) script(n tree.Node) {
	s := vrrp.Script{Name: name(n), Interval: time.Second, Rise: 1, Fall: 1, Pos: n.Pos}
	for _, k := range n.Kids {
		switch k.Def.Name {
		case "script":
			s.Command, s.Shell = d.command(k)
			if len(s.Command) == 0 && s.Shell == "" {
				d.broken[brokenKey("vrrp_script", s.Name, "script")] = true
			}
		case "user":
			d.user(&s.User, k)
		case "weight":
			if w, rev, ok := d.weight(k.Args); ok {
				s.Weight, s.Reverse = w, rev || s.Reverse
			}
		default:
			d.scalar(k, &s)
		}
	}
	if s.Timeout == 0 {
		s.Timeout = s.Interval
	}
	d.doc.VRRP.Scripts = append(d.doc.VRRP.Scripts, s)
}

func name(n tree.Node) string {
	if len(n.Args) > 0 {
		return n.Args[0].Text
	}
	return ""
}

// command is what a Script word runs: argv, or a line for the shell.
func (d *decoder) command(k tree.Node) (argv []string, shell string) {
	if !k.Shell {
		if len(k.Args) == 0 || k.Args[0].Text == "" {
			d.errorf(k.Pos, "", "the command of '%s' is empty", k.Def.Name)
			return nil, ""
		}
		return texts(k.Args), ""
	}
	argv, shell, err := tree.Command(k.Args[0].Text)
	if err != nil {
		d.errorf(k.Args[0].Pos, "", "'%s': %s", k.Def.Name, err)
		return nil, ""
	}
	return argv, shell
}

// notify is a command that always is an argv.
func (d *decoder) notify(k tree.Node) []string {
	argv, shell := d.command(k)
	if shell != "" {
		return []string{"/bin/sh", "-c", shell}
	}
	return argv
}

// weight reads `N [reverse|noreverse]`.
func (d *decoder) weight(ws []tree.Word) (n int, reverse, ok bool) {
	if len(ws) == 0 {
		return 0, false, false
	}
	v, good := parseInt(ws[0].Text, false)
	if !good || v < -253 || v > 253 {
		d.errorf(ws[0].Pos, "a number from -253 to 253", "%s is no weight", tree.Quote(ws[0].Text))
		return 0, false, false
	}
	if len(ws) > 1 {
		if ws[1].Text != "reverse" && ws[1].Text != "noreverse" || len(ws) > 2 {
			w := ws[len(ws)-1]
			d.errorf(w.Pos, "weight N [reverse]", "surplus word %s after the weight", tree.Quote(w.Text))
			return 0, false, false
		}
		reverse = ws[1].Text == "reverse"
	}
	return int(v), reverse, true
}

func (d *decoder) instance(n tree.Node) {
	in := defaultInstance(name(n))
	in.Pos = n.Pos
	in.Version = 0
	for _, k := range n.Kids {
		d.noEffect(k)
		switch k.Def.Name {
		case "authentication":
			d.authentication(&in, k)
		case "virtual_ipaddress", "virtual_ipaddress_excluded":
			list := d.addresses(&in, k)
			if k.Def.Name == "virtual_ipaddress" {
				in.Addresses = append(in.Addresses, list...)
			} else {
				in.Excluded = append(in.Excluded, list...)
			}
		case "track_script":
			in.TrackScripts = append(in.TrackScripts, d.trackScripts(k)...)
		case "track_interface":
			in.TrackInterfaces = append(in.TrackInterfaces, d.trackInterfaces(k)...)
		case "notify_master", "notify_backup", "notify_fault", "notify_stop", "notify":
			if argv := d.notify(k); argv != nil {
				field(reflect.ValueOf(&in), k.Def.Field).Set(reflect.ValueOf(argv))
			}
		default:
			if !d.scalar(k, &in) {
				d.broken[brokenKey("vrrp_instance", in.Name, k.Def.Name)] = true
				continue
			}
			if len(k.Args) > 0 {
				d.places[brokenKey("vrrp_instance", in.Name, k.Def.Name)] = k.Args[0].Pos
			} else {
				d.places[brokenKey("vrrp_instance", in.Name, k.Def.Name)] = k.Pos
			}
			d.instanceWord(&in, k)
		}
	}
	if in.Version == 0 {
		in.Version = 2
	}
	if in.Priority == 0 {
		in.Priority = 100
		if in.State == "MASTER" && !d.broken[brokenKey("vrrp_instance", in.Name, "priority")] {
			in.Priority = 255
			d.warnf(in.Pos, "write the priority", "vrrp_instance '%s' is MASTER without a priority and gets 255, the address owner's", in.Name)
		}
	}
	d.doc.VRRP.Instances = append(d.doc.VRRP.Instances, in)
}

// instanceWord checks what the table can't say.
func (d *decoder) instanceWord(in *vrrp.Instance, k tree.Node) {
	switch k.Def.Name {
	case "advert_int":
		if in.AdvertInt%time.Second != 0 {
			d.errorf(k.Args[0].Pos, "whole seconds; VRRP version 2 knows no parts of them", "%s is no time for 'advert_int'", tree.Quote(k.Args[0].Text))
			in.AdvertInt = time.Second
		}
	case "interface":
		if in.Interface != "" {
			d.interfaceName(k.Args[0])
		}
		if in.Interface == "lo" {
			d.errorf(k.Args[0].Pos, "", "'lo' has no neighbours to speak VRRP with")
		}
	case "vip_lifetime":
		if in.VIPLifetime == 0 {
			in.VIPLifetime = -1
		}
	case "mcast_src_ip":
		if a := in.McastSrcIP; a.IsValid() && (a.IsMulticast() || a.IsUnspecified()) {
			d.errorf(k.Args[0].Pos, "an address of the interface", "%s can't be a source", tree.Quote(k.Args[0].Text))
		}
	}
}

// interfaceName holds to the kernel's rule: 1 to 15 bytes, no slash, no blank, no colon.
func (d *decoder) interfaceName(w tree.Word) bool {
	if n := w.Text; n == "" || len(n) > 15 || n == "." || n == ".." || strings.ContainsAny(n, "/: \t\n\r") {
		d.errorf(w.Pos, "at most 15 bytes, as in eth0", "%s can't be the name of an interface", tree.Quote(n))
		return false
	}
	return true
}

func (d *decoder) authentication(in *vrrp.Instance, n tree.Node) {
	for _, k := range n.Kids {
		if !d.scalar(k, in) {
			d.broken[brokenKey("vrrp_instance", in.Name, k.Def.Name)] = true
			continue
		}
		d.places[brokenKey("vrrp_instance", in.Name, k.Def.Name)] = k.Args[0].Pos
		if k.Def.Name == "auth_pass" && len(in.AuthPass) > 8 {
			d.warnf(k.Args[0].Pos, "keepalived does the same", "only the first 8 bytes of auth_pass are used")
			in.AuthPass = strings.ToValidUTF8(in.AuthPass[:8], "")
		}
	}
}

func (d *decoder) trackScripts(n tree.Node) []vrrp.Track {
	var out []vrrp.Track
	for _, line := range n.Kids {
		t := vrrp.Track{Name: line.Args[0].Text, Pos: line.Pos}
		if w, rev, given, ok := d.tracked(line.Args[1:]); ok {
			if given {
				t.Weight, t.Reverse = &w, rev
			}
			out = append(out, t)
		}
	}
	return out
}

func (d *decoder) trackInterfaces(n tree.Node) []vrrp.TrackInterface {
	var out []vrrp.TrackInterface
	for _, line := range n.Kids {
		if !d.interfaceName(line.Args[0]) {
			continue
		}
		if w, rev, _, ok := d.tracked(line.Args[1:]); ok {
			out = append(out, vrrp.TrackInterface{Name: line.Args[0].Text, Weight: w, Reverse: rev, Pos: line.Pos})
		}
	}
	return out
}

// tracked reads [weight N [reverse]] after the name of what is tracked.
func (d *decoder) tracked(ws []tree.Word) (n int, reverse, given, ok bool) {
	if len(ws) == 0 {
		return 0, false, false, true
	}
	if ws[0].Text != "weight" {
		d.errorf(ws[0].Pos, "NAME [weight N [reverse]], one a line", "surplus word %s", tree.Quote(ws[0].Text))
		return 0, false, false, false
	}
	if len(ws) == 1 {
		d.errorf(ws[0].Pos, "weight N", "'weight' needs a number")
		return 0, false, false, false
	}
	n, reverse, ok = d.weight(ws[1:])
	return n, reverse, true, ok
}

var scopeNames = []string{"global", "link", "host", "site", "nowhere"}

// addresses reads `ADDRESS[/LEN] [brd X] [dev IF] [scope S] [label L]`, one a line.
func (d *decoder) addresses(in *vrrp.Instance, n tree.Node) []vrrp.Address {
	var out []vrrp.Address
	for _, line := range n.Kids {
		a := vrrp.Address{Pos: line.Pos}
		if d.address(&a, line.Args[0]) && d.addressWords(&a, line.Args[1:]) {
			out = append(out, a)
			continue
		}
		d.broken[brokenKey("vrrp_instance", in.Name, "virtual_ipaddress")] = true
	}
	return out
}

func (d *decoder) address(a *vrrp.Address, w tree.Word) bool {
	p, err := netip.ParsePrefix(w.Text)
	if err != nil {
		var ip netip.Addr
		if ip, err = netip.ParseAddr(w.Text); err == nil {
			p = netip.PrefixFrom(ip.WithZone(""), ip.BitLen())
		}
	}
	switch {
	case err != nil:
		d.errorf(w.Pos, "ADDRESS[/LENGTH] [dev IF] [label L]", "%s is no address", tree.Quote(w.Text))
		return false
	case !p.Addr().Is4():
		d.errorf(w.Pos, "", "the IPv6 address %s is not supported yet", tree.Quote(w.Text))
		return false
	case p.Addr().IsMulticast() || p.Addr().IsUnspecified():
		d.errorf(w.Pos, "", "%s can't be carried by a machine", tree.Quote(w.Text))
		return false
	}
	a.Prefix = p
	return true
}

func (d *decoder) addressWords(a *vrrp.Address, ws []tree.Word) bool {
	for len(ws) > 0 {
		word := ws[0]
		if !slices.Contains([]string{"dev", "scope", "label", "brd", "broadcast"}, word.Text) {
			d.addressWord(word)
			return false
		}
		if len(ws) == 1 {
			d.errorf(word.Pos, "", "'%s' needs a value", word.Text)
			return false
		}
		v := ws[1]
		ws = ws[2:]
		switch word.Text {
		case "dev":
			if !d.interfaceName(v) {
				return false
			}
			a.Dev = v.Text
		case "scope":
			if n, ok := parseInt(v.Text, false); !slices.Contains(scopeNames, v.Text) && (!ok || n < 0 || n > 255) {
				d.errorf(v.Pos, strings.Join(scopeNames, ", "), "unknown scope %s", tree.Quote(v.Text))
				return false
			}
			a.Scope = v.Text
		case "label":
			if len(v.Text) > 15 {
				d.errorf(v.Pos, "at most 15 bytes", "the label %s is too long", tree.Quote(v.Text))
				return false
			}
			a.Label = v.Text
		default:
			if ip, err := netip.ParseAddr(v.Text); v.Text != "+" && v.Text != "-" && (err != nil || !ip.Is4()) {
				d.errorf(v.Pos, "an address, + or -", "%s is no broadcast address", tree.Quote(v.Text))
				return false
			}
			a.Broadcast = v.Text
		}
	}
	return true
}

// addressWord says what is wrong with a word that follows an address.
func (d *decoder) addressWord(w tree.Word) {
	known := []string{"home", "nodad", "-nodad", "mngtmpaddr", "noprefixroute", "preferred_lft", "valid_lft", "track_group", "no_track", "peer", "use_vmac"}
	if slices.Contains(known, w.Text) {
		d.errorf(w.Pos, "", "%s after an address is not supported yet", tree.Quote(w.Text))
		return
	}
	hint := "one address per line"
	if c := words.Nearest(w.Text, []string{"dev", "scope", "label", "brd", "broadcast"}); c != "" {
		hint = "did you mean '" + c + "'?"
	}
	d.errorf(w.Pos, hint, "surplus word %s after an address", tree.Quote(w.Text))
}
