// Package demo tells the story of a three-node cluster that loses a node: it builds the network, starts the agents as
// separate processes, applies a change, fails the owner of an address, brings it back, and measures throughout what a
// client notices. It knows the agents only by the interface Agents.
package demo

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/internal/lab/stolen"
)

// Kind is a way to fail a node.
type Kind string

// The kinds of failure.
const (
	Kill  Kind = "kill"  // SIGKILL to the agent
	Stop  Kind = "stop"  // SIGSTOP to the agent
	Link  Kind = "link"  // the switch drops all frames of the node, both ways, carrier up
	Leave Kind = "leave" // the agent is asked to leave
)

// Kinds lists every kind.
var Kinds = []Kind{Kill, Stop, Link, Leave}

// ParseKind checks a kind's name.
func ParseKind(s string) (Kind, error) {
	if k := Kind(s); slices.Contains(Kinds, k) {
		return k, nil
	}
	return "", fmt.Errorf("%q: want kill, stop, link or leave", s)
}

// Options of a run.
type Options struct {
	Fail Kind
	// Leader fails a node that is the cluster's leader and holds an address at once. For that every node is given an
	// address, or the leader would have moved to one that has none.
	Leader bool
	Dir    string // for the agents' data, files and logs; the caller makes and removes it
	View   View   // nil: nobody watches
}

// Node is one of the machines of the cluster.
type Node struct {
	Name    string
	Address netip.Addr
	DataDir string
	Socket  string   // where its API listens: a path of the file system, the same for all hosts
	Files   []string // its configuration
	Join    []string // addresses of the others
	Expect  int      // nodes that begin the cluster
	Key     string   // of the cluster
}

// File is configuration to apply.
type File struct {
	Name    string
	Content string
}

// State is what an agent tells of itself.
type State struct {
	Version uint64 // of the configuration it runs
	Leader  string // node's name, empty if it knows none
	Alive   int    // members that are alive, itself too
}

// Agents is how the demo starts agents and speaks with them. Each call ends when ctx does.
type Agents interface {
	// Argv is the command line that runs a node's agent in the foreground.
	Argv(n Node) []string
	State(ctx context.Context, n Node) (State, error)
	// Apply makes the files the configuration of all nodes, through any of them, and returns once all run it.
	Apply(ctx context.Context, n Node, files []File) (version uint64, err error)
	// Leave asks the agent to leave the cluster and end.
	Leave(ctx context.Context, n Node) error
	// Tied lists the client addresses for which the cluster has agreed on a server of the backend, as the node knows it.
	Tied(ctx context.Context, n Node, backend string) ([]string, error)
}

// Report is what the run found. Durations are milliseconds.
type Report struct {
	Nodes                   int     `json:"nodes"`
	Requests                int     `json:"requests"`
	Errors                  int     `json:"errors"`
	Sessions                int     `json:"sessions"`
	SessionsMoved           int     `json:"sessions_moved"`
	SessionsLate            int     `json:"sessions_late"` // the cluster had not agreed on their server before the fault
	LateMoved               int     `json:"late_moved"`    // both: lost with the node that alone knew them
	OwnersSeenMax           int     `json:"owners_seen_max"`
	FailoverGapMS           float64 `json:"failover_gap_ms"`
	VIPLeftOnDead           bool    `json:"vip_left_on_dead"`
	ConfigVersionEverywhere bool    `json:"config_version_everywhere"`

	Fail          Kind    `json:"fail"`
	LeaderFailed  bool    `json:"leader_failed"` // the failed node was the leader too
	ChangeMS      float64 `json:"change_ms"`     // from apply to the last node that runs it
	AddressMoveMS float64 `json:"address_move_ms"`
	BackMS        float64 `json:"back_ms"` // from the restart to the address being back
	VIPs          int     `json:"vips"`
	StolenPercent float64 `json:"stolen_percent"` // of the machine's processors, by the host that lends them, during the run

	Moved []string `json:"moved,omitempty"` // each session that moved, in words
}

// bounds of the waits of the story; a run that meets one fails with what it waited for.
const (
	startLimit    = 12 * time.Second
	failoverLimit = 5 * time.Second
	backLimit     = 10 * time.Second
	callLimit     = 2 * time.Second
)

// Run tells the story once. It must run inside lab.Enter. When it returns, every process it started has ended.
func Run(ctx context.Context, o Options, agents Agents) (Report, error) {
	if o.View == nil {
		o.View = Silent{}
	}
	before, err := stolen.Look()
	if err != nil {
		return Report{}, err
	}
	s, err := newStage(o, agents)
	if err != nil {
		return Report{}, err
	}
	report, err := s.play(ctx)
	if after, lookErr := stolen.Look(); err == nil {
		report.StolenPercent, err = after.Since(before), lookErr
	}
	if closeErr := s.close(); err == nil {
		err = closeErr
	}
	return report, err
}

// play goes through the acts.
func (s *stage) play(ctx context.Context) (Report, error) {
	for _, act := range []func(context.Context) error{
		s.raise, s.settle, s.openDoors, s.change, s.lastGuests, s.fail, s.failover, s.inspectDead, s.guestsAgain, s.revive, s.guestsAgain, s.curtain,
	} {
		if err := act(ctx); err != nil {
			if ctx.Err() != nil {
				return s.report, ctx.Err()
			}
			return s.report, fmt.Errorf("%w%s", err, s.agentsSaid())
		}
	}
	return s.report, nil
}

// vip is a virtual address and who shall have it.
type vip struct {
	instance string
	addr     netip.Addr
	prefers  string
}

func (v vip) target() netip.AddrPort { return netip.AddrPortFrom(v.addr, 80) }

// server is a web server behind the cluster.
type server struct {
	name string
	addr netip.Addr
	host *lab.Host
}
