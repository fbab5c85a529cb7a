package engine

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// holder is a listening socket of this machine (of this network namespace).
type holder struct {
	addr  netip.AddrPort
	inode uint64
	uid   uint32
	dgram bool // of UDP
}

const (
	sockDiagByFamily = 20
	tcpListen        = 10
	tcpClose         = 7 // the state of UDP sockets that are not connected
	diagRequestLen   = 56
	diagMessageLen   = 72
)

// listeners asks the kernel for all TCP sockets that listen and UDP sockets that anybody may send to (sock_diag(7)), which
// needs no privilege.
func listeners() ([]holder, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	var all []holder
	for _, q := range []struct {
		family, protocol byte
		state            int
	}{{unix.AF_INET, unix.IPPROTO_TCP, tcpListen}, {unix.AF_INET6, unix.IPPROTO_TCP, tcpListen},
		{unix.AF_INET, unix.IPPROTO_UDP, tcpClose}, {unix.AF_INET6, unix.IPPROTO_UDP, tcpClose}} {
		hs, err := listenersOf(fd, q.family, q.protocol, q.state)
		if err != nil && q.protocol == unix.IPPROTO_TCP { // a kernel without udp_diag
			return all, fmt.Errorf("sock_diag: %w", err)
		}
		all = append(all, hs...)
	}
	return all, nil
}

func listenersOf(fd int, family, protocol byte, state int) ([]holder, error) {
	req := make([]byte, unix.NLMSG_HDRLEN+diagRequestLen)
	ne := binary.NativeEndian
	ne.PutUint32(req[0:], uint32(len(req)))
	ne.PutUint16(req[4:], sockDiagByFamily)
	ne.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	req[16], req[17] = family, protocol
	ne.PutUint32(req[20:], 1<<state)
	if err := unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var hs []holder
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return hs, err
		}
		for b := buf[:n]; len(b) >= unix.NLMSG_HDRLEN; {
			size, kind := int(ne.Uint32(b)), ne.Uint16(b[4:])
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return hs, fmt.Errorf("a message of %d bytes", size)
			}
			switch kind {
			case unix.NLMSG_DONE:
				return hs, nil
			case unix.NLMSG_ERROR:
				return hs, fmt.Errorf("refused")
			}
			if m := b[unix.NLMSG_HDRLEN:size]; len(m) >= diagMessageLen {
				hs = append(hs, parseHolder(m, protocol == unix.IPPROTO_UDP))
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

func parseHolder(m []byte, dgram bool) holder {
	ip := netip.AddrFrom4([4]byte(m[8:12]))
	if m[0] == unix.AF_INET6 {
		ip = netip.AddrFrom16([16]byte(m[8:24]))
	}
	ne := binary.NativeEndian
	return holder{netip.AddrPortFrom(ip, binary.BigEndian.Uint16(m[4:])), uint64(ne.Uint32(m[68:])), ne.Uint32(m[64:]), dgram}
}

// stranger finds who else listens where addr would. A wildcard of IPv6 may take IPv4 too: then a trial decides.
func stranger(held []holder, own map[uint64]bool, p place) (holder, bool) {
	for _, h := range held {
		if own[h.inode] || p.unix != "" || h.dgram != p.dgram || h.addr.Port() != p.addr.Port() {
			continue
		}
		if p.overlaps(h) {
			return h, true
		}
		if h.addr.Addr().Is6() && h.addr.Addr().IsUnspecified() && p.addr.Addr().Unmap().Is4() && !ownsPort(held, own, p) && taken(p) {
			return h, true
		}
	}
	return holder{}, false
}

func ownsPort(held []holder, own map[uint64]bool, p place) bool {
	for _, h := range held {
		if own[h.inode] && p.overlaps(h) {
			return true
		}
	}
	return false
}

// taken tries to bind without SO_REUSEPORT, which no holder lets pass.
func taken(p place) bool {
	kind := unix.SOCK_STREAM
	if p.dgram {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
	return unix.Bind(fd, &unix.SockaddrInet4{Port: int(p.addr.Port()), Addr: p.addr.Addr().Unmap().As4()}) == unix.EADDRINUSE
}

// describe names the program behind a socket, or at least its user where /proc does not show more.
func (h holder) describe() string {
	if pid, name := findProcess(h.inode); pid > 0 {
		if pid == os.Getpid() {
			return fmt.Sprintf("this process itself, listening on %s", h.addr)
		}
		return fmt.Sprintf("%s (pid %d), listening on %s", name, pid, h.addr)
	}
	return fmt.Sprintf("a program of uid %d, listening on %s", h.uid, h.addr)
}

// findProcess looks for the process that has a socket open.
func findProcess(inode uint64) (pid int, name string) {
	want := "socket:[" + strconv.FormatUint(inode, 10) + "]"
	links, _ := filepath.Glob("/proc/[0-9]*/fd")
	for _, dir := range links {
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err != nil || to != want {
				continue
			}
			root := filepath.Dir(dir)
			pid, _ = strconv.Atoi(filepath.Base(root))
			return pid, programName(root)
		}
	}
	return 0, ""
}

// programName is the program's file, as its own thread names may say anything; of a process that may not be looked into
// it is the name the kernel gives.
func programName(root string) string {
	if exe, err := os.Readlink(filepath.Join(root, "exe")); err == nil {
		return strings.TrimSuffix(filepath.Base(exe), " (deleted)")
	}
	comm, _ := os.ReadFile(filepath.Join(root, "comm"))
	return strings.TrimSpace(string(comm))
}
