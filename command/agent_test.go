package command

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
)

// TestStartInOrder: first which agent this is, then what is odd in its files, then the log.
func TestStartInOrder(t *testing.T) {
	dir := t.TempDir()
	cfg := write(t, "haproxy.cfg", "global\n    chroot /var/lib/haproxy\n"+goodCfg)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "agent", "-dev", "-node=lb1", "-http-addr=unix://"+filepath.Join(dir, "a.sock"), cfg)
	cmd.Env = append(os.Environ(), beReeve+"=1")
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for s := bufio.NewScanner(errs); s.Scan(); { // to its end: an agent that nobody reads would block
		if lines = append(lines, s.Text()); s.Text() == "==> The log follows" {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	at := func(word string) int {
		return slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, word) })
	}
	name, node, warning, log := at("==> Reeve "), at("node: lb1"), at("chroot"), at("==> The log follows")
	if name != 0 || node < 0 || warning < node || log < warning || !strings.Contains(lines[warning], cfg+":2:5") {
		t.Errorf("lines %d, %d, %d, %d of\n%s", name, node, warning, log, strings.Join(lines, "\n"))
	}
}

// TestAgentMemory: requests for which an agent has no memory are answered 503; those that it let in end well.
func TestAgentMemory(t *testing.T) {
	server, asked, answer := slow(t)
	addr := fmt.Sprintf("127.0.0.1:%d", ports.Free(t, "127.0.0.1").Port())
	file := write(t, "haproxy.cfg", "defaults\n mode http\n timeout connect 1s\n timeout client 20s\n timeout server 20s\n"+
		"frontend f\n bind "+addr+"\n default_backend b\nbackend b\n server s "+server.Listener.Addr().String()+"\n")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "agent", "-dev", "-memory-max=48", "-http-addr=unix://"+filepath.Join(t.TempDir(), "a.sock"), file)
	cmd.Env = append(os.Environ(), beReeve+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) { // nothing else tells that it listens
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("the agent does not listen")
		}
	}
	const most = 1500
	status := make(chan int, most)
	ask := func() {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprint(c, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
		go func() {
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				status <- 0
				return
			}
			status <- r.StatusCode
		}()
	}
	inside, refused := 0, 0
	for ask(); refused == 0 && inside < most; {
		select {
		case <-asked:
			inside++
			ask()
		case refused = <-status:
		case <-time.After(10 * time.Second):
			t.Fatalf("after %d requests nothing comes", inside)
		}
	}
	if refused != http.StatusServiceUnavailable || inside < 50 {
		t.Errorf("after %d requests: status %d, want 503", inside, refused)
	}
	close(answer)
	for range inside {
		if got := <-status; got != http.StatusOK {
			t.Errorf("a request that was let in: status %d", got)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
}

// TestAgentRefuses: what an agent can't start with is told in lines of their own, nothing runs, 1.
func TestAgentRefuses(t *testing.T) {
	bad, dir := write(t, "haproxy.cfg", badCfg), t.TempDir()
	notDir := write(t, "file", "x")
	key := strings.TrimSpace(run(t, "keygen").out)
	for name, c := range map[string]struct {
		args  []string
		says  []string
		lines int // 0: several
	}{
		"a broken file":             {[]string{"-dev", bad}, []string{bad + ":5:5: ", bad + ":7:13: ", "default_backend"}, 0},
		"a file that is not there":  {[]string{"-dev", filepath.Join(dir, "none.cfg")}, []string{"none.cfg", "no such file"}, 1},
		"no place for its state":    {[]string{"-encrypt", key}, []string{"data_dir", "-data-dir"}, 1},
		"no key":                    {[]string{"-data-dir", filepath.Join(dir, "a"), "-bootstrap-expect=3"}, []string{"reeve keygen"}, 1},
		"half a key":                {[]string{"-data-dir", filepath.Join(dir, "b"), "-encrypt=c2hvcnQ="}, []string{"key", "reeve keygen"}, 1},
		"an open door":              {[]string{"-dev", "-http-addr=0.0.0.0:7500"}, []string{"-http-addr 0.0.0.0:7500", "token"}, 1},
		"an address that is none":   {[]string{"-dev", "-bind=lo"}, []string{`-bind "lo"`}, 1},
		"a level that is none":      {[]string{"-dev", "-log-level=loud"}, []string{"loud", "debug"}, 1},
		"a data_dir that is a file": {[]string{"-data-dir", notDir, "-encrypt", key}, []string{notDir}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := program(t, append([]string{"agent"}, c.args...)...)
			r.bad(t, c.says...)
			if c.lines > 0 && strings.Count(r.err, "\n") != c.lines {
				t.Errorf("%d lines, want %d:\n%s", strings.Count(r.err, "\n"), c.lines, r.err)
			}
			if strings.Contains(r.err, key) {
				t.Errorf("the key is told: %s", r.err)
			}
		})
	}
}
