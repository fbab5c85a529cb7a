package config

import (
	"cmp"
	"slices"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// implied are the interfaces that an instance tracks unasked, as keepalived does: where addresses, routes and rules of it
// are that do not say no_track, and where static ones are whose track_group names it. While one of them is down the
// instance is in FAULT. Its own interface, and what track_interface names, are not among them.
func implied(in vrrp.Instance, c vrrp.Config) (out []vrrp.TrackInterface) {
	add := func(dev string, pos source.Pos) {
		same := func(t vrrp.TrackInterface) bool { return t.Name == dev }
		if dev != "" && dev != in.Interface && !slices.ContainsFunc(in.TrackInterfaces, same) && !slices.ContainsFunc(out, same) {
			out = append(out, vrrp.TrackInterface{Name: dev, Pos: pos})
		}
	}
	for _, a := range slices.Concat(in.Addresses, in.Excluded) {
		if !a.NoTrack {
			add(a.Dev, a.Pos)
		}
	}
	for _, r := range in.Routes {
		if !r.NoTrack {
			add(r.Dev, r.Pos)
		}
	}
	for _, r := range in.Rules {
		if !r.NoTrack {
			add(r.IIF, r.Pos)
			add(r.OIF, r.Pos)
		}
	}
	of := func(group string) bool {
		return group != "" && slices.ContainsFunc(c.TrackGroups, func(g vrrp.TrackGroup) bool {
			return g.Name == group && slices.Contains(g.Members, in.Name)
		})
	}
	for _, a := range c.Static.Addresses {
		if of(a.TrackGroup) {
			add(cmp.Or(a.Dev, c.Global.DefaultInterface, "eth0"), a.Pos)
		}
	}
	for _, r := range c.Static.Routes {
		if of(r.TrackGroup) {
			add(r.Dev, r.Pos)
		}
	}
	for _, r := range c.Static.Rules {
		if of(r.TrackGroup) {
			add(r.IIF, r.Pos)
			add(r.OIF, r.Pos)
		}
	}
	return out
}
