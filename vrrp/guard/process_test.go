package guard

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/internal/lab"
)

var testVIP = netip.MustParseAddr("10.0.0.100")

// scene is an agent with its guard on a host, watched.
type scene struct {
	t     *testing.T
	host  *lab.Host
	watch *lab.Watch
	agent *lab.Process
	stdin io.Writer
	guard int
	said  string
}

func play(t *testing.T, n *lab.Test, h *lab.Host, w *lab.Watch, ttl, every time.Duration) *scene {
	t.Helper()
	s := &scene{t: t, host: h, watch: w, said: filepath.Join(t.TempDir(), "said")}
	p := h.Command(os.Args[0], agentWord, s.said, ttl.String(), every.String(), testVIP.String()+"/32")
	r, in, err := os.Pipe()
	n.Must(err)
	p.Stdin, s.stdin, s.agent = r, in, p
	t.Cleanup(func() { in.Close() })
	n.StartProcess(p)
	r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	n.Must(p.AwaitOutput(ctx, "ready guard="))
	for line := range strings.Lines(p.Output()) {
		_, _ = fmt.Sscanf(line, "ready guard=%d", &s.guard)
	}
	if s.guard == 0 || s.guard == p.Pid() {
		t.Fatalf("no guard: %s", p.Output())
	}
	_, err = w.AwaitOwner(ctx, testVIP, h.Name())
	n.Must(err)
	t.Cleanup(func() { // nothing may be left, whatever the test did
		_ = unix.Kill(s.guard, unix.SIGCONT)
		_ = p.SignalGroup(unix.SIGCONT)
		_ = p.SignalGroup(unix.SIGKILL)
		<-p.Done()
		within(t, 10*time.Second, "the guard ends", func() bool { return !alive(s.guard) })
	})
	return s
}

func newScene(t *testing.T, ttl, every time.Duration) *scene {
	t.Helper()
	n := lab.New(t)
	return play(t, n, n.Host("a", "10.0.0.1/24"), n.Watch(), ttl, every)
}

// off waits until the address is off and returns how long that took.
func (s *scene) off(limit time.Duration) time.Duration {
	s.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	if err := s.watch.Await(ctx, func() bool { return len(s.watch.Owners(testVIP)) == 0 }); err != nil {
		s.t.Fatalf("address still on after %s: %v", limit, err)
	}
	return time.Since(began)
}

