package http3

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	"golang.org/x/net/http/httpguts"
)

// Frames on a request's stream (RFC 9114 section 7.2).
const (
	frameData    = 0
	frameHeaders = 1
)

// response is what a client gets on its stream. The library's own writer is passed by: once content has gone it lets nobody
// choose with which code a stream is reset, and it takes fields that are announced as trailers out of a head.
type response struct {
	*h3.Stream
	conn  *connection
	block bytes.Buffer
	frame []byte
}

// newResponse takes the stream over from the library's writer, which has written nothing.
func newResponse(c *connection, w http.ResponseWriter) (*response, error) {
	stream, err := w.(h3.HTTPStreamer).HTTPStream()
	if err != nil {
		return nil, err
	}
	return &response{Stream: stream, conn: c}, nil
}

// head writes a header block: that of an answer, interim or not, or trailers.
func (r *response) head(h *head) error {
	r.block.Reset()
	to := qpack.NewEncoder(&r.block)
	if h.status != 0 {
		to.WriteField(qpack.HeaderField{Name: ":status", Value: strconv.Itoa(h.status)})
	}
	wrote := h.status != 0
	for _, f := range h.fields {
		if h.status == 0 && !httpguts.ValidTrailerHeader(f.Name) { // RFC 9110 section 6.5.1
			continue
		}
		to.WriteField(qpack.HeaderField{Name: f.Name, Value: f.Value})
		wrote = true
	}
	if !wrote {
		return nil
	}
	return r.write(frameHeaders, r.block.Bytes())
}

// content writes a piece of an answer's content.
func (r *response) content(p []byte) error {
	r.conn.pace()
	return r.write(frameData, p)
}

// write waits until the library has put the frame into packets.
func (r *response) write(kind uint64, p []byte) error {
	r.frame = quicvarint.Append(quicvarint.Append(r.frame[:0], kind), uint64(len(p)))
	to := r.QUICStream()
	if _, err := to.Write(r.frame); err != nil {
		return err
	}
	_, err := to.Write(p)
	return err
}

// end ends a whole answer. A client that goes on with its request is told to stop (RFC 9114 section 4.1).
func (r *response) end() {
	r.CancelRead(quic.StreamErrorCode(h3.ErrCodeNoError))
	r.Close()
}

// reset ends the stream on both sides without an end of its answer.
func (r *response) reset(code h3.ErrCode) {
	r.CancelRead(quic.StreamErrorCode(code))
	r.CancelWrite(quic.StreamErrorCode(code))
}
