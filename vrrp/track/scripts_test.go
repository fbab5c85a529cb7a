package track

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/script"
	"github.com/reeve-lb/reeve/vrrp"
)

// begin runs scripts alone: processes and files wait in the kernel, which a synctest bubble does not know.
func begin(t *testing.T, tr *Tracker) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); tr.runScripts(ctx) }()
	return func() { cancel(); <-done }
}

// TestOneRunnerAScript: starts an interval apart, states that stay, changes told once.
func TestOneRunnerAScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs, changes, running atomic.Int64
		var fail atomic.Bool
		tr := New(Options{
			Changed: func() { changes.Add(1) },
			Jitter:  func() float64 { return 1 },
			Run: func(ctx context.Context, s script.Spec) script.Result {
				if running.Add(1) > 1 {
					t.Error("two at a time")
				}
				defer running.Add(-1)
				runs.Add(1)
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
				}
				if s.Timeout != time.Second || s.User != "nobody" {
					t.Errorf("spec %+v", s)
				}
				if fail.Load() {
					return script.Result{ExitCode: 1}
				}
				return script.Result{}
			},
		})
		end := begin(t, tr)
		chk := vrrp.Script{Name: "chk", Interval: time.Second, Fall: 2, Rise: 1}
		tr.Apply(Wanted{Scripts: []vrrp.Script{chk}, User: "nobody"})
		time.Sleep(50 * time.Millisecond)
		if tr.Script("chk").Known {
			t.Error("known before the first result")
		}
		time.Sleep(3 * time.Second)
		if n := runs.Load(); n != 4 {
			t.Errorf("%d runs in three seconds", n)
		}
		if s := tr.Script("chk"); !s.Up || s.Skipped != 0 || changes.Load() != 1 {
			t.Errorf("%+v, told %d times", s, changes.Load())
		}
		fail.Store(true)
		time.Sleep(2 * time.Second)
		if s := tr.Script("chk"); s.Up || s.Word() != "failed" {
			t.Errorf("%+v after two failures", s)
		}
		chk.Fall = 3
		tr.Apply(Wanted{Scripts: []vrrp.Script{chk}, User: "nobody"})
		synctest.Wait()
		if s := tr.Script("chk"); !s.Known || s.Up {
			t.Errorf("%+v: forgotten by a new configuration", s)
		}
		tr.Apply(Wanted{})
		synctest.Wait()
		n := runs.Load()
		time.Sleep(5 * time.Second)
		if runs.Load() != n || tr.Script("chk").Known {
			t.Error("runs on though nobody tracks it")
		}
		end()
	})
}

// TestNoForkStorm: a hundred scripts of one interval don't start together, neither first nor later, and each has its pace.
func TestNoForkStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		starts := map[time.Duration]int{} // by 10 ms
		each := map[string]int{}
		from := time.Now()
		tr := New(Options{Run: func(_ context.Context, s script.Spec) script.Result {
			mu.Lock()
			defer mu.Unlock()
			starts[time.Since(from)/(10*time.Millisecond)]++
			each[s.Argv[0]]++
			return script.Result{}
		}})
		end := begin(t, tr)
		var w Wanted
		for i := range 100 {
			w.Scripts = append(w.Scripts, vrrp.Script{Name: fmt.Sprint(i), Command: []string{fmt.Sprint(i)}, Interval: time.Second})
		}
		tr.Apply(w)
		time.Sleep(10 * time.Second)
		end()
		for at, n := range starts {
			if n > 20 {
				t.Errorf("%d of 100 started within 10 ms at %v", n, at*10*time.Millisecond)
			}
		}
		for name, n := range each {
			if n < 9 || n > 12 {
				t.Errorf("script %s ran %d times in 10 s", name, n)
			}
		}
	})
}

// TestSkippedStarts: counted, and said once, until the script is in time again.
func TestSkippedStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var takes atomic.Int64
		tr := New(Options{
			Logger: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Info}),
			Jitter: func() float64 { return 1 },
			Run: func(context.Context, script.Spec) script.Result {
				begin := time.Now()
				time.Sleep(time.Duration(takes.Load()))
				return script.Result{Duration: time.Since(begin)}
			},
		})
		end := begin(t, tr)
		takes.Store(int64(2500 * time.Millisecond))
		tr.Apply(Wanted{Scripts: []vrrp.Script{{Name: "slow", Interval: time.Second, Timeout: 5 * time.Second}}})
		time.Sleep(8600 * time.Millisecond) // starts at 0, 3 and 6; those at 1, 2, 4, 5, 7 and 8 fell out
		if s := tr.Script("slow"); s.Skipped != 6 || !s.Up {
			t.Errorf("%+v", s)
		}
		takes.Store(0)
		time.Sleep(3 * time.Second)
		end()
		if n := strings.Count(log.String(), "skipped"); n != 1 {
			t.Errorf("said %d times:\n%s", n, log.String())
		}
	})
}

