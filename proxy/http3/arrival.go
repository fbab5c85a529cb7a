package http3

import (
	"context"
	"math/bits"
	"sync"

	"github.com/quic-go/quic-go"
)

// arrival is a client from its first packet on, and what it takes.
type arrival struct {
	l     *Listener
	place Place
	over  sync.Once // its handshake, one way or the other

	mu     sync.Mutex
	window int64 // what may be received beyond connWindow
	flight int64 // what may be on its way beyond firstFlight
}

type arrivalKey struct{}

// arrivalOf is that of a connection, whose context was made in arriving.
func arrivalOf(qc *quic.Conn) *arrival { return qc.Context().Value(arrivalKey{}).(*arrival) }

// arriving counts a client in; its context ends with the connection, or with a handshake that fails. With an error the client is
// told at once that it is refused.
func (l *Listener) arriving(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if l.leaves() {
		return nil, errLeaving
	}
	if l.halfOpen.Add(1) > maxHalfOpen {
		l.halfOpen.Add(-1)
		l.host.Failed()
		return nil, errFull
	}
	place, err := l.host.Arrive()
	if err != nil {
		l.halfOpen.Add(-1)
		return nil, err
	}
	a := &arrival{l: l, place: place}
	context.AfterFunc(ctx, func() { a.end(false) })
	return context.WithValue(ctx, arrivalKey{}, a), nil
}

// end ends the handshake. first: it had not ended before.
func (a *arrival) end(good bool) (first bool) {
	a.over.Do(func() {
		first = true
		a.l.halfOpen.Add(-1)
		if !good {
			a.l.host.Failed()
			a.place.Leave()
		}
	})
	return first
}

// mayReceive reports whether the window of all that a client sends may grow. It is called with locks of the library held.
func mayReceive(qc *quic.Conn, delta uint64) bool {
	a := arrivalOf(qc)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.place.Grow(a.window + int64(delta) + a.flight) {
		return false
	}
	a.window += int64(delta)
	return true
}

// mayFly reports whether so many bytes may be on their way to the client. More is asked for in large steps: the congestion window
// grows in small ones, and each answer of the Host takes its time.
func (a *arrival) mayFly(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n-firstFlight <= a.flight {
		return true
	}
	more := int64(1) << bits.Len64(uint64(n-firstFlight))
	if !a.place.Grow(a.window + more) {
		return false
	}
	a.flight = more
	return true
}
