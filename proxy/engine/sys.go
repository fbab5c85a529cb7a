package engine

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// These calls never block (every descriptor is non-blocking), so they skip the scheduler's bookkeeping: a loop owns its
// thread and has nothing to hand over.

func sysRead(fd int32, b []byte) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

func sysSend(fd int32, b []byte, flags uintptr) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			unix.MSG_NOSIGNAL|flags, 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// sysPeek tells whether a byte, the end of file or an error waits to be read.
func sysPeek(fd int32) (int, unix.Errno) {
	var b [1]byte
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b)), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}

func sysClose(fd int32) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func sysShutdown(fd int32) { unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0) }

func sysAccept(fd int32) (int32, netip.AddrPort, unix.Errno) {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	n, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if e != 0 {
		return -1, netip.AddrPort{}, e
	}
	return int32(n), addrPort(&sa), 0
}

func sysLocal(fd int32) netip.AddrPort {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	return addrPort(&sa)
}

func addrPort(sa *unix.RawSockaddrAny) netip.AddrPort {
	port := func(p uint16) uint16 { b := (*[2]byte)(unsafe.Pointer(&p)); return uint16(b[0])<<8 | uint16(b[1]) }
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), port(in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), port(in.Port))
	}
	return netip.AddrPort{}
}

// sockaddr is an address in the kernel's form, made once when a configuration is compiled.
type sockaddr struct {
	raw    [unix.SizeofSockaddrInet6]byte
	size   uint32
	family int
}

func newSockaddr(a netip.AddrPort) sockaddr {
	var s sockaddr
	be := func(p uint16) (r uint16) { *(*[2]byte)(unsafe.Pointer(&r)) = [2]byte{byte(p >> 8), byte(p)}; return r }
	if ip := a.Addr().Unmap(); ip.Is4() {
		in := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: be(a.Port()), Addr: ip.As4()}
		s.size, s.family = unix.SizeofSockaddrInet4, unix.AF_INET
		copy(s.raw[:], (*[unix.SizeofSockaddrInet4]byte)(unsafe.Pointer(&in))[:])
		return s
	}
	in := unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: be(a.Port()), Addr: a.Addr().As16()}
	s.size, s.family = unix.SizeofSockaddrInet6, unix.AF_INET6
	copy(s.raw[:], (*[unix.SizeofSockaddrInet6]byte)(unsafe.Pointer(&in))[:])
	return s
}

// sysDial makes a socket and begins to connect it; EINPROGRESS is no error.
func sysDial(s *sockaddr) (int32, unix.Errno) {
	fd, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(s.family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if e != 0 {
		return -1, e
	}
	sysNoDelay(int32(fd))
	_, _, e = unix.RawSyscall(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&s.raw)), uintptr(s.size))
	if e != 0 && e != unix.EINPROGRESS && e != unix.EINTR {
		sysClose(int32(fd))
		return -1, e
	}
	return int32(fd), 0
}

func sysNoDelay(fd int32) {
	on := int32(1)
	unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, uintptr(unsafe.Pointer(&on)), 4, 0)
}

// sysSockError takes the pending error of a socket, that of a connect above all.
func sysSockError(fd int32) unix.Errno {
	v, size := int32(0), uint32(4)
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR, uintptr(unsafe.Pointer(&v)),
		uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return e
	}
	return unix.Errno(v)
}

func sysEpollAdd(ep int, fd, gen int32, events uint32) unix.Errno {
	ev := unix.EpollEvent{Events: events, Fd: fd, Pad: gen}
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(ep), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return e
}

func sysEpollDel(ep int, fd int32) {
	var ev unix.EpollEvent
	unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(ep), unix.EPOLL_CTL_DEL, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
}

// sysEpollNow asks for events without waiting.
func sysEpollNow(ep int, evs []unix.EpollEvent) int {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(unsafe.SliceData(evs))), uintptr(len(evs)), 0, 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}
