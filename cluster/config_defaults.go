package cluster

import (
	"errors"
	"fmt"
	"net/netip"
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
	or(&c.LeaderLease, 150*time.Millisecond)
	or(&c.SnapshotInterval, 2*time.Minute)
	or(&c.SnapshotLogs, 8192)
	or(&c.LeaseTTL, 250*time.Millisecond)
	or(&c.LeaseRenewal, 50*time.Millisecond)
	or(&c.StabilizeAfter, 2*time.Second)
	or(&c.ReapAfter, 72*time.Hour)
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
	text, err := sockaddr.GetPrivateIP()
	if err != nil {
		return fmt.Errorf("look for an address to advertise: %w", err)
	}
	if text == "" {
		return errors.New("no private address to advertise to the cluster: set bind to the address that the other nodes reach")
	}
	c.Advertise, err = netip.ParseAddr(text)
	return err
}
