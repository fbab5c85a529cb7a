package mux

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A lost SYN is sent again by the kernel after 1 s only. Giving up sooner and dialling anew finds a healed link faster.
	connectTimeout = 400 * time.Millisecond
	// userTimeout ends a connection whose data nobody acknowledges, so that a cut link is noticed and a healed one is
	// not met with the kernel's grown retransmission timer.
	userTimeout = time.Second
)

// TCP is the Network of real life. Local, if it is an address, is where connections come from, so that the other side
// sees which node it refuses.
type TCP struct{ Local netip.Addr }

// Listen implements Network.
func (TCP) Listen(ctx context.Context, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: control}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return directListener{ln}, nil
}

// Dial implements Network.
func (t TCP) Dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: connectTimeout, KeepAliveConfig: keepAlive, Control: control}
	d.SetMultipathTCP(false)
	if t.Local.IsValid() && !t.Local.IsUnspecified() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(t.Local, 0))
	}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return newDirect(c)
}

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: time.Second, Count: 3}

// control sets TCP_USER_TIMEOUT; accepted sockets inherit it from the listener.
func control(_, _ string, rc syscall.RawConn) error {
	var serr error
	err := rc.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
	})
	if err != nil {
		return err
	}
	return serr
}
