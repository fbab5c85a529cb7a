package http3

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	h3 "github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Messages from the library's form to fields and back. Whether a head is a good one is the loop's to say: here it is
// passed on as it came, in names and values.

// piece is how much content is read at once.
const piece = 1 << 14

// client is where an answer goes.
type client interface {
	head(*head) error
	content([]byte) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// request sends a request's head to the loop and lets its content follow.
func (c *connection) request(from client, r *http.Request) (*exchange, error) {
	first, end, err := c.opening(from, r)
	if err != nil {
		return nil, err
	}
	fields := requestFields(r)
	bare := end && len(first) == 0 && !hasValues(r.Trailer)
	x, err := c.link.begin(fields, bare, func() { from.SetWriteDeadline(time.Now().Add(lingerFor)) })
	if err != nil {
		return nil, err
	}
	if !bare {
		c.work.Go(func() { x.upload(r, first, end) })
	}
	return x, nil
}

// opening finds out whether a request has content where its head does not tell: a server of HTTP/1 would be told of
// content without a length, and may not like that with a GET.
func (c *connection) opening(from client, r *http.Request) (first []byte, end bool, err error) {
	switch {
	case r.ContentLength == 0:
		return nil, true, nil
	case r.ContentLength > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch || r.Method == http.MethodConnect:
		return nil, false, nil
	}
	if c.timeout > 0 {
		from.SetReadDeadline(time.Now().Add(c.timeout))
		defer from.SetReadDeadline(time.Time{})
	}
	first = make([]byte, piece)
	n, err := r.Body.Read(first)
	switch {
	case err == io.EOF:
		return first[:n], true, nil
	case errors.Is(err, os.ErrDeadlineExceeded): // then the loop's patience counts
		return first[:n], false, nil
	case err != nil:
		return nil, false, requestError(err)
	}
	return first[:n], false, nil
}

// requestError tells a client that breaks its request off from one whose request is not what it said.
func requestError(err error) error {
	var reset *h3.Error
	if errors.As(err, &reset) {
		return errCanceled
	}
	return fmt.Errorf("%w: %w", errMalformed, err)
}

// requestFields are the fields of a request, those with a colon first (RFC 9114 section 4.3.1).
func requestFields(r *http.Request) []hpack.HeaderField {
	fields := make([]hpack.HeaderField, 0, len(r.Header)+6)
	add := func(name, value string) { fields = append(fields, hpack.HeaderField{Name: name, Value: value}) }
	add(":method", r.Method)
	path := r.RequestURI
	if r.Method == http.MethodConnect {
		path = ""
		if r.Proto != "HTTP/3.0" { // extended CONNECT (RFC 9220)
			add(":protocol", r.Proto)
			path = r.RequestURI
		}
	}
	if path != "" {
		add(":scheme", "https")
		add(":path", path)
	}
	add(":authority", r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			add(strings.ToLower(name), v)
		}
	}
	if len(r.Trailer) > 0 { // the library has taken the field apart
		names := make([]string, 0, len(r.Trailer))
		for name := range r.Trailer {
			names = append(names, strings.ToLower(name))
		}
		add("trailer", strings.Join(names, ", "))
	}
	return fields
}

func hasValues(h http.Header) bool {
	for _, v := range h {
		if len(v) > 0 {
			return true
		}
	}
	return false
}

// upload is the goroutine that hands a request's content and trailers on.
func (x *exchange) upload(r *http.Request, first []byte, end bool) {
	err := x.send(first, false)
	for buf := make([]byte, piece); err == nil && !end; {
		n, fault := r.Body.Read(buf)
		if end = fault == io.EOF; fault != nil && !end {
			x.giveUp(requestError(fault)) // if the exchange is over already nothing follows
			return
		}
		if n > 0 {
			err = x.send(buf[:n], false)
		}
	}
	switch {
	case err != nil:
		x.cancel()
	case hasValues(r.Trailer):
		x.trailers(trailerFields(r.Trailer))
	default:
		x.send(nil, true)
	}
}

func trailerFields(h http.Header) []hpack.HeaderField {
	var fields []hpack.HeaderField
	for name, values := range h {
		for _, v := range values {
			fields = append(fields, hpack.HeaderField{Name: strings.ToLower(name), Value: v})
		}
	}
	return fields
}

func newHead(f *http2.MetaHeadersFrame) head {
	status, _ := strconv.Atoi(f.PseudoValue("status"))
	return head{status: status, fields: f.RegularFields()}
}

// answer hands an answer on until its end.
func (x *exchange) answer(to client) error {
	var buf []byte
	for begun := false; ; {
		h, content, end, err := x.next(buf)
		switch {
		case err != nil:
			return err
		case !begun && (end || h == nil || h.status < 100):
			return x.giveUp(errBroken)
		case end:
			return nil
		case h != nil:
			begun = begun || h.status >= 200
			err = to.head(h)
		default:
			if err = to.content(content); err == nil {
				x.consumed(len(content))
			}
			buf = content
		}
		if err != nil {
			return x.giveUp(errCanceled) // the client takes no more
		}
	}
}

// consumed lets the loop send as much again.
func (x *exchange) consumed(n int) {
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	x.l.credit(x, n)
}
