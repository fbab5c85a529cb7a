package config

import (
	"maps"
	"slices"
	"strconv"

	"github.com/reeve-lb/reeve/vrrp"
)

func itoa(n int) string { return strconv.Itoa(n) }

func (w writer) instance(in *vrrp.Instance) {
	b := w.top("vrrp_instance", in.Name)
	b.scalars("vrrp_instance", in)
	if in.AuthType != vrrp.AuthNone {
		b.block("authentication").scalars("authentication", in)
	}
	b.list("virtual_ipaddress", addressLines(in.Addresses))
	b.list("virtual_ipaddress_excluded", addressLines(in.Excluded))
	var scripts []string
	for _, t := range in.TrackScripts {
		scripts = append(scripts, weightWords(t.Name, t.Weight, t.Reverse))
	}
	b.list("track_script", scripts)
	b.list("track_interface", trackInterfaceLines(in.TrackInterfaces))
	b.notifies(in.Notifies.Master.Argv, in.Notifies.Backup.Argv, in.Notifies.Fault.Argv, in.Notifies.Stop.Argv, in.Notifies.Any.Argv)
}

func (w writer) notifies(argvs ...[]string) {
	for i, name := range []string{"notify_master", "notify_backup", "notify_fault", "notify_stop", "notify"} {
		w.list(name, argvs[i])
	}
}

func addressLines(as []vrrp.Address) []string {
	var out []string
	for _, a := range as {
		out = append(out, addressLine(a))
	}
	return out
}

func trackInterfaceLines(ts []vrrp.TrackInterface) []string {
	var out []string
	for _, t := range ts {
		out = append(out, trackInterfaceLine(t))
	}
	return out
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
		if io.TrackInterfaces != nil {
			i.forced("track_interface", trackInterfaceLines(io.TrackInterfaces))
		}
		i.notifies(io.NotifyMaster, io.NotifyBackup, io.NotifyFault, io.NotifyStop, io.Notify)
	}
}
