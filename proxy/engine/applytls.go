package engine

import (
	"context"
	"strconv"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// watchEvery is how often the files of TLS are looked at. One that has changed counts for the next handshake.
const watchEvery = 5 * time.Second

// compileBind makes what an address needs. What stays the same goes on, its tickets above all; nil: it can't be served.
// Where an address was served over TLS, certificates that are no good leave it with those it has.
func (e *Engine) compileBind(rt *frontend, p place, b *proxy.Bind, n int, global *proxy.Global, ps *source.Problems) *bindConf {
	bc := &bindConf{fe: rt, name: b.Name, maxConn: int64(b.MaxConn), number: uint16(n + 1), proto: b.Proto, acceptProxy: b.AcceptProxy,
		quic: global.QUIC, forceRetry: b.ForceRetry}
	bc.deferred = (rt.conf.Load().deferred || b.TLS != nil) && b.Unix == "" // over TLS too the client begins
	if bc.name == "" {
		bc.name = strconv.Itoa(n + 1)
	}
	if b.TLS == nil {
		return bc
	}
	var old *tlsconf.Bind
	if g := e.groups[p]; g != nil {
		old = g.bind.Load().tls
	}
	if old != nil && old.Same(b.TLS, global) {
		old.Refresh(time.Now())
		*ps = append(*ps, old.Problems()...)
		bc.tls = old
		return bc
	}
	fresh, more := e.certs.NewBind(b.TLS, global)
	*ps = append(*ps, more...)
	switch {
	case fresh != nil:
		bc.tls = fresh
	case old != nil:
		bc.tls = old
	default:
		return nil
	}
	return bc
}

// serverTLS is the same for a server.
func (e *Engine) serverTLS(old *tlsconf.Server, src *proxy.ServerTLS, global *proxy.Global, ps *source.Problems) *tlsconf.Server {
	if src == nil {
		return nil
	}
	if old != nil && old.Same(src, global) {
		_, more := old.Refresh()
		*ps = append(*ps, more...)
		return old
	}
	fresh, more := e.certs.NewServer(src, global)
	*ps = append(*ps, more...)
	return fresh
}

// checkTLS reads all files that a configuration names, and forgets them.
func (e *Engine) checkTLS(c proxy.Config, ps *source.Problems) {
	for _, f := range c.Frontends {
		for _, b := range f.Binds {
			if b.TLS != nil {
				bind, more := e.certs.NewBind(b.TLS, &c.Global)
				if *ps = append(*ps, more...); bind != nil {
					*ps = append(*ps, bind.Notices()...)
				}
			}
		}
	}
	for _, b := range c.Backends {
		for _, s := range b.Servers {
			if s.TLS != nil {
				_, more := e.certs.NewServer(s.TLS, &c.Global)
				*ps = append(*ps, more...)
			}
		}
	}
}

// watchCertificates reads files again that have changed, and makes new ticket keys when it is time.
func (e *Engine) watchCertificates(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		e.refreshTLS(time.Now())
	}
}

// secured lists what is served and asked over TLS.
func (e *Engine) secured() (binds []*tlsconf.Bind, servers []*tlsconf.Server) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.groups {
		if b := g.bind.Load(); b.tls != nil {
			binds = append(binds, b.tls)
		}
	}
	for _, of := range e.servers {
		for _, s := range of {
			if s.tls != nil {
				servers = append(servers, s.tls)
			}
		}
	}
	return binds, servers
}

func (e *Engine) refreshTLS(now time.Time) (all source.Problems) {
	binds, servers := e.secured()
	renewed := len(binds) > 0 && e.certs.Renew(now)
	for _, b := range binds {
		changed, ps := b.Refresh(now)
		e.tellTLS(changed, ps)
		all = append(all, ps...)
		if renewed {
			b.Reseal()
		}
	}
	for _, s := range servers {
		changed, ps := s.Refresh()
		e.tellTLS(changed, ps)
		all = append(all, ps...)
	}
	e.tellTLS(false, e.certs.Overtaken())
	return all
}

func (e *Engine) tellTLS(changed bool, ps source.Problems) {
	if changed {
		e.log.Info("certificates have been read again")
	}
	for _, p := range ps {
		if p.Severity == source.Error {
			e.log.Error("certificates stay as they were", "problem", p.Error())
		} else {
			e.log.Warn("certificates", "problem", p.Error())
		}
	}
}
