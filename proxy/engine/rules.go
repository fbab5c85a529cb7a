package engine

import (
	"crypto/rand"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy/accesslog"
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/rule"
	"github.com/reeve-lb/reeve/proxy/tally"
)

// What rules mean for a session: the lists are asked in HAProxy's order, and what ends one is carried out here.

// look makes the loop's Ctx ready for a run of rules about s.
func (s *session) look() *rule.Ctx {
	l := s.l
	c := l.rules
	if c == nil {
		c = rule.NewCtx()
		c.NewEdits, c.NewVars, c.NewTracks, c.Local = l.takeEdits, l.takeVars, l.takeTracks, l.localOf
		c.UseCache, c.StoreCache = l.useCache, l.storeCache
		c.Random ^= uint64(l.wall) + uint64(l.id)<<32
		rand.Read(c.Secret[:]) // never fails
		l.rules = c
	}
	c.Begin()
	l.looking = s
	if s.client.stream != nil {
		c.Major = s.client.major()
	}
	if w := s.client.secured(); w != nil {
		c.TLS, c.SNI = true, w.sni
	}
	c.Src, c.Now, c.Front, c.Session = s.peer, l.wall, s.fe.name, nil
	if len(l.kept) > 0 {
		c.Session = l.kept[s.keeper()]
	}
	c.SessionTracks = s.keeper().tracks
	if s.t != nil {
		c.Vars, c.Tracks, c.Captures, c.Line = s.t.vars, s.t.tracks, s.t.captures, s.t.line
		if s.t.bc != nil {
			c.Back = s.t.bc.rt.name
		}
		if s.t.cached() {
			c.Cached = s.t.caching.from.Name()
		}
	}
	return c
}

// keeper is the session that has the client's connection: a stream's is another one.
func (s *session) keeper() *session {
	if st := s.client.stream; st != nil {
		return st.m.s
	}
	return s
}

// looked takes what the rules have left beyond their verdict.
func (s *session) looked(c *rule.Ctx) {
	if c.Session != nil {
		if s.l.kept == nil {
			s.l.kept = map[*session]*rule.Vars{}
		}
		s.l.kept[s.keeper()] = c.Session
	}
	s.keeper().tracks = c.SessionTracks
	t := s.t
	if t == nil {
		if c.Vars != nil {
			s.l.freeVars(&c.Vars)
		}
		return
	}
	t.vars, t.tracks = c.Vars, c.Tracks
	if c.LogLevel != "" {
		t.logLevel = c.LogLevel
	}
	if c.Class != 0 {
		t.class = int32(c.Class)
	}
	if c.Offset != 0 {
		t.offset = int32(c.Offset)
	}
	t.noRetry = t.noRetry || c.NoRetry
}

func (l *loop) takeEdits() *rule.Edits {
	if n := len(l.edits); n > 0 {
		e := l.edits[n-1]
		l.edits = l.edits[:n-1]
		return e
	}
	return rule.NewEdits()
}

func (l *loop) freeEdits(e **rule.Edits) {
	if *e != nil {
		(*e).Reset()
		l.edits = append(l.edits, *e)
		*e = nil
	}
}

// forget drops the variables of a connection that ends.
func (l *loop) forget(s *session) {
	if len(l.kept) == 0 {
		return
	}
	if v := l.kept[s]; v != nil {
		delete(l.kept, s)
		l.freeVars(&v)
	}
}

func (l *loop) takeVars() *rule.Vars {
	if n := len(l.vars); n > 0 {
		v := l.vars[n-1]
		l.vars = l.vars[:n-1]
		return v
	}
	return &rule.Vars{}
}

func (l *loop) freeVars(v **rule.Vars) {
	if *v != nil {
		(*v).Reset()
		l.vars = append(l.vars, *v)
		*v = nil
	}
}

// admit asks the rules about a connection that has just come (tcp-request connection), or whose handshakes are over
// (tcp-request session). false: it is closed.
func (s *session) admit(rules *rule.List) bool {
	if rules == nil {
		return true
	}
	c := s.look()
	f, out := rules.Run(c)
	s.looked(c)
	if out != rule.Ended || f.Kind == rule.Allow {
		return true
	}
	s.fe.per[s.l.id].dreq++
	if f.Kind == rule.Drop {
		hush(s.client.fd)
	}
	s.end()
	return false
}

// ask asks one list of rules about a request; done is false when the request goes on.
func (s *session) ask(list *rule.List) (v verdict, done bool) {
	if list == nil {
		return proceed, false
	}
	c := s.lookAtRequest()
	c.From, s.t.from = s.t.from, 0
	f, out := list.Run(c)
	s.looked(c)
	if out == rule.Asking {
		s.t.from = c.From
		return s.awaitPassword(c.Question), true
	}
	return s.conclude(c, f, out)
}

// lookAtRequest shows the rules the request's head.
func (s *session) lookAtRequest() *rule.Ctx {
	c, t := s.look(), s.t
	in := s.client.in.data()
	t.asked.Head, t.asked.In = &t.head, in
	c.Req, c.Payload = &t.asked, in
	return c
}

