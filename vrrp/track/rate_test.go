package track

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/vrrp"
)

// fixed is what is so, by name.
type fixed struct {
	scripts   map[string]ScriptState
	processes map[string]ProcessState
	files     map[string]FileState
	down      map[string]bool
}

func (f fixed) Script(name string) ScriptState   { return f.scripts[name] }
func (f fixed) Process(name string) ProcessState { return f.processes[name] }
func (f fixed) File(name string) FileState       { return f.files[name] }
func (f fixed) Interface(dev string) error {
	if f.down[dev] {
		return errors.New("no carrier")
	}
	return nil
}

func w(n int) *int { return &n }

// TestRateScripts: the priorities that keepalived 2.2.7 showed for the same lines.
func TestRateScripts(t *testing.T) {
	up, down, unknown := ScriptState{Known: true, Up: true}, ScriptState{Known: true}, ScriptState{}
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
		{"positive reversed, up", 100, 10, true, vrrp.Track{}, up, 90, false, false},
		{"positive reversed, down", 100, 10, true, vrrp.Track{}, down, 100, false, false},
		{"negative reversed, up", 100, -10, true, vrrp.Track{}, up, 100, false, false},
		{"negative reversed, down", 100, -10, true, vrrp.Track{}, down, 110, false, false},
		{"reversed twice", 100, 20, true, vrrp.Track{Reverse: true}, up, 80, false, false},
		{"noreverse", 100, 20, true, vrrp.Track{NoReverse: true}, up, 120, false, false},
		{"override", 100, 20, false, vrrp.Track{Weight: w(-5)}, down, 95, false, false},
		{"override by 0", 100, 20, false, vrrp.Track{Weight: w(0)}, down, 100, true, false},
		{"clamped below", 10, -253, false, vrrp.Track{}, down, 1, false, false},
		{"clamped above", 200, 253, false, vrrp.Track{}, up, 254, false, false},
		{"owner ignores", 255, -60, false, vrrp.Track{}, down, 255, false, false},
		{"fault", 100, 0, false, vrrp.Track{}, down, 100, true, false},
		{"no fault", 100, 0, false, vrrp.Track{}, up, 100, false, false},
		{"fault reversed", 100, 0, true, vrrp.Track{}, up, 100, true, false},
		{"no fault reversed", 100, 0, true, vrrp.Track{}, down, 100, false, false},
		{"waits", 100, 0, false, vrrp.Track{}, unknown, 100, false, true},
		{"owner's fault", 255, 0, false, vrrp.Track{}, down, 255, true, false},
	} {
		tc.track.Name = "chk"
		in := vrrp.Instance{Priority: tc.base, TrackScripts: []vrrp.Track{tc.track, {Name: "nobody"}}}
		known := NewKnown(vrrp.Config{Scripts: []vrrp.Script{{Name: "chk", Weight: tc.weight, Reverse: tc.reverse}}})
		r := Rate(in, nil, known, fixed{scripts: map[string]ScriptState{"chk": tc.state}})
		if r.Priority != tc.want || (r.Fault != "") != tc.fault || r.Pending != tc.pending || len(r.Weights) != 1 {
			t.Errorf("%s: %+v", tc.name, r)
		}
	}
}

func TestRateInterfaces(t *testing.T) {
	in := vrrp.Instance{Priority: 100, TrackInterfaces: []vrrp.TrackInterface{
		{Name: "up", Weight: 10}, {Name: "down", Weight: -20}, {Name: "down", Weight: -5, Reverse: true},
	}}
	now := fixed{down: map[string]bool{"down": true}}
	r := Rate(in, nil, Known{}, now)
	if r.Priority != 95 || r.Fault != "" || r.Weights[1].Note != "no carrier" {
		t.Errorf("%+v", r)
	}
	in.TrackInterfaces[1].Weight = 0
	if r := Rate(in, nil, Known{}, now); r.Fault != "tracked interface down: no carrier" {
		t.Errorf("weight 0: %+v", r)
	}
}

func TestRateFiles(t *testing.T) {
	for _, tc := range []struct {
		name    string
		value   int
		weight  int
		reverse bool
		state   FileState
		want    int
		fault   bool
	}{
		{"added", 10, 1, false, FileState{Known: true}, 110, false},
		{"times the weight", 10, 2, false, FileState{Known: true}, 120, false},
		{"reversed", 10, 2, true, FileState{Known: true}, 80, false},
		{"negative value", -50, 1, false, FileState{Known: true}, 50, false},
		{"negative weight", 50, -1, false, FileState{Known: true}, 50, false},
		{"weight 0 and 0", 0, 0, false, FileState{Known: true}, 100, false},
		{"weight 0 and a value", 10, 0, false, FileState{Known: true}, 100, true},
		{"at the bound", -253, 1, false, FileState{Known: true}, 1, false},
		{"beyond it", -254, 1, false, FileState{Known: true}, 100, true},
		{"far beyond it", 10, -30, false, FileState{Known: true}, 100, true},
		{"above", 2000000000, 2000000000, false, FileState{Known: true}, 254, false},
		{"not read yet", 10, 1, false, FileState{}, 100, false},
	} {
		tc.state.Value = tc.value
		in := vrrp.Instance{Priority: 100, TrackFiles: []vrrp.Track{{Name: "f"}}}
		known := NewKnown(vrrp.Config{Files: []vrrp.File{{Name: "f", Weight: tc.weight, Reverse: tc.reverse}}})
		r := Rate(in, nil, known, fixed{files: map[string]FileState{"f": tc.state}})
		if r.Priority != tc.want || (r.Fault != "") != tc.fault || len(r.Weights) != 1 {
			t.Errorf("%s: %+v", tc.name, r)
		}
	}
}

