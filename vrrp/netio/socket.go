package netio

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp/packet"
)

// receiveBuffer holds the adverts of more than a hundred instances for the while a busy machine needs to read them.
const receiveBuffer = 256 << 10

func socket(dev string, protocol int) (fd, index int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return -1, 0, fmt.Errorf("raw socket on %s: %w", dev, os.NewSyscallError("socket", err))
	}
	if index, err = indexOf(fd, dev); err == nil {
		err = os.NewSyscallError("bind to device", unix.BindToDevice(fd, dev))
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("raw socket on %s: %w", dev, err)
	}
	return fd, index, nil
}

// openSend: protocol IPPROTO_RAW receives nothing, so that no filter is needed, and brings its own header.
func openSend(dev string) (fd, index int, err error) {
	fd, index, err = socket(dev, unix.IPPROTO_RAW)
	if err != nil {
		return -1, 0, err
	}
	mreq := &unix.IPMreqn{Ifindex: int32(index)}
	for _, err := range []error{
		os.NewSyscallError("IP_HDRINCL", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_HDRINCL, 1)),
		os.NewSyscallError("IP_MULTICAST_IF", unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, mreq)),
		os.NewSyscallError("IP_MULTICAST_LOOP", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0)),
		os.NewSyscallError("IP_MTU_DISCOVER", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)),
		os.NewSyscallError("SO_PRIORITY", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 6)), // TC_PRIO_INTERACTIVE
	} {
		if err != nil {
			unix.Close(fd)
			return -1, 0, fmt.Errorf("raw socket on %s: %w", dev, err)
		}
	}
	return fd, index, nil
}

// openReceive joins the group on that interface and takes nothing that other sockets joined.
func openReceive(dev string, index int, group netip.Addr) (int, error) {
	fd, _, err := socket(dev, packet.Protocol)
	if err != nil {
		return -1, err
	}
	mreq := &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(index)}
	for _, err := range []error{
		os.NewSyscallError("IP_MULTICAST_ALL", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)),
		os.NewSyscallError("IP_ADD_MEMBERSHIP", unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, mreq)),
		os.NewSyscallError("SO_RCVBUF", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)),
	} {
		if err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("receive on %s: %w", dev, err)
		}
	}
	return fd, nil
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
