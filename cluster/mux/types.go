// Package mux is the nodes' one port: mutual TLS 1.3 whose first byte picks Raft, RPC or a stream. Whoever holds a
// certificate that the cluster key's CA signed is in; nobody else gets past the handshake.
package mux

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Peer is who speaks: the identity in its certificate.
type Peer struct {
	ID   string // node id, for life
	Name string // node name
	Addr string // remote address
}

// Handler answers one RPC. from is the authenticated caller. ctx ends with the caller's deadline.
type Handler func(ctx context.Context, from Peer, body []byte) ([]byte, error)

// StreamHandler owns a raw connection until it returns; the connection is closed then. ctx ends with the Mux.
type StreamHandler func(ctx context.Context, from Peer, c net.Conn)

// Target is whom to call. An ID makes sure that it is that node which answers at Addr.
type Target struct {
	ID   string
	Addr string
}

var (
	// ErrWrongKey: the other side's certificate was signed by another cluster key.
	ErrWrongKey = errors.New("certificate is not of this cluster key")
	// ErrOtherNode: another node answers at the address than the one asked for.
	ErrOtherNode = errors.New("another node answers there")
	// ErrUnreachable: no connection came about; the request was not sent.
	ErrUnreachable = errors.New("node does not answer")
	// ErrClosed: the Mux does not run.
	ErrClosed = errors.New("mux is closed")
	// ErrBusy: the other side, or this one, has too many requests in flight.
	ErrBusy = errors.New("too many requests in flight")
	// ErrNoMethod: the other side does not know the method.
	ErrNoMethod = errors.New("unknown method")
	// ErrTooLarge: a message exceeds MaxFrame.
	ErrTooLarge = errors.New("message too large")
	// ErrLost: the connection broke after the request was sent; it may or may not have been carried out.
	ErrLost = errors.New("connection lost while waiting for the answer")
)

// MaxFrame bounds one RPC message in bytes, head included.
const MaxFrame = 8 << 20

// Network is how a Mux reaches the world. The zero Options use TCP.
type Network interface {
	Listen(ctx context.Context, addr string) (net.Listener, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// Options are what a Mux is made of.
type Options struct {
	Authority *Authority
	ID, Name  string
	Bind      string // host:port to listen at
	Logger    hclog.Logger
	Network   Network // nil: TCP

	// EncodeError turns a handler's error into a code and details; nil or "" sends the text alone.
	EncodeError func(error) (code string, detail []byte)
	// DecodeError turns them back into an error.
	DecodeError func(code, text string, detail []byte) error

	HandshakeTimeout time.Duration // default 5 s
	MaxConns         int           // accepted connections at once; default 1024
	MaxHandshakes    int           // of them, those that have not shown a certificate; default 128
	MaxInFlight      int           // requests at once per connection; default 256
}

func (o *Options) defaults() {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Network == nil {
		o.Network = TCP{}
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = 5 * time.Second
	}
	if o.MaxConns <= 0 {
		o.MaxConns = 1024
	}
	if o.MaxHandshakes <= 0 {
		o.MaxHandshakes = 128
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 256
	}
}

// Counters count what happened at the door. Read them by Mux.Counters.
type Counters struct {
	Accepted uint64 // connections let in
	Refused  uint64 // wrong key, no TLS, nonsense after the handshake
	Full     uint64 // closed at once: too many
}
