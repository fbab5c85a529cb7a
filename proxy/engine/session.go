package engine

import (
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/accesslog"
	"github.com/reeve-lb/reeve/proxy/compress"
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/rule"
	"github.com/reeve-lb/reeve/proxy/tally"
)

// phase is where a session stands. HTTP's story is told in http.go, TCP's in tcp.go, what both share in connect.go.
type phase uint8

const (
	phaseDead        phase = iota
	phaseProxyHeader       // the header of the PROXY protocol is coming in
	phaseTLS               // the handshake
	phaseIdle              // waits for the first byte of a request
	phaseH2                // keeps an HTTP/2 connection, whose streams are sessions of their own
	phaseHead              // a request head is coming in
	phaseBody              // its body is waited for
	phaseRules             // rules go on after a wait
	phasePassword          // a password is being checked
	phaseChoose
	phaseQueue
	phaseDelay // between two attempts to connect
	phaseConnect
	phaseExchange // request out, answer back
	phaseTunnel
	phaseTalk    // datagrams both ways
	phasePage    // the statistics page is being made
	phaseHit     // an answer from a cache goes out
	phaseReply   // an answer of our own goes out
	phaseInspect // rules look at the first bytes of a TCP connection
	phaseTarpit  // an answer is held back
	phaseLinger  // the client reads the rest before we close
)

// verdict is what a phase answers: go on with the next, or wait for an event, a timer or mail.
type verdict bool

const (
	proceed verdict = true
	wait    verdict = false
)

// session is a client's connection and what it does at the moment. It belongs to one loop.
type session struct {
	l          *loop
	prev, next *session // of the loop's live ones
	fe         *frontend
	bind       *bindConf
	client     conn
	server     *conn
	pinned     *conn // an idle server connection that is this client's alone
	muxes      *mux  // those of HTTP/2, in use or not
	t          *txn  // nil while idle
	phase      phase
	queued     bool // in the loop's again list
	keep       bool // after a reply of our own the connection stays
	http       bool
	last       uint32 // serial of the server that the client's last request went to
	requests   int32  // begun on this connection
	accepted   int64
	waited     int64 // ns the kernel held the connection back (deferred accept)
	clientAt   int64 // last activity, ns
	serverAt   int64
	// Deadlines, ns, 0 for none: of the phase, of the client's and of the server's inactivity.
	due, clientDue, serverDue int64
	timer                     timer
	peer                      netip.AddrPort
	udp                       *udpTalk        // nil: a connection
	tracks                    *rule.Tracks    // entries of stick-tables that the connection tracks
	dest                      *netip.AddrPort // whom the client addressed, where a PROXY header says so
}

// txn is one request and its answer, or a whole TCP connection. Idle connections have none.
type txn struct {
	life uint64 // unique in the loop
	head http1.Head
	fc   *frontConf
	bc   *backConf
	sc   *serverConf
	slot bool // holds one of sc's
	wait waiter

	start, headAt, chosenAt, queuedAt, connectedAt, answerAt int64
	req, res                                                 body
	minor                                                    int // of the request
	method                                                   http1.Method
	status                                                   int
	bytes                                                    uint64
	flags                                                    [4]byte
	retries                                                  int
	redispatched, persistent, replayable, whole, fresh, sent bool
	upgrade, started, closing, serverKeep, stuck, setCookie  bool
	renew, settled, private, own, held, null, spoke          bool
	except                                                   int
	queueServer, queueBackend                                int
	ahead                                                    int          // bytes of the body looked at before it is sent,
	chunks                                                   http1.Chunks // and where they lead
	class, offset                                            int32        // of the queue's order
	hash                                                     uint32
	lastSeen, firstSeen                                      int64 // dates of the client's cookie, Unix seconds, 0: none
	keyed                                                    keyState
	line                                                     []byte

	asked     rule.Message // the request as rules see it, and what they changed
	vars      *rule.Vars
	tracks    *rule.Tracks // entries of stick-tables that it tracks
	captures  *rule.Captures
	inspected int64    // since when rules look at a connection's first bytes
	step      ruleStep // of what is decided by rules
	from      int      // the rule where that goes on
	logLevel  string   // that rules set
	noRetry   bool     // disable-l7-retry

	coding  compress.Coding // that the client's answer may have
	press   *pressing       // an answer that has it
	caching *caching        // nil: nothing to do with caches
}

