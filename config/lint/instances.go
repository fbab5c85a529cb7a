package lint

import (
	"net/netip"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// nopreemptMaster: what state MASTER takes away. Where one file shows it, its reader has said so.
func (l *look) nopreemptMaster() {
	l.each(func(v *view, in, written *vrrp.Instance) {
		if written.NoPreempt && written.State == "MASTER" {
			l.warn(l.at(v.node, in), "write state BACKUP on all machines", "state MASTER cancels nopreempt in vrrp_instance '%s'", in.Name)
		}
	})
}

func (l *look) delayMaster() {
	l.each(func(v *view, in, written *vrrp.Instance) {
		if written.PreemptDelay > 0 && written.State == "MASTER" {
			l.warn(l.at(v.node, in), "write state BACKUP on all machines", "state MASTER cancels preempt_delay in vrrp_instance '%s'", in.Name)
		}
	})
}

func ipv6(in *vrrp.Instance) bool {
	return in.NativeIPv6 || len(in.Addresses) > 0 && in.Addresses[0].Prefix.Addr().Is6()
}

func all(in *vrrp.Instance) []vrrp.Address {
	return append(append([]vrrp.Address{}, in.Addresses...), in.Excluded...)
}

// routers: one number, one virtual router on a segment. The same interface in what all share is an error already.
func (l *look) routers() {
	for i := range l.views {
		v := &l.views[i]
		for j := range v.VRRP.Instances {
			for k := range j {
				a, b := &v.VRRP.Instances[k], &v.VRRP.Instances[j]
				if a.VirtualRouterID == 0 || a.VirtualRouterID != b.VirtualRouterID || ipv6(a) != ipv6(b) ||
					len(a.Unicast.Peers) > 0 && len(b.Unicast.Peers) > 0 {
					continue
				}
				l.twins(v, a, b, l.doc.VRRP.Instances[k].Interface == l.doc.VRRP.Instances[j].Interface)
			}
		}
	}
}

func (l *look) twins(v *view, a, b *vrrp.Instance, told bool) {
	const hint = "each virtual router of a segment has its own number"
	switch {
	case a.Interface == b.Interface && !told:
		l.warn(l.at(v.node, b), hint, "vrrp_instance '%s' has virtual_router_id %d on %s%s, as has '%s' at %s", b.Name, b.VirtualRouterID, b.Interface, v.on(), a.Name, a.Pos)
	case a.Interface != b.Interface:
		if p, q, ok := overlap(a, b); ok {
			l.warn(l.at(v.node, b), hint, "vrrp_instance '%s' (%s, %s) has virtual_router_id %d, as has '%s' (%s, %s) at %s: if that is one segment, each drops the other's adverts",
				b.Name, b.Interface, q.Masked(), b.VirtualRouterID, a.Name, a.Interface, p.Masked(), a.Pos)
		}
	}
}

// overlap finds two networks, one of each instance, that are one.
func overlap(a, b *vrrp.Instance) (p, q netip.Prefix, ok bool) {
	for _, x := range all(a) {
		for _, y := range all(b) {
			p, q = x.Prefix, y.Prefix
			if p.IsValid() && q.IsValid() && !p.IsSingleIP() && !q.IsSingleIP() && p.Overlaps(q) {
				return p, q, true
			}
		}
	}
	return p, q, false
}

// lengths: an address without a length has no network. One line an instance.
func (l *look) lengths() {
	l.each(func(_ *view, in, _ *vrrp.Instance) {
		if in.VMAC.Use || in.VMAC.IPVlan {
			return // there a single address is right: the network is on the interface below
		}
		var lone []vrrp.Address
		for _, a := range all(in) {
			dev := a.Dev
			if dev == "" {
				dev = in.Interface
			}
			if a.Prefix.IsValid() && a.Prefix.Addr().Is4() && a.Prefix.IsSingleIP() && !a.Peer.IsValid() && !a.UseVMAC && broadcast(dev) {
				lone = append(lone, a)
			}
		}
		if len(lone) == 0 {
			return
		}
		more := ""
		if n := len(lone) - 1; n > 0 {
			more = " (and " + plural(n, "more", "more") + ")"
		}
		l.warn(lone[0].Pos, "write the length of the interface's network, as in "+lone[0].Prefix.Addr().String()+"/24",
			"%s%s in vrrp_instance '%s' is a /32: it is reached only while the interface has another address of its network", lone[0].Prefix.Addr(), more, in.Name)
	})
}

// broadcast: interfaces by whose names one can tell have no segment.
func broadcast(dev string) bool {
	for _, p := range []string{"lo", "dummy", "tun", "wg", "ppp", "sit", "gre", "ipip"} {
		if rest, ok := strings.CutPrefix(dev, p); ok && strings.Trim(rest, "0123456789") == "" {
			return false
		}
	}
	return true
}

// announce: one burst of announcements that is lost leaves the neighbours with the old machine.
func (l *look) announce() {
	l.each(func(_ *view, in, _ *vrrp.Instance) {
		g := &l.doc.VRRP.Global
		delay, refresh := g.GarpMasterDelay, g.GarpMasterRefresh
		if in.Garp.MasterDelay != nil {
			delay = *in.Garp.MasterDelay
		}
		if in.Garp.MasterRefresh != nil {
			refresh = *in.Garp.MasterRefresh
		}
		if delay == 0 && refresh == 0 && !in.VMAC.Use {
			l.warn(in.Pos, "leave out garp_master_delay: 5 s, or write garp_master_refresh",
				"vrrp_instance '%s' announces its addresses once (garp_master_delay 0): neighbours that miss it send to the old machine until their entry ages", in.Name)
		}
	})
}

// untracked: an address that clients ask at, and nothing that takes it away from a machine that does not answer.
func (l *look) untracked() {
	l.each(func(v *view, in, _ *vrrp.Instance) {
		if len(inForce(&v.VRRP, in)) > 0 {
			return
		}
		for _, a := range all(in) {
			for _, f := range v.Proxy.Frontends {
				for _, b := range f.Binds {
					if b.Addr.Addr().Unmap() == a.Prefix.Addr().Unmap() {
						l.warn(in.Pos, "write a track_script that asks the frontend, as curl -fsS -m 1 does",
							"nothing is tracked in vrrp_instance '%s', and frontend '%s' listens on its %s: a machine that is up and does not answer keeps the address", in.Name, f.Name, a.Prefix.Addr())
						return
					}
				}
			}
		}
	})
}

// groupWeights: members go together, so none has a priority of its own.
func (l *look) groupWeights() {
	c := &l.doc.VRRP
	for _, g := range c.SyncGroups {
		if g.TrackingWeight {
			continue
		}
		for _, m := range g.Members {
			in := instanceNamed(c, m)
			if in == nil {
				continue
			}
			if ts := weighted(ofInstance(c, in)); len(ts) > 0 {
				l.warn(ts[0].pos, "track it in the group, or write sync_group_tracking_weight there",
					"the weight of '%s' has no effect in a member of vrrp_sync_group '%s'", ts[0].name, g.Name)
			}
		}
	}
}

// adverts: members go together, as fast as the slowest.
func (l *look) adverts() {
	c := &l.doc.VRRP
	for _, g := range c.SyncGroups {
		var first *vrrp.Instance
		for _, m := range g.Members {
			in := instanceNamed(c, m)
			switch {
			case in == nil:
			case first == nil:
				first = in
			case in.AdvertInt != first.AdvertInt:
				l.warn(in.Pos, "write the same advert_int in all members", "vrrp_sync_group '%s': '%s' has advert_int %s and '%s' at %s has %s: the group is as slow as the slowest of them",
					g.Name, in.Name, seconds(in.AdvertInt), first.Name, first.Pos, seconds(first.AdvertInt))
			}
		}
	}
}

func seconds(d time.Duration) string { return strings.TrimSuffix(d.String(), "s") }
