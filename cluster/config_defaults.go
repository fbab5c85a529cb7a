package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	sockaddr "github.com/hashicorp/go-sockaddr"

	"github.com/reeve-lb/reeve/cluster/mux"
)

func or[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c *Config) defaults() error {
	if c.Name == "" {
		return errors.New("node has no name")
	}
	if len(c.Name) > 128 {
		return fmt.Errorf("node name of %d bytes: 128 at most", len(c.Name))
	}
	if c.BootstrapExpect < 0 {
		return fmt.Errorf("bootstrap_expect %d is negative", c.BootstrapExpect)
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	or(&c.Role, RoleNode)
	or(&c.RPCPort, DefaultRPCPort)
	or(&c.GossipPort, DefaultGossipPort)
	c.RPCPort, c.GossipPort = max(c.RPCPort, 0), max(c.GossipPort, 0)
	or(&c.HeartbeatTimeout, 200*time.Millisecond)
	or(&c.ElectionTimeout, 200*time.Millisecond)
	or(&c.LeaderLease, 200*time.Millisecond)
	or(&c.SnapshotInterval, 2*time.Minute)
	or(&c.SnapshotLogs, 8192)
	or(&c.LeaseTTL, 250*time.Millisecond)
	or(&c.LeaseRenewal, 50*time.Millisecond)
	or(&c.StabilizeAfter, 2*time.Second)
	or(&c.ReapAfter, 72*time.Hour)
	or(&c.TicketKeyAge, DefaultTicketKeyAge)
	or(&c.ReconcileEvery, 5*time.Second)
	return c.addresses()
}

func (c *Config) addresses() error {
	or(&c.Bind, netip.IPv4Unspecified())
	if !c.Advertise.IsValid() {
		c.Advertise = c.Bind
	}
	if c.Network == nil {
		c.Network = mux.TCP{Local: c.Bind}
	}
	if !c.Advertise.IsUnspecified() {
		return nil
	}
	mine, err := c.reachable()
	switch {
	case err != nil:
		return fmt.Errorf("look for an address to advertise: %w", err)
	case mine.IsValid():
		c.Advertise = mine
	case c.BootstrapExpect > 1 || len(c.RetryJoin) > 0:
		return errors.New("no address to advertise to the cluster: is the network up? Set bind to the address that the other nodes reach")
	default: // alone, nobody has to find this node
		c.Advertise = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if c.Bind.Is6() {
			c.Advertise = netip.IPv6Loopback()
		}
	}
	return nil
}

// reachable is the address that others find this node at: one that Bind listens on (0.0.0.0 hears no IPv6), a private
// one of the interface with the default route if there is, else a private one, else any. Invalid: there is none.
func (c *Config) reachable() (netip.Addr, error) {
	var best netip.Addr
	offer := func(a netip.Addr) {
		fits := a.IsGlobalUnicast() && (c.Bind.Is6() || a.Is4())
		if fits && (!best.IsValid() || a.IsPrivate() && !best.IsPrivate()) {
			best = a
		}
	}
	routed, err := sockaddr.GetPrivateIPs()
	if err != nil {
		return best, err
	}
	for text := range strings.FieldsSeq(routed) {
		if a, err := netip.ParseAddr(text); err == nil {
			offer(a.Unmap())
		}
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return best, err
	}
	for _, n := range all {
		if p, err := netip.ParsePrefix(n.String()); err == nil {
			offer(p.Addr().Unmap())
		}
	}
	return best, nil
}
