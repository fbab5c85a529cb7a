package command

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// built makes the program, where any user may run it, and gives a temporary folder for any user beside it.
func built(t *testing.T) (program, tmp string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "reeve-test-") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program, tmp = filepath.Join(dir, "reeve"), filepath.Join(dir, "tmp")
	build := exec.Command("go", "build", "-tags", "hashicorpmetrics", "-o", program, "github.com/reeve-lb/reeve")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Mkdir(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{dir, tmp} {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return program, tmp
}

// demoCommand is `reeve demo` as an ordinary user: as nobody when the tests run as root.
func demoCommand(t *testing.T, args ...string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	program, tmp := built(t)
	cmd = exec.Command(program, append([]string{"demo"}, args...)...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	return cmd, tmp
}

// nothingLeft checks that no process of the program runs and that its temporary folder is empty.
func nothingLeft(t *testing.T, program, tmp string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var left []string
		links, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, l := range links {
			if target, err := os.Readlink(l); err == nil && strings.TrimSuffix(target, " (deleted)") == program {
				left = append(left, l)
			}
		}
		files, err := os.ReadDir(tmp)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 && len(files) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: processes %v, files %v", left, files)
		}
	}
}

func TestDemoPrintsOneObjectAndLeavesNothing(t *testing.T) {
	cmd, tmp := demoCommand(t, "-format=json")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	began := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, errOut.String())
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	if errOut.Len() > 0 {
		t.Errorf("on stderr: %s", errOut.String())
	}
	dec := json.NewDecoder(&out)
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil {
		t.Fatal(err)
	}
	if dec.More() {
		t.Error("more than one object on stdout")
	}
	for name, want := range map[string]any{
		"nodes": 3.0, "sessions": 50.0, "owners_seen_max": 1.0, "vip_left_on_dead": false, "config_version_everywhere": true,
	} {
		if fields[name] != want {
			t.Errorf("%s is %v, want %v", name, fields[name], want)
		}
	}
	// What the cluster had agreed on before the fault stays, at whatever speed. What it had not, on a machine with too much to
	// do, was known to nobody but the node that failed; `reeve demo -check` holds how long that may be.
	if moved, late := fields["sessions_moved"], fields["late_moved"]; moved != late || fields["sessions_late"] == nil {
		t.Errorf("%v sessions moved, %v of them (of %v) not agreed on before: %v", moved, late, fields["sessions_late"], fields["moved"])
	}
	gap, _ := fields["failover_gap_ms"].(float64)
	if requests, _ := fields["requests"].(float64); requests < 500 || gap <= 0 || gap > 2000 {
		t.Errorf("%v requests, a gap of %v ms", requests, gap)
	}
	nothingLeft(t, cmd.Path, tmp)
}

func TestDemoInterruptedLeavesNothing(t *testing.T) {
	cmd, tmp := demoCommand(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The line comes when the network stands and the agents are about to start.
	line := make([]byte, 10)
	if _, err := out.Read(line); err != nil {
		t.Errorf("it wrote nothing: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it exits 0 when interrupted")
	}
	nothingLeft(t, cmd.Path, tmp)
}
