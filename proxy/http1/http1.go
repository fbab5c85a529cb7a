// Package http1 reads HTTP/1 messages (RFC 9110, RFC 9112) from buffers: heads, the framing that follows from them, and
// chunked bodies. It is a pure core: it copies nothing, keeps nothing and allocates nothing.
//
// It is strict where two readers could disagree about where a message ends: bare CR or LF, folded lines, blanks before
// the colon, Content-Length beside Transfer-Encoding, differing Content-Lengths and any coding but chunked are Faults.
package http1

// MaxHeaders is the most header lines of a head, HAProxy's tune.http.maxhdr less the start line, if nobody says otherwise.
const MaxHeaders = 100

// MaxHead is the longest head in bytes, if nobody says otherwise: HAProxy's bufsize less what it keeps free for rewriting.
const MaxHead = 16384 - 1024

// Limits bound a head. What is 0 is MaxHead and MaxHeaders. Offsets have 16 bits: Bytes is 65535 at most.
type Limits struct{ Bytes, Headers int }

func (l Limits) orDefault() Limits {
	if l.Bytes == 0 {
		l.Bytes = MaxHead
	}
	if l.Headers == 0 {
		l.Headers = MaxHeaders
	}
	return l
}

// Max are the limits that count.
func (l Limits) Max() (bytes, headers int) {
	l = l.orDefault()
	return l.Bytes, l.Headers
}

// Fault is what is wrong with a message; None is nothing. It is an error without the cost of one.
type Fault uint8

const (
	// None: the message is good.
	None Fault = iota
	// Incomplete: what is there is good so far, more bytes are needed.
	Incomplete
	// BadStartLine: request line or status line.
	BadStartLine
	// BadVersion: neither HTTP/1.0 nor HTTP/1.1.
	BadVersion
	// BadTarget: a request target of forbidden bytes or of the wrong form for its method.
	BadTarget
	// BadLineEnd: a CR without LF or a LF without CR.
	BadLineEnd
	// BadHeaderName: empty, or bytes that are no token, a blank before the colon among them.
	BadHeaderName
	// BadHeaderValue: a control character.
	BadHeaderValue
	// FoldedLine: a header line that begins with a blank (obs-fold).
	FoldedLine
	// TooManyHeaders: more than the limit.
	TooManyHeaders
	// BadContentLength: no number, too large, or two that differ.
	BadContentLength
	// BadTransferEncoding: anything but one "chunked", or any in HTTP/1.0.
	BadTransferEncoding
	// LengthAndChunked: a request with both Content-Length and Transfer-Encoding.
	LengthAndChunked
	// BadHost: missing in HTTP/1.1, twice, malformed, or not the one of an absolute target.
	BadHost
	// BadChunk: chunk size, extension, or the line end after a chunk.
	BadChunk
	// BadTrailer: a trailer line that is no header line, or too many bytes of them.
	BadTrailer
)

var faults = [...]string{
	"", "incomplete message", "malformed start line", "unsupported HTTP version", "malformed request target", "bare CR or LF",
	"malformed header name", "control character in a header value", "folded header line", "too many headers",
	"malformed or differing Content-Length", "unsupported Transfer-Encoding", "both Content-Length and Transfer-Encoding",
	"missing, repeated or malformed Host", "malformed chunk", "malformed trailer",
}

// Error is the fault in words.
func (f Fault) Error() string {
	if int(f) < len(faults) {
		return faults[f]
	}
	return "unknown fault"
}

// Span is a part of the buffer that was parsed.
type Span struct{ Start, End uint16 }

// Of is the bytes of the span in the buffer that was parsed.
func (s Span) Of(b []byte) []byte { return b[s.Start:s.End] }

// Len is the number of bytes.
func (s Span) Len() int { return int(s.End) - int(s.Start) }

// Header is one header line.
type Header struct {
	Name, Value Span
	ID          ID
	Hop         bool // of this connection only: not to be passed on
}

// Method is a request method that means something to a proxy.
type Method uint8

const (
	// OtherMethod is any but those below.
	OtherMethod Method = iota
	// GET and its like are the methods of RFC 9110 section 9.3.
	GET
	HEAD
	POST
	PUT
	DELETE
	CONNECT
	OPTIONS
	TRACE
)

// Idempotent reports whether sending twice does no more than sending once (RFC 9110 section 9.2.2).
func (m Method) Idempotent() bool {
	switch m {
	case GET, HEAD, PUT, DELETE, OPTIONS, TRACE:
		return true
	}
	return false
}

// Head is a parsed head. It refers to the buffer by offsets; reuse it for the next message.
type Head struct {
	Limits Limits // the owner's choice; a parse leaves them alone

	Start int // bytes of empty lines before the start line
	Len   int // bytes up to and with the empty line, Start included

	Line   Span // the start line without its CRLF
	Minor  int  // the version is HTTP/1.Minor
	Method Method
	Verb   Span // the method's text
	Target Span
	Path   Span // of the target, with the query; empty for authority and asterisk form

	Status int
	Reason Span

	Headers []Header // room for them, which is used again
	N       int      // headers in use

	ContentLength int64 // -1: none
	Chunked       bool
	// LengthDropped: an answer had Transfer-Encoding and Content-Length; the latter doesn't count and must not be
	// passed on, nor the connection be used again.
	LengthDropped bool

	Close, KeepAlive, Upgrade bool // Connection's tokens
	Continue                  bool // Expect: 100-continue
	Trailers                  bool // TE: trailers

	host   int // index of Host, -1: none
	hosts  int
	length int // digits of Content-Length, 0: it was not said
	tes    int
}

func (h *Head) reset() {
	h.Start, h.Len, h.N, h.Minor, h.Status, h.Method = 0, 0, 0, 0, 0, OtherMethod
	h.Line, h.Verb, h.Target, h.Path, h.Reason = Span{}, Span{}, Span{}, Span{}, Span{}
	h.ContentLength, h.Chunked, h.LengthDropped = -1, false, false
	h.Close, h.KeepAlive, h.Upgrade, h.Continue, h.Trailers = false, false, false, false, false
	h.host, h.hosts, h.length, h.tes = -1, 0, 0, 0
}

// Persistent reports whether the sender means to keep the connection (RFC 9112 section 9.3).
func (h *Head) Persistent() bool {
	if h.Close {
		return false
	}
	return h.Minor == 1 || h.KeepAlive
}

// Get is the first header with that ID.
func (h *Head) Get(id ID) (Header, bool) {
	for i := range h.Headers[:h.N] {
		if h.Headers[i].ID == id {
			return h.Headers[i], true
		}
	}
	return Header{}, false
}
