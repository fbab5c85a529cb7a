package engine

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// TLS on a loop is crypto/tls over a connection that answers "would block". Three rules make that work: a read that finds
// nothing fails with a net.Error whose Temporary is true; a write never fails for want of room, but leaves what the socket
// does not take in a buffer, and nothing more is written while there is some; after the handshake one reads before one
// waits, for what came with its last message is inside already.

// maxPlain is how much is encrypted at once: a record whose unsent rest fits in a small buffer, with room for an alert.
const maxPlain = smallBuffer - 256

var (
	errWouldBlock error = wouldBlock{}
	errBroken           = errors.New("the connection broke")
	errFlood            = errors.New("the peer asks for answers that it does not read")
)

// wouldBlock is the net.Error after which a tls.Conn goes on.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "would block" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// secure is what a connection over TLS has beyond its socket. To crypto/tls it is the net.Conn beneath. While hs is not
// nil the handshake's coroutine reads and writes, afterwards the session.
type secure struct {
	tls     *tls.Conn
	hs      *handshake // under way; nil: over
	err     error      // of the handshake
	l       *loop
	c       *conn
	out     *buffer // encrypted bytes that the socket has not taken
	taken   int     // bytes of a write that are encrypted and wait in out: written when out is
	fd      int32
	errno   unix.Errno
	resumed bool    // without a full handshake
	counted bool    // the handshake, with a server
	more    uintptr // MSG_MORE: the next record follows at once
	hungry  bool    // crypto/tls has nothing more until the socket has
	ended   bool    // crypto/tls has been told of the socket's end
	ending  bool    // our side is to be shut once out is sent
	peer    net.Addr
	alpn    string // protocol agreed on, "" for none
	sni     string // name the client asked for, or the one we asked for
}

// alpn is the protocol that was agreed on in the handshake: "" in clear and where there was none.
func (c *conn) alpn() string {
	if c.tls == nil {
		return ""
	}
	return c.tls.alpn
}

// secured is what there is of TLS on the connection that carries c, which may be one of HTTP/2: nil in clear.
func (c *conn) secured() *secure {
	switch {
	case c.stream != nil:
		return c.stream.m.tls
	case c.told != nil:
		return c.told
	}
	return c.tls
}

// Read implements net.Conn for crypto/tls.
func (w *secure) Read(p []byte) (int, error) {
	if w.hs != nil {
		return w.hs.read(w, p)
	}
	return w.read(p)
}

func (w *secure) read(p []byte) (int, error) {
	c := w.c
	if !c.readable {
		return 0, errWouldBlock
	}
	n, e := sysRead(c.fd, p)
	switch {
	case e == unix.EAGAIN:
		c.readable = false
		return 0, errWouldBlock
	case e != 0:
		w.errno = e
		return 0, errBroken
	case n == 0:
		w.ended = true
		return 0, io.EOF
	}
	if n < len(p) && !c.hup {
		c.readable = false
	}
	return n, nil
}

// Write implements net.Conn for crypto/tls. It takes everything.
func (w *secure) Write(p []byte) (int, error) {
	if w.hs != nil {
		return w.hs.write(w, p)
	}
	c, n := w.c, 0
	if w.out == nil && c.writable {
		sent, e := sysSend(c.fd, p, w.more)
		if e != 0 && e != unix.EAGAIN {
			w.errno = e
			return 0, errBroken
		}
		if e == 0 {
			n = sent
		}
		c.writable = n == len(p)
	}
	if n == len(p) {
		return n, nil
	}
	if w.out == nil {
		w.out = w.l.buffer(false)
	}
	if len(p)-n > w.out.room() {
		w.out.compact()
	}
	if len(p)-n > w.out.room() {
		return n, errFlood
	}
	w.out.append(p[n:])
	return len(p), nil
}

// Close implements net.Conn. The socket is the loop's.
func (w *secure) Close() error { return nil }

// LocalAddr implements net.Conn.
func (w *secure) LocalAddr() net.Addr { return w.peer }

// RemoteAddr implements net.Conn: a client's sessions are remembered by it where no name is sent.
func (w *secure) RemoteAddr() net.Addr { return w.peer }

