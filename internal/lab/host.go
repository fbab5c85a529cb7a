package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Host is a machine of the lab: a network namespace with interfaces on switches. Safe for concurrent use.
type Host struct {
	net   *Net
	name  string
	ns    *namespace
	nl    *netlink.Handle
	ports []*Port // guarded by net.mu

	mu      sync.Mutex
	running map[*Process]struct{}
	closers []func() // servers started here, latest last
}

// newHost makes the namespace; the caller holds the lock.
func (n *Net) newHost(name string) (*Host, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	h := &Host{net: n, name: name, ns: ns, running: map[*Process]struct{}{}}
	err = ns.do(func() error {
		// An address shall be there once it is set; duplicate address detection would hold it back for a second or two.
		for _, scope := range []string{"all", "default"} {
			if err := writeSysctl("net.ipv6.conf."+scope+".accept_dad", "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		var err error
		if h.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return err
		}
		lo, err := h.nl.LinkByName("lo")
		if err != nil {
			return err
		}
		return h.nl.LinkSetUp(lo)
	})
	if err != nil {
		return nil, errors.Join(err, ns.close())
	}
	if n.watch != nil {
		if err := n.watch.add(h); err != nil {
			return nil, errors.Join(err, ns.close())
		}
	}
	n.hosts[name] = h
	return h, nil
}

// Name is what the host was called when it was made.
func (h *Host) Name() string { return h.name }

// Attach gives the host another interface on a switch.
func (h *Host) Attach(sw *Switch, ifname string, prefixes ...string) (*Port, error) {
	addrs, err := parsePrefixes(prefixes)
	if err != nil {
		return nil, fmt.Errorf("host %s: %s: %w", h.name, ifname, err)
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.net.ports++
	attrs := netlink.NewLinkAttrs()
	attrs.Name = fmt.Sprintf("p%d-%.9s", h.net.ports, h.name)
	p := &Port{host: h, sw: sw, name: ifname, master: -1}
	p.link = &netlink.Veth{LinkAttrs: attrs, PeerName: ifname, PeerNamespace: netlink.NsFd(h.ns.file.Fd())}
	if err := h.net.nl.LinkAdd(p.link); err != nil {
		return nil, fmt.Errorf("host %s: %s: %w", h.name, ifname, err)
	}
	err = func() error {
		own, err := h.nl.LinkByName(ifname)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if err := h.nl.AddrAdd(own, &netlink.Addr{IPNet: ipNet(a), Flags: unix.IFA_F_NODAD}); err != nil {
				return fmt.Errorf("address %s: %w", a, err)
			}
		}
		if err := h.nl.LinkSetUp(own); err != nil {
			return err
		}
		if err := p.up(); err != nil {
			return err
		}
		return p.move(0)
	}()
	if err != nil {
		return nil, fmt.Errorf("host %s: %s: %w", h.name, ifname, err)
	}
	h.ports = append(h.ports, p)
	return p, nil
}

// Port gives the link behind one of the host's interfaces, nil if there is none.
func (h *Host) Port(ifname string) *Port {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for _, p := range h.ports {
		if p.name == ifname {
			return p
		}
	}
	return nil
}

// Carrier is Port.Carrier for all links of the host.
func (h *Host) Carrier(up bool) error { return h.each(func(w *wanted) { w.down = !up }) }

// Cut is Port.Cut for all links of the host.
func (h *Host) Cut() error { return h.each(func(w *wanted) { w.cut = true }) }

// CutIn is Port.CutIn for all links of the host.
func (h *Host) CutIn() error { return h.each(func(w *wanted) { w.in = true }) }

// CutOut is Port.CutOut for all links of the host.
func (h *Host) CutOut() error { return h.each(func(w *wanted) { w.out = true }) }

// Heal is Port.Heal for all links of the host.
func (h *Host) Heal() error { return h.each(func(w *wanted) { *w = wanted{island: w.island} }) }

func (h *Host) each(edit func(*wanted)) error {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	var errs []error
	for _, p := range h.ports {
		errs = append(errs, p.set(edit))
	}
	return errors.Join(errs...)
}

// Do runs fn on a thread inside the host and waits for it. Sockets and processes that fn makes belong to the host for
// good; goroutines that it starts do not run there. fn must not call FailNow of a test.
func (h *Host) Do(fn func() error) error {
	if err := h.ns.do(fn); err != nil {
		return fmt.Errorf("host %s: %w", h.name, err)
	}
	return nil
}

// Dial connects from the host. addr must be numeric. While it waits it keeps a thread.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{}
	d.SetMultipathTCP(false)
	return h.DialWith(ctx, &d, network, addr)
}

