package engine

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/http2"
)

// stream is the far end of a virtual conn: what a session reads from the conn was a message of HTTP/2 and comes as one of
// HTTP/1, and what it writes there goes the other way.
type stream struct {
	m *mux
	c *conn
	h *http2.Stream // nil: none yet (to a server), or none any more

	// Coming in:
	head    *buffer // not taken by the session yet
	rx      *buffer // content that the session has not taken
	trail   *buffer // trailers as lines
	framing http2.Framing
	ended   bool // the other side has
	tailed  bool // the end of a chunked body has been written

	// Going out:
	tx     sending
	left   int64
	chunks http1.Chunks
	lines  *buffer // trailers
	round  uint32
	quota  int

	isHead, isConnect bool     // the request's method
	key               [24]byte // of a WebSocket: what who consents to it has to prove to have seen; zero: none
	refused           bool     // the other side has not looked at it
	gone              bool     // reset by the client
	code              http2.ErrCode

	waits         bool // in the mux's list
	before, after *stream
}

// sending is what a session's next bytes are.
type sending uint8

const (
	sendHead sending = iota
	sendLength
	sendChunks
	sendRaw
	sendNothing
)

func (l *loop) newStream(m *mux, c *conn, h *http2.Stream) *stream {
	var st *stream
	if n := len(l.streams); n > 0 {
		st = l.streams[n-1]
		l.streams = l.streams[:n-1]
	} else {
		st = &stream{}
	}
	*st = stream{m: m, c: c, h: h, code: http2.InternalError}
	if h != nil {
		h.Owner = st
	}
	m.streams++
	return st
}

// wake lets the session look again at what it waits for.
func (st *stream) wake() {
	st.c.readable, st.c.writable = true, true
	if st.c.s != nil {
		st.m.l.later(st.c.s)
	}
}

// receive keeps content until the session takes it; flow control bounds how much that is.
func (st *stream) receive(p []byte, end bool) {
	if len(p) > 0 {
		if st.framing == http2.NoContent {
			st.fault()
			return
		}
		st.rx = st.m.l.enlarged(st.rx, len(p))
		st.rx.append(p)
	}
	st.ended = st.ended || end
	st.wake()
}

// enlarged has room for n bytes more.
func (l *loop) enlarged(b *buffer, n int) *buffer {
	if b == nil {
		b = l.buffer(n > l.size)
	}
	if b.room() < n {
		b.compact()
	}
	if b.room() >= n {
		return b
	}
	var more *buffer
	if need := b.w + n; need <= bigBuffer {
		more = l.buffer(true)
	} else {
		more = &buffer{b: make([]byte, 2*need)}
	}
	more.append(b.data())
	l.free(&b)
	return more
}

// trailers come with the end.
func (st *stream) trailers() {
	b := st.m.l.buffer(false)
	lines, fate := st.m.l.fields.AppendTrailers(b.b[:0])
	if fate != http2.Good {
		st.m.l.free(&b)
		st.fault()
		return
	}
	b.w = len(lines)
	st.trail, st.ended = b, true
	st.wake()
}

// fault: the other side broke a rule of messages.
func (st *stream) fault() {
	if st.h != nil {
		st.m.put(st.m.h.Reset(st.m.out(), st.h, http2.ProtocolError))
	}
	st.lose()
}

// reset: the stream is over. An answer that was complete remains good.
func (st *stream) reset(ev *http2.Event) {
	st.refused = ev.Code == http2.RefusedStream && !ev.Ours
	st.lose()
}

// lose makes the conn one whose peer has gone. A server's answer that is here in full remains good.
func (st *stream) lose() {
	c := st.c
	if !c.client && st.ended {
		c.deaf, c.errno = true, unix.EPIPE
		st.wake()
		return
	}
	st.gone = c.client
	c.broken, c.deaf, c.hup, c.errno = true, true, true, unix.ECONNRESET
	st.wake()
}

// window: there may be something to send again.
func (st *stream) window() {
	if !st.waits && !st.c.writable {
		st.wake()
	}
}

// fill hands on what has come, in the order head, content, trailers.
func (st *stream) fill() (int, ioResult) {
	c, l := st.c, st.m.l
	if !c.readable {
		return 0, ioBlock
	}
	empty := c.in == nil || c.in.r == c.in.w
	switch {
	case st.head != nil && empty:
		l.free(&c.in)
		c.in, st.head = st.head, nil
		return c.in.w - c.in.r, ioSome
	case st.head != nil:
		return 0, ioBlock
	}
	if st.rx != nil && st.rx.r < st.rx.w {
		if n := st.content(empty); n > 0 {
			return n, ioSome
		}
		return 0, ioBlock
	}
	l.free(&st.rx)
	if c.broken {
		l.spare(c)
		return 0, ioError
	}
	if st.ended && st.framing == http2.ByChunks && !st.tailed {
		if n := st.tail(); n > 0 {
			return n, ioSome
		}
		return 0, ioBlock
	}
	if st.ended && st.framing == http2.Raw {
		c.eof = true
		l.spare(c)
		return 0, ioEOF
	}
	c.readable = false
	l.spare(c)
	return 0, ioBlock
}

