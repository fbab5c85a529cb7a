// Package stick is one node's view of the stick tables: which client stays with which server. It is a pure core: time is
// an argument, and nothing here waits, locks or talks.
//
// An entry begins as tentative, bound by this node when its balancing chose a server, and is offered to the cluster. What
// the cluster's log says (Apply) wins over what is tentative, whatever came first here: when two nodes bind one key at
// once, both end up with the log's server. With no quorum tentative entries serve on and are offered again.
package stick

import "time"

// Binding is one entry as it travels: the key spelled as text, the server by name, because names are the same on every
// node. TTL is how long it has yet to live; times of one machine mean nothing on another.
type Binding struct {
	Table  string        // name of the backend that owns the table
	Key    string        // Key.String
	Server string        // name of the server; "" deletes
	Was    string        // the server that the log had agreed on and that is replaced; "": the first writer wins
	TTL    time.Duration // <= 0 deletes
}

// Deletes reports whether the binding says that the key has no server any more.
func (b Binding) Deletes() bool { return b.Server == "" || b.TTL <= 0 }

// Replicator takes what this node bound or renewed to all others. Offer must not block and must not keep the caller
// waiting for a network or a lock held for long: it is called on the request path of every event loop, concurrently. What
// it cannot take it counts and drops, and says false; the entry is offered again at its half-life, or when the quorum is
// back.
type Replicator interface {
	Offer(Binding) (taken bool)
}

// Nowhere is the Replicator of a node that stands alone: nobody is told.
type Nowhere struct{}

// Offer does nothing.
func (Nowhere) Offer(Binding) bool { return true }
