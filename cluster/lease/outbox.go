package lease

import (
	"net"
	"sync"
	"time"
)

const (
	// writeTimeout bounds a write to a peer that takes nothing.
	writeTimeout = 2 * time.Second
	// maxOut bounds what waits to be sent to such a peer: two views of the largest size.
	maxOut = 2 * maxFrame
)

// outbox is a connection's sending side: frames gather while the writer writes, who then takes all of them at once. No
// one who sends waits for the peer, so that a lease runs out in time whatever a connection does.
type outbox struct {
	conn net.Conn
	more chan struct{} // capacity 1

	mu  sync.Mutex
	out []byte
}

func newOutbox(conn net.Conn) *outbox { return &outbox{conn: conn, more: make(chan struct{}, 1)} }

// send appends frames to what is to be sent. f must not keep its argument.
func (o *outbox) send(f func([]byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.out) > maxOut {
		o.abort()
		return
	}
	o.out = f(o.out)
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// run writes what gathers, until ended.
func (o *outbox) run(ended <-chan struct{}) {
	var buf []byte
	for {
		select {
		case <-ended:
			return
		case <-o.more:
		}
		o.mu.Lock()
		buf, o.out = o.out, buf[:0]
		o.mu.Unlock()
		err := o.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err == nil && len(buf) > 0 {
			_, err = o.conn.Write(buf)
		}
		if err != nil {
			o.abort()
			return
		}
		if cap(buf) > 1<<16 {
			buf = nil // a large view went out: don't keep room for the next
		}
	}
}

func (o *outbox) abort() { abort(o.conn) }

// abort ends a connection at once: closing alone may wait for a peer to take the TLS farewell.
func abort(conn net.Conn) { _ = conn.SetDeadline(time.Unix(1, 0)) }