func (l *loop) newTxn() *txn {
	var t *txn
	if n := len(l.txns); n > 0 {
		t = l.txns[n-1]
		l.txns = l.txns[:n-1]
	} else {
		t = &txn{line: make([]byte, 0, 1024)}
	}
	t.flags = [4]byte{'-', '-', '-', '-'}
	l.lives++
	l.active++
	t.head.Limits = l.e.limits
	t.life, t.status, t.except = l.lives, -1, -1
	t.start, t.headAt, t.chosenAt, t.queuedAt, t.connectedAt, t.answerAt = l.now, -1, -1, -1, -1, -1
	return t
}

func (l *loop) freeTxn(t *txn) {
	l.freePipe(&t.req)
	l.freePipe(&t.res)
	l.freeEdits(&t.asked.Edits)
	l.freeVars(&t.vars)
	l.freeTracks(&t.tracks)
	l.freeCaptures(&t.captures)
	l.freePressing(&t.press)
	l.freeCaching(&t.caching)
	t.clear()
	l.active--
	if len(l.txns) < 4096 {
		l.txns = append(l.txns, t)
	}
}

// clear resets all but the head, which every parse resets itself.
func (t *txn) clear() {
	t.fc, t.bc, t.sc, t.slot, t.wait = nil, nil, nil, false, waiter{}
	t.req, t.res, t.minor, t.method, t.bytes, t.retries = body{}, body{}, 0, 0, 0, 0
	t.redispatched, t.persistent, t.replayable, t.whole, t.fresh, t.sent = false, false, false, false, false, false
	t.upgrade, t.started, t.closing, t.serverKeep, t.stuck, t.setCookie, t.renew = false, false, false, false, false, false, false
	t.settled, t.private, t.own, t.held, t.null, t.spoke = false, false, false, false, false, false
	t.queueServer, t.queueBackend, t.ahead, t.chunks = 0, 0, 0, http1.Chunks{}
	t.class, t.offset, t.hash, t.keyed = 0, 0, 0, keyUnasked
	t.lastSeen, t.firstSeen = 0, 0
	t.line = t.line[:0]
	t.logLevel, t.noRetry, t.coding = "", false, compress.None
	t.step, t.from = 0, 0
}

// begin makes a session of an accepted descriptor.
func (l *loop) begin(a *acceptor, fd int32, peer netip.AddrPort) {
	s := l.newSession(a.group.bind.Load(), peer)
	fc := s.fe.conf.Load()
	s.client = conn{client: true, readable: true, writable: true, s: s, h1: fc.src.NoH2Upgrade || s.bind.proto == proxy.H1}
	l.adopt(&s.client, fd)
	fc.socket.set(fd)
	if !s.admit(fc.rules.set.Connection) {
		return
	}
	if s.bind.acceptProxy {
		s.enter(phaseProxyHeader)
		s.due = s.after(fc.times.client)
	} else {
		s.welcome()
	}
	s.run()
}

// newSession makes a session that has no connection yet.
func (l *loop) newSession(bind *bindConf, peer netip.AddrPort) *session {
	s := l.newLife(bind, peer)
	s.fe.conn.add()
	s.bind.group.conn.add()
	ctr := s.fe.per[l.id]
	ctr.conns++
	ctr.sessions++
	ctr.rate.add(l.now)
	ctr.last = l.now
	return s
}

// newLife makes a session that counts for nothing yet.
func (l *loop) newLife(bind *bindConf, peer netip.AddrPort) *session {
	var s *session
	if n := len(l.sessions); n > 0 {
		s = l.sessions[n-1]
		l.sessions = l.sessions[:n-1]
	} else {
		s = &session{}
		s.timer.owner = s
	}
	fc := bind.fe.conf.Load()
	s.l, s.fe, s.bind, s.peer, s.dest, s.http, s.requests = l, fc.rt, bind, peer, nil, fc.http, 0
	s.accepted, s.clientAt, s.waited, s.server, s.t, s.last = l.now, l.now, 0, nil, nil, 0
	s.due, s.clientDue, s.serverDue, s.keep = 0, 0, 0, false
	s.phase = phaseIdle // whatever its former life ended in: rules may end this one before it enters a phase
	s.next, s.prev = l.live, nil
	if l.live != nil {
		l.live.prev = s
	}
	l.live = s
	l.count++
	return s
}

