package vip

import (
	"encoding/binary"
	"net"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Link is what is known about an interface at one moment.
type Link struct {
	Name    string
	Index   int
	Up      bool // administratively
	Carrier bool // something answers at the other end; false while the link is not Up
	MAC     net.HardwareAddr
}

// Usable is nil when addresses on the link can be reached, otherwise a *LinkError with ErrDown or ErrNoCarrier.
func (l Link) Usable() error {
	switch {
	case !l.Up:
		return &LinkError{Dev: l.Name, Err: ErrDown}
	case !l.Carrier:
		return &LinkError{Dev: l.Name, Err: ErrNoCarrier}
	}
	return nil
}

// index resolves a name. It asks by ioctl, which unlike netlink does not queue behind the kernel's configuration lock.
func (c *conn) index(dev string) (int, error) {
	r, err := unix.NewIfreq(dev)
	if err != nil {
		return 0, &LinkError{Dev: dev, Err: ErrNoInterface} // empty or too long for the kernel
	}
	if err := unix.IoctlIfreq(c.fd, unix.SIOCGIFINDEX, r); err != nil {
		return 0, linkError(dev, err)
	}
	return int(r.Uint32()), nil
}

// link reads what an interface is like now.
func (c *conn) link(dev string) (Link, error) {
	index, err := c.index(dev)
	if err != nil {
		return Link{}, err
	}
	l := Link{Name: dev, Index: index}
	r, _ := unix.NewIfreq(dev)
	if err := unix.IoctlIfreq(c.fd, unix.SIOCGIFFLAGS, r); err != nil {
		return Link{}, linkError(dev, err)
	}
	l.Up = r.Uint16()&unix.IFF_UP != 0
	l.Carrier = l.Up && r.Uint16()&unix.IFF_RUNNING != 0
	r, _ = unix.NewIfreq(dev)
	if err := unix.IoctlIfreq(c.fd, unix.SIOCGIFHWADDR, r); err != nil {
		return Link{}, linkError(dev, err)
	}
	l.MAC = hardwareAddr(r)
	return l, nil
}

func linkError(dev string, err error) error {
	if err == unix.ENODEV || err == unix.ENXIO {
		err = ErrNoInterface
	}
	return &LinkError{Dev: dev, Err: err}
}

func (c *conn) ifinfo(index int) {
	var b [unix.SizeofIfInfomsg]byte
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	c.out = append(c.out, b[:]...)
}

// hardwareAddr reads what SIOCGIFHWADDR answered: a sockaddr whose data is the address. Only Ethernet's is of use.
func hardwareAddr(r *unix.Ifreq) net.HardwareAddr {
	raw := (*[unix.IFNAMSIZ + 16]byte)(unsafe.Pointer(r))[unix.IFNAMSIZ:]
	if binary.NativeEndian.Uint16(raw) != unix.ARPHRD_ETHER {
		return nil
	}
	return net.HardwareAddr(slices.Clone(raw[2:8]))
}
