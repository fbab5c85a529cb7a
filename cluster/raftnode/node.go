package raftnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/reeve-lb/reeve/cluster/fsm"
)

// Options are what a Node is made of.
type Options struct {
	Dir    *Dir
	State  *fsm.State
	Layer  raft.StreamLayer
	Addrs  raft.ServerAddressProvider
	Logger hclog.Logger

	Heartbeat, Election, LeaderLease time.Duration
	SnapshotInterval                 time.Duration
	SnapshotLogs                     uint64

	// Applied is told each entry's result on the applying goroutine, in log order: do not block, do not read the state.
	Applied func(index uint64, r fsm.Result)
	// Restored is told when the whole state was replaced.
	Restored func()
	// Stuck is told once, when an entry of a newer program ends the applying.
	Stuck func(error)
}

// Node is one node's Raft and the state it applies to. Safe for concurrent use.
type Node struct {
	o     Options
	raft  *raft.Raft
	live  atomic.Pointer[raft.Raft] // raft, once it is there, for the applying goroutine
	trans *transport
	close func() error

	mu    sync.RWMutex // guards state
	state *fsm.State

	stopNudge context.CancelFunc
	nudges    sync.WaitGroup
	nudge     chan committed
}

// committed is the last entry that this node applied while it led.
type committed struct {
	index, term uint64
}

// Open opens the stores and starts Raft; Close ends it.
func Open(o Options) (*Node, error) {
	log := newQuiet(o.Logger.Named("raft"))
	st, err := o.Dir.open(log)
	if err != nil {
		return nil, err
	}
	n := &Node{o: o, close: st.close, state: o.State, nudge: make(chan committed, 1)}
	n.trans = newTransport(o.Layer, o.Addrs, o.Heartbeat/3, log)
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(o.Dir.ID)
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = o.Heartbeat, o.Election, o.LeaderLease
	conf.SnapshotInterval, conf.SnapshotThreshold = o.SnapshotInterval, o.SnapshotLogs
	conf.TrailingLogs = o.SnapshotLogs + o.SnapshotLogs/4
	conf.CommitTimeout = 3 * o.Heartbeat / 2 // see nudge.go: followers learn of commits at once
	conf.Logger = log
	conf.ShutdownOnRemove = false // a node taken out by mistake is taken in again when gossip sees it
	conf.NoLegacyTelemetry = true
	err = guarded(func() error {
		n.raft, err = raft.NewRaft(conf, (*adapter)(n), st.logs, st.stable, st.snapshots, n.trans)
		return err
	})
	if err != nil {
		n.trans.Close()
		if o.Dir.Path != "" {
			err = fmt.Errorf("%s: %w: %w", o.Dir.raft(), ErrCorrupt, err)
		}
		return nil, errors.Join(err, st.close())
	}
	n.live.Store(n.raft)
	ctx, cancel := context.WithCancel(context.Background())
	n.stopNudge = cancel
	n.nudges.Go(func() { n.tellCommitted(ctx) })
	return n, nil
}

// Close shuts Raft down and closes the stores.
func (n *Node) Close() error {
	n.stopNudge()
	err := n.raft.Shutdown().Error()
	n.trans.Close()
	n.nudges.Wait()
	return errors.Join(err, n.close())
}

// Raft is the library's handle.
func (n *Node) Raft() *raft.Raft { return n.raft }

// Read gives f the state to look at. f must not keep it.
func (n *Node) Read(f func(*fsm.State)) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	f(n.state)
}

// Apply commits one command and returns what it did here. ctx bounds the wait; its end leaves the outcome open.
func (n *Node) Apply(ctx context.Context, cmd []byte) (fsm.Result, error) {
	timeout := time.Second
	if d, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(d))
	}
	if timeout <= 0 {
		return fsm.Result{}, context.DeadlineExceeded
	}
	f := n.raft.Apply(cmd, timeout)
	if err := Wait(ctx, f); err != nil {
		return fsm.Result{}, err
	}
	r, ok := f.Response().(fsm.Result)
	if !ok {
		return fsm.Result{}, fmt.Errorf("raft answered %T", f.Response())
	}
	return r, nil
}

// Wait waits for one of Raft's futures, ctx at most. The wait on the future itself is left behind in a goroutine that
// ends with the future: raft answers all of them, at its shutdown at the latest.
func Wait(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ErrNoVoter: the node may not stand for election.
var ErrNoVoter = errors.New("not a voter")

// TriggerElection makes this node stand for election at once, without asking first whether there is a leader. Only for
// when the leader is known to be dead. A leader, and who has no vote, does nothing.
func (n *Node) TriggerElection(ctx context.Context) error {
	if n.raft.State() == raft.Leader {
		return nil
	}
	for _, s := range n.Servers() {
		if string(s.ID) == n.o.Dir.ID && s.Suffrage == raft.Voter {
			return n.trans.inject(ctx, &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}})
		}
	}
	return ErrNoVoter
}

// Servers is Raft's latest configuration as this node knows it.
func (n *Node) Servers() []raft.Server {
	f := n.raft.GetConfiguration() // answered at once, from a copy
	if f.Error() != nil {
		return nil
	}
	return f.Configuration().Servers
}

// HasLog reports whether there is anything in the log or a snapshot: such a node never bootstraps.
func (n *Node) HasLog() bool { return n.raft.LastIndex() > 0 || len(n.Servers()) > 0 }

// Bootstrap begins the log with this list of voters.
func (n *Node) Bootstrap(servers []raft.Server) error {
	err := n.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error()
	if errors.Is(err, raft.ErrCantBootstrap) {
		return nil // somebody was faster
	}
	return err
}

// adapter is the Node as Raft's FSM.
type adapter Node

var _ raft.FSM = (*adapter)(nil)

// Apply implements raft.FSM.
func (a *adapter) Apply(l *raft.Log) any {
	r, was, stuck := a.apply(l)
	if stuck != nil {
		if was == nil && a.o.Stuck != nil {
			a.o.Stuck(stuck)
		}
		return r
	}
	(*Node)(a).committed(l.Index, l.Term)
	return r
}

// apply applies and tells under one lock: who reads the state knows that what it saw was told.
func (a *adapter) apply(l *raft.Log) (r fsm.Result, was, stuck error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was = a.state.Stuck()
	r, stuck = a.state.Apply(l.Index, l.Data)
	if stuck == nil && a.o.Applied != nil {
		a.o.Applied(l.Index, r)
	}
	return r, was, stuck
}

// Snapshot implements raft.FSM.
func (a *adapter) Snapshot() (raft.FSMSnapshot, error) {
	a.mu.Lock() // it marks shards
	defer a.mu.Unlock()
	s, err := a.state.Snapshot()
	if err != nil {
		return nil, err
	}
	return snapshot{s}, nil
}

// Restore implements raft.FSM.
func (a *adapter) Restore(r io.ReadCloser) error {
	defer r.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.state.Restore(r)
	if err == nil && a.o.Restored != nil {
		a.o.Restored()
	}
	return err
}

type snapshot struct{ s *fsm.Snapshot }

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.s.WriteTo(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (snapshot) Release() {}
