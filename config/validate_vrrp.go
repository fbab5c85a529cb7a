package config

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

func (v *validator) vrrp() {
	v.trackers()
	instances := map[string]source.Pos{}
	routers := map[string][]*vrrp.Instance{}
	carried := map[string]source.Pos{}
	for i := range v.doc.VRRP.Instances {
		in := &v.doc.VRRP.Instances[i]
		if first, ok := instances[in.Name]; ok {
			v.ps.Errorf(in.Pos, "", "vrrp_instance '%s' was already defined at %s", in.Name, first)
			continue
		}
		instances[in.Name] = in.Pos
		v.instance(in)
		v.tracks(in.TrackScripts, in.TrackProcesses, in.TrackFiles)
		v.router(in, routers)
		v.carried(in, carried)
	}
	v.syncGroups()
	v.static()
	v.alerts()
	v.overrides()
}

func (v *validator) instanceNames() []string {
	var out []string
	for _, in := range v.doc.VRRP.Instances {
		out = append(out, in.Name)
	}
	return out
}

func (v *validator) instance(in *vrrp.Instance) {
	broken := func(word string) bool { return v.isBroken("vrrp_instance", in.Name, word) }
	at := func(word string) source.Pos { return v.place("vrrp_instance", in.Name, word, in.Pos) }
	switch {
	case in.VirtualRouterID == 0 && !broken("virtual_router_id"):
		v.ps.Errorf(in.Pos, "write virtual_router_id 1..255, the same on all machines", "vrrp_instance '%s' has no virtual_router_id", in.Name)
		v.ps.As(source.ClassFatal)
	case in.VirtualRouterID < 0 || in.VirtualRouterID > 255:
		v.ps.Errorf(at("virtual_router_id"), "a number from 1 to 255", "%d is no virtual_router_id", in.VirtualRouterID)
		v.ps.As(source.ClassFatal)
	}
	if in.Interface == "" && !broken("interface") && !v.everywhere(in.Name) && len(in.Unicast.Peers) == 0 {
		v.ps.Errorf(in.Pos, "write interface eth0", "vrrp_instance '%s' has no interface", in.Name)
		v.ps.As(source.ClassFatal)
	}
	if in.Priority < 1 || in.Priority > 255 {
		v.ps.Errorf(at("priority"), "a number from 1 to 255", "%d is no priority", in.Priority)
	}
	if in.Version != 2 && in.Version != 3 {
		v.ps.Errorf(at("version"), "2 or 3", "%d is no version of VRRP", in.Version)
	} else if problem, hint := advertInt(in); problem != "" {
		v.ps.Errorf(at("advert_int"), hint, "%s is no time for advert_int", in.AdvertInt)
	}
	if len(in.Addresses) == 0 && !broken("virtual_ipaddress") {
		v.ps.Warnf(in.Pos, "write virtual_ipaddress { ... }", "vrrp_instance '%s' carries no address", in.Name)
		v.ps.As(source.ClassTolerated)
	}
	v.authentication(in, broken, at)
	v.preemption(in, at)
	v.unicast(in, at)
	v.strict(in, at)
	v.owner(in, at)
	if in.VMAC.XmitBase && !in.VMAC.Use && !in.VMAC.IPVlan {
		v.ps.Warnf(at("vmac_xmit_base"), "write use_vmac", "vmac_xmit_base has no effect without use_vmac in vrrp_instance '%s'", in.Name)
		v.ps.As(source.ClassTolerated)
	}
	for i, t := range in.TrackInterfaces {
		v.again(slices.ContainsFunc(in.TrackInterfaces[:i], func(o vrrp.TrackInterface) bool { return o.Name == t.Name }), t.Name, t.Pos)
		if t.Name == in.Interface {
			v.ps.Warnf(t.Pos, "leave it out", "'%s' is the own interface of vrrp_instance '%s', which is tracked in any case", t.Name, in.Name)
			v.ps.As(source.ClassTolerated)
		}
	}
}