// chunkFrame is the most that a chunk's size and line ends take.
const chunkFrame = 12

// content moves bytes to the conn, as a chunk if that is how they are framed. With nothing else in it the conn takes the
// buffer as it is.
func (st *stream) content(empty bool) int {
	c, l := st.c, st.m.l
	n := st.rx.w - st.rx.r
	if st.framing != http2.ByChunks {
		if empty {
			l.free(&c.in)
			c.in, st.rx = st.rx, nil
		} else {
			n = st.move(n, c.in)
		}
		st.consumed(n)
		return n
	}
	if empty {
		l.free(&c.in)
		c.in = l.buffer(n > smallBuffer-chunkFrame)
	}
	if c.in.room() < 2*chunkFrame {
		c.in.compact()
	}
	if n = min(n, c.in.room()-chunkFrame); n <= 0 {
		return 0
	}
	in := c.in
	before := in.w
	in.w = len(append(strconv.AppendUint(in.b[:in.w], uint64(n), 16), "\r\n"...))
	st.move(n, in)
	in.w = len(append(in.b[:in.w], "\r\n"...))
	st.consumed(n)
	return in.w - before
}

func (st *stream) move(n int, to *buffer) int {
	if to.room() < n {
		to.compact()
	}
	n = min(n, to.room())
	to.append(st.rx.data()[:n])
	st.rx.consume(n)
	return n
}

// consumed lets the other side send as much again.
func (st *stream) consumed(n int) {
	if n > 0 && !st.m.dead {
		before := len(st.m.out())
		if out := st.m.h.Consumed(st.m.out(), st.h, n); len(out) != before {
			st.m.put(out)
		} else if before == 0 {
			st.m.l.free(&st.m.c.out)
		}
	}
}

// tail writes the end of a chunked body.
func (st *stream) tail() int {
	c, l := st.c, st.m.l
	if c.in == nil {
		c.in = l.buffer(false)
	}
	w := writer{b: c.in}
	c.in.compact()
	before := c.in.w
	w.text("0\r\n")
	if st.trail != nil {
		w.bytes(st.trail.data())
	}
	w.text("\r\n")
	if w.full {
		c.in.w = before
		return 0
	}
	l.free(&st.trail)
	st.tailed = true
	return c.in.w - before
}

// write takes what it can of p.
func (st *stream) write(p []byte) (int, ioResult) {
	c := st.c
	n := 0
	for n < len(p) {
		if c.deaf || st.tx == sendNothing {
			c.deaf = true
			return n, ioError
		}
		k, ok := st.send(p[n:])
		n += k
		if !ok {
			break
		}
	}
	if n > 0 {
		return n, ioSome
	}
	if c.deaf {
		return 0, ioError
	}
	c.writable = false
	return 0, ioBlock
}

// send takes a piece of p; false: it has to wait, or there is an error.
func (st *stream) send(p []byte) (int, bool) {
	switch st.tx {
	case sendHead:
		if st.c.client {
			return st.sendAnswer(p)
		}
		return st.sendRequest(p)
	case sendLength:
		n := st.allowed(int(min(int64(len(p)), st.left)))
		if n == 0 {
			return 0, false
		}
		st.left -= int64(n)
		st.data(p[:n], st.left == 0)
		return n, true
	case sendChunks:
		return st.sendChunk(p)
	}
	n := st.allowed(len(p))
	if n == 0 {
		return 0, false
	}
	st.data(p[:n], false)
	return n, true
}

// allowed is how much of n bytes of content may go now. With 0 the stream is told when more may.
func (st *stream) allowed(n int) int {
	m := st.m
	if st.round != m.round {
		st.round, st.quota = m.round, muxQuantum
	}
	may := min(n, m.h.Window(st.h))
	if m.streams > 1 {
		may = min(may, st.quota)
	}
	if may > 0 {
		m.room(may + http2.FrameHeaderLen + muxReserve)
		may = min(may, m.c.out.room()-http2.FrameHeaderLen-muxReserve)
	}
	if may > 0 {
		return may
	}
	if !st.h.Starved() {
		m.await(st)
	}
	return 0
}

