// Package mux is the nodes' one port: mutual TLS 1.3 whose first byte picks Raft, RPC or a stream. Whoever holds a
// certificate that the cluster key's CA signed is in; nobody else gets past the handshake.
package mux

import "context"

// Peer is who speaks: the identity in its certificate.
type Peer struct {
	ID   string // node id, for life
	Name string // node name
	Addr string // remote address
}

// Handler answers one RPC. from is the authenticated caller. ctx ends with the caller's deadline.
type Handler func(ctx context.Context, from Peer, body []byte) ([]byte, error)
