package engine

import (
	"time"

	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/tally"
)

// The story of an HTTP/1 request, top to bottom: idle, head, rules (then connect.go: choose, queue, connect), exchange,
// finish, and what can go wrong on the way.

// idle waits for the first byte of a request. Nothing is held meanwhile.
func (s *session) idle() verdict {
	fc := s.fe.conf.Load()
	if s.due == 0 {
		if s.requests == 0 {
			s.due = since(s.accepted-s.waited, fc.times.request)
		} else {
			s.due = s.after(fc.times.keepAlive)
		}
	}
	if s.pinned != nil && (s.pinned.readable || s.pinned.hup) {
		s.checkPinned()
	}
	_, r := s.l.fill(&s.client, false)
	switch r {
	case ioBlock:
		s.mute(fc)
		if s.leaving() {
			return s.depart()
		}
		return wait
	case ioEOF, ioError:
		return s.gone(fc)
	}
	return s.beginRequest()
}

// When no more requests are wanted a new connection may take freshFor to say something, and one that had an answer may
// have sent the next request already until latelyFor after it.
const (
	freshFor  = time.Second
	latelyFor = 100 * time.Millisecond
)

// depart ends a connection that idles when no more requests are wanted, but for one whose request may be on its way.
func (s *session) depart() verdict {
	limit := s.after(int64(freshFor))
	if s.requests > 0 {
		limit = s.clientAt + int64(latelyFor)
	}
	if limit <= s.l.now {
		return s.end()
	}
	if s.due == 0 || s.due > limit {
		s.due = limit
	}
	return wait
}

// mute is a client that has said nothing yet. Where accepting is deferred the kernel has held it back for as long as it
// does so: that time counts.
func (s *session) mute(fc *frontConf) {
	if s.requests == 0 && s.bind.deferred && s.client.tls == nil && s.waited == 0 && fc.times.request != 0 {
		s.waited = deferSeconds * int64(time.Second)
		s.due = max(since(s.accepted-s.waited, fc.times.request), s.l.now+1)
	}
}

// gone is a client that left without a request. The first time it is an error, later it is how connections end.
func (s *session) gone(fc *frontConf) verdict {
	if s.requests > 0 {
		return s.end()
	}
	s.t = s.l.newTxn()
	s.t.fc, s.t.start = fc, s.accepted
	s.mark('C', 'R')
	s.t.status = 400
	s.badRequest()
	s.fe.per[s.l.id].answered(400)
	s.t.null = true
	s.log()
	return s.end()
}

func (s *session) newRequest() verdict {
	s.t = s.l.newTxn()
	s.t.fc = s.fe.conf.Load()
	s.enter(phaseHead)
	s.due = s.after(s.t.fc.times.request)
	if s.requests == 0 {
		s.due = since(s.accepted-s.waited, s.t.fc.times.request)
	}
	return proceed
}

// head reads until the head is complete and good.
func (s *session) head() verdict {
	t, in := s.t, s.client.in
	f := http1.Incomplete
	h2, maybe := s.speaksH2()
	if h2 {
		return s.beginH2()
	}
	if in != nil && in.r < in.w && !maybe {
		f = http1.ParseRequest(in.data(), &t.head)
	}
	switch {
	case f == http1.None:
		return s.headDone()
	case f != http1.Incomplete || in != nil && in.w-in.r >= s.l.e.limits.Bytes:
		return s.refuse()
	}
	if in != nil && in.r > 0 {
		in.compact()
	}
	_, r := s.l.fill(&s.client, false)
	switch r {
	case ioBlock:
		return wait
	case ioEOF, ioError:
		s.mark('C', 'R')
		s.badRequest()
		return s.answerError(400)
	}
	return proceed
}

// refuse answers a request that is no good HTTP. Its line is not told: it may be anything.
func (s *session) refuse() verdict {
	s.mark('P', 'R')
	s.badRequest()
	s.t.line, s.t.headAt = s.t.line[:0], -1
	return s.answerError(400)
}

func (s *session) headTimeout() {
	if s.phase == phaseIdle {
		if s.requests > 0 || s.leaving() {
			s.end()
			return
		}
		s.t = s.l.newTxn()
		s.t.fc, s.t.start, s.t.null = s.fe.conf.Load(), s.accepted-s.waited, true
	}
	s.mark('c', 'R')
	s.badRequest()
	s.answerError(408)
}