func (s *scene) kill(pid int, sig unix.Signal) {
	s.t.Helper()
	if err := unix.Kill(pid, sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) tell(words ...string) {
	s.t.Helper()
	for _, w := range words {
		if _, err := io.WriteString(s.stdin, w+"\n"); err != nil {
			s.t.Fatal(err)
		}
	}
}

// heard waits until the guard said exactly these.
func (s *scene) heard(want ...Released) {
	s.t.Helper()
	var got []Released
	within(s.t, 5*time.Second, "the guard's word", func() bool {
		got = nil
		for _, x := range readSaid(s.said) {
			got = append(got, x.Released)
		}
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		s.t.Errorf("the guard said %+v, want %+v", got, want)
	}
}

func TestAgentKilled(t *testing.T) {
	s := newScene(t, 5*time.Second, 50*time.Millisecond)
	s.kill(s.agent.Pid(), unix.SIGKILL)
	took := s.off(250 * time.Millisecond)
	t.Logf("address off %s after the agent's SIGKILL", took)
	s.heard(Released{"VI_1", 7, true})
	within(t, 5*time.Second, "the guard ends", func() bool { return !alive(s.guard) })
}

// TestHeavyAgentKilled: the guard does not wait until the kernel has cleaned up all that its agent had open.
func TestHeavyAgentKilled(t *testing.T) {
	s := newScene(t, 5*time.Second, 50*time.Millisecond)
	s.tell("listen")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.agent.AwaitOutput(ctx, "listening"); err != nil {
		t.Fatal(err)
	}
	s.kill(s.agent.Pid(), unix.SIGKILL)
	t.Logf("address off %s after the SIGKILL of an agent with %d packet sockets", s.off(250*time.Millisecond), heavySockets)
}

func TestAgentStopped(t *testing.T) {
	const ttl = 300 * time.Millisecond
	s := newScene(t, ttl, 50*time.Millisecond)
	s.kill(s.agent.Pid(), unix.SIGSTOP)
	took := s.off(ttl + 200*time.Millisecond)
	t.Logf("address off %s after the agent's SIGSTOP, lease %s", took, ttl)
	if took < ttl-150*time.Millisecond {
		t.Errorf("off after %s: the lease had at least %s to go", took, ttl-150*time.Millisecond)
	}
	s.heard(Released{"VI_1", 7, false})

	// The agent wakes and renews: the guard takes its word again.
	s.kill(s.agent.Pid(), unix.SIGCONT)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.watch.AwaitOwner(ctx, testVIP, "a"); err != nil {
		t.Fatal(err)
	}
	if !alive(s.guard) {
		t.Error("the guard is gone")
	}
	within(t, 2*time.Second, "the agent learns of it", func() bool { return strings.Contains(s.agent.Output(), "guard removed the addresses") })

	// It freezes again: the guard had given the address up, and watches over it anew.
	wait(t, 2*ttl)
	s.kill(s.agent.Pid(), unix.SIGSTOP)
	s.off(ttl + 200*time.Millisecond)
	s.heard(Released{"VI_1", 7, false}, Released{"VI_1", 7, false})
	s.kill(s.agent.Pid(), unix.SIGCONT)
	if _, err := s.watch.AwaitOwner(ctx, testVIP, "a"); err != nil {
		t.Fatal(err)
	}
	s.kill(s.agent.Pid(), unix.SIGKILL)
	s.off(250 * time.Millisecond)
	s.heard(Released{"VI_1", 7, false}, Released{"VI_1", 7, false}, Released{"VI_1", 7, true})
}

// A guard that sleeps over the deadline removes when it wakes; one that finds the lease renewed meanwhile does not.
func TestGuardStopped(t *testing.T) {
	const ttl = 200 * time.Millisecond
	s := newScene(t, ttl, 20*time.Millisecond)
	s.kill(s.guard, unix.SIGSTOP)
	wait(t, 3*ttl)
	s.kill(s.guard, unix.SIGCONT)
	wait(t, ttl)
	if owners := s.watch.Owners(testVIP); len(owners) != 1 {
		t.Fatalf("the lease was renewed all the time, owners: %v", owners)
	}
	s.kill(s.guard, unix.SIGSTOP)
	s.kill(s.agent.Pid(), unix.SIGSTOP)
	wait(t, 2*ttl)
	s.kill(s.guard, unix.SIGCONT)
	t.Logf("address off %s after the guard woke", s.off(250*time.Millisecond))
}

// wait lets real time pass, for what has to stay as it is meanwhile.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func TestBothKilled(t *testing.T) {
	s := newScene(t, 5*time.Second, 50*time.Millisecond)
	s.kill(s.guard, unix.SIGKILL)
	s.kill(s.agent.Pid(), unix.SIGKILL)
	t.Logf("address off %s after everything's SIGKILL", s.off(3*time.Second))
}

func TestNewAgentRemovesLeftovers(t *testing.T) {
	n := lab.New(t)
	h, w := n.Host("a", "10.0.0.1/24"), n.Watch()
	n.Must(h.AddAddr("eth0", testVIP.String()+"/32")) // for ever: left by who knows whom
	s := play(t, n, h, w, time.Second, 50*time.Millisecond)
	tenures := s.watch.Timeline(testVIP)
	if len(tenures) < 2 {
		t.Errorf("the leftover was not taken off before the address went on: %v", tenures)
	}
}

func TestGuardIsReplaced(t *testing.T) {
	s := newScene(t, 5*time.Second, 50*time.Millisecond)
	first := s.guard
	s.kill(first, unix.SIGKILL)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.agent.AwaitOutput(ctx, "guard process started: pid="); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.agent.Output(), "guard process died") {
		t.Error("nobody said that the guard died")
	}
	_, after, _ := strings.Cut(s.agent.Output(), "guard process started: pid=")
	_, _ = fmt.Sscanf(after, "%d", &s.guard)
	if s.guard == first || !alive(s.guard) {
		t.Fatalf("guard %d after %d", s.guard, first)
	}
	s.tell("forget") // no pet from here on: what the new guard knows it was told when it started
	if err := s.agent.AwaitOutput(ctx, "forgotten"); err != nil {
		t.Fatal(err)
	}
	s.kill(s.agent.Pid(), unix.SIGKILL)
	t.Logf("second guard: address off after %s", s.off(250*time.Millisecond))
	s.heard(Released{"VI_1", 7, true})
}

