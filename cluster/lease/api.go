package lease

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// Defaults of Config's durations.
const (
	DefaultTTL    = 250 * time.Millisecond
	DefaultRenew  = 50 * time.Millisecond
	DefaultMargin = 50 * time.Millisecond
	DefaultSettle = time.Second
)

// Sentinels that callers branch on.
var (
	// ErrTooMany says that a bound of the package was reached; what was asked for was not done.
	ErrTooMany = errors.New("too many leases")
	// ErrProtocol says that a peer sent what the codec refuses.
	ErrProtocol = errors.New("malformed lease message")
	// ErrStopped says that the service has ended or was never started.
	ErrStopped = errors.New("lease service is not running")
)

// Peer names a node: by the id that Raft knows it under and by its name.
type Peer struct {
	ID   string
	Name string
}

// Leadership is what this node's Raft says at one moment.
type Leadership struct {
	// Leader is the leader this node knows of; the ID is "" if it knows none, the Name if gossip does not know it.
	Leader Peer
	// Leading says that this node leads in Term and that its FSM has applied all that earlier leaders committed: raft's
	// Barrier succeeded in this term.
	Leading bool
	// Term is the term in which this node leads; without meaning unless Leading.
	Term uint64
	// Elected is a clock reading taken after this node won the election of Term and before Leading became true.
	Elected boottime.Time
	// Voters are the IDs of the voters of the latest configuration, in any order.
	Voters []string
}

// Log is what leases ask of Raft. All methods are safe for concurrent use.
type Log interface {
	// Leadership tells who leads. It doesn't block; the Voters are not changed after they were returned.
	Leadership() Leadership
	// Changed is signalled (capacity 1, never blocking the sender) after each change of what Leadership tells. A call
	// registers one more watcher; it is dropped when ctx ends.
	Changed(ctx context.Context) <-chan struct{}
	// Term reads raft's current term, now: never a cached value. A node that voted for a leader of term T, or stood for
	// it, tells T or more from then on. The safety of leases rests on it.
	Term() uint64
	// Contact tells that the voter of that ID and this node, the leader of term, have just heard each other: what a heartbeat
	// that was answered says. Led tells that the leader of that ID has just said that it leads in term: what a heartbeat
	// says to a follower. Raft needs no heartbeats of its own where the streams carry more. Neither blocks.
	Contact(id string, term uint64)
	Led(leader string, term uint64)
	// Propose commits one entry whose payload is cmd and returns what State.Apply returned for it. An error says nothing about
	// whether the entry will be applied later.
	Propose(ctx context.Context, cmd []byte) ([]Record, error)
	// Records returns what this node's State says now, in any order.
	Records() []Record
	// Applied returns once this node's State holds the epoch of the instance's lease, or a later one, and the program knows all
	// that was agreed on before the entry that began it; or when ctx ends, or that can't be any more.
	Applied(ctx context.Context, instance string, epoch uint64) error
	// TransferLeadership moves the leadership to the voter of that ID.
	TransferLeadership(ctx context.Context, to string) error
	// TriggerElection makes this node stand for election at once, as raft's TimeoutNow does: the leader is known to be dead.
	TriggerElection(ctx context.Context) error
}

// Transport opens streams between nodes. Safe for concurrent use.
type Transport interface {
	// Dial opens a mutual TLS connection to the lease service of the node of that ID: there it is given to
	// Service.Serve. It must heed ctx.
	Dial(ctx context.Context, id string) (net.Conn, error)
}

// Config is what a node needs to take part.
type Config struct {
	ID      string     // this node's ID in Raft
	Node    string     // its name
	Address netip.Addr // breaks ties between candidates of equal priority: the higher one wins, as in VRRP
	Logger  hclog.Logger

	TTL    time.Duration // how long a lease lasts from the send of the renewal that was answered; default 250 ms
	Renew  time.Duration // between two renewals; default 50 ms, at most TTL/3
	Margin time.Duration // how much longer than TTL the leader waits; default 50 ms
	// Settle is how long a Granted waits for Log.Applied; default 1 s. A node that can't follow the log shall not keep an
	// address from all clients for the sake of those that are tied to a server.
	Settle time.Duration

	Log       Log
	Transport Transport
}

// Candidacy is what a node offers for one instance.
type Candidacy struct {
	Priority     int           // effective priority 1..255; 0: out of the running (FAULT, stopping)
	NoPreempt    bool          // does not take the lease from a holder that works
	PreemptDelay time.Duration // how long it must have been the better candidate before it does
	Ready        bool          // may be promoted; never taken from a holder
	Holding      bool          // has the addresses on right now, by lease or by plain VRRP
}

// VerdictKind says what a Verdict means. The zero kind is invalid.
type VerdictKind int

const (
	// Granted: this node holds the lease of Epoch until Expiry. Look at the clock again before an address goes on.
	Granted VerdictKind = iota + 1
	// Extended: the lease held goes on until Expiry.
	Extended
	// Yield: hand over. Adverts and addresses off, then Released.
	Yield
	// Lost: the lease is no longer this node's, the addresses have to be off.
	Lost
	// Elsewhere: Holder has the lease of Epoch ("" if nobody has).
	Elsewhere
	// NoQuorum: no leader confirmed by a majority answered for a TTL. Instance is "": it is true of all.
	NoQuorum
	// Quorum: a leader answers again. Instance is "".
	Quorum
)

// String implements fmt.Stringer.
func (k VerdictKind) String() string {
	if k < Granted || k > Quorum {
		return "unknown"
	}
	return [...]string{"granted", "extended", "yield", "lost", "elsewhere", "no quorum", "quorum"}[k-1]
}

// Verdict is one decision.
type Verdict struct {
	Instance string
	Kind     VerdictKind
	Epoch    uint64
	Expiry   boottime.Time // Granted, Extended: when the lease runs out on this machine's clock
	Holder   string        // Elsewhere: node name
	Voters   int           // NoQuorum: how many voters the cluster has; 0 if unknown, or if this node is none of them
}

// Word is a guard's `released INSTANCE EPOCH`: the addresses of that epoch are off that node.
type Word struct {
	Node      string
	Instance  string
	Epoch     uint64
	AgentDied bool // the agent is gone; false: the guard only saw the lease run out
}

// Status is what this node knows of all leases.
type Status struct {
	Leader  string // node that answers; "" if none does
	Quorum  bool   // a confirmed answer came within the last TTL
	Leases  []LeaseStatus
	Dropped uint64 // frames and connections refused by this node since its start
}

// LeaseStatus is one lease as the leader sees it; without a leader as the log of this node has it, without candidates.
type LeaseStatus struct {
	Instance   string
	Holder     string // node name; "" if nobody
	Epoch      uint64
	Yielding   bool          // the holder was asked to hand over
	Mine       bool          // this node holds it now
	Expiry     boottime.Time // Mine: when it runs out
	Candidates []CandidateStatus
}

// CandidateStatus is one node in the running, the best first.
type CandidateStatus struct {
	Node string
	Candidacy
}
