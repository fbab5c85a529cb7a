package mux

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// RaftLayer is the StreamLayer that Raft's network transport runs on.
type RaftLayer struct {
	m     *Mux
	conns chan net.Conn
}

var _ raft.StreamLayer = (*RaftLayer)(nil)

// raftConn tells the Mux when Raft has done with an accepted connection.
type raftConn struct {
	net.Conn
	once sync.Once
	done func()
}

// Close closes the connection without waiting for a peer to read the TLS farewell.
func (c *raftConn) Close() error {
	c.once.Do(c.done)
	return nil
}

// deliver hands a connection to Raft; false if nobody takes it in time.
func (l *RaftLayer) deliver(c net.Conn) bool {
	t := time.NewTimer(l.m.o.HandshakeTimeout)
	defer t.Stop()
	select {
	case l.conns <- c:
		return true
	case <-l.m.ctx.Done():
	case <-t.C:
	}
	return false
}

// Accept implements net.Listener.
func (l *RaftLayer) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.m.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The port stays open for the others; the Mux closes it.
func (l *RaftLayer) Close() error { return nil }

// Addr implements net.Listener.
func (l *RaftLayer) Addr() net.Addr { return l.m.Addr() }

// Dial implements raft.StreamLayer.
func (l *RaftLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.m.ctx, timeout)
	defer cancel()
	tc, err := l.m.dial(ctx, Target{Addr: string(addr)}, []byte{pickRaft})
	if err != nil {
		return nil, err
	}
	return &raftConn{Conn: tc, done: func() { tc.NetConn().Close() }}, nil
}
