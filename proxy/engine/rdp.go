package engine

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strconv"

	"github.com/reeve-lb/reeve/proxy/rule"
)

// byRDP asks the cookie of a Remote Desktop session for the server ("persist rdp-cookie").
func (s *session) byRDP() {
	t := s.t
	v, ok := rule.RDPCookie(s.firstBytes(), t.bc.persistRDP)
	if !ok {
		return
	}
	at, ok := rdpServer(v)
	if !ok {
		return
	}
	for _, sc := range t.bc.servers {
		if sc.ap == at && (sc.usable() || t.bc.persist && sc.resolved) {
			t.sc = sc
			return
		}
	}
}

// rdpServer reads ADDRESS.PORT.REST, as Microsoft's brokers write whose session it is ([MS-RDPBCGR], routing token): the
// IPv4 address and the port as decimal numbers, each with its least byte first.
func rdpServer(cookie []byte) (netip.AddrPort, bool) {
	address, rest, ok1 := bytes.Cut(cookie, []byte{'.'})
	port, _, ok2 := bytes.Cut(rest, []byte{'.'})
	a, err1 := strconv.ParseUint(string(address), 10, 32)
	p, err2 := strconv.ParseUint(string(port), 10, 16)
	if !ok1 || !ok2 || err1 != nil || err2 != nil {
		return netip.AddrPort{}, false
	}
	var four [4]byte
	binary.LittleEndian.PutUint32(four[:], uint32(a))
	return netip.AddrPortFrom(netip.AddrFrom4(four), bits.ReverseBytes16(uint16(p))), true
}
