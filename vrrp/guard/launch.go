package guard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// stageEnv tells a fresh process which of the two starts it is.
	stageEnv      = "REEVE_GUARD_STAGE"
	stageLaunch   = "launch"
	stageGuard    = "guard"
	inheritedFD   = 3
	launchTimeout = 10 * time.Second
	// sendBuffer holds a few hundred pets: the guard may stall for seconds before one is held back.
	sendBuffer = 256 << 10
)

// processEnv is the guard's whole environment: a small heap, one processor, and nothing that came from outside.
func processEnv(stage string) []string {
	return []string{stageEnv + "=" + stage, "GOMAXPROCS=1", "GOGC=40", "GOMEMLIMIT=8MiB", "GOTRACEBACK=single"}
}

// launch starts a guard and returns the agent's end of the socket and the guard's process id, once the guard has said
// that it is ready.
func launch(ctx context.Context, o Options) (*os.File, int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, 0, os.NewSyscallError("guard socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "guard")
	defer theirs.Close()
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		return nil, 0, os.NewSyscallError("guard socket", err)
	}
	_ = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer) // a smaller one only drops sooner
	ours := os.NewFile(uintptr(fds[0]), "guard")
	pid, err := launchOn(ctx, o, ours, theirs)
	if err != nil {
		ours.Close()
		return nil, 0, err
	}
	return ours, pid, nil
}

func launchOn(ctx context.Context, o Options, ours, theirs *os.File) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, launchTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.Exe, o.Args...)
	cmd.Args[0] = os.Args[0] // rather than /proc/self/exe, for ps
	cmd.Env = processEnv(stageLaunch)
	cmd.ExtraFiles = []*os.File{theirs}
	if o.Stderr != nil {
		cmd.Stderr = o.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("start guard: %w", err)
	}
	theirs.Close() // or the guard's death would not be an end of file
	deadline, _ := ctx.Deadline()
	if err := ours.SetReadDeadline(deadline); err != nil {
		return 0, fmt.Errorf("start guard: %w", err)
	}
	defer ours.SetReadDeadline(time.Time{})
	b := make([]byte, 64)
	n, err := ours.Read(b)
	if err != nil {
		return 0, fmt.Errorf("guard did not say that it is ready: %w", err)
	}
	m, err := parse(b[:n])
	if err != nil {
		return 0, fmt.Errorf("start guard: %w", err)
	}
	if m.kind != kindHello {
		return 0, errors.New("start guard: its first message is no greeting")
	}
	return m.pid, nil
}

// relaunch is the first of the two starts: it starts the second and ends, which makes the second nobody's child.
func relaunch(fd int) error {
	// What the agent inherited without asking (a supervisor's pipe, a lock) is not the guard's to keep open. Before Linux
	// 5.11 it does.
	_ = unix.CloseRange(uint(fd)+1, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	defer null.Close()
	sock := os.NewFile(uintptr(fd), "guard")
	p, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Dir:   "/",
		Env:   processEnv(stageGuard),
		Files: []*os.File{null, null, os.Stderr, sock},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("guard: start again: %w", err)
	}
	return p.Release()
}
