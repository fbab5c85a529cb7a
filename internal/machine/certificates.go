package machine

import (
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// Certificates says what could be better about the certificates of a bind as this machine has them; nothing where it can't
// read them all.
func Certificates(b *proxy.BindTLS, global *proxy.Global) source.Problems {
	bind, _ := tlsconf.NewStore().NewBind(b, global) // what is wrong with them is for who serves them
	if bind == nil {
		return nil
	}
	return bind.Notices()
}
