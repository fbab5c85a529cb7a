package engine

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// pressed is one answer that may be compressed, asked for through Reeve and through the real HAProxy.
type pressed struct {
	name    string
	set     string // lines of haproxy.cfg, parted by ;
	ask     string // header lines of the request, parted by |
	line    string // the request line; "": GET / HTTP/1.1
	answer  string // the server's, as in exchanges; TEXT is 280 bytes in its body with their Content-Length
	want    string // the coding in which the client gets the content: gzip, zlib, raw, br, zstd, or - for none
	differs string // what HAProxy does otherwise
}

const (
	gzipOn    = "compression algo gzip"
	wantsGzip = "Accept-Encoding: gzip"
	plainText = "HTTP/1.1 200 OK|Content-Type: text/plain|TEXT"
)

func with(line string) string {
	return "HTTP/1.1 200 OK|Content-Type: text/plain|" + line + "|TEXT"
}

var pressedAnswers = []pressed{
	{name: "gzip", want: "gzip"},
	{name: "nothing is accepted", ask: "Accept: */*", want: "-"},
	{name: "chunks", answer: "HTTP/1.1 200 OK|Content-Type: text/plain|Transfer-Encoding: chunked||b|hello world|5;x=y|12345|0||", want: "gzip"},
	{name: "trailers stay", answer: "HTTP/1.1 200 OK|Content-Type: text/plain|Transfer-Encoding: chunked||b|hello world|0|X-T: 1|X-U: 2||", want: "gzip"},
	{name: "an answer that ends with its connection", answer: "HTTP/1.1 200 OK|Content-Type: text/plain||hello", want: "-"},
	{name: "201", answer: "HTTP/1.1 201 Created|TEXT", want: "gzip"},
	{name: "203", answer: "HTTP/1.1 203 Other|TEXT", want: "gzip"},
	{name: "206", answer: "HTTP/1.1 206 Partial Content|Content-Range: bytes 0-279/300|TEXT", want: "-"},
	{name: "404", answer: "HTTP/1.1 404 Not Found|TEXT", want: "-"},
	{name: "500", answer: "HTTP/1.1 500 Oops|TEXT", want: "-"},
	{name: "204", answer: "HTTP/1.1 204 No Content|Content-Type: text/plain||", want: "-"},
	{name: "304", answer: "HTTP/1.1 304 Not Modified|ETag: \"a\"||", want: "-"},
	{name: "HEAD", line: "HEAD / HTTP/1.1", answer: "HTTP/1.1 200 OK|Content-Type: text/plain|Content-Length: 280||", want: "-"},
	{name: "HEAD of chunks", line: "HEAD / HTTP/1.1", answer: "HTTP/1.1 200 OK|Content-Type: text/plain|Transfer-Encoding: chunked||", want: "-"},
	{name: "POST", line: "POST / HTTP/1.1", ask: wantsGzip + "|Content-Length: 0", want: "gzip"},
	{name: "no type, and none is asked for", answer: "HTTP/1.1 200 OK|TEXT", want: "gzip"},
	{name: "no type", set: gzipOn + ";compression type text/plain", answer: "HTTP/1.1 200 OK|TEXT", want: "-"},
	{name: "another type", set: gzipOn + ";compression type text/plain", answer: "HTTP/1.1 200 OK|Content-Type: image/png|TEXT", want: "-"},
	{name: "the beginning of a type", set: gzipOn + ";compression type text/ image/svg", answer: "HTTP/1.1 200 OK|Content-Type: Text/HTML; charset=x|TEXT", want: "gzip"},
	{name: "multipart", answer: "HTTP/1.1 200 OK|Content-Type: multipart/mixed; boundary=x|TEXT", want: "-"},
	{name: "encoded already", answer: with("Content-Encoding: br"), want: "-"},
	{name: "encoded as identity", answer: with("Content-Encoding: identity"), want: "-"},
	{name: "no-transform", answer: with("Cache-Control: public, no-transform"), want: "-"},
	{name: "no-transform of the client", ask: wantsGzip + "|Cache-Control: no-transform", want: "gzip"},
	{name: "a strong ETag becomes weak", answer: with(`ETag: "abc"`), want: "gzip"},
	{name: "a weak ETag", answer: with(`ETag: W/"abc"`), want: "gzip"},
	{name: "a malformed ETag", answer: with("ETag: abc"), want: "-"},
	{name: "two ETags", answer: with(`ETag: "a"|ETag: "b"`), want: "-"},
	{name: "Vary stays", answer: with("Vary: Origin"), want: "gzip"},
	{name: "no content", answer: "HTTP/1.1 200 OK|Content-Length: 0||", want: "-"},
	{name: "no content in chunks", answer: "HTTP/1.1 200 OK|Transfer-Encoding: chunked||0||", want: "gzip"},
	{name: "one byte", answer: "HTTP/1.1 200 OK|Content-Length: 1||x", want: "gzip"},
	{name: "a client of HTTP/1.0", line: "GET / HTTP/1.0", want: "-"},
	{name: "a server of HTTP/1.0", answer: "HTTP/1.0 200 OK|Content-Type: text/plain|TEXT", want: "-", differs: "tells the server's version, as ever"},
	{name: "offload", set: gzipOn + ";compression offload", want: "gzip"},
	{name: "offload of what is not compressed", set: gzipOn + ";compression offload", ask: "Accept-Encoding: br", want: "-"},
	{name: "deflate", set: "compression algo deflate", ask: "Accept-Encoding: deflate", want: "zlib"},
	{name: "raw-deflate", set: "compression algo raw-deflate", ask: "Accept-Encoding: deflate", want: "raw"},
	{name: "identity", set: "compression algo identity", want: "-", differs: "sends it in chunks"},
	{name: "weights", set: "compression algo gzip deflate", ask: "Accept-Encoding: gzip;q=0.5, deflate;q=0.8", want: "zlib"},
	{name: "weights of three digits", set: "compression algo gzip deflate", ask: "Accept-Encoding: gzip;q=0.124, deflate;q=0.123", want: "gzip"},
	{name: "weight zero", ask: "Accept-Encoding: gzip;q=0", want: "-"},
	{name: "two lines of weights", set: "compression algo gzip deflate", ask: "Accept-Encoding: gzip;q=0.2|Accept-Encoding: deflate;q=0.5", want: "zlib"},
	{name: "anything", ask: "Accept-Encoding: *", want: "gzip"},
	{name: "nothing at all", ask: "Accept-Encoding: *;q=0", want: "-"},
	{name: "of two alike the first in the file", set: "compression algo gzip deflate", ask: "Accept-Encoding: deflate, gzip", want: "gzip", differs: "takes the first that the client names"},
	{name: "of anything the first in the file", set: "compression algo gzip deflate", ask: "Accept-Encoding: *", want: "gzip", differs: "takes the last in the file"},
	{name: "as it is, if the client likes that better", ask: "Accept-Encoding: identity, gzip;q=0.5", want: "-", differs: "does not ask how identity is liked"},
	{name: "x-gzip is gzip", ask: "Accept-Encoding: x-gzip", want: "gzip", differs: "does not know that name (RFC 9110 section 8.4.1.3)"},
	{name: "a weight that is none", ask: "Accept-Encoding: gzip;q=abc", want: "-", differs: "takes it for 1"},
	{name: "an old client", ask: wantsGzip + "|User-Agent: Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", want: "-"},
	{name: "not so old a client", ask: wantsGzip + "|User-Agent: Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)", want: "gzip"},
	{name: "what rules took out", set: gzipOn + ";http-request del-header Accept-Encoding", want: "-"},
	{name: "an answer that a rule made", set: gzipOn + ";http-request return status 200 content-type text/plain string aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", want: "-"},
	{name: "rules see the answer as it came", set: gzipOn + ";http-response set-header X-E has-%[res.hdr(content-encoding)]", want: "gzip"},
	{name: "a range that the server did not heed", ask: wantsGzip + "|Range: bytes=0-5", want: "gzip"},
	{name: "filter compression is accepted", set: gzipOn + ";filter compression", want: "gzip"},
	{name: "two lines of algorithms", set: "compression algo deflate;compression algo gzip", want: "gzip"},
}

