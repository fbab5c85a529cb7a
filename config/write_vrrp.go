package config

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/zclconf/go-cty/cty"

	"github.com/reeve-lb/reeve/vrrp"
)

func itoa(n int) string { return strconv.Itoa(n) }

// globalDefs writes what differs from the defaults, and the blocks and lists beside it.
func (w writer) globalDefs(g vrrp.Global) {
	def := defaultVRRPGlobal()
	rest := g
	rest.SNMP, rest.Webhooks, rest.InterfaceDelays, rest.ConfigID = def.SNMP, nil, nil, ""
	if !(&differ{}).same(rest, def) {
		w.top("global_defs").globalWords(&g, def)
	}
	if snmp, def := g.SNMP, def.SNMP; snmp.EnableTraps != def.EnableTraps || snmp != def {
		w.snmp(g.SNMP, def)
	}
	for i := range g.Webhooks {
		w.top("webhook", g.Webhooks[i].Name).scalars("webhook", &g.Webhooks[i])
	}
	var delays []string
	for _, d := range g.InterfaceDelays {
		delays = append(delays, lineWords(d.Interface, seconds3(d.Down), seconds3(d.Up)))
	}
	w.topList("interface_up_down_delays", delays)
}

// globalWords writes into a block global_defs { }.
func (w writer) globalWords(g *vrrp.Global, def vrrp.Global) {
	w.scalars("global_defs", g)
	w.extraIf("vrrp_garp_extra_if", g.GarpExtraIf, g.GarpExtraIfAll)
	if g.ScriptUser != "" {
		w.text("script_user", userWords(g.ScriptUser))
	}
	switch {
	case g.AllowIfChanges:
		w.text("dynamic_interfaces", "allow_if_changes")
	case g.DynamicInterfaces:
		w.set("dynamic_interfaces", cty.True)
	}
	if g.Mail.Server != "" {
		port := ""
		if g.Mail.Port != def.Mail.Port {
			port = itoa(g.Mail.Port)
		}
		w.text("smtp_server", join2(g.Mail.Server, port))
	}
	for _, f := range []struct {
		name string
		fifo vrrp.FIFO
	}{{"notify_fifo", g.FIFO}, {"vrrp_notify_fifo", g.VRRPFIFO}} {
		if f.fifo.Path != "" {
			w.text(f.name, join2(lineWords(f.fifo.Path), userWords(f.fifo.User)))
		}
	}
	if g.ReloadFile != nil {
		w.text("reload_file", *g.ReloadFile)
	}
	if g.Umask != nil {
		w.text("umask", "0"+strconv.FormatInt(int64(*g.Umask), 8))
	}
}

func (w writer) snmp(s, def vrrp.SNMP) {
	s.EnableTraps = false // a word of global_defs
	if s.Pos = def.Pos; s == def {
		return
	}
	b := w.top("snmp")
	b.scalars("snmp", &s)
	if s.User != (vrrp.SNMPUser{}) {
		b.block("user").scalars("snmp-user", &s.User)
	}
}

// topList writes a list that stands outside of blocks.
func (w writer) topList(name string, lines []string) {
	if len(lines) == 0 {
		return
	}
	if len(w.body.Blocks())+len(w.body.Attributes()) > 0 {
		w.body.AppendNewline()
	}
	w.forced(name, lines)
}

// vrrp writes the sections of keepalived.conf but global_defs.
func (w writer) vrrp(d Document) {
	c := &d.VRRP
	w.topList("static_ipaddress", addressLines(c.Static.Addresses))
	w.topList("static_routes", routeLines(c.Static.Routes))
	w.topList("static_rules", ruleLines(c.Static.Rules))
	for _, g := range c.TrackGroups {
		w.top("track_group", g.Name).scalars("track_group", &g)
	}
	for i := range c.Scripts {
		w.script(&c.Scripts[i])
	}
	for i := range c.Processes {
		w.process(&c.Processes[i])
	}
	for i := range c.Files {
		w.file(&c.Files[i])
	}
	for i := range c.SyncGroups {
		w.syncGroup(&c.SyncGroups[i])
	}
	for i := range c.GarpGroups {
		w.top("garp_group").scalars("garp_group", &c.GarpGroups[i])
	}
	for i := range c.Instances {
		w.instance(&c.Instances[i], c.Global)
	}
}

func (w writer) script(s *vrrp.Script) {
	b := w.top("vrrp_script", s.Name)
	if len(s.Command) > 0 {
		b.forced("script", s.Command)
	}
	c := *s
	if c.Timeout == c.Interval {
		c.Timeout = 0
	}
	b.scalars("vrrp_script", &c)
	if s.Weight != 0 {
		b.set("weight", cty.NumberIntVal(int64(s.Weight)))
	}
	if s.User != "" {
		b.text("user", userWords(s.User))
	}
}

