package classic

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A daemon starts itself twice: the first child leads a session of its own and starts the second, which can never get a
// terminal again and is nobody's child. Who called waits at a pipe for the second to say how its start went.
const (
	stageEnv    = "REEVE_KEEPALIVED_STAGE"
	stageLaunch = "launch"
	stageDaemon = "daemon"
	netnsEnv    = "REEVE_KEEPALIVED_NETNS" // the namespace that this process is in already
	reportFD    = 3
	// startBudget is how long a start may take before the caller stops waiting; a startup_script has its say in it.
	startBudget = 90 * time.Second
)

// report is the daemon's end of the pipe to who called; nil in the foreground. Its first word counts.
type report struct{ f *os.File }

// inherited takes the pipe over.
func inherited() *report { return &report{os.NewFile(reportFD, "report")} }

// own keeps the pipe from scripts and the guard: from here on this process is not started once more.
func (r *report) own() {
	if r != nil {
		syscall.CloseOnExec(reportFD)
	}
}

// say tells the caller the exit code of its command and what to print.
func (r *report) say(code int, text string) {
	if r == nil || r.f == nil {
		return
	}
	fmt.Fprintf(r.f, "%d %s\n", code, text) // a caller that left does not need it
	_ = r.f.Close()
	r.f = nil
}

// launch starts the daemon and returns the exit code of the command that asked for it.
func launch(stderr io.Writer) int {
	r, w, err := os.Pipe()
	if err != nil {
		fmt.Fprintln(stderr, "keepalived:", err)
		return exitFailed
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), stageEnv+"="+stageLaunch)
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Run()
	w.Close()
	if err != nil {
		fmt.Fprintln(stderr, "keepalived: go into the background:", err)
		return exitFailed
	}
	if err := r.SetReadDeadline(time.Now().Add(startBudget)); err != nil {
		fmt.Fprintln(stderr, "keepalived:", err)
		return exitFailed
	}
	answer, err := io.ReadAll(r)
	code, text, found := bytes.Cut(bytes.TrimSpace(answer), []byte(" "))
	n, badCode := strconv.Atoi(string(code))
	if badCode != nil {
		fmt.Fprintln(stderr, "keepalived: the daemon ended, or hangs, without a word:", errors.Join(err, errNoWord))
		return exitFailed
	}
	if found {
		fmt.Fprintf(stderr, "%s\n", text)
	}
	return n
}

var errNoWord = errors.New("its log may tell more")

// relaunch is the first child: it starts the second and ends.
func relaunch() int {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return exitFailed
	}
	defer null.Close()
	p, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), stageEnv+"="+stageDaemon),
		Files: []*os.File{null, null, null, os.NewFile(reportFD, "report")},
	})
	if err != nil {
		return exitFailed
	}
	_ = p.Release()
	return exitOK
}

// stage says which of the processes this is, and hides that from who is started later.
func stage() string {
	s := os.Getenv(stageEnv)
	os.Unsetenv(stageEnv)
	return s
}

// named makes the process go by process_name, or by keepalived's name, for pidof, pgrep and killall.
func named(name string) {
	if name == "" {
		name = "keepalived"
	}
	_ = os.WriteFile("/proc/self/comm", []byte(name), 0) // a /proc that can't be written costs the name alone
}

// enter goes into a network namespace of ip-netns(8), by starting the program once more inside it: a thread's namespace is
// its own, and exec makes the one thread the whole process. It returns only when that failed or is done already.
func enter(namespace, stage string) error {
	if namespace == "" || os.Getenv(netnsEnv) == namespace {
		os.Unsetenv(netnsEnv)
		return nil
	}
	if filepath.Base(namespace) != namespace {
		return fmt.Errorf("network namespace %q: want a name of `ip netns`", namespace)
	}
	f, err := os.Open(filepath.Join("/run/netns", namespace))
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer f.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("network namespace %s: %w", namespace, err)
	}
	env := append(os.Environ(), netnsEnv+"="+namespace)
	if stage != "" {
		env = append(env, stageEnv+"="+stage)
	}
	err = syscall.Exec("/proc/self/exe", os.Args, env)
	return fmt.Errorf("start inside the network namespace %s: %w", namespace, err)
}
