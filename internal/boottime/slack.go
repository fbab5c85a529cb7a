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
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	text := []byte(strconv.FormatInt(d.Nanoseconds(), 10))
	for _, t := range threads {
		// Not below task: that folder does not have it.
		if os.WriteFile(filepath.Join("/proc", t.Name(), "timerslack_ns"), text, 0) != nil {
			return
		}
	}
}
