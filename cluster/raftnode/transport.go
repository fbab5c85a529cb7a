package raftnode

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// transport is Raft's network transport with a side door: requests of our own making can be put before this node's
// Raft, and a leader can tell its followers at once how far the log is committed.
type transport struct {
	*raft.NetworkTransport

	in   chan raft.RPC
	done chan struct{}
	once sync.Once
	wg   sync.WaitGroup

	beat  time.Duration // the time between two heartbeats to a peer
	begun time.Time
	mu    sync.Mutex
	term  uint64
	last  map[raft.ServerID]time.Time
}

const ioTimeout = 2 * time.Second

func newTransport(layer raft.StreamLayer, addrs raft.ServerAddressProvider, beat time.Duration, log hclog.Logger) *transport {
	t := &transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			ServerAddressProvider:   addrs,
			Logger:                  log,
			Stream:                  layer,
			MaxPool:                 3,
			Timeout:                 ioTimeout,
			MsgpackUseNewTimeFormat: true,
		}),
		in:   make(chan raft.RPC),
		done: make(chan struct{}),
		beat: beat, begun: time.Now(),
		last: map[raft.ServerID]time.Time{},
	}
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		t.forward()
	}()
	return t
}

// forward passes on what came over the network.
func (t *transport) forward() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			select {
			case t.in <- rpc:
			case <-t.done:
				return
			}
		case <-t.done:
			return
		}
	}
}

// AppendEntries implements raft.Transport. Raft sends a heartbeat each tenth to fifth of its timeout, which is most of what
// an idle cluster costs; three in a timeout do. The first to a peer, after an election, goes at once.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if args.PrevLogEntry == 0 && len(args.Entries) == 0 && args.LeaderCommitIndex == 0 && !t.pace(id, args.Term) {
		return errTransportClosed
	}
	return t.NetworkTransport.AppendEntries(id, target, args, resp)
}

// pace waits until the next heartbeat to a peer is due; false if the transport is closed meanwhile.
func (t *transport) pace(id raft.ServerID, term uint64) bool {
	t.mu.Lock()
	if term != t.term { // a new reign: nobody knows of it yet
		t.term = term
		clear(t.last)
	}
	now := time.Now()
	at := t.last[id].Add(t.beat)
	at = at.Add(-(at.Sub(t.begun) % t.beat)) // the same moments for all peers: one waking serves them
	if at.Before(now) {
		at = now
	}
	t.last[id] = at
	t.mu.Unlock()
	if at.Equal(now) {
		return true
	}
	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.done:
		return false
	}
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.in }

// Close implements raft.WithClose.
func (t *transport) Close() error {
	t.once.Do(func() { close(t.done) })
	err := t.NetworkTransport.Close()
	t.NetworkTransport.CloseStreams()
	t.wg.Wait()
	return err
}

var errTransportClosed = errors.New("raft transport is closed")

// inject puts a request before this node's own Raft and waits for the answer.
func (t *transport) inject(ctx context.Context, command any) error {
	resp := make(chan raft.RPCResponse, 1)
	select {
	case t.in <- raft.RPC{Command: command, RespChan: resp}:
	case <-t.done:
		return errTransportClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case r := <-resp:
		return r.Error
	case <-t.done:
		return errTransportClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
