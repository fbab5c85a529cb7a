package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

func defaultInstance(name string) vrrp.Instance {
	return vrrp.Instance{Name: name, Version: 2, AdvertInt: time.Second, VIPLifetime: 2 * time.Second}
}

func (d *decoder) instance(n tree.Node) {
	in := defaultInstance(name(n))
	in.Pos = n.Pos
	in.Version = 0 // until all files are read
	for _, k := range n.Kids {
		d.noEffect(k)
		if k.Def.Status == words.Accepted {
			continue
		}
		switch k.Def.Type {
		case words.Block:
			d.authentication(&in, k)
		case words.Lines:
			d.instanceLines(&in, k)
		case words.Line:
			d.instanceLine(&in, k)
		case words.Script:
			d.notify(&in, &in.Notifies, k)
		default:
			d.instanceWord(&in, k)
		}
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

func (d *decoder) instanceLines(in *vrrp.Instance, k tree.Node) {
	switch k.Def.Name {
	case "virtual_ipaddress", "virtual_ipaddress_excluded":
		list := d.addresses(k, false)
		if len(list) < len(k.Kids) {
			d.broken[brokenKey("vrrp_instance", in.Name, "virtual_ipaddress")] = true
		}
		if k.Def.Name == "virtual_ipaddress" {
			in.Addresses = append(in.Addresses, list...)
		} else {
			in.Excluded = append(in.Excluded, list...)
		}
	case "virtual_routes":
		in.Routes = append(in.Routes, d.routes(k, false)...)
	case "virtual_rules":
		in.Rules = append(in.Rules, d.rules(k, false)...)
	case "unicast_peer":
		in.Unicast.Peers = append(in.Unicast.Peers, d.peers(k)...)
	case "track_script":
		in.TrackScripts = append(in.TrackScripts, d.tracks(k, mostWeight)...)
	case "track_process":
		in.TrackProcesses = append(in.TrackProcesses, d.tracks(k, mostFactor)...)
	case "track_file":
		in.TrackFiles = append(in.TrackFiles, d.tracks(k, mostFactor)...)
	case "track_interface":
		in.TrackInterfaces = append(in.TrackInterfaces, d.trackInterfaces(k)...)
	}
}

// instanceLine reads a word with a grammar of its own.
func (d *decoder) instanceLine(in *vrrp.Instance, k tree.Node) {
	switch k.Def.Name {
	case "use_vmac":
		d.vmac(in, k)
	case "use_ipvlan":
		d.ipvlan(in, k)
	case "garp_extra_if":
		d.garpExtra(&in.Garp.ExtraIf, &in.Garp.ExtraIfAll, k)
	case "old_unicast_checksum":
		in.Unicast.OldChecksum = new(true)
		if len(k.Args) == 0 || k.Args[0].Text == "true" {
			return
		}
		if in.Unicast.OldChecksum = new(false); k.Args[0].Text != "never" && k.Args[0].Text != "false" {
			in.Unicast.OldChecksum = nil
			d.errorf(k.Args[0].Pos, "old_unicast_checksum [never]", "unknown mode %s", tree.Quote(k.Args[0].Text))
		}
	default:
		d.notify(in, &in.Notifies, k)
	}
}

// instanceWord reads a word with one value, and checks what the table can't say.
func (d *decoder) instanceWord(in *vrrp.Instance, k tree.Node) {
	if !d.scalar(k, in) {
		d.broken[brokenKey("vrrp_instance", in.Name, k.Def.Name)] = true
		return
	}
	at := k.Pos
	if len(k.Args) > 0 {
		at = k.Args[0].Pos
	}
	d.places[brokenKey("vrrp_instance", in.Name, k.Def.Name)] = at
	switch k.Def.Name {
	case "advert_int":
		if in.AdvertInt < 10*time.Millisecond {
			d.errorf(at, "at least 0.01", "%s is no time for 'advert_int'", tree.Quote(k.Args[0].Text))
			in.AdvertInt = time.Second
		}
	case "interface":
		if in.Interface != "" {
			d.interfaceName(k.Args[0])
		}
		if in.Interface == "lo" {
			d.errorf(at, "", "'lo' has no neighbours to speak VRRP with")
			d.ps.As(source.ClassFatal)
		}
	case "no_accept":
		in.Accept = new(false)
	case "preempt":
		in.NoPreempt = false
	case "debug":
		if len(k.Args) == 0 {
			d.warnf(at, "debug 0 to 4", "'debug' without a number is taken for 'debug 0'; keepalived does not start with it")
			d.ps.As(source.ClassSilent)
		}
	case "vip_lifetime":
		if in.VIPLifetime == 0 {
			in.VIPLifetime = -1
		}
	case "mcast_src_ip", "unicast_src_ip":
		if a := in.McastSrcIP; a.IsValid() && (a.IsMulticast() || a.IsUnspecified()) {
			d.errorf(at, "an address of the interface", "%s can't be a source", tree.Quote(a.String()))
		}
	case "mcast_dst_ip":
		if a := in.McastDstIP; !a.IsMulticast() || a.Is6() && !a.IsLinkLocalMulticast() {
			d.errorf(at, "224.0.0.18, or one that begins with ff02:", "%s is no multicast group for adverts", tree.Quote(a.String()))
			in.McastDstIP = netip.Addr{}
		}
	}
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
			d.ps.As(source.ClassTolerated)
			d.ps.Name("auth-pass-long")
			in.AuthPass = strings.ToValidUTF8(in.AuthPass[:8], "")
		}
	}
}

