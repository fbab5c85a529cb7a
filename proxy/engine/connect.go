package engine

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/stick"
)

// From a backend to a connected server, for both protocols: persistence, choose, queue, connect, retry, redispatch.

// persistence asks the cookie, then the stick tables, for the server the client had before.
func (s *session) persistence() verdict {
	t := s.t
	if len(t.bc.rules.use) > 0 {
		t.sc = s.byRule()
	}
	if t.bc.cookie != nil && s.http {
		s.byCookie()
	}
	if t.sc == nil && t.bc.persistRDP != "" && !s.http {
		s.byRDP()
	}
	if t.sc == nil && len(t.bc.stick) > 0 {
		s.byTable()
	}
	if t.sc == nil && s.pinned != nil {
		s.byPin()
	}
	if t.sc == nil && t.bc.preferLast {
		s.byLast()
	}
	t.persistent = t.sc != nil
	return s.enter(phaseChoose)
}

func (s *session) byTable() {
	t := s.t
	for _, b := range t.bc.stick {
		table := b.tables[s.l.id]
		if table == nil || !s.peer.IsValid() {
			continue
		}
		f, ok := table.Lookup(stick.AddrKey(s.peer.Addr()), s.l.now)
		if !ok {
			continue
		}
		for _, sc := range t.bc.servers {
			if sc.rt.name == f.Server && sc.usable() {
				t.sc, t.renew = sc, f.Renew
				return
			}
		}
	}
}

// remember binds the client to the server it has been connected to, on every loop and in the cluster. A binding that
// stands is only renewed at half its life.
func (s *session) remember() {
	t, l := s.t, s.l
	for _, b := range t.bc.stick {
		table := b.tables[l.id]
		if table == nil || !s.peer.IsValid() {
			continue
		}
		key := stick.AddrKey(s.peer.Addr())
		if f, ok := table.Lookup(key, l.now); ok && f.Server == t.sc.rt.name && !f.Renew && !t.renew {
			continue
		}
		binding := table.Bind(b.name, key, t.sc.rt.name, l.now)
		// The other loops first: the log's answer to the offer, which wins, must come to each of them after this.
		for _, o := range l.e.loops {
			if o != l {
				o.post(func() {
					if table := b.tables[o.id]; table != nil {
						table.Bind(b.name, key, binding.Server, o.now)
					}
				})
			}
		}
		l.e.replicator.Offer(binding)
	}
}

// choose takes a slot of the persistent server, or of the one whose turn it is; with none free it queues.
func (s *session) choose() verdict {
	t := s.t
	if t.chosenAt < 0 {
		t.chosenAt = s.l.now
	}
	if t.slot { // a retry on the same server
		return s.dial()
	}
	if t.persistent {
		if !t.sc.rt.full() && t.sc.rt.take() {
			return s.chosen(t.sc)
		}
		return s.join(t.sc)
	}
	for range 4 { // another loop may be quicker
		sc, none := s.pick()
		if none {
			return s.noServer()
		}
		if sc == nil {
			return s.join(nil)
		}
		if t.bc.waitsForOne(sc) && sc.rt.full() {
			return s.join(sc)
		}
		if sc.rt.take() {
			return s.chosen(sc)
		}
	}
	return s.join(nil)
}

func (s *session) noServer() verdict {
	t := s.t
	s.mark('S', 'C')
	t.bc.rt.per[s.l.id].econ++
	t.sc = nil
	return s.failConnect()
}

// join waits for the server only, or for any.
func (s *session) join(only *serverConf) verdict {
	t := s.t
	t.wait = waiter{loop: s.l, s: s, life: t.life, conf: t.bc, key: queueKey(t.class, t.offset, s.l.now)}
	if t.sc = only; only != nil {
		t.wait.only = only.rt
	}
	s.enter(phaseQueue)
	s.due = s.after(t.bc.times.queue)
	if !t.bc.rt.queue.join(&t.wait) {
		return s.overflow()
	}
	if only != nil {
		t.queueServer = t.wait.before + 1
	} else {
		t.queueBackend = t.wait.before + 1
	}
	return proceed
}

// overflow is a server whose queue is at its maxqueue. Who was tied to it may go elsewhere with `option redispatch`.
func (s *session) overflow() verdict {
	t := s.t
	t.wait = waiter{}
	if t.persistent && t.bc.redispatch != 0 {
		t.persistent, t.sc = false, nil
		return s.enter(phaseChoose)
	}
	s.mark('S', 'Q')
	t.sc = nil
	t.queuedAt = s.l.now
	t.bc.rt.per[s.l.id].econ++
	return s.failConnect()
}

