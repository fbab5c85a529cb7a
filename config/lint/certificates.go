package lint

import (
	"slices"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// Certificates looks at the certificates that binds name, of all nodes. read is what only a machine knows: what could be
// better about the certificates of a bind as they lie on it, nothing if they do not. Everything it says is a warning with
// the name of its rule.
func Certificates(d config.Document, o Options, read func(*proxy.BindTLS, *proxy.Global) source.Problems) source.Problems {
	l := newLook(d, o)
	for i := range l.views {
		p := &l.views[i].Proxy
		for _, f := range p.Frontends {
			for _, b := range f.Binds {
				if b.TLS == nil {
					continue
				}
				for _, said := range read(b.TLS, &p.Global) {
					if !slices.Contains(l.ps, said) { // nodes share most of their binds
						l.ps = append(l.ps, said)
					}
				}
			}
		}
	}
	return l.done(o.Ignore)
}
