package engine

import (
	"strconv"

	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/rule"
)

// Heads are written on with what rules changed in them: the parsed head stays as it is, the edits are asked line by line.

func (w *writer) number(n int) {
	if w.b.room() < 20 {
		w.full = true
		return
	}
	w.b.w = len(strconv.AppendInt(w.b.b[:w.b.w], int64(n), 10))
}

// line writes one header line.
func (w *writer) line(name, value []byte) {
	w.bytes(name)
	w.text(": ")
	w.bytes(value)
	w.text("\r\n")
}

// edited writes a parsed header line as the rules left it; false: they took it out.
func (w *writer) edited(e *rule.Edits, i int, h *http1.Header, in []byte) {
	value, keep := e.Keeps(i)
	switch {
	case !keep:
	case value == nil:
		w.header(h, in)
	default:
		w.line(h.Name.Of(in), value)
	}
}

// added writes the header lines that rules put in, but for those of a connection, which the proxy writes itself.
func (w *writer) added(e *rule.Edits) {
	for n := 0; ; n++ {
		name, value, ok := e.Added(n)
		if !ok {
			return
		}
		if name != nil && !ownHeader(name) {
			w.line(name, value)
		}
	}
}

// ownHeader: the headers of a connection; rules' names are in lower case.
func ownHeader(name []byte) bool {
	switch string(name) {
	case "connection", "keep-alive", "proxy-connection", "te", "upgrade", "content-length", "transfer-encoding":
		return true
	}
	return false
}

// requestLine writes the request line as the rules left it.
func (w *writer) requestLine(h *http1.Head, in []byte, e *rule.Edits) {
	method, target := e.Method(), e.Target()
	if method == nil && target == nil {
		w.bytes(h.Line.Of(in))
		w.text("\r\n")
		return
	}
	if method == nil {
		method = h.Verb.Of(in)
	}
	if target == nil {
		target = h.Target.Of(in)
	}
	w.bytes(method)
	w.text(" ")
	w.bytes(target)
	w.text(" HTTP/1.")
	w.number(h.Minor)
	w.text("\r\n")
}

// statusLine writes the status line as the rules left it.
func (w *writer) statusLine(h *http1.Head, in []byte, e *rule.Edits) {
	w.text("HTTP/1.1")
	status, reason := e.Status()
	if status == 0 {
		w.bytes(h.Line.Of(in)[8:])
	} else {
		w.text(" ")
		w.number(status)
		w.text(" ")
		w.bytes(reason)
	}
	w.text("\r\n")
}

// rewriteOwn writes an answer of our own once more, from at in the client's out buffer, with what rules changed.
func (s *session) rewriteOwn(at int) {
	l, out, h, e := s.l, s.client.out, &s.l.answer, s.l.answered.Edits
	in := out.b[at:out.w]
	var target buffer
	target.b = l.spareOut(len(in) + 16384)
	w := writer{b: &target}
	w.statusLine(h, in, e)
	for i := range h.Headers[:h.N] {
		w.edited(e, i, &h.Headers[i], in)
	}
	w.added(e)
	w.text("\r\n")
	w.bytes(in[h.Len:])
	if w.full {
		return
	}
	if status, _ := e.Status(); status != 0 {
		s.t.status = status
	}
	countDown(s, target.w-len(in))
	if target.w > len(out.b)-at {
		out.b = append(out.b[:at], target.b[:target.w]...)
		out.b = out.b[:cap(out.b)]
	} else {
		copy(out.b[at:], target.b[:target.w])
	}
	out.w = at + target.w
}

// spareOut is room of the loop's own to write n bytes to.
func (l *loop) spareOut(n int) []byte {
	if cap(l.scratch) < n {
		l.scratch = make([]byte, 0, n)
	}
	return l.scratch[:n]
}
