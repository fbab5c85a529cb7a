package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// sendBuffer holds a few hundred pets: the guard may stall for seconds before one is held back.
	sendBuffer = 256 << 10
	// messageCost is what the kernel charges for a message beyond twice its length: its own structures, and a buffer
	// rounded up to a power of two.
	messageCost = 1 << 10
	// ringShare is the part of the socket's room, as a fraction of it, that may be in use before the guard is rung.
	ringShare = 4
)

// link is the agent's end of what ties it to a guard: the socket, and the bell that wakes the guard to read it. What is
// sent without ringing waits there until the guard looks by itself. Go's poller watches neither, only
// the ear, which hears that something can be read: a guard that takes messages in must not wake the agent by making room.
// The client's lock guards all of it but the ear.
type link struct {
	sock, bell int
	ear        *ear // for the socket
	pid        int
	room       int // in the socket, in bytes as the kernel counts them
	used       int // of it, by what was sent since the last ring: an upper bound
}

// newLink takes the descriptors over, also when it fails.
func newLink(sock, bell int) (*link, error) {
	l := &link{sock: sock, bell: bell, room: sendBuffer}
	_ = unix.SetsockoptInt(sock, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer) // a smaller one only rings sooner
	if n, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, unix.SO_SNDBUF); err == nil {
		l.room = n
	}
	ear, err := newEar(interest{sock, unix.EPOLLIN})
	if err != nil {
		unix.Close(sock)
		unix.Close(bell)
		return nil, err
	}
	l.ear = ear
	return l, nil
}

// close ends the link; a wait of its ear returns.
func (l *link) close() {
	l.ear.file.Close()
	unix.Close(l.sock)
	unix.Close(l.bell)
}

// send tries once, without waiting, and reports whether the socket took the message. It rings only when what has not
// been rung for may fill the socket before long.
func (l *link) send(b []byte) bool {
	if transmit(l.sock, b) != nil {
		return false
	}
	if l.used += messageCost + 2*len(b); l.used > l.room/ringShare {
		l.ring()
	}
	return true
}

var one = binary.NativeEndian.AppendUint64(nil, 1)

// ring wakes the guard, without telling the scheduler. The counter that it adds to lasts for ever: nobody reads it.
func (l *link) ring() {
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(l.bell), uintptr(unsafe.Pointer(&one[0])), uintptr(len(one)))
	l.used = 0
}

// greeting waits for the guard's first message, which says that it is ready, and returns its process id.
func (l *link) greeting(limit time.Time) (int, error) {
	if err := l.ear.file.SetReadDeadline(limit); err != nil {
		return 0, fmt.Errorf("start guard: %w", err)
	}
	defer l.ear.file.SetReadDeadline(time.Time{})
	b := make([]byte, 64)
	n, err := 0, error(unix.EAGAIN)
	for err == unix.EAGAIN {
		if _, err = l.ear.wait(); err == nil {
			n, err = receive(l.sock, b)
		}
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return 0, fmt.Errorf("guard did not say that it is ready: %w", err)
	}
	m, err := parse(b[:n])
	if err == nil && m.kind != kindHello {
		err = errors.New("its first message is no greeting")
	}
	if err != nil {
		return 0, fmt.Errorf("start guard: %w", err)
	}
	return m.pid, nil
}
