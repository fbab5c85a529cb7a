package engine

import (
	"golang.org/x/sys/unix"
)

const (
	smallBuffer = 16384 // unless tune.bufsize is more
	bigBuffer   = 65536
	// keepBuffers bounds how many free buffers of a size a loop keeps.
	keepSmall = 1024
	keepBig   = 64
)

// buffer holds bytes b[r:w]. Connections that idle own none.
type buffer struct {
	b    []byte
	r, w int
	big  bool // of the loop's big ones
}

func (b *buffer) data() []byte { return b.b[b.r:b.w] }
func (b *buffer) room() int    { return len(b.b) - b.w }

func (b *buffer) append(p []byte) { b.w += copy(b.b[b.w:], p) }

func (b *buffer) consume(n int) {
	if b.r += n; b.r == b.w {
		b.r, b.w = 0, 0
	}
}

func (b *buffer) compact() {
	if b.r > 0 {
		b.w = copy(b.b, b.b[b.r:b.w])
		b.r = 0
	}
}

func (l *loop) buffer(big bool) *buffer {
	pool, size := &l.small, l.size
	if big {
		l.bigs++
		pool, size = &l.big, bigBuffer
	}
	if n := len(*pool); n > 0 {
		b := (*pool)[n-1]
		*pool = (*pool)[:n-1]
		b.r, b.w = 0, 0
		return b
	}
	return &buffer{b: make([]byte, size), big: big}
}

func (l *loop) free(b **buffer) {
	if *b == nil {
		return
	}
	if (*b).big {
		l.bigs--
		if len(l.big) < keepBig {
			l.big = append(l.big, *b)
		}
	} else if len((*b).b) == l.size && len(l.small) < l.keepSmall() {
		l.small = append(l.small, *b)
	}
	*b = nil
}

// conn is one socket. Its descriptor is registered edge-triggered and late: only when something has to be waited for.
type conn struct {
	fd         int32
	gen        int32
	registered bool
	readable   bool // a read may find something
	writable   bool // a write may find room
	hup        bool // the peer's end of file or a reset has been announced
	eof        bool // the end of file has been read
	broken     bool // a read failed
	deaf       bool // a write failed
	errno      unix.Errno
	shut       bool // we have shut our side
	client     bool
	h1         bool // a preface begins no HTTP/2
	in, out    *buffer
	tls        *secure // nil: clear
	told       *secure // of a client over QUIC: what it agreed on with those who hand its requests on to here
	s          *session
	mux        *mux    // of a socket that carries HTTP/2
	stream     *stream // instead of a socket: one of a mux's
	*pooled            // nil for a client's
}

// event takes note of what epoll says.
func (c *conn) event(ev uint32) {
	if ev&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.readable = true
	}
	if ev&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.writable = true
	}
	if ev&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.hup = true
	}
}

// arm registers the connection, once.
func (l *loop) arm(c *conn) {
	if c.registered || c.fd < 0 {
		return
	}
	c.registered = true
	sysEpollAdd(l.ep, c.fd, c.gen, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET&0xffffffff)
}

// ioResult is the outcome of a read or write.
type ioResult uint8

const (
	ioSome  ioResult = iota // bytes moved
	ioBlock                 // come back on an event
	ioEOF
	ioError
)

// fill reads once into c.in, making or enlarging room as needed. in must not be full.
func (l *loop) fill(c *conn, big bool) (int, ioResult) {
	if c.eof {
		return 0, ioEOF
	}
	if c.stream != nil {
		return c.stream.fill()
	}
	if c.broken {
		return 0, ioError
	}
	if !c.readable && (c.tls == nil || c.tls.hungry) {
		l.arm(c)
		return 0, ioBlock
	}
	big = big && l.roomForBig()
	if c.in != nil && c.in.r == c.in.w && big && len(c.in.b) != bigBuffer {
		l.free(&c.in)
	}
	if c.in == nil {
		c.in = l.buffer(big)
	}
	if c.in.room() == 0 {
		c.in.compact()
	}
	room := c.in.room()
	if room == 0 {
		return 0, ioBlock
	}
	if c.tls != nil {
		return l.decrypt(c)
	}
	n, e := sysRead(c.fd, c.in.b[c.in.w:])
	switch {
	case e == unix.EAGAIN:
		c.readable = false
		l.spare(c)
		l.arm(c)
		return 0, ioBlock
	case e != 0:
		c.broken = true
		l.spare(c)
		return 0, ioError
	case n == 0:
		c.eof = true
		l.spare(c)
		return 0, ioEOF
	}
	c.in.w += n
	if n < room && !c.hup {
		c.readable = false // an edge will tell of more, as will registering
	}
	return n, ioSome
}

// spare gives an empty read buffer back.
func (l *loop) spare(c *conn) {
	if c.in != nil && c.in.r == c.in.w {
		l.free(&c.in)
	}
}

// write sends p once.
func (l *loop) write(c *conn, p []byte) (int, ioResult) {
	if c.deaf || c.shut {
		return 0, ioError
	}
	if !c.writable {
		l.arm(c)
		return 0, ioBlock
	}
	switch {
	case c.stream != nil:
		return c.stream.write(p)
	case c.tls != nil:
		return l.encrypt(c, p)
	}
	n, e := sysSend(c.fd, p, 0)
	switch {
	case e == unix.EAGAIN:
		c.writable = false
		l.arm(c)
		return 0, ioBlock
	case e != 0:
		c.deaf, c.errno = true, e
		return 0, ioError
	}
	if n < len(p) {
		c.writable = false
	}
	return n, ioSome
}

// flush sends c.out and gives the buffer back when it is empty.
func (l *loop) flush(c *conn) ioResult {
	for c.out != nil && c.out.r < c.out.w {
		n, r := l.write(c, c.out.data())
		if r != ioSome {
			return r
		}
		c.out.r += n
	}
	l.free(&c.out)
	return ioSome
}

// connectError is why a connection does not stand, 0 if it does.
func (c *conn) connectError() unix.Errno {
	if c.stream != nil {
		return c.errno
	}
	return sysSockError(c.fd)
}

// close closes the socket and gives its buffers back.
func (l *loop) close(c *conn) {
	if c.mux != nil {
		c.mux.detach()
		c.mux = nil
	}
	if c.stream != nil {
		c.stream.close()
		c.stream = nil
		l.free(&c.in)
		l.free(&c.out)
		return
	}
	if c.fd < 0 {
		return
	}
	l.fds[c.fd] = nil
	if c.tls != nil {
		l.unsecure(c)
	}
	sysClose(c.fd)
	c.fd = -1
	l.free(&c.in)
	l.free(&c.out)
}
