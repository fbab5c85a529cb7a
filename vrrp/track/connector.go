package track

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The kernel's process connector: linux/connector.h and linux/cn_proc.h, which x/sys does not carry.
const (
	cnIdxProc, cnValProc = 1, 1
	procMcastListen      = 1
	procEventNone        = 0x00000000
	procEventFork        = 0x00000001
	procEventExec        = 0x00000002
	procEventComm        = 0x00000200
	procEventExit        = 0x80000000

	cnMsgLen     = 20 // idx, val, seq, ack, len, flags
	procEventLen = 16 // what, cpu, timestamp
	ackBudget    = 500
)

// connector hears of processes that begin, end and turn into others.
type connector struct{ fd int }

// newConnector fails where the kernel has none, and outside the first network, user and pid namespaces: there nobody
// answers.
func newConnector() (*connector, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("process connector: socket: %w", err)
	}
	c := &connector{fd}
	if err := c.listen(); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("process connector: %w", err)
	}
	return c, nil
}

func (c *connector) listen() error {
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: cnIdxProc}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20) // the default does; more loses less
	msg := make([]byte, unix.SizeofNlMsghdr+cnMsgLen+4)
	binary.NativeEndian.PutUint32(msg[0:], uint32(len(msg)))
	binary.NativeEndian.PutUint16(msg[4:], unix.NLMSG_DONE)
	binary.NativeEndian.PutUint32(msg[16:], cnIdxProc)
	binary.NativeEndian.PutUint32(msg[20:], cnValProc)
	binary.NativeEndian.PutUint16(msg[32:], 4)
	binary.NativeEndian.PutUint32(msg[36:], procMcastListen)
	if err := unix.Sendto(c.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return c.acknowledged()
}

// acknowledged waits for the kernel's word that it will tell.
func (c *connector) acknowledged() error {
	buf := make([]byte, 4096)
	for {
		fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, ackBudget)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return errors.Join(errors.New("no answer"), err)
		}
		ok, errno := false, unix.Errno(0)
		if _, err := c.read(buf, func(what uint32, data []byte) {
			if what == procEventNone && len(data) >= 4 {
				ok, errno = true, unix.Errno(binary.NativeEndian.Uint32(data))
			}
		}); err != nil {
			return err
		}
		if ok {
			if errno != 0 {
				return fmt.Errorf("refused: %w", errno)
			}
			return nil
		}
	}
}

// read hands the events of one datagram to each. more is false when there was none.
func (c *connector) read(buf []byte, each func(what uint32, data []byte)) (more bool, err error) {
	n, from, err := unix.Recvfrom(c.fd, buf, 0)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, err
	}
	if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
		return true, nil // not the kernel
	}
	eachEvent(buf[:n], each)
	return true, nil
}

// eachEvent walks through netlink messages.
func eachEvent(b []byte, each func(what uint32, data []byte)) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return
		}
		body := b[unix.SizeofNlMsghdr:size]
		if len(body) >= cnMsgLen+procEventLen && binary.NativeEndian.Uint32(body) == cnIdxProc {
			event := body[cnMsgLen:]
			each(binary.NativeEndian.Uint32(event), event[procEventLen:])
		}
		b = b[min((size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(b)):]
	}
}
