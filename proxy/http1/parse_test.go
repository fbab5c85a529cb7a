package http1

import (
	"fmt"
	"strings"
	"testing"
)

func lines(ls ...string) string { return strings.Join(ls, "\r\n") + "\r\n\r\n" }

func TestParseRequest(t *testing.T) {
	const host = "Host: x"
	for _, tc := range []struct {
		name, in string
		fault    Fault
	}{
		{"plain", lines("GET / HTTP/1.1", host), None},
		{"empty lines first", "\r\n\r\n" + lines("GET / HTTP/1.1", host), None},
		{"1.0 without Host", lines("GET / HTTP/1.0"), None},
		{"asterisk", lines("OPTIONS * HTTP/1.1", host), None},
		{"authority", lines("CONNECT x:443 HTTP/1.1", host+":443"), None},
		{"absolute", lines("GET http://x/y?z HTTP/1.1", host), None},
		{"absolute with port", lines("GET http://X:80/ HTTP/1.1", host), None},
		{"empty header value", lines("GET / HTTP/1.1", host, "A:"), None},
		{"latin1 value", lines("GET / HTTP/1.1", host, "A: \xe9"), None},
		{"equal lengths", lines("POST / HTTP/1.1", host, "Content-Length: 3", "Content-Length: 3"), None},
		{"list of equal lengths", lines("POST / HTTP/1.1", host, "Content-Length: 3, 3"), None},
		{"IPv6 host", lines("GET / HTTP/1.1", "Host: [::1]:80"), None},
		{"nothing", "", Incomplete},
		{"half", "GET / HTTP/1.1\r\nHo", Incomplete},
		{"CR at the end", "GET / HTTP/1.1\r", Incomplete},
		{"no target", lines("GET  HTTP/1.1", host), BadStartLine},
		{"two blanks", lines("GET  / HTTP/1.1", host), BadTarget},
		{"blank in target", lines("GET /a b HTTP/1.1", host), BadTarget},
		{"tab", lines("GET\t/ HTTP/1.1", host), BadStartLine},
		{"bad method", lines("G@T / HTTP/1.1", host), BadStartLine},
		{"0.9", lines("GET /"), BadStartLine},
		{"2.5", lines("GET / HTTP/2.5", host), BadVersion},
		{"1.10", lines("GET / HTTP/1.10", host), BadVersion},
		{"lower case", lines("GET / http/1.1", host), BadVersion},
		{"fragment", lines("GET /#a HTTP/1.1", host), BadTarget},
		{"non-ASCII target", lines("GET /\xe9 HTTP/1.1", host), BadTarget},
		{"relative", lines("GET a HTTP/1.1", host), BadTarget},
		{"asterisk GET", lines("GET * HTTP/1.1", host), BadTarget},
		{"CONNECT path", lines("CONNECT / HTTP/1.1", host), BadTarget},
		{"userinfo", lines("GET http://a@x/ HTTP/1.1", host), BadTarget},
		{"other authority", lines("GET http://y/ HTTP/1.1", host), BadHost},
		{"no Host", lines("GET / HTTP/1.1"), BadHost},
		{"two Hosts", lines("GET / HTTP/1.1", host, host), BadHost},
		{"slash in Host", lines("GET / HTTP/1.1", "Host: x/y"), BadHost},
		{"port of letters", lines("GET / HTTP/1.1", "Host: x:y"), BadHost},
		{"bare LF", "GET / HTTP/1.1\nHost: x\n\n", BadLineEnd},
		{"LF after CRLF head", "GET / HTTP/1.1\r\nHost: x\n\r\n", BadLineEnd},
		{"bare CR", lines("GET / HTTP/1.1", host, "A: b\rc"), BadHeaderValue},
		{"CR CR LF", "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", BadHeaderValue},
		{"NUL", lines("GET / HTTP/1.1", host, "A: \x00"), BadHeaderValue},
		{"DEL", lines("GET / HTTP/1.1", host, "A: \x7f"), BadHeaderValue},
		{"blank before colon", lines("GET / HTTP/1.1", host, "A : b"), BadHeaderName},
		{"no colon", lines("GET / HTTP/1.1", host, "A"), BadHeaderName},
		{"no name", lines("GET / HTTP/1.1", host, ": b"), BadHeaderName},
		{"fold", lines("GET / HTTP/1.1", host, "A: b", " c"), FoldedLine},
		{"fold first", lines("GET / HTTP/1.1", " Host: x"), FoldedLine},
		{"100 headers", lines("GET / HTTP/1.1", host+strings.Repeat("\r\nA: b", 99)), None},
		{"101 headers", lines("GET / HTTP/1.1", host+strings.Repeat("\r\nA: b", 100)), TooManyHeaders},
		{"differing lengths", lines("POST / HTTP/1.1", host, "Content-Length: 3", "Content-Length: 4"), BadContentLength},
		{"differing in a list", lines("POST / HTTP/1.1", host, "Content-Length: 3, 4"), BadContentLength},
		{"comma at the end", lines("POST / HTTP/1.1", host, "Content-Length: 3,"), BadContentLength},
		{"plus", lines("POST / HTTP/1.1", host, "Content-Length: +3"), BadContentLength},
		{"empty length", lines("POST / HTTP/1.1", host, "Content-Length:"), BadContentLength},
		{"huge length", lines("POST / HTTP/1.1", host, "Content-Length: 99999999999999999999"), BadContentLength},
		{"gzip, chunked", lines("POST / HTTP/1.1", host, "Transfer-Encoding: gzip, chunked"), BadTransferEncoding},
		{"chunked twice", lines("POST / HTTP/1.1", host, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), BadTransferEncoding},
		{"xchunked", lines("POST / HTTP/1.1", host, "Transfer-Encoding: xchunked"), BadTransferEncoding},
		{"chunked in 1.0", lines("POST / HTTP/1.0", host, "Transfer-Encoding: chunked"), BadTransferEncoding},
		{"both", lines("POST / HTTP/1.1", host, "Content-Length: 3", "Transfer-Encoding: chunked"), LengthAndChunked},
		{"both, other order", lines("POST / HTTP/1.1", host, "Transfer-Encoding: chunked", "Content-Length: 3"), LengthAndChunked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var h Head
			f := ParseRequest([]byte(tc.in), &h)
			if f != tc.fault {
				t.Fatalf("%v, want %v", f, tc.fault)
			}
			if f == None && h.Len != len(tc.in) {
				t.Errorf("head of %d bytes, want %d", h.Len, len(tc.in))
			}
			// Every shorter piece of a good head is incomplete, of a bad one never good.
			for i := range len(tc.in) {
				switch g := ParseRequest([]byte(tc.in[:i]), &h); {
				case f == None && g != Incomplete, f != None && g == None:
					t.Fatalf("the first %d bytes: %v", i, g)
				}
			}
		})
	}
}

