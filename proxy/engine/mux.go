package engine

import (
	"github.com/reeve-lb/reeve/proxy/http2"
)

// An HTTP/2 connection carries many requests. Its socket belongs to a mux; each stream has a virtual conn (stream.go),
// on one side of an ordinary session. What the streams write is gathered and sent once a turn of the loop.

const (
	// muxReserve is what content leaves free of a connection's output, for the frames that have to go.
	muxReserve = 2048
	// muxQuantum is how much a stream may write in a turn while there are others.
	muxQuantum = 16384
)

// mux is one HTTP/2 connection.
type mux struct {
	l       *loop
	c       *conn    // the socket
	tls     *secure  // nil: clear
	major   int      // of the client's HTTP
	s       *session // of a client's connection; nil: it leads to a server
	h       *http2.Conn
	streams int     // with a session
	first   *stream // of those that wait for room or for the connection's window
	last    *stream
	round   uint32
	departs departure
	dirty   bool // in the loop's list
	more    bool // has more to read
	stalled bool // reads on when there is room for answers
	away    bool // the other side said GOAWAY
	eof     bool // the client says nothing more
	closing bool // nothing follows what is in the out buffer
	dead    bool
	timer   timer
	serverMux

	requests                                          int
	outAt, heardAt, partAt, idleAt, orphanAt, leaveAt int64
	key                                               [24]byte // of the next WebSocket
}

// departure is how far the farewell of a connection has come (RFC 9113 section 6.8).
type departure uint8

const (
	muxStays departure = iota
	muxAnnounced
	muxDeparted
)

// newMux makes the mux of a client's connection.
func (l *loop) newMux(c *conn, s *session, h *http2.Conn) *mux {
	m := &mux{l: l, c: c, tls: c.secured(), major: c.major(), s: s, h: h, idleAt: l.now}
	m.timer.owner = m
	c.mux = m
	m.put(h.Greet(m.out()))
	return m
}

// touch has the mux send and look around at the end of the loop's turn.
func (m *mux) touch() {
	if !m.dirty && !m.dead {
		m.dirty = true
		m.l.muxes = append(m.l.muxes, m)
	}
}

// settleMuxes ends a turn for those that were touched.
func (l *loop) settleMuxes() {
	l.muxes, l.muxTurn = l.muxTurn[:0], l.muxes
	for i, m := range l.muxTurn {
		m.dirty = false
		l.muxTurn[i] = nil
		if !m.dead {
			m.settle()
		}
	}
}

// out is the output so far, to be appended to and handed to put. What does not fit makes the buffer larger: that is a
// few bytes for each stream at most.
func (m *mux) out() []byte {
	m.begun()
	return m.c.out.b[:m.c.out.w]
}

// begun has a buffer for output. From its first byte on the other side has so long to take some.
func (m *mux) begun() {
	if m.c.out == nil {
		m.c.out, m.outAt = m.l.buffer(false), m.l.now
	}
}

func (m *mux) put(b []byte) {
	out := m.c.out
	if cap(b) != cap(out.b) {
		out.b = b[:cap(b)]
	}
	out.w = len(b)
	m.touch()
}

// room makes room for n bytes of output, if there may be as much.
func (m *mux) room(n int) bool {
	c := m.c
	m.begun()
	if c.out.room() < n {
		c.out.compact()
	}
	if c.out.room() < n && len(c.out.b) < bigBuffer {
		big := m.l.buffer(true)
		big.append(c.out.data())
		m.l.free(&c.out)
		c.out = big
	}
	if n > bigBuffer && c.out.r == c.out.w && c.out.room() < n { // a head that no buffer holds
		m.l.free(&c.out)
		c.out = &buffer{b: make([]byte, n)}
	}
	return c.out.room() >= n
}

// read takes in what has come.
func (m *mux) read() {
	l, c := m.l, m.c
	if m.eof {
		if sysSockError(c.fd) != 0 {
			m.lost()
		}
		return
	}
	for range budget {
		if !m.process() {
			return
		}
		_, r := l.fill(c, m.h.Coming() > smallBuffer)
		switch r {
		case ioBlock:
			l.spare(c)
			return
		case ioEOF:
			m.ended()
			return
		case ioError:
			m.lost()
			return
		}
		m.heardAt = l.now
	}
	m.more = true
	m.touch()
}

// process works through the frames in the buffer. false: no more is to be read now.
func (m *mux) process() bool {
	c := m.c
	for c.in != nil && c.in.r < c.in.w {
		if !m.room(http2.OutRoom) {
			m.stalled = true
			m.touch()
			return false
		}
		m.h.Frugal = !m.l.roomForBig()
		ev, n, out := m.h.Next(c.in.data(), m.out(), m.l.now)
		if len(out) != c.out.w {
			m.put(out)
		}
		if ev.Kind == http2.EventMore {
			m.part()
			return true
		}
		m.partAt = 0
		m.on(&ev)
		if ev.Kind == http2.EventError || m.dead {
			return false
		}
		c.in.consume(n)
	}
	if m.h.Midway() {
		m.part()
	}
	return true
}

