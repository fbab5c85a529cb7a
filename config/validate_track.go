package config

import (
	"net/netip"
	"slices"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// trackers looks at what instances and groups track: names, commands, files.
func (v *validator) trackers() {
	c := &v.doc.VRRP
	for _, i := range v.once("vrrp_script", len(c.Scripts), func(i int) (string, source.Pos) { return c.Scripts[i].Name, c.Scripts[i].Pos }) {
		s := c.Scripts[i]
		if len(s.Command) == 0 && s.Shell == "" && !v.isBroken("vrrp_script", s.Name, "script") {
			v.ps.Errorf(s.Pos, `write script "/path/to/check"`, "vrrp_script '%s' has no script", s.Name)
		}
		v.used("vrrp_script", "track_script", s.Name, s.Pos, func(in *vrrp.Instance) []vrrp.Track { return in.TrackScripts },
			func(g *vrrp.SyncGroup) []vrrp.Track { return g.TrackScripts })
	}
	for _, i := range v.once("vrrp_track_process", len(c.Processes), func(i int) (string, source.Pos) { return c.Processes[i].Name, c.Processes[i].Pos }) {
		p := c.Processes[i]
		if p.Command == "" {
			v.ps.Errorf(p.Pos, "write process NAME", "vrrp_track_process '%s' has no process", p.Name)
		}
		if p.QuorumMax > 0 && p.QuorumMax < p.Quorum {
			v.ps.Errorf(p.Pos, "", "quorum_max is less than quorum in vrrp_track_process '%s'", p.Name)
		}
		v.used("vrrp_track_process", "track_process", p.Name, p.Pos, func(in *vrrp.Instance) []vrrp.Track { return in.TrackProcesses },
			func(g *vrrp.SyncGroup) []vrrp.Track { return g.TrackProcesses })
	}
	for _, i := range v.once("track_file", len(c.Files), func(i int) (string, source.Pos) { return c.Files[i].Name, c.Files[i].Pos }) {
		f := c.Files[i]
		if f.Path == "" && !v.isBroken("track_file", f.Name, "file") {
			v.ps.Errorf(f.Pos, "write file /path", "track_file '%s' has no file", f.Name)
		}
		v.used("track_file", "track_file", f.Name, f.Pos, func(in *vrrp.Instance) []vrrp.Track { return in.TrackFiles },
			func(g *vrrp.SyncGroup) []vrrp.Track { return g.TrackFiles })
	}
}

// once are those of n named things whose name was not there before.
func (v *validator) once(kind string, n int, of func(int) (string, source.Pos)) []int {
	seen := map[string]source.Pos{}
	var out []int
	for i := range n {
		name, at := of(i)
		if first, ok := seen[name]; ok {
			v.ps.Errorf(at, "", "%s '%s' was already defined at %s", kind, name, first)
			if slices.Contains([]string{"vrrp_script", "vrrp_track_process", "track_file"}, kind) {
				v.ps.As(source.ClassSilent) // keepalived does not notice
			}
			continue
		}
		seen[name] = at
		out = append(out, i)
	}
	return out
}

// used warns of what nobody tracks.
func (v *validator) used(kind, word, name string, at source.Pos, instance func(*vrrp.Instance) []vrrp.Track, group func(*vrrp.SyncGroup) []vrrp.Track) {
	is := func(t vrrp.Track) bool { return t.Name == name }
	for i := range v.doc.VRRP.Instances {
		if slices.ContainsFunc(instance(&v.doc.VRRP.Instances[i]), is) {
			return
		}
	}
	for i := range v.doc.VRRP.SyncGroups {
		if slices.ContainsFunc(group(&v.doc.VRRP.SyncGroups[i]), is) {
			return
		}
	}
	v.ps.Warnf(at, "write it in a "+word, "%s '%s' is used by no vrrp_instance", kind, name)
}

// tracks checks that what is tracked is there.
func (v *validator) tracks(scripts, processes, files []vrrp.Track) {
	c := &v.doc.VRRP
	v.known("vrrp_script", scripts, each(c.Scripts, func(s vrrp.Script) string { return s.Name }))
	v.known("vrrp_track_process", processes, each(c.Processes, func(p vrrp.Process) string { return p.Name }))
	v.known("track_file", files, each(c.Files, func(f vrrp.File) string { return f.Name }))
}

func (v *validator) known(kind string, tracks []vrrp.Track, known []string) {
	for i, t := range tracks {
		v.again(slices.ContainsFunc(tracks[:i], func(o vrrp.Track) bool { return o.Name == t.Name }), t.Name, t.Pos)
		if !slices.Contains(known, t.Name) {
			v.ps.Errorf(t.Pos, meant(t.Name, known), "there is no %s '%s'", kind, t.Name)
		}
	}
}

// again warns of what a list has twice: the first counts.
func (v *validator) again(twice bool, name string, at source.Pos) {
	if twice {
		v.ps.Warnf(at, "", "'%s' is in this list already", name)
		v.ps.As(source.ClassTolerated)
	}
}

// interfaces: what a group tracks its members need not.
func (v *validator) interfaces(g *vrrp.SyncGroup) {
	for i := range v.doc.VRRP.Instances {
		in := &v.doc.VRRP.Instances[i]
		if !slices.Contains(g.Members, in.Name) {
			continue
		}
		for _, t := range g.TrackInterfaces {
			same := func(o vrrp.TrackInterface) bool { return o.Name == t.Name }
			if t.Name == in.Interface || slices.ContainsFunc(in.TrackInterfaces, same) {
				v.ps.Warnf(t.Pos, "its own interface is watched in any case", "vrrp_instance '%s' of vrrp_sync_group '%s' tracks '%s' itself", in.Name, g.Name, t.Name)
				v.ps.As(source.ClassTolerated)
			}
		}
	}
}

// syncGroups: members are there, and of one group.
func (v *validator) syncGroups() {
	names := v.instanceNames()
	owner := map[string]string{}
	c := &v.doc.VRRP
	for _, i := range v.once("vrrp_sync_group", len(c.SyncGroups), func(i int) (string, source.Pos) { return c.SyncGroups[i].Name, c.SyncGroups[i].Pos }) {
		g := &c.SyncGroups[i]
		v.tracks(g.TrackScripts, g.TrackProcesses, g.TrackFiles)
		v.interfaces(g)
		for _, m := range g.Members {
			first, taken := owner[m]
			switch {
			case !slices.Contains(names, m):
				v.ps.Errorf(g.Pos, meant(m, names), "vrrp_sync_group '%s': there is no vrrp_instance '%s'", g.Name, m)
			case taken:
				v.ps.Errorf(g.Pos, "an instance is of one group", "vrrp_sync_group '%s': vrrp_instance '%s' is in group '%s' already", g.Name, m, first)
			default:
				owner[m] = g.Name
			}
		}
		switch len(g.Members) {
		case 0:
			v.ps.Errorf(g.Pos, "write group { VI_1 VI_2 }", "vrrp_sync_group '%s' has no members", g.Name)
		case 1:
			v.ps.Warnf(g.Pos, "", "vrrp_sync_group '%s' has one member, which has nobody to be in step with", g.Name)
			v.ps.As(source.ClassTolerated)
			v.ps.Name("sync-group-single")
		}
		v.weights(g)
	}
}

// weights: members of a group with weights of their own would drift apart.
func (v *validator) weights(g *vrrp.SyncGroup) {
	if g.TrackingWeight {
		return
	}
	tell := func(at source.Pos, name string) {
		v.ps.Warnf(at, "track it in the group, or write sync_group_tracking_weight there", "the weight of '%s' has no effect in a member of vrrp_sync_group '%s'", name, g.Name)
		v.ps.As(source.ClassTolerated)
		v.ps.Name("sync-group-weight")
	}
	for i := range v.doc.VRRP.Instances {
		in := &v.doc.VRRP.Instances[i]
		if !slices.Contains(g.Members, in.Name) {
			continue
		}
		for _, t := range in.TrackInterfaces {
			if t.Weight != 0 {
				tell(t.Pos, t.Name)
			}
		}
		for _, t := range in.TrackScripts {
			j := slices.IndexFunc(v.doc.VRRP.Scripts, func(s vrrp.Script) bool { return s.Name == t.Name })
			if t.Weight != nil && *t.Weight != 0 || t.Weight == nil && j >= 0 && v.doc.VRRP.Scripts[j].Weight != 0 {
				tell(t.Pos, t.Name)
			}
		}
	}
}

// static: what is there for good names groups that exist, and is there once.
func (v *validator) static() {
	c := &v.doc.VRRP
	v.once("track_group", len(c.TrackGroups), func(i int) (string, source.Pos) { return c.TrackGroups[i].Name, c.TrackGroups[i].Pos })
	groups := each(c.TrackGroups, func(g vrrp.TrackGroup) string { return g.Name })
	names := v.instanceNames()
	for _, g := range c.TrackGroups {
		for _, m := range g.Members {
			if !slices.Contains(names, m) {
				v.ps.Errorf(g.Pos, meant(m, names), "track_group '%s': there is no vrrp_instance '%s'", g.Name, m)
				v.ps.As(source.ClassSilent)
			}
		}
	}
	check := func(at source.Pos, group string) {
		if group != "" && !slices.Contains(groups, group) {
			v.ps.Errorf(at, meant(group, groups), "there is no track_group '%s'", group)
		}
	}
	seen := map[netip.Addr]source.Pos{}
	for _, a := range c.Static.Addresses {
		check(a.Pos, a.TrackGroup)
		if first, ok := seen[a.Prefix.Addr()]; ok {
			v.ps.Warnf(a.Pos, "", "%s is a static address already at %s", a.Prefix.Addr(), first)
		}
		seen[a.Prefix.Addr()] = a.Pos
	}
	for _, r := range c.Static.Routes {
		check(r.Pos, r.TrackGroup)
	}
	for _, r := range c.Static.Rules {
		check(r.Pos, r.TrackGroup)
	}
}

// alertPlace is the first place that asks for mail.
func (v *validator) alertPlace() source.Pos {
	for _, in := range v.doc.VRRP.Instances {
		if in.SMTPAlert != nil && *in.SMTPAlert {
			return in.Pos
		}
	}
	for _, g := range v.doc.VRRP.SyncGroups {
		if g.SMTPAlert != nil && *g.SMTPAlert {
			return g.Pos
		}
	}
	return v.doc.VRRP.Global.Pos
}

// alerts: where transitions are told is there as a whole.
func (v *validator) alerts() {
	g := &v.doc.VRRP.Global
	c := &v.doc.VRRP
	wanted := g.Mail.Alert != nil && *g.Mail.Alert || g.Mail.AlertVRRP != nil && *g.Mail.AlertVRRP ||
		slices.ContainsFunc(c.Instances, func(in vrrp.Instance) bool { return in.SMTPAlert != nil && *in.SMTPAlert }) ||
		slices.ContainsFunc(c.SyncGroups, func(s vrrp.SyncGroup) bool { return s.SMTPAlert != nil && *s.SMTPAlert })
	if wanted && (g.Mail.Server == "" || len(g.Mail.To) == 0) {
		v.ps.Warnf(v.alertPlace(), "write smtp_server HOST and notification_email { ... }", "smtp_alert is set, but no mail is sent without a server and recipients")
	}
	if g.SNMP.EnableTraps && g.SNMP.TrapSink == "" {
		v.ps.Warnf(g.Pos, `write snmp { trap_sink = "HOST" } in an .hcl file`, "enable_traps is set, but no trap is sent without a trap_sink")
	}
	u := g.SNMP.User
	switch at := g.SNMP.Pos; {
	case g.SNMP.Version == "3" && u.Name == "":
		v.ps.Errorf(at, "write user { name = ... }", "SNMP version 3 needs a user")
	case (u.AuthProtocol != "") && tooShort(u.AuthPass), (u.PrivProtocol != "") && tooShort(u.PrivPass):
		v.ps.Errorf(at, "at least 8 bytes", "the password of SNMP's user '%s' is too short", u.Name)
	case u.PrivProtocol != "" && u.AuthProtocol == "":
		v.ps.Errorf(at, "write auth_protocol too", "SNMP's user '%s' has a priv_protocol and no auth_protocol", u.Name)
	}
	for _, i := range v.once("webhook", len(g.Webhooks), func(i int) (string, source.Pos) { return g.Webhooks[i].Name, g.Webhooks[i].Pos }) {
		if w := g.Webhooks[i]; w.URL == "" && !v.isBroken("webhook", w.Name, "url") {
			v.ps.Errorf(w.Pos, `write url = "https://..."`, "webhook '%s' has no url", w.Name)
		}
	}
}