// DialWith is Dial with settings of the caller's, a local address say.
func (h *Host) DialWith(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
	var c net.Conn
	err := h.ns.do(func() (err error) {
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// Listen listens for streams on the host.
func (h *Host) Listen(network, addr string) (net.Listener, error) {
	var l net.Listener
	err := h.Do(func() (err error) {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		l, err = lc.Listen(context.Background(), network, addr)
		return err
	})
	return l, err
}

// ListenPacket listens for datagrams on the host; network as net.ListenPacket takes it, "ip4:112" for VRRP.
func (h *Host) ListenPacket(network, addr string) (net.PacketConn, error) {
	var c net.PacketConn
	err := h.Do(func() (err error) {
		c, err = net.ListenPacket(network, addr)
		return err
	})
	return c, err
}

// Sysctl sets a kernel setting of the host ("net.ipv4.ip_nonlocal_bind").
func (h *Host) Sysctl(key, value string) error {
	return h.Do(func() error { return writeSysctl(key, value) })
}

// AddAddr adds an address to an interface.
func (h *Host) AddAddr(ifname, prefix string) error { return h.addr(ifname, prefix, h.nl.AddrAdd) }

// DelAddr takes an address off an interface.
func (h *Host) DelAddr(ifname, prefix string) error { return h.addr(ifname, prefix, h.nl.AddrDel) }

func (h *Host) addr(ifname, prefix string, do func(netlink.Link, *netlink.Addr) error) error {
	p, err := netip.ParsePrefix(prefix)
	if err != nil {
		return fmt.Errorf("host %s: %w", h.name, err)
	}
	l, err := h.nl.LinkByName(ifname)
	if err == nil {
		a := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		err = do(l, a)
	}
	if err != nil {
		return fmt.Errorf("host %s: %s %s: %w", h.name, ifname, prefix, err)
	}
	return nil
}

// Addrs lists the addresses of an interface with their prefix lengths.
func (h *Host) Addrs(ifname string) ([]netip.Prefix, error) {
	l, err := h.nl.LinkByName(ifname)
	if err != nil {
		return nil, fmt.Errorf("host %s: %s: %w", h.name, ifname, err)
	}
	list, err := h.nl.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("host %s: %s: %w", h.name, ifname, err)
	}
	var out []netip.Prefix
	for _, a := range list {
		ip, _ := netip.AddrFromSlice(a.IP)
		ones, _ := a.Mask.Size()
		out = append(out, netip.PrefixFrom(ip.Unmap(), ones))
	}
	return out, nil
}

// DefaultRoute sends what is not local to a gateway.
func (h *Host) DefaultRoute(gateway string) error {
	gw, err := netip.ParseAddr(gateway)
	if err != nil {
		return fmt.Errorf("host %s: %w", h.name, err)
	}
	if err := h.nl.RouteReplace(&netlink.Route{Gw: gw.AsSlice()}); err != nil {
		return fmt.Errorf("host %s: route by %s: %w", h.name, gateway, err)
	}
	return nil
}

// atClose registers what ends a server of the host.
func (h *Host) atClose(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closers = append(h.closers, fn)
}

func (h *Host) close() error {
	h.mu.Lock()
	closers := h.closers
	h.closers = nil
	h.mu.Unlock()
	for i := len(closers) - 1; i >= 0; i-- {
		closers[i]()
	}
	err := h.killAll()
	h.nl.Close()
	return errors.Join(err, h.ns.close())
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// writeSysctl sets a key of the thread's network namespace. A dot inside an interface name is written as a slash.
func writeSysctl(key, value string) error {
	path := strings.NewReplacer(".", "/", "/", ".").Replace(key)
	return os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0o644)
}
