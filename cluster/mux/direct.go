package mux

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// direct is a TCP connection whose reads and writes, which never block, are not told to Go's scheduler. It wakes its
// watcher thread for each call it is told of, which for the small frames of an idle cluster costs more than the frames.
// All else, the waiting and the deadlines too, is net's.
type direct struct {
	*net.TCPConn
	in, out half
}

// half is one direction. The function that RawConn calls is made once.
type half struct {
	mu    sync.Mutex
	raw   syscall.RawConn
	try   func(fd uintptr) bool
	buf   []byte
	n     int
	errno syscall.Errno
}

// newDirect wraps c if it is TCP of the kernel's.
func newDirect(c net.Conn) (net.Conn, error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		tcp.Close()
		return nil, err
	}
	d := &direct{TCPConn: tcp}
	d.in.raw, d.out.raw = raw, raw
	d.in.try = func(fd uintptr) bool { return d.in.call(unix.SYS_RECVFROM, fd, 0) }
	d.out.try = func(fd uintptr) bool { return d.out.call(unix.SYS_SENDTO, fd, unix.MSG_NOSIGNAL) }
	return d, nil
}

// call moves what it can and reports false if it has to be called again when the socket is ready.
func (h *half) call(number, fd uintptr, flags uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(h.buf))), uintptr(len(h.buf)), flags|unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		h.n, h.errno = int(n), errno
		if errno != 0 {
			h.n = 0
		}
		return true
	}
}

// Read implements net.Conn.
func (d *direct) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	h := &d.in
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf, h.n, h.errno = b, 0, 0
	err := h.raw.Read(h.try)
	h.buf = nil
	switch {
	case err != nil:
		return 0, err
	case h.errno != 0:
		return 0, d.fault("read", "recvfrom", h.errno)
	case h.n == 0:
		return 0, io.EOF
	}
	return h.n, nil
}

// Write implements net.Conn.
func (d *direct) Write(b []byte) (int, error) {
	h := &d.out
	h.mu.Lock()
	defer h.mu.Unlock()
	done := 0
	for done < len(b) {
		h.buf, h.n, h.errno = b[done:], 0, 0
		err := h.raw.Write(h.try)
		h.buf = nil
		if err != nil {
			return done, err
		}
		if h.errno != 0 {
			return done, d.fault("write", "sendto", h.errno)
		}
		done += h.n
	}
	return done, nil
}

func (d *direct) fault(op, call string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Source: d.LocalAddr(), Addr: d.RemoteAddr(), Err: os.NewSyscallError(call, errno)}
}

// directListener wraps what it accepts.
type directListener struct{ net.Listener }

// Accept implements net.Listener.
func (l directListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newDirect(c)
}
