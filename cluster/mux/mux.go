package mux

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// What the first byte inside TLS picks.
const (
	pickRaft   = 'R'
	pickCall   = 'C'
	pickStream = 'S'
)

// Mux is one node's end of the port: it accepts, and it dials. Methods are safe for concurrent use.
type Mux struct {
	o      Options
	log    hclog.Logger
	server *tls.Config
	client *tls.Config
	cert   tls.Certificate
	refuse *Limiter

	mu       sync.Mutex
	ln       net.Listener
	methods  map[string]Handler
	streams  map[string]StreamHandler
	accepted map[net.Conn]struct{}
	callers  map[Target]*caller
	closed   bool

	raft  *RaftLayer
	ctx   context.Context // ends when the Mux closes
	stop  context.CancelFunc
	tasks sync.WaitGroup

	handshakes chan struct{}
	counters   struct{ accepted, refused, full atomic.Uint64 }
}

// New makes a Mux. It opens nothing.
func New(o Options) (*Mux, error) {
	o.defaults()
	cert, err := o.Authority.Issue(o.ID, o.Name)
	if err != nil {
		return nil, err
	}
	m := &Mux{
		o: o, log: o.Logger,
		refuse:     NewLimiter(10*time.Second, 256),
		methods:    map[string]Handler{},
		streams:    map[string]StreamHandler{},
		accepted:   map[net.Conn]struct{}{},
		callers:    map[Target]*caller{},
		handshakes: make(chan struct{}, o.MaxHandshakes),
	}
	m.cert = cert
	m.server, m.client = o.Authority.tlsConfigs(cert)
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.raft = &RaftLayer{m: m, conns: make(chan net.Conn)}
	return m, nil
}

// Handle registers the answer to a method, in place of an earlier one.
func (m *Mux) Handle(method string, h Handler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.methods[method] = h
}

// HandleStream registers what takes streams of a name.
func (m *Mux) HandleStream(name string, h StreamHandler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.streams[name] = h
}

// Listen opens the port. Addr is known afterwards; nobody is served before Run.
func (m *Mux) Listen(ctx context.Context) error {
	ln, err := m.o.Network.Listen(ctx, m.o.Bind)
	if err != nil {
		return fmt.Errorf("listen for cluster peers: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		ln.Close()
		return ErrClosed
	}
	m.ln = ln
	return nil
}

// Addr is where the Mux listens; nil before Listen.
func (m *Mux) Addr() net.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ln == nil {
		return nil
	}
	return m.ln.Addr()
}

// Certificate is this node's own, made at New.
func (m *Mux) Certificate() tls.Certificate { return m.cert }

// StreamHello is what has to be the first bytes inside TLS to open a stream of that name.
func StreamHello(name string) []byte { return append([]byte{pickStream, byte(len(name))}, name...) }

// Raft is the part of the port that Raft's transport uses.
func (m *Mux) Raft() *RaftLayer { return m.raft }

// Counters reads what happened at the door so far.
func (m *Mux) Counters() Counters {
	return Counters{m.counters.accepted.Load(), m.counters.refused.Load(), m.counters.full.Load()}
}

