package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reeve-lb/reeve/internal/lab"
)

// box is a host with a /tmp and a /run of its own, which the test sees as folders: daemons that use keepalived's paths do
// not meet each other there, nor those of the machine.
type box struct {
	t        *testing.T
	n        *lab.Test
	h        *lab.Host
	tmp, run string
}

// inBox is how a program gets to see its box. The folders of /dev are made only where a /dev/log is wanted.
const inBox = `mount --make-rprivate / &&
if [ -n "$BOX_DEV" ]; then for f in null urandom zero; do : > "$BOX_DEV/$f"; mount --bind /dev/$f "$BOX_DEV/$f"; done; mount --rbind "$BOX_DEV" /dev; fi &&
mount --bind "$BOX_RUN" /run && mount --bind "$BOX_TMP" /tmp && exec "$@"`

func newBox(t *testing.T, n *lab.Test, name string, prefixes ...string) *box {
	t.Helper()
	dir := t.TempDir()
	b := &box{t: t, n: n, h: n.Host(name, prefixes...), tmp: filepath.Join(dir, "tmp"), run: filepath.Join(dir, "run")}
	for _, d := range []string{b.tmp, b.run} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	// By its other name the program is keepalived. A link would end at the folder that the box hides.
	if err := os.Link(lab.Program(), filepath.Join(b.tmp, "keepalived")); err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	ours            = "/tmp/keepalived"
	theirKeepalived = "/usr/sbin/keepalived"
)

// command prepares a program inside the box.
func (b *box) command(argv ...string) *lab.Process {
	p := b.h.Command(append([]string{"unshare", "-m", "sh", "-c", inBox, "sh"}, argv...)...)
	p.Env = []string{"BOX_RUN=" + b.run, "BOX_TMP=" + b.tmp}
	return p
}

func (b *box) start(argv ...string) *lab.Process {
	b.t.Helper()
	p := b.command(argv...)
	b.n.StartProcess(p)
	return p
}

// exit runs a program to its end and tells its exit code.
func (b *box) exit(argv ...string) (int, string) {
	b.t.Helper()
	p := b.start(argv...)
	select {
	case <-p.Done():
	case <-time.After(patience):
		b.t.Fatalf("%v does not end: %s", argv, p.Output())
	}
	code := 0
	if p.Err() != nil {
		e, ok := errors.AsType[*exec.ExitError](p.Err())
		if !ok {
			b.t.Fatalf("%v: %v", argv, p.Err())
		}
		code = e.ExitCode()
	}
	return code, p.Output()
}

func (b *box) write(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.run, name), []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) until(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: never %s", b.h.Name(), what)
		}
	}
}

// pid reads a pid file of the box.
func (b *box) pid(file string) int {
	b.t.Helper()
	content, err := os.ReadFile(filepath.Join(b.run, file))
	if err != nil {
		b.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		b.t.Fatal(err)
	}
	return pid
}

func (b *box) signal(sig syscall.Signal) {
	b.t.Helper()
	if err := syscall.Kill(b.pid("keepalived.pid"), sig); err != nil {
		b.t.Fatal(err)
	}
}

// dump asks for a file by a signal and reads what the daemon wrote.
func (b *box) dump(sig syscall.Signal, name string) []byte {
	b.t.Helper()
	path := filepath.Join(b.tmp, name)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	b.signal(sig)
	var content []byte
	b.until("wrote "+name, func() bool {
		content, _ = os.ReadFile(path)
		return bytes.HasSuffix(content, []byte("\n"))
	})
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		b.t.Errorf("%s: mode %v (%v): passwords are in it", name, st.Mode(), err)
	}
	return content
}

func (b *box) has(dev, addr string) bool {
	b.t.Helper()
	all, err := b.h.Addrs(dev)
	if err != nil {
		b.t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Addr().String() == addr })
}

