// Package tables replicates sticky entries: what nodes offer is gathered for a few milliseconds, sent to the leader as
// one batch and comes back on every node in log order. Reads are local; a lost quorum never blocks a caller.
package tables

import "github.com/reeve-lb/reeve/cluster/fsm"

// Binding is a wish: key of a table sticks to a server.
type Binding = fsm.Binding

// Key names an entry.
type Key = fsm.Key

// Entry is what is agreed on.
type Entry = fsm.Entry

// Change is what became of an entry, told on every node in log order.
type Change = fsm.Change

// Kinds of Change.
const (
	Bound   = fsm.Bound
	Renewed = fsm.Renewed
	Kept    = fsm.Kept
	Deleted = fsm.Deleted
	Expired = fsm.Expired
	Evicted = fsm.Evicted
	Reset   = fsm.Reset
)
