package config

import (
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/proxy"
)

// What an address of QUIC needs, and what can't be had there: it carries HTTP/3 under TLS 1.3 and nothing else.

// h3 is the name of HTTP/3 in ALPN (RFC 9114 section 3.1).
const h3 = "h3"

func (v *validator) bindQUIC(f *proxy.Frontend, b proxy.Bind) {
	if !b.QUIC {
		v.bindTCP(b)
		return
	}
	for _, n := range []struct {
		word string
		on   bool
	}{{"accept-proxy", b.AcceptProxy}, {"transparent", b.Transparent}, {"proto", b.Proto != 0}, {"backlog", b.Backlog > 0}} {
		if n.on {
			v.ps.Errorf(b.Pos, "", "'%s' is not supported on %s, an address of QUIC", n.word, b.Place())
		}
	}
	if f.Mode != proxy.HTTP {
		v.ps.Errorf(b.Pos, "write mode http", "frontend '%s' is in %s mode and can't listen on %s: over QUIC there is HTTP/3 alone", f.Name, f.Mode, b.Place())
	}
	if b.TLS == nil {
		v.ps.Errorf(b.Pos, "write ssl crt FILE alpn h3", "%s needs 'ssl': there is no QUIC in clear", b.Place())
		return
	}
	if b.TLS.MaxVersion != 0 && b.TLS.MaxVersion < proxy.TLSv13 {
		v.ps.Errorf(b.Pos, "", "%s needs TLSv1.3, and this line ends at %s", b.Place(), b.TLS.MaxVersion)
	}
	for a := range strings.SplitSeq(b.TLS.ALPN, ",") {
		if a != h3 {
			v.ps.Errorf(b.Pos, "write alpn h3", "'alpn %s' of %s: over QUIC there is h3 alone", b.TLS.ALPN, b.Place())
			break
		}
	}
}

// bindTCP looks for what only an address of QUIC can have.
func (v *validator) bindTCP(b proxy.Bind) {
	if b.TLS != nil && slices.Contains(strings.Split(b.TLS.ALPN, ","), h3) {
		v.ps.Warnf(b.Pos, "write a bind quic4@ADDRESS for it", "'alpn %s' of %s: h3 is spoken over QUIC, this address is of TCP", b.TLS.ALPN, b.Place())
	}
	if b.ForceRetry {
		v.ps.Warnf(b.Pos, "write quic4@ in front of the address", "'quic-force-retry' has no effect on %s", b.Place())
	}
}