func (st *stream) data(p []byte, end bool) {
	m := st.m
	m.put(m.h.AppendData(m.out(), st.h, p, end))
	st.quota -= len(p)
	if end {
		st.tx = sendNothing
	}
}

// lastChunk is what follows the content of a body that ends without trailers.
const lastChunk = "\r\n0\r\n\r\n"

// sendChunk takes content out of its chunks, and trailers line by line.
func (st *stream) sendChunk(p []byte) (int, bool) {
	m := st.m
	if st.chunks.InData() {
		n := st.allowed(len(p))
		if n == 0 {
			return 0, false
		}
		n, _, _ = st.chunks.Next(p[:n])
		end := st.chunks.Left() == 0 && string(p[n:]) == lastChunk
		st.data(p[:n], end)
		if end {
			n = len(p)
		}
		return n, true
	}
	line := bytes.IndexByte(p, '\n') + 1
	if line == 0 {
		line = len(p)
	}
	trailing := st.chunks.Trailing()
	if trailing {
		if st.lines == nil {
			st.lines = m.l.buffer(false)
		}
		if !m.room(st.lines.w+line+http1.MaxHeaders+muxReserve) || st.lines.room() < line {
			m.await(st)
			return 0, false
		}
	}
	n, piece, f := st.chunks.Next(p[:line])
	if f != http1.None {
		st.c.deaf = true
		return 0, false
	}
	if trailing {
		st.lines.append(p[:n])
	}
	if piece == http1.End {
		st.sendTrailers()
	}
	return n, true
}

func (st *stream) sendTrailers() {
	m := st.m
	if st.lines.w-st.lines.r <= 2 {
		st.data(nil, true)
	} else {
		out := m.out()
		at := len(out)
		out = http2.AppendTrailerFields(m.h.OpenHeaders(out), st.lines.data())
		m.put(m.h.CloseHeaders(out, at, st.h, true))
		st.tx = sendNothing
	}
	m.l.free(&st.lines)
}

// roomFor reports whether there is room for a head's frame; if not it waits for some.
func (st *stream) roomFor(h *http1.Head) bool {
	if st.m.room(h.Len + 4*h.N + 256 + muxReserve) {
		return true
	}
	st.m.await(st)
	return false
}

// sendFields writes a head's frame; false: there is no room for it now.
func (st *stream) sendFields(h *http1.Head, write func(dst []byte) []byte, end bool) bool {
	if !st.roomFor(h) {
		return false
	}
	m := st.m
	out := m.out()
	at := len(out)
	m.put(m.h.CloseHeaders(write(m.h.OpenHeaders(out)), at, st.h, end))
	if end {
		st.tx = sendNothing
	}
	return true
}

// sendAnswer takes the head of an answer, interim ones too.
func (st *stream) sendAnswer(p []byte) (int, bool) {
	h := &st.m.l.sent
	if http1.ParseResponse(p, h) != http1.None {
		st.c.deaf = true
		return 0, false
	}
	tx := sendRaw
	end := false
	switch {
	case h.Status == 101, st.isConnect && h.Status/100 == 2:
	case h.Status < 200:
		tx = sendHead
	case st.isHead, h.Status == 204, h.Status == 304, h.ContentLength == 0:
		end = true
	case h.Chunked:
		tx = sendChunks
	case h.ContentLength > 0:
		tx, st.left = sendLength, h.ContentLength
	}
	if !st.sendFields(h, func(dst []byte) []byte { return http2.AppendResponseFields(dst, h, p) }, end) {
		return 0, false
	}
	if !end {
		st.tx = tx
	}
	return h.Len, true
}

// finish ends our side of a message whose end nothing else tells.
func (st *stream) finish() {
	if st.tx == sendRaw && !st.c.deaf {
		st.data(nil, true)
	}
}

// close is the session's good-bye. What it has not said to its end is cut.
func (st *stream) close() {
	m, l := st.m, st.m.l
	m.unawait(st)
	n := 0
	if st.rx != nil {
		n = st.rx.w - st.rx.r
	}
	st.consumed(n)
	switch {
	case st.h == nil:
	case m.dead: // m.c may be another connection by now
		m.h.Release(nil, st.h, st.code)
	default:
		m.put(m.h.Release(m.out(), st.h, st.code))
	}
	l.free(&st.head)
	l.free(&st.rx)
	l.free(&st.trail)
	l.free(&st.lines)
	m.streams--
	m.idleAt = l.now
	m.touch()
	*st = stream{}
	if len(l.streams) < 4096 {
		l.streams = append(l.streams, st)
	}
}