// TestWords: the lines that people grep for.
func TestWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var code atomic.Int64
		tr := New(Options{
			Logger: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Info}), Jitter: func() float64 { return 1 },
			Run: func(context.Context, script.Spec) script.Result {
				return script.Result{ExitCode: int(code.Load()), Output: []byte("some\nthe reason\n")}
			},
		})
		end := begin(t, tr)
		tr.Apply(Wanted{Scripts: []vrrp.Script{{Name: "chk", Interval: time.Second, Fall: 2}}})
		time.Sleep(500 * time.Millisecond)
		code.Store(1)
		time.Sleep(3 * time.Second)
		end()
		for _, want := range []string{"VRRP_Script(chk) succeeded", "Script `chk` now returning 1", "VRRP_Script(chk) failed (exited with status 1)", "the reason"} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("%q is not once in\n%s", want, log.String())
			}
		}
	})
}

// TestHostileScriptsCostThemselvesAlone: real ones that hang, flood, ignore TERM or leave children; beside them a good one
// has its results in time, and nothing is left of them in the end.
func TestHostileScriptsCostThemselvesAlone(t *testing.T) {
	dir := t.TempDir()
	tr := New(Options{Jitter: func() float64 { return 1 }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = tr.Run(ctx) }()
	shell := func(name, line string) vrrp.Script {
		return vrrp.Script{Name: name, Shell: "echo $$ >>" + dir + "/pids; " + line, Interval: 100 * time.Millisecond, Timeout: 100 * time.Millisecond}
	}
	good := vrrp.Script{Name: "good", Shell: "echo . >>" + dir + "/good", Interval: 100 * time.Millisecond, Timeout: 5 * time.Second}
	tr.Apply(Wanted{Scripts: []vrrp.Script{
		shell("hangs", "sleep 1000"), shell("floods", "exec cat /dev/zero"), shell("deaf", "trap '' TERM; while :; do sleep 1; done"),
		shell("leaves", "sleep 1000 & echo $! >>"+dir+"/pids"), good,
	}})
	count := func(name string) int {
		b, _ := os.ReadFile(filepath.Join(dir, name))
		return len(strings.Fields(string(b)))
	}
	await(t, "results", func() bool {
		for _, name := range []string{"hangs", "floods", "deaf"} {
			if s := tr.Script(name); !s.Known || s.Up {
				return false
			}
		}
		return tr.Script("good").Up && tr.Script("leaves").Up && count("good") >= 10 && tr.Script("hangs").Skipped > 0
	})
	cancel()
	<-done
	b, _ := os.ReadFile(filepath.Join(dir, "pids"))
	for _, pid := range strings.Fields(string(b)) {
		await(t, "end of process "+pid, func() bool {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			return err != nil || strings.Contains(string(stat), ") Z ") || !strings.Contains(string(stat), "(sh)") &&
				!strings.Contains(string(stat), "(sleep)") && !strings.Contains(string(stat), "(cat)")
		})
	}
}

// TestAStubbornScriptHoldsUpNobody: while the former run of one script does not end, the others follow a new configuration.
func TestAStubbornScriptHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran atomic.Int64
		tr := New(Options{Run: func(ctx context.Context, s script.Spec) script.Result {
			if s.Argv[0] == "stubborn" {
				time.Sleep(time.Hour)
			}
			ran.Add(1)
			return script.Result{}
		}})
		end := begin(t, tr)
		stubborn := vrrp.Script{Name: "stubborn", Command: []string{"stubborn"}, Interval: time.Second}
		tr.Apply(Wanted{Scripts: []vrrp.Script{stubborn}})
		time.Sleep(time.Second)
		stubborn.Fall = 7
		tr.Apply(Wanted{Scripts: []vrrp.Script{stubborn, {Name: "new", Command: []string{"new"}, Interval: time.Second}}})
		time.Sleep(time.Second)
		if ran.Load() == 0 || !tr.Script("new").Up {
			t.Error("the new script waits for the old one")
		}
		end()
	})
}

func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: waited in vain", what)
		}
	}
}

// TestScriptSecurity: with enable_script_security a script that root would run and anybody could change is not run, is no
// cause of FAULT and adds nothing, and `vip why` says so; without it, or as an ordinary user, it runs.
func TestScriptSecurity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "prog")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	c := vrrp.Config{
		Global:    vrrp.Global{EnableScriptSecurity: true},
		Scripts:   []vrrp.Script{{Name: "chk", Command: []string{path}, Interval: time.Second}, {Name: "unused"}},
		Instances: []vrrp.Instance{{Priority: 100, TrackScripts: []vrrp.Track{{Name: "chk"}}}},
	}
	tr := tracking(t, Options{}, Used(c))
	if os.Geteuid() != 0 {
		await(t, "result", func() bool { return tr.Script("chk").Up })
		return
	}
	if s := tr.Script("chk"); s.Disabled == "" || tr.Script("unused") != (ScriptState{}) {
		t.Errorf("%+v", s)
	}
	r := Rate(c.Instances[0], nil, NewKnown(c), struct {
		*Tracker
		fixedLinks
	}{tr, fixedLinks{}})
	if r.Pending || r.Fault != "" || r.Priority != 100 || r.Weights[0].State != "ignored" {
		t.Errorf("%+v", r)
	}
	c.Global.EnableScriptSecurity = false
	tr.Apply(Used(c))
	await(t, "result", func() bool { return tr.Script("chk").Up })
}

type fixedLinks struct{}

func (fixedLinks) Interface(string) error { return nil }
