package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func sh(line string) Spec { return Spec{Shell: line, Timeout: 20 * time.Second} }

func TestHowItEnded(t *testing.T) {
	cases := []struct {
		name string
		spec Spec
		ok   bool
		code int
		sig  syscall.Signal
		says string
	}{
		{"0", sh("exit 0"), true, 0, 0, "exited with status 0"},
		{"7", sh("exit 7"), false, 7, 0, "exited with status 7"},
		{"no shell", Spec{Argv: []string{"test", "a b", "=", "a b"}}, true, 0, 0, "exited with status 0"},
		{"signal", sh("kill -USR1 $$"), false, -1, syscall.SIGUSR1, "killed by SIGUSR1"},
		{"empty", Spec{}, false, -1, 0, "no program given"},
		{"missing", Spec{Argv: []string{"/does/not/exist"}}, false, -1, 0, "no such file or directory"},
		{"a folder", Spec{Argv: []string{"/etc/"}}, false, -1, 0, "permission denied"},
		{"not in PATH", Spec{Argv: []string{"surely-no-such-program"}}, false, -1, 0, "not found in $PATH"},
		{"no such user", Spec{Argv: []string{"true"}, User: "nobody-of-that-name"}, false, -1, 0, `user "nobody-of-that-name"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := Run(context.Background(), c.spec)
			if r.OK() != c.ok || r.ExitCode != c.code || r.Signal != c.sig || !strings.Contains(r.String(), c.says) {
				t.Errorf("got %+v %q", r, r)
			}
		})
	}
}

func TestOutput(t *testing.T) {
	r := Run(context.Background(), sh("echo out; echo err >&2; cat; pwd"))
	if got := string(r.Output); got != "out\nerr\n/\n" || r.Truncated {
		t.Errorf("output %q, truncated %v", got, r.Truncated)
	}
	spec := sh("seq 1 20000")
	spec.MaxOutput = 12
	if r := Run(context.Background(), spec); string(r.Output) != "19999\n20000\n" || !r.Truncated {
		t.Errorf("the end of the output is %q, truncated %v", r.Output, r.Truncated)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("REEVE_TOKEN", "secret")
	spec := sh("env")
	spec.Env = []string{"REEVE_EPOCH=7"}
	out := string(Run(context.Background(), spec).Output)
	if !strings.Contains(out, "REEVE_EPOCH=7") || !strings.Contains(out, "PATH=") || strings.Contains(out, "secret") {
		t.Errorf("environment of a script:\n%s", out)
	}
}

// gone waits until no process of that number is left, zombies included.
func gone(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d is still there", pid)
			}
		}
	}
}

// alive: a process whose parent is not us may stay a zombie where nobody reaps orphans.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	after := b[bytes.LastIndexByte(b, ')')+1:]
	var state string
	var parent int
	_, _ = fmt.Sscan(string(after), &state, &parent)
	return state != "Z" || parent == os.Getpid()
}

func TestHostileScripts(t *testing.T) {
	const timeout, killAfter = 200 * time.Millisecond, 200 * time.Millisecond
	cases := []struct {
		name, line string
		timedOut   bool
		least      time.Duration
	}{
		{"hangs", `echo $$ >$F; sleep 1000`, true, timeout},
		{"ignores TERM", `trap '' TERM; echo $$ >$F; while :; do sleep 1000; done`, true, timeout + killAfter},
		{"child ignores TERM", `(trap '' TERM; exec sleep 1000) & echo $$ $! >$F; wait`, true, timeout},
		{"stops itself", `echo $$ >$F; kill -STOP $$`, true, timeout},
		{"leaves a child", `sleep 1000 & echo $$ $! >$F`, false, 0},
		{"leaves a child that holds no pipe", `sleep 1000 >/dev/null 2>&1 & echo $$ $! >$F`, false, 0},
		{"leaves a grandchild", `(sleep 1000 & echo $! >$F) & wait; echo $$ >>$F`, false, 0},
		{"floods", `echo $$ >$F; exec cat /dev/zero`, true, timeout},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := filepath.Join(t.TempDir(), "pids")
			r := Run(context.Background(), Spec{Shell: c.line, Env: []string{"F=" + f}, Timeout: timeout, KillAfter: killAfter})
			if r.TimedOut != c.timedOut || r.OK() == c.timedOut {
				t.Errorf("got %+v: %v", r, r)
			}
			if r.Duration < c.least || r.Duration > timeout+killAfter+3*time.Second {
				t.Errorf("took %v", r.Duration)
			}
			if len(r.Output) > DefaultMaxOutput {
				t.Errorf("%d bytes of output kept", len(r.Output))
			}
			gone(t, f)
		})
	}
}

// A daemon has a session of its own: it lives on, and that it keeps the pipe open holds up nobody.
func TestDaemonIsNotWaitedFor(t *testing.T) {
	f := filepath.Join(t.TempDir(), "pid")
	spec := sh(`setsid sh -c 'echo $$ >$F; exec sleep 1000' & while ! [ -s $F ]; do sleep 0.01; done; echo started`)
	spec.Env = []string{"F=" + f}
	r := Run(context.Background(), spec)
	if !r.OK() || string(r.Output) != "started\n" || r.Duration > 10*time.Second {
		t.Errorf("got %+v: %v", r, r)
	}
	b, _ := os.ReadFile(f)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || !alive(pid) {
		t.Fatalf("the daemon is gone: %v", err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	gone(t, f)
}

func TestKeepChildren(t *testing.T) {
	f := filepath.Join(t.TempDir(), "pid")
	spec := sh(`sleep 1000 & echo $! >$F`)
	spec.Env, spec.KeepChildren = []string{"F=" + f}, true
	if r := Run(context.Background(), spec); !r.OK() {
		t.Fatalf("%v", r)
	}
	b, _ := os.ReadFile(f)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || !alive(pid) {
		t.Fatal("the child was killed")
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	gone(t, f)

	spec.Shell, spec.Timeout, spec.KillAfter = `(trap '' TERM; exec sleep 1000) & echo $$ $! >$F; wait`, 100*time.Millisecond, 100*time.Millisecond
	if r := Run(context.Background(), spec); !r.TimedOut {
		t.Errorf("%v", r)
	}
	gone(t, f)
}

func TestContextEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	f := filepath.Join(t.TempDir(), "pid")
	got := make(chan Result, 1)
	spec := sh(`echo $$ >$F; sleep 1000`)
	spec.Env = []string{"F=" + f}
	go func() { got <- Run(ctx, spec) }()
	for b := []byte(nil); len(b) == 0; b, _ = os.ReadFile(f) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if r := <-got; !errors.Is(r.Err, context.Canceled) || r.OK() || r.TimedOut {
		t.Errorf("got %+v", r)
	}
	gone(t, f)
	if r := Run(ctx, sh("echo ran")); !errors.Is(r.Err, context.Canceled) || len(r.Output) > 0 {
		t.Errorf("with an ended context: %+v", r)
	}
}

// Another user takes root; without it the refusal says so. In either case the test has something to see.
func TestUser(t *testing.T) {
	r := Run(context.Background(), Spec{Shell: `id -u; id -g; id -G; echo $HOME $USER`, User: "nobody", Timeout: 10 * time.Second})
	if os.Geteuid() != 0 {
		if r.Err == nil || !strings.Contains(r.Err.Error(), "only root") {
			t.Errorf("not root, yet: %+v", r)
		}
		return
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s\n%s\n%s\n%s nobody\n", u.Uid, u.Gid, u.Gid, u.HomeDir)
	if string(r.Output) != want {
		t.Errorf("ran as %q, want %q: %v", r.Output, want, r)
	}
	r = Run(context.Background(), Spec{Shell: `id -g`, User: u.Uid, Group: "0"})
	if string(r.Output) != "0\n" {
		t.Errorf("by numbers: ran as %q: %v", r.Output, r)
	}
	r = Run(context.Background(), Spec{Shell: `true`, Group: "no-such-group"})
	if r.Err == nil || !strings.Contains(r.Err.Error(), `group "no-such-group"`) {
		t.Errorf("unknown group: %v", r)
	}
}

// When the process that runs a script is killed, the script goes with it.
func TestParentDeathEndsIt(t *testing.T) {
	f := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command(os.Args[0], "-test.run=^TestParentDeathHelper$")
	cmd.Env = append(os.Environ(), "SCRIPT_PIDFILE="+f)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for b := []byte(nil); len(b) == 0; b, _ = os.ReadFile(f) {
		time.Sleep(time.Millisecond)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	gone(t, f)
}

func TestParentDeathHelper(t *testing.T) {
	f := os.Getenv("SCRIPT_PIDFILE")
	if f == "" {
		return // only a part of the test before
	}
	Run(context.Background(), Spec{Shell: `echo $$ >$F; exec sleep 1000`, Env: []string{"F=" + f}, Timeout: time.Minute})
}

func TestNoDescriptorsLeft(t *testing.T) {
	count := func() int {
		es, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(es)
	}
	Run(context.Background(), sh("true"))
	before := count()
	for range 20 {
		Run(context.Background(), sh("true"))
		Run(context.Background(), Spec{Argv: []string{"/does/not/exist"}})
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	var ws unix.WaitStatus
	if pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
		t.Errorf("a child is left: %d %v", pid, err)
	}
}
