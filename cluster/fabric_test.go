package cluster

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/cluster/mux"
)

// fabric is a network between test nodes on which links can be cut: what is sent is lost, nothing is refused.
type fabric struct {
	mu  sync.Mutex
	cut map[[2]netip.Addr]bool
}

func newFabric() *fabric { return &fabric{cut: map[[2]netip.Addr]bool{}} }

// split cuts, or heals, all links between the two sides.
func (f *fabric) split(down bool, as, bs []*testNode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range as {
		for _, b := range bs {
			f.cut[[2]netip.Addr{a.conf.Bind, b.conf.Bind}] = down
			f.cut[[2]netip.Addr{b.conf.Bind, a.conf.Bind}] = down
		}
	}
}

func (f *fabric) down(a, b netip.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut[[2]netip.Addr{a, b}]
}

// on is the fabric as one node has it.
func (f *fabric) on(self netip.Addr) mux.Network { return &fabricEnd{f, self, mux.TCP{Local: self}} }

type fabricEnd struct {
	f    *fabric
	self netip.Addr
	tcp  mux.TCP
}

func (e *fabricEnd) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	if e.f.down(e.self, to.Addr()) {
		t := time.NewTimer(400 * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		return nil, errors.New("i/o timeout")
	}
	c, err := e.tcp.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &fabricConn{Conn: c, e: e, peer: to.Addr()}, nil
}

func (e *fabricEnd) Listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := e.tcp.Listen(ctx, addr)
	return fabricListener{ln, e}, err
}

type fabricListener struct {
	net.Listener
	e *fabricEnd
}

func (l fabricListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	peer := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	return &fabricConn{Conn: c, e: l.e, peer: peer}, nil
}

// fabricConn loses what passes while its link is cut; once something is lost it ends when the kernel would give up on it,
// or at the heal.
type fabricConn struct {
	net.Conn
	e    *fabricEnd
	peer netip.Addr

	mu   sync.Mutex
	lost time.Time
}

var errFabric = errors.New("connection timed out")

// check reports whether data is lost now, or the connection is over.
func (c *fabricConn) check() (lose bool, err error) {
	down := c.e.f.down(c.e.self, c.peer)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.lost.IsZero() && (!down || time.Since(c.lost) > time.Second):
		c.Conn.Close()
		return false, errFabric
	case down && c.lost.IsZero():
		c.lost = time.Now()
	}
	return down, nil
}

func (c *fabricConn) Write(p []byte) (int, error) {
	lose, err := c.check()
	if err != nil {
		return 0, err
	}
	if lose {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *fabricConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil {
			return n, err
		}
		lose, err := c.check()
		if err != nil {
			return 0, err
		}
		if !lose {
			return n, nil
		}
	}
}
