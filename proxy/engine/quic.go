package engine

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http3"
)

// HTTP/3. Packets, streams and header compression are http3's, on goroutines; each connection reaches a loop over a pair of
// sockets as one of HTTP/2 in clear (h2.go), of which is told what cannot be seen there: whose it is, whom it addressed, and
// what was agreed on under TLS.

const (
	// quicStreams is more than QUIC lets a client have open, so that the bound is its alone.
	quicStreams = 1 << 17
	// Defaults of tune.quic.*, which are HAProxy's.
	quicIdle       = 30 * time.Second
	quicMaxStreams = 100
	quicRetryAbove = 100
	// quicFarewell is how long the clients of an engine that ends have to take what was sent to them.
	quicFarewell = 2 * time.Second
)

var errTurnedAway = errors.New("the client is turned away")

// withoutDisabled leaves the addresses of QUIC out where no-quic is said.
func withoutDisabled(c proxy.Config) proxy.Config {
	if !c.Global.QUIC.Disabled {
		return c
	}
	fronts := make([]proxy.Frontend, len(c.Frontends))
	copy(fronts, c.Frontends)
	for i := range fronts {
		var binds []proxy.Bind
		for _, b := range fronts[i].Binds {
			if !b.QUIC {
				binds = append(binds, b)
			}
		}
		fronts[i].Binds = binds
	}
	c.Frontends = fronts
	return c
}

// serveQUIC hands the socket of an address over to http3; mu is held.
func (e *Engine) serveQUIC(g *group) {
	if old, ok := e.retiring[g.place]; ok { // its packets and ours would mix
		now, cancel := context.WithCancel(context.Background())
		cancel()
		old.Close(now)
	}
	socket, err := packetConn(g.fds[0])
	g.fds = nil
	if err == nil {
		g.quic, err = http3.Listen(socket, &quicHost{e, g})
	}
	if err != nil {
		e.log.Error("an address of QUIC is not served", "address", g.place.String(), "error", err)
	}
}

// packetConn makes a net.PacketConn of a descriptor, which is used up.
func packetConn(fd int32) (net.PacketConn, error) {
	f := os.NewFile(uintptr(fd), "quic")
	defer f.Close()
	return net.FilePacketConn(f)
}

// retired is an address that is not wanted any more and has clients yet.
type retired struct {
	*http3.Listener
	inodes []uint64
}

// retireQUIC ends an address that is not wanted any more: its clients are told to go, and have the time they need. mu is
// held.
func (e *Engine) retireQUIC(g *group) {
	q, p := g.quic, g.place
	if q == nil {
		g.close()
		return
	}
	g.quic = nil
	e.retiring[p] = retired{q, g.inodes}
	q.Leave()
	ctx, cancel := e.farewell()
	e.quics.Go(func() {
		defer cancel()
		q.Close(ctx)
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.retiring[p].Listener == q {
			delete(e.retiring, p)
		}
	})
}

// farewell ends quicFarewell after Run's context.
func (e *Engine) farewell() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(e.ctx, func() {
		late := time.NewTimer(quicFarewell)
		defer late.Stop()
		select {
		case <-late.C:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { stop(); cancel() }
}

// quicHost is a group as http3 sees it.
type quicHost struct {
	e *Engine
	g *group
}

// Handshake implements http3.Host.
func (h *quicHost) Handshake(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	return h.g.bind.Load().tls.Config().GetConfigForClient(hello)
}

// Settings implements http3.Host.
func (h *quicHost) Settings() http3.Settings {
	b := h.g.bind.Load()
	return http3.Settings{MaxStreams: cmp.Or(b.quic.MaxStreams, quicMaxStreams), IdleTimeout: cmp.Or(b.quic.IdleTimeout, quicIdle),
		RequestTimeout: time.Duration(b.fe.conf.Load().times.request)}
}

// Retry implements http3.Host.
func (h *quicHost) Retry(halfOpen int) bool {
	b := h.g.bind.Load()
	return b.forceRetry || halfOpen >= cmp.Or(b.quic.RetryThreshold, quicRetryAbove)
}

// Failed implements http3.Host.
func (h *quicHost) Failed() {
	fe := h.g.bind.Load().fe
	l := h.e.loops[0]
	l.post(func() { fe.per[l.id].badHandshakes++ })
}

// beginQUIC makes a session of a client's connection. false: there is no room for it, or no time.
func (l *loop) beginQUIC(g *group, fd int32, c http3.Client) bool {
	e, bind := l.e, g.bind.Load()
	if l.stopped || l.draining {
		return false
	}
	l.clock()
	if e.conns.add() > e.maxConn.Load() || bind.fe.limited() || g.limited() || !l.mayAccept(bind.fe) {
		e.conns.sub()
		bind.fe.per[l.id].dreq++
		return false
	}
	l.accepted++
	e.accepts.count(l.now, e.connRate.Load())
	bind.fe.rate.count(l.now, bind.fe.conf.Load().rate)
	s := l.newSession(bind, c.Remote)
	s.dest = &c.Local
	s.client = conn{client: true, readable: true, writable: true, s: s,
		told: &secure{alpn: "h3", sni: c.ServerName, resumed: c.Resumed, peer: net.UDPAddrFromAddrPort(c.Remote)}}
	l.adopt(&s.client, fd)
	ctr := s.fe.per[l.id]
	ctr.handshakes++
	if c.Resumed {
		ctr.resumed++
	}
	if s.admit(s.fe.conf.Load().rules.set.Connection) {
		s.protocol()
		s.run()
	}
	return true
}