// badRequest counts what was no request, or not all of one.
func (s *session) badRequest() {
	ctr := s.fe.per[s.l.id]
	ctr.ereq++
	if s.t.headAt < 0 {
		ctr.requests++
		ctr.reqRate.add(s.l.now)
		s.tally(tally.Req, 1)
	}
	s.tally(tally.Err, 1)
}

// headDone takes down what outlives the head's bytes and sees what body follows.
func (s *session) headDone() verdict {
	t, in := s.t, s.client.in.data()
	h := &t.head
	t.headAt = s.l.now
	s.requests++
	t.minor, t.method = h.Minor, h.Method
	if s.client.stream != nil {
		t.line = appendLine2(t.line, h.Line.Of(in), s.client.major())
	} else {
		t.line = append(t.line, h.Line.Of(in)[:min(h.Line.Len(), cap(t.line))]...)
	}
	switch {
	case h.Chunked:
		t.req = newBody(byChunks, 0)
	case h.ContentLength > 0:
		t.req = newBody(byLength, h.ContentLength)
	default:
		t.req = newBody(noBody, 0)
	}
	if !s.bodyBegins(in[h.Len:]) {
		t.headAt = -1
		return s.refuse()
	}
	t.closing = !h.Persistent() || s.leaving() || s.client.stream != nil
	t.upgrade = h.Upgrade && h.Minor == 1
	ctr := s.fe.per[s.l.id]
	ctr.requests++
	ctr.reqRate.add(s.l.now)
	return s.rules()
}

// bodyBegins looks at the part of a body that came with the head: if that is malformed already no server hears of it.
// It also tells whether the request is here in full, small enough to be sent in one piece and sent again.
func (s *session) bodyBegins(rest []byte) bool {
	t := s.t
	whole := t.req.done
	if t.req.kind == byChunks {
		var f http1.Fault
		if t.ahead, f = lookAhead(&t.chunks, rest, t.ahead); f != http1.None {
			return false
		}
		whole = t.chunks.Done()
	} else if t.req.kind == byLength {
		whole = int64(len(rest)) >= t.req.left
	}
	t.whole = whole
	t.replayable = whole && t.method.Idempotent() && !t.head.Upgrade
	return true
}

// exchange carries the request out and the answer back, both at once.
func (s *session) exchange() verdict {
	t := s.t
	s.clientDue, s.serverDue = 0, 0
	if !t.stuck {
		s.sendRequest()
		if s.phase != phaseExchange {
			return proceed
		}
	}
	if !t.started && t.sent && s.gaveUp() {
		return s.abandon()
	}
	return s.receive()
}

// sendRequest moves the head and the body on. A server that doesn't take it any more may still have answered: only its
// silence is an error.
func (s *session) sendRequest() {
	t := s.t
	if t.sent {
		return
	}
	switch s.pump(&s.client, s.server, &t.req, countUp) {
	case flowDone:
		t.sent = true
		s.serverAt = s.l.now
	case flowDest:
		t.stuck = true
	case flowRead:
		s.clientDue = since(s.clientAt, t.fc.times.client)
	case flowWrite:
		s.serverDue = since(s.serverAt, t.bc.times.server)
	case flowEnd, flowSource:
		s.clientLeft()
	case flowFault:
		s.mark('P', s.letter())
		s.fe.per[s.l.id].ereq++
		s.fail(400)
	}
}

// clientLeft is a client that went away before its request was complete: there is nobody to answer.
func (s *session) clientLeft() {
	s.fe.per[s.l.id].cliAbrt++
	s.t.bc.rt.per[s.l.id].cliAbrt++
	s.cut('C', 'D')
}

// receive reads the answer's head and moves its body on.
func (s *session) receive() verdict {
	t := s.t
	for !t.started {
		f, r := s.answerHead()
		switch {
		case f != http1.None && f != http1.Incomplete:
			return s.badAnswer()
		case s.phase != phaseExchange:
			return proceed
		case f == http1.None:
			continue // started, or an interim answer went by
		}
		switch r {
		case ioBlock:
			if t.sent || t.stuck {
				s.serverDue = since(s.serverAt, t.bc.times.server)
			}
			return s.flushInterim()
		case ioEOF, ioError:
			return s.noAnswer()
		}
	}
	return s.answerBody()
}

