package engine

import (
	"time"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http2"
)

// A client's HTTP/2 connection: the preface makes one of a session that waited for a request. Its requests are sessions
// of their own, each with the same story (http.go).

// orphanFor is how long a client may go on sending a request that has been answered; then it is told to stop.
const orphanFor = time.Second

// speaksH2 looks for the preface in front of the first request.
func (s *session) speaksH2() (yes, maybe bool) {
	in := s.client.in
	if s.requests > 0 || s.client.stream != nil || in == nil || in.r == in.w || in.b[in.r] != 'P' || s.client.h1 {
		return false, false
	}
	return http2.HasPreface(in.data())
}

// beginH2 turns the session into the keeper of an HTTP/2 connection.
func (s *session) beginH2() verdict {
	l := s.l
	s.t = s.retire()
	if s.dest == nil { // its streams have no socket to ask
		local := s.local()
		s.dest = &local
	}
	settings := s.fe.conf.Load().h2
	if s.client.told != nil {
		settings.MaxStreams = quicStreams // QUIC bounds them
	}
	l.newMux(&s.client, s, http2.NewServer(settings, &l.h2streams, &l.fields))
	return s.enter(phaseH2)
}

// h2 reads what the client sends.
func (s *session) h2() verdict {
	m := s.client.mux
	if s.leaving() && m.departs == muxStays {
		m.departs, m.leaveAt = muxAnnounced, s.l.now
		m.put(m.h.Leave(m.out()))
	}
	if !m.closing && !m.stalled {
		m.read()
	}
	m.touch()
	return wait
}

// ended: the other side says nothing more. A client may have closed its sending side alone: what it has asked for in full
// is answered. If it has left, it answers the PING by a reset.
func (m *mux) ended() {
	if m.s == nil {
		m.lost()
		return
	}
	m.eof, m.away, m.partAt = true, true, 0
	m.l.free(&m.c.in)
	m.h.Owned(func(h *http2.Stream) {
		st := h.Owner.(*stream)
		if !st.ended {
			st.lose()
			return
		}
		st.c.hup = true
		st.wake()
	})
	if m.streams == 0 {
		m.lost()
		return
	}
	m.put(m.h.Ping(m.out()))
}

// request begins a session for a stream.
func (m *mux) request(ev *http2.Event) {
	l := m.l
	head := l.buffer(false)
	if m.key == ([24]byte{}) {
		m.key = newKey()
	}
	b, msg := l.fields.AppendRequest(head.b[:0], ev.End, true, m.key[:])
	head.w = len(b)
	s := l.beginStream(m, ev.Stream)
	st := s.client.stream
	m.requests++
	if msg.Fate != http2.Good {
		l.free(&head)
		s.refuseHead(msg.Fate)
		return
	}
	ev.Stream.Expect = msg.Length
	st.head, st.framing, st.ended = head, msg.Framing, ev.End
	st.isHead, st.isConnect = msg.Head, msg.Framing == http2.Raw && !msg.Upgrade
	if msg.WebSocket {
		st.key, m.key = m.key, [24]byte{}
	}
	l.later(s)
}

// beginStream makes a session of a stream. It counts as a request, not as a connection.
func (l *loop) beginStream(m *mux, h *http2.Stream) *session {
	p := m.s
	s := l.newLife(p.bind, p.peer)
	s.fe, s.dest, s.http, s.requests = p.fe, p.dest, true, int32(m.requests)
	s.client = conn{fd: -1, client: true, readable: true, writable: true, s: s}
	s.client.stream = l.newStream(m, &s.client, h)
	s.phase = phaseIdle
	return s
}

// refuseHead answers a head that is too long, and resets the stream of a malformed one.
func (s *session) refuseHead(fate http2.Fate) {
	s.newRequest()
	s.mark('P', 'R')
	s.badRequest()
	if fate == http2.TooLarge {
		s.answerError(431)
		s.l.later(s)
		return
	}
	s.client.stream.code = http2.ProtocolError
	s.t.status = 400
	s.countAnswer(400)
	s.log()
	s.end()
}

