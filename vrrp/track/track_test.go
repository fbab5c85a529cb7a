package track

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/reeve-lb/reeve/internal/script"
	"github.com/reeve-lb/reeve/vrrp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCount(t *testing.T) {
	for _, tc := range []struct {
		name     string
		c        vrrp.Script
		results  string // + and -
		want     string // after each: +, - or ?
		initFail bool
	}{
		{"first result decides", vrrp.Script{Rise: 3, Fall: 3}, "+", "+", false},
		{"first failure decides", vrrp.Script{Rise: 3, Fall: 3}, "-", "-", false},
		{"fall 2", vrrp.Script{Fall: 2, Rise: 1}, "+-+--+", "++++-+", false},
		{"rise 3", vrrp.Script{Fall: 1, Rise: 3}, "-++-+++", "------+", false},
		{"init_fail", vrrp.Script{Fall: 1, Rise: 2, InitFail: true}, "++", "-+", true},
		{"zero is one", vrrp.Script{}, "+-+", "+-+", false},
	} {
		s := initial(tc.c)
		if s.Known != tc.initFail || s.Up {
			t.Errorf("%s: begins as %+v", tc.name, s)
		}
		got := ""
		for _, r := range tc.results {
			s = s.next(tc.c, r == '+', "x")
			got += map[string]string{"ok": "+", "failed": "-", "unknown": "?"}[s.Word()]
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestRate(t *testing.T) {
	up, down, unknown := ScriptState{Known: true, Up: true}, ScriptState{Known: true}, ScriptState{}
	w := func(n int) *int { return &n }
	for _, tc := range []struct {
		name    string
		base    int
		weight  int
		reverse bool
		track   vrrp.Track
		state   ScriptState
		want    int
		fault   bool
		pending bool
	}{
		{"negative, up", 100, -60, false, vrrp.Track{}, up, 100, false, false},
		{"negative, down", 100, -60, false, vrrp.Track{}, down, 40, false, false},
		{"negative, unknown", 100, -60, false, vrrp.Track{}, unknown, 100, false, false},
		{"positive, up", 100, 20, false, vrrp.Track{}, up, 120, false, false},
		{"positive, down", 100, 20, false, vrrp.Track{}, down, 100, false, false},
		{"positive, unknown", 100, 20, false, vrrp.Track{}, unknown, 100, false, false},
		{"reverse", 100, 20, true, vrrp.Track{}, down, 120, false, false},
		{"reverse twice", 100, 20, true, vrrp.Track{Reverse: true}, up, 120, false, false},
		{"override", 100, 20, false, vrrp.Track{Weight: w(-5)}, down, 95, false, false},
		{"clamped below", 10, -253, false, vrrp.Track{}, down, 1, false, false},
		{"clamped above", 200, 253, false, vrrp.Track{}, up, 254, false, false},
		{"owner ignores", 255, -60, false, vrrp.Track{}, down, 255, false, false},
		{"fault", 100, 0, false, vrrp.Track{}, down, 100, true, false},
		{"no fault", 100, 0, false, vrrp.Track{}, up, 100, false, false},
		{"fault reversed", 100, 0, true, vrrp.Track{}, up, 100, true, false},
		{"waits", 100, 0, false, vrrp.Track{}, unknown, 100, false, true},
		{"owner's fault", 255, 0, false, vrrp.Track{}, down, 255, true, false},
	} {
		tc.track.Name = "chk"
		in := vrrp.Instance{Priority: tc.base, TrackScripts: []vrrp.Track{tc.track, {Name: "nobody"}}}
		r := Rate(in, map[string]vrrp.Script{"chk": {Weight: tc.weight, Reverse: tc.reverse}},
			func(string) ScriptState { return tc.state }, func(string) error { return nil })
		if r.Priority != tc.want || (r.Fault != "") != tc.fault || r.Pending != tc.pending || len(r.Weights) != 1 {
			t.Errorf("%s: %+v", tc.name, r)
		}
	}
}

func TestRateInterfaces(t *testing.T) {
	in := vrrp.Instance{Priority: 100, TrackInterfaces: []vrrp.TrackInterface{
		{Name: "up", Weight: 10}, {Name: "down", Weight: -20}, {Name: "down", Weight: 5, Reverse: true},
	}}
	usable := func(dev string) error {
		if dev == "down" {
			return errors.New("no carrier")
		}
		return nil
	}
	r := Rate(in, nil, nil, usable)
	if r.Priority != 95 || r.Fault != "" || r.Weights[1].Note != "no carrier" {
		t.Errorf("%+v", r)
	}
	in.TrackInterfaces[1].Weight = 0
	if r := Rate(in, nil, nil, usable); r.Fault == "" {
		t.Error("weight 0 is no FAULT")
	}
}

// TestTracker: one runner a script, starts an interval apart, states that stay, changes told once.
func TestTracker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs, changes, running atomic.Int64
		var fail atomic.Bool
		tr := New(Options{
			Changed: func() { changes.Add(1) },
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
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = tr.Run(ctx) }()
		scripts := map[string]vrrp.Script{"chk": {Name: "chk", Interval: time.Second, Fall: 2, Rise: 1}}
		tr.Apply(scripts, "nobody")
		time.Sleep(50 * time.Millisecond)
		if tr.State("chk").Known {
			t.Error("known before the first result")
		}
		time.Sleep(3 * time.Second)
		if n := runs.Load(); n != 4 {
			t.Errorf("%d runs in three seconds", n)
		}
		if s := tr.State("chk"); !s.Up || changes.Load() != 1 {
			t.Errorf("%+v, told %d times", s, changes.Load())
		}
		fail.Store(true)
		time.Sleep(2 * time.Second)
		if s := tr.State("chk"); s.Up || s.Word() != "failed" {
			t.Errorf("%+v after two failures", s)
		}
		tr.Apply(map[string]vrrp.Script{"chk": {Name: "chk", Interval: time.Second, Fall: 3, Rise: 1}}, "nobody")
		synctest.Wait()
		if s := tr.State("chk"); !s.Known || s.Up {
			t.Errorf("%+v: forgotten by a new configuration", s)
		}
		tr.Apply(nil, "")
		synctest.Wait()
		n := runs.Load()
		time.Sleep(5 * time.Second)
		if runs.Load() != n || tr.State("chk").Known {
			t.Error("runs on though nobody tracks it")
		}
		cancel()
		<-done
	})
}
