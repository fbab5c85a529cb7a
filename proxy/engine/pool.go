package engine

import (
	"time"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
)

const (
	// idleMax is how many idle connections of a server a loop keeps, purgeEvery the default of pool-purge-delay.
	idleMax    = 4096
	purgeEvery = 5 * time.Second
	// lookIdle is how many of a server's idle connections are looked at for one that fits.
	lookIdle = 64
)

// pooled is what a server connection has beyond a client's.
type pooled struct {
	sc         *serverConf
	owner      *loop
	reused     bool
	introduced bool // the PROXY header has gone
	pinned     bool // of one client, never anybody else's
	private    bool // authenticated for it by the server
	requests   int
	prev, next *conn // of the idle list
}

// idleList holds a loop's idle connections to one server, the latest used in front: those at its end go first.
type idleList struct {
	first, last *conn
	n           int
	low         int // the fewest since the timer was set: so many nobody needed
	delay       int64
	timer       timer
	loop        *loop
}

func (l *loop) newConn() *conn {
	var c *conn
	if n := len(l.spares); n > 0 {
		c = l.spares[n-1]
		l.spares = l.spares[:n-1]
		*c.pooled = pooled{}
		*c = conn{fd: -1, pooled: c.pooled}
	} else {
		n := new(struct {
			conn
			more pooled
		})
		c = &n.conn
		c.fd, c.pooled = -1, &n.more
	}
	c.owner = l
	return c
}

func (l *loop) freeConn(c *conn) {
	l.close(c)
	c.s, c.sc = nil, nil
	if len(l.spares) < 4096 {
		l.spares = append(l.spares, c)
	}
}

// dropServer closes the session's server connection.
func (s *session) dropServer() {
	if s.server != nil {
		s.l.freeConn(s.server)
		s.server = nil
	}
}

// reusable: nothing is left over on the connection and nothing casts doubt on where the next answer would begin.
func (s *session) reusable() bool {
	c, t := s.server, s.t
	return c.stream == nil && t.connMode() == proxy.KeepAlive && c.in == nil && c.out == nil && !c.eof && !c.hup && !c.broken && !c.deaf &&
		!t.stuck && (c.tls == nil || s.l.quiet(c)) && t.sc.rt.available() && (t.sc.maxReuse < 0 || c.requests <= t.sc.maxReuse)
}

// own: the connection serves this client alone, because the server authenticates it, it has the client's name or address, or
// nothing is to be shared.
func (s *session) own() bool {
	return s.t.private || s.server.pinned || s.t.sc.personal() || s.t.bc.reuse == proxy.ReuseNever
}

// poolable: there is room for one more idle connection.
func (s *session) poolable() bool {
	sc := s.t.sc
	return sc.purge > 0 && (sc.poolMax < 0 || sc.rt.idles.Load() < sc.poolMax) && sc.rt.idle[s.l.id].n < idleMax &&
		int64(s.l.idles) < s.l.e.poolRoom.Load()
}

func (s *session) poolServer() {
	c, l := s.server, s.l
	s.server = nil
	c.s, c.reused = nil, true
	l.arm(c)
	list := &c.sc.rt.idle[l.id]
	c.prev, c.next = nil, list.first
	if list.first != nil {
		list.first.prev = c
	} else {
		list.last = c
	}
	list.first = c
	list.n++
	l.idles++
	c.sc.rt.idles.Add(1)
	if !list.timer.on {
		list.timer.owner, list.loop, list.low = list, l, list.n
		list.again(c.sc.purge)
	}
	list.delay = c.sc.purge
}

// mayReuse is `http-reuse`: whether the request may go over a connection that served another client. proven: over one
// that has been used again before. Later requests of a client may always, as a browser's would.
func (s *session) mayReuse() (may, proven bool) {
	t := s.t
	if t.connMode() != proxy.KeepAlive || t.upgrade {
		return false, false
	}
	switch t.bc.reuse {
	case proxy.ReuseNever:
		return false, false
	case proxy.ReuseAlways:
		return true, false
	case proxy.ReuseAggressive:
		return true, s.requests == 1
	}
	return t.replayable || s.requests > 1, false
}

// reuse gives the session an idle connection to its server.
func (s *session) reuse() bool {
	t, l := s.t, s.l
	may, proven := s.mayReuse()
	if !may {
		return false
	}
	list := &t.sc.rt.idle[l.id]
	next := list.first
	for range lookIdle {
		c := next
		if c == nil {
			break
		}
		next = c.next
		if proven && c.requests < 2 {
			continue
		}
		if !c.sc.same(t.sc) {
			l.dropIdle(c)
			continue
		}
		if !s.fits(c) {
			continue
		}
		l.unpool(c)
		if !t.replayable { // it can't be sent twice: look whether the server has closed meanwhile
			if c.readable = true; !l.quiet(c) {
				l.freeConn(c)
				continue
			}
		}
		c.s = s
		s.server = c
		return true
	}
	return false
}

