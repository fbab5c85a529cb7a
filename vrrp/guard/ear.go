package guard

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ear waits for the timer and the agent's socket at once. They are in an epoll of their own, which Go's poller watches: a
// thread blocked in a system call would have to be taken over by the runtime's watcher at each pet, which costs several
// times what the pet does.
type ear struct {
	file *os.File // the epoll
	raw  syscall.RawConn
	ep   int
	evs  [2]unix.EpollEvent
	n    int
	try  func(fd uintptr) bool
}

func newEar(fds ...int) (*ear, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	for _, fd := range fds {
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			unix.Close(ep)
			return nil, os.NewSyscallError("epoll_ctl", err)
		}
	}
	if err := unix.SetNonblock(ep, true); err != nil { // or NewFile does not give it to the poller
		unix.Close(ep)
		return nil, os.NewSyscallError("fcntl", err)
	}
	e := &ear{file: os.NewFile(uintptr(ep), "ear"), ep: ep}
	if e.raw, err = e.file.SyscallConn(); err != nil {
		e.file.Close()
		return nil, err
	}
	e.try = e.look
	return e, nil
}

// look asks without waiting, and without telling the scheduler. False: nothing is there.
func (e *ear) look(uintptr) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.ep), uintptr(unsafe.Pointer(&e.evs[0])), uintptr(len(e.evs)), 0, 0, 0)
	if errno != 0 {
		n = 0
	}
	e.n = int(n)
	return n > 0
}

// wait blocks until something is there and returns the descriptors.
func (e *ear) wait() ([]unix.EpollEvent, error) {
	if err := e.raw.Read(e.try); err != nil {
		return nil, fmt.Errorf("guard: wait: %w", err)
	}
	return e.evs[:e.n], nil
}

// drop ends listening to a descriptor.
func (e *ear) drop(fd int) { _ = unix.EpollCtl(e.ep, unix.EPOLL_CTL_DEL, fd, nil) }

// receive takes a message without waiting, and without telling the scheduler.
func receive(fd int, buf []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// transmit sends a message without waiting, and without telling the scheduler.
func transmit(fd int, b []byte) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
