package cluster

import (
	"errors"
	"fmt"
	"strings"

	"github.com/reeve-lb/reeve/cluster/fsm"
	"github.com/reeve-lb/reeve/internal/source"
)

var (
	// ErrNoLeader: no majority in reach, or an election is going on.
	ErrNoLeader = errors.New("no cluster leader")
	// ErrNotLeader: the node asked does not lead (any more); the request had no effect.
	ErrNotLeader = errors.New("not the cluster leader")
	// ErrUnknownNode: no live member of that name or id.
	ErrUnknownNode = errors.New("no such node")
	// ErrNameTaken: another live node has this node's name.
	ErrNameTaken = errors.New("node name is taken")
	// ErrStopped: the cluster does not run.
	ErrStopped = errors.New("cluster is stopped")
	// ErrBusy: a bounded queue is full; try again.
	ErrBusy = errors.New("too busy")
	// ErrTooLarge: a payload exceeds MaxPayload.
	ErrTooLarge = errors.New("payload too large")
	// ErrUncertain: the change may or may not be committed; look before trying again.
	ErrUncertain = errors.New("outcome unknown")
)

// MaxPayload bounds a configuration's payload, in bytes.
const MaxPayload = 4 << 20

// ConflictError refuses a change that was made against another version than the one in force.
type ConflictError = fsm.ConflictError

// NodeProblems is what one node says against a version.
type NodeProblems struct {
	Node     string          `json:"node"`
	Problems source.Problems `json:"problems"`
}

// RefusedError: at least one live node can't run the version; nothing was changed anywhere.
type RefusedError struct {
	Nodes []NodeProblems
}

// Error implements error.
func (e *RefusedError) Error() string {
	var b strings.Builder
	for _, n := range e.Nodes {
		for _, p := range n.Problems {
			if p.Severity != source.Error {
				continue
			}
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "%s: %s", n.Node, p.Error())
		}
	}
	if b.Len() == 0 {
		return "refused"
	}
	return b.String()
}