func TestParseResponse(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		fault    Fault
		check    func(*Head) bool
	}{
		{"plain", lines("HTTP/1.1 200 OK", "Content-Length: 3"), None, func(h *Head) bool { return h.Status == 200 && h.ContentLength == 3 && h.Persistent() }},
		{"no reason", lines("HTTP/1.1 200 "), None, func(h *Head) bool { return h.ContentLength == -1 }},
		{"no blank", lines("HTTP/1.1 200"), None, nil},
		{"old", lines("HTTP/1.0 200 OK"), None, func(h *Head) bool { return !h.Persistent() }},
		{"old keep-alive", lines("HTTP/1.0 200 OK", "Connection: Keep-Alive"), None, func(h *Head) bool { return h.Persistent() }},
		{"both framings", lines("HTTP/1.1 200 OK", "Content-Length: 3", "Transfer-Encoding: chunked"), None,
			func(h *Head) bool { return h.LengthDropped && h.Chunked && h.ContentLength == -1 }},
		{"garbage", "what is this", BadStartLine, nil},
		{"letters", lines("HTTP/1.1 2x0 OK"), BadStartLine, nil},
		{"below 100", lines("HTTP/1.1 099 OK"), BadStartLine, nil},
		{"four digits", lines("HTTP/1.1 2000 OK"), BadStartLine, nil},
		{"version", lines("HTTP/2.0 200 OK"), BadVersion, nil},
		{"differing lengths", lines("HTTP/1.1 200 OK", "Content-Length: 3", "Content-Length: 4"), BadContentLength, nil},
		{"fold", lines("HTTP/1.1 200 OK", "A: b", "\tc"), FoldedLine, nil},
		{"bare LF", "HTTP/1.1 200 OK\n\n", BadLineEnd, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var h Head
			if f := ParseResponse([]byte(tc.in), &h); f != tc.fault || tc.check != nil && !tc.check(&h) {
				t.Errorf("%v, want %v; %+v", f, tc.fault, h)
			}
		})
	}
}

func TestHopByHop(t *testing.T) {
	in := []byte(lines("GET / HTTP/1.1", "Host: x", "Connection: close, X-One ,,host", "x-one: 1", "X-Two: 2", "Keep-Alive: 5", "TE: trailers",
		"Content-Length: 2", "Content-Length: 2", "Upgrade: websocket"))
	var h Head
	if f := ParseRequest(in, &h); f != None {
		t.Fatal(f)
	}
	got := ""
	for _, hd := range h.Headers[:h.N] {
		if !hd.Hop {
			got += string(hd.Name.Of(in)) + " "
		}
	}
	if got != "Host X-Two Content-Length " || !h.Close || h.Upgrade {
		t.Errorf("passed on: %s; %+v", got, h.Close)
	}
}

func TestUpgradeTokens(t *testing.T) {
	for value, want := range map[string]bool{"websocket": true, "h2c": false, "H2C, websocket": false, "": false} {
		var h Head
		in := []byte(lines("GET / HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: "+value))
		if f := ParseRequest(in, &h); f != None || h.Upgrade != want {
			t.Errorf("%q: %v %v", value, f, h.Upgrade)
		}
	}
}

