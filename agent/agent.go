// Package agent is the daemon: it loads the configuration, makes the trades (proxy, cluster, vrrp, check), wires them
// through the small doors that each declares, keeps what runs equal to what is wanted, and serves /v1. It implements no trade.
package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/check/probe"
	"github.com/reeve-lb/reeve/cluster"
	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/internal/version"
	"github.com/reeve-lb/reeve/proxy/engine"
	"github.com/reeve-lb/reeve/vrrp/speaker"
)

// Agent is one node. Make it with New, run it once with Run. Its other methods are safe for concurrent use while it runs.
type Agent struct {
	set   Settings
	flags Settings // what set was before the node's files were laid under it
	log   hclog.InterceptLogger

	engine  *engine.Engine
	probes  *probe.Runner
	speaker *speaker.Speaker
	cluster *cluster.Cluster
	arbiter *arbiter
	fence   *fence
	sticky  *sticky
	ready   *readiness

	wanted  chan wanted   // capacity 1: only the newest wish counts
	retry   chan struct{} // capacity 1: what could not be run may be tried again
	up      chan struct{} // closed when every room is open
	started time.Time

	warnings source.Problems // of the files and settings that New was given

	mu      sync.Mutex
	files   config.Document // what the node's own files say
	running running
	own     ownTLS          // of a node that stands alone
	leave   chan<- struct{} // asks Run to leave the cluster; set by it
}

// running is what the trades have been told last.
type running struct {
	version  uint64
	doc      config.Document // for this node, overrides merged
	whole    config.Document
	problem  string
	applied  bool
	problems source.Problems
}

// New checks the settings, reads the files and makes the rooms; nothing runs or listens yet. The error lists everything
// that is wrong, a line each.
func New(s Settings, out io.Writer) (*Agent, error) {
	doc, node, ps := loadFiles(s.Files)
	flags := s
	s.lay(node)
	if err := errors.Join(ps.Err(), s.fill()); err != nil {
		return nil, err
	}
	a := &Agent{set: s, flags: flags, log: newLogger(s, out), wanted: make(chan wanted, 1), retry: make(chan struct{}, 1), up: make(chan struct{})}
	a.files = doc
	key, err := clusterKey(s, &ps)
	if err != nil {
		return nil, err
	}
	a.warnings = ps
	if err := a.makeCluster(key); err != nil {
		return nil, err
	}
	a.makeTrades()
	return a, nil
}

// makeCluster makes the cluster room. A node that stands alone has it too: it can be asked for members and joined later.
func (a *Agent) makeCluster(key []byte) error {
	s := a.set
	conf := cluster.Config{
		Name: s.Node, Build: version.Version, DataDir: s.DataDir, Key: key,
		Bind: netip.MustParseAddr(s.Bind), RPCPort: s.RPCPort, GossipPort: s.GossipPort,
		BootstrapExpect: s.BootstrapExpect, RetryJoin: s.RetryJoin, Logger: a.log,
	}
	if s.Advertise != "" {
		conf.Advertise = netip.MustParseAddr(s.Advertise)
	}
	if s.Witness {
		conf.Role = cluster.RoleWitness
	}
	if s.Dev {
		conf.BootstrapExpect, conf.DataDir = 1, ""
		// Two trials on one machine do not meet: any free port will do for a cluster of one.
		conf.RPCPort, conf.GossipPort = orAny(s.RPCPort), orAny(s.GossipPort)
	}
	c, err := cluster.New(conf, app{a})
	if err != nil {
		return err
	}
	c.Handle(methodFiles, a.serveFiles)
	a.cluster = c
	a.arbiter = newArbiter(c.Leases(), c.Tables().Flush)
	return nil
}

func orAny(port int) int {
	if port == 0 {
		return -1
	}
	return port
}

func newKey() []byte {
	key := make([]byte, 32)
	rand.Read(key) // never fails: crypto/rand ends the program instead
	return key
}

// journal is the file of what has to be undone on this machine should the agent die; without a data_dir there is none.
func (a *Agent) journal() string {
	if a.set.DataDir == "" {
		return ""
	}
	return filepath.Join(a.set.DataDir, "machine.json")
}

