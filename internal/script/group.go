package script

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// verdict is why a script was told to end, if it was.
type verdict int

const (
	endedAlone verdict = iota + 1
	timedOut
	cancelled
)

// group is a running script and all that stayed in its process group.
type group struct {
	pid  int // of the leader, and the group's number
	cmd  *exec.Cmd
	done chan struct{} // closed when the leader has ended, before it is reaped
}

// wait blocks until the leader has ended, ends the rest of its group and reaps the leader. All signals are sent while the
// leader is still a zombie: until it is reaped nobody else can get its number.
func (g *group) wait(watched <-chan verdict, keepChildren bool) verdict {
	for {
		err := unix.Waitid(unix.P_PID, g.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	close(g.done)
	v := <-watched
	if !keepChildren || v != endedAlone {
		g.signal(syscall.SIGKILL)
	}
	_ = g.cmd.Wait() // the status is read from ProcessState
	return v
}

// watch ends the script when its time is over or ctx is. It returns once the leader has ended.
func (g *group) watch(ctx context.Context, spec Spec) verdict {
	timeout := time.NewTimer(spec.Timeout)
	defer timeout.Stop()
	v := endedAlone
	select {
	case <-g.done:
		return v
	case <-timeout.C:
		v = timedOut
	case <-ctx.Done():
		v = cancelled
	}
	g.signal(syscall.SIGTERM)
	g.signal(syscall.SIGCONT) // a stopped process would sit on its TERM
	kill := time.NewTimer(spec.KillAfter)
	defer kill.Stop()
	select {
	case <-g.done:
	case <-kill.C:
		g.signal(syscall.SIGKILL)
		<-g.done
	}
	return v
}

// signal reaches every member of the group. That there is none left is no fault.
func (g *group) signal(s syscall.Signal) { _ = syscall.Kill(-g.pid, s) }
