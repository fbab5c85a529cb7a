package engine

import (
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/tally"
)

// bodyKind is how a message's end is known.
type bodyKind uint8

const (
	noBody bodyKind = iota
	byLength
	byChunks
	byClose // and tunnels
)

// body is one direction of a transaction once its head has gone: what of the source's bytes belongs to it. Only bytes
// that were approved are passed on, so what a malformed chunk brings along never is.
type body struct {
	kind     bodyKind
	done     bool // the last byte has been approved
	unchunk  bool // the receiver is of HTTP/1.0: content only
	big      bool // worth a big buffer
	kept     bool // a copy goes to a cache
	left     int64
	approved int   // bytes at the head of the source's buffer
	run      int   // bytes that came at a stretch
	pipe     *pipe // through which they go, once that pays
	chunks   http1.Chunks
	fault    http1.Fault
}

func newBody(kind bodyKind, length int64) body {
	b := body{kind: kind, left: length}
	b.done = kind == noBody || kind == byLength && length == 0
	return b
}

// lookAhead follows chunks that are here already, from a place on: up to where, and whether all of it is good.
func lookAhead(c *http1.Chunks, rest []byte, at int) (int, http1.Fault) {
	for at < len(rest) && !c.Done() {
		n, _, f := c.Next(rest[at:])
		if f != http1.None {
			return at, f
		}
		at += n
	}
	return at, http1.None
}

// approve looks at what came after the approved bytes.
func (b *body) approve(in *buffer) {
	if b.done || in == nil || b.fault != http1.None {
		return
	}
	fresh := in.data()[b.approved:]
	switch b.kind {
	case byLength:
		n := int(min(b.left, int64(len(fresh))))
		b.left -= int64(n)
		b.approved += n
		b.done = b.left == 0
		b.big = b.left > smallBuffer
	case byClose:
		b.big = b.approved+len(fresh) >= smallBuffer
		b.approved += len(fresh)
	case byChunks:
		b.scan(in, fresh)
	}
}

func (b *body) scan(in *buffer, fresh []byte) {
	kept := 0 // bytes of fresh that stay, when framing is taken out
	at := 0
	for at < len(fresh) && !b.done {
		n, piece, f := b.chunks.Next(fresh[at:])
		if f != http1.None {
			b.fault = f
			break
		}
		if !b.unchunk || piece == http1.Data {
			if kept != at {
				copy(fresh[kept:], fresh[at:at+n])
			}
			kept += n
		}
		at += n
		b.done = piece == http1.End
	}
	if kept < at {
		in.w -= at - kept
		copy(fresh[kept:], fresh[at:])
	}
	b.approved += kept
	b.big = b.chunks.Left() > smallBuffer
}

// flow is how far a pump came.
type flow uint8

const (
	flowRead   flow = iota // waits for the source
	flowWrite              // waits for the destination
	flowDone               // the message has gone in full
	flowEnd                // the source ended before the message did
	flowSource             // the source broke
	flowDest               // the destination broke
	flowFault              // malformed chunk
	flowTurn               // has more to do; others first
)

// pump moves one direction of a message: approve, gather behind what is still to be sent, send, read.
func (s *session) pump(src, dst *conn, b *body, count func(*session, int)) flow {
	l := s.l
	for range budget {
		before := b.approved
		b.approve(src.in)
		if b.kept && b.approved > before {
			if s.keepBody(src.in.data()[before:b.approved]); b.done {
				s.kept() // before the client can ask again
			}
		}
		if f, ok := s.deliver(src, dst, b, count); !ok {
			return f
		}
		if s.spliceable(src, dst, b) {
			return s.splice(src, dst, b, count)
		}
		switch {
		case b.done && b.approved == 0:
			l.spare(src)
			return flowDone
		case b.fault != http1.None:
			return flowFault
		}
		n, r := l.fill(src, b.big)
		switch r {
		case ioBlock:
			return flowRead
		case ioEOF:
			return flowEnd
		case ioError:
			return flowSource
		}
		b.stretch(n)
		s.touched(src)
	}
	l.later(s)
	return flowTurn
}

// deliver sends all that is approved. ok is false when it could not.
func (s *session) deliver(src, dst *conn, b *body, count func(*session, int)) (f flow, ok bool) {
	var p []byte
	if b.approved > 0 {
		p = src.in.data()[:b.approved]
	}
	n, r := s.hand(dst, p, count)
	if n > 0 {
		src.in.consume(n)
		b.approved -= n
	}
	return blocked(r), r == ioSome
}

// hand gives p to a connection, behind what its out buffer has, and tells how much of p is on its way. What is not has to
// come again as it is.
func (s *session) hand(dst *conn, p []byte, count func(*session, int)) (taken int, r ioResult) {
	l := s.l
	if dst.out != nil {
		if taken = min(len(p), dst.out.room()); taken > 0 {
			dst.out.append(p[:taken])
			count(s, taken)
		}
		before := dst.out.r
		r = l.flush(dst)
		if dst.out == nil || dst.out.r != before {
			s.touched(dst)
		}
		if r != ioSome {
			return taken, r
		}
	}
	for taken < len(p) {
		n, r := l.write(dst, p[taken:])
		if r != ioSome {
			return taken, r
		}
		taken += n
		count(s, n)
		s.touched(dst)
	}
	return taken, ioSome
}

func blocked(r ioResult) flow {
	if r == ioBlock {
		return flowWrite
	}
	return flowDest
}

// Bytes are counted as they are handed on, so that a long transfer shows while it lasts.

func countUp(s *session, n int) {
	t := s.t
	t.spoke = true
	s.tally(tally.In, uint64(n))
	s.fe.per[s.l.id].bin += uint64(n)
	if t.bc != nil {
		t.bc.rt.per[s.l.id].bin += uint64(n)
	}
	if t.sc != nil {
		t.sc.rt.per[s.l.id].bin += uint64(n)
	}
}

func countDown(s *session, n int) {
	t := s.t
	t.bytes += uint64(n)
	s.tally(tally.Out, uint64(n))
	s.fe.per[s.l.id].bout += uint64(n)
	if t.bc != nil {
		t.bc.rt.per[s.l.id].bout += uint64(n)
	}
	if t.sc != nil {
		t.sc.rt.per[s.l.id].bout += uint64(n)
	}
}

// touched notes activity for the inactivity timeouts.
func (s *session) touched(c *conn) {
	if c.client {
		s.clientAt = s.l.now
	} else {
		s.serverAt = s.l.now
	}
}
