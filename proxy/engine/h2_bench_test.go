package engine

import (
	"bytes"
	"encoding/binary"
	"runtime"
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

// TestNoAllocationsPerRequestH2 holds the whole path of a request in HTTP/2 to no allocation.
func TestNoAllocationsPerRequestH2(t *testing.T) {
	for _, path := range h2Paths {
		t.Run(path.name, func(t *testing.T) {
			s := start(t, proxy.HTTP, []proxy.Server{rawServer(t, "a", answeringEach)}, func(c *proxy.Config) {
				c.Frontends[0].ForwardFor, c.Frontends[0].Log = &proxy.ForwardFor{}, nil
			})
			a := newH2Ask(t, s, path.body, path.fields)
			for range 200 {
				a.once(t)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			const n = 2000
			for range n {
				a.once(t)
			}
			runtime.ReadMemStats(&after)
			if per := float64(after.Mallocs-before.Mallocs) / n; per > 0.1 {
				t.Errorf("%.3f allocations a request", per)
			}
		})
	}
}

func BenchmarkRequestH2(b *testing.B) {
	for _, path := range h2Paths {
		b.Run(path.name, func(b *testing.B) {
			s := start(b, proxy.HTTP, []proxy.Server{rawServer(b, "a", answeringEach)}, func(c *proxy.Config) {
				c.Frontends[0].ForwardFor, c.Frontends[0].Log = &proxy.ForwardFor{}, nil
			})
			a := newH2Ask(b, s, path.body, path.fields)
			a.once(b)
			b.ReportAllocs()
			for b.Loop() {
				a.once(b)
			}
		})
	}
}
