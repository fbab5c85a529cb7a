package raftnode

import (
	"fmt"
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

// Info implements hclog.Logger.
func (q *quiet) Info(msg string, args ...any) { q.Logger.Debug(msg, args...) }

// Warn implements hclog.Logger.
func (q *quiet) Warn(msg string, args ...any) {
	// Answers to a leader that told the commit index to a follower that is still behind: it catches up by itself.
	if msg == "failed to get previous log" || msg == "previous log term mis-match" {
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
