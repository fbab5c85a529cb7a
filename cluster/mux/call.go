package mux

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// DefaultTimeout is a call's when its context has no deadline.
const DefaultTimeout = 10 * time.Second

// Error is a failure that the other side reported with a code that nobody here decodes.
type Error struct {
	Code, Text string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// The Mux's own codes start with a dot, so that they can't meet a user's.
var ownCodes = map[string]error{
	".busy":      ErrBusy,
	".method":    ErrNoMethod,
	".large":     ErrTooLarge,
	".deadline":  context.DeadlineExceeded,
	".cancelled": context.Canceled,
}

func codeOf(err error) string {
	for code, e := range ownCodes {
		if errors.Is(err, e) {
			return code
		}
	}
	return ""
}

func (m *Mux) decodeFailure(p []byte) error {
	code, text, detail, err := parseFailure(p)
	if err != nil {
		return err
	}
	if e := ownCodes[code]; e != nil {
		return fmt.Errorf("%s: %w", text, e)
	}
	if m.o.DecodeError != nil {
		if err := m.o.DecodeError(code, text, detail); err != nil {
			return err
		}
	}
	return &Error{Code: code, Text: text}
}

// caller is the kept connection to one target; requests of many goroutines share it.
type caller struct {
	m *Mux
	t Target

	dialing chan struct{} // holds one token: who has it may dial

	mu      sync.Mutex
	w       *wire // nil: not connected
	seq     uint64
	waiting map[uint64]chan result
	heard   time.Time // last frame
	closed  error
}

type result struct {
	frame frame
	err   error
}

// Call asks the target and waits for its answer, ctx's deadline at most (DefaultTimeout if it has none). The connection
// is kept for the next call. An error for which errors.Is(err, ErrLost) or context.DeadlineExceeded holds leaves open
// whether the request was carried out.
func (m *Mux) Call(ctx context.Context, t Target, method string, body []byte) ([]byte, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
	}
	c, err := m.caller(t)
	if err != nil {
		return nil, err
	}
	f, err := c.call(ctx, method, body)
	if err != nil {
		return nil, fmt.Errorf("call %s of %s: %w", method, t.Addr, err)
	}
	if f.kind == frameFailure {
		return nil, m.decodeFailure(f.rest)
	}
	return f.rest, nil
}

// maxCallers bounds the kept connections; idle ones of nodes that went are dropped first.
const maxCallers = 256

func (m *Mux) caller(t Target) (*caller, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	if c := m.callers[t]; c != nil {
		return c, nil
	}
	for old, c := range m.callers {
		if len(m.callers) < maxCallers {
			break
		}
		if c.idle() {
			c.close(ErrClosed)
			delete(m.callers, old)
		}
	}
	if len(m.callers) >= maxCallers {
		return nil, ErrBusy
	}
	c := &caller{m: m, t: t, waiting: map[uint64]chan result{}, dialing: make(chan struct{}, 1)}
	m.callers[t] = c
	return c, nil
}

// Forget closes the kept connections to an address, for a node that left.
func (m *Mux) Forget(addr string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for t, c := range m.callers {
		if t.Addr == addr {
			c.close(ErrClosed)
			delete(m.callers, t)
		}
	}
}

func (c *caller) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting) == 0
}

func (c *caller) call(ctx context.Context, method string, body []byte) (frame, error) {
	w, err := c.connect(ctx)
	if err != nil {
		return frame{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	ch := make(chan result, 1)
	c.mu.Lock()
	if c.w != w || c.closed != nil {
		c.mu.Unlock()
		return frame{}, ErrLost
	}
	if len(c.waiting) >= c.m.o.MaxInFlight {
		c.mu.Unlock()
		return frame{}, ErrBusy
	}
	c.seq++
	seq := c.seq
	c.waiting[seq] = ch
	c.mu.Unlock()
	begun := time.Now()
	deadline, _ := ctx.Deadline()
	b, err := requestFrame(seq, time.Until(deadline), method, body)
	if err != nil {
		c.abandon(seq)
		return frame{}, err
	}
	if err := w.send(b); err != nil {
		c.lost(w, err)
	}
	select {
	case r := <-ch:
		return r.frame, r.err
	case <-ctx.Done():
		c.abandon(seq)
		c.giveUp(w, seq, begun)
		return frame{}, ctx.Err()
	}
}

// giveUp tells the other side to stop. A connection on which nothing at all was heard meanwhile is closed: after a cut
// its TCP may be dead without knowing.
func (c *caller) giveUp(w *wire, seq uint64, begun time.Time) {
	c.mu.Lock()
	silent := c.heard.Before(begun) && time.Since(begun) >= userTimeout
	c.mu.Unlock()
	if silent {
		w.c.Close()
		return
	}
	if b, err := endFrame(beginFrame(frameCancel, seq, 0)); err == nil {
		_ = w.send(b)
	}
}

func (c *caller) abandon(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, seq)
}

// connect returns the connection, dialling if there is none. One goroutine dials, the others wait for it or their ctx.
func (c *caller) connect(ctx context.Context) (*wire, error) {
	select {
	case c.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.dialing }()
	c.mu.Lock()
	w, closed := c.w, c.closed
	c.mu.Unlock()
	if closed != nil {
		return nil, closed
	}
	if w != nil {
		return w, nil
	}
	tc, err := c.m.dial(ctx, c.t, []byte{pickCall})
	if err != nil {
		return nil, err
	}
	w = &wire{c: fast{tc, tc.NetConn()}}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m.closed || c.closed != nil {
		w.c.Close()
		return nil, ErrClosed
	}
	c.w, c.heard = w, time.Now()
	c.m.tasks.Add(1) // under m.mu and not closed: Run still waits
	go func() {
		defer c.m.tasks.Done()
		c.read(w)
	}()
	return w, nil
}

// fast closes the TCP connection at once instead of waiting up to 5 s for the peer to take the TLS farewell.
type fast struct {
	net.Conn
	raw net.Conn
}

// Close implements io.Closer.
func (f fast) Close() error { return f.raw.Close() }

func (c *caller) read(w *wire) {
	r := bufio.NewReader(w.c)
	for {
		f, err := readFrame(r)
		if err != nil {
			c.lost(w, err)
			return
		}
		c.mu.Lock()
		ch := c.waiting[f.seq]
		delete(c.waiting, f.seq)
		c.heard = time.Now()
		c.mu.Unlock()
		if ch != nil {
			ch <- result{frame: f}
		}
	}
}

// lost ends a connection; those who wait on it learn so.
func (c *caller) lost(w *wire, err error) {
	w.c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.w == w {
		c.w = nil
		c.fail(fmt.Errorf("%w: %w", ErrLost, err))
	}
}

func (c *caller) close(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = err
	if c.w != nil {
		c.w.c.Close()
		c.w = nil
	}
	c.fail(err)
}

func (c *caller) fail(err error) {
	for seq, ch := range c.waiting {
		ch <- result{err: err} // has room for one, and is out of the map from now on
		delete(c.waiting, seq)
	}
}
