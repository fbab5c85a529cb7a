package cluster

import (
	"context"
	"net"
)

// Interface is the whole of what a Cluster offers, for consumers that want to fake it.
//
// All methods are safe for concurrent use; what needs a running cluster returns ErrStopped before and after Run.
type Interface interface {
	Run(ctx context.Context) error
	Join(ctx context.Context, addrs []string) (int, error)
	Leave(ctx context.Context) error
	Members() []Member
	Leader() (name string, ok bool)
	IsLeader() bool
	Peers(ctx context.Context) ([]RaftPeer, error)
	Info() Info
	Propose(ctx context.Context, p Proposal) (ConfigVersion, []NodeReport, error)
	Config() (ConfigVersion, bool)
	History() []ConfigVersion
	Running(version uint64, problem string)
	Reports(ctx context.Context) []NodeReport
	Handle(method string, h Handler)
	HandleStream(name string, h func(ctx context.Context, from Peer, c net.Conn))
	Call(ctx context.Context, node, method string, body []byte) ([]byte, error)
	Stream(ctx context.Context, node, name string) (net.Conn, error)
}
