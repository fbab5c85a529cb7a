package lint

import "github.com/reeve-lb/reeve/vrrp"

func strict(g *vrrp.Global, in *vrrp.Instance) bool {
	if in.StrictMode != nil {
		return *in.StrictMode
	}
	return g.Strict
}

// firewall: by the RFC's letter a master that does not own the addresses drops what is sent to them.
func (l *look) firewall() {
	l.each(func(v *view, _, in *vrrp.Instance) {
		accepts := in.Version == 3 && in.Accept != nil && *in.Accept
		if strict(&v.VRRP.Global, in) && in.Priority != owner && !accepts {
			l.warn(in.Pos, "leave out vrrp_strict and strict_mode: samples have it, hardly anybody wants it",
				"vrrp_strict makes a firewall drop whatever is sent to the addresses of vrrp_instance '%s': no ping, no connection", in.Name)
		}
	})
}
