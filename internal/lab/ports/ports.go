// Package ports gives tests the ports that they tell other programs to listen on.
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The range is below that of ip_local_port_range (32768 and up), so that no connection is given one of these as its own.
const (
	first = 20000
	count = 12000
)

// next starts anywhere: the tests of several packages run side by side.
var next = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32N(count))
	return &n
}()

// TB is what Free needs of a testing.TB.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Free is a port of an address that nobody listens on, and that nobody else is given while the test runs. It is bound all
// the while and never listens: who connects to it is refused, and whoever is told to may listen there with SO_REUSEPORT,
// as HAProxy and Reeve do. Safe for concurrent use.
func Free(tb TB, ip string) netip.AddrPort {
	tb.Helper()
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		tb.Fatalf("ports: %v", err)
	}
	for range count {
		at := netip.AddrPortFrom(addr, uint16(first+next.Add(1)%count))
		fd, err := hold(at)
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		if err != nil {
			tb.Fatalf("ports: %v", err)
		}
		tb.Cleanup(func() { unix.Close(fd) })
		return at
	}
	tb.Fatalf("ports: no port of %s from %d to %d is free", ip, first, first+count-1)
	return netip.AddrPort{}
}

// hold binds. That the port is free of other programs shows without SO_REUSEPORT, which is set for those who come after.
func hold(at netip.AddrPort) (int, error) {
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()})
	if at.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Bind(fd, to); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind %s: %w", at, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("SO_REUSEPORT: %w", err)
	}
	return fd, nil
}
