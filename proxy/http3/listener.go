package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"
)

// Listener takes connections in on a socket of UDP. Safe for concurrent use.
type Listener struct {
	host     Host
	socket   net.PacketConn
	tr       *quic.Transport
	ln       *quic.Listener
	halfOpen atomic.Int64
	work     sync.WaitGroup // accepting, and connections

	mu               sync.Mutex
	conns            map[*connection]struct{}
	leaving, cutting bool
	shut             sync.Once
}

var errFull = errors.New("too many handshakes at once")

// Listen serves on a socket, which is the Listener's from then on, also when it fails.
func Listen(socket net.PacketConn, host Host) (*Listener, error) {
	l := &Listener{host: host, socket: socket, conns: map[*connection]struct{}{}}
	l.tr = &quic.Transport{Conn: socket, ConnContext: l.arriving,
		VerifySourceAddress: func(net.Addr) bool { return host.Retry(int(l.halfOpen.Load())) }}
	// 0-RTT is off: what a client sends in it may be sent again by others.
	conf := &quic.Config{GetConfigForClient: func(*quic.ClientInfo) (*quic.Config, error) { return quicConfig(host.Settings()), nil }}
	ln, err := l.tr.Listen(&tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{h3.NextProtoH3}, GetConfigForClient: host.Handshake}, conf)
	if err != nil {
		l.tr.Close()
		socket.Close()
		return nil, fmt.Errorf("listen for QUIC: %w", err)
	}
	l.ln = ln
	l.work.Go(l.accept)
	return l, nil
}

func quicConfig(s Settings) *quic.Config {
	return &quic.Config{HandshakeIdleTimeout: handshakeTimeout, MaxIdleTimeout: s.IdleTimeout, MaxIncomingStreams: int64(s.MaxStreams),
		MaxIncomingUniStreams: uniStreams, InitialStreamReceiveWindow: streamWindow, MaxStreamReceiveWindow: streamWindows,
		InitialConnectionReceiveWindow: connWindow, MaxConnectionReceiveWindow: connWindows}
}

// arrival is a client whose handshake goes on.
type arrival struct {
	over sync.Once
	l    *Listener
}

type arrivalKey struct{}

// arriving counts a client in; its context ends with the connection, or with a handshake that fails.
func (l *Listener) arriving(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if l.halfOpen.Add(1) > maxHalfOpen {
		l.halfOpen.Add(-1)
		l.host.Failed()
		return nil, errFull
	}
	a := &arrival{l: l}
	context.AfterFunc(ctx, func() { a.end(false) })
	return context.WithValue(ctx, arrivalKey{}, a), nil
}

func (a *arrival) end(good bool) {
	a.over.Do(func() {
		a.l.halfOpen.Add(-1)
		if !good {
			a.l.host.Failed()
		}
	})
}

// accept takes in who has finished the handshake.
func (l *Listener) accept() {
	for {
		qc, err := l.ln.Accept(context.Background())
		if err != nil {
			return
		}
		if a, ok := qc.Context().Value(arrivalKey{}).(*arrival); ok {
			a.end(true)
		}
		l.work.Go(func() { l.serve(qc) })
	}
}

// serve is the life of a connection.
func (l *Listener) serve(qc *quic.Conn) {
	state := qc.ConnectionState()
	socket, err := l.host.Take(Client{Remote: addrPort(qc.RemoteAddr()), Local: addrPort(qc.LocalAddr()),
		ServerName: state.TLS.ServerName, Resumed: state.TLS.DidResume})
	if err != nil {
		qc.CloseWithError(quic.ApplicationErrorCode(h3.ErrCodeExcessiveLoad), "")
		return
	}
	c := newConnection(qc, socket, l.host.Settings().RequestTimeout)
	l.mu.Lock()
	l.conns[c] = struct{}{}
	leaving, cutting := l.leaving, l.cutting
	l.mu.Unlock()
	if leaving {
		c.leave()
	}
	if cutting {
		c.cut()
	}
	c.run()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Leave lets nobody in any more and tells all clients to send no more requests (GOAWAY, RFC 9114 section 5.2). It does not
// wait for them.
func (l *Listener) Leave() {
	l.mu.Lock()
	first := !l.leaving
	l.leaving = true
	conns := l.all()
	l.mu.Unlock()
	if !first {
		return
	}
	l.work.Go(func() { l.ln.Close() })
	for _, c := range conns {
		c.leave()
	}
}

// all are the connections; mu is held.
func (l *Listener) all() []*connection {
	var out []*connection
	for c := range l.conns {
		out = append(out, c)
	}
	return out
}

// Close leaves, waits until the last connection has ended or ctx has, cuts the rest, and closes the socket. Nothing of the
// Listener runs when it returns.
func (l *Listener) Close(ctx context.Context) {
	l.Leave()
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		l.cutting = true
		conns := l.all()
		l.mu.Unlock()
		for _, c := range conns {
			c.cut()
		}
	})
	defer stop()
	l.work.Wait()
	l.shut.Do(func() {
		l.tr.Close()
		l.socket.Close()
	})
}
