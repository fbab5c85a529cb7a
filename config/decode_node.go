package config

import (
	"encoding/base64"
	"net/netip"
	"reflect"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/vrrp"
)

// nodeSetting reads what stands at the top level of an .hcl file and belongs to the machine, and node "lb1" { ... }.
func (d *decoder) nodeSetting(n tree.Node) {
	if d.node.Pos.IsZero() {
		d.node.Pos = n.Pos
	}
	switch {
	case n.Def.Name == "node" && n.Def.Type == words.Block:
		d.override(n)
	case n.Def.Name == "ports":
		for _, k := range n.Kids {
			d.scalar(k, &d.node)
		}
	case n.Def.Name == "tls":
		t := &TLS{Pos: n.Pos}
		for _, k := range n.Kids {
			d.scalar(k, t)
		}
		if (t.CertFile == "") != (t.KeyFile == "") {
			d.errorf(n.Pos, "cert_file and key_file belong together", "'tls' names only one of cert_file and key_file")
		}
		d.node.TLS = t
	default:
		if d.scalar(n, &d.node) {
			d.nodeWord(n)
		}
	}
}

// nodeWord checks what the table can't say.
func (d *decoder) nodeWord(n tree.Node) {
	if len(n.Args) == 0 {
		return
	}
	w := n.Args[0]
	switch n.Def.Name {
	case "bind", "advertise":
		if _, err := netip.ParseAddr(w.Text); err != nil {
			d.errorf(w.Pos, "an IP address; ports come in ports { }", "%s is no value for '%s'", tree.Quote(w.Text), n.Def.Name)
		}
	case "http_addr":
		_, meant, problem := serverAddress(w.Text)
		if _, unix := unixPath(w.Text); problem == "" && (unix || !fixedPort(w.Text)) {
			problem = "has no port"
		}
		if problem != "" {
			d.errorf(w.Pos, meant, "%s %s", tree.Quote(w.Text), problem)
		}
	case "encrypt":
		if k, err := base64.StdEncoding.DecodeString(w.Text); err != nil || len(k) != 16 && len(k) != 24 && len(k) != 32 {
			d.errorf(w.Pos, "what `reeve keygen` prints", "'encrypt' is no key: 16, 24 or 32 bytes in base64")
			d.node.Encrypt = ""
		}
	case "node":
		d.nodeName(w)
	}
}

func (d *decoder) nodeName(w tree.Word) {
	if len(w.Text) > 63 || !hostName(w.Text) && w.Text != "" {
		d.errorf(w.Pos, "a host's name", "%s can't be the name of a node", tree.Quote(w.Text))
	}
}

// override reads node "lb1" { ... }.
func (d *decoder) override(n tree.Node) {
	o := d.doc.Nodes[name(n)]
	if o.Pos.IsZero() {
		o.Pos = n.Pos
	}
	d.nodeName(n.Args[0])
	for _, k := range n.Kids {
		switch k.Def.Name {
		case "vrrp_instance":
		case "frontend":
			d.frontendOverride(n, k, &o)
			continue
		default:
			d.scalar(k, &o)
			continue
		}
		if o.Instances == nil {
			o.Instances = map[string]InstanceOverride{}
		}
		if first, ok := o.Instances[name(k)]; ok {
			d.errorf(k.Pos, "", "vrrp_instance '%s' of node '%s' was already given at %s", name(k), name(n), first.Pos)
			continue
		}
		o.Instances[name(k)] = d.instanceOverride(k)
	}
	d.doc.Nodes[name(n)] = o
}

// frontendOverride reads frontend "web" { bind = [...] } of a node.
func (d *decoder) frontendOverride(n, k tree.Node, o *Override) {
	if o.Frontends == nil {
		o.Frontends = map[string]FrontendOverride{}
	}
	if first, ok := o.Frontends[name(k)]; ok {
		d.errorf(k.Pos, "", "frontend '%s' of node '%s' was already given at %s", name(k), name(n), first.Pos)
		return
	}
	f := proxy.Frontend{Name: name(k)}
	for _, kid := range k.Kids {
		d.bind(&f, kid)
	}
	if len(f.Binds) == 0 && len(k.Kids) == 0 {
		d.errorf(k.Pos, "bind = [\"ADDRESS:PORT\"]", "frontend '%s' of node '%s' says nothing", name(k), name(n))
	}
	o.Frontends[name(k)] = FrontendOverride{Binds: f.Binds, Pos: k.Pos}
}

func (d *decoder) instanceOverride(n tree.Node) InstanceOverride {
	o := InstanceOverride{Pos: n.Pos}
	for _, k := range n.Kids {
		switch k.Def.Name {
		case "track_interface":
			o.TrackInterfaces = append(o.TrackInterfaces, d.trackInterfaces(k)...)
			if o.TrackInterfaces == nil {
				o.TrackInterfaces = []vrrp.TrackInterface{}
			}
		case "notify_master", "notify_backup", "notify_fault", "notify_stop", "notify_deleted", "notify_master_rx_lower_pri", "notify":
			if argv := d.argv(k); argv != nil {
				field(reflect.ValueOf(&o), k.Def.Field).Set(reflect.ValueOf(argv))
			}
		case "unicast_peer":
			o.UnicastPeers = append(append([]vrrp.Peer{}, o.UnicastPeers...), d.peers(k)...)
		case "interface":
			if d.scalar(k, &o) {
				d.interfaceName(k.Args[0])
			}
		case "devs":
			o.Devs = append([]string{}, texts(k.Args)...)
			for _, w := range k.Args {
				if w.Text != "" {
					d.interfaceName(w)
				}
			}
		default:
			d.scalar(k, &o)
		}
	}
	return o
}
