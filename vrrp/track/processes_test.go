package track

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// tracking runs a whole tracker until the test ends.
func tracking(t *testing.T, o Options, w Wanted) *Tracker {
	t.Helper()
	tr := New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = tr.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	tr.Apply(w)
	return tr
}

// program is a copy of sleep(1) with a name of its own, which no other process on the machine has.
func program(t *testing.T, name string) string {
	t.Helper()
	from, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, bytes.NewReader(b))
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// TestProcesses: real processes that begin, end, become zombies and turn into others by exec. The test says which of the two
// ways the kernel here leaves; TestProcessesWithoutConnector goes the other.
func TestProcesses(t *testing.T) {
	follow(t, Options{})
}

// TestProcessesWithoutConnector: as in a container, where the kernel does not tell.
func TestProcessesWithoutConnector(t *testing.T) {
	follow(t, Options{NoConnector: true})
}

func follow(t *testing.T, o Options) {
	name := "rv" + strconv.Itoa(os.Getpid()%100000) + "x" + strconv.Itoa(int(time.Now().UnixNano()%10000))
	path := program(t, name)
	told := make(chan struct{}, 100)
	o.Changed = func() { told <- struct{}{} }
	tr := tracking(t, o, Wanted{Processes: []vrrp.Process{
		{Name: "one", Command: name},
		{Name: "two", Command: name, Quorum: 2},
		{Name: "args", Command: path, Args: []string{"1001"}, FullCommand: true},
	}})
	await(t, "first count", func() bool { return tr.Process("one").Known })
	if s := tr.Process("one"); s.Up || s.Count != 0 {
		t.Fatalf("%+v", s)
	}
	begin := time.Now()
	first := start(t, path, "1000")
	await(t, "first process", func() bool { return tr.Process("one").Up })
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("seen after %v", took)
	}
	if tr.Process("two").Up || tr.Process("args").Up {
		t.Error("two: one is enough; args: another argument is enough")
	}
	start(t, "/bin/sh", "-c", "sleep 0.3; exec "+path+" 1001")
	await(t, "second process, by exec", func() bool { return tr.Process("two").Up && tr.Process("args").Up })
	begin = time.Now()
	_ = first.Process.Kill() // and is not waited for: a zombie
	await(t, "end of the first", func() bool { return !tr.Process("two").Up })
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the end was seen after %v", took)
	}
	if s := tr.Process("one"); !s.Up || s.Count != 1 {
		t.Errorf("the zombie counts: %+v", s)
	}
	if len(told) == 0 {
		t.Error("nobody was told")
	}
	tr.Apply(Wanted{})
	await(t, "forgetting", func() bool { return !tr.Process("one").Known })
}

// fakeProc is a folder like proc(5) with n processes.
func fakeProc(t testing.TB, n int) string {
	dir := t.TempDir()
	for pid := 1; pid <= n; pid++ {
		fakeProcess(t, dir, pid, "idle", 'S')
	}
	return dir
}

func fakeProcess(t testing.TB, dir string, pid int, comm string, state byte) {
	t.Helper()
	p := filepath.Join(dir, strconv.Itoa(pid))
	if err := os.MkdirAll(p, 0o700); err != nil {
		t.Fatal(err)
	}
	stat := fmt.Sprintf("%d (%s) %c 1 1 1 0", pid, comm, state)
	for name, text := range map[string]string{"stat": stat, "cmdline": "/bin/" + comm + "\x00-x\x00"} {
		if err := os.WriteFile(filepath.Join(p, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestScanOpensOnlyWhoIsNew: besides a few at a time, so that one who turned into another later is found too.
func TestScanOpensOnlyWhoIsNew(t *testing.T) {
	const n = 1000
	dir := fakeProc(t, n)
	w := &watcher{t: New(Options{Proc: dir}), proc: newProcfs(dir), seen: map[int]*process{}, tracked: []*tracked{{matcher: newMatcher(vrrp.Process{Command: "haproxy"})}}}
	now := time.Unix(100, 0)
	w.list(now)
	if w.looks != n || len(w.seen) != n {
		t.Fatalf("%d looks, %d seen", w.looks, len(w.seen))
	}
	for range 15 { // who is new is looked at for a second
		now = now.Add(scanEvery)
		w.scan(now)
	}
	w.looks = 0
	now = now.Add(scanEvery)
	w.scan(now)
	if w.looks > n/50 {
		t.Errorf("%d of %d opened again", w.looks, n)
	}
	fakeProcess(t, dir, 5000, "haproxy", 'S')
	fakeProcess(t, dir, 5001, "haproxy", 'Z')
	fakeProcess(t, dir, 5002, "sh", 'S')
	fakeProcess(t, dir, 5003, "we (ird) haproxy", 'S')
	now = now.Add(scanEvery)
	w.scan(now)
	if w.tracked[0].count != 1 {
		t.Errorf("%d processes after one began", w.tracked[0].count)
	}
	fakeProcess(t, dir, 5002, "haproxy", 'S') // exec
	now = now.Add(scanEvery)
	w.scan(now)
	if w.tracked[0].count != 2 {
		t.Errorf("%d processes after an exec", w.tracked[0].count)
	}
	fakeProcess(t, dir, 17, "haproxy", 'S') // exec of one who was there for long
	for end := now.Add(revisitEvery + time.Second); now.Before(end); now = now.Add(scanEvery) {
		w.scan(now)
	}
	if w.tracked[0].count != 3 {
		t.Errorf("%d processes after a late exec", w.tracked[0].count)
	}
	for _, pid := range []string{"5000", "17"} {
		if err := os.RemoveAll(filepath.Join(dir, pid)); err != nil {
			t.Fatal(err)
		}
	}
	w.scan(now.Add(scanEvery))
	if w.tracked[0].count != 1 {
		t.Errorf("%d processes after two ended", w.tracked[0].count)
	}
}

// BenchmarkScan is a look at a machine on which nothing happened, as it is done ten times a second.
func BenchmarkScan(b *testing.B) {
	w := &watcher{t: New(Options{}), proc: newProcfs("/proc"), seen: map[int]*process{}, tracked: []*tracked{{matcher: newMatcher(vrrp.Process{Command: "no-such-program"})}}}
	now := time.Unix(100, 0)
	w.list(now)
	for range 15 {
		now = now.Add(scanEvery)
		w.scan(now)
	}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(scanEvery)
		w.scan(now)
	}
	b.ReportMetric(float64(len(w.seen)), "processes")
}

// BenchmarkScanBusy is the same where somebody forked in between: the list is read, but nobody old is opened.
func BenchmarkScanBusy(b *testing.B) {
	const n = 1000
	dir := fakeProc(b, n)
	w := &watcher{t: New(Options{}), proc: newProcfs(dir), seen: map[int]*process{}, tracked: []*tracked{{matcher: newMatcher(vrrp.Process{Command: "no-such-program"})}}}
	now := time.Unix(100, 0)
	w.list(now)
	for range 15 {
		now = now.Add(scanEvery)
		w.scan(now)
	}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(scanEvery)
		w.scan(now)
	}
	b.ReportMetric(n, "processes")
}
