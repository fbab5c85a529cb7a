package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
)

// role is which program plays a host's part.
type role string

const (
	reeve      role = "R"
	keepalived role = "K"
)

// argv is how the program is started inside a box: the same file, the same flags.
func (r role) argv() []string {
	flags := []string{"-f", "/run/keepalived.conf", "-n", "-l", "-D"}
	if r == reeve {
		return append([]string{"/tmp/reeve", "keepalived"}, flags...)
	}
	return append([]string{"/usr/sbin/keepalived"}, flags...)
}

// pairs runs a scenario for every pair of programs with Reeve in it, the first in role a, the second in role b; where
// there is time, for two keepaliveds too, which proves the scenario itself. The scenario fails by t.
func pairs(t *testing.T, scenario func(t *testing.T, a, b role)) {
	t.Helper()
	abreast(t)
	all := [][2]role{{reeve, keepalived}, {keepalived, reeve}, {reeve, reeve}}
	if fine() {
		all = append(all, [2]role{keepalived, keepalived})
	}
	for _, p := range all {
		t.Run(string(p[0]+p[1]), func(t *testing.T) {
			t.Parallel()
			scenario(t, p[0], p[1])
		})
	}
}

// each runs a scenario of one program for Reeve, and where there is time for keepalived.
func each(t *testing.T, scenario func(t *testing.T, a role)) {
	t.Helper()
	abreast(t)
	for _, r := range alone() {
		t.Run(string(r), func(t *testing.T) {
			t.Parallel()
			scenario(t, r)
		})
	}
}

// alone are the programs that a scenario of one daemon is run for.
func alone() []role {
	if fine() {
		return []role{reeve, keepalived}
	}
	return []role{reeve}
}

// inBox gives a program a /tmp and a /run of its own, which the test sees as folders: daemons that use keepalived's paths
// do not meet each other there. Both outputs become one.
const inBox = `mount --make-rprivate / && mount --bind "$BOX_RUN" /run && mount --bind "$BOX_TMP" /tmp && exec "$@" 2>&1`

// notifyScript tells the test its arguments; a FIFO gives them in the order in which the scripts wrote.
const notifyScript = "#!/bin/sh\necho \"$*\" > /run/notified\n"

// daemon is one VRRP daemon with its box on a host. It survives its process: again starts the next one.
type daemon struct {
	s        *segment
	role     role
	host     *lab.Host
	run, tmp string       // the box's folders
	proc     *lab.Process // the latest
	began    time.Time    // just before it was started
	log      *journal     // what all its lives wrote
	notified *journal     // arguments of /run/notify, by arrival
}

// start puts a daemon of this role on a host and starts it with the configuration.
func (s *segment) start(host string, r role, conf string) *daemon {
	s.t.Helper()
	d := s.box(host, r)
	d.again(conf)
	return d
}

// box prepares a daemon and starts nothing yet.
func (s *segment) box(host string, r role) *daemon {
	s.t.Helper()
	dir := s.t.TempDir()
	d := &daemon{s: s, role: r, host: s.host(host), run: filepath.Join(dir, "run"), tmp: filepath.Join(dir, "tmp"), log: newJournal(), notified: newJournal()}
	s.Must(os.Mkdir(d.run, 0o777), os.Mkdir(d.tmp, 0o777))
	// The folder that the program lies in is hidden in the box.
	s.Must(os.Link(lab.Program(), filepath.Join(d.tmp, "reeve")))
	d.write("notify", notifyScript, 0o755)
	pipe := filepath.Join(d.run, "notified")
	s.Must(unix.Mkfifo(pipe, 0o666))
	in, err := os.OpenFile(pipe, os.O_RDWR, 0) // both ends, so that no script waits for a reader
	s.Must(err)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(d.notified, in) // until it is closed
	}()
	s.t.Cleanup(func() {
		_ = in.Close()
		<-over
		if s.t.Failed() {
			s.t.Logf("%s (%s) wrote:\n%snotified:\n%s", host, r, d.log, d.notified)
		}
	})
	return d
}

