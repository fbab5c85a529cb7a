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

// sysPeekInto reads without taking what it reads off the socket.
func sysPeekInto(fd int32, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}

// sysPipe makes a pipe of pipeSize, or as large as this user may have one.
func sysPipe(p *pipe) unix.Errno {
	var fds [2]int32
	if _, _, e := unix.RawSyscall(unix.SYS_PIPE2, uintptr(unsafe.Pointer(&fds)), unix.O_NONBLOCK|unix.O_CLOEXEC, 0); e != 0 {
		return e
	}
	p.r, p.w = fds[0], fds[1]
	unix.RawSyscall(unix.SYS_FCNTL, uintptr(p.w), unix.F_SETPIPE_SZ, pipeSize)
	return 0
}

// sysSplice moves up to n bytes between a socket and a pipe.
func sysSplice(from, to int32, n int) (int, unix.Errno) {
	for {
		m, _, e := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if e != unix.EINTR {
			return int(m), e
		}
	}
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
	raw    [unix.SizeofSockaddrUnix]byte
	size   uint32
	family int
	dgram  bool // of UDP
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

// newUnixSockaddr is that of a Unix socket: a path, or "@name" for an abstract one, which HAProxy fills up with zeros.
func newUnixSockaddr(path string) sockaddr {
	s := sockaddr{size: unix.SizeofSockaddrUnix, family: unix.AF_UNIX}
	*(*uint16)(unsafe.Pointer(&s.raw)) = unix.AF_UNIX
	copy(s.raw[2:len(s.raw)-1], path)
	if path[0] == '@' {
		s.raw[2] = 0
	}
	return s
}

// setPort changes the port of an IP address.
func (s *sockaddr) setPort(p uint16) { s.raw[2], s.raw[3] = byte(p>>8), byte(p) }

// sysSocket makes a socket that fits an address. One of TCP sends without delays.
func sysSocket(s *sockaddr) (int32, unix.Errno) {
	kind := uintptr(unix.SOCK_STREAM)
	if s.dgram {
		kind = unix.SOCK_DGRAM
	}
	fd, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(s.family), kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, e
	}
	if s.family != unix.AF_UNIX && !s.dgram {
		sysSetInt(int32(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	return int32(fd), 0
}

// sysConnect begins to connect; EINPROGRESS is no error.
func sysConnect(fd int32, s *sockaddr) unix.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&s.raw)), uintptr(s.size))
	if e == unix.EINPROGRESS || e == unix.EINTR {
		return 0
	}
	return e
}

func sysBind(fd int32, s *sockaddr) unix.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&s.raw)), uintptr(s.size))
	return e
}

// sysDial makes a socket and begins to connect it.
func sysDial(s *sockaddr) (int32, unix.Errno) {
	fd, e := sysSocket(s)
	if e != 0 {
		return -1, e
	}
	if e := sysConnect(fd, s); e != 0 {
		sysClose(fd)
		return -1, e
	}
	return fd, 0
}

func sysSetInt(fd int32, level, name int, v int32) unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&v)), 4, 0)
	return e
}

// sysNoLinger makes closing a socket forget what it has not sent.
func sysNoLinger(fd int32) {
	v := unix.Linger{Onoff: 1}
	unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&v)), unsafe.Sizeof(v), 0)
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
