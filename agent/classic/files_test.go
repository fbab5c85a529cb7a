package classic

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestReplaceFollowsNothing: in a folder that everybody may write to, somebody has put things at the names of our files.
func TestReplaceFollowsNothing(t *testing.T) {
	for name, plant := range map[string]func(path, victim string) error{
		"nothing":       func(string, string) error { return nil },
		"symbolic link": func(path, victim string) error { return os.Symlink(victim, path) },
		"dangling link": func(path, victim string) error { return os.Symlink(victim+"-not-there", path) },
		"hard link":     func(path, victim string) error { return os.Link(victim, path) },
		"fifo":          func(path, _ string) error { return unix.Mkfifo(path, 0o666) },
		"file":          func(path, _ string) error { return os.WriteFile(path, []byte("old"), 0o666) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, victim := filepath.Join(dir, "keepalived.json"), filepath.Join(dir, "victim")
			if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := plant(path, victim); err != nil {
				t.Fatal(err)
			}
			defer unix.Umask(unix.Umask(0o177))
			if err := replace(path, []byte("new"), 0o644); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != "new" {
				t.Errorf("the file says %q (%v)", b, err)
			}
			if st, err := os.Lstat(path); err != nil || st.Mode() != 0o644 {
				t.Errorf("the file's mode is %v (%v), want a plain file of 0644", st.Mode(), err)
			}
			if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
				t.Errorf("the victim says %q (%v)", b, err)
			}
			if _, err := os.Stat(victim + "-not-there"); err == nil {
				t.Error("a file was made where the link pointed to")
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestReplaceFails: a directory at the name is an error, and leaves nothing.
func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "x", "y"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := replace(filepath.Join(dir, "x"), nil, 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if err := replace(filepath.Join(dir, "nowhere", "x"), nil, 0o600); err == nil {
		t.Error("a file was written where there is no folder")
	}
}

func TestPIDNames(t *testing.T) {
	for name, c := range map[string]struct {
		o                   Options
		instance, namespace string
		dir, vrrp           bool
		want                string
	}{
		"usual":     {vrrp: true, want: "/run/keepalived.pid /run/vrrp.pid"},
		"idle":      {want: "/run/keepalived.pid"},
		"all":       {o: Options{All: true}, want: "/run/keepalived.pid /run/vrrp.pid /run/checkers.pid /run/bfd.pid"},
		"dir":       {dir: true, vrrp: true, want: "/run/keepalived/keepalived.pid /run/keepalived/vrrp.pid"},
		"instance":  {instance: "foo", vrrp: true, want: "/run/keepalived/keepalived_foo.pid /run/keepalived/vrrp_foo.pid"},
		"namespace": {namespace: "red", vrrp: true, want: "/run/keepalived/keepalived_red/keepalived.pid /run/keepalived/keepalived_red/vrrp.pid"},
		"asked for": {o: Options{PIDFile: "/1", VRRPPIDFile: "/2", CheckersPIDFile: "/3", BFDPIDFile: "/4"}, want: "/1 /2 /3 /4"},
	} {
		got := pidNames(c.o, c.instance, c.namespace, c.dir, c.vrrp)
		if diff := cmp.Diff(strings.Fields(c.want), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestPIDFiles: the files name this process, are readable by all, and go with it. A file that somebody else has taken
// over stays.
func TestPIDFiles(t *testing.T) {
	defer unix.Umask(unix.Umask(0o177))
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.pid"), filepath.Join(dir, "two.pid")
	p := pidFiles{paths: []string{one, two}}
	if err := p.write(); err != nil {
		t.Fatal(err)
	}
	for _, path := range p.paths {
		b, err := os.ReadFile(path)
		if err != nil || string(b) != strconv.Itoa(os.Getpid())+"\n" {
			t.Errorf("%s says %q (%v)", path, b, err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode() != 0o644 {
			t.Errorf("%s: mode %v (%v)", path, st.Mode(), err)
		}
	}
	if err := os.WriteFile(two, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.remove()
	if _, err := os.Stat(one); err == nil {
		t.Error("the file is still there")
	}
	if _, err := os.Stat(two); err != nil {
		t.Error("another's file was removed")
	}
}

// TestRunning: a file that names a live daemon keeps a second one from starting; a number that was used again does not.
func TestRunning(t *testing.T) {
	dir := t.TempDir()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	daemon := filepath.Join(dir, "keepalived_vrrp")
	if err := os.WriteFile(daemon, b, 0o755); err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]bool{daemon: true, sleep: false} {
		cmd := exec.Command(program, "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "x.pid")
		if err := os.WriteFile(file, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := pidFiles{paths: []string{filepath.Join(dir, "none"), file}}
		h, ok := p.running()
		if ok != want || ok && (h.pid != cmd.Process.Pid || h.name != "keepalived_vrrp" || h.file != file) {
			t.Errorf("%s: %+v, %v", program, h, ok)
		}
		_ = cmd.Process.Kill()
		if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			t.Fatal(err)
		}
		if _, ok := p.running(); ok {
			t.Errorf("%s: it is dead, and not waited for", program)
		}
		_ = cmd.Wait()
		if _, ok := p.running(); ok {
			t.Errorf("%s: it is gone", program)
		}
	}
	for _, content := range []string{"", "abc", "-1", "0", "1", strconv.Itoa(os.Getpid())} {
		file := filepath.Join(dir, "odd.pid")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if h, ok := (&pidFiles{paths: []string{file}}).running(); ok {
			t.Errorf("%q: %+v", content, h)
		}
	}
}

// TestBeside: what keepalived.conf has no words for stands in a file beside it, and its mistakes are said.
func TestBeside(t *testing.T) {
	dir := t.TempDir()
	main, more := filepath.Join(dir, "keepalived.conf"), filepath.Join(dir, "keepalived.hcl")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(main, "global_defs {\n  enable_traps\n}\n")
	c, ps, err := load(Options{File: main})
	if err != nil || c.Global.SNMP.TrapSink != "" || len(ps) != 1 {
		t.Errorf("alone: %+v, %v, %v", c.Global.SNMP, ps, err)
	}
	write(more, "snmp {\n  trap_sink = \"nms\"\n}\nwebhook \"pager\" {\n  url = \"https://pager.example/\"\n}\n")
	c, ps, err = load(Options{File: main})
	if err != nil || len(ps) != 0 || c.Global.SNMP.TrapSink != "nms" || len(c.Global.Webhooks) != 1 {
		t.Errorf("with the file beside it: %+v, %v, %v", c.Global, ps, err)
	}
	write(more, "snmp {\n  trap_sinc = \"nms\"\n}\n")
	if _, ps, err = load(Options{File: main}); err != nil || len(ps) != 2 || ps[1].Pos.File != more {
		t.Errorf("a mistake in it: %v, %v", ps, err)
	}
	if _, ps, err = load(Options{File: more}); err != nil || len(ps) > 4 {
		t.Errorf("as the file itself: %v, %v", ps, err)
	}
}
