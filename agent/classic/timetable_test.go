package classic

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

var berlin = time.FixedZone("CET", 3600)

func at(text string) time.Time {
	t, err := time.ParseInLocation(timeShown, text, berlin)
	if err != nil {
		panic(err)
	}
	return t
}

func TestReloadTime(t *testing.T) {
	now := at("2026-11-21 18:00:00")
	for text, want := range map[string]struct {
		at  string
		day bool
	}{
		"18:00:05":             {"2026-11-21 18:00:05", true},
		"18:00:00":             {"2026-11-21 18:00:00", true},
		"17:59:59":             {"2026-11-22 17:59:59", true},
		"17:30:00Z":            {"2026-11-21 18:30:00", true},
		"16:30:00Z":            {"2026-11-22 17:30:00", true},
		"2026-12-01 03:00:00":  {"2026-12-01 03:00:00", false},
		"26-12-01 03:00:00":    {"2026-12-01 03:00:00", false},
		"2026-12-01 03:00:00Z": {"2026-12-01 04:00:00", false},
		"2020-01-01 00:00:00":  {"2020-01-01 00:00:00", false},
	} {
		got, day, ok := reloadTime(text, now)
		if !ok || got.Format(timeShown) != want.at || day != want.day {
			t.Errorf("%q: %v %v %v, want %+v", text, got, day, ok, want)
		}
	}
	for _, text := range []string{"", "soon", "3:00:00", " 03:00:00", "03:00:00 ", "03:00", "25:00:00", "03:00:00z", "2026-13-01 03:00:00", "2026-12-01  03:00:00", "2026-12-01T03:00:00Z", "03:00:00ZZ"} {
		if got, _, ok := reloadTime(text, now); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestTimetable: the file is followed as it comes, changes and goes; a reload that was done is not done again.
func TestTimetable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "when")
	var said []string
	tt := timetable{log: func(line string) { said = append(said, line) }}
	g := vrrp.Global{ReloadTimeFile: file}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there := func() bool { _, err := os.Stat(file); return err == nil }
	look := func(now string, wantDue bool, wantNext time.Duration, wantSaid ...string) {
		t.Helper()
		said = nil
		due, next := tt.look(g, at(now))
		if due != wantDue || next != wantNext || !slices.Equal(said, wantSaid) {
			t.Errorf("%s: due %v, next in %v, said %q", now, due, next, said)
		}
	}
	if due, next := tt.look(vrrp.Global{}, at("2026-11-21 18:00:00")); due || next != noFile {
		t.Errorf("without a file: %v %v", due, next)
	}
	look("2026-11-21 18:00:00", false, lookInterval)
	write("18:00:10\n")
	look("2026-11-21 18:00:01", false, lookInterval, "Scheduling reload for 2026-11-21 18:00:10")
	look("2026-11-21 18:00:02", false, lookInterval)
	write("2026-11-21 18:00:20\nmore\n")
	look("2026-11-21 18:00:03", false, lookInterval, "Reload time updated from 2026-11-21 18:00:10 to 2026-11-21 18:00:20")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	look("2026-11-21 18:00:04", false, lookInterval, "Cancelling reload scheduled for 2026-11-21 18:00:20")
	look("2026-11-21 18:00:30", false, lookInterval)
	write("18:01:00")
	look("2026-11-21 18:00:31", false, lookInterval, "Scheduling reload for 2026-11-21 18:01:00")
	if _, next := tt.look(g, at("2026-11-21 18:00:59").Add(900*time.Millisecond)); next != 100*time.Millisecond {
		t.Errorf("shortly before it: next in %v", next)
	}
	look("2026-11-21 18:01:00", true, lookInterval)
	if there() {
		t.Error("the file is still there")
	}
	look("2026-11-21 18:01:01", false, lookInterval)
	write("soon\n")
	look("2026-11-21 18:01:02", false, lookInterval, "Invalid reload time 'soon' specified - ignoring")
	look("2026-11-21 18:01:03", false, lookInterval)
	write("2020-01-01 10:00:00\n")
	look("2026-11-21 18:01:04", false, lookInterval, "Reload time 2020-01-01 10:00:00 is in the past - ignoring")

	g.ReloadRepeat = true
	write("18:02:00\n")
	look("2026-11-21 18:01:10", false, lookInterval, "Scheduling reload for 2026-11-21 18:02:00")
	look("2026-11-21 18:02:00", true, lookInterval, "Scheduling reload for 2026-11-22 18:02:00")
	look("2026-11-21 18:02:01", false, lookInterval)
	look("2026-11-22 18:02:00", true, lookInterval, "Scheduling reload for 2026-11-23 18:02:00")
	if !there() {
		t.Error("reload_repeat leaves the file")
	}
	write("2026-11-22 18:03:00\n") // a date does not come again
	look("2026-11-22 18:02:01", false, lookInterval, "Reload time updated from 2026-11-23 18:02:00 to 2026-11-22 18:03:00")
	look("2026-11-22 18:03:00", true, lookInterval)
	if there() {
		t.Error("the file of a date is still there")
	}
}

// TestTimetableFileStays: a file that can't be removed is obeyed once.
func TestTimetableFileStays(t *testing.T) {
	const file = "/proc/version"
	tt := timetable{log: func(string) {}, file: file, text: firstLine(file), at: at("2026-11-21 18:00:00")}
	if tt.text == "" {
		t.Fatal("no line")
	}
	for _, want := range []bool{true, false} {
		if due, _ := tt.look(vrrp.Global{ReloadTimeFile: file}, at("2026-11-21 18:00:01")); due != want {
			t.Errorf("due %v", due)
		}
	}
}

// TestReadingFile: it is there and empty meanwhile, whoever made it, and nothing that a link points to is emptied.
func TestReadingFile(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, "reload"), filepath.Join(dir, "victim")
	g := vrrp.Global{ReloadFile: &path}
	for _, before := range []string{"", "an update is on its way"} {
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		done, err := reading(g)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(path); err != nil || st.Size() != 0 {
			t.Errorf("while it is read: %v, %v", st, err)
		}
		done()
		if _, err := os.Stat(path); err == nil {
			t.Error("still there")
		}
	}
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	done, err := reading(g)
	done()
	if b, _ := os.ReadFile(victim); err == nil || string(b) != "precious" {
		t.Errorf("through a link: %v, %q", err, b)
	}
	if done, err := reading(vrrp.Global{}); err != nil {
		t.Error(err)
	} else {
		done()
	}
}
