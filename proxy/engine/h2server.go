package engine

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/http2"
)

// Servers that speak HTTP/2: a loop's requests to one share its connections.

// dialH2 puts the request on a connection that has room for a stream, or on a new one.
func (s *session) dialH2() verdict {
	t, l := s.t, s.l
	m := l.muxFor(t.sc, t.fresh)
	if m == nil {
		fd, e := s.open()
		if e != 0 {
			return s.dialFailed(e)
		}
		m = l.connectMux(t.sc, fd)
	}
	c := l.newConn()
	c.s, c.sc, c.readable, c.writable, c.reused = s, t.sc, true, m.ready, m.ready
	c.stream = l.newStream(m, c, nil)
	c.stream.code = http2.Cancel
	m.requests++
	s.server = c
	if m.ready {
		t.sc.rt.per[l.id].reuse++
		c.requests = m.requests
		return s.established()
	}
	m.await(c.stream)
	s.due = s.after(t.bc.times.connect)
	return proceed
}

// muxFor is a connection to the server that takes another stream; fresh: only one that nobody has used.
func (l *loop) muxFor(sc *serverConf, fresh bool) *mux {
	if sc.personal() {
		return nil
	}
	for m := sc.rt.muxes[l.id]; m != nil; m = m.next {
		if m.takes(sc) && !(fresh && m.ready) {
			return m
		}
	}
	return nil
}

func (m *mux) takes(sc *serverConf) bool {
	return !m.dead && !m.closing && !m.away && m.departs == muxStays && m.c.sc.same(sc) && m.streams < m.h.Limit() &&
		(sc.maxReuse < 0 || m.requests <= sc.maxReuse)
}

func (l *loop) connectMux(sc *serverConf, fd int32) *mux {
	c := l.newConn()
	c.sc = sc
	l.adopt(c, fd)
	m := l.newMux(c, nil, http2.NewClient(sc.h2, &l.h2streams, &l.fields))
	m.next = sc.rt.muxes[l.id]
	if m.next != nil {
		m.next.prev = m
	}
	sc.rt.muxes[l.id] = m
	l.arm(c)
	return m
}

// event is what epoll says of the socket.
func (m *mux) event() {
	if m.ready && !m.closing && !m.stalled {
		m.read()
	}
	m.touch()
}

// connecting waits until the connection stands. Then its streams go on.
func (m *mux) connecting() {
	c := m.c
	if !c.writable {
		if m.streams == 0 {
			m.discard()
		}
		return
	}
	if e := sysSockError(c.fd); e != 0 {
		c.errno = e
		m.lost()
		return
	}
	m.ready = true
	m.settle()
}

// answer takes the head of an answer, interim ones too.
func (st *stream) answer(end bool) {
	l := st.m.l
	b := l.buffer(false)
	head, msg := l.fields.AppendResponse(b.b[:0], end, st.isHead, st.isConnect)
	b.w = len(head)
	if msg.Fate != http2.Good || st.head != nil && st.head.room() < b.w {
		l.free(&b)
		st.fault()
		return
	}
	if msg.Status >= 200 {
		st.h.Answered, st.h.Expect = true, msg.Length
		st.framing, st.ended = msg.Framing, end
	}
	if st.head != nil {
		st.head.append(b.data())
		l.free(&b)
	} else {
		st.head = b
	}
	st.wake()
}

// sendRequest takes the head of a request and opens the stream by it: numbers go up in the order of the heads.
func (st *stream) sendRequest(p []byte) (int, bool) {
	m := st.m
	h := &m.l.sent
	if m.dead || http1.ParseRequest(p, h) != http1.None || h.Upgrade {
		st.c.deaf, st.c.errno = true, unix.EPIPE
		return 0, false
	}
	if st.h == nil {
		if st.h = m.h.Open(); st.h == nil {
			m.await(st)
			return 0, false
		}
		st.h.Owner = st
	}
	st.isHead, st.isConnect = h.Method == http1.HEAD, h.Method == http1.CONNECT
	tx, end := sendNothing, false
	switch {
	case st.isConnect:
		tx = sendRaw
	case h.Chunked:
		tx = sendChunks
	case h.ContentLength > 0:
		tx, st.left = sendLength, h.ContentLength
	default:
		end = true
	}
	if !st.sendFields(h, func(dst []byte) []byte { return http2.AppendRequestFields(dst, h, p, false) }, end) {
		return 0, false
	}
	if !end {
		st.tx = tx
	}
	return h.Len, true
}

// rest sees whether a server's connection is to be kept.
func (m *mux) rest() {
	l, c := m.l, m.c
	if m.streams > 0 {
		return
	}
	if m.away || c.sc.personal() && m.requests > 0 || m.departs != muxStays || m.closing || l.draining || !c.sc.rt.up.Load() || c.sc.maxReuse >= 0 && m.requests > c.sc.maxReuse {
		m.discard()
		return
	}
	if !m.timer.on {
		l.wheel.add(&m.timer, (m.idleAt+int64(idleFor))/int64(time.Millisecond)+1)
	}
}

// idleFor is how long a server's connection may have no stream.
const idleFor = 30 * time.Second

// expired looks whether the connection has been idle for long enough.
func (m *mux) expired() {
	if m.streams > 0 {
		return
	}
	if m.l.now >= m.idleAt+int64(idleFor) {
		m.discard()
		return
	}
	m.touch()
}

// discard closes a server's connection.
func (m *mux) discard() {
	if m.dead {
		return
	}
	l, c := m.l, m.c
	m.abandon()
	if m.ready && c.out == nil {
		m.put(m.h.GoAway(m.out(), http2.NoError))
		l.flush(c)
	}
	m.dead = true
	l.wheel.remove(&m.timer)
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		c.sc.rt.muxes[l.id] = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	}
	m.prev, m.next = nil, nil
	l.freeConn(c)
}