// ownAnswers are those for which HAProxy has no words.
var ownAnswers = []pressed{
	{name: "brotli", set: "compression algo br zstd gzip", ask: "Accept-Encoding: gzip, deflate, br, zstd", want: "br"},
	{name: "zstd", set: "compression algo zstd br gzip", ask: "Accept-Encoding: gzip, deflate, br, zstd", want: "zstd"},
	{name: "gzip for who knows nothing better", set: "compression algo br zstd gzip", want: "gzip"},
	{name: "direction", set: gzipOn + ";compression direction response", want: "gzip"},
	{name: "what a rule has encoded", set: gzipOn + ";http-response set-header Content-Encoding br", want: "-"},
}

func TestCompressionBesideHAProxy(t *testing.T) {
	t.Parallel()
	all := pressedAnswers
	ha, own := newStage(t, scenes(all)), newStage(t, scenes(append(slices.Clip(all), ownAnswers...)))
	ha.haproxy(t)
	own.reeve(t)
	for i, c := range append(slices.Clip(all), ownAnswers...) {
		got := c.play(t, own, i)
		if !strings.HasSuffix(got, " as "+c.want) {
			t.Errorf("%s: %s; want the content as %s", c.name, got, c.want)
		}
		if i >= len(all) {
			continue
		}
		switch want := c.play(t, ha, i); {
		case got != want && c.differs == "":
			t.Errorf("%s:\nHAProxy %s\nReeve   %s", c.name, want, got)
		case got == want && c.differs != "":
			t.Errorf("%s: HAProxy does the same now (%s)", c.name, c.differs)
		}
	}
}

