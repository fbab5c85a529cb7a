package boottime

import (
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Slack lets the kernel wake every thread of this process that sleeps for a time up to d later than it asked, and so
// together with others; threads that begin later inherit it. It is for processes that mostly idle: the Go runtime's
// watcher sleeps in steps of 20 microseconds whenever anything else runs, which costs an idle process more than its
// work, and with a slack it sleeps through. What arrives on a socket wakes as soon as ever. Without CAP_SYS_NICE it does
// nothing: nothing but processor time depends on it.
func Slack(d time.Duration) {
	text := []byte(strconv.FormatInt(d.Nanoseconds(), 10))
	done := map[string]bool{}
	// A thread that one not yet reached begins meanwhile has the old slack: look until there is no new one.
	for again := true; again; {
		again = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return
		}
		for _, t := range threads {
			if done[t.Name()] {
				continue
			}
			done[t.Name()], again = true, true
			// Not below task: that folder does not have it. Another error says that the thread has ended.
			if os.IsPermission(os.WriteFile(filepath.Join("/proc", t.Name(), "timerslack_ns"), text, 0)) {
				return
			}
		}
	}
}
