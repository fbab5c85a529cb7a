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
// about the message's end. It may refuse more.

func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		lines("GET / HTTP/1.1", "Host: x"), lines("POST /a?b HTTP/1.1", "Host: x", "Content-Length: 3") + "abc",
		lines("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n",
		lines("GET / HTTP/1.0"), lines("OPTIONS * HTTP/1.1", "Host: x"), lines("CONNECT x:1 HTTP/1.1", "Host: x:1"),
		lines("GET http://x/ HTTP/1.1", "Host: x", "Connection: close, a"), string(big),
		lines("GET / HTTP/1.1", "Host: x", "Content-Length: 3", "Content-Length: 3"),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Head
		if ParseRequest(b, &h) != None {
			return
		}
		if h.Len > len(b) || h.N > MaxHeaders {
			t.Fatalf("%d of %d bytes, %d headers", h.Len, len(b), h.N)
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b[h.Start:])))
		if err != nil {
			if excused(err) {
				return
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
		compareBody(t, &h, b, r.Body)
	})
}

// excused are refusals of net/http that are no matter of framing: it parses URLs and checks hosts its own way.
func excused(err error) bool {
	s := err.Error()
	return strings.Contains(s, "parse ") || strings.Contains(s, "malformed Host") || strings.Contains(s, "invalid URL")
}

func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		lines("HTTP/1.1 200 OK", "Content-Length: 3") + "abc", lines("HTTP/1.0 404 Not Found") + "abc",
		lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n", lines("HTTP/1.1 304 Not Modified", "ETag: x"),
		lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: x"),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Head
		if ParseResponse(b, &h) != None {
			return
		}
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
		if err != nil {
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
	})
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
