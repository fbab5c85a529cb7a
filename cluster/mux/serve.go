package mux

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"
)

// writeTimeout bounds how long one frame may take to be taken by the other side.
const writeTimeout = 5 * time.Second

// wire writes frames of several goroutines to one connection.
type wire struct {
	mu sync.Mutex
	c  net.Conn
}

func (w *wire) send(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := w.c.Write(b)
	if err != nil {
		w.c.Close() // half a frame may be out: nothing sensible can follow
	}
	return err
}

// inFlight are the requests of one connection that are being answered.
type inFlight struct {
	mu     sync.Mutex
	cancel map[uint64]context.CancelFunc
}

func (f *inFlight) begin(seq uint64, max int, c context.CancelFunc) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, twice := f.cancel[seq]; twice || len(f.cancel) >= max {
		return false
	}
	f.cancel[seq] = c
	return true
}

func (f *inFlight) end(seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.cancel[seq]; c != nil {
		c()
		delete(f.cancel, seq)
	}
}

func (f *inFlight) stop(seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.cancel[seq]; c != nil {
		c()
	}
}

// serveCalls answers the requests of one connection, several at once, until it ends.
func (m *Mux) serveCalls(c net.Conn, from Peer) {
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	w := &wire{c: c}
	flying := &inFlight{cancel: map[uint64]context.CancelFunc{}}
	var answers sync.WaitGroup
	defer answers.Wait()
	defer cancel()
	r := bufio.NewReader(c)
	for {
		f, err := readFrame(r)
		if err != nil {
			return
		}
		switch f.kind {
		case frameCancel:
			flying.stop(f.seq)
		case frameRequest:
			timeout, method, body, err := parseRequest(f.rest)
			if err != nil {
				return
			}
			rctx, rcancel := context.WithTimeout(ctx, timeout)
			if !flying.begin(f.seq, m.o.MaxInFlight, rcancel) {
				rcancel()
				if m.fail(w, f.seq, ErrBusy) != nil {
					return
				}
				continue
			}
			answers.Add(1)
			go func() {
				defer answers.Done()
				defer flying.end(f.seq)
				m.answer(rctx, w, f.seq, from, method, body)
			}()
		default:
			return
		}
	}
}

func (m *Mux) answer(ctx context.Context, w *wire, seq uint64, from Peer, method string, body []byte) {
	out, err := m.dispatch(ctx, from, method, body)
	if err == nil {
		var b []byte
		if b, err = answerFrame(seq, out); err == nil {
			_ = w.send(b) // the caller sees the connection end
			return
		}
	}
	_ = m.fail(w, seq, err)
}

// dispatch runs a handler; one that panics costs its own request only.
func (m *Mux) dispatch(ctx context.Context, from Peer, method string, body []byte) (out []byte, err error) {
	m.mu.Lock()
	h := m.methods[method]
	m.mu.Unlock()
	if h == nil {
		return nil, fmt.Errorf("%s: %w", method, ErrNoMethod)
	}
	defer func() {
		if r := recover(); r != nil {
			m.log.Error("a peer's request made its handler panic", "method", method, "node", from.Name, "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s: internal error", method)
		}
	}()
	return h(ctx, from, body)
}

func (m *Mux) fail(w *wire, seq uint64, err error) error {
	code, detail := codeOf(err), []byte(nil)
	if code == "" && m.o.EncodeError != nil {
		code, detail = m.o.EncodeError(err)
	}
	b, ferr := failureFrame(seq, code, err.Error(), detail)
	if ferr != nil {
		b, ferr = failureFrame(seq, code, err.Error(), nil)
	}
	if ferr != nil {
		return ferr
	}
	return w.send(b)
}