// clientReset ends a request whose client wants no answer any more.
func (s *session) clientReset() {
	t := s.t
	if t == nil {
		s.end()
		return
	}
	if s.phase == phaseTunnel {
		s.tunnelEnd('C')
		return
	}
	s.mark('C', s.letter())
	if t.flags[0] == 'C' {
		s.fe.per[s.l.id].cliAbrt++
		if t.bc != nil {
			t.bc.rt.per[s.l.id].cliAbrt++
		}
	}
	if !t.started {
		t.status = 400
		if s.phase == phaseHead {
			s.badRequest()
		}
	}
	t.serverKeep = false
	s.settle()
	s.log()
	s.end()
}

// major is the version of the client's HTTP, whose streams the requests are: 2, or 3 over QUIC.
func (c *conn) major() int {
	switch {
	case c.stream != nil:
		return c.stream.m.major
	case c.told != nil:
		return 3
	}
	return 2
}

// appendLine2 is a request's line as it is logged: the version is that of the client's connection.
func appendLine2(dst, line []byte, major int) []byte {
	dst = append(dst, line[:min(len(line), cap(dst))]...)
	if n := len(dst); n > 8 && string(dst[n-8:]) == "HTTP/1.1" {
		dst[n-3], dst[n-1] = '0'+byte(major), '0'
	}
	return dst
}

// farewell closes the connection when it has nothing more to do, and sets its deadlines.
func (m *mux) farewell() {
	l, s, c := m.l, m.s, m.c
	if s == nil {
		m.rest()
		return
	}
	open := m.h.Streams()
	if m.streams == 0 && (m.eof || m.departs == muxDeparted && open == 0) {
		m.closing = true
	}
	if m.closing && c.out == nil {
		m.abandon()
		m.dead = true
		s.enter(phaseLinger) // the client may say something at any time
		s.run()
		return
	}
	fc := s.fe.conf.Load()
	s.due, s.clientDue = 0, 0
	switch {
	case m.departs == muxAnnounced:
		s.due = m.leaveAt + int64(freshFor)
	case m.partAt != 0:
		s.due = since(m.partAt, fc.times.request)
	case open == 0 && m.streams == 0 && m.away:
		s.due = m.idleAt + int64(freshFor)
	case open == 0 && m.streams == 0 && m.requests == 0:
		s.due = since(s.accepted-s.waited, fc.times.request)
	case open == 0 && m.streams == 0:
		s.due = since(m.idleAt, fc.times.keepAlive)
	case open > m.streams:
		if m.orphanAt == 0 {
			m.orphanAt = l.now
		}
		s.due = m.orphanAt + int64(orphanFor)
	}
	if open <= m.streams {
		m.orphanAt = 0
	}
	if c.out != nil {
		s.clientDue = since(m.outAt, fc.times.client)
	}
	s.arrange()
}

// h2Timeout: the client did not read, had nothing to say for long, or goes on with what nobody wants.
func (s *session) h2Timeout() {
	m := s.client.mux
	switch {
	case s.clientDue != 0 && s.clientDue <= s.l.seen:
		m.h.Owned(func(h *http2.Stream) { // each would have said so itself, a moment later
			if x := h.Owner.(*stream).c.s; x != nil && x.t != nil && x.t.started {
				x.mark('c', 'D')
			}
		})
		m.lost()
		return
	case m.departs == muxAnnounced:
		m.depart()
	case m.partAt == 0 && m.h.Streams() > m.streams:
		m.put(m.h.Orphans(m.out()))
		m.orphanAt = 0
	default:
		m.departs, m.closing = muxDeparted, true
		m.put(m.h.GoAway(m.out(), http2.NoError))
	}
}

// h2Settings are what we announce. Frames are taken up to what a buffer holds.
func h2Settings(c proxy.H2) http2.Settings {
	s := http2.Settings{TableSize: http2.DefaultTableSize, MaxStreams: 100, Window: http2.DefaultWindow, FrameSize: http2.MinFrameSize,
		ExtendedConnect: true}
	if c.HeaderTableSize > 0 {
		s.TableSize = uint32(c.HeaderTableSize)
	}
	if c.MaxConcurrentStreams > 0 {
		s.MaxStreams = uint32(c.MaxConcurrentStreams)
	}
	if c.InitialWindowSize > 0 {
		s.Window = uint32(c.InitialWindowSize)
	}
	if c.MaxFrameSize > 0 {
		s.FrameSize = uint32(min(c.MaxFrameSize, bigBuffer-http2.FrameHeaderLen))
	}
	return s
}
