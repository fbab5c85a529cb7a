package engine

import (
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http2"
)

// How a connection to a server comes to speak HTTP/2: TCP, the PROXY header, the handshake, and what is agreed on there.
// Requests wait on it meanwhile, each for a stream. Those of a loop share a server's connections; one that has a client's
// name or address on it serves that client alone, and ends with it.

// serverMux is what a server's connection has beyond a client's.
type serverMux struct {
	ready    bool           // it stands, and HTTP/2 is spoken
	only     bool           // nothing but HTTP/2 will do
	alone    bool           // who comes later does not wait: most likely HTTP/1.1 is agreed on
	name     string         // asked for by SNI
	patience int64          // ns that the server may take nothing of what is for it; 0: for ever
	list     **mux          // where it can be found; nil: nowhere
	prev     *mux           // in that list
	next     *mux           //
	peer     netip.AddrPort // whom the PROXY header names
	local    netip.AddrPort
}

// speaks is what the connection for a request is to speak; 0: what the server agrees on.
func (s *session) speaks() proxy.Proto {
	switch sc := s.t.sc; {
	case !s.http:
		return proxy.H1
	case !s.t.upgrade:
		return sc.proto
	case s.wantsWebSocket():
		return sc.webSockets
	default:
		return sc.upgrades
	}
}

// muxList is where a request looks for a connection that it may share.
func (s *session) muxList() **mux {
	if !s.t.sc.personal() && s.t.bc.reuse != proxy.ReuseNever {
		return &s.t.sc.rt.muxes[s.l.id]
	}
	if st := s.client.stream; st != nil && !st.m.dead {
		return &st.m.s.muxes
	}
	return &s.muxes
}

// muxFor is a connection to the server that takes another stream; after a failure only one that nobody has used.
func (s *session) muxFor() *mux {
	for m := *s.muxList(); m != nil; m = m.next {
		if m.takes(s.t.sc) && (!m.ready || !s.t.fresh) && (m.name == "" && s.t.sc.tls == nil || m.name == s.serverName()) &&
			(s.t.sc.sendProxy == 0 || m.peer == s.peer) {
			return m
		}
	}
	return nil
}

func (m *mux) takes(sc *serverConf) bool {
	limit := int(sc.h2.MaxStreams)
	if m.ready {
		limit = m.h.Limit()
	}
	return !m.dead && !m.closing && !m.away && m.departs == muxStays && (m.ready || !m.alone) && m.c.sc.same(sc) && m.streams < limit &&
		(sc.maxReuse < 0 || m.requests <= sc.maxReuse)
}

// ride puts the request on the connection.
func (s *session) ride(m *mux) verdict {
	t, l := s.t, s.l
	c := l.newConn()
	c.s, c.sc, c.readable, c.writable, c.reused = s, t.sc, true, m.ready, m.ready
	c.stream = l.newStream(m, c, nil)
	c.stream.code = http2.Cancel
	m.requests++
	s.server = c
	if m.ready {
		c.requests = m.requests
		return s.established()
	}
	m.await(c.stream)
	s.due = s.after(t.bc.times.connect)
	return proceed
}

// openMux makes a connection of a socket that has begun to connect.
func (s *session) openMux(fd int32, proto proxy.Proto) *mux {
	l, sc := s.l, s.t.sc
	c := l.newConn()
	c.sc = sc
	l.adopt(c, fd)
	m := &mux{l: l, c: c}
	m.only, m.alone, m.patience = proto == proxy.H2Proto, proto == 0 && sc.rt.h1[l.id], s.t.bc.times.server
	if sc.tls != nil {
		m.name = strings.Clone(s.serverName())
	}
	if sc.sendProxy != 0 {
		m.peer, m.local = s.peer, s.local()
	}
	m.timer.owner = m
	c.mux = m
	m.list = s.muxList()
	if m.next = *m.list; m.next != nil {
		m.next.prev = m
	}
	*m.list = m
	l.arm(c)
	return m
}

func (m *mux) unlist() {
	if m.list == nil {
		return
	}
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		*m.list = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	}
	m.list, m.prev, m.next = nil, nil, nil
}

// event is what epoll says of the socket.
func (m *mux) event() {
	if m.ready && !m.closing && !m.stalled {
		m.read()
	}
	m.touch()
}

// connecting takes the connection a step further. Nobody waits for it any more: then it is over.
func (m *mux) connecting() {
	l, c := m.l, m.c
	if m.streams == 0 {
		m.discard()
		return
	}
	if !c.writable && c.tls == nil {
		return
	}
	if c.tls == nil && !m.stands() {
		return
	}
	if c.sc.tls == nil {
		m.begin()
		return
	}
	alpn := asConfigured
	if m.only {
		alpn = onlyH2
	}
	switch l.shakeServer(c, m.name, alpn) {
	case shaking:
		return
	case unshaken:
		m.lost()
		return
	}
	switch agreed := c.tls.alpn; {
	case agreed == "h2", m.only && agreed == "":
		c.sc.rt.h1[l.id] = false
		m.begin()
	default:
		m.yield()
	}
}

// stands looks whether the connection does, and sends the PROXY header where there is one to send.
func (m *mux) stands() bool {
	l, c := m.l, m.c
	e := sysSockError(c.fd)
	if e == 0 && c.sc.sendProxy != 0 && !c.introduced {
		e = l.introduce(c, m.peer, m.local, unix.MSG_MORE)
	}
	switch e {
	case 0:
		return true
	case unix.EAGAIN:
		return false
	}
	c.errno = e
	m.lost()
	return false
}

// begin speaks HTTP/2.
func (m *mux) begin() {
	l, c := m.l, m.c
	m.h = http2.NewClient(c.sc.h2, &l.h2streams, &l.fields)
	m.tls, m.ready, m.more = c.tls, true, true // what came with the handshake's end is inside
	m.idleAt, m.heardAt = l.now, l.now
	c.sc.rt.per[l.id].connect++
	m.put(m.h.Greet(m.out()))
	m.settle()
}

// yield gives a connection on which HTTP/1.1 was agreed on to the request that has waited longest. The others get
// connections of their own.
func (m *mux) yield() {
	l, c := m.l, m.c
	c.sc.rt.h1[l.id] = true
	m.unlist()
	m.dead, c.mux = true, nil
	for st := m.first; st != nil; st = m.first {
		s := st.c.s
		s.dropServer() // and with it the stream
		l.later(s)
		if c == nil {
			s.dial()
			continue
		}
		c.s, s.server, c = s, c, nil
	}
}
