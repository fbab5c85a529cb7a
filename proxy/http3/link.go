package http3

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A link is the client of HTTP/2 in clear that speaks to an event loop for a client of HTTP/3. Whoever waits, waits for
// the loop: it bounds by its windows what is sent, and ours bound what it sends.

const (
	// maxOut is how much content waits to be written; heads and the rest are let through beyond.
	maxOut = 1 << 16
	// keptOut is how much room for that stays when nothing waits.
	keptOut = 1 << 12
	// answerWindow is how much of an answer is kept for a client that does not read.
	answerWindow = 1 << 16
	// linkWindow is that of all answers together: more than they can use.
	linkWindow = 1<<31 - 1
	// pongAfter holds the answer to the loop's farewell back for requests that were let in before it came.
	pongAfter = 20 * time.Millisecond
)

var (
	errEnded    = errors.New("the loop has closed the connection")
	errCanceled = errors.New("the client has canceled the request")
	errRejected = errors.New("the loop has not seen the request")
	errFinished = errors.New("the request is over")
	// errMalformed: RFC 9114 section 4.1.2.
	errMalformed = errors.New("the request is malformed")
	errBroken    = errors.New("the loop has not answered as it should")
)

// link is the state; mu guards all but conn, in and onAway.
type link struct {
	conn   net.Conn
	in     *http2.Framer
	onAway func()

	mu        sync.Mutex
	changed   sync.Cond // there is something to write, or more may be sent
	out       *bytes.Buffer
	frame     *http2.Framer // into out
	block     bytes.Buffer  // a header block, before it is cut into frames
	fields    *hpack.Encoder
	open      map[uint32]*exchange
	next      uint32
	window    int64 // what may be sent on all streams together
	initial   int64 // of a new stream
	frameSize int
	taken     int64 // content of answers that the loop has not been credited with yet
	away      bool
	flood     bool // the loop has had enough of the client
	ended     bool
	handlers  int           // that run
	idle      chan struct{} // closed when none does and the link has ended
	served    time.Time     // when the last answer went
}

func newLink(conn net.Conn, onAway func()) *link {
	l := &link{conn: conn, onAway: onAway, out: &bytes.Buffer{}, open: map[uint32]*exchange{}, next: 1, window: 65535, initial: 65535, frameSize: 16384,
		idle: make(chan struct{})}
	l.changed.L = &l.mu
	l.frame = http2.NewFramer(l.out, nil)
	l.in = http2.NewFramer(nil, bufio.NewReaderSize(conn, 1<<15))
	l.in.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	l.fields = hpack.NewEncoder(&l.block)
	l.fields.SetMaxDynamicTableSize(0) // there is nothing to be saved between two ends in one process
	l.out.WriteString(http2.ClientPreface)
	l.frame.WriteSettings(http2.Setting{ID: http2.SettingEnablePush}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: answerWindow})
	l.frame.WriteWindowUpdate(0, linkWindow-65535)
	return l
}

// write is the goroutine that sends.
func (l *link) write() {
	var buf []byte
	for {
		l.mu.Lock()
		for l.out.Len() == 0 && !l.ended {
			if cap(buf)+l.out.Cap() > keptOut {
				buf = nil
				*l.out = bytes.Buffer{}
			}
			l.changed.Wait()
		}
		if l.ended {
			l.mu.Unlock()
			return
		}
		buf = append(buf[:0], l.out.Bytes()...)
		l.out.Reset()
		l.changed.Broadcast()
		l.mu.Unlock()
		if _, err := l.conn.Write(buf); err != nil {
			return // the loop has closed: read has its last words still to read, and ends the link then
		}
	}
}

// close ends the link: what is under way has failed.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	for _, x := range l.open {
		x.fail(errEnded)
	}
	clear(l.open)
	l.changed.Broadcast()
	l.conn.Close()
	if l.handlers == 0 {
		close(l.idle)
	}
}

// begin opens a stream with the head of a request; finish ends it. rescue lets a write to the client that waits come back.
func (l *link) begin(fields []hpack.HeaderField, end bool, rescue func()) (*exchange, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, errRejected
	}
	x := &exchange{l: l, id: l.next, window: l.initial, sent: end, rescue: rescue}
	x.ready.L = &l.mu
	l.next += 2
	l.handlers++
	l.open[x.id] = x
	l.headers(x.id, fields, end)
	return x, nil
}

// headers writes a header block in as many frames as it takes.
func (l *link) headers(id uint32, fields []hpack.HeaderField, end bool) {
	l.block.Reset()
	for _, f := range fields {
		l.fields.WriteField(f)
	}
	rest := l.block.Bytes()
	for first := true; first || len(rest) > 0; first = false {
		part := rest[:min(len(rest), l.frameSize)]
		rest = rest[len(part):]
		if first {
			l.frame.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndStream: end, EndHeaders: len(rest) == 0})
		} else {
			l.frame.WriteContinuation(id, len(rest) == 0, part)
		}
	}
	l.changed.Broadcast()
}

// flooded reports whether the loop ended the link because the client made too much work.
func (l *link) flooded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flood
}

func (l *link) lastServed() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.served
}