// part keeps a frame that has come in part, or a header block, and looks at the clock: it may not take for ever.
func (m *mux) part() {
	c := m.c
	if m.partAt == 0 {
		m.partAt = m.l.now
	}
	if c.in == nil {
		return
	}
	c.in.compact()
	if c.in.room() == 0 && len(c.in.b) < bigBuffer {
		big := m.l.buffer(true)
		big.append(c.in.data())
		m.l.free(&c.in)
		c.in = big
	}
}

// on acts on an event.
func (m *mux) on(ev *http2.Event) {
	var st *stream
	if ev.Stream != nil {
		st, _ = ev.Stream.Owner.(*stream)
	}
	switch ev.Kind {
	case http2.EventHeaders:
		if m.s != nil {
			m.request(ev)
		} else if st != nil {
			st.answer(ev.End)
		}
	case http2.EventTrailers:
		st.trailers()
	case http2.EventData:
		st.receive(ev.Data, ev.End)
	case http2.EventReset:
		st.reset(ev)
	case http2.EventWindow:
		if st != nil {
			st.window()
		} else if ev.Stream == nil {
			m.windows()
		}
	case http2.EventGoAway:
		m.away = true
		m.goneAway(ev.Last)
		m.touch()
	case http2.EventPong:
		if m.departs == muxAnnounced {
			m.depart()
		}
	case http2.EventError:
		m.abandon()
		m.closing = true
		m.touch()
	}
}

// windows: the connection's window, or that of all streams, has grown.
func (m *mux) windows() {
	m.h.Owned(func(h *http2.Stream) { h.Owner.(*stream).window() })
	m.touch()
}

// await puts a stream at the end of those that wait for room.
func (m *mux) await(st *stream) {
	if st.waits {
		return
	}
	st.waits, st.before, st.after = true, m.last, nil
	if m.last != nil {
		m.last.after = st
	} else {
		m.first = st
	}
	m.last = st
	m.touch()
}

func (m *mux) unawait(st *stream) {
	if !st.waits {
		return
	}
	if st.before != nil {
		st.before.after = st.after
	} else {
		m.first = st.after
	}
	if st.after != nil {
		st.after.before = st.before
	} else {
		m.last = st.before
	}
	st.waits, st.before, st.after = false, nil, nil
}

// settle sends what there is, wakes as many of those that wait as there is room for, and sees whether the connection has
// come to its end.
func (m *mux) settle() {
	l, c := m.l, m.c
	if m.s == nil && !m.ready {
		m.connecting()
		return
	}
	m.round++
	if m.h.Dead() && !m.closing {
		m.abandon()
		m.closing = true
	}
	before := 0
	if c.out != nil {
		before = c.out.r
	}
	r := l.flush(c)
	if c.out == nil || c.out.r != before {
		m.outAt = l.now
	}
	if r == ioError {
		m.lost()
		return
	}
	free := bigBuffer - muxReserve
	if c.out != nil {
		free -= c.out.w - c.out.r
	}
	for st := m.first; st != nil && free > muxQuantum/2 && m.h.Sendable(); {
		next := st.after
		if st.mayGo() {
			free -= muxQuantum
			m.unawait(st)
			st.wake()
		}
		st = next
	}
	if m.stalled && c.out == nil {
		m.stalled, m.more = false, true
	}
	if m.more && !m.closing {
		m.more = false
		m.read()
	}
	if !m.dead {
		m.farewell()
	}
}

// lost: the socket is no good any more.
func (m *mux) lost() {
	m.abandon()
	if m.s != nil {
		m.s.end()
		return
	}
	m.discard()
}

// detach is for a socket that is being closed.
func (m *mux) detach() {
	if !m.dead {
		m.abandon()
		m.dead = true
	}
}

// abandon tells all streams that nothing more will come or go.
func (m *mux) abandon() {
	if m.h != nil {
		m.h.Owned(func(h *http2.Stream) { h.Owner.(*stream).lose() })
	}
	for st := m.first; st != nil; st = st.after {
		st.lose()
		if m.c.errno != 0 {
			st.c.errno = m.c.errno
		}
	}
}

// goneAway: the other side has not looked at streams above last; a request there may be sent again.
func (m *mux) goneAway(last uint32) {
	if m.s != nil {
		return
	}
	m.h.Owned(func(h *http2.Stream) {
		if h.ID > last {
			st := h.Owner.(*stream)
			st.refused = true
			st.lose()
		}
	})
	for st := m.first; st != nil; st = st.after {
		if st.h == nil { // and none will be
			st.refused = true
			st.lose()
		}
	}
}

// depart says the final GOAWAY.
func (m *mux) depart() {
	m.departs = muxDeparted
	m.put(m.h.GoAway(m.out(), http2.NoError))
}
