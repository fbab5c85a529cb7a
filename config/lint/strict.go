package lint

import (
	"strings"

	"github.com/reeve-lb/reeve/vrrp"
)

func strict(g *vrrp.Global, in *vrrp.Instance) bool {
	if in.StrictMode != nil {
		return *in.StrictMode
	}
	return g.Strict
}

// firewall: by the RFC's letter a master that does not own the addresses drops what is sent to them.
func (l *look) firewall() {
	l.each(func(v *view, in, _ *vrrp.Instance) {
		accepts := in.Version == 3 && in.Accept != nil && *in.Accept
		if strict(&v.VRRP.Global, in) && in.Priority != owner && !accepts {
			l.warn(in.Pos, "leave out vrrp_strict and strict_mode: samples have it, hardly anybody wants it",
				"vrrp_strict makes a firewall drop whatever is sent to the addresses of vrrp_instance '%s': no ping, no connection", in.Name)
		}
	})
}

// strictConflicts: what strict mode takes away, and what it refuses.
func (l *look) strictConflicts() {
	l.each(func(v *view, in, raw *vrrp.Instance) {
		if !strict(&v.VRRP.Global, in) {
			return
		}
		var lost []string
		for _, c := range []struct {
			has  bool
			word string
		}{
			{in.AuthType != vrrp.AuthNone, "authentication"},
			{len(in.Unicast.Peers) > 0, "unicast_peer"},
			{in.State == "MASTER" && in.Priority != owner, "state MASTER (without priority 255)"},
			{in.State != "MASTER" && in.Priority == owner, "priority 255 (without state MASTER)"},
			{raw.PreemptDelay > 0, "preempt_delay"},
			{in.DownTimer != 0 && in.DownTimer != 3, "down_timer_adverts"},
			{in.VMAC.XmitBase, "vmac_xmit_base"},
			{in.HigherSend != nil && *in.HigherSend, "higher_prio_send_advert"},
			{in.LowerNoAdvert != nil && !*in.LowerNoAdvert, "lower_prio_no_advert off"},
			{in.Version == 2 && ipv6(in), "version 2 with IPv6 addresses"},
			{len(in.Addresses) == 0, "an instance without virtual_ipaddress"},
		} {
			if c.has {
				lost = append(lost, c.word)
			}
		}
		if len(lost) > 0 {
			l.warn(l.at(v.node, in), "leave out vrrp_strict", "vrrp_strict does not go with what vrrp_instance '%s' says: %s", in.Name, strings.Join(lost, ", "))
		}
	})
}
