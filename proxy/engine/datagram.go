package engine

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Datagrams of a listening socket: many taken in with one call, each with its sender and the address of ours that it was
// sent to, so that the answer comes from there.

const (
	batch       = 16
	maxDatagram = 65535
)

// peerName is a sender as the kernel tells it, good to send to on the same socket.
type peerName struct {
	raw  [unix.SizeofSockaddrInet6]byte
	size uint32
}

// message is struct mmsghdr.
type message struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

// mailbag is what one call of recvmmsg(2) fills, and room for what goes back. One per loop.
type mailbag struct {
	msgs    [batch]message
	iovs    [batch]unix.Iovec
	names   [batch]unix.RawSockaddrAny
	control [batch][64]byte
	bodies  [batch][]byte

	reply    []byte
	out      unix.Msghdr
	outIov   unix.Iovec
	outExtra [64]byte
}

func newMailbag() *mailbag {
	m := &mailbag{reply: make([]byte, maxDatagram)}
	all := make([]byte, batch*maxDatagram)
	for i := range m.msgs {
		m.bodies[i] = all[i*maxDatagram : (i+1)*maxDatagram]
		m.iovs[i].Base = &m.bodies[i][0]
		m.iovs[i].SetLen(maxDatagram)
		h := &m.msgs[i].Msghdr
		h.Iov, h.Name, h.Control = &m.iovs[i], (*byte)(unsafe.Pointer(&m.names[i])), &m.control[i][0]
		h.SetIovlen(1)
	}
	return m
}

// receive takes in what has come to a socket and tells how many datagrams that are.
func (m *mailbag) receive(fd int32) int {
	for i := range m.msgs {
		m.msgs[i].Namelen = unix.SizeofSockaddrAny
		m.msgs[i].SetControllen(len(m.control[i]))
	}
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.msgs)), batch, unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

func (m *mailbag) data(i int) []byte         { return m.bodies[i][:m.msgs[i].n] }
func (m *mailbag) peer(i int) netip.AddrPort { return addrPort(&m.names[i]) }

func (m *mailbag) name(i int) (p peerName) {
	p.size = min(m.msgs[i].Namelen, unix.SizeofSockaddrInet6)
	copy(p.raw[:], unsafe.Slice((*byte)(unsafe.Pointer(&m.names[i])), p.size))
	return p
}

// local is the address that a datagram was sent to, where the socket has been told to say so.
func (m *mailbag) local(i int) netip.Addr {
	c := m.control[i][:min(int(m.msgs[i].Controllen), len(m.control[i]))]
	for len(c) >= unix.SizeofCmsghdr {
		size := int(binary.NativeEndian.Uint64(c))
		level, kind := binary.NativeEndian.Uint32(c[8:]), binary.NativeEndian.Uint32(c[12:])
		if size < unix.SizeofCmsghdr || size > len(c) {
			break
		}
		info := c[unix.SizeofCmsghdr:size]
		switch {
		case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(info) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(info[4:8]))
		case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(info) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(info[:16])).Unmap()
		}
		c = c[min((size+7)&^7, len(c)):]
	}
	return netip.Addr{}
}

// send gives the first n bytes of reply to a client, from the address that it asked. What the kernel has no room for is
// lost, as datagrams are.
func (m *mailbag) send(a *acceptor, to *peerName, from netip.Addr, n int) bool {
	m.outIov.Base = &m.reply[0]
	m.outIov.SetLen(n)
	m.out = unix.Msghdr{Name: &to.raw[0], Namelen: to.size, Iov: &m.outIov}
	m.out.SetIovlen(1)
	if p := a.group.place; p.addr.Addr().IsUnspecified() && from.IsValid() {
		m.out.Control = &m.outExtra[0]
		m.out.SetControllen(m.source(p.six(), from))
	}
	_, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(a.fd), uintptr(unsafe.Pointer(&m.out)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	m.out.Name = nil
	return e == 0
}

// source writes the control message that says where a datagram comes from, and tells its length.
func (m *mailbag) source(six bool, from netip.Addr) int {
	c, ne := m.outExtra[:], binary.NativeEndian
	clear(c)
	level, kind, size := uint32(unix.IPPROTO_IP), uint32(unix.IP_PKTINFO), unix.SizeofInet4Pktinfo
	if six {
		level, kind, size = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo
		ip := from.As16()
		copy(c[unix.SizeofCmsghdr:], ip[:])
	} else {
		ip := from.As4()
		copy(c[unix.SizeofCmsghdr+4:], ip[:])
	}
	ne.PutUint64(c, uint64(unix.SizeofCmsghdr+size))
	ne.PutUint32(c[8:], level)
	ne.PutUint32(c[12:], kind)
	return unix.CmsgSpace(size)
}
