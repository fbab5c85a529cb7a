// Package engine moves the bytes: listeners, event loops, connections and the story of a request.
//
// One epoll loop runs per core on a locked OS thread. A connection is accepted, served and closed by one loop; what the
// loops share (concurrency of a server, order of the round robin, health) is atomic, and what changes rarely reaches
// them through a mailbox. The compiled configuration is immutable: a request finishes on the one it began with.
package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/accesslog"
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/rule"
	"github.com/reeve-lb/reeve/proxy/stick"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// Options are an Engine's surroundings. The zero value works: no logger, one loop per core, no replication.
type Options struct {
	Logger     hclog.Logger     // nil: none
	Loops      int              // event loops; 0: Global.NbThread of the first configuration, else GOMAXPROCS
	Replicator stick.Replicator // nil: sticky entries stay on this node
	Version    string           // told on the statistics page
	MemoryMax  int64            // bytes that connections and requests may take, all loops together; 0: no bound
	LogTag     string           // program name in syslog lines; "": haproxy, which log filters look for
	// Observed tells of `observe`: error-limit bad signs of a server came in a row, and on-error says what its check is to
	// make of that. nil: nothing follows. It must not block.
	Observed func(backend, server string, on proxy.OnError)
}

// Engine is a data plane. Make it with New; all methods are safe for concurrent use.
type Engine struct {
	opts       Options
	log        hclog.Logger
	replicator stick.Replicator
	base       time.Time // of the loops' clocks
	wall       int64     // base in Unix nanoseconds
	conns      gauge     // client connections of the process
	maxConn    atomic.Int64
	connRate   atomic.Int64 // connections a second
	accepts    gate
	poolRoom   atomic.Int64 // idle server connections of a loop
	memory     int64        // that connections and requests may take; 0: no bound
	told       bool         // the log knows what the descriptors allow
	draining   atomic.Bool

	rest  rest
	signs chan sign     // from the loops
	stir  chan struct{} // tend has something to do

	certs   *tlsconf.Store
	slots   chan struct{}  // who may compute for a handshake apart from its loop
	shaking gauge          // handshakes under way
	shakes  sync.WaitGroup // goroutines that compute for them

	pages sync.WaitGroup // statistics pages being made

	checking chan struct{}  // who may compute the hash of a password
	checks   sync.WaitGroup // goroutines that do, or want to

	quics    sync.WaitGroup // addresses of QUIC that are not wanted any more, until their last client has gone
	retiring map[place]retired
	quicTurn atomic.Uint32 // of the loops, in taking clients over QUIC

	mu      sync.Mutex
	loops   []*loop
	writer  *accesslog.Writer
	cfg     proxy.Config
	applied bool
	pending bool // names that have not resolved yet
	fronts  map[string]*frontend
	backs   map[string]*backend
	servers map[*backend]map[string]*server
	serials uint32 // servers there have been
	groups  map[place]*group
	maps    rule.Maps
	caches  map[string]cacheSlot
	names   rule.Names
	places  map[string]*frontSlot
	tallies map[string]tallied // by the name of the proxy
	limits  http1.Limits       // of heads, from the start on
	size    int                // of a loop's small buffers
	state   runState
	ctx     context.Context // Run's, while it runs
	cancel  context.CancelFunc
}

type runState uint8

const (
	fresh runState = iota
	running
	ended
)

// resolveEvery is how often names that did not resolve are tried again.
const resolveEvery = 5 * time.Second

// New allocates an Engine; nothing runs or listens yet.
func New(opts Options) *Engine {
	e := &Engine{opts: opts, log: opts.Logger, replicator: opts.Replicator, base: time.Now(),
		fronts: map[string]*frontend{}, backs: map[string]*backend{}, servers: map[*backend]map[string]*server{},
		groups: map[place]*group{}, retiring: map[place]retired{}, places: map[string]*frontSlot{}, rest: rest{wake: make(chan struct{}, 1)}, signs: make(chan sign, 64), stir: make(chan struct{}, 1),
		certs: tlsconf.NewStore(), checking: make(chan struct{}, 1)}
	e.wall = e.base.UnixNano()
	if e.log == nil {
		e.log = hclog.NewNullLogger()
	}
	if e.replicator == nil {
		e.replicator = stick.Nowhere{}
	}
	if e.opts.LogTag == "" {
		e.opts.LogTag = "haproxy"
	}
	e.memory = opts.MemoryMax
	e.maxConn.Store(descriptorLimit() / 2)
	return e
}

// makeLoops opens the loops, once; mu is held.
func (e *Engine) makeLoops(g *proxy.Global) error {
	if e.loops != nil {
		return nil
	}
	e.limits, e.size = headLimits(g)
	n := e.opts.Loops
	if n <= 0 {
		n = g.NbThread
	}
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	host, _ := os.Hostname()
	writer := accesslog.New(n, e.opts.LogTag, os.Getpid(), host)
	var loops []*loop
	for i := range n {
		l, err := newLoop(e, i)
		if err != nil {
			for _, l := range loops {
				l.shutdown()
			}
			return fmt.Errorf("event loop %d: %w", i, err)
		}
		l.ring = writer.Ring(i)
		loops = append(loops, l)
	}
	e.loops, e.writer, e.slots = loops, writer, make(chan struct{}, n)
	return nil
}

