// Package script runs other people's programs: checks, trackers, notify scripts. Whatever such a program does (hang, ignore
// TERM, flood its output, leave children, never close its output) Run returns in bounded time with bounded memory, and
// leaves no zombie.
//
// A script is the leader of a process group of its own, with /dev/null as its input and one pipe as output and error. At
// its timeout the whole group gets TERM, and KILL when that did not help. When the leader ends, what is left of the group
// is killed, unless Spec.KeepChildren. A process that made itself a session of its own (setsid: a daemon that a notify
// script started on purpose) is out of the group and lives on; if it holds the pipe, Run does not wait for it.
//
// Should the agent die, the kernel kills the leader (PR_SET_PDEATHSIG). That signal is sent when the parent *thread* ends,
// not the process, and Go ends threads as it likes; Run therefore locks its goroutine to a thread until the script is gone.
package script

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Defaults of a Spec's zero fields.
const (
	DefaultTimeout   = 30 * time.Second
	DefaultKillAfter = 2 * time.Second
	DefaultMaxOutput = 4 << 10
)

// Spec is one run.
type Spec struct {
	Argv  []string // program and arguments, run without a shell; a name without a slash is looked for in PATH
	Shell string   // used when Argv is empty: a line for /bin/sh -c
	// Env is added to the little that is inherited: PATH, HOME, USER, LOGNAME, LANG, LC_ALL and TZ. Nothing else of the
	// agent's environment is passed on.
	Env       []string
	Timeout   time.Duration // until TERM; 0: DefaultTimeout; negative: none, it runs until ctx ends
	KillAfter time.Duration // from TERM until KILL; 0: DefaultKillAfter
	MaxOutput int           // bytes of output kept, the last ones; 0: DefaultMaxOutput
	// User and Group (names or numbers) to run as; "" is the agent's own, Group "" the user's. User may be user:group.
	// Another than one's own takes root.
	User, Group string
	// Secure refuses to run as root what others than root could have changed (Insecure).
	Secure bool
	// KeepChildren leaves alone what the script left running in its group when it ended by itself: notify scripts start
	// services.
	KeepChildren bool
}

// Result is how a run ended.
type Result struct {
	ExitCode  int            // -1 when it did not exit by itself
	Signal    syscall.Signal // that ended it; 0: none
	TimedOut  bool           // it was told to end because of Timeout
	Err       error          // it could not be started, or ctx ended
	Output    []byte         // the last MaxOutput bytes of stdout and stderr together
	Truncated bool           // Output is not all there was
	Duration  time.Duration  // until the script was gone
}

// OK reports whether the script ran to its end and said 0.
func (r Result) OK() bool { return r.Err == nil && !r.TimedOut && r.Signal == 0 && r.ExitCode == 0 }

// String says how it ended: "exited with status 1", "timed out", "killed by SIGSEGV", or why it did not start.
func (r Result) String() string {
	switch {
	case r.Err != nil:
		return r.Err.Error()
	case r.TimedOut:
		return "timed out after " + r.Duration.Round(time.Millisecond).String()
	case r.Signal != 0:
		return "killed by " + unix.SignalName(r.Signal)
	}
	return fmt.Sprintf("exited with status %d", r.ExitCode)
}

// ErrEmpty is a Spec without a program.
var ErrEmpty = errors.New("no program given")

// Run runs a script to its end, which is at most Timeout + KillAfter away and a little for the kernel. When ctx ends the
// script is told to end as at its timeout and Err is ctx's. Safe for concurrent use; it occupies one thread.
func Run(ctx context.Context, spec Spec) Result {
	start := time.Now()
	r := run(ctx, withDefaults(spec))
	r.Duration = time.Since(start)
	return r
}

func withDefaults(s Spec) Spec {
	if s.Timeout == 0 {
		s.Timeout = DefaultTimeout
	}
	if s.Timeout < 0 {
		s.Timeout = math.MaxInt64
	}
	if s.KillAfter <= 0 {
		s.KillAfter = DefaultKillAfter
	}
	if s.MaxOutput <= 0 {
		s.MaxOutput = DefaultMaxOutput
	}
	if name, group, ok := strings.Cut(s.User, ":"); ok && s.Group == "" {
		s.User, s.Group = name, group
	}
	if len(s.Argv) == 0 && s.Shell != "" {
		s.Argv = []string{"/bin/sh", "-c", s.Shell}
	}
	return s
}

func failed(err error) Result { return Result{ExitCode: -1, Err: err} }

func run(ctx context.Context, spec Spec) Result {
	if len(spec.Argv) == 0 || spec.Argv[0] == "" {
		return failed(ErrEmpty)
	}
	if err := ctx.Err(); err != nil {
		return failed(fmt.Errorf("%s: %w", spec.Argv[0], err))
	}
	who, err := identify(spec.User, spec.Group)
	if err != nil {
		return failed(fmt.Errorf("%s: %w", spec.Argv[0], err))
	}
	if err := spec.vet(who); err != nil {
		return failed(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return failed(fmt.Errorf("%s: pipe: %w", spec.Argv[0], err))
	}
	out := newDrain(r, spec.MaxOutput)

	// From here until the script is reaped the parent-death signal hangs on this very thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := command(spec, who, w)
	err = cmd.Start()
	w.Close()
	if err != nil {
		out.stop()
		return failed(fmt.Errorf("start script: %w", err))
	}
	g := group{pid: cmd.Process.Pid, cmd: cmd, done: make(chan struct{})}
	watched := make(chan verdict, 1)
	go func() { watched <- g.watch(ctx, spec) }()
	v := g.wait(watched, spec.KeepChildren)

	res := Result{ExitCode: -1, TimedOut: v == timedOut}
	res.Output, res.Truncated = out.stop()
	if v == cancelled {
		res.Err = fmt.Errorf("%s: %w", spec.Argv[0], context.Cause(ctx))
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		if ws.Signaled() {
			res.Signal = ws.Signal()
		} else {
			res.ExitCode = ws.ExitStatus()
		}
	}
	return res
}

func command(spec Spec, who identity, out *os.File) *exec.Cmd {
	cmd := exec.Command(spec.Argv[0], spec.Argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(environment(who), spec.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: who.credential}
	return cmd
}