var authTypes = map[vrrp.AuthType]string{vrrp.AuthPass: "PASS", vrrp.AuthAH: "AH"}

func (v *validator) authentication(in *vrrp.Instance, broken func(string) bool, at func(string) source.Pos) {
	switch {
	case in.AuthType != vrrp.AuthNone && in.AuthPass == "" && !broken("auth_pass"):
		v.ps.Errorf(at("auth_type"), "write auth_pass on a line of its own", "vrrp_instance '%s' has auth_type %s and no auth_pass", in.Name, authTypes[in.AuthType])
	case in.AuthType == vrrp.AuthNone && in.AuthPass != "" && !broken("auth_type"):
		v.ps.Errorf(at("auth_pass"), "write auth_type PASS", "vrrp_instance '%s' has an auth_pass and no auth_type", in.Name)
		v.ps.As(source.ClassSilent)
	case len(in.AuthPass) > 8:
		v.ps.Warnf(at("auth_pass"), "", "only the first 8 bytes of auth_pass are used")
		v.ps.As(source.ClassTolerated)
		v.ps.Name("auth-pass-long")
	}
	if in.AuthType == vrrp.AuthAH {
		v.ps.Warnf(at("auth_type"), "write auth_type PASS, or version 3 without authentication, on all machines", "auth_type AH is deprecated (RFC 3768) in vrrp_instance '%s'", in.Name)
	}
}

func (v *validator) preemption(in *vrrp.Instance, at func(string) source.Pos) {
	if in.State == "MASTER" && in.NoPreempt {
		v.ps.Warnf(at("nopreempt"), "write state BACKUP on all machines", "state MASTER cancels nopreempt in vrrp_instance '%s'", in.Name)
		v.ps.As(source.ClassTolerated)
		v.ps.Name("nopreempt-master")
	}
	if in.State == "MASTER" && in.PreemptDelay > 0 {
		v.ps.Warnf(at("preempt_delay"), "write state BACKUP on all machines", "state MASTER cancels preempt_delay in vrrp_instance '%s'", in.Name)
		v.ps.As(source.ClassTolerated)
		v.ps.Name("preempt-delay-master")
	}
	if in.NoPreempt && in.PreemptDelay > 0 {
		v.ps.Warnf(at("preempt_delay"), "", "preempt_delay has no effect beside nopreempt in vrrp_instance '%s'", in.Name)
		v.ps.As(source.ClassTolerated)
	}
}

func (v *validator) unicast(in *vrrp.Instance, at func(string) source.Pos) {
	u := in.Unicast
	if len(u.Peers) == 0 {
		if u.TTL != 0 {
			v.ps.Warnf(at("unicast_ttl"), "write unicast_peer { ... }", "unicast_ttl has no effect in vrrp_instance '%s', which has no unicast_peer", in.Name)
			v.ps.As(source.ClassTolerated)
		}
		if src, ok := v.places[brokenKey("vrrp_instance", in.Name, "unicast_src_ip")]; ok {
			v.ps.Warnf(src, "write unicast_peer { ... }, or mcast_src_ip", "adverts go by multicast: vrrp_instance '%s' has a unicast_src_ip, but no unicast_peer", in.Name)
			v.ps.As(source.ClassTolerated)
		}
		return
	}
	if in.McastDstIP.IsValid() {
		v.ps.Warnf(at("mcast_dst_ip"), "", "mcast_dst_ip has no effect beside unicast_peer in vrrp_instance '%s'", in.Name)
		v.ps.As(source.ClassTolerated)
	}
	seen := map[netip.Addr]bool{}
	for _, p := range u.Peers {
		if seen[p.Addr] {
			v.ps.Warnf(p.Pos, "", "%s is a peer of vrrp_instance '%s' already", p.Addr, in.Name)
		}
		if seen[p.Addr] = true; p.Addr == in.McastSrcIP {
			v.ps.Warnf(p.Pos, "the peers are the other machines", "the peer %s is the source address of vrrp_instance '%s' itself", p.Addr, in.Name)
		}
		if p.Addr.IsLinkLocalUnicast() && p.Addr.Is6() && in.Interface == "" && !v.everywhere(in.Name) {
			v.ps.Errorf(p.Pos, "write interface eth0", "the link-local peer %s needs an interface", p.Addr)
			v.ps.As(source.ClassFatal)
		}
		if p.MinTTL > p.MaxTTL {
			v.ps.Errorf(p.Pos, "", "min_ttl is greater than max_ttl: no advert of %s would be taken", p.Addr)
		}
	}
}