// Run serves until ctx ends or Drain has finished, closes every connection and returns when all goroutines ended. An
// Engine runs once. It raises GOMAXPROCS where loops would leave nothing to the other goroutines, and lowers it while no
// loop has anything to do.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.mu.Lock()
	if e.state != fresh {
		e.mu.Unlock()
		return errors.New("run the engine: it has been run before")
	}
	if err := e.makeLoops(&proxy.Global{}); err != nil {
		e.mu.Unlock()
		return fmt.Errorf("run the engine: %w", err)
	}
	e.state, e.cancel = running, cancel
	loops := e.loops
	most := max(runtime.GOMAXPROCS(0), len(loops)+1)
	runtime.GOMAXPROCS(most)
	var lines, work sync.WaitGroup
	logCtx, stopLog := context.WithCancel(context.Background())
	lines.Go(func() { e.writer.Run(logCtx) })
	for _, l := range loops {
		work.Go(func() { l.run(ctx) })
	}
	e.ctx = ctx
	for _, g := range e.groups {
		if g.place.quic {
			e.serveQUIC(g)
		}
	}
	e.mu.Unlock()
	work.Go(func() { e.resolveAgain(ctx) })
	work.Go(func() { e.watchCertificates(ctx) })
	work.Go(func() { e.tend(ctx) })
	work.Go(func() { e.rest.run(ctx, most) })
	work.Wait()
	e.mu.Lock()
	e.state = ended
	for _, g := range e.groups { // their sockets were closed by the loops
		g.remove()
		if g.quic != nil {
			e.retireQUIC(g)
		}
	}
	e.groups = map[place]*group{}
	e.mu.Unlock()
	e.quics.Wait()
	e.pages.Wait()
	e.shakes.Wait()
	e.checks.Wait()
	stopLog()
	lines.Wait()
	return nil
}

// resolveAgain applies the configuration anew while it has names that did not resolve.
func (e *Engine) resolveAgain(ctx context.Context) {
	tick := time.NewTicker(resolveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		e.mu.Lock()
		pending, cfg := e.pending, e.cfg
		e.mu.Unlock()
		if pending && ctx.Err() == nil {
			e.Apply(cfg)
		}
	}
}

// each posts f to every loop, with the loop's number.
func (e *Engine) each(f func(*loop)) {
	for _, l := range e.loops {
		l.post(func() { f(l) })
	}
}

// Drain stops accepting, lets requests end with "Connection: close", closes what idles and returns when no connection is
// left or ctx ends; connections that are left then are cut. Run returns afterwards.
func (e *Engine) Drain(ctx context.Context) error {
	e.draining.Store(true)
	e.mu.Lock()
	cancel := e.cancel
	for _, g := range e.groups {
		g.remove()
		if g.quic != nil {
			g.quic.Leave()
		}
	}
	e.each(func(l *loop) { l.drain() })
	e.mu.Unlock()
	if cancel == nil {
		return nil
	}
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if n := e.conns.cur.Load(); n > 0 {
				return fmt.Errorf("drain: %d connections were cut: %w", n, ctx.Err())
			}
			return nil
		case <-tick.C:
			if e.conns.cur.Load() == 0 {
				return nil
			}
		}
	}
}

// drain is Drain's part of a loop.
func (l *loop) drain() {
	l.draining = true
	for _, a := range l.accepts {
		if a != nil {
			l.unlisten(a)
		}
	}
	l.endIdle(nil)
}

// endIdle closes the connections that wait for another request, of one frontend or of all. What has been sent by now is
// answered.
func (l *loop) endIdle(fe *frontend) {
	for s := l.live; s != nil; {
		next := s.next
		if (s.phase == phaseIdle || s.phase == phaseProxyHeader || s.phase == phaseH2) && (fe == nil || s.fe == fe) {
			s.client.readable = true // the event that tells of a request may not have been read yet
			s.run()
		}
		s = next
	}
}

// Bindings tells what the cluster has agreed on; it wins over what this node thought. Order matters. It returns when every
// loop knows: an address that goes on afterwards brings no client to a loop that would choose for it anew.
func (e *Engine) Bindings(bs []stick.Binding) {
	type entry struct {
		b   *backend
		key stick.Key
		stick.Binding
	}
	var told sync.WaitGroup
	defer told.Wait() // after the lock is given back: a loop may want it
	e.mu.Lock()
	defer e.mu.Unlock()
	var es []entry
	for _, b := range bs {
		rt := e.backs[b.Table]
		key, err := stick.ParseKey(b.Key)
		if rt == nil || rt.tables == nil || err != nil {
			continue
		}
		es = append(es, entry{rt, key, b})
	}
	if len(es) == 0 {
		return
	}
	wait := e.state == running // before, nobody reads the mail
	for _, l := range e.loops {
		if wait {
			told.Add(1)
		}
		posted := l.post(func() {
			for _, n := range es {
				n.b.tables[l.id].Apply(n.key, n.Server, n.TTL, l.now)
			}
			if wait {
				told.Done()
			}
		})
		if wait && !posted {
			told.Done()
		}
	}
}
