package lab

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Sockets makes n unconnected, non-blocking TCP sockets inside the host, in one go: a client that opens hundreds of
// connections a second need not enter the host for each. With a valid source they are bound to it, port free. The caller
// owns the descriptors.
func (h *Host) Sockets(n int, family int, source netip.Addr) ([]int, error) {
	fds := make([]int, 0, n)
	err := h.Do(func() error {
		for range n {
			fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
			if err != nil {
				return err
			}
			fds = append(fds, fd)
			if source.IsValid() {
				if err := unix.Bind(fd, Sockaddr(netip.AddrPortFrom(source, 0))); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return nil, err
	}
	return fds, nil
}

// Sockaddr is an address and port as system calls take it.
func Sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// Family is the socket family of an address.
func Family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
