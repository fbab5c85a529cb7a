package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/reeve-lb/reeve/cluster/fsm"
	"github.com/reeve-lb/reeve/cluster/mux"
)

// The cluster's own methods. The part after the dot is the noun of this file or its neighbours.
const (
	methodPropose   = "cluster.propose"
	methodCanRun    = "cluster.canrun"
	methodRunning   = "cluster.running"
	methodTables    = "cluster.tables"
	methodStatus    = "cluster.status"
	methodBootstrap = "cluster.bootstrap"
	methodLeave     = "cluster.leave"
	methodTLS       = "cluster.tls"
	methodCanServe  = "cluster.canserve"
	methodServing   = "cluster.serving"
)

func (c *Cluster) handlers() {
	c.mux.Handle(methodPropose, handle(c.servePropose))
	c.mux.Handle(methodCanRun, c.serveCanRun)
	c.mux.Handle(methodRunning, handle(c.serveRunning))
	c.mux.Handle(methodTables, c.serveTables)
	c.mux.Handle(methodStatus, handle(c.serveStatus))
	c.mux.Handle(methodBootstrap, handle(c.serveBootstrap))
	c.mux.Handle(methodLeave, handle(c.serveLeave))
	c.mux.Handle(methodTLS, handle(c.serveTLS))
	c.mux.Handle(methodCanServe, handle(c.serveCanServe))
	c.mux.Handle(methodServing, handle(c.serveServing))
}

// handle turns a function of JSON values into a Handler.
func handle[In, Out any](f func(context.Context, Peer, In) (Out, error)) Handler {
	return func(ctx context.Context, from Peer, body []byte) ([]byte, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		out, err := f(ctx, from, in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	}
}

// ask calls a method of JSON values.
func ask[Out any](ctx context.Context, c *Cluster, t mux.Target, method string, in any) (out Out, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("write request: %w", err)
	}
	answer, err := c.mux.Call(ctx, t, method, body)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("read answer of %s: %w", t.Addr, err)
	}
	return out, nil
}

// codes are the sentinels as they cross the network.
var codes = map[string]error{
	"no_leader":    ErrNoLeader,
	"not_leader":   ErrNotLeader,
	"unknown_node": ErrUnknownNode,
	"stopped":      ErrStopped,
	"too_large":    ErrTooLarge,
	"uncertain":    ErrUncertain,
	"busy":         ErrBusy,
	"malformed":    fsm.ErrMalformed,
	"not_set":      ErrNotSet,
	"full":         ErrFull,
}

func encodeError(err error) (code string, detail []byte) {
	if e, ok := errors.AsType[*ConflictError](err); ok {
		detail, _ = json.Marshal(e)
		return "conflict", detail
	}
	if e, ok := errors.AsType[*RefusedError](err); ok {
		detail, _ = json.Marshal(e)
		return "refused", detail
	}
	for code, e := range codes {
		if errors.Is(err, e) {
			return code, nil
		}
	}
	return "", nil
}

func decodeError(code, text string, detail []byte) error {
	switch code {
	case "conflict":
		if e := new(ConflictError); json.Unmarshal(detail, e) == nil {
			return e
		}
	case "refused":
		if e := new(RefusedError); json.Unmarshal(detail, e) == nil {
			return e
		}
	}
	if e := codes[code]; e != nil {
		return &remoteError{text, e}
	}
	return nil
}

// remoteError is a sentinel with the other side's words.
type remoteError struct {
	text string
	is   error
}

// Error implements error.
func (e *remoteError) Error() string { return e.text }

// Unwrap gives errors.Is and errors.As the cause.
func (e *remoteError) Unwrap() error { return e.is }

// applyHere commits a command on this node, which must lead.
func (c *Cluster) applyHere(ctx context.Context, cmd []byte) (fsm.Result, error) {
	if !c.up.Load() {
		return fsm.Result{}, ErrStopped
	}
	r, err := c.node.Apply(ctx, cmd)
	if err != nil {
		return fsm.Result{}, raftError(err)
	}
	return r, r.Err
}

// raftError puts Raft's errors into ours. Those that leave the outcome open are ErrUncertain.
func raftError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrBusy
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrStopped
	}
	return fmt.Errorf("%w: %w", ErrUncertain, err)
}

// noEffect reports whether a request that failed so was surely not carried out.
func noEffect(err error) bool {
	return errors.Is(err, ErrNotLeader) || errors.Is(err, ErrNoLeader) || errors.Is(err, mux.ErrUnreachable) || errors.Is(err, ErrUnknownNode)
}

// atLeader runs here on this node if it leads, or there on the leader; as long as there is surely no effect, it waits for a
// leader and tries again, until ctx ends.
func (c *Cluster) atLeader(ctx context.Context, here func() error, there func(mux.Target) error) error {
	if !c.up.Load() {
		return ErrStopped
	}
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := c.lead.changed(wctx)
	for {
		n := c.lead.get()
		err := ErrNoLeader
		switch {
		case n.led:
			err = here()
		case n.leader != "" && n.leader != c.dir.ID:
			var t mux.Target
			if t, err = c.target(n.leader); err == nil {
				err = there(t)
			}
		}
		if errors.Is(err, mux.ErrLost) || (errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, mux.ErrUnreachable)) {
			return fmt.Errorf("%w: %w", ErrUncertain, err)
		}
		if err == nil || !noEffect(err) {
			return err
		}
		t := time.NewTimer(50 * time.Millisecond)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			if errors.Is(err, ErrNoLeader) || errors.Is(err, ErrNotLeader) {
				return ErrNoLeader
			}
			return fmt.Errorf("%w: %w", ErrNoLeader, err)
		}
		t.Stop()
	}
}

// sendBatch commits one batch of sticky entries.
func (c *Cluster) sendBatch(ctx context.Context, cmd []byte) error {
	if !c.up.Load() {
		return ErrStopped
	}
	n := c.lead.get()
	switch {
	case n.led:
		return c.commitBatch(ctx, cmd)
	case n.leader == "" || n.leader == c.dir.ID:
		return ErrNoLeader
	}
	t, err := c.target(n.leader)
	if err != nil {
		return err
	}
	_, err = c.mux.Call(ctx, t, methodTables, cmd)
	return err
}

// commitBatch stamps a batch and commits it here.
func (c *Cluster) commitBatch(ctx context.Context, cmd []byte) error {
	if err := fsm.Restamp(cmd, time.Now()); err != nil {
		return err
	}
	_, err := c.applyHere(ctx, cmd)
	return err
}

func (c *Cluster) serveTables(ctx context.Context, _ Peer, body []byte) ([]byte, error) {
	if !c.lead.get().led {
		return nil, ErrNotLeader
	}
	return nil, c.commitBatch(ctx, body)
}

// status is what nodes ask each other.
type status struct {
	Last, Commit, Applied uint64
	Command               uint64 // index of the newest command in its state
	Servers               int    // of its Raft configuration
	Leader                string
}

func (c *Cluster) serveStatus(context.Context, Peer, struct{}) (status, error) {
	if !c.up.Load() {
		return status{}, ErrStopped
	}
	r := c.node.Raft()
	_, id := r.LeaderWithID()
	return status{
		Last: r.LastIndex(), Commit: r.CommitIndex(), Applied: r.AppliedIndex(), Command: c.commandIndex(), Servers: len(c.node.Servers()), Leader: string(id),
	}, nil
}
