package http2

import (
	"bytes"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// A message that came as fields is written as an HTTP/1 head, so that everything that acts on heads acts on it. What
// could end a line or a name there, what belongs to a connection, and what contradicts itself is malformed (RFC 9113
// section 8).

// Fate is what becomes of a message.
type Fate uint8

const (
	// Good messages go on.
	Good Fate = iota
	// Malformed ones end their stream with PROTOCOL_ERROR.
	Malformed
	// TooLarge is a head that HTTP/1's limits do not let pass.
	TooLarge
)

// Framing is how content goes on behind a head.
type Framing uint8

const (
	// NoContent follows.
	NoContent Framing = iota
	// ByLength: as many bytes as Content-Length says.
	ByLength
	// ByChunks: no length was announced.
	ByChunks
	// Raw: a tunnel, bytes without end.
	Raw
)

// Message is what is to be known of a head that was written.
type Message struct {
	Fate    Fate
	Framing Framing
	Length  int64 // announced, -1: not
	Status  int   // of an answer
	Head    bool  // a HEAD request
	Upgrade bool  // an extended CONNECT, written as an upgrade
	// WebSocket: the upgrade is to that protocol and has the key that was given.
	WebSocket bool
}

// What a byte may be part of.
const (
	inName   = 1 << iota // tchar, but no upper case
	inValue              // field-vchar, SP, HTAB
	inTarget             // visible ASCII
	inToken              // tchar
)

var class = func() (t [256]uint8) {
	for i := range 256 {
		c := byte(i)
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0 {
			t[i] |= inName | inToken
		}
		if c >= 'A' && c <= 'Z' {
			t[i] |= inToken
		}
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[i] |= inValue
		}
		if c > ' ' && c < 0x7f {
			t[i] |= inTarget
		}
	}
	return t
}()

func all(b []byte, bit uint8) bool {
	for _, c := range b {
		if class[c]&bit == 0 {
			return false
		}
	}
	return true
}

// pseudo are the fields that begin with a colon, and what of the others decides about the message.
type pseudo struct {
	method, scheme, authority, path, protocol, status []byte
	has                                               uint8 // bits in the order above
	host                                              []byte
	hosts, cookies                                    int
	trailers                                          bool // were announced
	length                                            int64
	digits                                            int // of the length, 0: it was not said
	size                                              int
}

var pseudoNames = [...]string{":method", ":scheme", ":authority", ":path", ":protocol", ":status"}

const (
	hasMethod = 1 << iota
	hasScheme
	hasAuthority
	hasPath
	hasProtocol
	hasStatus
)

// read looks at all fields once. trailers have no pseudo-fields.
func (p *pseudo) read(l *List, trailers bool) bool {
	p.length = -1
	regular := trailers
	for _, f := range l.Fields {
		name, value := l.Name(f), l.Value(f)
		if len(name) == 0 || !all(value, inValue) {
			return false
		}
		p.size += len(name) + len(value) + 4
		if name[0] == ':' {
			if regular || !p.take(name, value) {
				return false
			}
			continue
		}
		regular = true
		if !all(name, inName) || !p.field(name, value) {
			return false
		}
	}
	return true
}

func (p *pseudo) take(name, value []byte) bool {
	fields := [...]*[]byte{&p.method, &p.scheme, &p.authority, &p.path, &p.protocol, &p.status}
	for i, n := range pseudoNames {
		if string(name) != n {
			continue
		}
		if p.has&(1<<i) != 0 || len(value) == 0 && i != 2 {
			return false
		}
		p.has |= 1 << i
		*fields[i] = value
		return true
	}
	return false
}