// write puts a file into the daemon's /run.
func (d *daemon) write(name, content string, mode os.FileMode) {
	d.s.t.Helper()
	// At once, for whoever reads it meanwhile.
	path := filepath.Join(d.run, name)
	d.s.Must(os.WriteFile(path+".new", []byte(content), mode), os.Chmod(path+".new", mode), os.Rename(path+".new", path))
}

// remove takes a file out of the daemon's /run.
func (d *daemon) remove(name string) {
	d.s.t.Helper()
	d.s.Must(os.Remove(filepath.Join(d.run, name)))
}

// again starts the daemon; an empty configuration means the one that is there.
func (d *daemon) again(conf string) {
	d.s.t.Helper()
	if conf != "" {
		d.write("keepalived.conf", conf, 0o644)
	}
	d.proc = d.host.Command(append([]string{"unshare", "-m", "sh", "-c", inBox, "sh"}, d.role.argv()...)...)
	d.proc.Env = []string{"BOX_RUN=" + d.run, "BOX_TMP=" + d.tmp}
	d.proc.KeepOutput, d.proc.Stdout = false, d.log
	release := busy(d.s.t)
	d.began = time.Now()
	d.s.Must(d.proc.Start())
	go func() {
		defer release()
		ctx, cancel := context.WithTimeout(d.s.ctx, time.Second)
		defer cancel()
		_, _ = d.log.await(ctx, d.began, " STATE") // it runs, or does not in time
	}()
}

// work bounds how many labs are made or taken down and how many daemons are started at once. All of them at one time
// would keep the processors and the kernel's lock on interfaces busy for longer than what is measured beside it may be late.
var work = make(chan struct{}, 2)

// busy waits for its turn and gives what ends it.
func busy(t testing.TB) (done func()) {
	t.Helper()
	select {
	case work <- struct{}{}:
	case <-time.After(limit):
		t.Fatal("others are busy for ever")
	}
	return sync.OnceFunc(func() { <-work })
}

// signal signals the main process.
func (d *daemon) signal(sig syscall.Signal) {
	d.s.t.Helper()
	d.s.Must(d.proc.Signal(sig))
}

// term asks the daemon to stop and tells when; it does not wait.
func (d *daemon) term() time.Time {
	d.s.t.Helper()
	at := time.Now()
	d.signal(unix.SIGTERM)
	return at
}

// stop asks the daemon to stop and waits for the end, which has to be a clean one. It tells when it asked.
func (d *daemon) stop() time.Time {
	d.s.t.Helper()
	at := d.term()
	d.ended()
	if err := d.proc.Err(); err != nil {
		d.s.t.Errorf("%s (%s) ended with %v", d.host.Name(), d.role, err)
	}
	return at
}

func (d *daemon) ended() {
	d.s.t.Helper()
	select {
	case <-d.proc.Done():
	case <-d.s.ctx.Done():
		d.s.t.Fatalf("%s (%s) does not end", d.host.Name(), d.role)
	}
}

// kill ends all processes of the daemon at one instant, Reeve's guard too, so that nobody can tidy up: they are stopped
// first, and the youngest goes first, or the kernel would wake what it leaves without a parent. It tells when.
func (d *daemon) kill() time.Time {
	d.s.t.Helper()
	d.s.Must(d.host.SignalAll(unix.SIGSTOP))
	at := time.Now()
	for {
		pids, err := d.host.Pids()
		d.s.Must(err)
		if len(pids) == 0 {
			break
		}
		slices.Sort(pids)
		for _, pid := range slices.Backward(pids) {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				d.s.t.Fatalf("%s: kill %d: %v", d.host.Name(), pid, err)
			}
		}
		if d.s.ctx.Err() != nil {
			d.s.t.Fatalf("%s: processes %v outlive SIGKILL", d.host.Name(), pids)
		}
		time.Sleep(time.Millisecond)
	}
	d.ended()
	return at
}

// reload makes conf the daemon's file and tells it so.
func (d *daemon) reload(conf string) time.Time {
	d.s.t.Helper()
	d.write("keepalived.conf", conf, 0o644)
	at := time.Now()
	d.signal(unix.SIGHUP)
	return at
}

