package http1

import "bytes"

// ParseRequest reads a request head from the start of b. Incomplete asks for more bytes, unless b is as long as a head may
// be already. Empty lines before the request line are passed over (RFC 9112 section 2.2).
func ParseRequest(b []byte, h *Head) Fault {
	h.reset()
	limit, _ := h.Limits.Max()
	b = b[:min(len(b), limit)]
	for h.Start+1 < len(b) && b[h.Start] == '\r' && b[h.Start+1] == '\n' {
		h.Start += 2
	}
	line, next, f := cutLine(b, h.Start)
	if f != None {
		return f
	}
	h.Line = span(h.Start, line)
	if f := h.requestLine(b); f != None {
		return f
	}
	if f := h.lines(b, next); f != None {
		return f
	}
	if f := h.checkHost(b); f != None {
		return f
	}
	if h.tes > 0 && h.length > 0 {
		return LengthAndChunked
	}
	h.markHops(b)
	return None
}

// ParseResponse reads the head of an answer from the start of b.
func ParseResponse(b []byte, h *Head) Fault {
	h.reset()
	limit, _ := h.Limits.Max()
	b = b[:min(len(b), limit)]
	line, next, f := cutLine(b, 0)
	if f != None {
		// Garbage that never ends its line is told early: it can't become a status line.
		if f == Incomplete && len(b) > 0 && !bytes.HasPrefix([]byte("HTTP/1."), b[:min(len(b), 7)]) {
			return BadStartLine
		}
		return f
	}
	h.Line = span(0, line)
	if f := h.statusLine(b[:line]); f != None {
		return f
	}
	if f := h.lines(b, next); f != None {
		return f
	}
	if h.tes > 0 && h.length > 0 {
		h.LengthDropped, h.ContentLength = true, -1
	}
	h.markHops(b)
	return None
}

func span(start, end int) Span { return Span{uint16(start), uint16(end)} }

// cutLine finds the end of the line that begins at from: where its text ends and where the next begins.
func cutLine(b []byte, from int) (end, next int, f Fault) {
	i := bytes.IndexByte(b[from:], '\n')
	if i < 0 {
		if cr := bytes.IndexByte(b[from:], '\r'); cr >= 0 && from+cr+1 < len(b) {
			return 0, 0, BadLineEnd
		}
		return 0, 0, Incomplete
	}
	if i == 0 || b[from+i-1] != '\r' {
		return 0, 0, BadLineEnd
	}
	return from + i - 1, from + i + 1, None
}

func (h *Head) version(v []byte) Fault {
	if len(v) != 8 || string(v[:7]) != "HTTP/1." || v[7] != '0' && v[7] != '1' {
		return BadVersion
	}
	h.Minor = int(v[7] - '0')
	return None
}

func (h *Head) requestLine(b []byte) Fault {
	start, end := int(h.Line.Start), int(h.Line.End)
	line := b[start:end]
	sp1 := bytes.IndexByte(line, ' ')
	sp2 := bytes.LastIndexByte(line, ' ')
	if sp1 <= 0 || sp2 <= sp1+1 || !all(line[:sp1], isToken) {
		return BadStartLine
	}
	if f := h.version(line[sp2+1:]); f != None {
		return f
	}
	h.Verb, h.Target = span(start, start+sp1), span(start+sp1+1, start+sp2)
	h.Method = method(line[:sp1])
	return h.targetForm(h.Target.Of(b))
}

func method(b []byte) Method {
	switch string(b) {
	case "GET":
		return GET
	case "HEAD":
		return HEAD
	case "POST":
		return POST
	case "PUT":
		return PUT
	case "DELETE":
		return DELETE
	case "CONNECT":
		return CONNECT
	case "OPTIONS":
		return OPTIONS
	case "TRACE":
		return TRACE
	}
	return OtherMethod
}