// field checks a field that is not of the message alone (RFC 9113 sections 8.2.1 and 8.2.2).
func (p *pseudo) field(name, value []byte) bool {
	if n := len(value); n > 0 && (blank(value[0]) || blank(value[n-1])) {
		return false
	}
	switch string(name) {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return false
	case "te":
		return string(value) == "trailers"
	case "host":
		p.hosts++
		p.host = value
	case "cookie":
		p.cookies++
	case "trailer":
		p.trailers = true
	case "content-length":
		n, ok := http1.Length(value, p.length, p.digits)
		if !ok {
			return false
		}
		p.length, p.digits = n, len(value)
	}
	return true
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// ownHead is what a head that is written has beyond what was sent, at most.
const ownHead = 256

// tooBig reports whether a head of that size and number of fields is more than HTTP/1 takes.
func (l *List) tooBig(size, fields int) bool {
	bytes, headers := l.Limits.Max()
	return l.TooBig || size > bytes-ownHead || fields > headers
}

// AppendRequest writes the request that is in l as an HTTP/1 head. end: no content follows. extended: the other side was
// told of RFC 8441; an extended CONNECT becomes an upgrade, with key as that of a WebSocket.
func (l *List) AppendRequest(dst []byte, end, extended bool, key []byte) ([]byte, Message) {
	var p pseudo
	m := Message{Fate: Malformed, Length: -1}
	if !p.read(l, false) || p.has&hasStatus != 0 || !p.request(extended) || p.length > 0 && end {
		return dst, m
	}
	if l.tooBig(p.size, len(l.Fields)+1) {
		m.Fate = TooLarge
		return dst, m
	}
	p.trailers = p.trailers && !end
	connect := string(p.method) == "CONNECT"
	m.Head, m.Upgrade, m.Length, m.Fate = string(p.method) == "HEAD", p.has&hasProtocol != 0, p.length, Good
	if connect && p.length >= 0 {
		m.Fate = Malformed
		return dst, m
	}
	verb, target := p.method, p.path
	switch {
	case m.Upgrade:
		verb = []byte("GET")
	case connect:
		target = p.authority
	}
	dst = append(append(append(append(dst, verb...), ' '), target...), " HTTP/1.1\r\nhost: "...)
	dst = append(append(dst, p.authority...), "\r\n"...)
	if m.Upgrade {
		dst = append(append(append(dst, "connection: upgrade\r\nupgrade: "...), p.protocol...), "\r\n"...)
		if m.WebSocket = string(p.protocol) == "websocket"; m.WebSocket {
			dst = append(append(append(dst, "sec-websocket-key: "...), key...), "\r\n"...)
		}
	}
	dst = l.lines(dst, &p)
	switch {
	case connect:
		m.Framing = Raw
	case p.length >= 0 && !p.trailers:
		m.Framing = ByLength
	case !end:
		m.Framing = ByChunks
		dst = append(dst, "transfer-encoding: chunked\r\n"...)
	case string(p.method) == "POST" || string(p.method) == "PUT":
		dst = append(dst, "content-length: 0\r\n"...)
	}
	return append(dst, "\r\n"...), m
}

// request checks that the pseudo-fields make a request (RFC 9113 section 8.3.1, RFC 8441 section 4).
func (p *pseudo) request(extended bool) bool {
	if p.has&hasMethod == 0 || !all(p.method, inToken) || p.hosts > 1 {
		return false
	}
	if p.hosts == 1 {
		if p.has&hasAuthority == 0 {
			p.authority = p.host
		} else if !bytes.EqualFold(p.authority, p.host) {
			return false
		}
	}
	if len(p.authority) == 0 || !all(p.authority, inTarget) || bytes.IndexByte(p.authority, '@') >= 0 {
		return false
	}
	connect := string(p.method) == "CONNECT"
	if connect && p.has&hasProtocol == 0 {
		return p.has&(hasScheme|hasPath) == 0
	}
	if p.has&hasProtocol != 0 && !(connect && extended && all(p.protocol, inToken)) {
		return false
	}
	if p.has&(hasScheme|hasPath) != hasScheme|hasPath || string(p.scheme) != "http" && string(p.scheme) != "https" {
		return false
	}
	return all(p.path, inTarget) && (p.path[0] == '/' || string(p.path) == "*" && string(p.method) == "OPTIONS")
}

// lines writes the fields that are no pseudo-fields. A length goes where trailers are announced: HTTP/1 has them behind
// chunks alone. The crumbs of a cookie are put together (RFC 9113 section 8.2.3).
func (l *List) lines(dst []byte, p *pseudo) []byte {
	cookie, length := false, false
	for _, f := range l.Fields {
		name, value := l.Name(f), l.Value(f)
		switch {
		case name[0] == ':', string(name) == "host",
			p.has&hasProtocol != 0 && (string(name) == "sec-websocket-key" || string(name) == "sec-websocket-accept"),
			(length || p.trailers) && string(name) == "content-length":
			continue
		case string(name) == "content-length":
			length = true
		case p.cookies > 1 && string(name) == "cookie":
			if !cookie {
				cookie = true
				dst = l.crumbs(dst)
			}
			continue
		}
		dst = line(dst, name, value)
	}
	return dst
}

func line(dst, name, value []byte) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

func (l *List) crumbs(dst []byte) []byte {
	dst = append(dst, "cookie: "...)
	first := true
	for _, f := range l.Fields {
		if string(l.Name(f)) != "cookie" {
			continue
		}
		if !first {
			dst = append(dst, "; "...)
		}
		first = false
		dst = append(dst, l.Value(f)...)
	}
	return append(dst, "\r\n"...)
}

// Asked is what an answer is for.
type Asked struct {
	Head    bool
	Connect bool
	// Accept: the request opened a WebSocket by an extended CONNECT (RFC 8441 section 5), and this proves to who asked for it in
	// HTTP/1 that its key has been seen (RFC 6455 section 4.2.2). Consent is written as a switch of protocols.
	Accept []byte
}

// AppendResponse writes the answer that is in l as an HTTP/1 head. end: no content follows.
func (l *List) AppendResponse(dst []byte, end bool, to Asked) ([]byte, Message) {
	var p pseudo
	m := Message{Fate: Malformed, Length: -1}
	if !p.read(l, false) || p.has != hasStatus {
		return dst, m
	}
	status := statusOf(p.status)
	if status < 100 || status == 101 || status < 200 && end {
		return dst, m
	}
	if l.tooBig(p.size, len(l.Fields)) {
		m.Fate = TooLarge
		return dst, m
	}
	m.Fate, m.Status, m.Length = Good, status, p.length
	if to.Accept != nil && status/100 == 2 {
		m.Framing, m.Length = Raw, -1
		return append(l.lines(appendSwitch(dst, to.Accept), &pseudo{has: hasProtocol, trailers: true}), "\r\n"...), m
	}
	p.trailers = p.trailers && !end && !to.Head
	dst = append(append(dst, "HTTP/1.1 "...), p.status...)
	dst = append(append(append(dst, ' '), http1.Reason(m.Status)...), "\r\n"...)
	dst = l.lines(dst, &p)
	switch {
	case status < 200:
	case to.Connect && status < 300:
		m.Framing = Raw
	case to.Head || status == 204 || status == 304:
		m.Length = 0 // of content, whatever is announced
	case end && p.length > 0:
		m.Fate = Malformed
	case p.length >= 0 && !p.trailers:
		m.Framing = ByLength
	case end:
		dst = append(dst, "content-length: 0\r\n"...)
	default:
		m.Framing = ByChunks
		dst = append(dst, "transfer-encoding: chunked\r\n"...)
	}
	return append(dst, "\r\n"...), m
}

// appendSwitch begins the answer that consents to a WebSocket.
func appendSwitch(dst, accept []byte) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: "...)
	return append(append(dst, accept...), "\r\n"...)
}

// statusOf reads :status, 0 if it is not three digits.
func statusOf(v []byte) int {
	if len(v) != 3 {
		return 0
	}
	n := 0
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// AppendTrailers writes trailers as lines. What a message's framing or routing rests on is left out.
func (l *List) AppendTrailers(dst []byte) ([]byte, Fate) {
	var p pseudo
	if !p.read(l, true) {
		return dst, Malformed
	}
	if l.tooBig(p.size, 0) {
		return dst, TooLarge
	}
	for _, f := range l.Fields {
		switch name := l.Name(f); string(name) {
		case "content-length", "host", "te":
		default:
			dst = line(dst, name, l.Value(f))
		}
	}
	return dst, Good
}
