package engine

import "github.com/reeve-lb/reeve/proxy/http1"

// `option http-buffer-request`: a request goes to no server before its body is here, or as much of it as there is room
// for. The time that the head may take (timeout http-request) covers the body too.

// buffer begins to wait where that is wanted.
func (s *session) buffer() verdict {
	t := s.t
	if !t.fc.buffer && !t.bc.buffer || t.whole || t.method == http1.CONNECT {
		return s.persistence()
	}
	begun := t.start
	if s.requests == 1 {
		begun = s.accepted - s.waited
	}
	s.enter(phaseBody)
	s.due = since(begun, t.fc.times.request)
	return proceed
}

// awaitBody reads until the body is whole or the buffer is full.
func (s *session) awaitBody() verdict {
	t, c := s.t, &s.client
	for {
		if !s.bodyBegins(c.in.data()[t.head.Len:]) {
			s.mark('P', 'R')
			s.badRequest()
			t.closing = true
			return s.answerError(400)
		}
		if c.in.compact(); t.whole || c.in.room() == 0 {
			return s.persistence()
		}
		s.invite()
		_, r := s.l.fill(c, false)
		switch r {
		case ioBlock:
			return wait
		case ioEOF, ioError:
			s.mark('C', 'R')
			s.badRequest()
			return s.answerError(400)
		}
	}
}

// invite sends the 100 that the client awaits before it sends its body. The server is not asked for one any more.
func (s *session) invite() {
	t, c := s.t, &s.client
	if !t.head.Continue || t.minor == 0 {
		return
	}
	t.head.Continue = false
	for i := range t.head.Headers[:t.head.N] {
		if t.head.Headers[i].ID == http1.Expect {
			t.head.Headers[i].Hop = true
		}
	}
	if c.out == nil {
		c.out = s.l.buffer(false)
	}
	const text = "HTTP/1.1 100 Continue\r\n\r\n"
	w := writer{b: c.out}
	w.text(text)
	countDown(s, len(text))
	s.l.flush(c) // what is left goes with the answer
}
