package config

import (
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// balance looks for settings of a backend's load that have no effect beside each other, and for servers that share a
// number or track nobody.
func (v *validator) balance(b *proxy.Backend) {
	warn := func(at source.Pos, hint, format string, args ...any) { v.ps.Warnf(at, hint, format, args...) }
	switch b.Balance {
	case proxy.RDPCookie:
		if b.Mode == proxy.HTTP {
			warn(b.Pos, "write mode tcp", "backend '%s' is in http mode: 'balance rdp-cookie' falls back to roundrobin", b.Name)
		}
	case proxy.URI, proxy.URLParam, proxy.Hdr:
		if b.Mode != proxy.HTTP {
			warn(b.Pos, "write mode http", "backend '%s' is in tcp mode: 'balance %s' falls back to roundrobin", b.Name, b.Balance)
		}
	case proxy.First:
		if len(b.Servers) > 0 && b.Servers[0].MaxConn == 0 && b.Servers[0].MinConn == 0 {
			warn(b.Pos, "write maxconn N on the servers' lines", "backend '%s' balances by 'first', and its first server has no maxconn: it gets everything", b.Name)
		}
	}
	if b.PersistRDP != "" && b.Mode == proxy.HTTP {
		warn(b.Pos, "write mode tcp", "backend '%s' is in http mode: 'persist rdp-cookie' has no effect", b.Name)
	}
	if b.HashType != (proxy.HashType{}) && !b.Balance.Hashes() {
		warn(b.Pos, "", "backend '%s' balances by '%s', which hashes nothing: 'hash-type' has no effect", b.Name, b.Balance)
	}
	if b.HashFactor > 0 && (!b.Balance.Hashes() || b.HashType.Method == proxy.MapBased) {
		warn(b.Pos, "write hash-type consistent", "backend '%s' has no consistent hash: 'hash-balance-factor' has no effect", b.Name)
	}
	if c := b.Cookie; c != nil && c.Mode != proxy.CookieInsert && (c.MaxIdle+c.MaxLife > 0 || c.HTTPOnly || c.Secure || len(c.Domains)+len(c.Attrs) > 0) {
		warn(c.Pos, "write insert", "the cookie '%s' is not inserted: its dates and attributes have no effect", c.Name)
	}
	ids := map[int]string{}
	for i := range b.Servers {
		s := &b.Servers[i]
		if other, ok := ids[s.ID]; ok && s.ID > 0 {
			v.ps.Errorf(s.Pos, "", "server '%s' of backend '%s' has the id %d of server '%s'", s.Name, b.Name, s.ID, other)
		}
		ids[s.ID] = s.Name
		v.server(b, s)
	}
}

func (v *validator) server(b *proxy.Backend, s *proxy.Server) {
	static := b.Balance == proxy.StaticRR || b.Balance.Hashes() && b.HashType.Method == proxy.MapBased
	switch {
	case s.MaxQueue > 0 && s.MaxConn == 0 && s.MinConn == 0:
		v.ps.Warnf(s.Pos, "write maxconn N", "server '%s' has no maxconn and no queue: 'maxqueue' has no effect", s.Name)
	case s.SlowStart > 0 && static && s.MaxConn == 0 && s.MinConn == 0:
		v.ps.Warnf(s.Pos, "write hash-type consistent, or balance roundrobin", "backend '%s' balances by a static map: 'slowstart' of server '%s' has no effect", b.Name, s.Name)
	case s.SlowStart > 0 && s.Check == "" && s.Track == "":
		v.ps.Warnf(s.Pos, "write check", "server '%s' has no check and never comes up: 'slowstart' has no effect", s.Name)
	}
	if s.WS != 0 && b.Mode != proxy.HTTP {
		v.ps.Warnf(s.Pos, "write mode http", "backend '%s' is in %s mode: 'ws' of server '%s' has no effect", b.Name, b.Mode, s.Name)
	}
	if s.Observe == proxy.Layer7 && b.Mode != proxy.HTTP {
		v.ps.Errorf(s.Pos, "write observe layer4", "server '%s': 'observe layer7' needs mode http", s.Name)
	}
	if s.Observe != proxy.NoObserve && s.Check == "" {
		v.ps.Warnf(s.Pos, "write check", "server '%s' has no check that 'observe' could tell of errors", s.Name)
	}
	if s.Track == "" {
		return
	}
	if s.Check != "" {
		v.ps.Errorf(s.Pos, "write one of them", "server '%s' can't have a check and track another one", s.Name)
	}
	v.track(b, s)
}

// track follows the line of servers that track each other to one that does not.
func (v *validator) track(b *proxy.Backend, s *proxy.Server) {
	at, name := s.Pos, s.Name
	for range 64 {
		backend, server, ok := strings.Cut(s.Track, "/")
		if !ok {
			backend, server = b.Name, s.Track
		}
		if b = v.findBackend(backend); b == nil {
			v.ps.Errorf(at, meant(backend, v.backendNames()), "server '%s' tracks one of backend '%s', which there is not", name, backend)
			return
		}
		var names []string
		var next *proxy.Server
		for i := range b.Servers {
			if names = append(names, b.Servers[i].Name); b.Servers[i].Name == server {
				next = &b.Servers[i]
			}
		}
		if next == nil {
			v.ps.Errorf(at, meant(server, names), "server '%s' tracks '%s/%s', which there is not", name, backend, server)
			return
		}
		if s = next; s.Track == "" {
			if s.Check == "" {
				v.ps.Errorf(at, "", "server '%s' tracks '%s/%s', which has no check", name, backend, server)
			}
			return
		}
	}
	v.ps.Errorf(at, "", "server '%s' tracks one that in the end tracks itself", name)
}
