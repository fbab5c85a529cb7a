package classic

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
)

func TestRender(t *testing.T) {
	for name, c := range map[string]struct {
		msg    string
		args   []any
		detail bool
		want   []string
	}{
		"plain": {msg: "Startup complete", want: []string{"Startup complete"}},
		"pairs": {msg: "advert not sent", args: []any{"error", errors.New("no route"), "n", 3}, want: []string{`advert not sent error="no route" n=3`}},
		"master": {msg: "(VI_1) Entering MASTER STATE", args: []any{"from", "BACKUP", "cause", "x"},
			want: []string{"(VI_1) Entering MASTER STATE"}},
		"first": {msg: "(VI_1) Entering BACKUP STATE", args: []any{"from", "INIT", "cause", "startup"},
			want: []string{"(VI_1) Entering BACKUP STATE (init)"}},
		"detail": {msg: "(VI_1) Entering MASTER STATE", args: []any{"from", "BACKUP", "cause", "no advert"}, detail: true,
			want: []string{"(VI_1) Entering MASTER STATE", `(VI_1) moved: from=BACKUP cause="no advert"`}},
		"forged lines": {msg: "script says", args: []any{"output", "a\nMay  1 00:00:00 su: root logged in"},
			want: []string{`script says output="a\nMay  1 00:00:00 su: root logged in"`}},
		"forged message": {msg: "a\nb\x1b[31m", want: []string{"a b [31m"}},
		"odd":            {msg: "x", args: []any{"alone"}, want: []string{"x alone"}},
		"format":         {msg: "x", args: []any{"k", hclog.Fmt("%d-%d", 1, 2)}, want: []string{"x k=1-2"}},
	} {
		if diff := cmp.Diff(c.want, render(c.msg, c.args, c.detail)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestLogs: lines go to the console and the file, in order and with keepalived's time; details only when asked for.
func TestLogs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	var console strings.Builder
	l, err := newLogs(logTargets{console: &console, file: file})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	go l.run(ctx)
	log := newLogger(l)
	log.Info("one")
	log.Named("vrrp").Warn("two", "k", 1)
	log.Debug("hidden")
	l.close(end)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != console.String() {
		t.Errorf("file: %q, console: %q", b, console.String())
	}
	lines := strings.Split(strings.TrimSpace(console.String()), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], ": one") || !strings.HasSuffix(lines[1], ": two k=1") {
		t.Fatalf("lines: %q", lines)
	}
	if _, err := time.Parse("Mon Jan _2 15:04:05 2006", strings.TrimSuffix(lines[0], ": one")); err != nil {
		t.Error(err)
	}
}

// stuck is a log that takes nothing until it is let go.
type stuck struct{ let chan struct{} }

func (s stuck) Write(b []byte) (int, error) { <-s.let; return len(b), nil }

// TestLogNeverHoldsUp: a log that hangs costs its lines, and the end does not wait for it for ever.
func TestLogNeverHoldsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stuck{make(chan struct{})}
		l, err := newLogs(logTargets{console: s})
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		go l.run(ctx)
		log := newLogger(l)
		for range 2 * logBacklog {
			log.Info("line")
		}
		if l.dropped.Load() == 0 {
			t.Error("no line was dropped, and none written")
		}
		begun := time.Now()
		l.close(end)
		if took := time.Since(begun); took != flushBudget {
			t.Errorf("the end took %v, want %v", took, flushBudget)
		}
		close(s.let)
		synctest.Wait()
	})
}

var _ io.Writer = stuck{}