// scenes make a section for each answer.
func scenes(all []pressed) (out []*rawExchange) {
	for _, c := range all {
		set := c.set
		if set == "" {
			set = gzipOn
		}
		out = append(out, &rawExchange{set: strings.Split(set, ";")})
	}
	return out
}

// play asks once and tells what the server saw and what the client got.
func (c pressed) play(t *testing.T, s *stage, i int) string {
	t.Helper()
	line, ask, text := c.line, c.ask, c.answer
	if line == "" {
		line = "GET / HTTP/1.1"
	}
	if ask == "" {
		ask = wantsGzip
	}
	if text == "" {
		text = plainText
	}
	body := strings.Repeat("hello world, ", 21) + "1234567"
	raw, _ := rawText(strings.Replace(text, "TEXT", fmt.Sprintf("Content-Length: %d||%s", len(body), body), 1))
	request, _ := rawText(line + "|Host: x|" + ask + "||")
	k, err := net.Dial("tcp", s.addrs[i])
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	k.SetDeadline(time.Now().Add(4 * time.Second))
	k.Write(request)
	saw := make(chan string, 1)
	if strings.Contains(c.set, "http-request return") {
		saw <- "nothing"
	} else {
		go serveOnce(s.servers[i], raw, saw)
	}
	return <-saw + received(k, line)
}

// serveOnce answers one request and tells its header lines.
func serveOnce(a *actor, raw []byte, saw chan string) {
	select {
	case c := <-a.conns:
		defer c.Close()
		c.SetDeadline(time.Now().Add(4 * time.Second))
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			saw <- err.Error()
			return
		}
		saw <- fmt.Sprintf("server saw %q %q", r.Header["Accept-Encoding"], r.Header["User-Agent"])
		c.Write(raw)
		if !bytes.Contains(raw, []byte("Content-Length")) && !bytes.Contains(raw, []byte("chunked")) && !bytes.Contains(raw, []byte(" 204 ")) && !bytes.Contains(raw, []byte(" 304 ")) {
			return
		}
		io.Copy(io.Discard, c) // until the proxy leaves
	case <-time.After(4 * time.Second):
		saw <- "no connection"
	}
}

// received tells of an answer what a client may depend on, its content decoded.
func received(k net.Conn, line string) string {
	method, _, _ := strings.Cut(line, " ")
	resp, err := http.ReadResponse(bufio.NewReader(k), &http.Request{Method: method})
	if err != nil {
		return "; no answer: " + err.Error()
	}
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return "; cut short: " + err.Error()
	}
	told := fmt.Sprintf("; %s %d", resp.Proto, resp.StatusCode)
	for _, name := range []string{"Content-Type", "Content-Encoding", "Etag", "Vary", "Cache-Control", "X-E"} {
		if v := resp.Header[name]; v != nil {
			told += fmt.Sprintf(" %s=%q", name, v)
		}
	}
	text, as := decoded(content)
	return told + fmt.Sprintf(" length=%d %v trailer=%v %q as %s", resp.ContentLength, resp.TransferEncoding, resp.Trailer, text, as)
}

// decoders are those of other hands where there are any.
var decoders = []struct {
	as   string
	open func(io.Reader) (io.Reader, error)
}{
	{"gzip", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{"zlib", func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }},
	{"zstd", func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) }},
	{"raw", func(r io.Reader) (io.Reader, error) { return flate.NewReader(r), nil }},
	{"br", func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }},
}

// decoded undoes the coding that the content turns out to have.
func decoded(content []byte) (text []byte, as string) {
	for _, d := range decoders {
		r, err := d.open(bytes.NewReader(content))
		if err != nil || len(content) == 0 {
			continue
		}
		if text, err = io.ReadAll(r); err == nil {
			return text, d.as
		}
	}
	return content, "-"
}