// answerHead parses what there is, reading more if it is not enough.
func (s *session) answerHead() (http1.Fault, ioResult) {
	l, c, t := s.l, s.server, s.t
	f := http1.Incomplete
	if c.in != nil && c.in.r < c.in.w {
		if f = http1.ParseResponse(c.in.data(), &l.answer); f == http1.Incomplete && c.in.w-c.in.r >= l.e.limits.Bytes {
			f = http1.TooManyHeaders
		}
	}
	if f == http1.None {
		return s.answerDone(), ioSome
	}
	if f != http1.Incomplete {
		return f, ioSome
	}
	_, r := l.fill(c, false)
	if r == ioSome {
		s.serverAt = l.now
		if t.answerAt < 0 {
			t.answerAt = l.now
		}
	}
	return f, r
}

// answerDone decides by status and framing how the answer goes on (RFC 9112 section 6.3), and composes its head.
func (s *session) answerDone() http1.Fault {
	t, c, h := s.t, s.server, &s.l.answer
	in := c.in.data()
	if h.Status < 200 && h.Status != 101 {
		s.takeRequest() // who has heard of it can't have it repeated
		return s.interim(h)
	}
	if s.againFor(h.Status) {
		return http1.None
	}
	s.takeRequest() // no repetition from here on
	t.status, t.serverKeep = h.Status, h.Persistent() && !h.LengthDropped
	s.claim(h, in)
	s.tallyStatus(h.Status)
	tunnel := h.Status == 101 || t.method == http1.CONNECT && h.Status/100 == 2
	switch {
	case s.misleads(h, in):
		return http1.BadStartLine
	case tunnel, t.method == http1.HEAD, h.Status == 204, h.Status == 304:
		t.res = newBody(noBody, 0)
	case h.Chunked:
		t.res = newBody(byChunks, 0)
		var c http1.Chunks
		if _, f := lookAhead(&c, in[h.Len:], 0); f != http1.None {
			return f
		}
		t.res.unchunk = t.minor == 0
		t.closing = t.closing || t.minor == 0
	case h.ContentLength >= 0:
		t.res = newBody(byLength, h.ContentLength)
	default:
		t.res = newBody(byClose, 0)
		t.closing, t.serverKeep = true, false
	}
	if s.leaving() {
		t.closing = true
	}
	if !t.sent && !tunnel {
		t.closing = true // an answer before the request's end: what is left of it has no taker
	}
	if s.answerRules(h, in) {
		return http1.None // another answer takes its place
	}
	s.press(h, in)
	if !s.composeAnswer(h, in, tunnel) {
		return http1.TooManyHeaders
	}
	c.in.consume(h.Len)
	t.started = true
	s.serverAt = s.l.now
	s.countAnswer(h.Status)
	if tunnel {
		s.enterTunnel()
	}
	return http1.None
}

// interim passes a 1xx on; an HTTP/1.0 client would not understand it.
func (s *session) interim(h *http1.Head) http1.Fault {
	c := s.server
	if s.t.minor == 1 {
		if s.client.out == nil {
			s.client.out = s.l.buffer(false)
		}
		if h.Len > s.client.out.room() {
			return http1.TooManyHeaders
		}
		s.client.out.append(c.in.data()[:h.Len])
		countDown(s, h.Len)
	}
	c.in.consume(h.Len)
	return http1.None
}

func (s *session) flushInterim() verdict {
	if s.client.out != nil && s.l.flush(&s.client) == ioError {
		s.t.closing = true
	}
	return wait
}

// answerBody moves the answer on until it is through.
func (s *session) answerBody() verdict {
	t := s.t
	down := flowDone
	if t.press != nil {
		down = s.pumpPressed()
	} else {
		down = s.pump(s.server, &s.client, &t.res, countDown)
	}
	switch down {
	case flowDone:
		return s.finish()
	case flowEnd:
		if t.res.kind == byClose {
			t.res.done = true
			return s.finish()
		}
		return s.cut('S', 'D')
	case flowSource:
		return s.cut('S', 'D')
	case flowFault:
		return s.cut('P', 'D')
	case flowDest:
		s.fe.per[s.l.id].cliAbrt++
		t.bc.rt.per[s.l.id].cliAbrt++
		t.sc.rt.per[s.l.id].cliAbrt++
		return s.cut('C', 'D')
	case flowWrite:
		s.clientDue = since(s.clientAt, t.fc.times.client)
	case flowRead:
		s.serverDue = since(s.serverAt, t.bc.times.server)
	}
	return wait
}

