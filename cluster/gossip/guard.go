package gossip

import (
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/serf/serf"
)

// guard refuses members of another cluster, of a protocol we don't speak, and a second bearer of a name. Memberlist asks
// it for each list of a join and for each word that a node is alive.
type guard struct {
	o   *Options
	log hclog.Logger

	mu    sync.Mutex
	known map[string]identity // live nodes by name
	said  map[string]time.Time
}

type identity struct {
	id   string
	addr netip.AddrPort
}

// learn follows Serf's events.
func (g *guard) learn(e serf.MemberEvent) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range e.Members {
		if e.Type == serf.EventMemberJoin || e.Type == serf.EventMemberUpdate {
			me := member(m)
			g.known[m.Name] = identity{me.ID, me.Addr}
		} else {
			delete(g.known, m.Name)
		}
	}
}

// NotifyMerge implements serf.MergeDelegate.
func (g *guard) NotifyMerge(ms []*serf.Member) error {
	for _, sm := range ms {
		m := member(*sm)
		if err := g.refuse(m, len(ms) == 1); err != nil {
			g.say(m, err)
			return err
		}
	}
	return nil
}

// refuse says why the member can't be let in. A list may hold nodes that are long dead, so only one that stands alone,
// which is alive, can have taken a name.
func (g *guard) refuse(m Member, alive bool) error {
	if cl := m.Tags[tagCluster]; cl != g.o.ClusterID {
		return fmt.Errorf("node %s at %s is of another cluster (%q, ours is %q)", m.Name, m.Addr, cl, g.o.ClusterID)
	}
	if p, err := strconv.Atoi(m.Protocol); err != nil || p < Protocol-1 || p > Protocol+1 {
		return fmt.Errorf("node %s at %s speaks protocol %q, ours is %d", m.Name, m.Addr, m.Protocol, Protocol)
	}
	if m.ID == "" {
		return fmt.Errorf("node %s at %s has no id", m.Name, m.Addr)
	}
	if !alive {
		return nil
	}
	if m.Name == g.o.Name {
		// The former life of this node without a data_dir had another id, but our address.
		if m.ID == g.o.ID || (m.Addr.Addr() == g.o.Advertise && int(m.Addr.Port()) == g.o.Port) {
			return nil
		}
		if g.o.NameTaken != nil {
			g.o.NameTaken(m.Addr, m.ID)
		}
		return fmt.Errorf("node name %s is taken: %s and this node both use it", m.Name, m.Addr)
	}
	g.mu.Lock()
	was, ok := g.known[m.Name]
	g.mu.Unlock()
	if ok && was.id != m.ID && was.addr != m.Addr {
		return fmt.Errorf("node name %s is taken: %s has it, %s wants it", m.Name, was.addr, m.Addr)
	}
	return nil
}

// say logs a refusal once in a while a node.
func (g *guard) say(m Member, err error) {
	key := m.Name + m.Addr.String()
	g.mu.Lock()
	now := time.Now()
	if g.said == nil || len(g.said) > 256 {
		g.said = map[string]time.Time{}
	}
	mute := now.Sub(g.said[key]) < 10*time.Second
	if !mute {
		g.said[key] = now
	}
	g.mu.Unlock()
	if !mute {
		g.log.Error("refused a node", "node", m.Name, "address", m.Addr, "reason", err)
	}
}