// targetForm checks the four forms of RFC 9112 section 3.2 and finds the path.
func (h *Head) targetForm(t []byte) Fault {
	if !all(t, isTarget) {
		return BadTarget
	}
	switch {
	case h.Method == CONNECT:
		if _, ok := hostOf(t); !ok || t[0] == '/' || bytes.IndexByte(t, ':') < 0 {
			return BadTarget
		}
	case t[0] == '/':
		h.Path = h.Target
	case len(t) == 1 && t[0] == '*':
		if h.Method != OPTIONS {
			return BadTarget
		}
	default:
		auth, path := authority(t)
		if len(auth) == 0 || !all(auth, isHost) {
			return BadTarget
		}
		h.Path = Span{h.Target.End - uint16(len(path)), h.Target.End}
	}
	return None
}

// authority splits an absolute target; both are empty when it is none.
func authority(t []byte) (auth, path []byte) {
	i := bytes.Index(t, []byte("://"))
	if i < 0 || !EqualFold(t[:i], "http") && !EqualFold(t[:i], "https") {
		return nil, nil
	}
	rest := t[i+3:]
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	return rest[:end], rest[end:]
}

func (h *Head) statusLine(line []byte) Fault {
	if len(line) < 12 || line[8] != ' ' {
		return BadStartLine
	}
	if f := h.version(line[:8]); f != None {
		return f
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return BadStartLine
		}
		h.Status = h.Status*10 + int(c-'0')
	}
	if h.Status < 100 || len(line) > 12 && line[12] != ' ' {
		return BadStartLine
	}
	if len(line) > 12 {
		if !all(line[13:], isValue) {
			return BadStartLine
		}
		h.Reason = span(13, len(line))
	}
	return None
}

// lines reads header lines up to the empty one.
func (h *Head) lines(b []byte, at int) Fault {
	for {
		end, next, f := cutLine(b, at)
		if f != None {
			return f
		}
		if end == at {
			h.Len = next
			return None
		}
		if f := h.line(b, at, end); f != None {
			return f
		}
		at = next
	}
}

func (h *Head) line(b []byte, at, end int) Fault {
	if b[at] == ' ' || b[at] == '\t' {
		return FoldedLine
	}
	colon := at
	for colon < end && class[b[colon]]&isToken != 0 {
		colon++
	}
	if colon == at || colon == end || b[colon] != ':' {
		return BadHeaderName
	}
	vs, ve := trim(b, colon+1, end)
	if !validValue(b[vs:ve]) {
		return BadHeaderValue
	}
	if _, limit := h.Limits.Max(); h.N == limit {
		return TooManyHeaders
	}
	if h.N == len(h.Headers) {
		h.Headers = append(h.Headers, make([]Header, max(h.N, 16))...)
	}
	hd := &h.Headers[h.N]
	*hd = Header{Name: span(at, colon), Value: span(vs, ve), ID: identify(b[at:colon])}
	h.N++
	return h.known(hd, b[vs:ve])
}

// known takes note of a header that decides about framing or the connection.
func (h *Head) known(hd *Header, v []byte) Fault {
	switch hd.ID {
	case ContentLength:
		return h.contentLength(hd, v)
	case TransferEncoding:
		if h.tes++; h.tes > 1 || h.Minor == 0 || !EqualFold(v, "chunked") {
			return BadTransferEncoding
		}
		h.Chunked = true
	case Host:
		h.host = h.N - 1
		h.hosts++
	case Expect:
		h.Continue = EqualFold(v, "100-continue")
	case Connection:
		hd.Hop = true
		h.connection(v)
	case TE:
		hd.Hop = true
		for rest := v; len(rest) > 0 && !h.Trailers; {
			var t []byte
			t, rest = NextToken(rest)
			h.Trailers = EqualFold(t, "trailers")
		}
	case KeepAlive, ProxyConnection, Upgrade:
		hd.Hop = true
	}
	return None
}