// cut ends an answer that can't be completed: the client can tell by the missing end.
func (s *session) cut(who, when byte) verdict {
	s.mark(who, when)
	if who == 'S' {
		s.eachServerSide(func(c *counters) { c.srvAbrt++; c.eresp++ })
	}
	s.t.serverKeep = false
	s.settle()
	s.log()
	return s.end()
}

// eachServerSide counts in the backend's and the server's row.
func (s *session) eachServerSide(f func(*counters)) {
	f(s.t.bc.rt.per[s.l.id])
	if s.t.sc != nil { // the answer is a server's
		f(s.t.sc.rt.per[s.l.id])
	}
}

// badAnswer is a server that speaks no good HTTP: one request is lost.
func (s *session) badAnswer() verdict {
	if s.again(onJunk) {
		return proceed
	}
	s.mark('P', 'H')
	s.tally(tally.Fail, 1)
	s.t.answerAt = -1
	s.t.bc.rt.per[s.l.id].eresp++
	s.t.sc.rt.per[s.l.id].eresp++
	return s.fail(502)
}

// noAnswer is a server that closed or reset the connection instead of answering. On a connection that had idled it may
// never have seen the request: then it is asked again on a fresh one.
func (s *session) noAnswer() verdict {
	t := s.t
	if s.server.reused && t.replayable && t.answerAt < 0 {
		s.unsend()
		return s.dial()
	}
	if t.answerAt < 0 && (s.again(onEmpty) || s.declined() && s.retried()) || t.answerAt >= 0 && s.again(onJunk) {
		return proceed
	}
	s.mark('S', 'H')
	s.tally(tally.Fail, 1)
	t.answerAt = -1
	t.bc.rt.per[s.l.id].eresp++
	t.sc.rt.per[s.l.id].eresp++
	return s.fail(502)
}

// fail answers with an error if nothing has been answered yet, and cuts the connection otherwise.
func (s *session) fail(status int) verdict {
	s.t.serverKeep = false
	s.dropServer()
	if s.t.started {
		s.settle()
		s.log()
		return s.end()
	}
	return s.answerError(status)
}

func (s *session) exchangeTimeout() {
	t := s.t
	late := s.serverDue != 0 && s.serverDue <= s.l.seen
	if late {
		s.doubt()
	}
	switch {
	case late && !t.started && s.again(onTimeout):
	case late && !t.started:
		s.mark('s', 'H')
		s.tally(tally.Fail, 1)
		t.bc.rt.per[s.l.id].eresp++
		t.sc.rt.per[s.l.id].eresp++
		s.fail(504)
	case late:
		s.eachServerSide(func(c *counters) { c.srvAbrt++ })
		s.cut('s', 'D')
	case !t.started:
		s.mark('c', 'H')
		s.fail(408)
	default:
		s.cut('c', 'D')
	}
}

// finish ends a transaction that went well: log, give the server back, and see whether the client goes on.
func (s *session) finish() verdict {
	t := s.t
	s.kept()
	switch {
	case !t.serverKeep || !t.sent || !s.reusable():
		s.dropServer()
	case s.own():
		s.pin()
	case !s.poolable():
		s.dropServer()
	default:
		s.poolServer()
	}
	s.settle()
	s.log()
	if t.closing || !t.sent || s.client.broken || s.client.deaf {
		return s.leave()
	}
	return s.nextRequest()
}

// nextRequest goes on with what the client has sent already, or idles.
func (s *session) nextRequest() verdict {
	s.t = s.retire()
	if s.client.in != nil && s.client.in.r < s.client.in.w {
		return s.beginRequest()
	}
	s.l.free(&s.client.in)
	return s.enter(phaseIdle)
}

// leaving: no more requests are wanted on this connection.
func (s *session) leaving() bool { return s.l.draining || s.fe.gone.Load() }