// peers reads ADDRESS [min_ttl N] [max_ttl N], one a line.
func (d *decoder) peers(n tree.Node) []vrrp.Peer {
	var out []vrrp.Peer
	if len(n.Kids) == 0 {
		d.warnf(n.Pos, "ADDRESS [min_ttl N] [max_ttl N]", "without a peer, adverts go by multicast")
		d.ps.As(source.ClassTolerated)
	}
	for _, line := range n.Kids {
		p := vrrp.Peer{MaxTTL: 255, Pos: line.Pos}
		var err error
		if p.Addr, err = netip.ParseAddr(line.Args[0].Text); err != nil || p.Addr.Zone() != "" || p.Addr.IsMulticast() || p.Addr.IsUnspecified() {
			d.errorf(line.Args[0].Pos, "ADDRESS [min_ttl N] [max_ttl N]", "%s is no peer's address", tree.Quote(line.Args[0].Text))
			continue
		}
		if d.peerWords(&p, line.Args[1:]) || d.opts.Tolerant {
			out = append(out, p)
		}
	}
	return out
}

func (d *decoder) peerWords(p *vrrp.Peer, ws []tree.Word) bool {
	for len(ws) > 0 {
		word := ws[0]
		if word.Text != "min_ttl" && word.Text != "max_ttl" {
			d.errorf(word.Pos, "ADDRESS [min_ttl N] [max_ttl N], one a line", "surplus word %s after a peer", tree.Quote(word.Text))
			return false
		}
		if len(ws) == 1 {
			d.errorf(word.Pos, "", "'%s' needs a value", word.Text)
			return false
		}
		n, ok := parseInt(ws[1].Text, false)
		if !ok || n < 0 || n > 255 {
			d.errorf(ws[1].Pos, "a number from 0 to 255", "%s is no TTL", tree.Quote(ws[1].Text))
			return false
		}
		if ws = ws[2:]; word.Text == "min_ttl" {
			p.MinTTL = int(n)
		} else {
			p.MaxTTL = int(n)
		}
	}
	return true
}

// hardware reads a MAC address of 5 or 6 bytes.
func hardware(s string) bool {
	parts := strings.Split(s, ":")
	return (len(parts) == 5 || len(parts) == 6) && !slices.ContainsFunc(parts, func(p string) bool {
		return len(p) == 0 || len(p) > 2 || strings.Trim(p, "0123456789abcdefABCDEF") != ""
	})
}