// speaker is the process that speaks VRRP: keepalived's child, Reeve itself.
func (d *daemon) speaker() int {
	d.s.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.run, "vrrp.pid"))
	d.s.Must(err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	d.s.Must(err)
	return pid
}

// freeze stops the process that speaks; thaw lets it go on. They tell when.
func (d *daemon) freeze() time.Time {
	d.s.t.Helper()
	d.s.Must(unix.Kill(d.speaker(), unix.SIGSTOP))
	return time.Now()
}

func (d *daemon) thaw() time.Time {
	d.s.t.Helper()
	d.s.Must(unix.Kill(d.speaker(), unix.SIGCONT))
	return time.Now()
}

// said waits for the first line after since that contains text and tells when it came.
func (d *daemon) said(since time.Time, text string) time.Time {
	d.s.t.Helper()
	l, err := d.log.await(d.s.ctx, since, text)
	if err != nil {
		d.s.t.Fatalf("%s (%s) never said %q: %v", d.host.Name(), d.role, text, err)
	}
	return l.at
}

// told waits for the first notification after since that contains text ("any INSTANCE VI_1 MASTER") and tells when.
func (d *daemon) told(since time.Time, text string) time.Time {
	d.s.t.Helper()
	l, err := d.notified.await(d.s.ctx, since, text)
	if err != nil {
		d.s.t.Fatalf("%s (%s) never notified %q: %v", d.host.Name(), d.role, text, err)
	}
	return l.at
}

// silent fails if the daemon wrote text.
func (d *daemon) silent(since time.Time, text string) {
	d.s.t.Helper()
	if l := d.log.all(since, text); len(l) > 0 {
		d.s.t.Errorf("%s (%s) said %q at %s", d.host.Name(), d.role, l[0].text, l[0].at.Format("05.000"))
	}
}

// dump asks for a file by a signal (SIGUSR1 keepalived.data, SIGUSR2 keepalived.stats, 36 keepalived.json) and reads what
// the daemon wrote.
func (d *daemon) dump(sig syscall.Signal, name string) string {
	d.s.t.Helper()
	path := filepath.Join(d.tmp, name)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		d.s.t.Fatal(err)
	}
	d.signal(sig)
	for {
		b, _ := os.ReadFile(path)
		if n := len(b); n > 0 && b[n-1] == '\n' {
			return string(b)
		}
		if d.s.ctx.Err() != nil {
			d.s.t.Fatalf("%s (%s): no %s", d.host.Name(), d.role, name)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// settings of one instance, VI_1; the zero value is the case of section 7.
type settings struct {
	priority int
	global   string // lines of global_defs
	before   string // blocks in front of the instance: scripts, groups
	auth     string // lines of authentication, PASS test if empty, none if "-"
	advert   string // advert_int, 1 if empty
	vips     string // lines of virtual_ipaddress, the one address if empty
	words    string // lines of the instance
}

// conf is a keepalived.conf. Every change of state is told by /run/notify.
func conf(c settings) string {
	or := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}
	auth := ""
	if c.auth != "-" {
		auth = "  authentication {\n" + or(c.auth, "    auth_type PASS\n    auth_pass test") + "\n  }\n"
	}
	return fmt.Sprintf(`global_defs {
  script_user root
  %s
}
%s
vrrp_instance VI_1 {
  interface eth0
  virtual_router_id 51
  priority %d
  advert_int %s
%s  virtual_ipaddress {
    %s
  }
  notify "/run/notify any"
  notify_master "/run/notify master"
  notify_backup "/run/notify backup"
  notify_fault "/run/notify fault"
  notify_stop "/run/notify stop"
  %s
}
`, c.global, c.before, c.priority, or(c.advert, "1"), auth, or(c.vips, vip+"/24"), c.words)
}

// has tells whether an address is on a host's interface right now.
func (s *segment) has(host, dev, addr string) bool {
	s.t.Helper()
	all, err := s.host(host).Addrs(dev)
	s.Must(err)
	return slices.ContainsFunc(all, func(p prefix) bool { return p.Addr().String() == addr })
}
