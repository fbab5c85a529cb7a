package lab

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// patience bounds each wait for the kernel to carry out what it was asked.
const patience = 5 * time.Second

// Net is a lab: hosts, the switches that join them, and what runs on the hosts. Safe for concurrent use.
type Net struct {
	mu       sync.Mutex
	fabric   *namespace // holds every bridge and the switch side of every link
	nl       *netlink.Handle
	hosts    map[string]*Host
	switches map[string]*Switch
	ports    int // links ever made: their names
	bridges  int // bridges ever made: their names
	watch    *Watch
	closed   bool
}

// Switch is a layer 2 segment: a bridge without spanning tree or multicast snooping.
type Switch struct {
	net     *Net
	name    string
	islands []netlink.Link // bridges, [0] is whole; a partition uses one more each group
}

// Open makes an empty lab with one switch. The program must run inside Enter.
func Open() (*Net, error) {
	fabric, err := newNamespace()
	if err != nil {
		return nil, err
	}
	n := &Net{fabric: fabric, hosts: map[string]*Host{}, switches: map[string]*Switch{}}
	err = fabric.do(func() error {
		// A forward policy of the machine must not filter what a switch would pass; absent without br_netfilter.
		for _, key := range []string{"iptables", "ip6tables", "arptables"} {
			if err := writeSysctl("net.bridge.bridge-nf-call-"+key, "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		// The switch has no addresses of its own.
		if err := writeSysctl("net.ipv6.conf.default.disable_ipv6", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		n.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("switch: %w", err), fabric.close())
	}
	if _, err := n.Switch("main"); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Switch gives the switch of this name, and makes it if there is none. Hosts are made on the one named "main".
func (n *Net) Switch(name string) (*Switch, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.switches[name]; s != nil {
		return s, nil
	}
	s := &Switch{net: n, name: name}
	if _, err := s.island(0); err != nil {
		return nil, err
	}
	n.switches[name] = s
	return s, nil
}

// island gives the bridge of one group of a partition; the caller holds the lock.
func (s *Switch) island(i int) (netlink.Link, error) {
	for len(s.islands) <= i {
		attrs := netlink.NewLinkAttrs()
		s.net.bridges++
		attrs.Name = fmt.Sprintf("sw%d", s.net.bridges)
		snooping := false
		bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
		if err := s.net.nl.LinkAdd(bridge); err != nil {
			return nil, fmt.Errorf("switch %s: bridge: %w", s.name, err)
		}
		if err := s.net.nl.LinkSetUp(bridge); err != nil {
			return nil, fmt.Errorf("switch %s: bridge up: %w", s.name, err)
		}
		s.islands = append(s.islands, bridge)
	}
	return s.islands[i], nil
}

// Host makes a host with a loopback that is up and eth0 on the main switch, carrying these addresses ("10.0.0.1/24",
// "fd00::1/64"). It can speak as soon as Host returns.
func (n *Net) Host(name string, prefixes ...string) (*Host, error) {
	n.mu.Lock()
	if n.hosts[name] != nil {
		n.mu.Unlock()
		return nil, fmt.Errorf("host %s: there is one already", name)
	}
	h, err := n.newHost(name)
	main := n.switches["main"]
	n.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	if _, err := h.Attach(main, "eth0", prefixes...); err != nil {
		return nil, err
	}
	return h, nil
}

// Hosts lists the hosts by name.
func (n *Net) Hosts() []*Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	var hosts []*Host
	for _, name := range slices.Sorted(maps.Keys(n.hosts)) {
		hosts = append(hosts, n.hosts[name])
	}
	return hosts
}

// Partition cuts every switch into one island a group: hosts of different groups do not hear each other, carrier stays up,
// each group goes on among itself. Hosts that no group names are in the last one. Cuts of single links stay as they are.
func (n *Net) Partition(groups ...[]*Host) error {
	island := map[*Host]int{}
	for i, g := range groups {
		for _, h := range g {
			island[h] = i
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, h := range n.hosts {
		i, named := island[h]
		if !named {
			i = max(0, len(groups)-1)
		}
		for _, p := range h.ports {
			errs = append(errs, p.set(func(w *wanted) { w.island = i }))
		}
	}
	return errors.Join(errs...)
}

// Heal undoes every cut and partition.
func (n *Net) Heal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, h := range n.hosts {
		for _, p := range h.ports {
			errs = append(errs, p.set(func(w *wanted) { *w = wanted{} }))
		}
	}
	return errors.Join(errs...)
}

// Close kills every process of every host, waits until they are gone, and takes the hosts and switches away. A second
// call does nothing.
func (n *Net) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	hosts, watch := n.hosts, n.watch
	n.mu.Unlock()

	var errs []error
	if watch != nil {
		errs = append(errs, watch.close())
	}
	for _, h := range hosts {
		errs = append(errs, h.close())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.switches {
		for _, b := range s.islands {
			errs = append(errs, n.nl.LinkDel(b))
		}
	}
	n.nl.Close()
	return errors.Join(append(errs, n.fabric.close())...)
}

func parsePrefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
