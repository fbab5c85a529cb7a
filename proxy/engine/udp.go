package engine

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
)

// The story of a UDP session: the first datagram of a client to one of our addresses begins it, a server is chosen as for
// a TCP connection (connect.go), a socket of its own is connected to that server, datagrams go both ways, and silence, or
// the last answer that was expected, ends it. One line is logged.
//
// Nobody is answered but who asked, and by none but the server it was given: the kernel lets nothing else into a connected
// socket. The kernel also spreads clients over the loops' sockets, each to the same one every time.

const (
	// heldBytes bounds the datagrams that are kept until a server has answered: they go to another one should the first
	// turn out to be dead. A single one may be of any size.
	heldBytes = 4096
	// talkIdle ends a session where no timeout does.
	talkIdle = time.Minute
	// datagramBurst is how many calls for more a listening socket has before others have their turn.
	datagramBurst = 8
)

// talkKey tells the sessions of a listening socket apart: the fourth part of the tuple, its port, is the socket's own.
type talkKey struct {
	peer  netip.AddrPort
	local netip.Addr
}

// udpTalk is what a session has beyond one of TCP.
type udpTalk struct {
	a        *acceptor
	key      talkKey
	name     peerName // of the client, as the kernel told it
	held     []byte   // datagrams without an answer, each behind its length in two bytes
	asked    uint64
	answered uint64
}

// receive takes in what has come to a listening socket.
func (l *loop) receive(a *acceptor) {
	if l.bag == nil {
		l.bag = newMailbag()
	}
	m := l.bag
	for range datagramBurst {
		n := m.receive(a.fd)
		for i := range n {
			l.datagram(a, m, i)
		}
		if n < batch || l.accepts[a.fd] != a {
			return
		}
	}
}

// datagram finds the session that one belongs to, or begins it.
func (l *loop) datagram(a *acceptor, m *mailbag, i int) {
	key := talkKey{peer: m.peer(i), local: a.group.place.addr.Addr()}
	if key.local.IsUnspecified() {
		key.local = m.local(i)
	}
	data := m.data(i)
	if s := a.talks[key]; s != nil {
		s.said(data)
		return
	}
	if s := l.beginTalk(a, key); s != nil {
		s.udp.name = m.name(i)
		s.hear(data)
		s.protocol()
		s.run()
	}
}

// beginTalk makes a session; nil where there is no room for one. What comes too much is dropped: there is no backlog.
func (l *loop) beginTalk(a *acceptor, key talkKey) *session {
	e, bind := l.e, a.group.bind.Load()
	if e.conns.add() > e.maxConn.Load() || bind.fe.limited() || a.group.limited() || l.draining || !l.mayAccept(bind.fe) {
		e.conns.sub()
		bind.fe.per[l.id].dreq++
		return nil
	}
	l.accepted++
	s := l.newSession(bind, key.peer)
	s.client = conn{client: true, fd: -1, s: s}
	if n := len(l.talks); n > 0 {
		s.udp = l.talks[n-1]
		l.talks = l.talks[:n-1]
	} else {
		s.udp = &udpTalk{}
	}
	*s.udp = udpTalk{a: a, key: key, held: s.udp.held[:0]}
	if a.talks == nil {
		a.talks = map[talkKey]*session{}
	}
	a.talks[key] = s
	return s
}

// endTalk forgets a session's part of UDP.
func (l *loop) endTalk(s *session) {
	u := s.udp
	delete(u.a.talks, u.key)
	u.a, s.udp = nil, nil
	if cap(u.held) <= heldBytes && len(l.talks) < 4096 {
		l.talks = append(l.talks, u)
	}
}

// hear counts a datagram of the client and keeps it until it has an answer; false: there is no room to.
func (s *session) hear(data []byte) bool {
	u := s.udp
	s.clientAt = s.l.now
	s.fe.per[s.l.id].bin += uint64(len(data))
	u.asked++
	if u.answered > 0 || len(u.held) > 0 && len(u.held)+2+len(data) > heldBytes {
		return false
	}
	u.held = append(u.held, byte(len(data)>>8), byte(len(data)))
	u.held = append(u.held, data...)
	return true
}