// vmac reads [NAME] [MAC].
func (d *decoder) vmac(in *vrrp.Instance, k tree.Node) {
	in.VMAC.Use = true
	for _, w := range k.Args {
		switch {
		case d.dialect == words.HCL && w.Text == "true":
		case d.dialect == words.HCL && w.Text == "false":
			in.VMAC.Use = false
		case hardware(w.Text) && in.VMAC.MAC == "":
			mac := strings.ToLower(w.Text)
			if strings.HasPrefix(mac, "00:00:5e:00:01") || strings.HasPrefix(mac, "00:00:5e:00:02") {
				d.errorf(w.Pos, "leave it out to have that of the RFC", "the MAC address %s belongs to virtual routers", tree.Quote(w.Text))
				continue
			}
			in.VMAC.MAC = mac
		case in.VMAC.Name == "":
			if d.interfaceName(w) {
				in.VMAC.Name = w.Text
			}
		default:
			d.errorf(w.Pos, "use_vmac [NAME] [MAC]", "surplus word %s", tree.Quote(w.Text))
		}
	}
}

// ipvlan reads [NAME] [ADDRESS] [bridge|private|vepa].
func (d *decoder) ipvlan(in *vrrp.Instance, k tree.Node) {
	in.VMAC.IPVlan = true
	for _, w := range k.Args {
		p, isAddress := prefix(w.Text)
		switch {
		case d.dialect == words.HCL && w.Text == "true":
		case d.dialect == words.HCL && w.Text == "false":
			in.VMAC.IPVlan = false
		case slices.Contains([]string{"bridge", "private", "vepa"}, w.Text):
			in.VMAC.IPVlanMode = w.Text
		case isAddress:
			in.VMAC.IPVlanIP = p
		case in.VMAC.Name == "":
			if d.interfaceName(w) {
				in.VMAC.Name = w.Text
			}
		default:
			d.errorf(w.Pos, "use_ipvlan [NAME] [ADDRESS] [bridge|private|vepa]", "surplus word %s", tree.Quote(w.Text))
		}
	}
}

// mostListed is how many addresses the count of an advert holds (RFC 9568 section 5.2.5).
const mostListed = 255

// instances does what needs all files: the version that global_defs give, the family that the addresses give.
func (d *decoder) instances() {
	for i := range d.doc.VRRP.Instances {
		in := &d.doc.VRRP.Instances[i]
		d.family(in)
		if n := len(in.Addresses); n > mostListed {
			d.warnf(in.Addresses[mostListed].Pos, "write them in virtual_ipaddress_excluded", "an advert lists %d addresses: the %d that follow in vrrp_instance '%s' are carried without being listed",
				mostListed, n-mostListed, in.Name)
			d.ps.As(source.ClassTolerated)
			in.Excluded = append(slices.Clone(in.Addresses[mostListed:]), in.Excluded...)
			in.Addresses = in.Addresses[:mostListed:mostListed]
		}
		six := in.IPv6()
		at := func(word string) source.Pos {
			if p, ok := d.places[brokenKey("vrrp_instance", in.Name, word)]; ok {
				return p
			}
			return in.Pos
		}
		if six && in.Version == 2 {
			d.warnf(at("version"), "leave it out", "vrrp_instance '%s' carries IPv6 addresses: 'version 2' is taken for 3", in.Name)
			if strict(in, d.doc.VRRP.Global) {
				d.ps.As(source.ClassTolerated)
			}
		}
		if in.VMAC.Use && !in.VMAC.XmitBase && len(in.Unicast.Peers) > 0 {
			d.warnf(at("use_vmac"), "write vmac_xmit_base", "adverts by unicast need vmac_xmit_base beside use_vmac: it is set in vrrp_instance '%s'", in.Name)
			d.ps.As(source.ClassTolerated)
			in.VMAC.XmitBase = true
		}
		if in.Version = derived(in.Version, six, d.doc.VRRP.Global.Version); in.Version == 3 && (in.AuthType != vrrp.AuthNone || in.AuthPass != "") {
			d.warnf(at("auth_type"), "leave it out", "VRRP version 3 has no authentication: that of vrrp_instance '%s' is not used", in.Name)
			d.ps.As(source.ClassTolerated)
			in.AuthType, in.AuthPass = vrrp.AuthNone, ""
		}
		if in.AuthType == vrrp.AuthAH && in.AuthPass != "" && in.State == "MASTER" && in.Priority != 255 && !strict(in, d.doc.VRRP.Global) {
			d.warnf(at("state"), "write state BACKUP", "auth_type AH listens before it speaks: 'state MASTER' is taken for BACKUP in vrrp_instance '%s'", in.Name)
			d.ps.As(source.ClassTolerated)
			in.State = "BACKUP"
		}
		if problem, hint := advertInt(in); problem != "" {
			d.errorf(at("advert_int"), hint, "%s is no time for 'advert_int'", tree.Quote(seconds3(in.AdvertInt)))
			in.AdvertInt = rounded(in)
		}
		if parts := strings.Count(in.VMAC.MAC, ":"); parts == 4 && in.VirtualRouterID > 0 {
			in.VMAC.MAC += ":" + string("0123456789abcdef"[in.VirtualRouterID>>4&15]) + string("0123456789abcdef"[in.VirtualRouterID&15])
		}
		if slices.ContainsFunc(in.Unicast.Peers, func(p vrrp.Peer) bool { return p.MinTTL > 0 || p.MaxTTL < 255 }) && in.Unicast.CheckSrc == nil {
			in.Unicast.CheckSrc = new(true)
		}
	}
}