// SetDeadline implements net.Conn. Deadlines are the session's.
func (w *secure) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (w *secure) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (w *secure) SetWriteDeadline(time.Time) error { return nil }

// decrypt is fill for TLS: c.in has room.
func (l *loop) decrypt(c *conn) (int, ioResult) {
	w := c.tls
	l.lend(w)
	n, err := w.tls.Read(c.in.b[c.in.w:])
	empty := l.reclaim(w)
	w.hungry = empty && err == nil || err == errWouldBlock
	if n > 0 { // an error that comes along comes again
		c.in.w += n
		return n, ioSome
	}
	l.spare(c)
	switch {
	case err == errWouldBlock:
		l.arm(c)
		return 0, ioBlock
	case err == io.EOF && !w.ended: // close_notify
		c.eof = true
		return 0, ioEOF
	}
	// Also the bare end of the socket: somebody may have cut what was sent (RFC 8446 section 6.1).
	c.broken = true
	return 0, ioError
}

// encrypt is write for TLS. Bytes count as written when the socket has taken all of their record: who is told to come
// back has to come with the same bytes, as everybody does who did not get them written.
func (l *loop) encrypt(c *conn, p []byte) (int, ioResult) {
	w := c.tls
	if r := l.drainSecure(c); r != ioSome {
		return 0, r
	}
	n := w.taken
	if n == 0 {
		n = min(len(p), maxPlain)
		if n < len(p) {
			w.more = unix.MSG_MORE // the kernel need not send each record by itself
		}
		_, err := w.tls.Write(p[:n])
		if w.more = 0; err != nil {
			c.deaf, c.errno = true, w.errno
			return 0, ioError
		}
	}
	if w.out != nil {
		w.taken = n
		l.arm(c)
		return 0, ioBlock
	}
	w.taken = 0
	return n, ioSome
}

// drainSecure sends encrypted bytes that wait.
func (l *loop) drainSecure(c *conn) ioResult {
	w := c.tls
	for w.out != nil {
		if !c.writable {
			l.arm(c)
			return ioBlock
		}
		n, e := sysSend(c.fd, w.out.data(), 0)
		switch {
		case e == unix.EAGAIN:
			c.writable = false
			l.arm(c)
			return ioBlock
		case e != 0:
			c.deaf, c.errno = true, e
			l.free(&w.out)
			return ioError
		}
		if w.out.consume(n); w.out.r < w.out.w {
			c.writable = false
			continue
		}
		l.free(&w.out)
	}
	if w.ending {
		w.ending = false
		sysShutdown(c.fd)
	}
	return ioSome
}

// shutWrite ends our side of a connection; over TLS the peer is told that nothing was cut off.
func (l *loop) shutWrite(c *conn) {
	c.shut = true
	if c.stream != nil {
		c.stream.finish()
		return
	}
	if w := c.tls; w != nil && w.hs == nil && w.err == nil {
		w.tls.CloseWrite()
		if w.out != nil {
			w.ending = true
			l.arm(c)
			return
		}
	}
	sysShutdown(c.fd)
}

// quiet reports whether a server's connection that idles has nothing to say, as far as is known of it; who wants to know
// of this moment says before that it may be readable. Over TLS tickets may have come; they are taken in.
func (l *loop) quiet(c *conn) bool {
	if c.tls == nil {
		_, e := sysPeek(c.fd)
		return e == unix.EAGAIN
	}
	if c.tls.hungry && !c.readable {
		return true
	}
	var b [1]byte
	l.lend(c.tls)
	n, err := c.tls.tls.Read(b[:])
	l.reclaim(c.tls)
	c.tls.hungry = err == errWouldBlock
	return n == 0 && c.tls.hungry
}

// unsecure ends TLS on a connection that is about to be closed.
func (l *loop) unsecure(c *conn) {
	w := c.tls
	c.tls = nil
	if w.hs != nil {
		w.cancel()
		return
	}
	if w.err == nil && !c.shut && !c.broken && !c.deaf && w.out == nil {
		w.tls.CloseWrite()
	}
	l.free(&w.out)
}
