package engine

import (
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/accesslog"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// Heads as they are sent on, and the answers of our own.

// writer appends to a buffer and remembers when there was no room.
type writer struct {
	b    *buffer
	full bool
}

func (w *writer) bytes(p []byte) {
	if len(p) > w.b.room() {
		w.full = true
		return
	}
	w.b.append(p)
}

func (w *writer) text(p string) {
	if len(p) > w.b.room() {
		w.full = true
		return
	}
	w.b.w += copy(w.b.b[w.b.w:], p)
}

func (w *writer) header(h *http1.Header, in []byte) {
	w.bytes(h.Name.Of(in))
	w.text(": ")
	w.bytes(h.Value.Of(in))
	w.text("\r\n")
}

func (t *txn) connMode() proxy.ConnMode { return max(t.fc.mode, t.bc.mode) }

// composeRequest writes the request's head for the server into its out buffer.
func (s *session) composeRequest() bool {
	s.settleUpgrade()
	t, c := s.t, s.server
	in, h := s.client.in.data(), &t.head
	if c.out == nil {
		c.out = s.l.buffer(false)
	}
	w := writer{b: c.out}
	e := t.asked.Edits
	w.requestLine(h, in, e)
	for i := range h.Headers[:h.N] {
		hd := &h.Headers[i]
		value, keep := e.Keeps(i)
		switch {
		case !keep:
			continue
		case hd.ID == http1.Upgrade && t.upgrade:
		case hd.ID == http1.TE && h.Trailers: // of what the client takes, we pass trailers on and nothing else
			w.text("TE: trailers\r\n")
			continue
		case hd.Hop:
			continue
		case hd.ID == http1.Cookie && value == nil && t.editsCookies():
			s.cookieLine(&w, hd, in)
			continue
		}
		w.edited(e, i, hd, in)
	}
	w.added(e)
	s.forwardedFor(&w, in)
	w.text(t.toServer())
	w.text("\r\n")
	return !w.full
}

// toServer is the Connection line of a request. An old server closes unless it is asked to stay.
func (t *txn) toServer() string {
	te := t.head.Trailers
	switch closing := t.connMode() != proxy.KeepAlive && !t.bc.pretend; {
	case t.upgrade && te:
		return "Connection: Upgrade, TE\r\n"
	case t.upgrade:
		return "Connection: Upgrade\r\n"
	case closing && te:
		return "Connection: close, TE\r\n"
	case closing:
		return "Connection: close\r\n"
	case te:
		return "Connection: TE\r\n"
	case t.minor == 0:
		return "Connection: keep-alive\r\n"
	}
	return ""
}

// forwardedFor appends one more header line that names the client.
func (s *session) forwardedFor(w *writer, in []byte) {
	t := s.t
	f := t.bc.forward
	if f == nil {
		f = t.fc.forward
	}
	addr := s.peer.Addr()
	if f == nil || !addr.IsValid() || f.except.IsValid() && f.except.Contains(addr) {
		return
	}
	if f.ifNone {
		t.asked.Head, t.asked.In = &t.head, in
		if t.asked.Has(f.lower) {
			return
		}
	}
	w.bytes(f.prefix)
	if w.b.room() < 64 {
		w.full = true
		return
	}
	b := addr.AppendTo(w.b.b[:w.b.w])
	w.b.w = len(b)
	w.text("\r\n")
}

// composeAnswer writes the answer's head for the client into its out buffer.
func (s *session) composeAnswer(h *http1.Head, in []byte, tunnel bool) bool {
	t, c := s.t, &s.client
	if c.out == nil {
		c.out = s.l.buffer(false)
	}
	before := c.out.w
	w := writer{b: c.out}
	e := s.l.answered.Edits
	w.statusLine(h, in, e)
	for i := range h.Headers[:h.N] {
		hd := &h.Headers[i]
		switch {
		case hd.ID == http1.Upgrade && h.Status == 101:
		case hd.Hop,
			t.press != nil && ofFraming(hd.ID),
			(h.LengthDropped || tunnel) && hd.ID == http1.ContentLength,
			tunnel && hd.ID == http1.TransferEncoding, // the server's mistake, which the client would have to ignore
			hd.ID == http1.TransferEncoding && t.minor == 0,
			hd.ID == http1.SetCookie && s.serverCookie(&w, hd, in):
			continue
		}
		w.edited(e, i, hd, in)
	}
	w.added(e)
	s.l.freeEdits(&s.l.answered.Edits)
	if t.press != nil {
		w.text("transfer-encoding: chunked\r\n")
	}
	if t.bc.cookie != nil && !t.cached() {
		s.giveCookie(&w, h, in)
	}
	switch {
	case h.Status == 101:
		w.text("Connection: Upgrade\r\n")
	case tunnel:
	case t.closing:
		w.text("Connection: close\r\n")
	case t.minor == 0:
		w.text("Connection: keep-alive\r\n")
	}
	w.text("\r\n")
	if w.full {
		c.out.w = before // an error page takes its place
		return false
	}
	countDown(s, c.out.w-before)
	return true
}

func hasFoldPrefix(b []byte, lower string) bool {
	return len(b) >= len(lower) && http1.EqualFold(b[:len(lower)], lower)
}

// answerError ends a transaction with one of our own pages. The connection stays if the client wants it to and nothing
// of its request is to come.
func (s *session) answerError(status int) verdict {
	t, c := s.t, &s.client
	s.dropServer()
	s.settle()
	t.status = status
	page := t.page(status)
	if page.head == "" { // an empty errorfile
		s.countAnswer(status)
		s.log()
		return s.end()
	}
	keep := s.swallow()
	if c.out == nil {
		c.out = s.l.buffer(false)
	}
	before := c.out.w
	w := writer{b: c.out}
	w.text(page.head)
	w.text(t.connection(keep))
	w.text("\r\n")
	if t.method != http1.HEAD || t.headAt < 0 {
		w.text(page.body)
	}
	if w.full {
		s.log()
		return s.end()
	}
	countDown(s, c.out.w-before)
	s.countAnswer(status)
	return s.answerOwn(keep)
}

// swallow takes off the client's connection what is here of a request that goes to no server. It tells whether the
// connection can go on: that was all of the request, and the client does not want to close.
func (s *session) swallow() bool {
	t := s.t
	switch {
	case t.headAt < 0 || t.closing:
		return false
	case t.head.Len > 0 && !t.held && !t.whole:
		return false
	case t.head.Len > 0:
		t.held = true
		s.takeRequest()
		return true
	case !t.req.done:
		return false
	}
	if t.req.approved > 0 {
		s.client.in.consume(t.req.approved)
		t.req.approved = 0
		s.l.spare(&s.client)
	}
	return true
}

// connection is the header line of an answer of our own that tells whether the connection stays.
func (t *txn) connection(keep bool) string {
	switch {
	case !keep:
		return "connection: close\r\n"
	case t.minor == 0:
		return "connection: keep-alive\r\n"
	}
	return ""
}

// answerOwn sends what is in the out buffer; with keep the connection stays open afterwards.
func (s *session) answerOwn(keep bool) verdict {
	s.afterOwn()
	s.settle()
	s.log()
	s.keep = keep
	s.enter(phaseReply)
	s.due = s.after(max(s.t.fc.times.client, 1))
	if s.t.fc.times.client == 0 {
		s.due = 0
	}
	return proceed
}

func (s *session) reply() verdict {
	switch s.l.flush(&s.client) {
	case ioBlock:
		return wait
	case ioError:
		return s.end()
	}
	if s.keep {
		return s.nextRequest()
	}
	return s.leave()
}

func (s *session) countAnswer(status int) {
	t, id := s.t, s.l.id
	s.fe.per[id].answered(status)
	if t.bc != nil {
		t.bc.rt.per[id].answered(status)
	}
	if t.sc != nil && t.started {
		t.sc.rt.per[id].requests++
		t.sc.rt.per[id].answered(status)
	}
}

// log writes the transaction's line and takes its times into the averages.
func (s *session) log() {
	t, l := s.t, s.l
	s.judge()
	ms := func(from, to int64) int64 {
		if from < 0 || to < 0 {
			return -1
		}
		return to/1e6 - from/1e6
	}
	e := accesslog.Entry{Client: s.peer, Start: l.wall - l.now + t.start, Frontend: s.fe.name, Backend: s.fe.name,
		TR: ms(t.start, t.headAt), Tw: ms(t.chosenAt, t.queuedAt), Tc: ms(t.queuedAt, t.connectedAt), Tr: ms(t.connectedAt, t.answerAt),
		Ta: ms(t.start, l.now), Status: t.status, Bytes: t.bytes, Flags: t.flags, Retries: t.retries, Redispatched: t.redispatched,
		ServerQueue: t.queueServer, BackendQueue: t.queueBackend, TLS: s.client.secured() != nil}
	e.Counts.Process, e.Counts.Frontend = l.e.conns.cur.Load(), s.fe.conn.cur.Load()
	if t.bc != nil {
		e.Backend = t.bc.rt.name
		e.Counts.Backend = t.bc.rt.conn.cur.Load()
		t.averages(l.id, &e)
	}
	if t.own {
		e.Server = "<STATS>"
	}
	if t.cached() && t.started {
		e.Server = "<CACHE>"
	}
	if t.sc != nil {
		e.Server = t.sc.rt.name
		e.Counts.Server = t.sc.rt.conn.cur.Load()
	}
	if len(t.line) > 0 {
		e.Request = t.line
	}
	if c := t.captures; c != nil {
		e.CapturedReq, e.CapturedRes, e.CookieReq, e.CookieRes = &c.Req, &c.Res, c.CookieReq, c.CookieRes
	}
	if t.fc.sink == nil || t.null && t.fc.src.DontLogNull || t.logLevel == "silent" {
		return
	}
	switch t.fc.format {
	case proxy.LogHTTP:
		l.line = accesslog.AppendHTTP(l.line[:0], &l.stamp, &e)
	case proxy.LogTCP:
		l.line = accesslog.AppendTCP(l.line[:0], &l.stamp, &e)
	default:
		return
	}
	l.ring.Put(t.fc.sink, t.level(), l.line)
}

func (t *txn) averages(id int, e *accesslog.Entry) {
	add := func(c *counters) {
		c.qtime.add(max(e.Tw, 0))
		c.ctime.add(max(e.Tc, 0))
		c.rtime.add(max(e.Tr, 0))
		c.ttime.add(e.Ta)
	}
	add(t.bc.rt.per[id])
	if t.sc != nil {
		add(t.sc.rt.per[id])
	}
}
