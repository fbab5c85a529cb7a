package engine

import (
	"time"

	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/http2"
)

// Servers that speak HTTP/2: requests and answers on the streams of a connection that stands (h2connect.go), and its end.

// answer takes the head of an answer, interim ones too.
func (st *stream) answer(end bool) {
	l := st.m.l
	b := l.buffer(false)
	to := http2.Asked{Head: st.isHead, Connect: st.isConnect}
	var proof [28]byte
	if st.key != ([24]byte{}) {
		proof = proofOf(&st.key)
		to.Accept = proof[:]
	}
	head, msg := l.fields.AppendResponse(b.b[:0], end, to)
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
	if m.dead || http1.ParseRequest(p, h) != http1.None || h.Upgrade && !st.opensWebSocket(h, p) {
		st.lose()
		return 0, false
	}
	if st.h == nil && (m.away || m.closing) {
		st.refused = true
		st.lose()
		return 0, false
	}
	if !st.roomFor(h) { // not after it has its number: others would go ahead with higher ones
		return 0, false
	}
	if st.h == nil {
		if !st.mayGo() {
			m.await(st)
			return 0, false
		}
		st.h = m.h.Open()
		st.h.Owner = st
	}
	st.isHead, st.isConnect = h.Method == http1.HEAD, h.Method == http1.CONNECT
	tx, end := sendNothing, false
	switch {
	case st.isConnect, h.Upgrade:
		tx = sendRaw
	case h.Chunked:
		tx = sendChunks
	case h.ContentLength > 0:
		tx, st.left = sendLength, h.ContentLength
	default:
		end = true
	}
	if !st.sendFields(h, func(dst []byte) []byte { return http2.AppendRequestFields(dst, h, p, m.tls != nil) }, end) {
		return 0, false
	}
	if !end {
		st.tx = tx
	}
	return h.Len, true
}

// mayGo: it makes sense for the stream to try what it waited for: it is open, or can be opened. Whether a server takes
// WebSockets is known when its SETTINGS have come.
func (st *stream) mayGo() bool {
	return st.h != nil || st.c.client || st.m.h.Takes() && (st.key == ([24]byte{}) || st.m.h.Greeted())
}

// idleFor is how long a server's connection may have no stream.
const idleFor = 30 * time.Second

// rest sees whether a server's connection is to be kept, and until when as things are.
func (m *mux) rest() {
	l, c := m.l, m.c
	sc := c.sc
	if m.streams == 0 && (m.away || m.departs != muxStays || m.closing || l.draining || !sc.rt.available() || sc.maxReuse >= 0 && m.requests > sc.maxReuse) {
		m.discard()
		return
	}
	due := int64(0)
	if m.streams == 0 {
		due = m.idleAt + int64(idleFor)
	}
	if c.out != nil && m.patience != 0 && (due == 0 || m.outAt+m.patience < due) {
		due = m.outAt + m.patience
	}
	if at := due/int64(time.Millisecond) + 1; due != 0 && (!m.timer.on || m.timer.at > at) {
		l.wheel.add(&m.timer, at)
	}
}

// expired looks whether the connection has been idle for long enough, or the server takes nothing.
func (m *mux) expired() {
	switch now := m.l.seen; {
	case m.dead || !m.ready:
	case m.c.out != nil && m.patience != 0 && now >= m.outAt+m.patience:
		m.lost()
	case m.streams == 0 && now >= m.idleAt+int64(idleFor):
		m.discard()
	default:
		m.touch()
	}
}

// doubt: a request has waited in vain, and nothing at all has come on its connection meanwhile. Nobody else is to wait there.
func (s *session) doubt() {
	if s.server == nil || s.server.stream == nil {
		return
	}
	if m := s.server.stream.m; m.heardAt <= s.serverAt {
		m.departs = muxDeparted
	}
}

// discard closes a server's connection.
func (m *mux) discard() {
	m.unlist()
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
	l.freeConn(c)
}
