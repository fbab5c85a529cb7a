package config

import (
	"slices"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// For is the Document as the named node runs it: `node "lb1" { ... }` merged into the frontends and instances. The receiver is left
// alone. An instance that starts as MASTER has neither nopreempt nor preempt_delay, as in keepalived.
func (d Document) For(node string) Document {
	o := d.Nodes[node]
	out := d
	out.Nodes = nil
	out.VRRP.Instances = slices.Clone(d.VRRP.Instances)
	out.Proxy.Frontends = slices.Clone(d.Proxy.Frontends)
	for i := range out.Proxy.Frontends {
		if fo, ok := o.Frontends[out.Proxy.Frontends[i].Name]; ok {
			out.Proxy.Frontends[i].Binds = fo.Binds
		}
	}
	set(&out.VRRP.Global.RouterID, o.RouterID)
	set(&out.VRRP.Global.Mail.From, o.MailFrom)
	set(&out.VRRP.Global.Mail.HeloName, o.HeloName)
	for i := range out.VRRP.Instances {
		in := &out.VRRP.Instances[i]
		if io, ok := o.Instances[in.Name]; ok {
			io.apply(in)
		}
		if strict(in, out.VRRP.Global) {
			beStrict(in)
		}
		if in.State == "MASTER" {
			in.NoPreempt, in.PreemptDelay = false, time.Duration(0)
		}
		in.TrackInterfaces = slices.Concat(in.TrackInterfaces, implied(*in, out.VRRP))
	}
	return out
}

// strict reports whether an instance holds to the letter of the RFC.
func strict(in *vrrp.Instance, g vrrp.Global) bool {
	if in.StrictMode != nil {
		return *in.StrictMode
	}
	return g.Strict
}

// beStrict takes away what the RFC does not know, as keepalived's vrrp_strict does.
func beStrict(in *vrrp.Instance) {
	owner := in.Priority == 255
	if in.State == "MASTER" && !owner {
		in.State = "BACKUP"
	}
	if owner {
		in.State = "MASTER"
	}
	in.AuthType, in.AuthPass = vrrp.AuthNone, ""
	in.PreemptDelay, in.DownTimer = 0, 3
	in.LowerNoAdvert, in.HigherSend = new(true), new(false)
	in.Garp.LowerPrioRepeat = new(0)
	in.VMAC.XmitBase, in.VMAC.MAC = false, ""
	if in.Version != 3 || in.Accept == nil {
		in.Accept = &owner
	}
}

func (o InstanceOverride) apply(in *vrrp.Instance) {
	set(&in.State, o.State)
	set(&in.Priority, o.Priority)
	set(&in.Interface, o.Interface)
	set(&in.McastSrcIP, o.McastSrcIP)
	set(&in.NoPreempt, o.NoPreempt)
	set(&in.PreemptDelay, o.PreemptDelay)
	if o.UnicastPeers != nil {
		in.Unicast.Peers = o.UnicastPeers
	}
	if o.TrackInterfaces != nil {
		in.TrackInterfaces = o.TrackInterfaces
	}
	for _, n := range []struct {
		to   *[]string
		from []string
	}{
		{&in.Notifies.Master.Argv, o.NotifyMaster}, {&in.Notifies.Backup.Argv, o.NotifyBackup}, {&in.Notifies.Fault.Argv, o.NotifyFault},
		{&in.Notifies.Stop.Argv, o.NotifyStop}, {&in.Notifies.Any.Argv, o.Notify},
		{&in.Notifies.Deleted.Argv, o.NotifyDeleted}, {&in.Notifies.MasterRxLower.Argv, o.NotifyMasterRxLower},
	} {
		if n.from != nil {
			*n.to = n.from
		}
	}
	if o.Devs != nil {
		in.Addresses, in.Excluded = slices.Clone(in.Addresses), slices.Clone(in.Excluded)
		for i, a := range addresses(in) {
			if i < len(o.Devs) {
				a.Dev = o.Devs[i]
			}
		}
	}
}

// addresses is every address an instance carries, those of its adverts first.
func addresses(in *vrrp.Instance) []*vrrp.Address {
	all := make([]*vrrp.Address, 0, len(in.Addresses)+len(in.Excluded))
	for i := range in.Addresses {
		all = append(all, &in.Addresses[i])
	}
	for i := range in.Excluded {
		all = append(all, &in.Excluded[i])
	}
	return all
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}
