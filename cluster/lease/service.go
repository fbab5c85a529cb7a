package lease

import (
	"context"
	"net"
)

// Service is the leader's side and, on every node, the ear for the guards' words.
type Service struct {
	conf Config
}

// Run leads whenever this node's Raft does, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Serve owns a connection that a peer's Client or guard opened, until it ends. from is who the certificate says it is.
func (s *Service) Serve(ctx context.Context, from Peer, conn net.Conn) error { return ErrStopped }
