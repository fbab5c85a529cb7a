package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

func (v *validator) vrrp() {
	v.scripts()
	instances := map[string]source.Pos{}
	routers := map[string]*vrrp.Instance{}
	carried := map[string]source.Pos{}
	for i := range v.doc.VRRP.Instances {
		in := &v.doc.VRRP.Instances[i]
		if first, ok := instances[in.Name]; ok {
			v.ps.Errorf(in.Pos, "", "vrrp_instance '%s' was already defined at %s", in.Name, first)
			continue
		}
		instances[in.Name] = in.Pos
		v.instance(in)
		v.router(in, routers)
		v.carried(in, carried)
	}
	v.overrides()
}

func (v *validator) scripts() {
	seen := map[string]source.Pos{}
	for _, s := range v.doc.VRRP.Scripts {
		if first, ok := seen[s.Name]; ok {
			v.ps.Errorf(s.Pos, "", "vrrp_script '%s' was already defined at %s", s.Name, first)
			continue
		}
		seen[s.Name] = s.Pos
		if len(s.Command) == 0 && s.Shell == "" && !v.isBroken("vrrp_script", s.Name, "script") {
			v.ps.Errorf(s.Pos, `write script "/path/to/check"`, "vrrp_script '%s' has no script", s.Name)
		}
		used := slices.ContainsFunc(v.doc.VRRP.Instances, func(in vrrp.Instance) bool {
			return slices.ContainsFunc(in.TrackScripts, func(t vrrp.Track) bool { return t.Name == s.Name })
		})
		if !used {
			v.ps.Warnf(s.Pos, "write it in a track_script", "vrrp_script '%s' is used by no vrrp_instance", s.Name)
		}
	}
}

func (v *validator) scriptNames() []string {
	var out []string
	for _, s := range v.doc.VRRP.Scripts {
		out = append(out, s.Name)
	}
	return out
}

func (v *validator) instance(in *vrrp.Instance) {
	broken := func(word string) bool { return v.isBroken("vrrp_instance", in.Name, word) }
	at := func(word string) source.Pos { return v.place("vrrp_instance", in.Name, word, in.Pos) }
	switch {
	case in.VirtualRouterID == 0 && !broken("virtual_router_id"):
		v.ps.Errorf(in.Pos, "write virtual_router_id 1..255, the same on all machines", "vrrp_instance '%s' has no virtual_router_id", in.Name)
	case in.VirtualRouterID < 0 || in.VirtualRouterID > 255:
		v.ps.Errorf(at("virtual_router_id"), "a number from 1 to 255", "%d is no virtual_router_id", in.VirtualRouterID)
	}
	if in.Interface == "" && !broken("interface") && !v.everywhere(in.Name) {
		v.ps.Errorf(in.Pos, "write interface eth0", "vrrp_instance '%s' has no interface", in.Name)
	}
	if in.Priority < 1 || in.Priority > 255 {
		v.ps.Errorf(at("priority"), "a number from 1 to 255", "%d is no priority", in.Priority)
	}
	if in.AdvertInt < time.Second || in.AdvertInt%time.Second != 0 {
		v.ps.Errorf(at("advert_int"), "whole seconds; VRRP version 2 knows no parts of them", "%s is no time for advert_int", in.AdvertInt)
	}
	if len(in.Addresses) == 0 && !broken("virtual_ipaddress") {
		v.ps.Warnf(in.Pos, "write virtual_ipaddress { ... }", "vrrp_instance '%s' carries no address", in.Name)
	}
	switch {
	case in.AuthType == vrrp.AuthPass && in.AuthPass == "" && !broken("auth_pass"):
		v.ps.Errorf(at("auth_type"), "write auth_pass on a line of its own", "vrrp_instance '%s' has auth_type PASS and no auth_pass", in.Name)
	case in.AuthType == vrrp.AuthNone && in.AuthPass != "" && !broken("auth_type"):
		v.ps.Errorf(at("auth_pass"), "write auth_type PASS", "vrrp_instance '%s' has an auth_pass and no auth_type", in.Name)
	case len(in.AuthPass) > 8:
		v.ps.Warnf(at("auth_pass"), "", "only the first 8 bytes of auth_pass are used")
	}
	if in.State == "MASTER" && in.NoPreempt {
		v.ps.Warnf(at("nopreempt"), "write state BACKUP on all machines", "state MASTER cancels nopreempt in vrrp_instance '%s'", in.Name)
	}
	if in.NoPreempt && in.PreemptDelay > 0 {
		v.ps.Warnf(at("preempt_delay"), "", "preempt_delay has no effect beside nopreempt in vrrp_instance '%s'", in.Name)
	}
	for _, t := range in.TrackScripts {
		if known := v.scriptNames(); !slices.Contains(known, t.Name) {
			v.ps.Errorf(t.Pos, meant(t.Name, known), "there is no vrrp_script '%s'", t.Name)
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

// router: a VRID means one thing on a segment.
func (v *validator) router(in *vrrp.Instance, seen map[string]*vrrp.Instance) {
	if in.VirtualRouterID == 0 || in.Interface == "" {
		return
	}
	k := fmt.Sprintf("%s %d", in.Interface, in.VirtualRouterID)
	if first, ok := seen[k]; ok {
		v.ps.Errorf(v.place("vrrp_instance", in.Name, "virtual_router_id", in.Pos), "each virtual router of an interface has its own number",
			"vrrp_instance '%s' has virtual_router_id %d on %s, as has '%s' at %s", in.Name, in.VirtualRouterID, in.Interface, first.Name, first.Pos)
		return
	}
	seen[k] = in
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
	var names []string
	for _, in := range v.doc.VRRP.Instances {
		names = append(names, in.Name)
	}
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