// protocol is the phase after those that every connection begins with.
func (s *session) protocol() verdict {
	l, fc := s.l, s.fe.conf.Load()
	if !s.admit(fc.rules.set.Sessions) {
		return wait
	}
	s.tally(tally.Sess, 1)
	if fc.format == proxy.LogBasic && fc.sink != nil {
		l.line = accesslog.AppendBasic(l.line[:0], s.peer, s.local(), s.fe.name, strings.ToUpper(fc.src.Mode.String()))
		l.ring.Put(fc.sink, accesslog.Info, l.line)
	}
	switch {
	case s.http && (s.bind.proto == proxy.H2Proto || s.client.alpn() == "h2" || s.client.told != nil):
		return s.beginH2()
	case s.http:
		return s.enter(phaseIdle)
	}
	s.enter(phaseIdle)
	s.tcpBegin(fc)
	return proceed
}

// local is whom the client addressed.
func (s *session) local() netip.AddrPort {
	switch {
	case s.udp != nil:
		return netip.AddrPortFrom(s.udp.key.local, s.udp.a.group.place.addr.Port())
	case s.dest != nil:
		return *s.dest
	}
	return sysLocal(s.client.fd)
}

// run takes the session as far as it gets.
func (s *session) run() {
	if st := s.client.stream; st != nil && st.gone {
		s.clientReset()
	}
	for s.step() == proceed {
	}
	if s.phase != phaseDead {
		s.arrange()
	}
}

func (s *session) step() verdict {
	switch s.phase {
	case phaseProxyHeader:
		return s.proxyHeader()
	case phaseTLS:
		return s.secureClient()
	case phaseIdle:
		return s.idle()
	case phaseH2:
		return s.h2()
	case phaseHead:
		return s.head()
	case phaseBody:
		return s.awaitBody()
	case phaseRules:
		return s.rules()
	case phaseQueue, phaseDelay: // they end by mail and timer
		if s.gaveUp() {
			return s.abandon()
		}
	case phaseChoose:
		return s.choose()
	case phaseConnect:
		return s.connect()
	case phaseExchange:
		return s.exchange()
	case phaseTunnel:
		return s.tunnel()
	case phaseTalk:
		return s.talk()
	case phaseHit:
		return s.sendHit()
	case phaseReply:
		return s.reply()
	case phaseInspect:
		return s.inspect()
	case phaseTarpit:
		return s.held()
	case phaseLinger:
		return s.linger()
	}
	return wait
}

// nearest is the earliest deadline, 0 if there is none.
func (s *session) nearest() int64 {
	d := s.due
	for _, o := range [...]int64{s.clientDue, s.serverDue} {
		if o != 0 && (d == 0 || o < d) {
			d = o
		}
	}
	return d
}

// arrange sees to it that the timer fires no later than the nearest deadline; firing early costs less than moving it.
func (s *session) arrange() {
	d := s.nearest()
	if d == 0 {
		return
	}
	at := (d + int64(time.Millisecond) - 1) / int64(time.Millisecond)
	if !s.timer.on || s.timer.at > at {
		s.l.wheel.add(&s.timer, at)
	}
}

func (s *session) expired() {
	d := s.nearest()
	if d == 0 || s.phase == phaseDead {
		return
	}
	if s.l.seen < d {
		s.arrange()
		return
	}
	s.timeout()
	s.run()
}

// after is a deadline d from now, 0 for none.
func (s *session) after(d int64) int64 { return since(s.l.now, d) }

func since(at, d int64) int64 {
	if d == 0 {
		return 0
	}
	return at + d
}

func (s *session) enter(p phase) verdict {
	s.phase, s.due, s.clientDue, s.serverDue = p, 0, 0, 0
	return proceed
}

