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
	gone             sync.Cond // one of them less
	leaving, cutting bool
	shut             sync.Once
}

var (
	errFull    = errors.New("too many handshakes at once")
	errLeaving = errors.New("nobody is let in any more")
)

// Listen serves on a socket, which is the Listener's from then on, also when it fails.
func Listen(socket net.PacketConn, host Host) (*Listener, error) {
	l := &Listener{host: host, socket: socket, conns: map[*connection]struct{}{}}
	l.gone.L = &l.mu
	l.tr = &quic.Transport{Conn: socket, ConnContext: l.arriving,
		VerifySourceAddress: func(net.Addr) bool { return !l.leaves() && host.Retry(int(l.halfOpen.Load())) }}
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
		InitialConnectionReceiveWindow: connWindow, MaxConnectionReceiveWindow: connWindows, AllowConnectionWindowIncrease: mayReceive}
}

// accept takes in who has finished the handshake.
func (l *Listener) accept() {
	for {
		qc, err := l.ln.Accept(context.Background())
		if err != nil {
			return
		}
		if a := arrivalOf(qc); a.end(true) {
			l.work.Go(func() { l.serve(qc, a) })
		}
	}
}

// serve is the life of a connection.
func (l *Listener) serve(qc *quic.Conn, a *arrival) {
	defer a.place.Leave()
	if l.leaves() {
		qc.CloseWithError(quic.ApplicationErrorCode(h3.ErrCodeNoError), "")
		return
	}
	state := qc.ConnectionState()
	socket, err := a.place.Take(Client{Remote: addrPort(qc.RemoteAddr()), Local: addrPort(qc.LocalAddr()),
		ServerName: state.TLS.ServerName, Resumed: state.TLS.DidResume})
	if err != nil {
		qc.CloseWithError(quic.ApplicationErrorCode(h3.ErrCodeExcessiveLoad), "")
		return
	}
	c := newConnection(qc, a, socket, l.host.Settings().RequestTimeout)
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
	l.gone.Broadcast()
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

// leaves reports whether nobody is let in any more.
func (l *Listener) leaves() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving
}

// Leave lets nobody in any more, which who comes is told at once, and tells all clients to send no more requests (GOAWAY, RFC
// 9114 section 5.2). It does not wait for them.
func (l *Listener) Leave() {
	l.mu.Lock()
	first := !l.leaving
	l.leaving = true
	conns := l.all()
	l.mu.Unlock()
	if !first {
		return
	}
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
	l.mu.Lock()
	for len(l.conns) > 0 {
		l.gone.Wait()
	}
	l.mu.Unlock()
	l.ln.Close() // refuses handshakes that go on
	l.work.Wait()
	l.shut.Do(func() {
		l.tr.Close()
		l.socket.Close()
	})
}