const pairConf = `global_defs {
   router_id LB
   enable_script_security
   script_user root
}
vrrp_script chk {
   script "/usr/bin/true"
   interval 1
   weight 2
}
vrrp_instance VI_1 {
   state BACKUP
   interface eth0
   virtual_router_id 51
   priority %d
   advert_int 1
   authentication {
      auth_type PASS
      auth_pass secret
   }
   virtual_ipaddress {
      10.77.0.100/24
      10.77.0.101
   }
   virtual_ipaddress_excluded {
      10.77.0.102/24
   }
   track_script {
      chk
   }
   notify_master "/usr/bin/true m"
   notify_backup "/usr/bin/true b"
   notify_fault "/usr/bin/true f"
   notify_stop "/usr/bin/true s"
   notify "/usr/bin/true any"
   garp_master_delay 3
   garp_master_repeat 2
}
vrrp_instance VI_2 {
   interface eth0
   virtual_router_id 52
   priority 255
   version 3
   advert_int 0.5
   virtual_ipaddress {
      10.77.0.103/24 brd + label eth0:1
   }
}
`

// TestFilesOfSignals holds the files that ours writes at signals against those that keepalived writes with the same
// configuration on a host like it.
func TestFilesOfSignals(t *testing.T) {
	n := lab.New(t)
	boxes := map[string]*box{theirKeepalived: newBox(t, n, "k", "10.77.0.1/16"), ours: newBox(t, n, "r", "10.77.0.1/16")}
	n.Must(boxes[ours].h.Cut()) // each alone, so that both are MASTER
	for program, b := range boxes {
		b.write("keepalived.conf", fmt.Sprintf(pairConf, 150))
		b.start(program, "-n", "-l", "-f", "/run/keepalived.conf")
	}
	json, stats, data := map[string][]byte{}, map[string][]byte{}, map[string][]byte{}
	for program, b := range boxes {
		b.until("MASTER", func() bool { return b.has("eth0", "10.77.0.100") })
		json[program] = b.dump(36, "keepalived.json")
		stats[program] = b.dump(syscall.SIGUSR2, "keepalived.stats")
		data[program] = b.dump(syscall.SIGUSR1, "keepalived.data")
	}
	if diff := cmp.Diff(flat(t, json[theirKeepalived]), flat(t, json[ours])); diff != "" {
		t.Errorf("keepalived.json (-keepalived +ours):\n%s", diff)
	}
	if diff := cmp.Diff(stripNumbers(stats[theirKeepalived]), stripNumbers(stats[ours])); diff != "" {
		t.Errorf("keepalived.stats:\n%s", diff)
	}
	if diff := cmp.Diff(topology(data[theirKeepalived]), topology(data[ours])); diff != "" {
		t.Errorf("keepalived.data, what exporters read:\n%s", diff)
	}
	b := boxes[ours]
	b.dump(63, "keepalived.stats")
	var cleared []struct{ Stats map[string]int }
	unmarshal(t, b.dump(36, "keepalived.json"), &cleared)
	for _, e := range cleared {
		if e.Stats["become_master"] != 0 || e.Stats["advert_sent"] > 2 {
			t.Errorf("after they were cleared the counters say %v", e.Stats)
		}
	}
}

func unmarshal(t *testing.T, b []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
}

