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
	_ = c.leaveOutThreads()                                                   // it only saves work
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

// leaveOutThreads has the kernel keep to itself what happens to threads, and what else is of no use here: on a machine that
// works that is most of all events.
func (c *connector) leaveOutThreads() error {
	const (
		what  = unix.SizeofNlMsghdr + cnMsgLen
		data  = what + procEventLen
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	)
	// The filter loads in network order what the kernel wrote in its own.
	own := func(n uint32) uint32 { return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, n)) }
	filter := []unix.SockFilter{
		{Code: load, K: what},
		{Code: equal, K: own(procEventNone), Jt: 13}, // accept
		{Code: equal, K: own(procEventExec), Jt: 12}, // accept
		{Code: equal, K: own(procEventFork), Jt: 3},  // the child's
		{Code: equal, K: own(procEventComm), Jt: 6},  // its own
		{Code: equal, K: own(procEventExit), Jt: 5},  // its own
		{Code: unix.BPF_RET | unix.BPF_K},
		{Code: load, K: data + 8}, // 7: pid and tgid of a child
		{Code: unix.BPF_MISC | unix.BPF_TAX},
		{Code: load, K: data + 12},
		{Code: unix.BPF_JMP | unix.BPF_JA, K: 3},
		{Code: load, K: data}, // 11: its own
		{Code: unix.BPF_MISC | unix.BPF_TAX},
		{Code: load, K: data + 4},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_X, Jf: 1}, // 14: a thread's are not the same
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},         // 15: accept
		{Code: unix.BPF_RET | unix.BPF_K},
	}
	return unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
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