func TestGuardIsDeaf(t *testing.T) {
	s := newScene(t, 5*time.Second, 50*time.Millisecond)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTSTP} {
		s.kill(s.guard, sig)
	}
	wait(t, 50*time.Millisecond)
	s.kill(s.agent.Pid(), unix.SIGKILL)
	s.off(250 * time.Millisecond)
}

func TestGuardIsNoChild(t *testing.T) {
	s := newScene(t, 5*time.Second, 50*time.Millisecond)
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.guard))
	if err != nil {
		t.Fatal(err)
	}
	var state string
	var parent, pgrp, session, tty, tpgid, flags, x, nice int
	rest := string(stat[bytes.LastIndexByte(stat, ')')+1:])
	// Fields 3 to 9, then counters up to priority (18) and nice (19).
	_, err = fmt.Sscan(rest, &state, &parent, &pgrp, &session, &tty, &tpgid, &flags, &x, &x, &x, &x, &x, &x, &x, &x, &x, &nice)
	if err != nil {
		t.Fatal(err)
	}
	if parent == s.agent.Pid() || session != s.guard || pgrp != s.guard || tty != 0 {
		t.Errorf("parent %d (agent %d), session %d, group %d, tty %d", parent, s.agent.Pid(), session, pgrp, tty)
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.guard))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", s.guard, fd.Name())); strings.HasPrefix(target, "pipe:") {
			t.Errorf("descriptor %s is %s: whoever reads there waits for the guard", fd.Name(), target)
		}
	}
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", s.guard))
	score, _ := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", s.guard))
	t.Logf("comm %q, nice %d, oom_score_adj %s", bytes.TrimSpace(comm), nice, bytes.TrimSpace(score))
	if string(bytes.TrimSpace(comm)) != "reeve-guard" {
		t.Errorf("named %q", comm)
	}
}

func TestDropAndClose(t *testing.T) {
	s := newScene(t, 500*time.Millisecond, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s.tell("drop")
	if err := s.agent.AwaitOutput(ctx, "dropped"); err != nil {
		t.Fatal(err)
	}
	s.off(time.Second)
	// Somebody else's now, say the other node's: the guard has nothing to do with it any more.
	if err := s.host.AddAddr("eth0", testVIP.String()+"/32"); err != nil {
		t.Fatal(err)
	}
	s.kill(s.agent.Pid(), unix.SIGKILL)
	s.heard(Released{"", 0, true}) // it held nothing; that it died is news all the same
	within(t, 5*time.Second, "the guard ends", func() bool { return !alive(s.guard) })
	if len(s.watch.Owners(testVIP)) != 1 {
		t.Error("the guard took off what it was told to forget")
	}
}

func TestClosedByWill(t *testing.T) {
	s := newScene(t, 5*time.Second, 50*time.Millisecond)
	s.tell("close")
	s.off(250 * time.Millisecond) // it was not dropped: better off
	s.heard(Released{"VI_1", 7, false})
	within(t, 5*time.Second, "the guard ends", func() bool { return !alive(s.guard) })
}

// What a guard costs that is petted every 50 ms.
func TestGuardIsSmall(t *testing.T) {
	s := newScene(t, 5*time.Second, 50*time.Millisecond)
	wait(t, 500*time.Millisecond)
	before, began := cpu(t, s.guard), boottime.Now()
	wait(t, 4*time.Second)
	used, passed := cpu(t, s.guard)-before, boottime.Now().Sub(began)
	share := 100 * float64(used) / float64(passed)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.guard))
	if err != nil {
		t.Fatal(err)
	}
	var rss, anon, file int
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &rss)
		_, _ = fmt.Sscanf(line, "RssAnon: %d kB", &anon)
		_, _ = fmt.Sscanf(line, "RssFile: %d kB", &file)
	}
	t.Logf("guard: %.2f %% of a core, %d KiB resident (%d own, %d of the binary)", share, rss, anon, file)
	if !raceDetector && (share > 3 || rss > 24<<10) { // its shadow memory is not the guard's
		t.Errorf("guard: %.2f %% of a core, %d KiB resident", share, rss)
	}
}

// cpu is the processor time of all threads of a process, to the nanosecond.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for _, name := range tasks {
		b, _ := os.ReadFile(name)
		var ns int64
		_, _ = fmt.Sscan(string(b), &ns)
		sum += time.Duration(ns)
	}
	return sum
}

func TestNotByHand(t *testing.T) {
	if err := Main(ProcessOptions{}); err == nil {
		t.Error("a guard without an agent ran")
	}
}
