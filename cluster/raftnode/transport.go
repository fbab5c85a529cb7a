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

	handling sync.RWMutex // held by who handles a heartbeat
	shut     bool

	beats beats
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
	}
	t.beats.init(beat, t.done)
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

// AppendEntries implements raft.Transport: heartbeats have their own pace.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if isHeartbeat(args) {
		switch t.beats.next(id, args.Term) {
		case beatStopped:
			return errTransportClosed
		case beatMet:
			// The slices that resp came with stay out of it: a later answer is decoded into what it has.
			*resp = raft.AppendEntriesResponse{Term: args.Term, Success: true}
			return nil
		}
	}
	return t.NetworkTransport.AppendEntries(id, target, args, resp)
}

// isHeartbeat reports whether the request only says that its sender leads.
func isHeartbeat(a *raft.AppendEntriesRequest) bool {
	return a.PrevLogEntry == 0 && len(a.Entries) == 0 && a.LeaderCommitIndex == 0
}

// SetHeartbeatHandler implements raft.Transport. Heartbeats are handled by the goroutine that read them, which Raft's shutdown
// does not wait for (hashicorp/raft issue 717: one that is handled after the stores are closed panics). Here Close does, and
// none is handled after it.
func (t *transport) SetHeartbeatHandler(handle func(raft.RPC)) {
	gated := func(rpc raft.RPC) {
		t.handling.RLock()
		defer t.handling.RUnlock()
		if t.shut {
			rpc.Respond(nil, errTransportClosed)
			return
		}
		handle(rpc)
	}
	t.beats.handle.Store(&gated)
	t.NetworkTransport.SetHeartbeatHandler(gated)
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.in }

// Close implements raft.WithClose.
func (t *transport) Close() error {
	t.once.Do(func() { close(t.done) })
	t.handling.Lock()
	t.shut = true
	t.handling.Unlock()
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
