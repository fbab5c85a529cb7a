package drill

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// script is a tracked script that succeeds while /run/ok is there.
func script(weight int) string {
	return fmt.Sprintf(`vrrp_script chk {
  script "/usr/bin/test -e /run/ok"
  interval 1
  weight %d
  fall 2
  rise 1
  user root
}
`, weight)
}

const tracked = "track_script {\n    chk\n  }"

// scripted starts a with priority 100 and a script of this weight, and b with 50.
func scripted(t *testing.T, s *segment, a, b role, weight int, words string) (*daemon, *daemon) {
	t.Helper()
	x := s.box("a", a)
	x.write("ok", "", 0o644)
	x.again(conf(settings{priority: 100, before: script(weight), words: tracked + "\n  " + words}))
	s.owned("a")
	y := s.start("b", b, conf(settings{priority: 50, words: words}))
	backup := y.said(y.began, "(VI_1) Entering BACKUP STATE")
	s.wire.await(backup, "advert", 1, by("a"))
	return x, y
}

// TestScenario12ScriptWeight is scenario 12: two failed runs lower the priority in the adverts, the other no longer obeys
// them and takes over; when the script is well again the first preempts.
func TestScenario12ScriptWeight(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		x, y := scripted(t, s, a, b, -60, "")
		failing := time.Now()
		x.remove("ok")
		changed := x.said(failing, "(VI_1) Changing effective priority from 100 to 40")
		if d := changed.Sub(failing); d < time.Second-toleranceOf(t) || d > 2*time.Second+toleranceOf(t) {
			t.Errorf("two runs a second apart failed after %v", d)
		}
		lowered := s.wire.await(failing, "advert of priority 40", 1, at("a", 40))
		last := s.wire.last("a", lowered.at) // the latest that b obeys
		if last.priority != 100 || lowered.at.Sub(changed) > time.Second+toleranceOf(t) {
			t.Errorf("priority %d before 40, which came %v after the change", last.priority, lowered.at.Sub(changed))
		}
		took(t, "take-over", last.at, s.wire.first("b", failing).at, masterDown(50))
		s.owned("b")
		obeyed := s.wire.await(time.Now(), "advert", 1, by("b"))
		x.write("ok", "", 0o644)
		changed = x.said(obeyed.at, "(VI_1) Changing effective priority from 40 to 100")
		// Counted from the latest advert before the change, with the new skew.
		last = s.wire.last("b", changed)
		took(t, "coming back", last.at, s.wire.first("a", changed).at, masterDown(100))
		s.owned("a")
		y.said(changed, "(VI_1) Master received advert from 10.91.0.1 with higher priority 100, ours 50")
	})
}

// TestScenario13ScriptFault is scenario 13: a script of weight 0 that fails is FAULT: two adverts of priority 0, notified,
// and the other after its skew.
func TestScenario13ScriptFault(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		x, _ := scripted(t, s, a, b, 0, "")
		failing := time.Now()
		x.remove("ok")
		fault := x.said(failing, "(VI_1) Entering FAULT STATE")
		first := s.wire.first("b", failing)
		zeros := s.wire.all(failing, at("a", 0))
		if len(zeros) != 2 {
			t.Fatalf("%d adverts of priority 0, want 2", len(zeros))
		}
		took(t, "take-over", zeros[1].at, first.at, skew(50))
		within(t, "notified", fault.Add(-20*time.Millisecond), x.told(failing, "any INSTANCE VI_1 FAULT 100"), 100*time.Millisecond)
		s.owned("b")
		x.write("ok", "", 0o644)
		well := x.said(fault, "(VI_1) Entering BACKUP STATE")
		took(t, "coming back", well, s.wire.first("a", well).at, masterDown(100))
		s.owned("a")
	})
}

// TestScenario14WeightTooSmall is scenario 14: a weight that does not reach below the other's priority moves nothing, and
// the linter says so.
func TestScenario14WeightTooSmall(t *testing.T) {
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		x, y := scripted(t, s, a, b, -10, "")
		failing := time.Now()
		x.remove("ok")
		x.said(failing, "(VI_1) Changing effective priority from 100 to 90")
		s.wire.await(failing, "advert of priority 90", 5, at("a", 90))
		s.silent("b", y.began)
		s.alone("a", 0)
	})
	t.Run("lint", func(t *testing.T) {
		linted(t, "[weight-never-fails-over]", settings{priority: 100, before: script(-10), words: tracked}, settings{priority: 50, before: script(-10), words: tracked})
	})
}

// TestScenario26NoPreemptWeight is scenario 26: with nopreempt on both a weight moves nothing, whatever it leaves of the
// priority; the linter says so. Stopped, the master is followed at once.
func TestScenario26NoPreemptWeight(t *testing.T) {
	const words = "state BACKUP\n  nopreempt"
	pairs(t, func(t *testing.T, a, b role) {
		s := newSegment(t)
		x, y := scripted(t, s, a, b, -60, words)
		failing := time.Now()
		x.remove("ok")
		s.wire.await(failing, "advert of priority 40", 6, at("a", 40))
		s.silent("b", y.began)
		s.alone("a", 0)
		stopped := x.stop()
		zero := s.wire.await(stopped.Add(-time.Second), "priority 0", 1, at("a", 0))
		took(t, "take-over", zero.at, s.wire.first("b", stopped).at, skew(50))
		s.owned("b")
	})
	t.Run("lint", func(t *testing.T) {
		linted(t, "[nopreempt-weight]", settings{priority: 100, before: script(-60), words: tracked + "\n  " + words}, settings{priority: 50, before: script(-60), words: tracked + "\n  " + words})
	})
}

// linted fails unless `reeve validate` warns with this rule of the two files, and of nothing like it when the script
// is not tracked.
func linted(t *testing.T, rule string, a, b settings) {
	t.Helper()
	dir := t.TempDir()
	validate := func() string {
		argv := []string{"validate"}
		for name, c := range map[string]settings{"lb1": a, "lb2": b} {
			file := filepath.Join(dir, name+".conf")
			if err := os.WriteFile(file, []byte(conf(c)), 0o600); err != nil {
				t.Fatal(err)
			}
			argv = append(argv, name+"="+file)
		}
		out, err := exec.CommandContext(t.Context(), lab.Program(), argv...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if out := validate(); !strings.Contains(out, rule) {
		t.Errorf("no %s in: %s", rule, out)
	}
	a.words, b.words = strings.Replace(a.words, tracked, "", 1), strings.Replace(b.words, tracked, "", 1)
	if out := validate(); strings.Contains(out, rule) {
		t.Errorf("%s without cause: %s", rule, out)
	}
}
