package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// stageVar tells a re-executed program which of the two inner processes it is.
const stageVar = "REEVE_LAB_STAGE"

const (
	stageInit   = "init"   // process 1 of the new namespaces: mounts, starts the program, reaps
	stageInside = "inside" // the program itself
)

// refusedCode is how process 1 tells the outer process that it was let in but may do nothing there (a security module
// that strips a user namespace of its capabilities).
const refusedCode = 77

// ErrForbidden is returned by Enter where the machine lets this user have no namespaces of its own.
var ErrForbidden = errors.New("user namespaces are forbidden to ordinary users on this machine; run it with sudo")

// forwarded are the signals that the outer processes hand on to the program.
var forwarded = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2}

// Tests is what Main runs; *testing.M is one.
type Tests interface{ Run() int }

// Main is the body of a TestMain: it runs the tests inside namespaces of their own and ends the process with their exit
// code. Where that is forbidden it prints one line and exits 1: tests that need a lab never skip.
func Main(m Tests) {
	MustEnter()
	os.Exit(m.Run())
}

// MustEnter is Main for a TestMain with more to do, such as looking for leaked goroutines: it returns inside only.
//
//	func TestMain(m *testing.M) { lab.MustEnter(); goleak.VerifyTestMain(m) }
func MustEnter() {
	code, inside, err := Enter()
	if inside {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

// Enter re-executes the running program, arguments and files as they are, inside namespaces of its own. In the outer
// process it returns once the inner one ended, with inside false and the inner exit code (128 + n when signal n ended
// it). In the inner process it returns at once with inside true. Signals that ask a program to stop or reload are handed
// on; should the outer process be killed, everything inside dies with it.
//
// It must be called first thing in main, and only there.
func Enter() (code int, inside bool, err error) {
	stage := os.Getenv(stageVar)
	os.Unsetenv(stageVar) // a process started in the lab may build a lab of its own
	switch stage {
	case stageInside:
		return 0, true, nil
	case stageInit:
		os.Exit(runInit())
	}
	code, err = runOuter()
	return code, false, err
}

// runOuter starts process 1 of the new namespaces and waits for it.
func runOuter() (int, error) {
	// The parent death signal follows the thread that forked, so that thread must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)

	cmd, err := startInit()
	if err != nil {
		return 1, err
	}
	over := make(chan struct{})
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		for {
			select {
			case s := <-signals:
				_ = cmd.Process.Signal(s) // it may be gone already
			case <-over:
				return
			}
		}
	}()
	err = cmd.Wait()
	close(over)
	<-relayed
	code := exitCode(cmd.ProcessState.Sys().(syscall.WaitStatus))
	if code == refusedCode {
		return 1, ErrForbidden
	}
	if _, isExit := errors.AsType[*exec.ExitError](err); err != nil && !isExit {
		return 1, fmt.Errorf("waiting for the inner process: %w", err)
	}
	return code, nil
}

// startInit forks into new namespaces. Root needs no user namespace, and keeps its ids; anyone else, and a root without
// the capability, becomes root of a user namespace with a single id.
func startInit() (*exec.Cmd, error) {
	var err error
	if os.Geteuid() == 0 {
		var cmd *exec.Cmd
		if cmd, err = forkInto(0); err == nil {
			return cmd, nil
		}
	}
	cmd, errUser := forkInto(unix.CLONE_NEWUSER)
	if errUser == nil {
		return cmd, nil
	}
	// ENOSPC and EUSERS: the sysctl that limits their number says 0. EINVAL, ENOSYS: not in this kernel.
	for _, e := range []error{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EUSERS, unix.EINVAL, unix.ENOSYS} {
		if errors.Is(errUser, e) {
			return nil, ErrForbidden
		}
	}
	return nil, fmt.Errorf("making namespaces: %w", errors.Join(err, errUser))
}

func forkInto(extra uintptr) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), stageVar+"="+stageInit)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: extra | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
		Setpgid:    true, // Ctrl-C reaches the inside once, by our hand, not twice
		Pdeathsig:  unix.SIGKILL,
	}
	if extra&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return cmd, cmd.Start()
}

// runInit is process 1: it furnishes the namespaces, starts the program and reaps whatever is orphaned until the program
// ends. With its own end the kernel kills the rest.
func runInit() int {
	if err := furnish(); err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			return refusedCode
		}
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		return 1
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwarded...)
	pid, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{
		Env:   append(os.Environ(), stageVar+"="+stageInside),
		Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: starting %s inside: %v\n", os.Args[0], err)
		return 1
	}
	go func() { // ends with the process
		for s := range signals {
			_ = syscall.Kill(pid, s.(syscall.Signal))
		}
	}()
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			fmt.Fprintf(os.Stderr, "lab: waiting inside: %v\n", err)
			return 1
		case got == pid:
			return exitCode(status)
		}
	}
}

// furnish gives the new namespaces a loopback that works, a /proc that shows their processes and an empty /run.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	// Where part of /proc is masked (a container) an ordinary user may not mount it again. The old one then shows the
	// outer process ids; /proc/self and /proc/sys/net still are ours, and only the sweep at Close has to do without.
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("mounting /run: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

func exitCode(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
