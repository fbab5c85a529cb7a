// Package agent is the daemon: it loads the configuration, makes the trades (proxy, cluster, vrrp, check), wires them
// through the small doors that each declares, keeps what runs equal to what is wanted, and serves /v1. It implements no trade.
package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/reeve-lb/reeve/check/probe"
	"github.com/reeve-lb/reeve/cluster"
	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/internal/version"
	"github.com/reeve-lb/reeve/proxy/engine"
	"github.com/reeve-lb/reeve/vrrp/speaker"
)

// Agent is one node. Make it with New, run it once with Run. Its other methods are safe for concurrent use while it runs.
type Agent struct {
	set Settings
	log hclog.InterceptLogger

	engine  *engine.Engine
	probes  *probe.Runner
	speaker *speaker.Speaker
	cluster *cluster.Cluster
	arbiter *arbiter
	fence   *fence
	sticky  *sticky
	ready   *readiness

	wanted  chan wanted // capacity 1: only the newest wish counts
	started time.Time

	mu      sync.Mutex
	files   config.Document // what the node's own files say
	running running
	quit    func(leave bool) // ends Run; set by it
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
	s.lay(node)
	if err := errors.Join(ps.Err(), s.fill()); err != nil {
		return nil, err
	}
	a := &Agent{set: s, log: newLogger(s, out), wanted: make(chan wanted, 1)}
	for _, p := range ps {
		a.log.Warn(p.Text, "at", p.Pos.String(), "hint", p.Hint)
	}
	a.files = doc
	key, err := clusterKey(s, a.log)
	if err != nil {
		return nil, err
	}
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
	a.cluster = c
	a.arbiter = newArbiter(c.Leases())
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

// makeTrades makes the rooms that act on a Document.
func (a *Agent) makeTrades() {
	a.sticky = newSticky(a.cluster.Tables())
	a.engine = engine.New(engine.Options{Logger: a.log.Named("proxy"), Replicator: a.sticky, Version: version.Version})
	a.probes = probe.New(probe.Options{Logger: a.log.Named("check"), Results: a.verdict})
	a.fence = newFence(a.cluster, a.log.Named("guard"))
	a.speaker = speaker.New(speaker.Options{
		Node: a.set.Node, Logger: a.log.Named("vrrp"), Arbiter: a.arbiter, Guard: a.fence,
	})
	a.fence.gone = a.speaker.Fenced
	a.ready = newReadiness(a.caughtUp, a.speaker.SetReady)
	a.arbiter.away = a.ready.away
}

// stopBudget bounds each step of an orderly end.
const stopBudget = 5 * time.Second

// Run serves until ctx ends, or until Leave has taken the node out. It hands the leases over, drains, stops the rooms one
// after the other, and returns the first thing that went wrong.
func (a *Agent) Run(ctx context.Context) error {
	a.started = time.Now()
	// Each room has its own life, so that they end in order: addresses first, then requests, then the cluster that was told.
	var rooms errgroup.Group
	var stopping atomic.Bool
	died := make(chan error, 8)
	room := func(name string, run func(context.Context) error) (stop func()) {
		life, end := context.WithCancel(context.Background())
		gone := make(chan struct{})
		rooms.Go(func() error {
			defer close(gone)
			err := run(life)
			if life.Err() == nil {
				if err == nil {
					if stopping.Load() { // the cluster ends when it was left
						return nil
					}
					err = errors.New("ended by itself")
				}
				err = fmt.Errorf("%s: %w", name, err)
				select {
				case died <- err:
				default:
				}
				return err
			}
			return nil
		})
		return func() { end(); <-gone }
	}

	listener, err := a.listen()
	if err != nil {
		return err
	}
	leaving := make(chan bool, 1)
	a.mu.Lock()
	a.quit = func(leave bool) {
		select {
		case leaving <- leave:
		default:
		}
	}
	a.mu.Unlock()

	stops := []func(){
		room("cluster", a.cluster.Run),
		room("leases", a.arbiter.run),
		room("http", func(ctx context.Context) error { return a.serve(ctx, listener) }),
	}
	var stopVRRP, stopProxy, stopChecks, stopGuard func()
	if !a.set.Witness {
		stopGuard = room("guard", a.fence.run)
		stopProxy = room("proxy", a.engine.Run)
		stopChecks = room("check", a.probes.Run)
		stopVRRP = room("vrrp", a.speaker.Run)
	}
	stopReady := room("readiness", a.ready.run)
	stopWatch := room("reconcile", a.reconcile)
	if a.alone() {
		a.want(wanted{doc: a.files})
	}

	leave := false
	var failure error
	select {
	case <-ctx.Done():
		a.log.Info("stopping: addresses are handed over, requests drain")
	case leave = <-leaving:
		a.log.Info("leaving the cluster")
	case failure = <-died:
		a.log.Error("a room of the agent ended: stopping", "error", failure)
	}
	stopping.Store(true)
	stopWatch()
	stopReady()
	if !a.set.Witness {
		stopVRRP()
		stopGuard()
		stopChecks()
		a.drain()
		stopProxy()
	}
	if leave {
		budget, cancel := context.WithTimeout(context.Background(), stopBudget)
		if err := a.cluster.Leave(budget); err != nil {
			a.log.Warn("leaving was not acknowledged", "error", err)
		}
		cancel()
	}
	for i := len(stops) - 1; i >= 0; i-- {
		stops[i]()
	}
	return errors.Join(failure, rooms.Wait())
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
