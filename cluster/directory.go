package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/serf/serf"

	"github.com/reeve-lb/reeve/cluster/gossip"
	"github.com/reeve-lb/reeve/cluster/mux"
)

// directory is the members as gossip last told them, for look-ups many times a second.
type directory struct {
	p atomic.Pointer[members]

	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
}

// changed is signalled after each update until ctx ends.
func (d *directory) changed(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watchers == nil {
		d.watchers = map[chan struct{}]struct{}{}
	}
	d.watchers[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, ch)
	})
	return ch
}

type members struct {
	all    []gossip.Member
	byID   map[string]gossip.Member
	byName map[string]gossip.Member
}

func (d *directory) update(ms []gossip.Member) {
	m := &members{all: ms, byID: map[string]gossip.Member{}, byName: map[string]gossip.Member{}}
	for _, x := range ms {
		m.byID[x.ID] = x
		m.byName[x.Name] = x
	}
	d.p.Store(m)
	d.mu.Lock()
	defer d.mu.Unlock()
	for ch := range d.watchers {
		wake(ch)
	}
}

func (d *directory) get() *members {
	if m := d.p.Load(); m != nil {
		return m
	}
	return &members{}
}

func alive(m gossip.Member) bool { return m.Status == serf.StatusAlive }

// target finds where a node (by name or id) is reached: where gossip saw it, or where Raft's configuration says.
func (c *Cluster) target(node string) (mux.Target, error) {
	if !c.up.Load() {
		return mux.Target{}, ErrStopped
	}
	d := c.dirs.get()
	m, ok := d.byName[node]
	if !ok {
		m, ok = d.byID[node]
	}
	if ok {
		return mux.Target{ID: m.ID, Addr: m.RPC.String()}, nil
	}
	for _, s := range c.node.Servers() {
		if string(s.ID) == node {
			return mux.Target{ID: node, Addr: string(s.Address)}, nil
		}
	}
	return mux.Target{}, fmt.Errorf("%s: %w", node, ErrUnknownNode)
}

// nameOf is the name of a node id; the id itself while gossip does not know it.
func (c *Cluster) nameOf(id string) string {
	if id == c.dir.ID {
		return c.conf.Name
	}
	if m, ok := c.dirs.get().byID[id]; ok {
		return m.Name
	}
	return id
}

// addresses tells Raft where a peer is now, whatever its configuration remembers.
type addresses Cluster

// ServerAddr implements raft.ServerAddressProvider.
func (a *addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if m, ok := a.dirs.get().byID[string(id)]; ok {
		return raft.ServerAddress(m.RPC.String()), nil
	}
	return "", fmt.Errorf("%s: %w", id, ErrUnknownNode) // Raft falls back on its configuration
}

// watchMembers keeps the directory.
func (c *Cluster) watchMembers(ctx context.Context) error {
	changed := c.gossip.Changed(ctx)
	for {
		c.dirs.update(c.gossip.Members())
		c.lead.poke()
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// Members returns all nodes that gossip knows, ordered by name; this one is among them.
func (c *Cluster) Members() []Member {
	if !c.up.Load() {
		return nil
	}
	leader := c.lead.get().leader
	var out []Member
	for _, m := range c.gossip.Members() {
		out = append(out, Member{
			ID: m.ID, Name: m.Name, Gossip: m.Addr, RPC: m.RPC, Role: Role(m.Role), Build: m.Build,
			Version: m.Protocol, Leader: m.ID == leader && leader != "", Tags: m.Tags,
			Status: map[serf.MemberStatus]Status{
				serf.StatusAlive: StatusAlive, serf.StatusLeaving: StatusLeaving, serf.StatusLeft: StatusLeft, serf.StatusFailed: StatusFailed,
			}[m.Status],
		})
	}
	return out
}