// strict names what strict mode takes away or refuses (Document.For does it).
func (v *validator) strict(in *vrrp.Instance, at func(string) source.Pos) {
	if !strict(in, v.doc.VRRP.Global) {
		return
	}
	warn := func(bad bool, word, format string) {
		if bad {
			v.ps.Warnf(at(word), "strict mode holds to the RFC", format+" in vrrp_instance '%s'", in.Name)
			v.ps.As(source.ClassTolerated)
			v.ps.Name("strict-conflict")
		}
	}
	if len(in.Unicast.Peers) > 0 {
		v.ps.Warnf(in.Pos, "leave out vrrp_strict, or unicast_peer", "strict mode holds to the RFC, which knows no unicast: vrrp_instance '%s' has unicast_peer", in.Name)
		v.ps.Name("strict-conflict")
	}
	if len(in.Addresses) > 0 && in.IPv6() && !in.Addresses[0].Prefix.Addr().IsLinkLocalUnicast() {
		v.ps.Errorf(in.Addresses[0].Pos, "an address of fe80::/64 comes first", "the first IPv6 address of vrrp_instance '%s' is not link-local, which strict mode asks for", in.Name)
	}
	warn(in.AuthType != vrrp.AuthNone, "auth_type", "strict mode leaves out the authentication")
	warn(in.PreemptDelay > 0, "preempt_delay", "strict mode leaves out preempt_delay")
	warn(in.State == "MASTER" && in.Priority != 255, "state", "strict mode takes state MASTER for BACKUP when the priority is not 255")
	warn(in.DownTimer != 0 && in.DownTimer != 3, "down_timer_adverts", "strict mode takes down_timer_adverts for 3")
	warn(in.VMAC.XmitBase, "vmac_xmit_base", "strict mode leaves out vmac_xmit_base")
	warn(in.VMAC.MAC != "", "use_vmac", "strict mode leaves out the MAC address of use_vmac")
	warn(in.LowerNoAdvert != nil && !*in.LowerNoAdvert, "lower_prio_no_advert", "strict mode sets lower_prio_no_advert")
	warn(in.HigherSend != nil && *in.HigherSend, "higher_prio_send_advert", "strict mode clears higher_prio_send_advert")
	warn(in.Garp.LowerPrioRepeat != nil && *in.Garp.LowerPrioRepeat > 0, "garp_lower_prio_repeat", "strict mode leaves out garp_lower_prio_repeat")
	warn(in.Accept != nil && *in.Accept && in.Version == 2 && in.Priority != 255, "accept", "strict mode leaves out accept, which VRRPv2 does not know")
}

// owner: no weight changes the priority 255.
func (v *validator) owner(in *vrrp.Instance, at func(string) source.Pos) {
	if in.Priority != 255 {
		return
	}
	if in.NoPreempt && in.State != "MASTER" {
		v.ps.Warnf(at("nopreempt"), "", "nopreempt has no effect beside the priority 255 in vrrp_instance '%s'", in.Name)
		v.ps.As(source.ClassTolerated)
	}
	weighted := func(at source.Pos, name string) {
		v.ps.Warnf(at, "write weight 0, or a priority below 255", "the weight of '%s' has no effect: vrrp_instance '%s' has the priority 255", name, in.Name)
		v.ps.As(source.ClassTolerated)
		v.ps.Name("weight-never-fails-over")
	}
	for _, t := range in.TrackScripts {
		if i := slices.IndexFunc(v.doc.VRRP.Scripts, func(s vrrp.Script) bool { return s.Name == t.Name }); i >= 0 {
			if w := v.doc.VRRP.Scripts[i].Weight; t.Weight != nil && *t.Weight != 0 || t.Weight == nil && w != 0 {
				weighted(t.Pos, t.Name)
			}
		}
	}
	for _, t := range in.TrackInterfaces {
		if t.Weight != 0 {
			weighted(t.Pos, t.Name)
		}
	}
}

