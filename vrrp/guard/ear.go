package guard

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ear waits for several descriptors at once, and only for what it is to hear of them. They are in an epoll of their own,
// which Go's poller watches: a thread blocked in a system call would have to be taken over by the runtime's watcher each
// time, and the poller itself listens for everything that a descriptor has to say.
type ear struct {
	file *os.File // the epoll
	raw  syscall.RawConn
	ep   int
	evs  [3]unix.EpollEvent
	n    int
	try  func(fd uintptr) bool
}

// interest is what to hear of a descriptor. That the other end is gone is heard in any case.
type interest struct {
	fd     int
	events uint32
}

func newEar(list ...interest) (*ear, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	for _, i := range list {
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, i.fd, &unix.EpollEvent{Events: i.events, Fd: int32(i.fd)}); err != nil {
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
		return nil, fmt.Errorf("wait: %w", err)
	}
	return e.evs[:e.n], nil
}

// drop ends listening to a descriptor.
func (e *ear) drop(fd int) { _ = unix.EpollCtl(e.ep, unix.EPOLL_CTL_DEL, fd, nil) }

// receive takes a message without waiting, and without telling the scheduler. Whoever dies with something unread makes
// the kernel say so (ECONNRESET), once, ahead of what he sent before: that is read all the same, and ends as ever.
func receive(fd int, buf []byte) (int, error) {
	var err error
	for range 3 {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if err = errno; errno != unix.ECONNRESET && errno != unix.EINTR {
			break
		}
	}
	return 0, err
}

// unread is how many bytes wait in a SOCK_SEQPACKET socket, of all messages together (unix(7), SIOCINQ).
func unread(fd int) (int, error) {
	var n int32
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCINQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
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
