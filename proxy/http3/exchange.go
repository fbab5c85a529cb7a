package http3

import (
	"cmp"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// exchange is a request and its answer on a link; link.mu guards it.
type exchange struct {
	l      *link
	id     uint32
	window int64     // what may be sent
	sent   bool      // the request has gone in full
	ended  bool      // the answer is here in full
	err    error     // why there will be no more of it
	ready  sync.Cond // there is more of the answer, or there will be none

	heads   []head // not taken yet
	content []byte
	begun   bool   // the final head has been taken
	taken   int    // content that the loop has not been credited with yet
	rescue  func() // nil: nobody writes to the client
}

// head is a header block of an answer: an interim one, the final one, or trailers.
type head struct {
	status int
	fields []hpack.HeaderField
}

// send hands on content of the request as the loop takes it; the end may be left open for trailers.
func (x *exchange) send(p []byte, end bool) error {
	l := x.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if err := x.writable(); err != nil {
			return err
		}
		if len(p) == 0 {
			if end {
				x.sent = true
				l.frame.WriteData(x.id, true, nil)
				l.changed.Broadcast()
				x.settle()
			}
			return nil
		}
		n := int(min(int64(len(p)), int64(l.frameSize), x.window, l.window, int64(maxOut-l.out.Len())))
		if n <= 0 {
			l.changed.Wait()
			continue
		}
		x.sent = end && n == len(p)
		l.frame.WriteData(x.id, x.sent, p[:n])
		x.window -= int64(n)
		l.window -= int64(n)
		p = p[n:]
		l.changed.Broadcast()
		if x.sent {
			x.settle()
			return nil
		}
	}
}

// trailers end the request.
func (x *exchange) trailers(fields []hpack.HeaderField) error {
	l := x.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := x.writable(); err != nil {
		return err
	}
	x.sent = true
	l.headers(x.id, fields, true)
	x.settle()
	return nil
}

func (x *exchange) writable() error {
	switch {
	case x.err != nil:
		return x.err
	case x.l.open[x.id] != x:
		return errFinished
	}
	return nil
}

// next waits for more of the answer: a head, or content in place of buf, which is kept for later. end: there is no more.
func (x *exchange) next(buf []byte) (h *head, content []byte, end bool, err error) {
	l := x.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case len(x.heads) > 0 && (!x.begun || len(x.content) == 0):
			h = &x.heads[0]
			x.heads = x.heads[1:]
			x.begun = x.begun || h.status >= 200
			return h, buf, false, nil
		case len(x.content) > 0:
			content, x.content = x.content, buf[:0]
			return nil, content, false, nil
		case x.ended:
			return nil, buf, true, nil
		case x.err != nil:
			return nil, buf, false, x.err
		}
		x.ready.Wait()
	}
}

// over takes note of the end of the answer, if it is one, and tells the handler.
func (x *exchange) over(end bool) {
	if end {
		x.ended = true
		x.settle()
	}
	x.ready.Broadcast()
}

// settle forgets a stream that is over on both sides.
func (x *exchange) settle() {
	if x.sent && x.ended {
		delete(x.l.open, x.id)
	}
}

// fail ends the exchange without an end of its answer. A handler that waits for its client has lingerFor to hand on what
// came until now.
func (x *exchange) fail(err error) {
	if x.err != nil || x.ended {
		return
	}
	x.err = err
	if x.rescue != nil {
		x.rescue()
	}
	x.ready.Broadcast()
	x.l.changed.Broadcast()
}

// wasReset: the loop wants no more of the request, and there is no more of the answer.
func (x *exchange) wasReset(code http2.ErrCode) {
	delete(x.l.open, x.id)
	x.fail(http2.StreamError{StreamID: x.id, Code: code})
	x.l.changed.Broadcast()
}

// reset ends the exchange on the loop's side too.
func (x *exchange) reset(code http2.ErrCode, err error) {
	if x.l.open[x.id] == x {
		delete(x.l.open, x.id)
		x.l.frame.WriteRSTStream(x.id, code)
		x.l.credit(nil, len(x.content))
		x.l.changed.Broadcast()
	}
	x.fail(err)
}

// cancel is the client's word that it wants no answer, or can't send all of its request.
func (x *exchange) cancel() { x.giveUp(errCanceled) }

// giveUp ends an exchange that can't go on with its client, and returns why it did not: the first reason counts.
func (x *exchange) giveUp(err error) error {
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	x.reset(http2.ErrCodeCancel, err)
	return cmp.Or(x.err, err)
}

// finish is the handler's good-bye. A request that is answered and goes on all the same is told to stop.
func (x *exchange) finish() {
	l := x.l
	l.mu.Lock()
	defer l.mu.Unlock()
	x.rescue = nil
	x.reset(http2.ErrCodeNo, errFinished)
	l.served = time.Now()
	if l.handlers--; l.handlers == 0 && l.ended {
		close(l.idle)
	}
}
