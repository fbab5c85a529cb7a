package engine

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/reeve-lb/reeve/proxy"
)

// TestH2HeadsInOrder: more heads come at once than there is room for on the way to the server, long ones and short ones.
// Those that find room go ahead of those that wait, and the numbers of their streams go up all the same (RFC 9113 section
// 5.1.1).
func TestH2HeadsInOrder(t *testing.T) {
	server, conns := h2Server(t, "a", func(w http.ResponseWriter, r *http.Request) {})
	s := startLoops(t, 1, proxy.HTTP, []proxy.Server{server}, nil)
	r := s.h2raw()
	r.head(1, true)
	if f, _ := r.until(ofStream(1)).(*http2.MetaHeadersFrame); f == nil || f.PseudoValue("status") != "200" {
		t.Fatalf("%v", f)
	}
	const n = 90
	long := strings.Repeat("x", 3900) // what the table of HPACK holds, so that it takes a byte in each request but the first
	var all bytes.Buffer
	answers := r.f
	r.f = http2.NewFramer(&all, nil)
	for i := range n {
		if id := uint32(3 + 2*i); i%2 == 0 {
			r.head(id, true, "x-long", long)
		} else {
			r.head(id, true)
		}
	}
	if _, err := r.c.Write(all.Bytes()); err != nil {
		t.Fatal(err)
	}
	r.f = answers
	for i := range n {
		f, _ := r.until(func(f http2.Frame) bool { return f.Header().Type == http2.FrameHeaders }).(*http2.MetaHeadersFrame)
		if f == nil || f.PseudoValue("status") != "200" {
			t.Fatalf("answer %d: %v", i, f)
		}
	}
	if conns.Load() != 1 {
		t.Errorf("%d connections to the server", conns.Load())
	}
}
