package netio

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp/packet"
)

const (
	// batch is how many packets one system call reads.
	batch = 8
	// turns is how many batches are read in a row before other goroutines get the processor.
	turns = 16
	// bufferLen holds an IPv4 header with options and the longest advert, 255 IPv6 addresses.
	bufferLen = 60 + 8 + 16*255 + 8
)

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	unix.Msghdr
	Len uint32
}

// reader is the buffers of one Port. It allocates nothing after newReader.
type reader struct {
	p        *Port
	headers  [batch]mmsghdr
	iovs     [batch]unix.Iovec
	names    [batch]unix.RawSockaddrInet6
	oobs     [batch][128]byte
	buffers  [batch][bufferLen]byte
	got      int
	err      error
	callback func(fd uintptr) bool
}

func newReader(p *Port) *reader {
	r := &reader{p: p}
	r.callback = r.receive
	for i := range r.headers {
		r.iovs[i].Base = &r.buffers[i][0]
		r.iovs[i].SetLen(bufferLen)
		r.headers[i].Iov = &r.iovs[i]
		r.headers[i].SetIovlen(1)
	}
	return r
}

// receive reads a batch; it is called when the socket is readable, and says whether there was something.
func (r *reader) receive(fd uintptr) bool {
	for i := range r.headers {
		h := &r.headers[i]
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&r.names[i])), unix.SizeofSockaddrInet6
		h.Control = &r.oobs[i][0]
		h.SetControllen(len(r.oobs[i]))
		h.Flags, h.Len = 0, 0
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers[0])), batch, unix.MSG_DONTWAIT, 0, 0)
	r.got, r.err = 0, nil
	switch errno {
	case 0:
		r.got = int(n)
	case unix.EAGAIN:
		return false
	case unix.EINTR:
	default:
		r.err = os.NewSyscallError("recvmmsg", errno)
	}
	return true
}

// read hands on what comes until the socket is closed or the kernel refuses it for good.
func (p *Port) read(r *reader, f *os.File) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	failures, full := 0, 0
	for {
		switch err := raw.Read(r.callback); {
		case err != nil: // closed
			return
		case r.err != nil: // ENETDOWN and the like come once and pass
			if failures++; failures > 10 || errors.Is(r.err, unix.EBADF) {
				p.mu.Lock()
				p.shut()
				p.mu.Unlock()
				return
			}
			continue
		}
		failures = 0
		for i := range r.got {
			r.hand(i)
		}
		if full++; r.got < batch {
			full = 0
		} else if full >= turns {
			full = 0
			runtime.Gosched()
		}
	}
}

// hand gives one packet to the receiver.
func (r *reader) hand(i int) {
	h := &r.headers[i]
	b := r.buffers[i][:min(int(h.Len), bufferLen)]
	var d packet.Datagram
	ok := h.Flags&unix.MSG_TRUNC == 0
	if ok && r.p.v6 {
		d, ok = r.datagram6(i, b)
	} else if ok {
		d, ok = packet.ParseIPv4(b)
	}
	if ok {
		r.p.received.Add(1)
		r.p.o.Receive(d)
		return
	}
	r.p.garbage.Add(1)
	if r.p.o.Garbage != nil {
		r.p.o.Garbage()
	}
}

// datagram6 puts together what the kernel tells beside the payload: an IPv6 raw socket does not see the header.
func (r *reader) datagram6(i int, b []byte) (packet.Datagram, bool) {
	d := packet.Datagram{Source: netip.AddrFrom16(r.names[i].Addr), Payload: b}
	oob := r.oobs[i][:min(int(r.headers[i].Controllen), len(r.oobs[i]))]
	header := unix.CmsgLen(0)
	known := 0
	for len(oob) >= header {
		size := int(binary.NativeEndian.Uint32(oob)) // never longer than the buffer: the low half says all
		if nativeBig && header == 16 {
			size = int(binary.NativeEndian.Uint64(oob))
		}
		if size < header || size > len(oob) {
			break
		}
		level, kind := binary.NativeEndian.Uint32(oob[header-8:]), binary.NativeEndian.Uint32(oob[header-4:])
		data := oob[header:size]
		switch {
		case level != unix.IPPROTO_IPV6:
		case kind == unix.IPV6_PKTINFO && len(data) >= 16:
			d.Destination = netip.AddrFrom16([16]byte(data))
			known |= 1
		case kind == unix.IPV6_HOPLIMIT && len(data) >= 4:
			d.TTL = uint8(binary.NativeEndian.Uint32(data))
			known |= 2
		}
		oob = oob[min(unix.CmsgSpace(size-header), len(oob)):]
	}
	return d, known == 3
}

// nativeBig: the machine puts the high byte first.
var nativeBig = binary.NativeEndian.Uint16([]byte{0, 1}) == 1
