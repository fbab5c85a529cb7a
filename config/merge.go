package config

import (
	"maps"
	"slices"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// merge makes one Document of what the files of several nodes say. The first view lends its values to nodes that nobody
// named; whatever differs by design goes into every node's override, and the rest of the differences are errors.
func merge(views []view, ps *source.Problems) Document {
	base := views[0]
	doc := base.doc
	for _, v := range views[1:] {
		for _, c := range Diff(doc, neutral(v.doc, doc)) {
			tell(c, base, v, ps)
		}
	}
	nodes := map[string]Override{}
	maps.Copy(nodes, doc.Nodes)
	for _, v := range views {
		o := nodes[v.node]
		o.Instances = maps.Clone(o.Instances)
		if o.Pos.IsZero() {
			o.Pos = v.doc.VRRP.Global.Pos
		}
		if anyDiffers(views, func(d Document) string { return d.VRRP.Global.RouterID }) {
			o.RouterID = new(v.doc.VRRP.Global.RouterID)
		}
		if anyDiffers(views, func(d Document) string { return d.VRRP.Global.Mail.From }) {
			o.MailFrom = new(v.doc.VRRP.Global.Mail.From)
		}
		if anyDiffers(views, func(d Document) string { return d.VRRP.Global.Mail.HeloName }) {
			o.HeloName = new(v.doc.VRRP.Global.Mail.HeloName)
		}
		for i := range v.doc.VRRP.Instances {
			addOverride(&o, views, &v.doc.VRRP.Instances[i])
		}
		if o.RouterID != nil || o.MailFrom != nil || o.HeloName != nil || len(o.Instances) > 0 {
			nodes[v.node] = o
		}
	}
	if len(nodes) > 0 {
		doc.Nodes = nodes
	}
	return doc
}

// tell reports a difference at the place of the second file, with the place of the first.
func tell(c Change, a, b view, ps *source.Problems) {
	const hint = "only router_id, notification_email_from, smtp_helo_name, state, priority, interface, dev, mcast_src_ip, unicast_src_ip, unicast_peer, " +
		"track_interface, nopreempt, preempt_delay and the arguments of notify may differ"
	c.OldPos, c.NewPos = a.spots.of(c.Path, c.OldPos), b.spots.of(c.Path, c.NewPos)
	first, second := a.node, b.node
	switch c.Kind {
	case Added:
		ps.Errorf(c.NewPos, hint, "%s: %s has it, %s has not", c.Path, second, first)
	case Removed:
		ps.Errorf(c.OldPos, hint, "%s: %s has it, %s has not", c.Path, first, second)
	default:
		ps.Errorf(c.NewPos, hint, "%s: %s says %q, %s says %q at %s", c.Path, second, c.New, first, c.Old, c.OldPos)
	}
}

func anyDiffers[T comparable](views []view, of func(Document) T) bool {
	for _, v := range views[1:] {
		if of(v.doc) != of(views[0].doc) {
			return true
		}
	}
	return false
}

// neutral is doc with base's values where the two may differ by design.
func neutral(doc, base Document) Document {
	doc.VRRP.Global.RouterID = base.VRRP.Global.RouterID
	doc.VRRP.Global.Mail.From, doc.VRRP.Global.Mail.HeloName = base.VRRP.Global.Mail.From, base.VRRP.Global.Mail.HeloName
	doc.VRRP.Global.ConfigID = base.VRRP.Global.ConfigID
	doc.VRRP.Instances = slices.Clone(doc.VRRP.Instances)
	for i := range doc.VRRP.Instances {
		in := &doc.VRRP.Instances[i]
		other := find(base, in.Name)
		if other == nil {
			continue
		}
		in.State, in.Priority, in.Interface, in.McastSrcIP = other.State, other.Priority, other.Interface, other.McastSrcIP
		in.TrackInterfaces, in.Unicast.Peers = other.TrackInterfaces, other.Unicast.Peers
		in.NoPreempt, in.PreemptDelay = other.NoPreempt, other.PreemptDelay
		mine, theirs := notifies(in), notifies(other)
		for j := range mine {
			if sameCommand(*mine[j], *theirs[j]) {
				*mine[j] = *theirs[j]
			}
		}
		in.Addresses, in.Excluded = slices.Clone(in.Addresses), slices.Clone(in.Excluded)
		as, bs := addresses(in), addresses(other)
		for j := range min(len(as), len(bs)) {
			as[j].Dev = bs[j].Dev
		}
	}
	return doc
}

func notifies(in *vrrp.Instance) [7]*[]string {
	n := &in.Notifies
	return [7]*[]string{&n.Master.Argv, &n.Backup.Argv, &n.Fault.Argv, &n.Stop.Argv, &n.Any.Argv, &n.Deleted.Argv, &n.MasterRxLower.Argv}
}

// sameCommand: arguments may differ from node to node, the command may not.
func sameCommand(a, b []string) bool { return len(a) > 0 && len(b) > 0 && a[0] == b[0] }

func find(d Document, instance string) *vrrp.Instance {
	for i := range d.VRRP.Instances {
		if d.VRRP.Instances[i].Name == instance {
			return &d.VRRP.Instances[i]
		}
	}
	return nil
}

// addOverride writes into o what in has otherwise than the same instance of another view.
func addOverride(o *Override, views []view, in *vrrp.Instance) {
	var io InstanceOverride
	any := false
	for _, v := range views {
		other := find(v.doc, in.Name)
		if other == nil {
			return
		}
		any = overrideFields(&io, in, other) || any
	}
	if !any {
		return
	}
	io.Pos = in.Pos
	if o.Instances == nil {
		o.Instances = map[string]InstanceOverride{}
	}
	o.Instances[in.Name] = io
}

// overrideFields takes those of in's values that other has not.
func overrideFields(io *InstanceOverride, in, other *vrrp.Instance) bool {
	any := false
	take := func(differ bool, f func()) {
		if differ {
			any = true
			f()
		}
	}
	take(in.State != other.State, func() { io.State = new(in.State) })
	take(in.Priority != other.Priority, func() { io.Priority = new(in.Priority) })
	take(in.Interface != other.Interface, func() { io.Interface = new(in.Interface) })
	take(in.McastSrcIP != other.McastSrcIP, func() { io.McastSrcIP = new(in.McastSrcIP) })
	take(in.NoPreempt != other.NoPreempt, func() { io.NoPreempt = new(in.NoPreempt) })
	take(in.PreemptDelay != other.PreemptDelay, func() { io.PreemptDelay = new(in.PreemptDelay) })
	samePeers := slices.EqualFunc(in.Unicast.Peers, other.Unicast.Peers, func(a, b vrrp.Peer) bool {
		a.Pos, b.Pos = source.Pos{}, source.Pos{}
		return a == b
	})
	take(!samePeers, func() { io.UnicastPeers = append([]vrrp.Peer{}, in.Unicast.Peers...) })
	sameTrack := slices.EqualFunc(in.TrackInterfaces, other.TrackInterfaces, func(a, b vrrp.TrackInterface) bool {
		a.Pos, b.Pos = source.Pos{}, source.Pos{}
		return a == b
	})
	take(!sameTrack, func() { io.TrackInterfaces = append([]vrrp.TrackInterface{}, in.TrackInterfaces...) })
	take(!slices.Equal(devs(in), devs(other)), func() { io.Devs = devs(in) })
	to := [7]*[]string{&io.NotifyMaster, &io.NotifyBackup, &io.NotifyFault, &io.NotifyStop, &io.Notify, &io.NotifyDeleted, &io.NotifyMasterRxLower}
	mine, theirs := notifies(in), notifies(other)
	for i := range mine {
		take(!slices.Equal(*mine[i], *theirs[i]), func() { *to[i] = *mine[i] })
	}
	return any
}

func devs(in *vrrp.Instance) []string {
	out := []string{}
	for _, a := range addresses(in) {
		out = append(out, a.Dev)
	}
	return out
}