// makeTrades makes the rooms that act on a Document.
func (a *Agent) makeTrades() {
	a.sticky = newSticky(a.cluster.Tables())
	a.engine = engine.New(engine.Options{Logger: a.log.Named("proxy"), Replicator: a.sticky, Version: version.Version, Observed: a.doubted,
		MemoryMax: forConnections(a.memoryMax(), agentRest)})
	a.probes = probe.New(probe.Options{Logger: a.log.Named("check"), Results: a.verdict, TLS: checkTLS(a.engine)})
	a.fence = newFence(a.cluster, a.log.Named("guard"))
	a.speaker = speaker.New(speaker.Options{
		Node: a.set.Node, Logger: a.log.Named("vrrp"), Arbiter: a.arbiter, Guard: a.fence, Journal: a.journal(),
	})
	a.fence.gone = a.speaker.Fenced
	a.ready = newReadiness(a.caughtUp, a.speaker.SetReady)
	a.arbiter.away = a.ready.away
	a.arbiter.granted = a.engine.Rouse
}

// memoryMax is the bound of the whole process in bytes.
func (a *Agent) memoryMax() int64 { return int64(a.set.MemoryMax) << 20 }

// stopBudget bounds each step of an orderly end.
const stopBudget = 5 * time.Second

// Up is closed when Run has its sockets and its rooms are open. It stays open when Run fails before that.
func (a *Agent) Up() <-chan struct{} { return a.up }

// Run serves until ctx ends, or until Leave has taken the node out. It hands the leases over, drains, stops the rooms one
// after the other, and returns what went wrong.
func (a *Agent) Run(ctx context.Context) error {
	a.started = time.Now()
	boottime.Slack(time.Millisecond)
	if n := a.memoryMax(); n > 0 {
		debug.SetMemoryLimit(n)
	}
	listener, err := a.listen()
	if err != nil {
		return errors.Join(err, a.cluster.Close())
	}
	leaving := make(chan struct{}, 1)
	a.mu.Lock()
	a.leave = leaving
	a.mu.Unlock()

	r := newRooms()
	r.open("cluster", a.cluster.Run)
	r.open("leases", a.arbiter.run)
	r.open("http", func(ctx context.Context) error { return a.serve(ctx, listener) })
	stopTrades := a.openTrades(r)
	stopReady := r.open("readiness", a.ready.run)
	stopReconcile := r.open("reconcile", a.reconcile)
	if a.alone() {
		a.want(wanted{doc: a.files})
	}
	close(a.up)

	left := false
	select {
	case <-ctx.Done():
		a.log.Info("stopping: addresses are handed over, requests drain")
	case <-leaving:
		left = true
		a.log.Info("leaving the cluster")
	case err := <-r.died:
		a.log.Error("a room of the agent ended: stopping", "error", err)
	}
	r.ending.Store(true)
	stopReconcile()
	stopReady()
	stopTrades()
	if left {
		a.leaveCluster()
	}
	return r.close()
}

// openTrades starts what acts on a Document. What it returns ends it in order: the addresses are handed over, the guard
// has nothing left to guard, and requests that are under way get their answers.
func (a *Agent) openTrades(r *rooms) (stop func()) {
	if a.set.Witness {
		return func() {}
	}
	stopGuard := r.open("guard", a.fence.run)
	stopProxy := r.open("proxy", a.engine.Run)
	stopChecks := r.open("check", a.probes.Run)
	stopVRRP := r.open("vrrp", a.speaker.Run)
	return func() {
		stopVRRP()
		a.arbiter.settle()
		stopGuard()
		stopChecks()
		a.drain()
		stopProxy()
	}
}

// leaveCluster takes the node out of Raft and gossip.
func (a *Agent) leaveCluster() {
	ctx, cancel := context.WithTimeout(context.Background(), stopBudget)
	defer cancel()
	if err := a.cluster.Leave(ctx); err != nil {
		a.log.Warn("leaving was not acknowledged", "error", err)
	}
}

// drain lets requests end. hard-stop-after of the configuration bounds it, the stop budget otherwise.
func (a *Agent) drain() {
	a.mu.Lock()
	budget := a.running.doc.Proxy.Global.HardStop
	a.mu.Unlock()
	if budget == 0 {
		budget = stopBudget
	}
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	if err := a.engine.Drain(ctx); err != nil {
		a.log.Warn("connections were cut at the end of the drain", "error", err)
	}
}

// alone reports whether this node's files are the truth: it is of no cluster, by flag, by history or by invitation.
func (a *Agent) alone() bool {
	if a.set.ofCluster() || a.set.Dev {
		return false
	}
	return a.cluster.Info().Voters == 0
}
