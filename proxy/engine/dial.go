package engine

import (
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
)

// Connections to servers: from an address of our own choice (source), from the client's (usesrc), to the port that the
// client addressed.

// sourceConf is where connections to a server come from.
type sourceConf struct {
	proxy.SourceAddress
	turn *atomic.Uint32 // of the ports
}

// maxPorts is how many ports of a range one attempt to connect tries.
const maxPorts = 64

func compileSource(own, of *proxy.SourceAddress) sourceConf {
	if own == nil {
		own = of
	}
	if own == nil {
		return sourceConf{}
	}
	c := sourceConf{SourceAddress: *own, turn: &atomic.Uint32{}}
	c.Pos.File, c.Pos.Line, c.Pos.Col = "", 0, 0
	return c
}

// personal: a connection to the server is of one client alone, as it comes from its address, goes to its port or begins
// with its name.
func (sc *serverConf) personal() bool {
	return sc.sendProxy != 0 || sc.follow || sc.source.UseSrc == proxy.UseSrcClient || sc.source.UseSrc == proxy.UseSrcClientIP
}

// open makes a socket and begins to connect it to the session's server.
func (s *session) open() (int32, unix.Errno) {
	sc := s.t.sc
	if !sc.follow && sc.source.turn == nil {
		return sysDial(&sc.addr)
	}
	to := sc.addr
	if sc.follow {
		port := int(s.local().Port()) + sc.offset
		if port < 1 || port > 65535 {
			return -1, unix.EADDRNOTAVAIL
		}
		to.setPort(uint16(port))
	}
	if sc.source.turn == nil || to.family == unix.AF_UNIX {
		return sysDial(&to)
	}
	return s.openFrom(&to, &sc.source)
}

// openFrom connects from an address that is chosen. Of a range of ports it takes the next that is free.
func (s *session) openFrom(to *sockaddr, from *sourceConf) (fd int32, e unix.Errno) {
	addr, transparent := netip.AddrPortFrom(from.Addr, from.First), from.UseSrc != proxy.UseSrcNone
	switch {
	case from.UseSrc == proxy.UseSrcAddr:
		addr = from.As
	case !s.peer.IsValid():
		transparent = false // a client without an address
	case from.UseSrc == proxy.UseSrcClient:
		addr = s.peer
	case from.UseSrc == proxy.UseSrcClientIP:
		addr = netip.AddrPortFrom(s.peer.Addr(), 0)
	}
	ports := uint32(1)
	if !transparent && from.Last > from.First {
		ports = uint32(from.Last-from.First) + 1
	}
	for range min(ports, maxPorts) {
		if ports > 1 {
			addr = netip.AddrPortFrom(addr.Addr(), from.First+uint16(from.turn.Add(1)%ports))
		}
		fd, e = sysDialFrom(to, addr, transparent, from.Interface)
		if e != unix.EADDRINUSE && e != unix.EADDRNOTAVAIL {
			break
		}
	}
	return fd, e
}

// sysDialFrom is sysDial from a local address, which may be another machine's (transparent), out of a device ("": any).
func sysDialFrom(to *sockaddr, from netip.AddrPort, transparent bool, device string) (int32, unix.Errno) {
	fd, e := sysSocket(to)
	if e != 0 {
		return -1, e
	}
	fail := func(e unix.Errno) (int32, unix.Errno) { sysClose(fd); return -1, e }
	if device != "" {
		if e := sysBindToDevice(fd, device); e != 0 {
			return fail(e)
		}
	}
	if transparent {
		level, name := unix.IPPROTO_IP, unix.IP_TRANSPARENT
		if to.family == unix.AF_INET6 {
			level, name = unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT
		}
		if e := sysSetInt(fd, level, name, 1); e != 0 {
			return fail(e)
		}
	}
	if !from.Addr().IsUnspecified() || from.Port() != 0 {
		if from.Port() == 0 {
			sysSetInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // connect knows which ports are free
		} else {
			sysSetInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		}
		local := newSockaddr(from)
		if e := sysBind(fd, &local); e != 0 {
			return fail(e)
		}
	}
	if e := sysConnect(fd, to); e != 0 {
		return fail(e)
	}
	return fd, 0
}

func sysBindToDevice(fd int32, device string) unix.Errno {
	b := []byte(device)
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), 0)
	return e
}
