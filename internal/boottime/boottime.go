// Package boottime is the clock that leases are counted by: CLOCK_BOOTTIME, which goes on while a machine is suspended,
// so that a node that wakes finds its leases expired. Pure cores take a Time as an argument; only drivers call Now.
package boottime

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Time is nanoseconds since the machine's boot, suspended time included. It has a meaning on one machine only: what
// crosses the network is a duration. The zero Time lies before every other.
type Time int64

// Now reads the clock. Safe for concurrent use.
func Now() Time {
	var ts unix.Timespec
	// Raw: it never blocks, and a call that the scheduler is told of wakes the runtime's watcher, each time.
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		panic("CLOCK_BOOTTIME: " + errno.Error()) // Linux >= 2.6.39 always has it
	}
	return Time(ts.Nano())
}

// Add returns t moved by d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before reports whether t lies before u.
func (t Time) Before(u Time) bool { return t < u }

// After reports whether t lies after u.
func (t Time) After(u Time) bool { return t > u }

// IsZero reports whether t was never set.
func (t Time) IsZero() bool { return t == 0 }
