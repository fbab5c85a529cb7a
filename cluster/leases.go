package cluster

import (
	"context"
	"fmt"
	"net"

	"github.com/hashicorp/raft"

	"github.com/reeve-lb/reeve/cluster/fsm"
	"github.com/reeve-lb/reeve/cluster/lease"
	"github.com/reeve-lb/reeve/cluster/mux"
	"github.com/reeve-lb/reeve/cluster/raftnode"
)

// leaseStream is the name of the streams between lease clients, guards and lease services.
const leaseStream = "lease"

// leaseSide fits the lease package to the cluster.
type leaseSide struct {
	client  *lease.Client
	service *lease.Service
	part    leasePart
}

func (l *leaseSide) init(c *Cluster) (err error) {
	l.client, l.service, err = lease.New(lease.Config{
		ID: c.dir.ID, Node: c.conf.Name, Address: c.conf.Advertise, Logger: c.log.Named("lease"),
		TTL: c.conf.LeaseTTL, Renew: c.conf.LeaseRenewal,
		Log: (*leaseLog)(c), Transport: (*leaseDialer)(c),
	})
	if err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	c.mux.HandleStream(leaseStream, func(ctx context.Context, from mux.Peer, conn net.Conn) {
		if err := l.service.Serve(ctx, lease.Peer{ID: from.ID, Name: from.Name}, conn); err != nil && ctx.Err() == nil {
			c.log.Debug("lease stream ended", "node", from.Name, "error", err)
		}
	})
	return nil
}

// leasePart is the leases' part of the agreed state.
type leasePart struct{ state lease.State }

// Version implements fsm.Part.
func (*leasePart) Version() uint8 { return 1 }

// Apply implements fsm.Part.
func (p *leasePart) Apply(_ uint64, cmd []byte) (any, error) { return p.state.Apply(cmd) }

// Snapshot implements fsm.Part.
func (p *leasePart) Snapshot() []byte { return p.state.AppendSnapshot(nil) }

// Restore implements fsm.Part.
func (p *leasePart) Restore(b []byte) error { return p.state.Restore(b) }

// leaseLog is the Cluster as the leases' log.
type leaseLog Cluster

// Leadership implements lease.Log.
func (l *leaseLog) Leadership() lease.Leadership {
	n := l.lead.get()
	out := lease.Leadership{Leading: n.led, Term: n.term, Elected: n.elected, Voters: n.voters}
	if n.leader != "" {
		out.Leader.ID = n.leader
		if name := (*Cluster)(l).nameOf(n.leader); name != n.leader {
			out.Leader.Name = name
		}
	}
	return out
}

// Changed implements lease.Log.
func (l *leaseLog) Changed(ctx context.Context) <-chan struct{} { return l.lead.changed(ctx) }

// Term implements lease.Log.
func (l *leaseLog) Term() uint64 {
	if !l.up.Load() {
		return 0
	}
	return l.node.Raft().CurrentTerm()
}

// Contact implements lease.Log.
func (l *leaseLog) Contact(id string, term uint64) {
	if l.up.Load() {
		l.node.Contact(raft.ServerID(id), term)
	}
}

// Led implements lease.Log.
func (l *leaseLog) Led(leader string, term uint64) {
	if l.up.Load() {
		l.node.Led(raft.ServerID(leader), term)
	}
}

// Propose implements lease.Log.
func (l *leaseLog) Propose(ctx context.Context, cmd []byte) ([]lease.Record, error) {
	r, err := (*Cluster)(l).applyHere(ctx, fsm.Command(fsm.TypeLease, 1, cmd))
	if err != nil {
		return nil, err
	}
	recs, ok := r.Value.([]lease.Record)
	if !ok {
		return nil, fmt.Errorf("lease entry answered %T", r.Value)
	}
	return recs, nil
}

// Records implements lease.Log.
func (l *leaseLog) Records() (rs []lease.Record) {
	(*Cluster)(l).readState(func(*fsm.State) { rs = l.lease.part.state.Records() })
	return rs
}

// Applied implements lease.Log.
func (l *leaseLog) Applied(ctx context.Context, instance string, epoch uint64) error {
	c := (*Cluster)(l)
	for {
		moved := c.teller.moves()
		if err := c.isStuck(); err != nil {
			return err
		}
		var now uint64
		c.readState(func(*fsm.State) { now = l.lease.part.state.Epoch(instance) })
		if now >= epoch {
			return c.teller.barrier(ctx)
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TransferLeadership implements lease.Log.
func (l *leaseLog) TransferLeadership(ctx context.Context, to string) error {
	if !l.up.Load() {
		return ErrStopped
	}
	for _, s := range l.node.Servers() {
		if string(s.ID) == to && s.Suffrage == raft.Voter {
			return raftnode.Wait(ctx, l.node.Raft().LeadershipTransferToServer(s.ID, s.Address))
		}
	}
	return fmt.Errorf("%s: %w", to, ErrUnknownNode)
}

// TriggerElection implements lease.Log.
func (l *leaseLog) TriggerElection(ctx context.Context) error {
	if !l.up.Load() {
		return ErrStopped
	}
	return l.node.TriggerElection(ctx)
}

// leaseDialer is the Cluster as the leases' transport.
type leaseDialer Cluster

// Dial implements lease.Transport.
func (d *leaseDialer) Dial(ctx context.Context, id string) (net.Conn, error) {
	return (*Cluster)(d).Stream(ctx, id, leaseStream)
}

// SayConfig is what this node's guard needs to tell the others, now, that addresses are off when the agent is gone. It
// changes with the members and holds a private key.
func (c *Cluster) SayConfig() (lease.SayConfig, error) {
	cert := c.mux.Certificate()
	key, err := mux.MarshalKey(cert)
	if err != nil {
		return lease.SayConfig{}, err
	}
	s := lease.SayConfig{
		Node: c.conf.Name, Cert: cert.Certificate, Key: key, CA: [][]byte{c.auth.Certificate()},
		Inner: mux.StreamHello(leaseStream),
	}
	for _, m := range c.dirs.get().all {
		if m.ID != c.dir.ID && alive(m) {
			s.Peers = append(s.Peers, lease.SayPeer{ID: m.ID, Address: m.RPC.String()})
		}
	}
	return s, nil
}

// MembersChanged is signalled (capacity 1) after each change of the members until ctx ends.
func (c *Cluster) MembersChanged(ctx context.Context) <-chan struct{} { return c.dirs.changed(ctx) }