// flat lists keys in their order with their types and values; what depends on the moment has its type alone.
func flat(t *testing.T, content []byte) []string {
	t.Helper()
	if !bytes.Contains(content, []byte(`10.77.0.100\/24`)) {
		t.Errorf("slashes are not escaped: %s", content)
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	return walk(t, d, "", nil)
}

func walk(t *testing.T, d *json.Decoder, at string, out []string) []string {
	t.Helper()
	next := func() json.Token {
		tok, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	switch v := next().(type) {
	case json.Delim:
		for d.More() {
			under := at + "[]"
			if v == '{' {
				under = at + "." + next().(string)
			}
			out = walk(t, d, under, out)
		}
		next()
	default:
		if strings.HasSuffix(at, ".last_transition") || strings.HasSuffix(at, ".advert_sent") {
			v = json.Number("1")
		}
		out = append(out, fmt.Sprintf("%s: %T %v", at, v, v))
	}
	return out
}

// stripNumbers leaves the words of a text.
func stripNumbers(b []byte) string {
	var out strings.Builder
	for l := range strings.Lines(string(b)) {
		head, _, _ := strings.Cut(l, ": ")
		out.WriteString(strings.TrimRight(head, "\n") + "\n")
	}
	return out.String()
}

// topology is what exporters take from keepalived.data: instances and scripts with a few of their keys.
func topology(b []byte) map[string]string {
	out := map[string]string{}
	object, list := "", ""
	for l := range strings.Lines(string(b)) {
		l = strings.TrimRight(l, "\n")
		key, value, pair := strings.Cut(strings.TrimSpace(l), " = ")
		switch {
		case strings.HasPrefix(l, " VRRP Instance") || strings.HasPrefix(l, " VRRP Script"):
			object = key + " " + value + ": "
		case !strings.HasPrefix(l, "   "):
			object = ""
		case object == "":
		case strings.HasPrefix(l, "     ") && strings.HasPrefix(list, "Virtual IP"):
			out[object+list] += strings.TrimSpace(l) + "\n"
		case !pair:
			list = strings.TrimSpace(l)
		case slices.Contains([]string{"State", "Wantstate", "Interface", "Gratuitous ARP delay", "Virtual Router ID", "Status",
			"VRRP Version", "Priority", "Effective priority", "Advert interval", "Accept", "Preempt", "Authentication type", "Password",
			"Command", "Weight", "Rise", "Fall", "Interval"}, key):
			out[object+key] = value
		}
	}
	return out
}

// TestReplacesKeepalived: of a running pair one keepalived is stopped and ours started in its place, with the same file.
// The peer takes the addresses meanwhile, gives them back, and takes them again when ours stops.
func TestReplacesKeepalived(t *testing.T) {
	n := lab.New(t)
	lb1, lb2 := newBox(t, n, "lb1", "10.77.0.1/16"), newBox(t, n, "lb2", "10.77.0.2/16")
	for b, priority := range map[*box]int{lb1: 150, lb2: 100} {
		conf, _, _ := strings.Cut(fmt.Sprintf(pairConf, priority), "vrrp_instance VI_2")
		b.write("keepalived.conf", conf)
	}
	vip := netip.MustParseAddr("10.77.0.100")
	w := n.Watch()
	owner := func(name string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := w.Await(ctx, func() bool { return slices.Equal(w.Owners(vip), []string{name}) }); err != nil {
			t.Fatalf("%s never had the address alone: %v", name, err)
		}
	}
	first := lb1.start(theirKeepalived, "-n", "-l", "-f", "/run/keepalived.conf")
	owner("lb1")
	lb2.start(theirKeepalived, "-n", "-l", "-f", "/run/keepalived.conf")
	n.Must(first.Stop(patience))
	owner("lb2")
	if code, out := lb1.exit(ours, "-f", "/run/keepalived.conf", "-D"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	owner("lb1")
	if !lb1.has("eth0", "10.77.0.102") {
		t.Error("the excluded address is not there")
	}
	lb1.signal(syscall.SIGHUP)
	lb1.signal(syscall.SIGTERM)
	owner("lb2")
	lb1.until("without its pid files", func() bool {
		left, _ := filepath.Glob(filepath.Join(lb1.run, "*.pid"))
		return len(left) == 0
	})
	if lb1.has("eth0", "10.77.0.101") {
		t.Error("an address was left behind")
	}
}

// TestDaemon: what scripts and units see of a start in the background, a second one, a reload of a broken file, and the end.
func TestDaemon(t *testing.T) {
	n := lab.New(t)
	b := newBox(t, n, "lb1", "10.77.0.1/16")
	conf := fmt.Sprintf(pairConf, 150)
	b.write("good.conf", conf)
	b.write("bad.conf", "vrrp_instance VI_1 {\n   interface\n}\n")
	for line, want := range map[string]int{
		"-t -f /run/good.conf": 0, "-t -f /run/bad.conf": 2, "-f /run/bad.conf": 2, "-n -l -f /run/bad.conf": 2,
		"-f /run/none.conf": 6, "-n -f /run/none.conf": 6, "-t -f /run/none.conf": 0, "--bogus": 1, "-v": 0, "--signum=JSON": 0,
	} {
		code, out := b.exit(append([]string{ours}, strings.Fields(line)...)...)
		theirs, said := b.exit(append([]string{theirKeepalived}, strings.Fields(line)...)...)
		if code != want {
			t.Errorf("%s: exit code %d, want %d: %s", line, code, want, out)
		}
		// In the background keepalived answers 0 before it knows.
		if theirs != want && !strings.HasPrefix(line, "-f") {
			t.Errorf("%s: keepalived's exit code is %d, not %d: %s", line, theirs, want, said)
		}
	}
	victim := filepath.Join(b.run, "victim")
	n.Must(os.WriteFile(victim, []byte("precious"), 0o600), os.Symlink("/run/victim", filepath.Join(b.tmp, "keepalived.json")))

	if code, out := b.exit(ours, "-f", "/run/good.conf", "-c", "/run/checkers-mine.pid"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	pid := b.pid("keepalived.pid") // it is there by the time the command ends
	for _, f := range []string{"vrrp.pid", "checkers-mine.pid"} {
		if b.pid(f) != pid {
			t.Errorf("%s names another process", f)
		}
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && strings.TrimSpace(string(name)) != "keepalived" {
		t.Errorf("the process is called %q", name)
	}
	if code, out := b.exit(ours, "-f", "/run/good.conf"); code != 0 || !strings.Contains(out, "already running: process "+strconv.Itoa(pid)+" (keepalived)") {
		t.Errorf("a second start: %d %s", code, out)
	}
	if code, out := b.exit(theirKeepalived, "-n", "-l", "-f", "/run/good.conf"); code != 0 || !strings.Contains(out, "daemon is already running") {
		t.Errorf("keepalived beside ours: %d %s", code, out)
	}
	b.until("MASTER", func() bool { return b.has("eth0", "10.77.0.100") })
	b.signal(36)
	b.until("wrote its JSON over the link", func() bool {
		st, err := os.Lstat(filepath.Join(b.tmp, "keepalived.json"))
		return err == nil && st.Mode().IsRegular()
	})
	if content, err := os.ReadFile(victim); err != nil || string(content) != "precious" {
		t.Errorf("the link was followed: %q (%v)", content, err)
	}
	b.write("good.conf", "vrrp_instance VI_1 {\n   interface\n}\n")
	b.signal(syscall.SIGHUP)
	var now []struct {
		Data  map[string]any
		Stats map[string]int
	}
	unmarshal(t, b.dump(36, "keepalived.json"), &now)
	if len(now) != 2 || now[0].Data["state"] != 2.0 || now[0].Stats["release_master"] != 0 {
		t.Errorf("after the reload of a broken file: %+v", now)
	}
	b.write("good.conf", strings.Replace(conf, "10.77.0.101", "10.77.0.104", 1))
	b.signal(syscall.SIGHUP)
	b.until("reloaded", func() bool { return b.has("eth0", "10.77.0.104") && !b.has("eth0", "10.77.0.101") })
	unmarshal(t, b.dump(36, "keepalived.json"), &now)
	if now[0].Stats["become_master"] != 1 || now[0].Stats["release_master"] != 0 {
		t.Errorf("the reload of another address moved the instance: %v", now[0].Stats)
	}
	b.signal(syscall.SIGTERM)
	b.until("gone", func() bool { return syscall.Kill(pid, 0) != nil && !b.has("eth0", "10.77.0.100") })
	if left, _ := filepath.Glob(filepath.Join(b.run, "*.pid")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// datagrams opens a unix socket and hands on what comes in.
func datagrams(t *testing.T, path string) <-chan string {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	out := make(chan string, 256)
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			select {
			case out <- string(b[:n]):
			default: // the test reads too little, and fails
			}
		}
	}()
	return out
}

func await(t *testing.T, c <-chan string, want string) string {
	t.Helper()
	var seen []string
	for {
		select {
		case s := <-c:
			if strings.Contains(s, want) {
				return s
			}
			seen = append(seen, s)
		case <-time.After(patience):
			t.Fatalf("no %q, but %q", want, seen)
		}
	}
}

// TestUnit runs the unit that Debian ships, unchanged: Type=notify, --dont-fork, reload by HUP; and the forking one that
// others ship. systemd's side is a socket, syslog's too.
func TestUnit(t *testing.T) {
	for name, args := range map[string][]string{"notify": {"--dont-fork", "-S", "local3"}, "forking": {"-S", "3"}} {
		t.Run(name, func(t *testing.T) {
			n := lab.New(t)
			b := newBox(t, n, "lb1", "10.77.0.1/16")
			b.write("keepalived.conf", fmt.Sprintf(pairConf, 150))
			dev := filepath.Join(b.run, "dev")
			n.Must(os.Mkdir(dev, 0o755))
			systemd, syslog := datagrams(t, filepath.Join(b.run, "notify")), datagrams(t, filepath.Join(dev, "log"))
			p := b.command(append([]string{ours, "-f", "/run/keepalived.conf"}, args...)...)
			p.Env = append(p.Env, "NOTIFY_SOCKET=/run/notify", "BOX_DEV="+dev)
			n.StartProcess(p)
			ready := await(t, systemd, "READY=1")
			pid := b.pid("keepalived.pid")
			if !strings.Contains(ready, "MAINPID="+strconv.Itoa(pid)) {
				t.Errorf("systemd was told %q, the daemon is %d", ready, pid)
			}
			for _, want := range []string{"Starting Keepalived v2.2.7", "Startup complete"} {
				if l := await(t, syslog, want); !strings.HasPrefix(l, "<158>") || !strings.Contains(l, " Keepalived["+strconv.Itoa(pid)+"]: "+want) {
					t.Errorf("syslog: %q", l)
				}
			}
			tag := " Keepalived_vrrp[" + strconv.Itoa(pid) + "]: (VI_1) Entering MASTER STATE"
			if l := await(t, syslog, "(VI_1) Entering MASTER STATE"); !strings.HasSuffix(strings.TrimSpace(l), tag) {
				t.Errorf("syslog: %q, want it to end in %q", l, tag)
			}
			b.signal(syscall.SIGHUP)
			await(t, systemd, "RELOADING=1")
			await(t, systemd, "READY=1")
			await(t, syslog, "Reload complete")
			b.signal(syscall.SIGTERM)
			await(t, systemd, "STOPPING=1")
			await(t, syslog, "Stopped Keepalived")
			<-p.Done()
			if p.Err() != nil {
				t.Errorf("it ended with %v: %s", p.Err(), p.Output())
			}
		})
	}
}

// TestRivals: another daemon for the same virtual router on the same host is named, one for another router is not.
func TestRivals(t *testing.T) {
	n := lab.New(t)
	b := newBox(t, n, "lb1", "10.77.0.1/16")
	conf := fmt.Sprintf(pairConf, 150)
	b.write("same.conf", conf)
	b.write("other.conf", strings.NewReplacer("virtual_router_id 51", "virtual_router_id 61", "virtual_router_id 52", "virtual_router_id 62").Replace(conf))
	for file, clash := range map[string]bool{"same.conf": true, "other.conf": false} {
		theirs := b.start(theirKeepalived, "-n", "-l", "-f", "/run/"+file, "-p", "/run/1", "-r", "/run/2", "-c", "/run/3")
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		n.Must(theirs.AwaitOutput(ctx, "(VI_2) Entering MASTER STATE"))
		p := b.start(ours, "-n", "-l", "-f", "/run/same.conf")
		n.Must(p.AwaitOutput(ctx, "(VI_1) Entering MASTER STATE"))
		named := strings.Contains(p.Output(), "speaks for virtual_router_id 51 on eth0 (VI_1 here, VI_1 there), virtual_router_id 52")
		if named != clash {
			t.Errorf("%s: named %v, want %v: %s", file, named, clash, p.Output())
		}
		if clash && !strings.Contains(p.Output(), "(keepalived)") {
			t.Errorf("the other is not named: %s", p.Output())
		}
		n.Must(p.Stop(patience), theirs.Stop(patience))
	}
}