// everywhere reports whether every node that is named has an interface of its own for the instance.
func (v *validator) everywhere(instance string) bool {
	for _, o := range v.doc.Nodes {
		if o.Instances[instance].Interface == nil {
			return false
		}
	}
	return len(v.doc.Nodes) > 0
}

// router: a VRID means one thing on a segment: on an interface, in a family, to a group or to peers that do not overlap.
func (v *validator) router(in *vrrp.Instance, seen map[string][]*vrrp.Instance) {
	if in.VirtualRouterID == 0 || in.Interface == "" {
		return
	}
	family := "IPv4"
	if in.IPv6() {
		family = "IPv6"
	}
	k := fmt.Sprintf("%s %d %s %s %v", in.Interface, in.VirtualRouterID, family, in.McastDstIP, len(in.Unicast.Peers) > 0)
	for _, first := range seen[k] {
		if len(in.Unicast.Peers) > 0 && !overlap(in.Unicast.Peers, first.Unicast.Peers) {
			continue
		}
		v.ps.Errorf(v.place("vrrp_instance", in.Name, "virtual_router_id", in.Pos), "each virtual router of an interface has its own number",
			"vrrp_instance '%s' has virtual_router_id %d on %s, as has '%s' at %s", in.Name, in.VirtualRouterID, in.Interface, first.Name, first.Pos)
		v.ps.As(source.ClassFatal)
		return
	}
	seen[k] = append(seen[k], in)
}

func overlap(a, b []vrrp.Peer) bool {
	return slices.ContainsFunc(a, func(p vrrp.Peer) bool {
		return slices.ContainsFunc(b, func(q vrrp.Peer) bool { return p.Addr == q.Addr })
	})
}

// carried: an address that is carried twice is there for as long as the first of the two wants.
func (v *validator) carried(in *vrrp.Instance, seen map[string]source.Pos) {
	for _, a := range addresses(in) {
		dev := a.Dev
		if dev == "" {
			dev = in.Interface
		}
		k := a.Prefix.Addr().String() + " " + dev
		if a.Prefix == (netip.Prefix{}) {
			continue
		}
		if first, ok := seen[k]; ok {
			v.ps.Warnf(a.Pos, "", "%s is carried already at %s", a.Prefix.Addr(), first)
			continue
		}
		seen[k] = a.Pos
	}
}

// overrides name frontends and instances that exist, with a dev for each address.
func (v *validator) overrides() {
	names := v.instanceNames()
	var fronts []string
	for _, f := range v.doc.Proxy.Frontends {
		fronts = append(fronts, f.Name)
	}
	for node, o := range v.doc.Nodes {
		for name, fo := range o.Frontends {
			if !slices.Contains(fronts, name) {
				v.ps.Errorf(fo.Pos, meant(name, fronts), "node '%s': there is no frontend '%s'", node, name)
			}
		}
		for name, io := range o.Instances {
			i := slices.Index(names, name)
			if i < 0 {
				v.ps.Errorf(io.Pos, meant(name, names), "node '%s': there is no vrrp_instance '%s'", node, name)
				continue
			}
			in := &v.doc.VRRP.Instances[i]
			if n := len(addresses(in)); io.Devs != nil && len(io.Devs) != n && !v.isBroken("vrrp_instance", name, "virtual_ipaddress") {
				v.ps.Errorf(io.Pos, "one for each address", "node '%s': devs has %d names for the %d addresses of '%s'", node, len(io.Devs), n, name)
			}
		}
	}
}
