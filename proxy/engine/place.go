package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
)

// place is where a group listens, with all that its sockets are made by: no two groups have the same.
type place struct {
	addr        netip.AddrPort
	unix        string // path of a Unix socket, "@name" of an abstract one; addr is none then
	device      string
	dual        bool // [::] takes IPv4 as well
	transparent bool
	dgram       bool // of UDP
	quic        bool // for HTTP/3; dgram as well
}

func placeOf(mode proxy.Mode, b *proxy.Bind) place {
	p := place{dgram: mode == proxy.UDP || b.QUIC, quic: b.QUIC, addr: b.Addr, unix: b.Unix, device: b.Interface, transparent: b.Transparent}
	p.dual = b.Unix == "" && p.six() && b.Addr.Addr().IsUnspecified() && !b.V6Only && (b.V4V6 || dualByDefault())
	return p
}

func (p place) six() bool { return p.addr.Addr().Is6() && !p.addr.Addr().Is4In6() }

// String is the address as people write it.
func (p place) String() string { return proxy.Bind{Addr: p.addr, Unix: p.unix, QUIC: p.quic}.Place() }

// same reports whether two binds of a configuration would share out one address's connections.
func (p place) same(o place) bool {
	return p.addr == o.addr && p.unix == o.unix && p.device == o.device && p.dgram == o.dgram
}

// overlaps reports whether what listens on an address already keeps others from p.
func (p place) overlaps(h holder) bool {
	if p.unix != "" || p.dgram != h.dgram || p.addr.Port() != h.addr.Port() {
		return false
	}
	x, y := p.addr.Addr().Unmap(), h.addr.Addr().Unmap()
	return x == y || x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified()) || p.dual && y.Is4()
}

// dualByDefault is what a socket of this machine does with [::] when nobody says otherwise (net.ipv6.bindv6only).
func dualByDefault() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	return err == nil && only == 0
}

// endpoint is where a server is.
type endpoint struct {
	addr   netip.AddrPort
	unix   string // path of a Unix socket, "@name" of an abstract one; addr is none then
	follow bool   // the port is the one that the client addressed, and offset
	offset int
}

func (t endpoint) known() bool { return t.unix != "" || t.addr.Addr().IsValid() }

// resolve finds the address of a server.
func resolve(address string) (endpoint, error) {
	if strings.HasPrefix(address, "/") {
		return endpoint{unix: address}, nil
	}
	if name, ok := strings.CutPrefix(address, "abns@"); ok {
		return endpoint{unix: "@" + name}, nil
	}
	host, text := address, ""
	if i := strings.LastIndexByte(address, ':'); i > strings.LastIndexByte(address, ']') {
		host, text = address[:i], address[i+1:]
	}
	t := endpoint{follow: text == "" || text[0] == '+' || text[0] == '-'}
	port := 0
	if text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < -65535 || n > 65535 || n == 0 && !t.follow {
			return endpoint{}, fmt.Errorf("address %q: %q is no port", address, text)
		}
		if t.follow {
			t.offset = n
		} else {
			port = n
		}
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	ip, err := netip.ParseAddr(host)
	if err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
		defer cancel()
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return endpoint{}, fmt.Errorf("resolve %q: %w", host, err)
		}
		slices.SortStableFunc(ips, func(a, b netip.Addr) int { return a.Unmap().BitLen() - b.Unmap().BitLen() })
		ip = ips[0]
	}
	t.addr = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	return t, nil
}

// sockaddr is the endpoint's address in the kernel's form. A port that follows the client is still to be set.
func (t endpoint) sockaddr(mode proxy.Mode) sockaddr {
	if t.unix != "" {
		return newUnixSockaddr(t.unix)
	}
	s := newSockaddr(t.addr)
	s.dgram = mode == proxy.UDP
	return s
}
