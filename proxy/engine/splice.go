package engine

import (
	"golang.org/x/sys/unix"
)

// Long streams go from socket to socket through a pipe without their bytes being copied to us and back (splice(2)). Short
// ones don't: two more calls cost more than copying a few kilobytes.

const (
	// spliceAfter is how many bytes have to come at a stretch before a stream counts as long. A read of less than pauseOf
	// bytes breaks the stretch.
	spliceAfter = 256 << 10
	pauseOf     = 8 << 10
	// pipeSize is what one pipe holds. An ordinary user's may be as large as pipe-max-size, 1 MiB as it comes.
	pipeSize = 256 << 10
	// maxPipes bounds the pipes of a loop, which are two descriptors each. Streams that find none are copied.
	maxPipes = 32
)

// pipe holds n bytes on their way.
type pipe struct {
	r, w int32
	n    int
}

// pipe takes a free pipe or makes one; nil when there are as many as may be, or no more descriptors.
func (l *loop) pipe() *pipe {
	if n := len(l.pipes); n > 0 {
		p := l.pipes[n-1]
		l.pipes = l.pipes[:n-1]
		return p
	}
	if l.pipesMade >= maxPipes {
		return nil
	}
	p := &pipe{}
	if e := sysPipe(p); e != 0 {
		return nil
	}
	l.pipesMade++
	return p
}

// freePipe keeps an empty pipe for the next stream. What is left in one belongs to a stream that broke: it goes with it.
func (l *loop) freePipe(b *body) {
	p := b.pipe
	if b.pipe = nil; p == nil {
		return
	}
	if p.n == 0 && !l.stopped {
		l.pipes = append(l.pipes, p)
		return
	}
	sysClose(p.r)
	sysClose(p.w)
	l.pipesMade--
}

func (l *loop) closePipes() {
	for _, p := range l.pipes {
		sysClose(p.r)
		sysClose(p.w)
	}
	l.pipes, l.pipesMade = nil, 0
}

// stretch takes note of a read of n bytes.
func (b *body) stretch(n int) {
	if n < pauseOf {
		b.run = 0
	} else if b.run < spliceAfter {
		b.run += n
	}
}

// plain: what is read and written is what passes over the socket.
func (c *conn) plain() bool { return c.tls == nil && c.stream == nil }

// spliceable reports whether the body goes through a pipe from here on: it has proven long, there is a good piece of it
// left, and nothing of it is in a buffer any more.
func (s *session) spliceable(src, dst *conn, b *body) bool {
	if b.pipe != nil {
		return true
	}
	if !src.plain() || !dst.plain() || b.kept {
		return false
	}
	if b.run < spliceAfter || b.approved > 0 || src.in != nil && src.in.r < src.in.w || dst.out != nil || !src.readable || src.eof || src.broken {
		return false
	}
	if b.kind == byLength && b.left < bigBuffer || b.kind != byLength && b.kind != byClose {
		return false
	}
	b.pipe = s.l.pipe()
	return b.pipe != nil
}

// splice moves the body on as pump does.
func (s *session) splice(src, dst *conn, b *body, count func(*session, int)) flow {
	l := s.l
	l.free(&src.in)
	moved := 0
	for range budget {
		if f, ok := s.drainPipe(dst, b, count); !ok {
			return f
		}
		if b.done {
			l.freePipe(b)
			return flowDone
		}
		n, r := l.fillPipe(src, b)
		switch r {
		case ioSome:
			s.touched(src)
			moved += n
			continue
		case ioBlock:
			if moved < spliceAfter/4 {
				b.run = 0 // it is no such stream any more
			}
			l.freePipe(b) // for one that has something to move
			return flowRead
		case ioEOF:
			l.freePipe(b)
			return flowEnd
		}
		l.freePipe(b)
		return flowSource
	}
	if f, ok := s.drainPipe(dst, b, count); !ok {
		return f
	}
	l.later(s)
	return flowTurn
}

// drainPipe sends all that is in the pipe; ok is false when it could not.
func (s *session) drainPipe(dst *conn, b *body, count func(*session, int)) (f flow, ok bool) {
	l, p := s.l, b.pipe
	for p.n > 0 {
		if dst.deaf || dst.shut {
			return flowDest, false
		}
		if !dst.writable {
			l.arm(dst)
			return flowWrite, false
		}
		n, e := sysSplice(p.r, dst.fd, p.n)
		switch {
		case e == unix.EAGAIN:
			dst.writable = false
			l.arm(dst)
			return flowWrite, false
		case e != 0:
			dst.deaf, dst.errno = true, e
			return flowDest, false
		}
		p.n -= n
		count(s, n)
		s.touched(dst)
	}
	return 0, true
}

// fillPipe reads once into an empty pipe.
func (l *loop) fillPipe(src *conn, b *body) (int, ioResult) {
	if src.eof {
		return 0, ioEOF
	}
	if src.broken {
		return 0, ioError
	}
	if !src.readable {
		l.arm(src)
		return 0, ioBlock
	}
	want := pipeSize
	if b.kind == byLength {
		want = int(min(b.left, pipeSize))
	}
	n, e := sysSplice(src.fd, b.pipe.w, want)
	switch {
	case e == unix.EAGAIN:
		src.readable = false
		l.arm(src)
		return 0, ioBlock
	case e != 0:
		src.broken = true
		return 0, ioError
	case n == 0:
		src.eof = true
		return 0, ioEOF
	}
	b.pipe.n = n
	if b.kind == byLength {
		b.left -= int64(n)
		b.done = b.left == 0
	}
	return n, ioSome
}