// Run serves until ctx ends, then closes every connection and waits for all that it started. Call Listen first.
func (m *Mux) Run(ctx context.Context) error {
	m.mu.Lock()
	ln := m.ln
	m.mu.Unlock()
	if ln == nil {
		return errors.New("mux: Run before Listen")
	}
	stopped := context.AfterFunc(ctx, m.Close)
	defer func() {
		stopped()
		m.Close()
		m.tasks.Wait()
	}()
	for {
		c, err := ln.Accept()
		if err != nil {
			if m.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Out of descriptors, most likely: closing nothing and asking again at once would spin.
			if ok, held := m.refuse.Allow("accept", time.Now()); ok {
				m.log.Error("cannot accept connections", "error", err, "suppressed", held)
			}
			select {
			case <-m.ctx.Done():
				return nil
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		m.admit(c)
	}
}

// Close ends everything; safe before Listen and more than once. It does not wait: Run does.
func (m *Mux) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.closed = true
	m.stop()
	if m.ln != nil {
		m.ln.Close()
	}
	for c := range m.accepted {
		c.Close()
	}
	for _, c := range m.callers {
		c.close(ErrClosed)
	}
}

// admit starts the service of a connection, or closes it when there are too many.
func (m *Mux) admit(c net.Conn) {
	m.mu.Lock()
	full := m.closed || len(m.accepted) >= m.o.MaxConns
	if !full {
		select {
		case m.handshakes <- struct{}{}:
		default:
			full = true
		}
	}
	if full {
		m.mu.Unlock()
		m.counters.full.Add(1)
		c.Close()
		return
	}
	m.accepted[c] = struct{}{}
	m.tasks.Add(1)
	m.mu.Unlock()
	go func() {
		defer m.tasks.Done()
		m.serve(c)
	}()
}

func (m *Mux) forget(c net.Conn) {
	c.Close()
	m.mu.Lock()
	delete(m.accepted, c)
	m.mu.Unlock()
}

// serve brings one accepted connection through the handshake and hands it to what its first byte picks.
func (m *Mux) serve(raw net.Conn) {
	handed := false
	defer func() {
		if !handed {
			m.forget(raw)
		}
	}()
	tc, peer, pick, name, err := m.welcome(raw)
	<-m.handshakes
	if err != nil {
		m.refused(raw, err)
		return
	}
	m.counters.accepted.Add(1)
	switch pick {
	case pickRaft:
		handed = m.raft.deliver(&raftConn{Conn: tc, done: func() { m.forget(raw) }})
	case pickCall:
		m.serveCalls(tc, peer)
	case pickStream:
		m.mu.Lock()
		h := m.streams[name]
		m.mu.Unlock()
		if h == nil {
			m.log.Debug("stream of an unknown name", "name", name, "node", peer.Name)
			return
		}
		h(m.ctx, peer, tc)
	}
}

// welcome does what a stranger may make us do: one handshake and one short name, within one deadline.
func (m *Mux) welcome(raw net.Conn) (tc *tls.Conn, p Peer, pick byte, name string, err error) {
	raw.SetDeadline(time.Now().Add(m.o.HandshakeTimeout))
	tc = tls.Server(raw, m.server)
	if err = tc.HandshakeContext(m.ctx); err != nil {
		return nil, p, 0, "", err
	}
	if p, err = peerOf(tc.ConnectionState(), raw.RemoteAddr().String()); err != nil {
		return nil, p, 0, "", err
	}
	var b [256]byte
	if _, err = io.ReadFull(tc, b[:1]); err != nil {
		return nil, p, 0, "", fmt.Errorf("read what is wanted: %w", err)
	}
	switch pick = b[0]; pick {
	case pickRaft, pickCall:
	case pickStream:
		if _, err = io.ReadFull(tc, b[:1]); err != nil {
			return nil, p, 0, "", fmt.Errorf("read stream name: %w", err)
		}
		n := int(b[0])
		if _, err = io.ReadFull(tc, b[:n]); err != nil {
			return nil, p, 0, "", fmt.Errorf("read stream name: %w", err)
		}
		name = string(b[:n])
	default:
		return nil, p, 0, "", fmt.Errorf("unknown kind of connection %#x", pick)
	}
	return tc, p, pick, name, raw.SetDeadline(time.Time{})
}

// refused counts, and says so once in a while per address: anybody can knock.
func (m *Mux) refused(raw net.Conn, err error) {
	if m.ctx.Err() != nil {
		return
	}
	m.counters.refused.Add(1)
	host, _, splitErr := net.SplitHostPort(raw.RemoteAddr().String())
	if splitErr != nil {
		host = raw.RemoteAddr().String()
	}
	if ok, held := m.refuse.Allow(host, time.Now()); ok {
		m.log.Warn("refused a connection to the cluster port", "address", host, "reason", reason(err), "suppressed", held)
	}
}

// reason puts the commonest failures of a handshake in the user's words.
func reason(err error) string {
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	switch {
	case errors.As(err, &verify):
		return "its certificate is not of this cluster key"
	case errors.As(err, &alert), isRemoteAlert(err):
		return "it does not accept our certificate: another cluster key"
	case errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded):
		return "no TLS handshake"
	}
	return err.Error()
}

// isRemoteAlert recognises the other side's alert, which crypto/tls wraps in a net.OpError of Op "remote error".
func isRemoteAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// dial opens an authenticated connection and says what it is for.
func (m *Mux) dial(ctx context.Context, t Target, hello []byte) (*tls.Conn, error) {
	if m.ctx.Err() != nil {
		return nil, ErrClosed
	}
	raw, err := m.o.Network.Dial(ctx, t.Addr)
	if err != nil {
		return nil, err
	}
	tc, err := m.greet(ctx, raw, t, hello)
	if err != nil {
		raw.Close()
		return nil, err
	}
	return tc, nil
}

func (m *Mux) greet(ctx context.Context, raw net.Conn, t Target, hello []byte) (*tls.Conn, error) {
	deadline := time.Now().Add(m.o.HandshakeTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	raw.SetDeadline(deadline)
	tc := tls.Client(raw, m.client)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Addr, err)
	}
	p, err := peerOf(tc.ConnectionState(), t.Addr)
	if err != nil {
		return nil, err
	}
	if t.ID != "" && p.ID != t.ID {
		return nil, fmt.Errorf("%s is %s (%s): %w", t.Addr, p.Name, p.ID, ErrOtherNode)
	}
	if _, err := tc.Write(hello); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Addr, err)
	}
	return tc, raw.SetDeadline(time.Time{})
}

// Stream opens a raw connection to what HandleStream registered under name on the other side. The caller closes it. A
// name that nobody registered there shows as an end of file.
func (m *Mux) Stream(ctx context.Context, t Target, name string) (net.Conn, error) {
	if len(name) > 255 {
		return nil, fmt.Errorf("stream name of %d bytes: %w", len(name), ErrTooLarge)
	}
	tc, err := m.dial(ctx, t, StreamHello(name))
	if err != nil {
		return nil, err // not tc: a nil *tls.Conn is no nil net.Conn
	}
	return tc, nil
}
