package cluster

import (
	"context"
	"net/netip"
	"time"

	"github.com/reeve-lb/reeve/cluster/fsm"
	"github.com/reeve-lb/reeve/cluster/mux"
	"github.com/reeve-lb/reeve/cluster/tables"
	"github.com/reeve-lb/reeve/internal/source"
)

// Peer is who speaks: the identity in a node's certificate.
type Peer = mux.Peer

// Handler answers one RPC. from is the authenticated caller. Its error's text reaches the caller.
type Handler = mux.Handler

// ConfigVersion is one agreed configuration.
type ConfigVersion = fsm.ConfigVersion

// App is what the cluster asks of the program around it. Methods that tell are called in log order from one goroutine
// each and must not block for long; they must not call back into Propose.
type App interface {
	// CanRun says what would keep this node from running the payload: ports taken, interfaces missing. Warnings don't refuse.
	CanRun(ctx context.Context, payload []byte) source.Problems
	// ConfigCommitted tells of each version in force, in order. After a restart it begins with the one that was told last,
	// at once and without a majority; a node that is new begins with the newest. The program answers by Cluster.Running
	// once it runs it or has given up.
	ConfigCommitted(ConfigVersion)
	// CanServe says what speaks against a change of what TLS is served with: a key that is not the certificate's, a file that
	// is to count again and is not there. Warnings don't refuse.
	CanServe(ctx context.Context, change TLSChange) source.Problems
	// TLSCommitted tells all that TLS is served with, whenever that has changed; not every step of several. After a restart it
	// begins with what was told last, at once and without a majority, and before any configuration. It comes from the
	// goroutine of ConfigCommitted. The program answers by Cluster.Serving.
	TLSCommitted(TLS)
	// BindingsApplied tells what became of sticky entries, in log order. After a restart or a snapshot from the leader
	// the whole contents are told first, led by a Change of kind tables.Reset.
	BindingsApplied([]tables.Change)
	// Seed is the payload of the node's own files, which the first leader proposes when there is no version yet. Nil: none.
	Seed() []byte
}

// Proposal is a wanted change of the configuration.
type Proposal struct {
	Payload []byte
	Summary string  // one line for the history
	Author  string  // who asked
	Base    *uint64 // the version it was made against; nil: whatever is in force
}

// NodeReport says what a node made of a version.
type NodeReport struct {
	Node    string        `json:"node"`
	Version uint64        `json:"version"` // what it runs
	Error   string        `json:"error"`   // why it does not run the version, or ""
	Took    time.Duration `json:"took"`    // from the entry's commit to the report
	// Problems are the warnings that the node had when it was asked whether it can run the version.
	Problems source.Problems `json:"problems,omitempty"`
}

// Status is a member's state as gossip sees it. The zero value is unknown.
type Status int

const (
	// StatusAlive answers.
	StatusAlive Status = iota + 1
	// StatusLeaving said that it goes.
	StatusLeaving
	// StatusLeft went by its own will.
	StatusLeft
	// StatusFailed stopped answering.
	StatusFailed
)

// String implements fmt.Stringer.
func (s Status) String() string {
	if s < StatusAlive || s > StatusFailed {
		return "unknown"
	}
	return [...]string{"alive", "leaving", "left", "failed"}[s-1]
}

// MarshalText spells the status for JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Member is a node that gossip knows of.
type Member struct {
	ID      string
	Name    string
	Gossip  netip.AddrPort
	RPC     netip.AddrPort
	Status  Status
	Role    Role
	Build   string
	Version string // protocol
	Leader  bool
	Tags    map[string]string
}

// RaftPeer is one row of Raft's configuration.
type RaftPeer struct {
	ID          string
	Name        string // "" if gossip does not know it
	Address     string
	Leader      bool
	Voter       bool
	CommitIndex uint64 // 0 if it does not answer
}

// Info is the state of this node's cluster side.
type Info struct {
	ID            string
	Name          string
	Leader        string // node name; "" if none is known
	IsLeader      bool
	State         string // follower, candidate, leader, shutdown, waiting
	Term          uint64
	LastIndex     uint64
	CommitIndex   uint64
	AppliedIndex  uint64
	Voters        int
	ConfigVersion uint64
	Stuck         string // why entries are no longer applied, or ""
	RPC           netip.AddrPort
	Gossip        netip.AddrPort
}
