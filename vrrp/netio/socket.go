package netio

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp/packet"
)

// receiveBuffer is for a flood of 50,000 small packets a second: a busy machine then has 100 ms to come round to reading
// before one is lost. The kernel counts about 800 bytes for each.
const receiveBuffer = 4 << 20

// option is one setting of a socket.
type option struct {
	name string
	set  func(fd int) error
}

func integer(name string, level, opt, value int) option {
	return option{name, func(fd int) error { return unix.SetsockoptInt(fd, level, opt, value) }}
}

// apply sets options in order and closes the socket when one fails.
func apply(fd int, dev string, options []option) error {
	for _, o := range options {
		if err := o.set(fd); err != nil {
			unix.Close(fd)
			return fmt.Errorf("raw socket on %s: %w", dev, os.NewSyscallError(o.name, err))
		}
	}
	return nil
}

// socket makes a raw socket that is deaf and bound to the device, if there is one.
func socket(dev string, family, protocol int) (fd, index int, err error) {
	fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return -1, 0, fmt.Errorf("raw socket on %s: %w", dev, os.NewSyscallError("socket", err))
	}
	err = os.NewSyscallError("SO_ATTACH_FILTER", attach(fd, dropAll))
	if err == nil && dev != "" {
		if index, err = indexOf(fd, dev); err == nil {
			err = os.NewSyscallError("bind to device", unix.BindToDevice(fd, dev))
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("raw socket on %s: %w", dev, err)
	}
	return fd, index, nil
}

// openSend makes the socket that sends. It hears nothing: its filter drops all, and in IPv4 its protocol is IPPROTO_RAW,
// which brings its own header.
func openSend(o Options, v6 bool) (fd, index int, err error) {
	family, protocol, settings := unix.AF_INET, unix.IPPROTO_RAW, send4
	if v6 {
		family, protocol, settings = unix.AF_INET6, packet.Protocol, send6
	}
	if fd, index, err = socket(o.Interface, family, protocol); err != nil {
		return -1, 0, err
	}
	options := append(settings(index), integer("SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY, 6)) // TC_PRIO_INTERACTIVE
	return fd, index, apply(fd, o.Interface, options)
}

func send4(index int) []option {
	return []option{
		integer("IP_HDRINCL", unix.IPPROTO_IP, unix.IP_HDRINCL, 1),
		{"IP_MULTICAST_IF", func(fd int) error {
			return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)})
		}},
		integer("IP_MULTICAST_LOOP", unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0),
		integer("IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT),
	}
}

func send6(index int) []option {
	return []option{
		integer("IPV6_MULTICAST_IF", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, index),
		integer("IPV6_MULTICAST_LOOP", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0),
		integer("IPV6_TCLASS", unix.IPPROTO_IPV6, unix.IPV6_TCLASS, trafficClass),
		// An instance may become MASTER before duplicate detection has let go of the interface's own address.
		integer("IPV6_FREEBIND", unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1),
	}
}

// openReceive joins the group on that interface and takes nothing that other sockets joined, or listens to one address.
// The socket is deaf until it is as it shall be, so that it has nothing from another interface.
func openReceive(o Options, v6 bool, index int) (int, error) {
	family, settings, filter := unix.AF_INET, receive4, onlyVRRP4
	switch {
	case v6:
		family, settings, filter = unix.AF_INET6, receive6, acceptAll
	case o.AH:
		filter = onlyAH
	}
	fd, _, err := socket(o.Interface, family, int(o.protocol()))
	if err != nil {
		return -1, err
	}
	options := append(settings(o, index), option{"SO_RCVBUF", func(fd int) error {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) == nil {
			return nil
		}
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // as much as may be
	}})
	options = append(options, option{"drain", drain}, option{"SO_ATTACH_FILTER", func(fd int) error { return attach(fd, filter) }})
	return fd, apply(fd, o.Interface, options)
}

func receive4(o Options, index int) []option {
	if o.Unicast {
		return []option{
			integer("IP_FREEBIND", unix.IPPROTO_IP, unix.IP_FREEBIND, 1),
			{"bind", func(fd int) error { return unix.Bind(fd, &unix.SockaddrInet4{Addr: o.Source.As4()}) }},
		}
	}
	mreq := &unix.IPMreqn{Multiaddr: o.Group.As4(), Ifindex: int32(index)}
	return []option{
		integer("IP_MULTICAST_ALL", unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0),
		{"IP_ADD_MEMBERSHIP", func(fd int) error { return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, mreq) }},
	}
}

func receive6(o Options, index int) []option {
	options := []option{
		integer("IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
		integer("IPV6_RECVHOPLIMIT", unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1),
	}
	if o.Unicast {
		to := &unix.SockaddrInet6{Addr: o.Source.As16()}
		if local(o.Source) {
			to.ZoneId = uint32(index)
		}
		return append(options,
			integer("IPV6_FREEBIND", unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1),
			option{"bind", func(fd int) error { return unix.Bind(fd, to) }})
	}
	mreq := &unix.IPv6Mreq{Multiaddr: o.Group.As16(), Interface: uint32(index)}
	return append(options,
		integer("IPV6_MULTICAST_ALL", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0),
		option{"IPV6_JOIN_GROUP", func(fd int) error { return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, mreq) }})
}

// drain throws away what came before the socket was deaf.
func drain(fd int) error {
	var b [1]byte
	for range 1 << 12 {
		if _, _, err := unix.Recvfrom(fd, b[:], unix.MSG_DONTWAIT); err != nil && err != unix.EINTR {
			break
		}
	}
	return nil
}

// indexOf resolves a name by ioctl on any socket of the network namespace.
func indexOf(fd int, dev string) (int, error) {
	r, err := unix.NewIfreq(dev)
	if err != nil {
		return 0, fmt.Errorf("interface %q: %w", dev, err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r); err != nil {
		return 0, fmt.Errorf("interface %q: %w", dev, err)
	}
	return int(r.Uint32()), nil
}

// socketDrops reads what the kernel could not queue (SO_MEMINFO, the field SK_MEMINFO_DROPS).
func socketDrops(fd int) uint32 {
	const drops = 8
	var info [drops + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || size < uint32(unsafe.Sizeof(info)) {
		return 0
	}
	return info[drops]
}
