package lab

import (
	"net"
	"net/netip"
)

func netAddr(s string) net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
