package boottime

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Timer fires at a moment of this package's clock: a kernel timer (timerfd_create(2)), so that what ran out while the
// machine was suspended fires as soon as it wakes. The runtime's timers count another clock, and each of theirs wakes the
// runtime's watcher thread beside the one that works. Set is safe for concurrent use.
type Timer struct {
	// C gets a value after the moment last set; one that nobody has taken yet is not doubled.
	C <-chan struct{}

	c    chan struct{}
	file *os.File
	raw  syscall.RawConn
	done chan struct{}

	mu     sync.Mutex
	closed bool
	spec   unix.ItimerSpec
	settle func(fd uintptr) // made once
}

// NewTimer makes a timer that is not set. Close ends it.
func NewTimer() (*Timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	t := &Timer{c: make(chan struct{}, 1), file: os.NewFile(uintptr(fd), "timerfd"), done: make(chan struct{})}
	t.C = t.c
	if t.raw, err = t.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("timer: %w", err), t.file.Close())
	}
	t.settle = func(fd uintptr) {
		// An open timerfd takes every moment: there is no error to hand on.
		_, _, _ = unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, unix.TFD_TIMER_ABSTIME, uintptr(unsafe.Pointer(&t.spec)), 0, 0, 0)
	}
	go t.wait()
	return t, nil
}

// Set makes the timer fire at a moment, at once if that has passed, in place of the one set before.
func (t *Timer) Set(at Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.spec.Value = unix.NsecToTimespec(max(int64(at), 1)) // zero would disarm it
	_ = t.raw.Control(t.settle)
}

// Close ends the timer; it may be called once, after the last Set or beside one.
func (t *Timer) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	_ = t.file.Close()
	<-t.done
}

// wait passes on what the kernel says, until the file is closed.
func (t *Timer) wait() {
	defer close(t.done)
	var fired uint64
	try := func(fd uintptr) bool {
		for {
			// Raw, as Now is.
			_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&fired)), unsafe.Sizeof(fired))
			switch errno {
			case unix.EINTR:
				continue
			case unix.EAGAIN: // not yet, or set anew since
				return false
			}
			return true
		}
	}
	for t.raw.Read(try) == nil {
		select {
		case t.c <- struct{}{}:
		default:
		}
	}
}
