package classic

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp"
)

const (
	lookInterval = time.Second // between two looks at reload_time_file
	noFile       = time.Hour   // where there is none
	lineMax      = 64          // bytes of its first line that are read
	timeShown    = "2006-01-02 15:04:05"
)

// timetable is reload_time_file: nodes whose configurations do not fit those that ran before reload at one moment.
type timetable struct {
	log  func(line string)
	file string
	text string    // its first line, when it was read last; "" without a file
	at   time.Time // of the reload; zero: none
	day  bool      // the file says a time of day, and no date
}

// look reads the file if there is one, and tells whether a reload is due now and how long it is until the next look.
func (t *timetable) look(g vrrp.Global, now time.Time) (due bool, next time.Duration) {
	text := ""
	if g.ReloadTimeFile != "" {
		text = firstLine(g.ReloadTimeFile)
	}
	if g.ReloadTimeFile != t.file || text != t.text {
		t.file, t.text = g.ReloadTimeFile, text
		t.plan(now)
	}
	switch {
	case t.file == "":
		return false, noFile
	case t.at.IsZero():
		return false, lookInterval
	case now.Before(t.at):
		return false, min(lookInterval, t.at.Sub(now))
	}
	if t.day && g.ReloadRepeat {
		t.at = t.at.AddDate(0, 0, 1)
		t.log("Scheduling reload for " + t.at.Format(timeShown))
		return true, lookInterval
	}
	// Without its file nobody reloads once more tomorrow, or after a restart.
	if err := os.Remove(t.file); err != nil {
		t.log("reload_time_file can't be removed: " + err.Error())
	}
	t.text, t.at = "", time.Time{}
	if left := firstLine(t.file); left != "" {
		t.text = left // else it would be done again and again
	}
	return true, lookInterval
}

// plan takes over what the file says now.
func (t *timetable) plan(now time.Time) {
	was := t.at
	t.at, t.day = time.Time{}, false
	if t.text == "" {
		if !was.IsZero() {
			t.log("Cancelling reload scheduled for " + was.Format(timeShown))
		}
		return
	}
	at, day, ok := reloadTime(t.text, now)
	switch {
	case !ok:
		t.log("Invalid reload time '" + t.text + "' specified - ignoring")
	case at.Before(now):
		t.log("Reload time " + t.text + " is in the past - ignoring")
	case was.IsZero():
		t.at, t.day = at, day
		t.log("Scheduling reload for " + at.Format(timeShown))
	default:
		t.at, t.day = at, day
		t.log("Reload time updated from " + was.Format(timeShown) + " to " + at.Format(timeShown))
	}
}

// reloadTime reads HH:MM:SS, YYYY-MM-DD HH:MM:SS or YY-MM-DD HH:MM:SS, each perhaps with a Z for UTC. A time of day (day is
// true) is the next one after now.
func reloadTime(text string, now time.Time) (at time.Time, day, ok bool) {
	zone := now.Location()
	if utc, found := strings.CutSuffix(text, "Z"); found {
		text, zone = utc, time.UTC
	}
	for _, form := range []string{timeShown, "06-01-02 15:04:05"} {
		if at, err := time.ParseInLocation(form, text, zone); err == nil && len(text) == len(form) {
			return at.In(now.Location()), false, true
		}
	}
	clock, err := time.ParseInLocation(time.TimeOnly, text, zone)
	if err != nil || len(text) != len(time.TimeOnly) {
		return time.Time{}, false, false
	}
	today := now.In(zone)
	at = time.Date(today.Year(), today.Month(), today.Day(), clock.Hour(), clock.Minute(), clock.Second(), 0, zone)
	if at.Before(now) {
		at = at.AddDate(0, 0, 1)
	}
	return at.In(now.Location()), true, true
}

// firstLine is the beginning of a file, "" if there is none. A pipe in its place holds up nobody.
func firstLine(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return ""
	}
	line, _ := bufio.NewReader(io.LimitReader(f, lineMax)).ReadString('\n')
	return strings.TrimSuffix(line, "\n")
}

// reading is reload_file: a file that is there, and empty, while the configuration is read, so that who writes the
// configuration can wait for its end. The function that it returns takes it away.
func reading(g vrrp.Global) (done func(), err error) {
	if g.ReloadFile == nil {
		return func() {}, nil
	}
	path := *g.ReloadFile
	if path == "" {
		dir := pidDir
		if g.UsePIDDir || g.InstanceName != "" || g.NetNamespace != "" {
			dir = filepath.Join(pidDir, "keepalived")
		}
		path = filepath.Join(dir, "keepalived.reload")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return func() {}, err
	}
	return func() { _ = os.Remove(path) }, f.Close() // that it is gone already is as good
}