func TestRateProcesses(t *testing.T) {
	in := vrrp.Instance{Priority: 100, TrackProcesses: []vrrp.Track{{Name: "p"}, {Name: "p", Weight: w(0)}}}
	known := NewKnown(vrrp.Config{Processes: []vrrp.Process{{Name: "p", Weight: -7}}})
	r := Rate(in, nil, known, fixed{processes: map[string]ProcessState{"p": {Known: true, Note: "0 running, quorum 1"}}})
	if r.Priority != 93 || r.Fault != "process p: 0 running, quorum 1" {
		t.Errorf("%+v", r)
	}
}

// TestRateSyncGroup: what keepalived 2.2.7 did with the same groups.
func TestRateSyncGroup(t *testing.T) {
	known := NewKnown(vrrp.Config{Scripts: []vrrp.Script{{Name: "ok"}, {Name: "bad"}}})
	now := fixed{scripts: map[string]ScriptState{"ok": {Known: true, Up: true}, "bad": {Known: true, Note: "exited with status 1"}}}
	tracking := func(name string, weight int) []vrrp.Track { return []vrrp.Track{{Name: name, Weight: &weight}} }
	for _, tc := range []struct {
		name   string
		member []vrrp.Track
		group  vrrp.SyncGroup
		want   int
		fault  string
	}{
		{"a member's weight is ignored", tracking("ok", 10), vrrp.SyncGroup{}, 100, ""},
		{"a member's weight 0 is not", tracking("bad", 0), vrrp.SyncGroup{}, 100, "script bad: exited with status 1"},
		{"unless sync_group_tracking_weight", tracking("ok", 10), vrrp.SyncGroup{TrackingWeight: true}, 110, ""},
		{"the group's weight counts for members", nil, vrrp.SyncGroup{TrackScripts: tracking("ok", 13)}, 113, ""},
		{"both track it", tracking("ok", 10), vrrp.SyncGroup{TrackScripts: tracking("ok", 11), TrackingWeight: true}, 111, ""},
		{"the group's fault", nil, vrrp.SyncGroup{TrackScripts: tracking("bad", 0)}, 100, "script bad: exited with status 1 of vrrp_sync_group VG"},
	} {
		tc.group.Name = "VG"
		r := Rate(vrrp.Instance{Priority: 100, TrackScripts: tc.member}, &tc.group, known, now)
		if r.Priority != tc.want || r.Fault != tc.fault {
			t.Errorf("%s: %+v", tc.name, r)
		}
		if len(r.Weights) != len(tc.member)+len(tc.group.TrackScripts) {
			t.Errorf("%s: not every tracker is named: %+v", tc.name, r.Weights)
		}
	}
}

func TestRateGroup(t *testing.T) {
	r := RateGroup([]Rating{{Priority: 110}, {Priority: 90, Weights: []Weight{{Cause: "x"}}, Pending: true}, {Priority: 120, Fault: "y", Faults: []string{"y"}}})
	if r.Priority != 90 || len(r.Weights) != 1 || r.Fault != "y" || !r.Pending {
		t.Errorf("%+v", r)
	}
	if r := RateGroup(nil); r.Fault != "" || r.Pending {
		t.Errorf("no members: %+v", r)
	}
}

// TestRateAddsUp: whatever is tracked, the priority is what the named causes make of the base, within its bounds, and the
// causes are complete.
func TestRateAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.IntRange(-300, 300)
		c, now := vrrp.Config{}, fixed{scripts: map[string]ScriptState{}, files: map[string]FileState{}, down: map[string]bool{}}
		in := vrrp.Instance{Priority: rapid.IntRange(1, 255).Draw(t, "base")}
		for i := range rapid.IntRange(0, 5).Draw(t, "n") {
			name := strings.Repeat("x", i+1)
			known := rapid.Bool().Draw(t, "known")
			c.Scripts = append(c.Scripts, vrrp.Script{Name: name, Weight: weight.Draw(t, "w"), Reverse: rapid.Bool().Draw(t, "r")})
			c.Files = append(c.Files, vrrp.File{Name: name, Weight: weight.Draw(t, "w")})
			now.scripts[name] = ScriptState{Known: known, Up: rapid.Bool().Draw(t, "up")}
			now.files[name] = FileState{Known: known, Value: int(rapid.Int32().Draw(t, "v"))}
			now.down[name] = rapid.Bool().Draw(t, "down")
			in.TrackScripts = append(in.TrackScripts, vrrp.Track{Name: name})
			in.TrackFiles = append(in.TrackFiles, vrrp.Track{Name: name})
			in.TrackInterfaces = append(in.TrackInterfaces, vrrp.TrackInterface{Name: name, Weight: weight.Draw(t, "w")})
		}
		r := Rate(in, nil, NewKnown(c), now)
		sum := in.Priority
		for _, w := range r.Weights {
			sum += w.Weight
			if w.Weight < -weightMax || w.Weight > weightMax {
				t.Fatalf("a weight of %d", w.Weight)
			}
		}
		want := min(max(sum, 1), 254)
		if in.Priority == 255 {
			want = 255
		}
		if r.Priority != want || len(r.Weights) != 3*len(in.TrackScripts) || (r.Fault == "") != (len(r.Faults) == 0) {
			t.Fatalf("base %d: %+v", in.Priority, r)
		}
		if len(r.Faults) > 0 && !slices.ContainsFunc(r.Weights, func(w Weight) bool { return w.State != "unknown" }) {
			t.Fatalf("FAULT of nothing known: %+v", r)
		}
	})
}
