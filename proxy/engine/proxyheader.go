package engine

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy/accesslog"
	"github.com/reeve-lb/reeve/proxy/proxyproto"
)

// The PROXY protocol: who the client is, said by the proxy in front of us (accept-proxy) and by us to the server behind
// (send-proxy). It comes before everything else, TLS too.

// proxyHeader looks at the first bytes while they are still with the kernel and takes the header alone, so that what
// follows is there for TLS or the protocol as if there had been none.
func (s *session) proxyHeader() verdict {
	l, c := s.l, &s.client
	if !c.readable {
		return s.awaitHeader()
	}
	b := l.buffer(false)
	defer l.free(&b)
	n, e := sysPeekInto(c.fd, b.b)
	switch {
	case e == unix.EAGAIN:
		return s.awaitHeader()
	case e != 0 || n == 0: // as who looks whether the port is open
		return s.noProxyHeader("connection closed before the PROXY header", true)
	}
	var h proxyproto.Header
	taken, fault := proxyproto.Parse(b.b[:n], &h)
	switch {
	case fault == proxyproto.Incomplete && c.hup:
		return s.noProxyHeader("connection closed within the PROXY header", false)
	case fault == proxyproto.Incomplete:
		return s.awaitHeader()
	case fault != proxyproto.None:
		return s.noProxyHeader(fault.String(), false)
	}
	if m, e := sysRead(c.fd, b.b[:taken]); e != 0 || m != taken {
		return s.end()
	}
	if !h.Local {
		dest := h.Dest
		s.peer, s.dest = h.Source, &dest
	}
	return s.welcome()
}

// awaitHeader waits for more: what is still with the kernel does not count as readable, what comes is an edge.
func (s *session) awaitHeader() verdict {
	s.client.readable = false
	s.l.arm(&s.client)
	if s.leaving() {
		return s.depart()
	}
	return wait
}

// noProxyHeader ends a connection of which nobody said whose it is; null is one that said nothing at all.
func (s *session) noProxyHeader(why string, null bool) verdict {
	s.fe.per[s.l.id].ereq++
	s.logStranger(why, null)
	return s.end()
}

// logStranger writes the line of a connection that came to nothing before its protocol began.
func (s *session) logStranger(why string, null bool) {
	l, fc := s.l, s.fe.conf.Load()
	if fc.sink != nil && !(null && fc.src.DontLogNull) {
		l.line = accesslog.AppendError(l.line[:0], &l.stamp, s.peer, l.wall-l.now+s.accepted, s.fe.name, s.bind.name, why)
		l.ring.Put(fc.sink, accesslog.Info, l.line)
	}
}

func (s *session) lateProxyHeader() {
	n, e := sysPeek(s.client.fd)
	s.noProxyHeader("no PROXY header in time", n == 0 || e != 0)
}

// introduce tells a server in a header of the PROXY protocol for whom a new connection is. It goes by itself, before TLS
// and everything else: a socket that has just connected has room for it.
func (s *session) introduce() (v verdict, sent bool) {
	c, t := s.server, s.t
	if t.sc.sendProxy == 0 || c.introduced || c.stream != nil {
		return proceed, true
	}
	flags := uintptr(0)
	if s.http {
		flags = unix.MSG_MORE // the request's head is next
	}
	switch e := s.l.introduce(c, s.peer, s.local(), flags); e {
	case 0:
		return proceed, true
	case unix.EAGAIN:
		return wait, false
	default:
		return s.notConnected(e), false
	}
}

// introduce sends the header on a connection that stands; EAGAIN: later.
func (l *loop) introduce(c *conn, peer, local netip.AddrPort, flags uintptr) unix.Errno {
	var b [proxyproto.MaxComposed]byte
	header := proxyproto.Append1(b[:0], peer, local)
	if c.sc.sendProxy == 2 {
		header = proxyproto.Append2(b[:0], peer, local, false)
	}
	n, e := sysSend(c.fd, header, flags)
	switch {
	case e == unix.EAGAIN:
		c.writable = false
		l.arm(c)
	case e == 0 && n < len(header):
		return unix.EPIPE
	case e == 0:
		c.introduced = true
	}
	return e
}
