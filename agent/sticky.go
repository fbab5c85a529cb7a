package agent

import (
	"sync/atomic"
	"time"

	"github.com/reeve-lb/reeve/cluster/tables"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stick"
)

// offers is what sticky needs of the cluster's tables.
type offers interface {
	Offer([]tables.Binding) (taken int)
}

// sticky fits the data plane's stick tables to the cluster's: it is the engine's Replicator, and turns what the log says
// back into bindings. Sizes travel with each offer, because the cluster knows no table's settings.
type sticky struct {
	to    offers
	sizes atomic.Pointer[map[string]int] // by table
	known map[string]bool                // tables that the engine has had; grown's own
}

func newSticky(to offers) *sticky {
	s := &sticky{to: to}
	s.sizes.Store(&map[string]int{})
	return s
}

// configure takes the sizes of a new configuration.
func (s *sticky) configure(c proxy.Config) {
	sizes := map[string]int{}
	for _, b := range c.Backends {
		if b.StickTable != nil {
			sizes[b.Name] = b.StickTable.Size
		}
	}
	s.sizes.Store(&sizes)
}

// grown reports whether a configuration that runs has tables that the one before had not. One goroutine calls it, with each
// configuration in turn.
func (s *sticky) grown(c proxy.Config) bool {
	now, more := map[string]bool{}, false
	for _, b := range c.Backends {
		if b.StickTable != nil {
			now[b.Name] = true
			more = more || !s.known[b.Name]
		}
	}
	s.known = now
	return more
}

// longest is what stick tables say for "never expires" cut to what the wire carries; zero means never there.
const longest = 10 * 365 * 24 * time.Hour

// Offer implements stick.Replicator. It does not block: the queue behind it is bounded.
func (s *sticky) Offer(b stick.Binding) bool {
	expire := b.TTL
	if expire > longest {
		expire = 0
	}
	return s.to.Offer([]tables.Binding{{
		Key: tables.Key{Table: b.Table, Key: b.Key}, Server: b.Server, Was: b.Was, Expire: expire,
		Size: (*s.sizes.Load())[b.Table],
	}}) == 1
}

// applied is what the engine is told of changes of the log. Contents after a Reset are as old as their stamps say by
// this machine's clock; a fresh change has its whole life before it, whatever the clocks say.
func (s *sticky) applied(cs []tables.Change) []stick.Binding {
	out := make([]stick.Binding, 0, len(cs))
	restored := false
	for _, c := range cs {
		b := stick.Binding{Table: c.Table, Key: c.Key.Key, Server: c.Server}
		switch c.Kind {
		case tables.Reset:
			restored = true
			continue
		case tables.Deleted, tables.Expired, tables.Evicted:
			b.Server = ""
		default:
			b.TTL = lifeLeft(c.Entry, restored)
		}
		out = append(out, b)
	}
	return out
}

func lifeLeft(e tables.Entry, restored bool) time.Duration {
	if e.Expires.IsZero() {
		return longest
	}
	full := e.Expires.Sub(e.Renewed)
	if !restored {
		return full
	}
	return min(max(time.Until(e.Expires), time.Millisecond), full)
}

var _ stick.Replicator = (*sticky)(nil)