// ownsConnection: NTLM and Negotiate authenticate the connection, so nobody else may be given it.
func ownsConnection(h *http1.Head, in []byte) bool {
	if h.Status != 401 && h.Status != 407 {
		return false
	}
	hd, ok := h.Get(http1.WWWAuthenticate)
	v := hd.Value.Of(in)
	return ok && (hasFoldPrefix(v, "ntlm") || hasFoldPrefix(v, "negotiate"))
}

// claim notes that an answer makes its connection the client's. In HTTP/2 nobody comes after those who are on it.
func (s *session) claim(h *http1.Head, in []byte) {
	if s.t.private = ownsConnection(h, in); s.t.private && s.server.stream != nil {
		s.server.stream.m.departs = muxDeparted
	}
}

// pin keeps the connection for the next request of the same client: the server has asked to authenticate it (NTLM,
// Negotiate) or has been told whose it is (PROXY protocol), so that what comes over it counts as that client's.
func (s *session) pin() {
	s.unpin()
	c := s.server
	s.server, s.pinned = nil, c
	c.pinned, c.reused = true, true
	c.private = c.private || s.t.private
	s.l.arm(c)
}

func (s *session) unpin() {
	if s.pinned != nil {
		s.l.freeConn(s.pinned)
		s.pinned = nil
	}
}

// checkPinned looks whether the server has closed, or spoken unasked.
func (s *session) checkPinned() {
	if s.pinned.readable = true; !s.l.quiet(s.pinned) {
		s.unpin()
	}
}

// byPin prefers the server that has authenticated the client.
func (s *session) byPin() {
	if !s.pinned.private {
		return
	}
	for _, sc := range s.t.bc.servers {
		if sc.rt == s.pinned.sc.rt && sc.same(s.pinned.sc) && sc.usable() {
			s.t.sc = sc
			return
		}
	}
}

// byLast prefers the server of the client's last request (option prefer-last-server), unless it has no slot free.
func (s *session) byLast() {
	for _, sc := range s.t.bc.servers {
		if sc.rt.serial == s.last && sc.usable() && !sc.rt.full() {
			s.t.sc = sc
			return
		}
	}
}

// takePinned goes on with the pinned connection if it leads to the chosen server and still stands; otherwise it is over.
func (s *session) takePinned() bool {
	c, t := s.pinned, s.t
	if c == nil {
		return false
	}
	if c.sc.rt == t.sc.rt && s.fits(c) && t.connMode() == proxy.KeepAlive {
		if s.checkPinned(); s.pinned != nil {
			s.server, s.pinned = c, nil
			return true
		}
	}
	s.unpin()
	return false
}

func (l *loop) unpool(c *conn) {
	list := &c.sc.rt.idle[l.id]
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		list.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		list.last = c.prev
	}
	c.prev, c.next = nil, nil
	list.n--
	list.low = min(list.low, list.n)
	l.idles--
	c.sc.rt.idles.Add(-1)
}

// idleEvent is a server that speaks or closes unasked: the connection is worth nothing any more.
func (l *loop) idleEvent(c *conn) {
	if c.mux != nil {
		c.mux.event()
		return
	}
	if c.hup || c.readable && !l.quiet(c) {
		l.dropIdle(c)
		return
	}
	if c.tls == nil {
		c.readable = false // an event of bytes that were read meanwhile, or of room to write
	}
}

func (l *loop) dropIdle(c *conn) {
	if c.mux != nil {
		c.mux.discard()
		return
	}
	if c.pooled == nil || c.sc == nil {
		l.close(c)
		return
	}
	l.unpool(c)
	l.freeConn(c)
}

func (list *idleList) again(delay int64) {
	list.loop.wheel.add(&list.timer, (list.loop.now+delay)/int64(time.Millisecond))
}

// expired closes half of the connections that nobody needed since the last time, those first that idle longest.
func (list *idleList) expired() {
	for range (list.low + 1) / 2 {
		list.loop.dropIdle(list.last)
	}
	if list.low = list.n; list.n > 0 {
		list.again(list.delay)
	}
}

// purge closes all idle connections to a server.
func (l *loop) purge(rt *server) {
	for c := rt.idle[l.id].first; c != nil; c = rt.idle[l.id].first {
		l.dropIdle(c)
	}
	for m := rt.muxes[l.id]; m != nil; m = m.next {
		m.departs = muxDeparted
		m.touch()
	}
}
