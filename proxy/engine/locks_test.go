package engine

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/reeve-lb/reeve/proxy"
)

// TestLoopsShareNoLock: with two loops at work on the same backend, with rules, a header, a cookie, log lines and counters,
// no loop ever waits for a lock on the way of a request.
func TestLoopsShareNoLock(t *testing.T) {
	before := runtime.SetMutexProfileFraction(1)
	defer runtime.SetMutexProfileFraction(before)
	s := startLoops(t, 2, proxy.HTTP, []proxy.Server{rawServer(t, "a", pingPong), rawServer(t, "b", pingPong)}, func(c *proxy.Config) {
		f := &c.Frontends[0]
		f.ACLs = []proxy.ACL{{Name: "api", Test: proxy.Words("path_beg /api/")}}
		f.UseBackend = []proxy.UseBackend{{Backend: "be", Cond: proxy.Words("if api")}}
		f.ForwardFor = &proxy.ForwardFor{}
	})
	known := map[runtime.StackRecord]int64{}
	for _, r := range mutexProfile() {
		known[r.StackRecord] = r.Count
	}
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			c := keepAliveClient()
			defer c.CloseIdleConnections()
			for range 200 {
				resp, err := c.Get("http://" + s.addr + "/api/x")
				if err != nil {
					t.Error(err)
					return
				}
				if resp.Body.Close(); resp.StatusCode != http.StatusOK {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
		})
	}
	clients.Wait()
	for _, r := range mutexProfile() {
		if r.Count == known[r.StackRecord] {
			continue
		}
		stack := frames(r.Stack())
		if strings.Contains(stack, "engine.(*session)") || strings.Contains(stack, "engine.(*loop).dispatch") && !strings.Contains(stack, "readMail") {
			t.Errorf("%d times a lock was fought for on the way of a request:\n%s", r.Count, stack)
		}
	}
}

func mutexProfile() []runtime.BlockProfileRecord {
	for n := 64; ; n *= 2 {
		records := make([]runtime.BlockProfileRecord, n)
		if got, ok := runtime.MutexProfile(records); ok {
			return records[:got]
		}
	}
}

func frames(pcs []uintptr) string {
	var b strings.Builder
	for fs := runtime.CallersFrames(pcs); ; {
		f, more := fs.Next()
		b.WriteString(f.Function + "\n")
		if !more {
			return b.String()
		}
	}
}
