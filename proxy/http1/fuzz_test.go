package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The fuzz targets hold this parser against net/http's: what it accepts net/http must accept too, and both must agree
// about the message's end, and so about where the next one begins, of one message after the other. It may refuse more.

func FuzzRequest(f *testing.F) {
	get, post := lines("GET / HTTP/1.1", "Host: x"), "POST / HTTP/1.1\r\nHost: x\r\n"
	for _, s := range []string{
		lines("GET / HTTP/1.1", "Host: x"), lines("POST /a?b HTTP/1.1", "Host: x", "Content-Length: 3") + "abc",
		lines("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n",
		lines("GET / HTTP/1.0"), lines("OPTIONS * HTTP/1.1", "Host: x"), lines("CONNECT x:1 HTTP/1.1", "Host: x:1"),
		lines("GET http://x/ HTTP/1.1", "Host: x", "Connection: close, a"), string(big),
		lines("GET / HTTP/1.1", "Host: x", "Content-Length: 3", "Content-Length: 3"),
		get + get, post + "Content-Length: 3\r\n\r\nabc" + get, post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + get,
		post + "Transfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: u\r\n\r\n" + get, get + "\r\n" + get,
		post + "Content-Length: 3, 3\r\n\r\nabc" + get, post + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + get,
		post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get, "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n" + get,
		lines("GET / HTTP/1.0", "Content-Length: 2") + "ab" + get,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		theirs := bufio.NewReaderSize(bytes.NewReader(b), len(b)+16)
		for at := 0; at < len(b); {
			next, ok := sameRequest(t, b, at, theirs)
			if !ok {
				return
			}
			at = next
		}
	})
}

// sameRequest reads the request that begins at a place both ways. ok is false where that is the last that can be compared.
func sameRequest(t *testing.T, all []byte, at int, theirs *bufio.Reader) (end int, ok bool) {
	var h Head
	b := all[at:]
	if ParseRequest(b, &h) != None {
		return 0, false
	}
	if h.Len > len(b) || h.N > MaxHeaders {
		t.Fatalf("%d of %d bytes, %d headers", h.Len, len(b), h.N)
	}
	theirs.Discard(h.Start)
	r, err := http.ReadRequest(theirs)
	if err != nil {
		if excused(err) {
			return 0, false
		}
		t.Fatalf("net/http refuses %q: %v", b[:h.Len], err)
	}
	if r.Method != string(h.Verb.Of(b)) || r.RequestURI != string(h.Target.Of(b)) || r.ProtoMinor != h.Minor {
		t.Fatalf("net/http reads %s %s, this %s %s", r.Method, r.RequestURI, h.Verb.Of(b), h.Target.Of(b))
	}
	if chunked := len(r.TransferEncoding) > 0; chunked != h.Chunked {
		t.Fatalf("chunked: net/http %v, this %v", chunked, h.Chunked)
	}
	if want := max(h.ContentLength, 0); !h.Chunked && r.ContentLength != want {
		t.Fatalf("length: net/http %d, this %d", r.ContentLength, want)
	}
	content, end, whole := cut(all, at+h.Len, &h, false)
	if !whole || h.Method == CONNECT {
		return 0, false
	}
	sameBody(t, r.Body, content)
	sameEnd(t, all, at+h.Len+len(content), end, theirs)
	return end, true
}

// sameEnd: what is unread is what comes behind the message.
func sameEnd(t *testing.T, all []byte, read, end int, theirs *bufio.Reader) {
	t.Helper()
	if rest := theirs.Buffered(); read < len(all) && rest != len(all)-end {
		t.Fatalf("the message ends at %d, for net/http at %d, in %q", end, len(all)-rest, all)
	}
}

// excused are refusals of net/http that two readers can't take differently: it parses URLs and checks hosts its own way,
// and takes no list of equal lengths.
func excused(err error) bool {
	s := err.Error()
	return strings.Contains(s, "bad Content-Length") && strings.Contains(s, ",") || strings.Contains(s, "parse ") || strings.Contains(s, "malformed Host") || strings.Contains(s, "invalid URL")
}

