package engine

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// rdpRequest is what a Remote Desktop client sends first: TPKT (RFC 1006) around an X.224 connection request whose line is
// a routing token or cookie.
func rdpRequest(line string) []byte {
	line += "\r\n"
	b := []byte{3, 0, 0, 0, byte(6 + len(line)), 0xe0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(11+len(line)))
	return append(b, line...)
}

// rdpToken names a server as a session broker does.
func rdpToken(addr string) string {
	a := netip.MustParseAddrPort(addr)
	four := a.Addr().As4()
	return fmt.Sprintf("%d.%d.0000", binary.LittleEndian.Uint32(four[:]), bits.ReverseBytes16(a.Port()))
}

// The servers of Remote Desktop clients are HAProxy's: by the cookie's hash, and by the session that it names.
func TestRemoteDesktopIsHAProxys(t *testing.T) {
	var servers []proxy.Server
	for i, name := range []string{"a", "b", "c"} {
		s := rawServer(t, name, func(c net.Conn, r *bufio.Reader) {
			r.Peek(1)
			io.WriteString(c, name)
		})
		s.Weight = i + 1
		servers = append(servers, s)
	}
	for _, c := range []struct {
		name   string
		change func(*proxy.Backend)
		lines  []string
	}{
		{"balance", func(b *proxy.Backend) {
			b.Balance, b.BalanceArgs.Name = proxy.RDPCookie, "mstshash"
			b.HashType = proxy.HashType{Method: proxy.Consistent, Avalanche: true}
		}, []string{"Cookie: mstshash=anna", "Cookie: mstshash=bert", "Cookie: MSTSHASH=carl", "Cookie: mstshash=anna", "Cookie: other=x", "Cookie: other=x",
			"Cookie: mstshash=", "nothing", "Cookie: mstshash=d.e;f", "Cookie: mstshash=dora", "Cookie: mstshash=emil", "Cookie: mstshash=fred"}},
		{"persist", func(b *proxy.Backend) { b.Balance, b.PersistRDP = proxy.StaticRR, "msts" },
			[]string{"Cookie: msts=" + rdpToken(servers[2].Address), "Cookie: msts=" + rdpToken(servers[0].Address), "Cookie: MSTS=" + rdpToken(servers[1].Address),
				"Cookie: msts=" + rdpToken("127.0.0.1:1"), "Cookie: msts=1.2", "Cookie: msts=x.y.z", "Cookie: mstshash=" + rdpToken(servers[2].Address)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &pair{t: t, mode: proxy.TCP, rules: proxy.Rules{TCPRequest: []proxy.Rule{
				{Words: proxy.Words("inspect-delay 100ms")}, {Words: proxy.Words("content accept if RDP_COOKIE")}}}}
			p.start(servers, c.change)
			p.compare(func(addr string) (got []string) {
				for _, l := range c.lines {
					got = append(got, askDesktop(t, addr, l))
				}
				return got
			})
		})
	}
}

// askDesktop is the name of the server that a client with this line comes to.
func askDesktop(t *testing.T, addr, line string) string {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	c.Write(rdpRequest(line))
	name, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%s: %v", line, err)
	}
	return string(name)
}
