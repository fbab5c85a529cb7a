package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/reeve-lb/reeve/cluster/gossip"
	"github.com/reeve-lb/reeve/cluster/mux"
)

// A new cluster begins once bootstrap_expect nodes see each other, none of which has a log. The one with the smallest id
// makes a list of the voters; each of them promises the list to it, and to nobody else for a while, or says that there is
// a cluster already. Only then the list becomes the first entry of that one node's log; the others get it by replication.

// promiseFor is how long a node keeps to a list it has promised.
const promiseFor = 10 * time.Second

type bootstrapper struct {
	mu      sync.Mutex
	list    []raft.Server
	until   time.Time
	trouble string // last thing said
}

type bootstrapOffer struct {
	Expect  int
	Servers []raft.Server
}

var errHaveCluster = errors.New("there is a cluster already")

// bootstrap tries until there is a log.
func (c *Cluster) bootstrap(ctx context.Context) error {
	expect := c.conf.BootstrapExpect
	if expect == 0 || c.node.HasLog() {
		return nil
	}
	if expect == 2 {
		c.log.Warn("bootstrap_expect is 2: such a cluster stops deciding when either node is lost; add a witness")
	}
	changed := c.gossip.Changed(ctx)
	for !c.node.HasLog() {
		err := c.tryBootstrap(ctx)
		if errors.Is(err, errHaveCluster) {
			c.log.Info("joining the cluster that is there, not beginning one")
			return nil
		}
		c.complain(err)
		if err == nil && c.node.HasLog() {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(200*time.Millisecond + rand.N(200*time.Millisecond)):
		}
	}
	return nil
}

// complain logs what keeps the cluster from beginning, once for each cause.
func (c *Cluster) complain(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	c.boot.mu.Lock()
	same := c.boot.trouble == text
	c.boot.trouble = text
	c.boot.mu.Unlock()
	if !same && err != nil {
		c.log.Error("cannot begin the cluster", "error", err)
	}
}

// tryBootstrap returns nil also when it is too early or another node's turn.
func (c *Cluster) tryBootstrap(ctx context.Context) error {
	list, err := c.founders()
	if err != nil || list == nil {
		return err
	}
	if err := c.someCluster(ctx); err != nil {
		return err
	}
	if list[0].ID != c.dir.ID {
		return nil
	}
	offer := bootstrapOffer{Expect: c.conf.BootstrapExpect}
	for _, m := range list {
		offer.Servers = append(offer.Servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.RPC.String()),
		})
	}
	if err := c.promise(offer); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, promiseFor/4)
	defer cancel()
	for _, m := range list[1:] {
		if _, err := ask[struct{}](ctx, c, mux.Target{ID: m.ID, Addr: m.RPC.String()}, methodBootstrap, offer); err != nil {
			if errors.Is(err, mux.ErrUnreachable) || ctx.Err() != nil {
				return nil // seen by gossip, but not listening yet
			}
			return fmt.Errorf("%s does not begin a cluster with us: %w", m.Name, err)
		}
	}
	c.log.Info("beginning the cluster", "voters", len(offer.Servers))
	if err := c.node.Bootstrap(offer.Servers); err != nil {
		return fmt.Errorf("write the first log entry: %w", err)
	}
	c.lead.poke()
	return nil
}

// founders are the voters of a new cluster, ordered by id: nil while there are too few.
func (c *Cluster) founders() ([]gossip.Member, error) {
	var list []gossip.Member
	for _, m := range c.gossip.Members() {
		if !alive(m) || m.Expect == 0 {
			continue
		}
		if m.Expect != c.conf.BootstrapExpect {
			return nil, fmt.Errorf("bootstrap_expect is %d here and %d on %s: no cluster begins before they agree", c.conf.BootstrapExpect, m.Expect, m.Name)
		}
		list = append(list, m)
	}
	if len(list) < c.conf.BootstrapExpect {
		return nil, nil
	}
	slices.SortFunc(list, func(a, b gossip.Member) int { return strings.Compare(a.ID, b.ID) })
	return list[:c.conf.BootstrapExpect], nil
}

// someCluster asks all live nodes whether they are of a cluster.
func (c *Cluster) someCluster(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var mu sync.Mutex
	found := false
	c.dirs.update(c.gossip.Members())
	c.eachLive(func(m gossip.Member) {
		if m.ID == c.dir.ID {
			return
		}
		s, err := ask[status](ctx, c, mux.Target{ID: m.ID, Addr: m.RPC.String()}, methodStatus, struct{}{})
		mu.Lock()
		defer mu.Unlock()
		found = found || (err == nil && (s.Last > 0 || s.Servers > 0))
	})
	if found {
		return errHaveCluster
	}
	return nil
}

// promise keeps the offer, or says why not.
func (c *Cluster) promise(o bootstrapOffer) error {
	if c.node.HasLog() {
		return errHaveCluster
	}
	if o.Expect != c.conf.BootstrapExpect {
		return fmt.Errorf("bootstrap_expect is %d here, not %d", c.conf.BootstrapExpect, o.Expect)
	}
	c.boot.mu.Lock()
	defer c.boot.mu.Unlock()
	now := time.Now()
	if now.Before(c.boot.until) && !slices.Equal(c.boot.list, o.Servers) {
		return errors.New("it has promised another list of voters")
	}
	c.boot.list, c.boot.until = o.Servers, now.Add(promiseFor)
	return nil
}

func (c *Cluster) serveBootstrap(_ context.Context, from Peer, o bootstrapOffer) (struct{}, error) {
	if !c.up.Load() {
		return struct{}{}, ErrStopped
	}
	if len(o.Servers) == 0 || string(o.Servers[0].ID) != from.ID {
		return struct{}{}, errors.New("the list is not of the node that offers it")
	}
	return struct{}{}, c.promise(o)
}
