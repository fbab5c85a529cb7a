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
	scripts := vrrp.Notifies{
		Master: vrrp.Command{Argv: []string{"/m", "x"}}, Stop: vrrp.Command{Argv: []string{"/s"}, User: "own:grp"},
		MasterRxLower: vrrp.Command{Argv: []string{"/l"}}, Any: vrrp.Command{Argv: []string{"/n", "arg"}},
	}
	for _, tc := range []struct {
		state string
		group bool
		user  string
		want  []string
	}{
		{Master, false, "u", []string{"/m x", "/n arg INSTANCE VI_1 MASTER 90"}},
		{Backup, false, "u", []string{"/n arg INSTANCE VI_1 BACKUP 90"}},
		{Fault, true, "u", []string{"/n arg GROUP VI_1 FAULT 0"}},
		{Stop, false, "own:grp", []string{"/s", "/n arg INSTANCE VI_1 STOP 90"}},
		{MasterRxLowerPri, false, "u", []string{"/l"}},
		{MasterPriority, false, "", nil},
		{BackupPriority, false, "", nil},
	} {
		var got []string
		e := Event{Group: tc.group, Name: "VI_1", Notifies: scripts, State: tc.state, From: "INIT", Priority: 90, Epoch: 7, Cause: "why"}
		j, ok := job(e, Settings{User: "u", Secure: true})
		if ok != (len(tc.want) > 0) {
			t.Errorf("%s: job %v", tc.state, ok)
		}
		if !ok {
			continue
		}
		for _, s := range append(j.Then[:len(j.Then):len(j.Then)], j.Spec) {
			for _, env := range []string{"REEVE_STATE=" + tc.state, "REEVE_FROM=INIT", "REEVE_EPOCH=7", "REEVE_CAUSE=why"} {
				if !slices.Contains(s.Env, env) {
					t.Errorf("%s: no %s in %v", tc.state, env, s.Env)
				}
			}
		}
		got = append(got, strings.Join(j.Spec.Argv, " "))
		for _, s := range j.Then {
			got = append(got, strings.Join(s.Argv, " "))
		}
		if j.Spec.User != tc.user || !j.Spec.Secure || !j.Spec.KeepChildren || j.Spec.Timeout != Longest {
			t.Errorf("%s runs as %q", tc.state, j.Spec.User)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s runs %q, want %q", tc.state, got, tc.want)
		}
	}
	if len(scripts.Any.Argv) != 2 {
		t.Error("the configuration's argv grew")
	}
}

// running starts a notifier that ends with the test, or with the returned function.
func running(t *testing.T, s Settings) (*Notifier, func()) {
	t.Helper()
	n := New(Options{})
	n.Apply(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = n.Run(ctx) }()
	end := func() { cancel(); <-done }
	t.Cleanup(end)
	return n, end
}

func idle(t *testing.T, n *Notifier) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	if err := n.Idle(ctx); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: waited in vain", what)
		}
	}
}

func words(path string) []string {
	b, _ := os.ReadFile(path)
	return strings.Fields(string(b))
}

func sh(line string) vrrp.Command {
	return vrrp.Command{Argv: []string{"/bin/sh", "-c", line, "sh"}}
}

