package engine

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// The handshake, with clients and with servers. Its arithmetic would hold up a loop for a millisecond, so that it runs on a
// goroutine, which posts back. As many compute at a time as there are loops; the others, and those that wait for their
// peer, are asleep. Each has a deadline, the session's.

// maxHandshakes bounds how many are under way in the process, at some 20 kB each. Who comes then is closed.
const maxHandshakes = 16384

var (
	errCanceled = errors.New("the handshake was given up")
	errTooMany  = errors.New("too many handshakes at once")
	errSilent   = errors.New("the peer was silent")
	errLeft     = errors.New("the peer left")
)

// handshake is one under way.
type handshake struct {
	slots  chan struct{} // the right to compute
	ready  chan struct{} // capacity 1: the socket may have something, or room
	cancel chan struct{} // closed: nobody waits for the outcome any more
	holds  bool          // one of slots; the goroutine's

	mu     sync.Mutex
	over   bool
	orphan bool // the socket is the goroutine's to close
}

// shake begins a handshake on a connected socket. Its session runs when it is over.
func (l *loop) shake(c *conn, peer net.Addr, role func(net.Conn, *tls.Config) *tls.Conn, config *tls.Config) {
	hs := &handshake{slots: l.e.slots, ready: make(chan struct{}, 1), cancel: make(chan struct{})}
	w := &secure{hs: hs, l: l, c: c, fd: c.fd, peer: peer}
	w.tls = role(w, config)
	c.tls = w
	if l.e.shaking.add() > maxHandshakes {
		l.e.shaking.sub()
		w.hs, w.err = nil, errTooMany
		return
	}
	l.arm(c)
	l.e.shakes.Go(func() {
		err := w.shake()
		l.e.shaking.sub()
		hs.mu.Lock()
		hs.over = true
		orphan := hs.orphan
		hs.mu.Unlock()
		if orphan {
			sysClose(w.fd)
			return
		}
		l.post(func() { l.shaken(w, err) }) // a loop that has ended closes the socket
	})
}

// shake is the goroutine.
func (w *secure) shake() error {
	hs := w.hs
	if err := hs.acquire(); err != nil {
		return err
	}
	defer hs.release()
	err := w.tls.Handshake()
	if err == nil {
		state := w.tls.ConnectionState()
		w.alpn, w.sni, w.resumed = state.NegotiatedProtocol, state.ServerName, state.DidResume
	}
	return err
}

func (hs *handshake) acquire() error {
	select {
	case hs.slots <- struct{}{}:
		hs.holds = true
		return nil
	case <-hs.cancel:
		return errCanceled
	}
}

func (hs *handshake) release() {
	if hs.holds {
		hs.holds = false
		<-hs.slots
	}
}

// await lets others compute until the socket has something new.
func (hs *handshake) await() error {
	hs.release()
	select {
	case <-hs.ready:
	case <-hs.cancel:
		return errCanceled
	}
	return hs.acquire()
}

func (hs *handshake) read(w *secure, p []byte) (int, error) {
	for {
		n, e := sysRead(w.fd, p)
		switch {
		case e == unix.EAGAIN:
			if err := hs.await(); err != nil {
				return 0, err
			}
		case e != 0:
			return 0, errBroken
		case n == 0:
			w.ended = true
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (hs *handshake) write(w *secure, p []byte) (int, error) {
	for done := 0; ; {
		n, e := sysSend(w.fd, p[done:], 0)
		switch {
		case e == unix.EAGAIN:
			if err := hs.await(); err != nil {
				return done, err
			}
		case e != 0:
			return done, errBroken
		default:
			if done += n; done == len(p) {
				return done, nil
			}
		}
	}
}

// wake tells the goroutine that there was an event.
func (hs *handshake) wake() {
	select {
	case hs.ready <- struct{}{}:
	default:
	}
}

// abandon gives the handshake up and reports whether the socket may be closed at once.
func (hs *handshake) abandon() bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.over {
		return true
	}
	hs.orphan = true
	close(hs.cancel)
	return false
}

// shaken is the news that a handshake is over.
func (l *loop) shaken(w *secure, err error) {
	c := w.c
	if c.tls != w { // given up meanwhile
		return
	}
	w.hs, w.err = nil, err
	w.forget()
	c.readable, c.writable = true, true
	if c.s == nil {
		c.mux.touch()
		return
	}
	c.s.run()
}

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
		w.hs.wake()
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
		w.hs.wake()
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