// read runs a chunked body through Chunks in pieces of n bytes.
func read(in string, n int) (content string, used int, f Fault) {
	var c Chunks
	for used < len(in) && !c.Done() {
		piece := []byte(in[used:min(used+n, len(in))])
		m, kind, f := c.Next(piece)
		if f != None {
			return content, used, f
		}
		if kind == Data {
			content += string(piece[:m])
		}
		used += m
	}
	if !c.Done() {
		f = Incomplete
	}
	return content, used, f
}

func TestChunks(t *testing.T) {
	for _, tc := range []struct {
		name, in, content string
		fault             Fault
		rest              int
	}{
		{"empty", "0\r\n\r\n", "", None, 0},
		{"two", "3\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\nGET", "abc0123456789", None, 3},
		{"extension", "3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n", "abc", None, 0},
		{"trailers", "1\r\na\r\n0\r\nT: x\r\nU:\r\n\r\n", "a", None, 0},
		{"blank after size", "1 \r\na\r\n0\r\n\r\n", "a", None, 0},
		{"cut", "3\r\nab", "ab", Incomplete, 0},
		{"no size", "\r\nabc", "", BadChunk, 0},
		{"garbage", "xyz\r\n", "", BadChunk, 0},
		{"0x", "0x3\r\nabc\r\n", "", BadChunk, 0},
		{"minus", "-1\r\n", "", BadChunk, 0},
		{"overflow", "fffffffffffffffff\r\n", "", BadChunk, 0},
		{"LF", "3\nabc\r\n0\r\n\r\n", "", BadChunk, 0},
		{"LF in extension", "3;a\nabc\r\n", "", BadChunk, 0},
		{"CR in extension", "3;a\rb\r\n", "", BadChunk, 0},
		{"too long", "3\r\nabcd\r\n", "abc", BadChunk, 0},
		{"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", "", BadTrailer, 0},
		{"trailer without colon", "0\r\nA b\r\n\r\n", "", BadTrailer, 0},
		{"LF trailer", "0\r\nA: b\n\r\n", "", BadTrailer, 0},
		{"long extension", "3;" + strings.Repeat("a", 5000) + "\r\n", "", BadChunk, 0},
		{"endless trailers", "0\r\n" + strings.Repeat("A: b\r\n", 4000), "", BadTrailer, 0},
	} {
		for _, n := range []int{1, 2, 7, 1 << 20} {
			t.Run(fmt.Sprint(tc.name, n), func(t *testing.T) {
				content, used, f := read(tc.in, n)
				if f != tc.fault || f == None && (content != tc.content || used != len(tc.in)-tc.rest) {
					t.Errorf("%q, %d bytes, %v", content, used, f)
				}
			})
		}
	}
}

var big = []byte(lines("GET /some/path?with=a&query=string HTTP/1.1", "Host: www.example.org", "User-Agent: "+strings.Repeat("Mozilla ", 14),
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language: en-US,en;q=0.5", "Accept-Encoding: gzip, deflate, br",
	"Referer: http://www.example.org/"+strings.Repeat("x", 100), "Cookie: session="+strings.Repeat("0123456789", 12), "Connection: keep-alive"))

func BenchmarkParseRequest(b *testing.B) {
	var h Head
	for name, in := range map[string][]byte{"small": []byte(lines("GET / HTTP/1.1", "Host: localhost:8080")), "browser": big} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if f := ParseRequest(in, &h); f != None {
					b.Fatal(f)
				}
			}
		})
	}
}

func BenchmarkParseResponse(b *testing.B) {
	var h Head
	in := []byte(lines("HTTP/1.1 200 OK", "Date: Sat, 21 Nov 2026 12:00:00 GMT", "Content-Type: text/html", "Content-Length: 1234"))
	b.ReportAllocs()
	for b.Loop() {
		if f := ParseResponse(in, &h); f != None {
			b.Fatal(f)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	var h Head
	if n := testing.AllocsPerRun(100, func() { ParseRequest(big, &h) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
	body := []byte("3;a=b\r\nabc\r\n0\r\nT: x\r\n\r\n")
	if n := testing.AllocsPerRun(100, func() {
		var c Chunks
		for at := 0; !c.Done(); {
			n, _, _ := c.Next(body[at:])
			at += n
		}
	}); n != 0 {
		t.Errorf("%v allocations a body", n)
	}
}

// TestValidValue compares the fast way with the slow one for every byte at every place.
func TestValidValue(t *testing.T) {
	for c := range 256 {
		for at := range 17 {
			b := []byte("abcdefgh\xff\t 89012345")[:17]
			b[at] = byte(c)
			if validValue(b) != all(b, isValue) {
				t.Fatalf("byte %#x at %d", c, at)
			}
		}
	}
}
