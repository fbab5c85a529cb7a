package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// outputMax bounds what is kept of a process's output, in bytes; the oldest goes first.
const outputMax = 1 << 20

// Process is a program on a host, in a process group of its own. Set the fields, then Start. Its methods are safe for
// concurrent use.
type Process struct {
	Env    []string  // added to ours
	Dir    string    // ours when empty
	Stdin  io.Reader // nothing when nil
	Stdout io.Writer // gets standard output beside what Output keeps
	// KeepOutput is true unless the caller turns it off: Output and AwaitOutput work on what is kept.
	KeepOutput bool

	host *Host
	cmd  *exec.Cmd
	out  output
	done chan struct{}
	err  error // once done is closed
}

// Command prepares a program with its arguments; nothing runs before Start.
func (h *Host) Command(argv ...string) *Process {
	return &Process{host: h, cmd: exec.Command(argv[0], argv[1:]...), KeepOutput: true, done: make(chan struct{})}
}

// Start starts the program inside the host.
func (p *Process) Start() error {
	p.cmd.Env = append(os.Environ(), p.Env...)
	p.cmd.Dir, p.cmd.Stdin = p.Dir, p.Stdin
	var stdout, stderr []io.Writer
	if p.KeepOutput {
		stdout, stderr = append(stdout, &p.out), append(stderr, &p.out)
	}
	if p.Stdout != nil {
		stdout = append(stdout, p.Stdout)
	}
	if len(stdout) > 0 {
		p.cmd.Stdout = io.MultiWriter(stdout...)
	}
	if len(stderr) > 0 {
		p.cmd.Stderr = io.MultiWriter(stderr...)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = 200 * time.Millisecond // a grandchild may hold the pipes for good
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	if err := p.host.Do(p.cmd.Start); err != nil {
		return err
	}
	p.host.running[p] = struct{}{}
	go p.reap()
	return nil
}

func (p *Process) reap() {
	err := p.cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	p.host.mu.Lock()
	delete(p.host.running, p)
	p.host.mu.Unlock()
	p.err = err
	p.out.close()
	close(p.done)
}

// Run starts the program and waits for its end, or kills its group when ctx ends first.
func (p *Process) Run(ctx context.Context) error {
	if err := p.Start(); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		_ = p.SignalGroup(unix.SIGKILL) // gone is as good
		<-p.done
		return ctx.Err()
	}
	if p.err != nil {
		return fmt.Errorf("host %s: %s: %w: %s", p.host.name, p.cmd.Args[0], p.err, bytes.TrimSpace([]byte(p.Output())))
	}
	return nil
}

// Pid is the process id; call it after Start.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the program ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err tells how the program ended, nil for status 0 or while it runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Signal signals the program alone.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// SignalGroup signals the program and all of its group. A process that made a group or session of its own is not reached;
// Host.SignalAll does.
func (p *Process) SignalGroup(s syscall.Signal) error { return unix.Kill(-p.Pid(), s) }

// Stop sends TERM, after the grace KILL to the group, and waits for the end.
func (p *Process) Stop(grace time.Duration) error {
	if p.cmd.Process == nil {
		return nil
	}
	_ = p.Signal(unix.SIGTERM) // gone is as good
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	_ = p.SignalGroup(unix.SIGKILL)
	<-p.done
	return fmt.Errorf("host %s: %s did not stop within %v", p.host.name, p.cmd.Args[0], grace)
}

// Output is what the program wrote to both outputs so far, at most the last megabyte.
func (p *Process) Output() string { return p.out.text() }

// AwaitOutput waits until the program wrote text.
func (p *Process) AwaitOutput(ctx context.Context, text string) error {
	for {
		found, changed, ended := p.out.look(text)
		switch {
		case found:
			return nil
		case ended:
			return fmt.Errorf("host %s: %s ended (%v) without writing %q, but: %s", p.host.name, p.cmd.Args[0], p.err, text, p.Output())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("host %s: %s did not write %q (%w), but: %s", p.host.name, p.cmd.Args[0], text, ctx.Err(), p.Output())
		}
	}
}

// output keeps the end of what is written to it and wakes who waits for more.
type output struct {
	mu      sync.Mutex
	buf     []byte
	changed chan struct{}
	ended   bool
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, b...)
	if over := len(o.buf) - outputMax; over > 0 {
		o.buf = append(o.buf[:0], o.buf[over:]...)
	}
	o.wake()
	return len(b), nil
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.wake()
}

func (o *output) wake() {
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf)
}

func (o *output) look(text string) (found bool, changed <-chan struct{}, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return bytes.Contains(o.buf, []byte(text)), o.changed, o.ended
}

// SignalAll signals every process of the host, those in sessions of their own too (a guard, a daemon). It finds them by
// their network namespace.
func (h *Host) SignalAll(s syscall.Signal) error {
	pids, err := h.Pids()
	if err != nil {
		return err
	}
	var errs []error
	for _, pid := range pids {
		if err := unix.Kill(pid, s); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("host %s: process %d: %w", h.name, pid, err))
		}
	}
	return errors.Join(errs...)
}

// Pids lists the processes of the host; ours never is one.
func (h *Host) Pids() ([]int, error) {
	if own, err := os.Readlink("/proc/self"); err != nil || own != strconv.Itoa(os.Getpid()) {
		return nil, errors.New("/proc shows other process ids than ours")
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", h.name, err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var st unix.Stat_t
		// A process that ended meanwhile, or a zombie, has no namespace any more.
		if unix.Stat("/proc/"+e.Name()+"/ns/net", &st) == nil && st.Ino == h.ns.inode {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// killAll ends every process of the host and waits until all are gone.
func (h *Host) killAll() error {
	h.mu.Lock()
	var running []*Process
	for p := range h.running {
		running = append(running, p)
	}
	h.mu.Unlock()
	for _, p := range running {
		_ = p.SignalGroup(unix.SIGCONT)
		_ = p.SignalGroup(unix.SIGKILL)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		pids, err := h.Pids()
		if err != nil { // then only the groups were reached; the rest goes with the process id namespace
			break
		}
		if len(pids) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("host %s: processes %v do not end", h.name, pids)
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	for _, p := range running {
		<-p.done
	}
	return nil
}