// TestOrder: a slow script of MASTER does not end after what came later; what it began with, its generic script, still runs;
// of states that wait only the last is told, also when an overtaken one had a script of its own.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	out, gate := filepath.Join(dir, "out"), filepath.Join(dir, "gate")
	scripts := vrrp.Notifies{
		Master: sh("echo begin >> " + out + "; while ! [ -e " + gate + " ]; do sleep 0.01; done; echo master >> " + out),
		Backup: sh("echo backup >> " + out),
		Any:    sh("echo $3 >> " + out),
	}
	n, _ := running(t, Settings{})
	n.Notify(Event{Name: "VI_1", Notifies: scripts, State: Master})
	await(t, "notify_master", func() bool { return len(words(out)) > 0 })
	n.Notify(Event{Name: "VI_1", Notifies: scripts, State: Backup})
	n.Notify(Event{Name: "VI_1", Notifies: scripts, State: Fault})
	n.Notify(Event{Name: "VI_1", Notifies: scripts, State: Stop})
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	idle(t, n)
	if got, want := words(out), []string{"begin", "master", "MASTER", "STOP"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestOvertaken: a state without a script takes the place of one that waits.
func TestOvertaken(t *testing.T) {
	dir := t.TempDir()
	out, gate := filepath.Join(dir, "out"), filepath.Join(dir, "gate")
	scripts := vrrp.Notifies{
		Master: sh("echo master >> " + out),
		Fault:  sh("echo fault >> " + out + "; while ! [ -e " + gate + " ]; do sleep 0.01; done"),
	}
	n, _ := running(t, Settings{})
	n.Notify(Event{Name: "VI_1", Notifies: scripts, State: Fault})
	await(t, "notify_fault", func() bool { return len(words(out)) > 0 })
	n.Notify(Event{Name: "VI_1", Notifies: scripts, State: Master})
	n.Notify(Event{Name: "VI_1", Notifies: scripts, State: Backup})
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	idle(t, n)
	if got := words(out); !slices.Equal(got, []string{"fault"}) {
		t.Errorf("told %q", got)
	}
}

// TestStopDoesNotWaitForAHangingScript: the daemon has a second for its last scripts.
func TestStopDoesNotWaitForAHangingScript(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	scripts := vrrp.Notifies{Master: sh("echo hangs >> " + out + "; sleep 1000"), Any: sh("echo $3 >> " + out)}
	n, _ := running(t, Settings{})
	n.Notify(Event{Name: "VI_1", Notifies: scripts, State: Master})
	await(t, "notify_master", func() bool { return len(words(out)) > 0 })
	begin := time.Now()
	n.Notify(Event{Name: "VI_1", Notifies: scripts, State: Stop})
	idle(t, n)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if got := words(out); got[len(got)-1] != "STOP" {
		t.Errorf("told %q", got)
	}
}

// TestInstancesDoNotWaitForEachOther: nor does a group for its members.
func TestInstancesDoNotWaitForEachOther(t *testing.T) {
	dir := t.TempDir()
	out, gate := filepath.Join(dir, "out"), filepath.Join(dir, "gate")
	n, _ := running(t, Settings{})
	n.Notify(Event{Name: "X", Notifies: vrrp.Notifies{Master: sh("while ! [ -e " + gate + " ]; do sleep 0.01; done")}, State: Master})
	n.Notify(Event{Name: "X", Group: true, Notifies: vrrp.Notifies{Any: sh("echo $1 $2 $3 $4 $REEVE_GROUP >> " + out)}, State: Master, Priority: 50})
	await(t, "the group's script", func() bool { return len(words(out)) == 5 })
	if got := strings.Join(words(out), " "); got != "GROUP X MASTER 0 X" {
		t.Errorf("told %q", got)
	}
	_ = os.WriteFile(gate, nil, 0o600)
	idle(t, n)
}

// TestDeleted: FAULT is told of an instance that went, unless notify_deleted asks for DELETED.
func TestDeleted(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	n, _ := running(t, Settings{})
	for _, scripts := range []vrrp.Notifies{{}, {SayDeleted: true}, {Deleted: sh("echo script >> " + out)}} {
		scripts.Any = sh("echo $3 >> " + out)
		n.Notify(Event{Name: "VI_1", Notifies: scripts, State: Deleted})
		idle(t, n)
	}
	if got := strings.Join(words(out), " "); got != "FAULT DELETED script DELETED" {
		t.Errorf("told %q", got)
	}
}

// TestAHundredAtOnce: all are told, though not all at one time.
func TestAHundredAtOnce(t *testing.T) {
	dir := t.TempDir()
	n, _ := running(t, Settings{})
	for i := range 100 {
		n.Notify(Event{Name: "VI_" + string(rune('a'+i%26)) + string(rune('a'+i/26)), Notifies: vrrp.Notifies{Any: sh("touch " + dir + "/$2")}, State: Master})
	}
	idle(t, n)
	if es, _ := os.ReadDir(dir); len(es) != 100 {
		t.Errorf("%d of 100 told", len(es))
	}
}