// granted is the queue's answer. A transaction that is over gives the slot to the next; sc nil: its server went down.
func (s *session) granted(life uint64, sc *serverConf) {
	if s.phase != phaseQueue || s.t == nil || s.t.life != life {
		if sc != nil {
			sc.rt.release()
		}
		return
	}
	if sc == nil {
		s.t.persistent, s.t.sc = false, nil
		s.enter(phaseChoose)
	} else {
		s.chosen(sc)
	}
	s.run()
}

func (s *session) queueTimeout() {
	t := s.t
	if !t.bc.rt.queue.leave(&t.wait) {
		s.due = s.after(int64(time.Millisecond)) // the grant is in the mail
		return
	}
	s.mark('s', 'Q')
	t.sc = nil
	t.queuedAt = s.l.now
	t.bc.rt.per[s.l.id].econ++
	s.failConnect()
}

func (s *session) chosen(sc *serverConf) verdict {
	t := s.t
	if t.except >= 0 && t.except != sc.index {
		t.redispatched = true
		t.bc.rt.per[s.l.id].wredis++
		t.bc.servers[t.except].rt.per[s.l.id].wredis++
	} else if t.except >= 0 {
		t.bc.rt.per[s.l.id].wretr++
		sc.rt.per[s.l.id].wretr++
	}
	t.sc, t.slot, t.except, s.last = sc, true, -1, sc.rt.serial
	if t.queuedAt < 0 {
		t.queuedAt = s.l.now
	}
	ctr := sc.rt.per[s.l.id]
	ctr.sessions++
	ctr.rate.add(s.l.now)
	ctr.last = s.l.now
	if !t.persistent && t.wait.loop == nil { // who queued was given a slot, not chosen for
		ctr.lbtot++
		t.bc.rt.per[s.l.id].lbtot++
	}
	return s.dial()
}

// dial takes a connection to the server that has room for the request, or opens one.
func (s *session) dial() verdict {
	t := s.t
	s.enter(phaseConnect)
	proto := s.speaks()
	if proto != proxy.H1 {
		if m := s.muxFor(); m != nil {
			t.sc.rt.per[s.l.id].reuse++
			return s.ride(m)
		}
	}
	if s.http && proto != proxy.H2Proto && !t.fresh && (s.takePinned() || s.reuse()) {
		t.sc.rt.per[s.l.id].reuse++
		return s.established()
	}
	fd, e := s.open()
	if e == unix.EMFILE && s.l.shedIdle() {
		fd, e = s.open()
	}
	if e != 0 {
		return s.dialFailed(e)
	}
	t.bc.socket.set(fd)
	if proto != proxy.H1 {
		return s.ride(s.openMux(fd, proto))
	}
	c := s.l.newConn()
	c.s, c.sc = s, t.sc
	s.l.adopt(c, fd)
	s.server = c
	s.due = s.after(t.bc.times.connect)
	c.writable = s.udp != nil || s.http && t.sc.tls == nil // a head may go at once: the loopback connects within the call
	return proceed
}

func (s *session) dialFailed(e unix.Errno) verdict {
	if e == unix.EMFILE || e == unix.ENFILE || e == unix.EAGAIN || e == unix.EADDRNOTAVAIL {
		return s.connectFailed('R', true)
	}
	return s.connectFailed('S', true)
}

// connect waits until the connection stands. Sending the head is the test for HTTP, the socket's error for TCP.
func (s *session) connect() verdict {
	c, l := s.server, s.l
	if s.gaveUp() {
		return s.abandon()
	}
	if !c.writable {
		l.arm(c)
		return wait
	}
	if v, sent := s.introduce(); !sent {
		return v
	}
	if s.t.sc.tls != nil && c.stream == nil {
		if v, done := s.secureServer(); !done {
			return v
		}
	}
	if c.hup || !s.http {
		if e := c.connectError(); e != 0 {
			return s.notConnected(e)
		}
	}
	if s.http {
		if c.out == nil && !s.composeRequest() {
			return s.refuse()
		}
		switch l.flush(c) {
		case ioBlock:
			return wait
		case ioError:
			if v, failed := s.sendFailed(c.errno); failed {
				return v
			}
		}
	}
	return s.established()
}

// sendFailed tells a connection that never stood from one that the server has closed already: that one may have been
// answered.
func (s *session) sendFailed(e unix.Errno) (verdict, bool) {
	if e == unix.EPIPE || e == unix.ECONNRESET {
		return proceed, false
	}
	return s.notConnected(e), true
}

func (s *session) notConnected(e unix.Errno) verdict {
	if e == unix.ETIMEDOUT {
		return s.connectFailed('s', false)
	}
	return s.connectFailed('S', true)
}

