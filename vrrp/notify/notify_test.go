package notify

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reeve-lb/reeve/vrrp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestJobs(t *testing.T) {
	in := vrrp.Instance{Name: "VI_1", Notifies: vrrp.Notifies{Master: vrrp.Command{Argv: []string{"/m", "x"}}, Stop: vrrp.Command{Argv: []string{"/s"}}, Any: vrrp.Command{Argv: []string{"/n", "arg"}}}}
	for _, tc := range []struct {
		state string
		want  []string
	}{
		{"MASTER", []string{"/m x", "/n arg INSTANCE VI_1 MASTER 90"}},
		{"BACKUP", []string{"/n arg INSTANCE VI_1 BACKUP 90"}},
		{"FAULT", []string{"/n arg INSTANCE VI_1 FAULT 90"}},
		{"STOP", []string{"/s", "/n arg INSTANCE VI_1 STOP 90"}},
	} {
		var got []string
		for _, j := range jobs(Event{Instance: in, State: tc.state, Priority: 90, Epoch: 7, Cause: "why", User: "u"}) {
			got = append(got, strings.Join(j.Spec.Argv, " "))
			for _, env := range []string{"REEVE_INSTANCE=VI_1", "REEVE_STATE=" + tc.state, "REEVE_PRIORITY=90", "REEVE_EPOCH=7", "REEVE_CAUSE=why"} {
				if !slices.Contains(j.Spec.Env, env) {
					t.Errorf("%s: no %s in %v", tc.state, env, j.Spec.Env)
				}
			}
			if j.Spec.User != "u" || j.Key != "VI_1" {
				t.Errorf("job %+v", j)
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s runs %q, want %q", tc.state, got, tc.want)
		}
	}
	if len(in.Notifies.Any.Argv) != 2 {
		t.Error("the configuration's argv grew")
	}
}

// TestOrder: a slow script of MASTER does not end after what came later, and of states that wait only the last is told.
func TestOrder(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	in := vrrp.Instance{Name: "VI_1", Notifies: vrrp.Notifies{Any: vrrp.Command{Argv: []string{"/bin/sh", "-c", `sleep 0.1; echo $3 >> ` + out, "sh"}}}}
	n := New(Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = n.Run(ctx) }()
	n.Notify(Event{Instance: in, State: "MASTER"})
	for i := 0; i < 500; i++ { // until it runs: then it can't be replaced
		if _, err := os.Stat(out); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	n.Notify(Event{Instance: in, State: "BACKUP"})
	n.Notify(Event{Instance: in, State: "FAULT"})
	n.Notify(Event{Instance: in, State: "STOP"})
	idle, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	if err := n.Idle(idle); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(b))
	if got[0] != "MASTER" || got[len(got)-1] != "STOP" || len(got) > 3 {
		t.Errorf("told %q", got)
	}
}
