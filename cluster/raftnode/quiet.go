package raftnode

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/cluster/mux"
)

// quiet is Raft's logger. Raft repeats itself several times a second as long as a peer is away; each message about each
// peer is let through once in a while. What it calls info is our debug.
type quiet struct {
	hclog.Logger
	l *mux.Limiter
}

func newQuiet(log hclog.Logger) hclog.Logger {
	return &quiet{log, mux.NewLimiter(30*time.Second, 64)}
}

func (q *quiet) allow(msg string, args []any) (int, bool) {
	key := msg
	for i := 0; i+1 < len(args); i += 2 {
		if k := args[i]; k == "peer" || k == "address" || k == "target" {
			key += fmt.Sprint(args[i+1])
		}
	}
	ok, held := q.l.Allow(key, time.Now())
	return held, ok
}

// ordinary is what Raft warns of although nothing is wrong.
var ordinary = map[string]bool{
	// A leader told the commit index to a follower that is still behind: it catches up by itself.
	"failed to get previous log":  true,
	"previous log term mis-match": true,
	// A node joins or comes back.
	"appendEntries rejected, sending older logs": true,
	// A node waits to be taken in.
	"no known peers, aborting election":                   true,
	"not part of stable configuration, aborting election": true,
	"heartbeat timeout reached, not part of a stable configuration or a non-voter, not triggering a leader election": true,
}

// farewell reports whether a message is only about our own end, or a peer's that closed its connection.
func farewell(args []any) bool {
	for _, a := range args {
		if err, ok := a.(error); ok && (errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF)) {
			return true
		}
	}
	return false
}

// Info implements hclog.Logger.
func (q *quiet) Info(msg string, args ...any) { q.Logger.Debug(msg, args...) }

// Warn implements hclog.Logger.
func (q *quiet) Warn(msg string, args ...any) {
	if ordinary[msg] || farewell(args) {
		q.Logger.Debug(msg, args...)
		return
	}
	if held, ok := q.allow(msg, args); ok {
		q.Logger.Warn(msg, append(args, "suppressed", held)...)
	}
}

// Error implements hclog.Logger. Nothing that Raft calls an error needs an operator while a majority is there: peers that
// are away are the rule.
func (q *quiet) Error(msg string, args ...any) { q.Warn(msg, args...) }

// Named implements hclog.Logger.
func (q *quiet) Named(name string) hclog.Logger { return &quiet{q.Logger.Named(name), q.l} }

// With implements hclog.Logger.
func (q *quiet) With(args ...any) hclog.Logger { return &quiet{q.Logger.With(args...), q.l} }
