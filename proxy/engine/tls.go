package engine

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// TLS in a session's phases, before its protocol and on the way to a server. How the handshake itself runs is
// handshake.go's.

// welcome is the phase after the PROXY header, or the first one: TLS if the bind has it, else the protocol.
func (s *session) welcome() verdict {
	if s.bind.tls == nil {
		return s.protocol()
	}
	s.enter(phaseTLS)
	times := &s.fe.conf.Load().times
	limit := times.client
	if s.http {
		limit = times.request
	}
	s.due = since(s.accepted-s.waited, limit)
	return proceed
}

// secureClient waits for the client's first bytes, then for the end of the handshake. Who says nothing costs nothing.
func (s *session) secureClient() verdict {
	c, l := &s.client, s.l
	switch w := c.tls; {
	case w == nil:
		switch n, e := sysPeek(c.fd); {
		case e == unix.EAGAIN:
			c.readable = false
			l.arm(c)
			return wait
		case e != 0 || n == 0:
			c.eof = true
			return s.insecure(errLeft)
		}
		l.shake(c, net.TCPAddrFromAddrPort(s.peer), tls.Server, s.bind.tls.Config())
		return proceed
	case w.hs != nil:
		w.wake()
		return wait
	case w.err != nil:
		return s.insecure(w.err)
	}
	ctr := s.fe.per[l.id]
	ctr.handshakes++
	if c.tls.resumed {
		ctr.resumed++
	}
	s.clientAt = l.now
	return s.protocol()
}

// insecure ends a session whose handshake failed, with the line that HAProxy writes.
func (s *session) insecure(err error) verdict {
	s.fe.per[s.l.id].badHandshakes++
	what, null := "SSL handshake failure", false
	switch {
	case errors.Is(err, errSilent):
		what, null = "Timeout during SSL handshake", s.client.tls == nil
	case errors.Is(err, errLeft):
		what, null = "Connection closed during SSL handshake", true
	case errors.Is(err, errBroken):
		what = "Connection error during SSL handshake"
	}
	s.logStranger(what, null)
	if w := s.client.tls; w != nil && w.hs == nil && w.err != errTooMany {
		s.client.tls = nil // the alert is on its way: what the client still sends is read, not understood
		return s.leave()
	}
	return s.end()
}

// secureServer is the handshake with a server, part of connecting to it. done is true when the connection stands.
func (s *session) secureServer() (v verdict, done bool) {
	c, sc := s.server, s.t.sc
	if c.tls == nil {
		if e := sysSockError(c.fd); e != 0 {
			return s.notConnected(e), false
		}
	}
	alpn := asConfigured
	if s.http && sc.proto != proxy.H1 {
		alpn = onlyH1
	}
	switch s.l.shakeServer(c, s.serverName(), alpn) {
	case shaking:
		return wait, false
	case unshaken:
		return s.connectFailed('S', true), false
	}
	return proceed, true
}

// shook is how far a handshake with a server has come.
type shook uint8

const (
	shaking shook = iota
	unshaken
	shakenHands
)

// What a server is offered in place of what the configuration has, where only one protocol will do.
var (
	asConfigured []string
	onlyH1       = []string{"http/1.1"}
	onlyH2       = []string{"h2"}
)

// shakeServer begins the handshake on a connection to a server or looks how it goes. Who waits is told by the connection.
func (l *loop) shakeServer(c *conn, name string, alpn []string) shook {
	sc := c.sc
	ctr := sc.rt.per[l.id]
	if c.tls == nil {
		config := sc.tls.Config(strings.Clone(name))
		if alpn != nil {
			config.NextProtos = alpn
		}
		l.shake(c, net.TCPAddrFromAddrPort(sc.ap), tls.Client, config)
	}
	switch w := c.tls; {
	case w.hs != nil:
		w.wake()
		return shaking
	case w.err != nil:
		ctr.badHandshakes++
		if l.fails.allow(l.now) {
			l.e.log.Warn("TLS handshake with a server failed", "server", sc.rt.backend.name+"/"+sc.rt.name, "error", w.err)
		}
		return unshaken
	case !w.counted:
		w.counted = true
		ctr.handshakes++
		if w.resumed {
			ctr.resumed++
		}
		w.sni = strings.Clone(name)
	}
	return shakenHands
}

// serverName is the name that the chosen server is asked for. It is good as long as the request's head is.
func (s *session) serverName() string {
	switch tls := s.t.sc.tls; tls.From {
	case tlsconf.SNIConstant:
		return tls.Name
	case tlsconf.SNIClient:
		if w := s.client.secured(); w != nil {
			return w.sni
		}
	case tlsconf.SNIHost:
		if !s.http {
			return ""
		}
		if h, ok := s.t.head.Get(http1.Host); ok {
			name := hostOnly(h.Value.Of(s.client.in.data()))
			return unsafe.String(unsafe.SliceData(name), len(name))
		}
	}
	return ""
}

// hostOnly is a Host header without its port. An IPv6 address is no name.
func hostOnly(h []byte) []byte {
	if len(h) > 0 && h[0] == '[' {
		return nil
	}
	if i := bytes.LastIndexByte(h, ':'); i >= 0 {
		return h[:i]
	}
	return h
}

// fits reports whether a connection to the chosen server is one that this request would make: with the same settings, and
// the same name asked for.
func (s *session) fits(c *conn) bool {
	sc := s.t.sc
	return c.sc.same(sc) && (sc.tls == nil || c.tls.sni == s.serverName())
}
