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
	q := NewQueue()
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