func (s *session) established() verdict {
	t := s.t
	t.connectedAt = s.l.now
	if s.server.requests == 0 {
		if s.server.stream == nil {
			t.sc.rt.per[s.l.id].connect++
		}
		s.sign(proxy.Layer4, false)
	}
	s.server.requests++
	s.server.sc = t.sc
	if len(t.bc.stick) > 0 {
		s.remember()
	}
	s.serverAt, s.clientAt = s.l.now, s.l.now
	if s.udp != nil {
		return s.enterTalk()
	}
	if !s.http {
		if !s.serverSpoke() {
			return wait
		}
		return s.enterTunnel()
	}
	s.enter(phaseExchange)
	if s.server.reused && !s.composeRequest() {
		return s.refuse()
	}
	if t.replayable && (s.server.reused || s.server.stream != nil) || s.retriesAnswers() {
		s.holdRequest()
	} else {
		s.takeRequest()
	}
	return proceed
}

// takeRequest takes the head off the client's buffer: it will not be sent again.
func (s *session) takeRequest() {
	t := s.t
	if t.head.Len == 0 {
		return
	}
	s.client.in.consume(t.head.Len)
	countUp(s, t.head.Len)
	t.head.Len = 0
	if t.held {
		t.held = false
		n := bodyLen(&t.req, s.client.in.data(), t.head.ContentLength)
		s.client.in.consume(n)
		countUp(s, n)
	}
	s.l.spare(&s.client)
}

// holdRequest sends a request that is here in full from a copy and keeps it for a repetition.
func (s *session) holdRequest() {
	t, c := s.t, s.server
	rest := s.client.in.data()[t.head.Len:]
	n := bodyLen(&t.req, rest, t.head.ContentLength)
	if n > 0 && c.out == nil { // the head has gone
		c.out = s.l.buffer(false)
	}
	if n > 0 && n > c.out.room() {
		t.replayable = false
		s.takeRequest()
		return
	}
	if n > 0 {
		c.out.append(rest[:n])
	}
	t.req.done, t.held = true, true
}

// bodyLen is how many bytes a body that is complete in rest takes.
func bodyLen(b *body, rest []byte, length int64) int {
	switch b.kind {
	case byLength:
		return int(length)
	case byChunks:
		var c http1.Chunks
		at, _ := lookAhead(&c, rest, 0)
		return at
	}
	return 0
}

// connectFailed decides between another attempt here, one elsewhere, and giving up. After a refusal the same server is
// not asked again at once.
func (s *session) connectFailed(who byte, refused bool) verdict {
	t := s.t
	s.dropServer()
	s.sign(proxy.Layer4, true)
	s.failed()
	per := s.l.id
	if t.retries >= t.bc.retries || t.bc.retry.causes&onConnect == 0 {
		s.mark(who, 'C')
		t.bc.rt.per[per].econ++
		t.sc.rt.per[per].econ++
		return s.failConnect()
	}
	elsewhere, several := s.retry()
	if !refused || elsewhere && several {
		return s.enter(phaseChoose)
	}
	delay := int64(time.Second)
	if c := t.bc.times.connect; c != 0 {
		delay = min(delay, c)
	}
	s.enter(phaseDelay)
	s.due = s.after(delay)
	return proceed
}

// retry counts one more attempt and gives the server up if another is to be asked.
func (s *session) retry() (elsewhere, several bool) {
	t, per := s.t, s.l.id
	t.retries++
	active := t.bc.chooser.Load().active
	several = active > 1 && t.bc.takesTurns()
	elsewhere = s.redispatchDue() || t.bc.redispatch != 0 && (!t.sc.rt.available() || !t.persistent && several)
	if elsewhere {
		t.sc.rt.release()
		t.slot, t.except, t.persistent = false, t.sc.index, false
	} else {
		t.bc.rt.per[per].wretr++
		t.sc.rt.per[per].wretr++
		t.sc.rt.per[per].sessions++ // HAProxy counts each attempt
	}
	// What failed here says nothing of another server's idle connections: were they passed over, each request that met a dead
	// server would leave one more of them.
	t.fresh = !elsewhere
	return elsewhere, several
}

// redispatchDue is `option redispatch n`: on every n-th retry, counted from the last for a negative n.
func (s *session) redispatchDue() bool {
	t := s.t
	switch n := t.bc.redispatch; {
	case n > 0:
		return t.retries%n == 0
	case n < 0:
		every := t.bc.retries + 1 + n
		return every > 0 && t.retries%every == 0
	}
	return false
}

// failConnect ends what never reached a server.
func (s *session) failConnect() verdict {
	if s.http {
		return s.answerError(503)
	}
	s.settle()
	s.log()
	return s.end()
}

// settle gives back what the transaction holds of its backend and server.
func (s *session) settle() {
	t := s.t
	if s.phase == phaseQueue && t.wait.loop != nil {
		t.bc.rt.queue.leave(&t.wait)
	}
	if t.slot {
		t.slot = false
		t.sc.rt.release()
	}
	if t.bc != nil && !t.settled {
		t.settled = true
		t.bc.rt.conn.sub()
	}
}
