package boottime

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// slacks reads the slack of each thread of this process.
func slacks(t *testing.T) map[int]time.Duration {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]time.Duration{}
	for _, e := range threads {
		text, err := os.ReadFile("/proc/" + e.Name() + "/timerslack_ns")
		if os.IsNotExist(err) {
			continue // the thread has ended since
		}
		if err != nil {
			t.Fatal(err)
		}
		ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		out[tid] = time.Duration(ns)
	}
	return out
}

func capabilities(t *testing.T) (h unix.CapUserHeader, c [2]unix.CapUserData) {
	t.Helper()
	h.Version = unix.LINUX_CAPABILITY_VERSION_3
	if err := unix.Capget(&h, &c[0]); err != nil {
		t.Fatal(err)
	}
	return h, c
}

// nice reports whether the calling thread has CAP_SYS_NICE.
func nice(t *testing.T) bool {
	t.Helper()
	_, c := capabilities(t)
	return c[0].Effective&(1<<unix.CAP_SYS_NICE) != 0
}

// setNice takes CAP_SYS_NICE from the calling thread, or gives it back.
func setNice(t *testing.T, on bool) {
	t.Helper()
	h, c := capabilities(t)
	c[0].Effective &^= 1 << unix.CAP_SYS_NICE
	if on {
		c[0].Effective |= 1 << unix.CAP_SYS_NICE
	}
	if err := unix.Capset(&h, &c[0]); err != nil {
		t.Fatal(err)
	}
}

// threads holds a few threads, beside those that the runtime has anyway, until the test ends.
func threads(t *testing.T, n int) {
	t.Helper()
	up, end, gone := make(chan struct{}), make(chan struct{}), make(chan struct{})
	for range n {
		go func() {
			runtime.LockOSThread()
			defer func() { gone <- struct{}{} }()
			defer runtime.UnlockOSThread()
			up <- struct{}{}
			<-end
		}()
		<-up
	}
	t.Cleanup(func() {
		close(end)
		for range n {
			<-gone
		}
	})
}

// restored gives all threads the slack back that they have when it is called.
func restored(t *testing.T) {
	t.Helper()
	before := slacks(t)[os.Getpid()]
	for tid, d := range slacks(t) {
		if d != before {
			t.Fatalf("thread %d has a slack of %v, the first one of %v", tid, d, before)
		}
	}
	t.Cleanup(func() {
		// Once more for threads that others began meanwhile.
		for range 10 {
			Slack(before)
			again := false
			for _, d := range slacks(t) {
				again = again || d != before
			}
			if !again {
				return
			}
		}
		t.Errorf("the slacks are left at %v", slacks(t))
	})
}

// inUserNamespace runs this test, and it alone, as root of a user namespace, for a user who may not set slacks.
func inUserNamespace(t *testing.T) {
	t.Helper()
	const inside = "REEVE_SLACK_INSIDE"
	if os.Getenv(inside) != "" {
		t.Fatal("root of a user namespace lacks CAP_SYS_NICE")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.timeout=30s")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in a user namespace: %v\n%s", err, out)
	}
}

// TestSlackIsEveryThreads: with CAP_SYS_NICE all threads have the slack, and those that they begin.
func TestSlackIsEveryThreads(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if !nice(t) {
		inUserNamespace(t)
		return
	}
	restored(t)
	threads(t, 4)
	for _, d := range []time.Duration{time.Millisecond, 3 * time.Millisecond, 70 * time.Microsecond} {
		Slack(d)
		threads(t, 2) // new ones, or such as rested
		seen := slacks(t)
		if len(seen) < 5 {
			t.Fatalf("only %d threads", len(seen))
		}
		for tid, got := range seen {
			if got != d {
				t.Errorf("after Slack(%v) thread %d has %v", d, tid, got)
			}
		}
	}
}

// TestSlackWithoutPermission: other threads stay as they are, and nothing else comes of it.
func TestSlackWithoutPermission(t *testing.T) {
	runtime.LockOSThread() // capabilities are a thread's
	defer runtime.UnlockOSThread()
	if !nice(t) { // nor may it see what others have
		inUserNamespace(t)
		return
	}
	restored(t)
	threads(t, 4)
	before, self := slacks(t), unix.Gettid()
	setNice(t, false)
	Slack(7 * time.Millisecond)
	setNice(t, true)
	for tid, got := range slacks(t) {
		// Its own a thread may always set.
		if was, ok := before[tid]; ok && got != was && tid != self {
			t.Errorf("without permission thread %d went from %v to %v", tid, was, got)
		}
	}
}