// lookAtFirst shows them what the client has sent first: its request, or bytes.
func (s *session) lookAtFirst() *rule.Ctx {
	if s.http {
		return s.lookAtRequest()
	}
	c := s.look()
	c.Payload = s.firstBytes()
	return c
}

// firstBytes are those of a TCP connection that have been read and not sent on yet.
func (s *session) firstBytes() []byte {
	if s.client.in == nil {
		return nil
	}
	return s.client.in.data()
}

// route finds the backend: the first use_backend whose condition holds and whose name is one, else the default.
func (s *session) route() *backConf {
	r := &s.t.fc.rules
	if len(r.use) == 0 {
		return s.t.fc.fallback
	}
	c := s.lookAtFirst()
	for i := range r.use {
		u := &r.use[i]
		if !u.when.Holds(c) {
			continue
		}
		if u.to != nil {
			return u.to
		}
		if name, ok := u.name.Text(c); ok {
			if bc := r.names[string(name)]; bc != nil && bc.http == s.http {
				return bc
			}
		}
	}
	return s.t.fc.fallback
}

// byRule is the server that a use-server names, if it can be used.
func (s *session) byRule() *serverConf {
	t := s.t
	c := s.lookAtFirst()
	for i := range t.bc.rules.use {
		u := &t.bc.rules.use[i]
		if !u.when.Holds(c) {
			continue
		}
		to := u.to
		if to == nil {
			name, ok := u.name.Text(c)
			for _, sc := range t.bc.servers {
				if ok && sc.rt.name == string(name) {
					to = sc
				}
			}
		}
		if to != nil && to.usable() {
			return to
		}
	}
	return nil
}

// conclude carries out how a list of rules about a request has ended. done is false when the request goes on.
func (s *session) conclude(c *rule.Ctx, f *rule.Final, out rule.Outcome) (v verdict, done bool) {
	switch {
	case out == rule.Failed:
		s.mark('P', 'R')
		return s.answerError(500), true
	case out != rule.Ended || f.Kind == rule.Allow:
		return proceed, false
	}
	switch f.Kind {
	case rule.Reject, rule.Drop:
		s.denied()
		s.mark('P', 'R')
		s.t.status = -1
		s.log()
		if f.Kind == rule.Drop {
			hush(s.client.fd)
		}
		return s.end(), true
	case rule.Deny:
		s.denied()
		s.tally(tally.Err, 1)
		s.mark('P', 'R')
	case rule.Tarpit:
		s.denied()
		s.tally(tally.Err, 1)
		s.mark('P', 'T')
		return s.tarpit(c, f), true
	default:
		if f.Unauthorized {
			s.tally(tally.Err, 1)
		}
		s.fe.per[s.l.id].intercepted++
		s.mark('L', 'R')
	}
	return s.answerRule(c, f), true
}

func (s *session) denied() {
	s.fe.per[s.l.id].dreq++
	if s.t.bc != nil {
		s.t.bc.rt.per[s.l.id].dreq++
	}
}

// hush makes a socket's end known to nobody: no FIN leaves, and the reset that closing brings dies on the way.
func hush(fd int32) {
	unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, 1) // allowed to CAP_NET_ADMIN
	unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 1)
}

// tarpit holds a client before it is answered.
func (s *session) tarpit(c *rule.Ctx, f *rule.Final) verdict {
	s.composeRule(c, f)
	s.enter(phaseTarpit)
	s.due = s.after(max(s.t.fc.times.tarpit, 1))
	return wait
}

// answerRule sends the answer that a rule asks for.
func (s *session) answerRule(c *rule.Ctx, f *rule.Final) verdict {
	return s.answerOwn(s.composeRule(c, f))
}

// composeRule writes the answer that a rule asks for into the client's out buffer; it tells whether the connection stays.
func (s *session) composeRule(c *rule.Ctx, f *rule.Final) (keep bool) {
	t, l := s.t, s.l
	status := f.Status
	lines, ok := f.Head(c, l.scratch[:0])
	l.scratch = lines[:0]
	body, is := f.Body(c)
	if !ok || !is {
		status, lines, body = 500, nil, nil
	}
	s.dropServer()
	s.settle()
	t.status = status
	keep = s.swallow() && f.Kind != rule.Tarpit
	if bodiless(status) {
		body = nil
	}
	page := t.page(status)
	paged := page.head != ""
	var head string
	if (f.Page() || !ok || !is) && paged {
		head, body = page.head, nil
	} else {
		page.body = ""
		head = ""
	}
	need := len(lines) + len(body) + len(page.head) + len(page.body) + 256
	if s.client.out == nil {
		s.client.out = l.buffer(need > l.size)
	}
	if need > s.client.out.room() { // a file of any size
		l.free(&s.client.out)
		s.client.out = &buffer{b: make([]byte, need)}
	}
	before := s.client.out.w
	w := writer{b: s.client.out}
	if head == "" {
		w.ownHead(status, len(body))
	} else {
		w.text(head)
	}
	w.bytes(lines)
	w.text(t.connection(keep))
	w.text("\r\n")
	if t.method != http1.HEAD {
		w.text(page.body)
		w.bytes(body)
	}
	countDown(s, s.client.out.w-before)
	s.countAnswer(status)
	return keep
}

