package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// batchMax bounds the requests of one system call, so that their acknowledgements fit in a default receive buffer.
const batchMax = 64

// recvTimeout bounds the wait for an acknowledgement. The kernel queues it before sendto returns; only a dump can wait.
var recvTimeout = unix.Timeval{Sec: 2}

// conn is a NETLINK_ROUTE socket that sends several requests in one system call. Owned by one goroutine at a time.
type conn struct {
	fd     int
	pid    uint32
	seq    uint32
	out    []byte // requests under construction
	starts []int  // where each of them begins
	in     []byte
}

// dial opens the socket. Groups are multicast groups (RTNLGRP_*) to listen to.
func dial(groups ...int) (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("netlink socket", err)
	}
	c := &conn{fd: fd, in: make([]byte, 16<<10)}
	if err := c.setup(groups); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return c, nil
}

func (c *conn) setup(groups []int) error {
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("netlink bind", err)
	}
	sa, err := unix.Getsockname(c.fd)
	if err != nil {
		return os.NewSyscallError("netlink getsockname", err)
	}
	c.pid = sa.(*unix.SockaddrNetlink).Pid
	for _, g := range groups {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			return os.NewSyscallError("netlink membership", err)
		}
	}
	// Both only make errors shorter and better worded; old kernels know neither.
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &recvTimeout); err != nil {
		return os.NewSyscallError("netlink timeout", err)
	}
	return nil
}

func (c *conn) close() error { return unix.Close(c.fd) }

// begin starts a request in the batch; the returned offset goes to end.
func (c *conn) begin(kind, flags uint16) int {
	at := len(c.out)
	c.seq++
	c.starts = append(c.starts, at)
	c.out = binary.NativeEndian.AppendUint32(c.out, 0)
	c.out = binary.NativeEndian.AppendUint16(c.out, kind)
	c.out = binary.NativeEndian.AppendUint16(c.out, unix.NLM_F_REQUEST|flags)
	c.out = binary.NativeEndian.AppendUint32(c.out, c.seq)
	c.out = binary.NativeEndian.AppendUint32(c.out, c.pid)
	return at
}

func (c *conn) end(at int) {
	c.pad()
	binary.NativeEndian.PutUint32(c.out[at:], uint32(len(c.out)-at))
}

func (c *conn) pad() {
	for len(c.out)%unix.NLMSG_ALIGNTO != 0 {
		c.out = append(c.out, 0)
	}
}

// attr appends one attribute.
func (c *conn) attr(kind uint16, value []byte) {
	c.out = binary.NativeEndian.AppendUint16(c.out, uint16(unix.SizeofRtAttr+len(value)))
	c.out = binary.NativeEndian.AppendUint16(c.out, kind)
	c.out = append(c.out, value...)
	c.pad()
}

// nest starts an attribute that holds attributes; the returned offset goes to unnest.
func (c *conn) nest(kind uint16) int {
	at := len(c.out)
	c.out = binary.NativeEndian.AppendUint16(c.out, 0)
	c.out = binary.NativeEndian.AppendUint16(c.out, kind)
	return at
}

func (c *conn) unnest(at int) { binary.NativeEndian.PutUint16(c.out[at:], uint16(len(c.out)-at)) }

// reset forgets a batch that was begun.
func (c *conn) reset() { c.out, c.starts = c.out[:0], c.starts[:0] }

// flush sends the batch and returns one error per request in their order (nil where it succeeded). The second value is a
// failure of the socket itself: nothing is known about the unanswered requests then.
func (c *conn) flush() ([]error, error) {
	defer c.reset()
	errs := make([]error, len(c.starts))
	for i := range errs {
		errs[i] = errUnanswered
	}
	first := c.seq - uint32(len(c.starts)) + 1
	for from := 0; from < len(c.starts); from += batchMax {
		to, end := from+batchMax, len(c.out)
		if to < len(c.starts) {
			end = c.starts[to]
		} else {
			to = len(c.starts)
		}
		if err := c.exchange(c.out[c.starts[from]:end], first+uint32(from), errs[from:to]); err != nil {
			return errs, err
		}
	}
	return errs, nil
}