// timeout is what a deadline that has passed means in each phase.
func (s *session) timeout() {
	switch s.phase {
	case phaseProxyHeader:
		s.lateProxyHeader()
	case phasePassword:
		s.unchecked()
	case phaseTLS:
		s.insecure(errSilent)
	case phaseIdle, phaseHead, phaseBody:
		s.headTimeout()
	case phaseH2:
		s.h2Timeout()
	case phaseQueue:
		s.queueTimeout()
	case phaseDelay:
		s.enter(phaseChoose)
	case phaseConnect:
		s.connectFailed('s', false)
	case phaseExchange:
		s.exchangeTimeout()
	case phaseTunnel:
		s.tunnelTimeout()
	case phaseTalk:
		s.talkTimeout()
	case phaseHit:
		s.cut('c', 'D')
	case phaseInspect: // the rules decide by what there is
	case phaseTarpit:
		s.release()
	default:
		s.end()
	}
}

// end closes both sides and frees the session.
func (s *session) end() verdict {
	if s.phase == phaseDead {
		return wait
	}
	l := s.l
	if s.t != nil {
		s.settle()
		l.freeTxn(s.t)
		s.t = nil
	}
	s.dropServer()
	s.unpin()
	for s.muxes != nil {
		s.muxes.discard()
	}
	if s.udp != nil {
		l.endTalk(s)
	}
	stream := s.client.stream != nil
	l.forget(s)
	l.freeTracks(&s.tracks)
	l.close(&s.client)
	l.wheel.remove(&s.timer)
	s.phase = phaseDead
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		l.live = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
	l.count--
	if !stream {
		s.fe.conn.sub()
		s.bind.group.conn.sub()
		l.e.conns.sub()
	}
	if len(l.sessions) < 4096 && !s.queued {
		l.sessions = append(l.sessions, s)
	}
	l.resume()
	return wait
}

// abort ends a session that the process has no more time for.
func (s *session) abort() {
	if s.t != nil {
		s.mark('K', s.letter())
		s.log()
	}
	s.end()
}

// letter is the second flag: how far the session had come.
func (s *session) letter() byte {
	switch s.phase {
	case phaseIdle, phaseHead, phaseInspect, phaseBody, phaseRules, phasePassword:
		return 'R'
	case phaseTarpit:
		return 'T'
	case phaseChoose, phaseQueue:
		return 'Q'
	case phaseDelay, phaseConnect:
		return 'C'
	case phaseExchange:
		if s.t == nil || !s.t.started {
			return 'H'
		}
	}
	return 'D'
}

// mark sets the first two flags, once: the first cause is the one that is told.
func (s *session) mark(who, when byte) {
	if s.t.flags[0] == '-' {
		s.t.flags[0], s.t.flags[1] = who, when
	}
}

// linger reads what the client still sends, so that closing does not reset the connection under the answer it has yet
// to read (RFC 9112 section 9.6).
func (s *session) linger() verdict {
	l, c := s.l, &s.client
	if s.due == 0 {
		l.shutWrite(c)
		s.due = s.after(int64(time.Second))
	}
	for range budget {
		if c.in != nil {
			c.in.r, c.in.w = 0, 0
		}
		_, r := l.fill(c, false)
		switch r {
		case ioBlock:
			return wait
		case ioEOF, ioError:
			return s.end()
		}
	}
	l.later(s)
	return wait
}

// leave closes the client's side in the gentlest way that is needed.
func (s *session) leave() verdict {
	if st := s.client.stream; st != nil {
		st.finish()
		return s.end()
	}
	if s.client.eof || s.client.broken {
		return s.end()
	}
	if s.client.in == nil && !s.client.readable && !s.client.hup {
		return s.end()
	}
	if n, e := sysPeek(s.client.fd); s.client.in == nil && (e == unix.EAGAIN || n == 0 && e == 0) {
		return s.end()
	}
	s.t = s.retire()
	return s.enter(phaseLinger)
}

// retire frees the transaction, if there is one.
func (s *session) retire() *txn {
	if s.t != nil {
		s.settle()
		s.l.freeTxn(s.t)
	}
	return nil
}
