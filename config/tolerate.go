package config

import (
	"slices"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// milder makes warnings of the errors that keepalived runs with.
func milder(ps source.Problems) source.Problems {
	for i, p := range ps {
		if p.Severity == source.Error && p.Kind() < source.ClassFatal {
			ps[i].Class, ps[i].Severity = p.Kind(), source.Warning
		}
	}
	return ps
}

// tolerate leaves out what keepalived leaves out of a file with mistakes, so that what is left is whole.
func tolerate(c *vrrp.Config) {
	c.Scripts = first(c.Scripts, func(s vrrp.Script) string { return s.Name }, func(s vrrp.Script) bool { return len(s.Command) > 0 || s.Shell != "" })
	c.Processes = first(c.Processes, func(p vrrp.Process) string { return p.Name }, func(p vrrp.Process) bool { return p.Command != "" })
	c.Files = first(c.Files, func(f vrrp.File) string { return f.Name }, func(f vrrp.File) bool { return f.Path != "" })
	c.Instances = first(c.Instances, func(in vrrp.Instance) string { return in.Name }, func(vrrp.Instance) bool { return true })
	c.Global.Webhooks = first(c.Global.Webhooks, func(w vrrp.Webhook) string { return w.Name }, func(w vrrp.Webhook) bool { return w.URL != "" })
	for i := range c.Processes {
		if p := &c.Processes[i]; p.QuorumMax > 0 && p.QuorumMax < p.Quorum {
			p.QuorumMax = 0
		}
	}
	for i := range c.Instances {
		in := &c.Instances[i]
		if in.AuthType == vrrp.AuthNone || in.AuthPass == "" {
			in.AuthType, in.AuthPass = vrrp.AuthNone, ""
		}
		keepKnown(c, &in.TrackScripts, &in.TrackProcesses, &in.TrackFiles)
	}
	tolerateGroups(c)
}

// tolerateGroups: a member is an instance that is there and of no group before; a group without members is none.
func tolerateGroups(c *vrrp.Config) {
	names := each(c.Instances, func(in vrrp.Instance) string { return in.Name })
	taken := map[string]bool{}
	c.SyncGroups = first(c.SyncGroups, func(g vrrp.SyncGroup) string { return g.Name }, func(vrrp.SyncGroup) bool { return true })
	for i := range c.SyncGroups {
		g := &c.SyncGroups[i]
		g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(m string) bool {
			gone := taken[m] || !slices.Contains(names, m)
			taken[m] = true
			return gone
		})
		keepKnown(c, &g.TrackScripts, &g.TrackProcesses, &g.TrackFiles)
	}
	c.SyncGroups = slices.DeleteFunc(c.SyncGroups, func(g vrrp.SyncGroup) bool { return len(g.Members) == 0 })
	groups := each(c.TrackGroups, func(g vrrp.TrackGroup) string { return g.Name })
	for i := range c.TrackGroups {
		g := &c.TrackGroups[i]
		g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(m string) bool { return !slices.Contains(names, m) })
	}
	forget := func(group *string) {
		if !slices.Contains(groups, *group) {
			*group = ""
		}
	}
	for i := range c.Static.Addresses {
		forget(&c.Static.Addresses[i].TrackGroup)
	}
	for i := range c.Static.Routes {
		forget(&c.Static.Routes[i].TrackGroup)
	}
	for i := range c.Static.Rules {
		forget(&c.Static.Rules[i].TrackGroup)
	}
}

// first keeps of things with the same name the first, and only what is whole.
func first[T any](list []T, name func(T) string, whole func(T) bool) []T {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(v T) bool {
		again := seen[name(v)]
		seen[name(v)] = true
		return again || !whole(v)
	})
}

// keepKnown drops trackers of what is not there.
func keepKnown(c *vrrp.Config, scripts, processes, files *[]vrrp.Track) {
	keep := func(tracks *[]vrrp.Track, names []string) {
		*tracks = slices.DeleteFunc(*tracks, func(t vrrp.Track) bool { return !slices.Contains(names, t.Name) })
	}
	keep(scripts, each(c.Scripts, func(s vrrp.Script) string { return s.Name }))
	keep(processes, each(c.Processes, func(p vrrp.Process) string { return p.Name }))
	keep(files, each(c.Files, func(f vrrp.File) string { return f.Name }))
}
