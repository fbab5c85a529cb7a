package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVar makes this test binary, started by a test below, do one thing inside a lab of its own instead of testing.
const childVar = "REEVE_LAB_TEST_CHILD"

// child is a Tests that plays a part.
type child string

func (c child) Run() int {
	n, err := Open()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer n.Close()
	h, err := n.Host("a", "10.0.0.1/24")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	switch string(c) {
	case "answer":
		l, err := h.Listen("tcp", "10.0.0.1:80")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer l.Close()
		fmt.Printf("uid %d, listening at %s\n", os.Getuid(), l.Addr())
		return 42
	case "stay": // deaf to what asks to stop, with a daemon that is too
		p := h.Command("setsid", "--fork", "sh", "-c", "trap '' TERM INT HUP; echo up; while :; do sleep 3141; done")
		if err := p.Start(); err != nil {
			fmt.Println(err)
			return 1
		}
		if err := p.AwaitOutput(context.Background(), "up"); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("ready")
		select {}
	}
	return 2
}

func startChild(t *testing.T, part string, cred *syscall.Credential) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	// A copy where anybody may run it: go test puts the binary into a directory of its user's.
	dir := "/run/lab-" + strings.ReplaceAll(t.Name(), "/", "-")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lab.test")
	if err := os.WriteFile(path, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), childVar+"="+part)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

func exitOf(err error) int {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode()
	}
	return 0
}

func TestExitCodeAndOutputComeThrough(t *testing.T) {
	creds := map[string]*syscall.Credential{"same user": nil}
	if mapped := idsMapped(t); mapped > 65534 {
		creds["ordinary user"] = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	for name, cred := range creds {
		t.Run(name, func(t *testing.T) {
			cmd, out := startChild(t, "answer", cred)
			line, _ := out.ReadString('\n')
			if want := "uid 0, listening at 10.0.0.1:80\n"; line != want {
				t.Errorf("it printed %q, want %q", line, want)
			}
			if code := exitOf(cmd.Wait()); code != 42 {
				t.Errorf("exit code %d, want 42", code)
			}
		})
	}
}

// idsMapped tells how many user ids there are here: one inside a user namespace, where nobody can be another user.
func idsMapped(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	fields := bytes.Fields(b)
	n, err := strconv.ParseUint(string(fields[len(fields)-1]), 10, 33)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// TestNothingIsLeft kills the outer process in each way, and looks for what was inside.
func TestNothingIsLeft(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGKILL} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			cmd, out := startChild(t, "stay", nil)
			if line, err := out.ReadString('\n'); line != "ready\n" {
				t.Fatalf("it printed %q, %v", line, err)
			}
			if n := len(sleepers(t)); n == 0 {
				t.Fatal("the daemon inside is not seen; the test would prove nothing")
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("it ended with status 0")
			}
			for deadline := time.Now().Add(3 * time.Second); len(sleepers(t)) > 0; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("left behind: %v", sleepers(t))
				}
			}
		})
	}
}

// sleepers lists the processes of the "stay" child's daemon, by their argument.
func sleepers(t *testing.T) []string {
	t.Helper()
	lists, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, l := range lists {
		if b, err := os.ReadFile(l); err == nil && bytes.Contains(b, []byte("3141")) {
			found = append(found, l)
		}
	}
	return found
}

// TestForbidden takes the right to make user namespaces away from an ordinary user and looks at the one line.
func TestForbidden(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The limit counts in the user namespace of who makes one: inside one more it can be 0 without touching the machine's.
	// Without capabilities its root is an ordinary user.
	script := fmt.Sprintf("echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all %s", self)
	cmd := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c", script)
	cmd.Env = append(os.Environ(), childVar+"=answer")
	out, err := cmd.CombinedOutput()
	if exitOf(err) != 1 {
		t.Errorf("exit code %d, want 1", exitOf(err))
	}
	if got := string(out); !strings.Contains(got, "sudo") || strings.Count(got, "\n") != 1 {
		t.Errorf("it said %q, want one line that names sudo", got)
	}
}

func TestMain(m *testing.M) {
	if part := os.Getenv(childVar); part != "" {
		Main(child(part))
	}
	Main(m)
}
