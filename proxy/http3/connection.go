package http3

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
)

// connection is a client's, with the link by which its requests go to their loop. It has a server of the library of its
// own, so that it can be told to leave alone.
type connection struct {
	qc      *quic.Conn
	arrival *arrival
	link    *link
	server  *h3.Server
	timeout time.Duration // Settings.RequestTimeout
	end     context.Context
	cut     context.CancelFunc // ends it at once
	leaving sync.Once
	left    chan struct{} // closed when leave has done its work, or is not to begin any more
	work    sync.WaitGroup
	slow    sync.Mutex // whose turn it is while memory is short
}

func newConnection(qc *quic.Conn, a *arrival, socket net.Conn, timeout time.Duration) *connection {
	c := &connection{qc: qc, arrival: a, timeout: timeout, left: make(chan struct{})}
	c.end, c.cut = context.WithCancel(context.Background())
	c.link = newLink(socket, c.leave)
	c.server = &h3.Server{Handler: c, MaxHeaderBytes: MaxHead, Logger: slog.New(slog.DiscardHandler)}
	return c
}

// run serves the connection until it has ended on both sides.
func (c *connection) run() {
	c.work.Go(c.link.write)
	c.work.Go(func() {
		c.link.read()
		c.linkEnded()
	})
	stop := context.AfterFunc(c.end, func() { c.close(h3.ErrCodeNoError) })
	c.server.ServeQUICConn(c.qc) // returns when no handler runs any more
	c.close(h3.ErrCodeNoError)
	stop()
	c.cut()
	c.link.close()
	c.work.Wait()
	c.leaving.Do(func() { close(c.left) })
	<-c.left
}

func (c *connection) close(code h3.ErrCode) { c.qc.CloseWithError(quic.ApplicationErrorCode(code), "") }

// leave tells the client to send no more requests. Those that come all the same are rejected, and may be sent elsewhere.
func (c *connection) leave() {
	c.leaving.Do(func() {
		go func() {
			defer close(c.left)
			c.server.Shutdown(c.end)
		}()
	})
}

// linkEnded: the loop has closed its end. What it has said is handed on, and given time to arrive; a client that made too
// much work is cut.
func (c *connection) linkEnded() {
	if c.link.flooded() {
		c.close(h3.ErrCodeExcessiveLoad)
		return
	}
	c.leave()
	if !c.wait(c.link.idle, deliverFor) {
		c.wait(nil, lingerFor-time.Since(c.link.lastServed()))
	}
	c.cut()
}

// wait waits for an event, no longer than d or the connection lives; true: it was in vain.
func (c *connection) wait(event <-chan struct{}, d time.Duration) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-event:
		return false
	case <-late.C:
	case <-c.end.Done():
	case <-c.qc.Context().Done():
	}
	return true
}

// ServeHTTP implements http.Handler for the library.
func (c *connection) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.arrival.place.Keep(RequestMemory)
	defer c.arrival.place.Keep(-RequestMemory)
	to, err := newResponse(c, w)
	if err != nil {
		panic(http.ErrAbortHandler) // the library's way to reset a stream
	}
	x, err := c.request(to, r)
	if err != nil {
		to.reset(codeOf(err))
		return
	}
	defer x.finish()
	stop := context.AfterFunc(r.Context(), x.cancel)
	defer stop()
	if err := x.answer(to); err != nil {
		to.reset(codeOf(err))
		return
	}
	to.end()
}

// pace holds a piece of content back while memory is short. The library keeps what the client has not acknowledged, up to its
// congestion window; where there is no memory for as much as that, one piece goes in a round trip: of a window that is not made
// use of it makes no larger one.
func (c *connection) pace() {
	if c.arrival.mayFly(int64(c.qc.ConnectionStats().CongestionWindow)) {
		return
	}
	c.slow.Lock()
	defer c.slow.Unlock()
	c.wait(nil, min(max(c.qc.ConnectionStats().SmoothedRTT, leastPause), mostPause))
}

// codeOf is the code that a stream is reset with (RFC 9114 section 8.1). What was begun, and is given up by whomever, has been
// cancelled (section 4.1.1); what the loop has not seen may be sent again.
func codeOf(err error) h3.ErrCode {
	var reset http2.StreamError
	switch {
	case errors.Is(err, errRejected):
		return h3.ErrCodeRequestRejected
	case errors.Is(err, errMalformed):
		return h3.ErrCodeMessageError
	case errors.Is(err, errBroken):
		return h3.ErrCodeInternalError
	case !errors.As(err, &reset):
		return h3.ErrCodeRequestCanceled
	}
	switch reset.Code {
	case http2.ErrCodeRefusedStream:
		return h3.ErrCodeRequestRejected
	case http2.ErrCodeProtocol:
		return h3.ErrCodeMessageError
	case http2.ErrCodeEnhanceYourCalm:
		return h3.ErrCodeExcessiveLoad
	}
	return h3.ErrCodeRequestCanceled
}