func (w writer) process(p *vrrp.Process) {
	b := w.top("vrrp_track_process", p.Name)
	if p.Command != "" {
		b.text("process", lineWords(append([]string{p.Command}, p.Args...)...))
	}
	b.scalars("vrrp_track_process", p)
	if p.Weight != 0 {
		b.set("weight", cty.NumberIntVal(int64(p.Weight)))
	}
	if p.QuorumMax != 0 {
		b.set("quorum_max", cty.NumberIntVal(int64(max(p.QuorumMax, 0))))
	}
}

func (w writer) file(f *vrrp.File) {
	b := w.top("track_file", f.Name)
	b.scalars("track_file", f)
	if f.Weight != 1 {
		b.set("weight", cty.NumberIntVal(int64(f.Weight)))
	}
	if f.Init != nil {
		over := ""
		if f.Overwrite {
			over = "overwrite"
		}
		b.text("init_file", join2(itoa(*f.Init), over))
	}
}

func (w writer) syncGroup(g *vrrp.SyncGroup) {
	b := w.top("vrrp_sync_group", g.Name)
	b.scalars("vrrp_sync_group", g)
	b.tracks(g.TrackScripts, g.TrackInterfaces, g.TrackProcesses, g.TrackFiles)
}

func (w writer) tracks(scripts []vrrp.Track, interfaces []vrrp.TrackInterface, processes, files []vrrp.Track) {
	w.list("track_script", trackLines(scripts))
	w.list("track_interface", trackInterfaceLines(interfaces))
	w.list("track_process", trackLines(processes))
	w.list("track_file", trackLines(files))
}

func (w writer) instance(in *vrrp.Instance, g vrrp.Global) {
	b := w.top("vrrp_instance", in.Name)
	c := *in
	if c.Version == derived(0, in.IPv6(), g.Version) {
		c.Version = 0
	}
	b.scalars("vrrp_instance", &c)
	if in.AuthType != vrrp.AuthNone {
		b.block("authentication").scalars("authentication", in)
	}
	b.unicast(in.Unicast)
	b.vmac(in.VMAC)
	b.list("virtual_ipaddress", addressLines(in.Addresses))
	b.list("virtual_ipaddress_excluded", addressLines(in.Excluded))
	b.list("virtual_routes", routeLines(in.Routes))
	b.list("virtual_rules", ruleLines(in.Rules))
	b.tracks(in.TrackScripts, in.TrackInterfaces, in.TrackProcesses, in.TrackFiles)
	b.extraIf("garp_extra_if", in.Garp.ExtraIf, in.Garp.ExtraIfAll)
	if in.Notifies.SayDeleted && len(in.Notifies.Deleted.Argv) == 0 {
		b.forced("notify_deleted", nil)
	}
}

func (w writer) unicast(u vrrp.Unicast) {
	w.list("unicast_peer", peerLines(u.Peers))
	if u.OldChecksum == nil {
		return
	}
	if *u.OldChecksum {
		w.set("old_unicast_checksum", cty.True)
	} else {
		w.text("old_unicast_checksum", "never")
	}
}

func (w writer) vmac(v vrrp.VMAC) {
	name := v.Name
	if v.Use {
		w.lineOrTrue("use_vmac", join2(name, v.MAC))
		name = ""
	}
	if v.IPVlan {
		ip := ""
		if v.IPVlanIP.IsValid() {
			ip = v.IPVlanIP.String()
		}
		w.lineOrTrue("use_ipvlan", join2(name, ip, v.IPVlanMode))
	}
}

// lineOrTrue writes a word that may stand alone.
func (w writer) lineOrTrue(name, line string) {
	if line == "" {
		w.set(name, cty.True)
	} else {
		w.text(name, line)
	}
}

func (w writer) extraIf(name string, every *time.Duration, all bool) {
	if every == nil {
		return
	}
	prefix := ""
	if all {
		prefix = "all"
	}
	w.text(name, join2(prefix, duration(*every)))
}

func (w writer) node(name string, o Override) {
	b := w.top("node", name)
	b.scalars("override", &o)
	for _, f := range slices.Sorted(maps.Keys(o.Frontends)) {
		b.block("frontend", f).list("bind", bindLines(o.Frontends[f].Binds))
	}
	for _, in := range slices.Sorted(maps.Keys(o.Instances)) {
		io := o.Instances[in]
		i := b.block("vrrp_instance", in)
		devs := io.Devs
		io.Devs = nil
		i.scalars("override-instance", &io)
		if devs != nil {
			i.forced("devs", devs)
		}
		if io.UnicastPeers != nil {
			i.forced("unicast_peer", peerLines(io.UnicastPeers))
		}
		if io.TrackInterfaces != nil {
			i.forced("track_interface", trackInterfaceLines(io.TrackInterfaces))
		}
		i.notifies(io)
	}
}

func (w writer) notifies(o InstanceOverride) {
	for _, n := range []struct {
		name string
		argv []string
	}{
		{"notify_master", o.NotifyMaster}, {"notify_backup", o.NotifyBackup}, {"notify_fault", o.NotifyFault}, {"notify_stop", o.NotifyStop},
		{"notify_deleted", o.NotifyDeleted}, {"notify_master_rx_lower_pri", o.NotifyMasterRxLower}, {"notify", o.Notify},
	} {
		w.list(n.name, n.argv)
	}
}