// exchange sends requests, the first of which has the number first, and waits for all their answers.
func (c *conn) exchange(requests []byte, first uint32, errs []error) error {
	if err := unix.Sendto(c.fd, requests, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("netlink send", err)
	}
	for answered := 0; answered < len(errs); {
		err := c.receive(func(m message) {
			i := m.seq - first
			if m.kind != unix.NLMSG_ERROR || i >= uint32(len(errs)) || errs[i] != errUnanswered {
				return // the late answer of a request that was given up
			}
			errs[i] = m.err()
			answered++
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var errUnanswered = errors.New("netlink request unanswered")

// message is one netlink message; data is valid until the next receive.
type message struct {
	kind, flags uint16
	seq, pid    uint32
	data        []byte
}

// err reads the status an NLMSG_ERROR message carries, with the kernel's own words where it sends some.
func (m message) err() error {
	if len(m.data) < 4 {
		return errors.New("short netlink acknowledgement")
	}
	code := int32(binary.NativeEndian.Uint32(m.data))
	if code == 0 {
		return nil
	}
	errno := unix.Errno(-code)
	const echoed = 4 + unix.SizeofNlMsghdr
	if m.flags&unix.NLM_F_ACK_TLVS == 0 || m.flags&unix.NLM_F_CAPPED == 0 || len(m.data) < echoed {
		return errno
	}
	text := ""
	attrs(m.data[echoed:], func(kind uint16, v []byte) {
		if kind == unix.NLMSGERR_ATTR_MSG {
			text = unix.ByteSliceToString(v)
		}
	})
	if text == "" {
		return errno
	}
	return fmt.Errorf("%w: %s", errno, text)
}

// receive waits for one datagram of the kernel and hands its messages on.
func (c *conn) receive(each func(message)) error {
	for {
		n, from, err := unix.Recvfrom(c.fd, c.in, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return os.NewSyscallError("netlink receive", err)
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue // only the kernel is believed
		}
		messages(c.in[:n], each)
		return nil
	}
}

// discard throws away what is queued. Under a flood it gives up after a while: what is left then is told twice.
func (c *conn) discard() {
	const datagrams = 1 << 16
	for range datagrams {
		if _, _, err := unix.Recvfrom(c.fd, c.in, unix.MSG_DONTWAIT); err == unix.EAGAIN {
			return
		}
	}
}

// messages splits a datagram; what is malformed ends it.
func messages(b []byte, each func(message)) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return
		}
		each(message{
			kind:  binary.NativeEndian.Uint16(b[4:]),
			flags: binary.NativeEndian.Uint16(b[6:]),
			seq:   binary.NativeEndian.Uint32(b[8:]),
			pid:   binary.NativeEndian.Uint32(b[12:]),
			data:  b[unix.SizeofNlMsghdr:size],
		})
		b = b[min(align(size), len(b)):]
	}
}

// attrs splits a run of attributes; what is malformed ends it.
func attrs(b []byte, each func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		each(kind, b[unix.SizeofRtAttr:size])
		b = b[min(align(size), len(b)):]
	}
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// errInterrupted: the set changed during a dump, which may have missed entries.
var errInterrupted = errors.New("netlink dump interrupted by a change")

// dump asks for everything of a kind (RTM_GETLINK, RTM_GETADDR) and hands each entry on. After errInterrupted what it
// handed on is to be forgotten.
func (c *conn) dump(kind uint16, body []byte, each func(message)) error {
	c.reset()
	at := c.begin(kind, unix.NLM_F_DUMP)
	c.out = append(c.out, body...)
	c.end(at)
	seq := c.seq
	err := unix.Sendto(c.fd, c.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	c.reset()
	if err != nil {
		return os.NewSyscallError("netlink send", err)
	}
	whole, done := true, false
	var failed error
	for !done {
		err := c.receive(func(m message) {
			if m.seq != seq {
				return
			}
			if m.flags&unix.NLM_F_DUMP_INTR != 0 {
				whole = false
			}
			switch m.kind {
			case unix.NLMSG_DONE:
				done = true
			case unix.NLMSG_ERROR:
				done, failed = true, m.err()
			default:
				each(m)
			}
		})
		if err != nil {
			return err
		}
	}
	if failed == nil && !whole {
		return errInterrupted
	}
	return failed
}
