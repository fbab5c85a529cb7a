package engine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// crowd is how many clients come.
const crowd = 20_000

// TestDescriptorLimit: 20,000 clients come at once upon an engine that has descriptors for less than half of them. Accepting
// pauses, and costs nothing meanwhile; who is inside is served on; who waits is served as soon as others leave; everybody is
// served in the end. Engine and clients are processes of their own.
func TestDescriptorLimit(t *testing.T) {
	switch os.Getenv("REEVE_TEST_ROLE") {
	case "engine":
		fewDescriptors(t)
		return
	case "crowd":
		crowding(t)
		return
	}
	most := ownLimit(t)
	for _, tc := range []struct {
		name    string
		limit   uint64 // of descriptors
		lowered uint64 // what it is made while the engine runs, 0: it stays
		inside  int    // clients that are let in
	}{
		// Two descriptors a client, less what the engine itself needs: nobody inside is ever in want of one.
		{"by the budget", min(most, crowd), 0, int(min(most, crowd)/2) - 300},
		// The kernel refuses what the budget allows.
		{"by the kernel", min(most, crowd), min(most, crowd) * 2 / 5, int(min(most, crowd)*2/5) - 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newLimited(t, tc.limit, tc.lowered)
			first := e.open(t, e.addr)
			exchangeOnce(t, first, []byte(benchRequest), make([]byte, 4096))
			guests := newGuests(t, e.addr, crowd, int(most))
			becomesWithin(t, 30*time.Second, fmt.Sprintf("%d clients inside", tc.inside), func() bool { return e.descriptors(t) >= tc.inside })
			exchangeOnce(t, first, []byte(benchRequest), make([]byte, 4096))
			late := e.open(t, e.second)
			io.WriteString(late, benchRequest)
			spent := e.processorTime(t)
			late.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			if n, err := late.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a client beyond the limit: %d bytes, %v", n, err)
			}
			if spent = e.processorTime(t) - spent; spent > 250*time.Millisecond {
				t.Errorf("pausing for 500 ms took %v of processor time", spent)
			}
			if n := uint64(e.descriptors(t)); n > tc.limit || tc.lowered > 0 && n > tc.lowered {
				t.Errorf("%d descriptors", n)
			}
			begin := time.Now()
			guests[0].tell(t, "leave")
			late.SetDeadline(time.Now().Add(5 * time.Second))
			answer, err := bufio.NewReader(late).ReadString('\n')
			if took := time.Since(begin); err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200 ") || took > 2*time.Second {
				t.Errorf("%q %v, %v after others left", answer, err, took)
			}
			begin = time.Now()
			for _, g := range guests[1:] {
				g.tell(t, "finish")
			}
			for _, g := range guests[1:] {
				if got, want := g.hear(t), fmt.Sprintf("served %d", g.n); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
			t.Logf("all were served after %v", time.Since(begin))
			exchangeOnce(t, first, []byte(benchRequest), make([]byte, 4096))
		})
	}
}

// ownLimit is how many descriptors a process of the test may have.
func ownLimit(t *testing.T) uint64 {
	t.Helper()
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		t.Fatal(err)
	}
	return r.Max
}

// child is a process of this test's program with a role.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func newChild(t *testing.T, role string, env ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0], "-test.run", "^TestDescriptorLimit$")}
	c.cmd.Env = append(os.Environ(), append(env, "REEVE_TEST_ROLE="+role)...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var errs bytes.Buffer
	c.cmd.Stderr = &errs
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.in.Close()
		rest, _ := io.ReadAll(c.out)
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("the process of the %s: %v\n%s%s", role, err, rest, errs.String())
		}
	})
	return c
}

func (c *child) tell(t *testing.T, word string) {
	t.Helper()
	if _, err := io.WriteString(c.in, word+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hear is the next line that the process says.
func (c *child) hear(t *testing.T) string {
	t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// limited is an engine in a process with few descriptors. Its second address has a backlog of its own.
type limited struct {
	*child
	addr, second string
}

func newLimited(t *testing.T, limit, lowered uint64) *limited {
	t.Helper()
	server := rawServer(t, "s", pingPong)
	e := &limited{addr: ports.Free(t, "127.0.0.1").String(), second: ports.Free(t, "127.0.0.1").String()}
	e.child = newChild(t, "engine", "REEVE_TEST_NOFILE="+strconv.FormatUint(limit, 10), "REEVE_TEST_LOWERED="+strconv.FormatUint(lowered, 10),
		"REEVE_TEST_BINDS="+e.addr+" "+e.second, "REEVE_TEST_SERVER="+server.Address)
	if said := e.hear(t); said != "ready" {
		t.Fatal(said)
	}
	return e
}

// open connects; the kernel takes it in before the engine's loops have begun.
func (e *limited) open(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	return c
}

// descriptors is how many the engine's process has.
func (e *limited) descriptors(t *testing.T) int {
	t.Helper()
	d, err := os.Open(fmt.Sprintf("/proc/%d/fd", e.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// processorTime is what the engine's process has used, to a hundredth of a second.
func (e *limited) processorTime(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from field 3 of proc_pid_stat(5)
	user, _ := strconv.Atoi(f[11])                                 // digits
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// fewDescriptors runs an engine under a limit until its standard input ends.
func fewDescriptors(t *testing.T) {
	number := func(name string) uint64 {
		n, err := strconv.ParseUint(os.Getenv(name), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	set := func(n uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			t.Fatal(err)
		}
	}
	set(number("REEVE_TEST_NOFILE"))
	var binds []proxy.Bind
	for text := range strings.FieldsSeq(os.Getenv("REEVE_TEST_BINDS")) {
		var b proxy.Bind
		if err := b.Addr.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		binds = append(binds, b)
	}
	patient := common(proxy.HTTP, nil) // nobody is sent away for waiting
	patient.Timeouts.Client, patient.Timeouts.Server, patient.Timeouts.Queue = 2*time.Minute, 2*time.Minute, 2*time.Minute
	server := target("s", os.Getenv("REEVE_TEST_SERVER"))
	server.MaxConn = 64
	cfg := proxy.Config{
		Frontends: []proxy.Frontend{{Name: "fe", Common: patient, Binds: binds, DefaultBackend: "be"}},
		Backends:  []proxy.Backend{{Name: "be", Common: patient, Retries: 3, Servers: []proxy.Server{server}}},
	}
	lowered := number("REEVE_TEST_LOWERED")
	if lowered > 0 { // there may be none for a server then: the engine answers itself
		cfg.Frontends[0].HTTPRequest = rulesOf("return status 200 content-type text/plain string hello")
	}
	e := New(Options{Loops: 4})
	if ps := e.Apply(cfg); ps.HasErrors() {
		t.Fatal(ps.Err())
	}
	if lowered > 0 {
		set(lowered)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
