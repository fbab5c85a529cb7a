package engine

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"github.com/reeve-lb/reeve/proxy"
)

// heap is what lives on it.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestH2SlowReader: streams that take nothing more hold up neither others nor much memory.
func TestH2SlowReader(t *testing.T) {
	const slow, window = 40, 65535
	s := start(t, proxy.HTTP, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/big" {
			for b := make([]byte, 32<<10); r.Context().Err() == nil; {
				w.Write(b)
			}
		}
		io.WriteString(w, "x")
	})}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	r := s.h2raw()
	r.f.WriteWindowUpdate(0, 1<<24)
	before := heap()
	for id := uint32(1); id < 2*slow; id += 2 {
		r.get(id, "/big")
	}
	left := slow * window
	r.until(func(f http2.Frame) bool {
		if d, ok := f.(*http2.DataFrame); ok {
			left -= len(d.Data())
		}
		return left <= 0
	})
	for id := uint32(2*slow + 1); id < 2*slow+100; id += 2 {
		r.get(id, "/")
		r.wantStatus(id, "200")
		r.wantData(id, "x", true)
	}
	if grown := heap() - before; left != 0 || grown > slow*4*bigBuffer {
		t.Errorf("%d streams that wait keep %d kB, %d bytes have not come", slow, grown>>10, left)
	}
	r.f.WriteWindowUpdate(1, 100_000) // goes on
	left = 100_000
	r.until(func(f http2.Frame) bool {
		if d, ok := f.(*http2.DataFrame); ok && d.StreamID == 1 {
			left -= len(d.Data())
		}
		return left <= 0
	})
	if left != 0 {
		t.Errorf("%d bytes have not come", left)
	}
}

// TestH2SlowServer: a body that its server does not take holds up no other's, and comes through in the end.
func TestH2SlowServer(t *testing.T) {
	gate := make(chan struct{})
	s := start(t, proxy.HTTP, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-gate
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	client := h2Client(t)
	post := func(path string, size int) {
		resp, err := client.Post("http://"+s.addr+path, "", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != strconv.Itoa(size) {
			t.Errorf("%s: %q of %d, %v", path, b, size, err)
		}
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { post("/slow", 16<<20) })
	}
	for range 50 {
		post("/", 100_000)
	}
	close(gate)
	wg.Wait()
}
