package notify

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp"
)

// TestPipe: every line, in order, with nobody reading yet.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	n, end := running(t, Settings{Pipes: []vrrp.FIFO{{Path: path}, {Path: path}, {}}})
	st, err := os.Stat(path)
	if err != nil || st.Mode().Type() != os.ModeNamedPipe || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st, err)
	}
	n.Notify(Event{Name: "VI_1", State: Backup, Priority: 100})
	n.Notify(Event{Name: "VI_1", State: Master, Priority: 100})
	n.Notify(Event{Name: "VG_1", Group: true, State: Master, Priority: 100})
	n.Notify(Event{Name: "VI_1", State: MasterPriority, Priority: 90})
	n.Notify(Event{Name: "VI_1", State: MasterRxLowerPri, Priority: 90})
	n.Repeat([]Event{{Name: "VI_1", State: Master, Priority: 90}}) // not asked for
	n.Notify(Event{Name: "VI_1", State: Stop, Priority: 90})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	end() // so that the reader finds the end
	var got []string
	for s := bufio.NewScanner(f); s.Scan(); {
		got = append(got, s.Text())
	}
	want := `INSTANCE "VI_1" BACKUP 100|INSTANCE "VI_1" MASTER 100|GROUP "VG_1" MASTER 0|INSTANCE "VI_1" MASTER_PRIORITY 90|` +
		`INSTANCE "VI_1" MASTER_RX_LOWER_PRI 90|INSTANCE "VI_1" STOP 90`
	if strings.Join(got, "|") != want {
		t.Errorf("read\n%s\nwant\n%s", strings.Join(got, "\n"), strings.ReplaceAll(want, "|", "\n"))
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the pipe is left behind: %v", err)
	}
}

// TestFullPipe: whole lines are dropped and counted, nobody waits, and what comes after there is room again is told.
func TestFullPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	n, end := running(t, Settings{Pipes: []vrrp.FIFO{{Path: path}}})
	for range 10000 {
		n.Notify(Event{Name: "VI_1", State: Master, Priority: 100})
	}
	dropped := n.Dropped()[path]
	if dropped == 0 || dropped >= 10000 {
		t.Fatalf("%d dropped", dropped)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lines := 0
	buf := make([]byte, 1<<16)
	for {
		k, err := unix.Read(fd, buf)
		if err != nil || k == 0 {
			break
		}
		lines += strings.Count(string(buf[:k]), "INSTANCE \"VI_1\" MASTER 100\n")
	}
	if uint64(lines)+dropped != 10000 {
		t.Errorf("%d lines and %d dropped", lines, dropped)
	}
	n.Notify(Event{Name: "VI_1", State: Backup, Priority: 100})
	if k, err := unix.Read(fd, buf); err != nil || string(buf[:k]) != "INSTANCE \"VI_1\" BACKUP 100\n" {
		t.Errorf("then %q %v", buf[:max(k, 0)], err)
	}
	end()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("somebody else's pipe was removed: %v", err)
	}
}

// TestNoPipe: a file in its place is left alone.
func TestNoPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, end := running(t, Settings{Pipes: []vrrp.FIFO{{Path: path}}})
	n.Notify(Event{Name: "VI_1", State: Master})
	end()
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("%q %v", b, err)
	}
}

// TestPipeScript: it gets the path as its last argument, is started again when it dies, and reads the last line at the end.
func TestPipeScript(t *testing.T) {
	dir := t.TempDir()
	path, out := filepath.Join(dir, "fifo"), filepath.Join(dir, "out")
	f := vrrp.FIFO{Path: path, Script: sh("echo start >> " + out + "; while read -r kind name state priority; do echo $state >> " + out + "; [ $state = FAULT ] && exit 3; done < $1")}
	n, end := running(t, Settings{Pipes: []vrrp.FIFO{f}, StatesOnReload: true})
	n.Notify(Event{Name: "VI_1", State: Backup})
	n.Notify(Event{Name: "VI_1", State: Fault})
	await(t, "restart", func() bool { return strings.Count(strings.Join(words(out), " "), "start") == 2 })
	n.Repeat([]Event{{Name: "VI_1", State: Master}})
	await(t, "line after the restart", func() bool { w := words(out); return w[len(w)-1] == "MASTER" })
	n.Notify(Event{Name: "VI_1", State: Stop})
	begin := time.Now()
	end()
	if got := strings.Join(words(out), " "); got != "start BACKUP FAULT start MASTER STOP" {
		t.Errorf("the script had %q", got)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
}

// TestPipesFollowTheConfiguration: one that goes is removed and its script ended, one that comes is there at once.
func TestPipesFollowTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	a, b, pid := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "pid")
	n, _ := running(t, Settings{Pipes: []vrrp.FIFO{{Path: a, Script: sh("echo $$ > " + pid + "; exec sleep 1000")}}})
	await(t, "script", func() bool { return len(words(pid)) == 1 })
	proc := filepath.Join("/proc", words(pid)[0])
	n.Apply(Settings{Pipes: []vrrp.FIFO{{Path: b}}})
	if _, err := os.Stat(a); !os.IsNotExist(err) {
		t.Errorf("the old pipe is there: %v", err)
	}
	if _, err := os.Stat(b); err != nil {
		t.Error(err)
	}
	await(t, "end of the old script", func() bool { _, err := os.Stat(proc); return err != nil })
}
