package engine

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// TestDescriptorLimit crowds an engine that has few descriptors, in a process of its own: accepting pauses, who is inside
// is served on, and who waits is served as soon as others leave.
func TestDescriptorLimit(t *testing.T) {
	if limit := os.Getenv("REEVE_TEST_NOFILE"); limit != "" {
		fewDescriptors(t, limit)
		return
	}
	t.Parallel()
	for _, tc := range []struct {
		name    string
		maxConn int // 0: what the limit allows
		inside  int // connections that are let in at most
	}{{"by the budget", 0, 300/2 - 64}, {"beyond the budget", 5000, 300}} {
		t.Run(tc.name, func(t *testing.T) {
			server := rawServer(t, "s", pingPong)
			addr := ports.Free(t, "127.0.0.1").String()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestDescriptorLimit$")
			child.Env = append(os.Environ(), "REEVE_TEST_NOFILE=300", "REEVE_TEST_BIND="+addr, "REEVE_TEST_SERVER="+server.Address,
				"REEVE_TEST_MAXCONN="+strconv.Itoa(tc.maxConn))
			in, err := child.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			child.Stdout, child.Stderr = &out, &out
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				in.Close()
				if err := child.Wait(); err != nil {
					t.Errorf("the engine's process: %v\n%s", err, out.String())
				}
			}()
			crowd(t, addr, tc.inside)
		})
	}
}

func crowd(t *testing.T, addr string, inside int) {
	open := func() net.Conn {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) { // nothing tells of a bind
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.SetDeadline(time.Now().Add(5 * time.Second))
				return c
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	buf := make([]byte, 4096)
	first := open()
	defer first.Close()
	exchangeOnce(t, first, []byte(benchRequest), buf)
	var all []net.Conn
	defer func() {
		for _, c := range all {
			c.Close()
		}
	}()
	for range 600 {
		c := open()
		io.WriteString(c, "GET / HT") // an idle one would not be accepted yet
		all = append(all, c)
	}
	exchangeOnce(t, first, []byte(benchRequest), buf) // over the server connection that there is
	for _, c := range all[:inside] {
		c.Close()
	}
	begin := time.Now()
	last := all[len(all)-1]
	io.WriteString(last, "TP/1.1\r\nHost: x\r\n\r\n")
	for _, c := range all[inside : len(all)-1] {
		c.Close()
	}
	resp, err := bufio.NewReader(last).ReadString('\n')
	if took := time.Since(begin); err != nil || !strings.HasPrefix(resp, "HTTP/1.1 200 ") || took > 2*time.Second {
		t.Errorf("%q %v after %v", resp, err, took)
	}
	exchangeOnce(t, first, []byte(benchRequest), buf)
}

// fewDescriptors runs an engine under a limit until its standard input ends.
func fewDescriptors(t *testing.T, limit string) {
	n, err := strconv.ParseUint(limit, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
		t.Fatal(err)
	}
	maxConn, err := strconv.Atoi(os.Getenv("REEVE_TEST_MAXCONN"))
	if err != nil {
		t.Fatal(err)
	}
	var bind proxy.Bind
	if err := bind.Addr.UnmarshalText([]byte(os.Getenv("REEVE_TEST_BIND"))); err != nil {
		t.Fatal(err)
	}
	e := New(Options{Loops: 1})
	cfg := proxy.Config{
		Global:    proxy.Global{MaxConn: maxConn},
		Frontends: []proxy.Frontend{{Name: "fe", Common: common(proxy.HTTP, nil), Binds: []proxy.Bind{bind}, DefaultBackend: "be"}},
		Backends:  []proxy.Backend{{Name: "be", Common: common(proxy.HTTP, nil), Retries: 3, Servers: []proxy.Server{target("s", os.Getenv("REEVE_TEST_SERVER"))}}},
	}
	if ps := e.Apply(cfg); ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	io.Copy(io.Discard, os.Stdin)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
