package cluster

import (
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/cluster/mux"
)

// Role says what a node does in the cluster.
type Role string

const (
	// RoleNode is a voter that forwards traffic.
	RoleNode Role = "node"
	// RoleWitness is a voter without a data plane.
	RoleWitness Role = "witness"
)

// Config is what a node brings along. Zero values mean the defaults that the fields name.
type Config struct {
	Name    string // node name, unique in the cluster; required
	Build   string // version of the program, told to the others
	Role    Role   // default RoleNode
	DataDir string // "": nothing is kept, the node is a new one after each start

	Bind       netip.Addr // listens here; default 0.0.0.0
	Advertise  netip.Addr // what the others are told; default Bind, or the first private address if Bind is unspecified
	RPCPort    int        // Raft and RPC; default 7300; negative: any free port
	GossipPort int        // tcp and udp; default 7301; negative: any free port

	// Key is the cluster key (32 bytes): it encrypts gossip and signs the nodes' certificates. Required.
	Key []byte
	// ClusterID tells clusters apart that share a network; default: derived from Key.
	ClusterID string

	BootstrapExpect int      // voters to wait for before the first election; 0: join only
	RetryJoin       []string // addresses (IP, host, host:port) tried until one answers, for ever

	HeartbeatTimeout time.Duration // Raft; default 200 ms
	ElectionTimeout  time.Duration // Raft; default 200 ms
	LeaderLease      time.Duration // Raft: a leader without a majority steps down after; default 200 ms
	SnapshotInterval time.Duration // Raft: how often the size of the log is looked at; default 2 min
	SnapshotLogs     uint64        // Raft: entries since the last snapshot that call for one; default 8192

	LeaseTTL     time.Duration // leases: default 250 ms
	LeaseRenewal time.Duration // leases: default 50 ms

	StabilizeAfter time.Duration // a joiner votes after having followed for this long; default 2 s
	ReapAfter      time.Duration // a failed node is taken out of Raft after; default 72 h
	TicketKeyAge   time.Duration // once ticket keys were set the leader makes a new one when the newest is so old; default 25 h
	ReconcileEvery time.Duration // the leader compares gossip with Raft's peers this often, and at each event; default 5 s

	Network Network // how peers' streams are listened for and dialled; default: TCP

	Logger hclog.Logger // default: none
}

// Network listens for and dials the streams of the common port.
type Network = mux.Network

const (
	// DefaultRPCPort carries Raft and RPC (TLS).
	DefaultRPCPort = 7300
	// DefaultGossipPort carries Serf (tcp and udp).
	DefaultGossipPort = 7301
	// DefaultTicketKeyAge is how long a ticket key seals; who sets one every day is always first.
	DefaultTicketKeyAge = 25 * time.Hour
)
