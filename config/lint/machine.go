package lint

import (
	"errors"
	"io/fs"
	"net/netip"
	"path"
	"strings"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// Environment is what a machine knows about itself. Functions that are nil are not asked.
type Environment struct {
	// Networks are the addresses of an interface with their lengths; false: there is no such interface. Virtual addresses
	// that are on it just now may be among them.
	Networks func(iface string) ([]netip.Prefix, bool)
	// Stat is os.Stat.
	Stat func(path string) (fs.FileInfo, error)
}

// Machine looks at what a node runs with the eyes of the machine that runs it. Everything it says is a warning with the
// name of its rule.
func Machine(d config.Document, node string, env Environment, ignore []string) source.Problems {
	l := &look{doc: d, views: []view{{node, d.For(node)}}}
	c := &l.views[0].VRRP
	if env.Networks != nil {
		l.rule = "vip-outside-networks"
		l.outside(c, env)
	}
	if env.Stat != nil {
		for _, cmd := range commands(c) {
			for i, f := range files(cmd.argv) {
				l.file(cmd, f, i == 0 && f == cmd.argv[0], env)
			}
		}
	}
	return l.done(ignore)
}

// outside: neighbours ask for an address only if it is of a network they share with the interface.
func (l *look) outside(c *vrrp.Config, env Environment) {
	virtual := map[netip.Addr]bool{}
	for i := range c.Instances {
		for _, a := range all(&c.Instances[i]) {
			virtual[a.Prefix.Addr()] = true
		}
	}
	for i := range c.Instances {
		in := &c.Instances[i]
		for _, a := range all(in) {
			dev := a.Dev
			if dev == "" {
				dev = in.Interface
			}
			nets, ok := env.Networks(dev)
			if !ok || !a.Prefix.IsValid() {
				continue
			}
			if own := alike(nets, a.Prefix.Addr(), virtual); len(own) > 0 && !contains(own, a.Prefix.Addr()) {
				l.warn(a.Pos, "is it the right address, and the right interface?", "%s in vrrp_instance '%s' is in no network of %s, which has %s", a.Prefix.Addr(), in.Name, dev, join(own))
			}
		}
	}
}

// alike are the interface's own networks of the address's kind.
func alike(nets []netip.Prefix, a netip.Addr, virtual map[netip.Addr]bool) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range nets {
		if !virtual[n.Addr()] && n.Addr().Is4() == a.Is4() && n.Addr().IsLinkLocalUnicast() == a.IsLinkLocalUnicast() {
			out = append(out, n.Masked())
		}
	}
	return out
}

func contains(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func join(nets []netip.Prefix) string {
	var out []string
	for _, n := range nets {
		out = append(out, n.String())
	}
	return strings.Join(out, ", ")
}

// file: it has to be there, it has to be executable if it is the program itself, and nobody else may change it.
func (l *look) file(c command, file string, program bool, env Environment) {
	st, err := env.Stat(file)
	l.rule = "script-not-runnable"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.warn(c.pos, "every node needs it", "%s: there is no %s on this machine", c.what, file)
		return
	case err != nil:
		l.warn(c.pos, "", "%s: %v", c.what, err)
		return
	case st.IsDir():
		l.warn(c.pos, "", "%s: %s is a directory", c.what, file)
		return
	case program && st.Mode()&0o111 == 0:
		l.warn(c.pos, "chmod +x "+file, "%s: %s is not executable", c.what, file)
	}
	l.rule = "script-writable"
	for p := path.Clean(file); ; p = path.Dir(p) {
		if st, err := env.Stat(p); err == nil && st.Mode()&0o002 != 0 && st.Mode()&fs.ModeSymlink == 0 {
			l.warn(c.pos, "keep scripts where only root writes, as in /etc/reeve", "%s: everybody may write to %s: what is put there is run%s", c.what, p, c.as())
			return
		}
		if p == "/" || p == "." {
			return
		}
	}
}