// said is a datagram of a client whose session there is. One that comes before there is a server may have to be dropped.
func (s *session) said(data []byte) {
	kept := s.hear(data)
	if s.phase != phaseTalk {
		if !kept {
			s.fe.per[s.l.id].dreq++
		}
		return
	}
	if s.pass(data) == proceed {
		s.run()
		return
	}
	s.arrange()
}

// enterTalk passes on what came until the server was there. A socket of UDP is connected at once.
func (s *session) enterTalk() verdict {
	s.enter(phaseTalk)
	s.t.started = true
	s.due = s.after(s.t.bc.talkIdle(s.t.fc))
	for at := s.udp.held; len(at) > 0 && s.phase == phaseTalk; {
		n := int(at[0])<<8 | int(at[1])
		if s.pass(at[2:2+n]) == proceed {
			return proceed
		}
		at = at[2+n:]
	}
	return proceed
}

// pass sends a datagram to the server. proceed: the session is elsewhere now, or over.
func (s *session) pass(data []byte) verdict {
	l, t := s.l, s.t
	t.spoke = true
	n, e := sysSend(s.server.fd, data, 0)
	switch e {
	case 0:
	case unix.EAGAIN, unix.ENOBUFS, unix.EMSGSIZE:
		t.bc.rt.per[l.id].dreq++ // lost on the way, as datagrams are
		return wait
	default:
		return s.refused()
	}
	t.bc.rt.per[l.id].bin += uint64(n)
	t.sc.rt.per[l.id].bin += uint64(n)
	s.serverAt, s.due = l.now, s.after(t.bc.talkIdle(t.fc))
	if t.bc.responses == 0 {
		return s.talkEnd('-')
	}
	return wait
}

// talk takes in what the server says.
func (s *session) talk() verdict {
	l, c, t, u := s.l, s.server, s.t, s.udp
	if !c.readable {
		l.arm(c)
		return wait
	}
	for range budget {
		n, e := sysRead(c.fd, l.bag.reply)
		switch {
		case e == unix.EAGAIN:
			c.readable = false
			l.arm(c)
			return wait
		case e != 0:
			return s.refused()
		}
		u.answered++
		u.held = u.held[:0]
		if t.answerAt < 0 {
			t.answerAt = l.now
		}
		s.serverAt, s.due = l.now, s.after(t.bc.talkIdle(t.fc))
		if l.bag.send(u.a, &u.name, u.key.local, n) {
			countDown(s, n)
		}
		if t.bc.responses > 0 && u.answered >= u.asked*uint64(t.bc.responses) {
			return s.talkEnd('-')
		}
	}
	l.later(s)
	return wait
}

// refused is the news that the server's port is closed, or the server gone. Where it has answered nothing yet another may.
func (s *session) refused() verdict {
	if s.udp.answered == 0 && len(s.udp.held) > 0 {
		s.t.started, s.t.connectedAt = false, -1
		return s.connectFailed('S', true)
	}
	return s.talkEnd('S')
}

// talkTimeout is silence: the end of most sessions. Where an answer was owed it is the server's fault.
func (s *session) talkTimeout() {
	if s.udp.answered == 0 {
		s.talkEnd('s')
		return
	}
	s.talkEnd('-')
}

func (s *session) talkEnd(who byte) verdict {
	if who != '-' {
		s.mark(who, 'D')
		s.eachServerSide(func(c *counters) { c.srvAbrt++ })
	}
	s.settle()
	s.log()
	s.end()
	return proceed
}

// talkIdle is how long a session may be silent: `timeout tunnel`, or the shorter of the client's and the server's.
func (b *backConf) talkIdle(fc *frontConf) int64 {
	if t := b.times.tunnel; t != 0 {
		return t
	}
	c, s := fc.times.client, b.times.server
	switch {
	case c == 0 && s == 0:
		return int64(talkIdle)
	case c == 0 || s != 0 && s < c:
		return s
	}
	return c
}

// expected is how many answers a datagram has: -1 for any number, until there is silence.
func expected(b *proxy.Backend) int {
	if b.ProxyResponses == nil {
		return -1
	}
	return *b.ProxyResponses
}
