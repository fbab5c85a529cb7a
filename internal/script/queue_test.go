package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// running starts a queue that ends with the test.
func running(t *testing.T) *Queue {
	t.Helper()
	return runningWith(t, slotTime)
}

func runningWith(t *testing.T, slot time.Duration) *Queue {
	t.Helper()
	q := NewQueue()
	q.slot = slot
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return q
}

func idle(t *testing.T, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := q.Idle(ctx); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: waited in vain", what)
		}
	}
}

func exists(f string) bool {
	_, err := os.Stat(f)
	return err == nil
}

// While the first script of a key runs, only the latest of each kind waits; keys don't wait for each other.
func TestQueueKeepsTheLatestState(t *testing.T) {
	q := running(t)
	dir := t.TempDir()
	log, gate := filepath.Join(dir, "log"), filepath.Join(dir, "gate")
	submit := func(key, kind, word, line string) {
		t.Helper()
		err := q.Submit(Job{Key: key, Kind: kind, Spec: Spec{Shell: line + "; echo " + word + " >>" + log, Timeout: 20 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
	}
	started := filepath.Join(dir, "started")
	submit("VI_1", "state", "VI_1-master", "touch "+started+"; while ! [ -e "+gate+" ]; do sleep 0.01; done")
	waitFor(t, "first script", func() bool { return exists(started) })
	submit("VI_1", "state", "VI_1-backup", ":")
	submit("VI_1", "any", "VI_1-any", ":")
	submit("VI_1", "state", "VI_1-master-again", ":")
	submit("VI_1", "state", "VI_1-fault", ":")
	other := make(chan Result, 1)
	if err := q.Submit(Job{Key: "VI_2", Spec: sh("echo VI_2 >>" + log), Done: func(_ Spec, r Result) { other <- r }}); err != nil {
		t.Fatal(err)
	}
	if r := <-other; !r.OK() {
		t.Errorf("another key: %v", r)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	idle(t, q)
	b, _ := os.ReadFile(log)
	want := "VI_2 VI_1-master VI_1-any VI_1-fault"
	if got := strings.Join(strings.Fields(string(b)), " "); got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestQueueIsBounded(t *testing.T) {
	q := NewQueue()
	for i := range MaxPending {
		if err := q.Submit(Job{Key: "k", Kind: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Submit(Job{Key: "k", Kind: "one more"}); !errors.Is(err, ErrFull) {
		t.Errorf("one kind too many: %v", err)
	}
	if err := q.Submit(Job{Key: "k", Kind: "3"}); err != nil {
		t.Errorf("replacing a waiting job: %v", err)
	}
	for i := 1; i < MaxKeys; i++ {
		if err := q.Submit(Job{Key: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Submit(Job{Key: "one more"}); !errors.Is(err, ErrFull) {
		t.Errorf("one key too many: %v", err)
	}
}

func TestQueueEnds(t *testing.T) {
	q := NewQueue()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	f := filepath.Join(t.TempDir(), "pid")
	got := make(chan Result, 1)
	for kind, line := range map[string]string{"1": "echo $$ >" + f + "; sleep 1000"} {
		if err := q.Submit(Job{Key: "k", Kind: kind, Spec: sh(line), Done: func(_ Spec, r Result) { got <- r }}); err != nil {
			t.Fatal(err)
		}
	}
	go func() { ended <- q.Run(ctx) }()
	waitFor(t, "script", func() bool { b, _ := os.ReadFile(f); return len(b) > 0 })
	if err := q.Submit(Job{Key: "k", Kind: "2", Spec: sh("true"), Done: func(Spec, Result) { t.Error("ran after the end") }}); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
	if err := q.Idle(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("idle with a script that hangs: %v", err)
	}
	stop()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if r := <-got; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("the script that ran: %v", r)
	}
	gone(t, f)
	if err := q.Submit(Job{Key: "k"}); !errors.Is(err, ErrEnded) {
		t.Errorf("after the end: %v", err)
	}
	idle(t, q)
}

// What is begun is completed: the scripts of one job run in order, whatever the first says, and a later one waits for all.
func TestQueueJobOfSeveral(t *testing.T) {
	q := running(t)
	log, gate := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "gate")
	line := func(s string) Spec { return sh(s + " >>" + log) }
	wait := sh("echo 1 >>" + log + "; while ! [ -e " + gate + " ]; do sleep 0.01; done; exit 3")
	results := make(chan bool, 10)
	job := func(j Job) {
		t.Helper()
		j.Key, j.Done = "k", func(_ Spec, r Result) { results <- r.OK() }
		if err := q.Submit(j); err != nil {
			t.Fatal(err)
		}
	}
	job(Job{Kind: "a", Spec: wait, Then: []Spec{line("echo 2")}})
	waitFor(t, "first script", func() bool { return exists(log) })
	job(Job{Kind: "b", Spec: line("echo overtaken")})
	job(Job{Kind: "c", Spec: line("echo 3"), Replaces: true})
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	idle(t, q)
	b, _ := os.ReadFile(log)
	if got := strings.Join(strings.Fields(string(b)), " "); got != "1 2 3" {
		t.Errorf("ran %q", got)
	}
	if a, b, c := <-results, <-results, <-results; a || !b || !c || len(results) > 0 {
		t.Errorf("told %v %v %v", a, b, c)
	}
}

// A script that hangs is told to end when the patience of the one that waits is over, and of the least patient at that; one
// that nobody waits for goes on.
func TestQueuePatience(t *testing.T) {
	q := running(t)
	began := filepath.Join(t.TempDir(), "began")
	got := make(chan Result, 2)
	submit := func(kind string, s Spec, patience time.Duration) {
		t.Helper()
		err := q.Submit(Job{Key: "k", Kind: kind, Spec: s, Patience: patience, Done: func(_ Spec, r Result) { got <- r }})
		if err != nil {
			t.Fatal(err)
		}
	}
	submit("a", Spec{Shell: "touch " + began + "; sleep 1000", Timeout: time.Hour}, 50*time.Millisecond)
	waitFor(t, "first script", func() bool { return exists(began) })
	submit("b", sh("true"), time.Hour)
	select {
	case r := <-got:
		t.Fatalf("ended though nobody is in a hurry: %v", r)
	case <-time.After(200 * time.Millisecond):
	}
	submit("c", sh("true"), 50*time.Millisecond)
	if r := <-got; !errors.Is(r.Err, ErrSuperseded) {
		t.Errorf("%v", r)
	}
	idle(t, q)
}

// What waits is forgotten when it is no longer so; what runs goes on.
func TestQueueForget(t *testing.T) {
	q := running(t)
	log, gate := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "gate")
	q.Forget("k")
	for kind, line := range []string{"echo 1 >>" + log + "; while ! [ -e " + gate + " ]; do sleep 0.01; done; echo 2 >>" + log, "echo 3 >>" + log} {
		if err := q.Submit(Job{Key: "k", Kind: fmt.Sprint(kind), Spec: sh(line)}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "first script", func() bool { return exists(log) })
	}
	q.Forget("k")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	idle(t, q)
	b, _ := os.ReadFile(log)
	if got := strings.Join(strings.Fields(string(b)), " "); got != "1 2" {
		t.Errorf("ran %q", got)
	}
}

// However many keys there are, no more than MaxRunning scripts run at one time, and all of them run.
func TestQueueRunsNotTooManyAtOnce(t *testing.T) {
	q := runningWith(t, time.Hour)
	dir := t.TempDir()
	gate := filepath.Join(dir, "gate")
	for i := range MaxRunning + 20 {
		line := fmt.Sprintf("touch %s/s%d; while ! [ -e %s ]; do sleep 0.1; done", dir, i, gate)
		if err := q.Submit(Job{Key: fmt.Sprint(i), Spec: sh(line)}); err != nil {
			t.Fatal(err)
		}
	}
	begun := func() int { es, _ := os.ReadDir(dir); return len(es) }
	waitFor(t, "first scripts", func() bool { return begun() == MaxRunning })
	time.Sleep(100 * time.Millisecond) // for one too many to show itself
	if n := begun(); n != MaxRunning {
		t.Errorf("%d run at once", n)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	idle(t, q)
	if n := begun(); n != MaxRunning+20+1 {
		t.Errorf("%d ran", n-1)
	}
}

// Without a timeout a script runs until somebody says so.
func TestNoTimeout(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if r := Run(ctx, Spec{Shell: "sleep 1000", Timeout: -1}); r.TimedOut || !errors.Is(r.Err, context.DeadlineExceeded) {
		t.Errorf("%v", r)
	}
}

// Scripts that run for long don't keep the others from being started.
func TestQueueLongRunnersGiveWay(t *testing.T) {
	q := runningWith(t, 10*time.Millisecond)
	gate := filepath.Join(t.TempDir(), "gate")
	for i := range MaxRunning {
		if err := q.Submit(Job{Key: fmt.Sprint(i), Spec: sh("while ! [ -e " + gate + " ]; do sleep 0.1; done")}); err != nil {
			t.Fatal(err)
		}
	}
	ran := make(chan Result, 1)
	if err := q.Submit(Job{Key: "one more", Spec: sh("true"), Done: func(_ Spec, r Result) { ran <- r }}); err != nil {
		t.Fatal(err)
	}
	if r := <-ran; !r.OK() {
		t.Errorf("%v", r)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	idle(t, q)
}