// derived is the version of an instance that says own (0: nothing).
func derived(own int, six bool, global int) int {
	switch {
	case six:
		return 3
	case own != 0:
		return own
	case global != 0:
		return global
	}
	return 2
}

// advertInt says what is wrong with the interval: whole seconds in version 2, 12 bits of 10 ms in version 3 (RFC 9568
// section 5.2.7).
func advertInt(in *vrrp.Instance) (problem, hint string) {
	switch {
	case in.Version == 3 && (in.AdvertInt > 40950*time.Millisecond || in.AdvertInt%(10*time.Millisecond) != 0):
		return "range", "10 ms to 40.95 s, in steps of 10 ms"
	case in.Version != 3 && in.AdvertInt%time.Second != 0:
		return "fraction", "whole seconds; VRRP version 2 knows no parts of them"
	case in.AdvertInt < 10*time.Millisecond:
		return "range", "at least 10 ms"
	}
	return "", ""
}

// rounded is the interval that keepalived takes instead.
func rounded(in *vrrp.Instance) time.Duration {
	if in.Version == 3 {
		return max(10*time.Millisecond, min(40950*time.Millisecond, in.AdvertInt.Round(10*time.Millisecond)))
	}
	return max(time.Second, in.AdvertInt.Round(time.Second))
}

// family drops what is of another family than the instance.
func (d *decoder) family(in *vrrp.Instance) {
	six := in.IPv6()
	fits := func(a netip.Addr, at source.Pos) bool {
		if !a.IsValid() || a.Is6() == six {
			return true
		}
		d.errorf(at, "IPv4 and IPv6 have an instance each; virtual_ipaddress_excluded takes both", "%s is of another family than vrrp_instance '%s'", a, in.Name)
		return false
	}
	in.Addresses = slices.DeleteFunc(in.Addresses, func(a vrrp.Address) bool { return !fits(a.Prefix.Addr(), a.Pos) })
	in.Unicast.Peers = slices.DeleteFunc(in.Unicast.Peers, func(p vrrp.Peer) bool { return !fits(p.Addr, p.Pos) })
	if !fits(in.McastSrcIP, in.Pos) {
		in.McastSrcIP = netip.Addr{}
	}
	if !fits(in.McastDstIP, in.Pos) {
		in.McastDstIP = netip.Addr{}
	}
}