// contentLength takes one value or a list of equal ones (RFC 9110 section 8.6); repetitions are not passed on. 0 and 00 are
// not equal: what another reader may take for two lengths is refused.
func (h *Head) contentLength(hd *Header, v []byte) Fault {
	first := true
	for rest := v; first || rest != nil; first = false {
		var token []byte
		token, rest = NextToken(rest)
		n, ok := Length(token, h.ContentLength, h.length)
		if !ok {
			return BadContentLength
		}
		hd.Hop = hd.Hop || h.length > 0 && first
		hd.Value = Span{hd.Value.Start, hd.Value.Start + uint16(len(token))}
		h.ContentLength, h.length = n, len(token)
	}
	return None
}

// Length reads a value of Content-Length, in bytes: 1 to 18 digits and nothing else (RFC 9110 section 8.6). had and digits
// are what the message said before, 0 digits for nothing: another length than that is none, nor is the same one spelled
// otherwise.
func Length(v []byte, had int64, digits int) (int64, bool) {
	if len(v) == 0 || len(v) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, digits == 0 || had == n && digits == len(v)
}

func (h *Head) connection(v []byte) {
	for rest := v; len(rest) > 0; {
		var t []byte
		t, rest = NextToken(rest)
		switch {
		case EqualFold(t, "close"):
			h.Close = true
		case EqualFold(t, "keep-alive"):
			h.KeepAlive = true
		case EqualFold(t, "upgrade"):
			h.Upgrade = true
		}
	}
}

// markHops marks the headers that Connection names (RFC 9110 section 7.6.1), but never one that framing or routing rests on.
func (h *Head) markHops(b []byte) {
	for i := range h.Headers[:h.N] {
		if h.Headers[i].ID != Connection {
			continue
		}
		for rest := h.Headers[i].Value.Of(b); len(rest) > 0; {
			var t []byte
			t, rest = NextToken(rest)
			h.markHop(b, t)
		}
	}
	if h.Upgrade {
		h.Upgrade = h.upgradable(b)
	}
}

func (h *Head) markHop(b, name []byte) {
	for i := range h.Headers[:h.N] {
		hd := &h.Headers[i]
		switch hd.ID {
		case Host, ContentLength, TransferEncoding:
		default:
			if len(name) == hd.Name.Len() && bytes.EqualFold(name, hd.Name.Of(b)) {
				hd.Hop = true
			}
		}
	}
}

// upgradable is whether there is an Upgrade to pass on. h2c is not: what follows would be a protocol nobody here reads,
// and requests inside would pass by every rule.
func (h *Head) upgradable(b []byte) bool {
	hd, ok := h.Get(Upgrade)
	return ok && hd.Value.Len() > 0 && !bytes.Contains(bytes.ToLower(hd.Value.Of(b)), []byte("h2c"))
}

// hostOf checks a Host value or an authority and returns it without the port.
func hostOf(v []byte) (host []byte, ok bool) {
	if !all(v, isHost) {
		return nil, false
	}
	end := len(v)
	if i := bytes.LastIndexByte(v, ':'); i >= 0 && bytes.IndexByte(v[i:], ']') < 0 {
		for _, c := range v[i+1:] {
			if c < '0' || c > '9' {
				return nil, false
			}
		}
		end = i
	}
	if end == 0 && len(v) > 0 {
		return nil, false
	}
	if v := v[:end]; bytes.IndexByte(v, ':') >= 0 && (v[0] != '[' || v[len(v)-1] != ']') {
		return nil, false
	}
	return v[:end], true
}

func (h *Head) checkHost(b []byte) Fault {
	if h.hosts > 1 || h.hosts == 0 && h.Minor == 1 {
		return BadHost
	}
	if h.hosts == 0 {
		return None
	}
	v := h.Headers[h.host].Value.Of(b)
	host, ok := hostOf(v)
	if !ok {
		return BadHost
	}
	auth := h.Target.Of(b)
	switch {
	case h.Path == h.Target:
		return None
	case h.Method != CONNECT:
		auth, _ = authority(auth)
	}
	if len(auth) > 0 {
		if ah, ok := hostOf(auth); !ok || !bytes.EqualFold(ah, host) {
			return BadHost
		}
	}
	return None
}