func FuzzResponse(f *testing.F) {
	ok := "HTTP/1.1 200 OK\r\n"
	for _, s := range []string{
		lines("HTTP/1.1 200 OK", "Content-Length: 3") + "abc", lines("HTTP/1.0 404 Not Found") + "abc",
		lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n", lines("HTTP/1.1 304 Not Modified", "ETag: x"),
		lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: x"),
		ok + "Content-Length: 3\r\n\r\nabc" + ok + "Content-Length: 0\r\n\r\n", ok + "\r\nuntil the end",
		ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n" + ok + "Content-Length: 1\r\n\r\na",
		lines("HTTP/1.1 103 Early Hints", "A: b") + ok + "Content-Length: 1\r\n\r\na", lines("HTTP/1.1 204 No Content") + ok + "\r\n",
		lines("HTTP/1.1 304 Not Modified", "Content-Length: 9") + ok + "\r\n", lines("HTTP/1.1 204 No Content", "Transfer-Encoding: chunked") + ok + "\r\n",
		ok + "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + ok + "\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		theirs := bufio.NewReaderSize(bytes.NewReader(b), len(b)+16)
		for at := 0; at < len(b); {
			next, ok := sameAnswer(t, b, at, theirs)
			if !ok {
				return
			}
			at = next
		}
	})
}

// sameAnswer reads the answer (to GET) that begins at a place both ways.
func sameAnswer(t *testing.T, all []byte, at int, theirs *bufio.Reader) (end int, ok bool) {
	var h Head
	b := all[at:]
	if ParseResponse(b, &h) != None {
		return 0, false
	}
	r, err := http.ReadResponse(theirs, nil)
	if err != nil {
		if excused(err) {
			return 0, false
		}
		t.Fatalf("net/http refuses %q: %v", b[:h.Len], err)
	}
	if r.StatusCode != h.Status || r.ProtoMinor != h.Minor {
		t.Fatalf("net/http reads %d, this %d", r.StatusCode, h.Status)
	}
	bodiless := h.Status/100 == 1 || h.Status == 204 || h.Status == 304
	if !bodiless && (len(r.TransferEncoding) > 0) != h.Chunked {
		t.Fatalf("chunked: net/http %v, this %v", r.TransferEncoding, h.Chunked)
	}
	if !bodiless && !h.Chunked && r.ContentLength != h.ContentLength {
		t.Fatalf("length: net/http %d, this %d", r.ContentLength, h.ContentLength)
	}
	content, end, whole := cut(all, at+h.Len, &h, true)
	if !whole || h.Status == 101 {
		return 0, false
	}
	sameBody(t, r.Body, content)
	sameEnd(t, all, at+h.Len+len(content), end, theirs)
	return end, true
}

// compareBody reads a chunked body both ways.
func compareBody(t *testing.T, h *Head, b []byte, body io.Reader) {
	if !h.Chunked {
		return
	}
	content, _, f := read(string(b[h.Len:]), len(b)+1)
	if f != None {
		return
	}
	theirs, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("net/http refuses the body %q: %v", b[h.Len:], err)
	}
	if string(theirs) != content {
		t.Fatalf("body: net/http %q, this %q", theirs, content)
	}
}

func FuzzChunked(f *testing.F) {
	for _, s := range []string{"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "3;a=b\r\nabc\r\n0\r\nT: x\r\n\r\nrest", "a\r\n0123456789\r\n0;x\r\n\r\n", "1 \r\nx\r\n0\r\n\r\n"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		whole, used, fault := read(string(b), len(b)+1)
		parts, usedParts, faultParts := read(string(b), max(n, 1))
		if fault != faultParts || fault == None && (whole != parts || used != usedParts) {
			t.Fatalf("in one piece %q %v, in pieces %q %v", whole, fault, parts, faultParts)
		}
		if fault == None {
			head := lines("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked")
			var h Head
			all := append([]byte(head), b...)
			if f := ParseRequest(all, &h); f != None {
				t.Fatal(f)
			}
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(all)))
			if err != nil {
				t.Fatal(err)
			}
			compareBody(t, &h, all, r.Body)
		}
	})
}

// cut takes the body off that begins at a place, as the engine frames it. whole is false when it is not all there.
func cut(b []byte, at int, h *Head, answer bool) (content string, end int, whole bool) {
	switch bodiless := answer && (h.Status/100 == 1 || h.Status == 204 || h.Status == 304); {
	case bodiless:
		return "", at, true
	case h.Chunked:
		content, used, f := read(string(b[at:]), len(b)+1)
		return content, at + used, f == None
	case h.ContentLength >= 0:
		if h.ContentLength > int64(len(b)-at) {
			return "", 0, false
		}
		end = at + int(h.ContentLength)
		return string(b[at:end]), end, true
	case answer:
		return string(b[at:]), len(b), true
	}
	return "", at, true
}

func sameBody(t *testing.T, theirs io.ReadCloser, content string) {
	t.Helper()
	all, err := io.ReadAll(theirs)
	theirs.Close()
	if err != nil {
		t.Fatalf("net/http refuses the body that is %q here: %v", content, err)
	}
	if string(all) != content {
		t.Fatalf("body: net/http %q, this %q", all, content)
	}
}