// bodiless answers have no body and tell no length (RFC 9110 sections 8.6 and 15.4.5).
func bodiless(status int) bool { return status == 204 || status == 304 }

// ownHead begins an answer of our own.
func (w *writer) ownHead(status, length int) {
	w.text("HTTP/1.1 ")
	w.number(status)
	w.text(" ")
	w.text(rule.Reason(status))
	w.text("\r\n")
	if !bodiless(status) {
		w.text("content-length: ")
		w.number(length)
		w.text("\r\n")
	}
}

// monitored reports whether the request asks how the proxy is.
func (s *session) monitored() bool {
	return string(s.t.head.Target.Of(s.client.in.data())) == s.t.fc.rules.monitor
}

// monitor answers that, with no rule asked but `monitor fail` and no line written.
func (s *session) monitor() verdict {
	c := s.lookAtRequest()
	status := 200
	for _, d := range s.t.fc.rules.set.Monitor {
		if d.Holds(c) {
			status = 503
		}
	}
	s.looked(c)
	s.t.logLevel = "silent"
	s.fe.per[s.l.id].intercepted++
	s.mark('L', 'R')
	return s.answerError(status)
}

// answerRules asks the http-response and http-after-response rules about a server's answer. done: something else was
// answered in its place.
func (s *session) answerRules(h *http1.Head, in []byte) (done bool) {
	t := s.t
	back, front := t.bc.rules.set, t.fc.rules.set
	l := s.l
	l.freeEdits(&l.answered.Edits)
	if t.captures != nil {
		l.answered.Head, l.answered.In = h, in
		front.Captures.Response(&l.answered, t.captures)
	}
	if back.Response == nil && front.Response == nil && back.AfterResponse == nil && front.AfterResponse == nil {
		return false
	}
	l.answered.Head, l.answered.In = h, in
	c := s.look()
	c.Res = &l.answered
	for _, list := range [...]*rule.List{back.Response, front.Response} {
		f, out := list.Run(c)
		if done, over := s.concludeAnswer(c, f, out); done || over {
			s.looked(c)
			return done
		}
	}
	for _, list := range [...]*rule.List{back.AfterResponse, front.AfterResponse} {
		list.Run(c) // allow ends the list of its own section
	}
	s.looked(c)
	t.status = l.answered.Status()
	return false
}

// concludeAnswer carries out how a list about an answer has ended. over: no more lists.
func (s *session) concludeAnswer(c *rule.Ctx, f *rule.Final, out rule.Outcome) (done, over bool) {
	t := s.t
	switch {
	case out == rule.Through:
		return false, false
	case out == rule.Failed:
		s.eachServerSide(func(c *counters) { c.eresp++ })
		s.mark('P', 'H')
		s.fail(500)
		return true, true
	case f.Kind == rule.Allow:
		return false, false
	}
	t.serverKeep = false
	switch f.Kind {
	case rule.Deny:
		s.fe.per[s.l.id].dresp++
		s.eachServerSide(func(c *counters) { c.dresp++ })
		s.mark('P', 'H')
	case rule.Drop:
		s.mark('P', 'H')
		s.settle()
		s.log()
		hush(s.client.fd)
		s.end()
		return true, true
	default:
		s.mark('L', 'H')
	}
	s.answerRule(c, f)
	return true, true
}

// afterOwn asks the http-after-response rules about an answer of our own that stands in the client's out buffer.
func (s *session) afterOwn() {
	t, l, out := s.t, s.l, s.client.out
	front := t.fc.rules.set.AfterResponse
	var back *rule.List
	if t.bc != nil {
		back = t.bc.rules.set.AfterResponse
	}
	if front == nil && back == nil || out == nil {
		return
	}
	at, h := out.r, &l.answer
	for {
		if http1.ParseResponse(out.b[at:out.w], h) != http1.None {
			return
		}
		if h.Status >= 200 {
			break
		}
		at += h.Len // an interim answer that has not left yet
	}
	l.freeEdits(&l.answered.Edits)
	l.answered.Head, l.answered.In = h, out.b[at:out.w]
	c := s.look()
	c.Res = &l.answered
	for _, list := range [...]*rule.List{back, front} {
		list.Run(c)
	}
	s.looked(c)
	if l.answered.Edits != nil {
		s.rewriteOwn(at)
	}
	l.freeEdits(&l.answered.Edits)
}

// held waits in the tarpit; a client that leaves need not.
func (s *session) held() verdict {
	if s.client.hup {
		return s.release()
	}
	return wait
}

// release lets a client out of the tarpit, with its answer.
func (s *session) release() verdict { return s.answerOwn(false) }

// level is what the log line is marked with.
func (t *txn) level() accesslog.Level {
	if t.logLevel == "" {
		return accesslog.Info
	}
	return accesslog.LevelOf(t.logLevel)
}

func (l *loop) localOf() netip.AddrPort { return l.looking.local() }
