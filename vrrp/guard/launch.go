package guard

import (
	"context"
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
	inheritedFD   = 3 // the socket; the bell follows it
	launchTimeout = 10 * time.Second
)

// processEnv is the guard's whole environment: a small heap, one processor, and nothing that came from outside. The first
// start ends at once and collects nothing.
func processEnv(stage string) []string {
	if stage == stageLaunch {
		return []string{stageEnv + "=" + stage, "GOMAXPROCS=1", "GOGC=off", "GOTRACEBACK=single"}
	}
	return []string{stageEnv + "=" + stage, "GOMAXPROCS=1", "GOGC=40", "GOMEMLIMIT=8MiB", "GOTRACEBACK=single"}
}

// launch starts a guard and returns the agent's end of what ties it to it, once the guard has said that it is ready.
func launch(ctx context.Context, o Options) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, launchTimeout)
	defer cancel()
	l, theirs, err := tie()
	if err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	err = runFirst(ctx, o, theirs)
	for _, f := range theirs {
		f.Close() // or the guard's death would not be an end of file
	}
	if err == nil {
		limit, _ := ctx.Deadline()
		l.pid, err = l.greeting(limit)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// tie makes both ends of a link; theirs are the guard's descriptors from inheritedFD on.
func tie() (_ *link, theirs []*os.File, _ error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	fds[0] = lift(fds[0])
	theirs = []*os.File{os.NewFile(uintptr(fds[1]), "guard")}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fds[0])
		theirs[0].Close()
		return nil, nil, os.NewSyscallError("eventfd", err)
	}
	dup, err := unix.FcntlInt(uintptr(bell), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		unix.Close(fds[0])
		unix.Close(bell)
		theirs[0].Close()
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	theirs = append(theirs, os.NewFile(uintptr(dup), "bell"))
	l, err := newLink(fds[0], bell)
	if err != nil {
		theirs[0].Close()
		theirs[1].Close()
	}
	return l, theirs, err
}

// liftedFD is where the agent's end of a link is put: above the numbers of most of what an agent has open.
const liftedFD = 1 << 14

// lift gives a descriptor a high number. Of what a killed process had open Linux releases the highest number first, and a
// packet socket takes it a grace period, 10 to 20 ms each: below those the guard would learn last that its agent is dead. A
// descriptor that can't go so high stays as it is.
func lift(fd int) int {
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, liftedFD)
	if err != nil {
		return fd
	}
	unix.Close(fd)
	return high
}

// runFirst runs the first of the two starts.
func runFirst(ctx context.Context, o Options, theirs []*os.File) error {
	cmd := exec.CommandContext(ctx, o.Exe, o.Args...)
	cmd.Args[0] = os.Args[0] // rather than /proc/self/exe, for ps
	cmd.Env = processEnv(stageLaunch)
	cmd.ExtraFiles = theirs
	if o.Stderr != nil {
		cmd.Stderr = o.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("start guard: %w", err)
	}
	return nil
}

// relaunch is the first of the two starts: it starts the second and ends, which makes the second nobody's child.
func relaunch(fd int) error {
	// What the agent inherited without asking (a supervisor's pipe, a lock) is not the guard's to keep open. Before Linux
	// 5.11 it does.
	_ = unix.CloseRange(uint(fd)+2, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	defer null.Close()
	sock, bell := os.NewFile(uintptr(fd), "guard"), os.NewFile(uintptr(fd)+1, "bell")
	p, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Dir:   "/",
		Env:   processEnv(stageGuard),
		Files: []*os.File{null, null, os.Stderr, sock, bell},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("guard: start again: %w", err)
	}
	return p.Release()
}
