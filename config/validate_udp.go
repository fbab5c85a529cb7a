package config

import (
	"strings"

	"github.com/reeve-lb/reeve/proxy"
)

// What belongs to connections can't be had of datagrams.

func (v *validator) udpFrontend(f *proxy.Frontend) {
	for _, b := range f.Binds {
		switch {
		case b.Unix != "":
			v.ps.Errorf(b.Pos, "", "frontend '%s' is in udp mode and can't listen on a Unix socket", f.Name)
		case b.TLS != nil:
			v.ps.Errorf(b.Pos, "", "frontend '%s' is in udp mode: 'ssl' is not supported there", f.Name)
		case b.AcceptProxy:
			v.ps.Errorf(b.Pos, "", "frontend '%s' is in udp mode: 'accept-proxy' is not supported there", f.Name)
		}
	}
}

func (v *validator) udpBackend(b *proxy.Backend) {
	if b.Mode != proxy.UDP {
		if b.ProxyResponses != nil {
			v.ps.Warnf(b.Pos, "write mode udp", "backend '%s' is in %s mode: 'proxy_responses' has no effect", b.Name, b.Mode)
		}
		return
	}
	for _, s := range b.Servers {
		switch {
		case strings.HasPrefix(s.Address, "/") || strings.HasPrefix(s.Address, "abns@"):
			v.ps.Errorf(s.Pos, "", "backend '%s' is in udp mode: server '%s' can't be on a Unix socket", b.Name, s.Name)
		case s.TLS != nil:
			v.ps.Errorf(s.Pos, "", "backend '%s' is in udp mode: 'ssl' of server '%s' is not supported there", b.Name, s.Name)
		case s.SendProxy > 0:
			v.ps.Errorf(s.Pos, "", "backend '%s' is in udp mode: 'send-proxy' of server '%s' is not supported there", b.Name, s.Name)
		}
	}
}
