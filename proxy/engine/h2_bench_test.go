package engine

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/reeve-lb/reeve/proxy"
)

// h2Ask sends the same request again and again on a connection, each on a stream of its own, without allocating.
type h2Ask struct {
	*h2Raw
	frames []byte
	ids    []int // where the frames have the stream's number
	id     uint32
	in     []byte
}

// h2Paths are the ways a request may take, as fields and content.
var h2Paths = []struct {
	name, body string
	fields     []string
}{
	{"GET", "", []string{":method", "GET", "user-agent", "bench", "accept", "*/*"}},
	{"POST", "hello world", []string{":method", "POST", "content-length", "11"}},
	{"chunked", "hello", []string{":method", "POST"}},
}

func newH2Ask(tb testing.TB, s *site, body string, fields []string) *h2Ask {
	a := &h2Ask{h2Raw: s.h2raw(), id: 1, in: make([]byte, 4096)}
	a.c.SetDeadline(time.Time{})
	var block, out bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{fields[0], fields[1]}, {":scheme", "http"}, {":authority", "example.org"}, {":path", "/some/path"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true}) // in no table: always the same bytes
	}
	for i := 2; i < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1], Sensitive: true})
	}
	f := http2.NewFramer(&out, nil)
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: body == ""})
	a.ids = []int{5}
	if body != "" {
		a.ids = append(a.ids, out.Len()+5)
		f.WriteData(1, true, []byte(body))
	}
	a.frames = out.Bytes()
	a.f.WriteWindowUpdate(0, 1<<30) // once and for all
	return a
}

func (a *h2Ask) once(tb testing.TB) {
	for _, at := range a.ids {
		binary.BigEndian.PutUint32(a.frames[at:], a.id)
	}
	a.id += 2
	exchangeOnce(tb, a.c, a.frames, a.in)
}

// h2AnsweringEach is a server of HTTP/2 that answers each request without allocating.
func h2AnsweringEach(c net.Conn, r *bufio.Reader) {
	if _, err := r.Discard(len(http2.ClientPreface)); err != nil {
		return
	}
	var out bytes.Buffer
	f := http2.NewFramer(&out, nil)
	f.WriteSettings()
	f.WriteSettingsAck()
	f.WriteWindowUpdate(0, 1<<30)
	c.Write(out.Bytes())
	out.Reset()
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88, 0x0f, 0x0d, 1, '5'}, EndHeaders: true}) // :status 200, content-length 5
	second := out.Len()
	f.WriteData(1, true, []byte("hello"))
	answer := out.Bytes()
	for {
		h, err := r.Peek(9)
		if err != nil {
			return
		}
		length, kind, flags, id := int(h[0])<<16|int(h[1])<<8|int(h[2]), http2.FrameType(h[3]), http2.Flags(h[4]), binary.BigEndian.Uint32(h[5:])
		if _, err := r.Discard(9 + length); err != nil {
			return
		}
		if (kind == http2.FrameHeaders || kind == http2.FrameData) && flags.Has(http2.FlagDataEndStream) {
			binary.BigEndian.PutUint32(answer[5:], id)
			binary.BigEndian.PutUint32(answer[second+5:], id)
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}

// h2Ways are the protocols on both sides: the path of a request in HTTP/2 on one of them or on both.
var h2Ways = []struct {
	name           string
	client, server bool // by HTTP/2
}{{"front", true, false}, {"back", false, true}, {"both", true, true}}

// asker sends a request again and again.
func asker(tb testing.TB, client, server bool, body string, fields []string) func() {
	answers, proto := answeringEach, func(*proxy.Config) {}
	if server {
		answers, proto = h2AnsweringEach, func(c *proxy.Config) { c.Backends[0].Servers[0].Proto = proxy.H2Proto }
	}
	s := unlogged(tb, answers, proto)
	if client {
		a := newH2Ask(tb, s, body, fields)
		return func() { a.once(tb) }
	}
	head := []string{"User-Agent: bench"}
	if body != "" {
		head = append(head, "Content-Length: "+strconv.Itoa(len(body)))
	}
	if strings.Contains(strings.Join(fields, " "), "POST") && !strings.Contains(strings.Join(fields, " "), "content-length") {
		head, body = []string{"Transfer-Encoding: chunked"}, "5\r\nhello\r\n0\r\n\r\n"
	}
	req, in, c := []byte(request(fields[1]+" /some/path", head...)+body), make([]byte, 4096), s.dial()
	c.SetDeadline(time.Time{})
	return func() { exchangeOnce(tb, c, req, in) }
}

// TestNoAllocationsPerRequestH2 holds the whole path of a request in HTTP/2, on either side, to no allocation.
func TestNoAllocationsPerRequestH2(t *testing.T) {
	for _, way := range h2Ways {
		for _, path := range h2Paths {
			t.Run(way.name+" "+path.name, func(t *testing.T) {
				once := asker(t, way.client, way.server, path.body, path.fields)
				if per := costOf(2000, once); per.objects > 0.1 {
					t.Errorf("%.3f allocations a request", per.objects)
				}
			})
		}
	}
}

func BenchmarkRequestH2(b *testing.B) {
	for _, way := range h2Ways {
		for _, path := range h2Paths {
			b.Run(way.name+"/"+path.name, func(b *testing.B) {
				repeat(b, asker(b, way.client, way.server, path.body, path.fields))
			})
		}
	}
}
