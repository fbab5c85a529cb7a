package netio

import (
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp/packet"
)

// Filters of the kernel (classic BPF): what they drop wakes nobody.
var (
	dropAll   = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	acceptAll = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1}}
	onlyVRRP4 = onlyIPv4(packet.Protocol)
	onlyAH    = onlyIPv4(packet.ProtocolAH)
)

// onlyIPv4 sees the IP header: version 4 and a protocol. An IPv6 raw socket's filter sees the payload only, and its
// protocol is checked by the kernel.
func onlyIPv4(protocol uint32) []unix.SockFilter {
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0xf0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x40, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: protocol, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
}

func attach(fd int, filter []unix.SockFilter) error {
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len: uint16(len(filter)), Filter: &filter[0],
	})
}
