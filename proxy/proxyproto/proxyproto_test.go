package proxyproto

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

var (
	a4 = netip.MustParseAddrPort("192.0.2.1:56324")
	b4 = netip.MustParseAddrPort("198.51.100.7:443")
	a6 = netip.MustParseAddrPort("[2001:db8::1]:56324")
	b6 = netip.MustParseAddrPort("[2001:db8::2]:443")
)

func TestLines(t *testing.T) {
	longest := "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
	for _, c := range []struct {
		in   string
		want Fault
	}{
		{"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", None},
		{"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", None},
		{longest, None},
		{"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.7 1 2\r\n", None},
		{"PROXY UNKNOWN\r\n", None},
		{"PROXY UNKNOWN ffff::1 ffff::2 1 2 and more\r\n", None},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 0 65535\r\n", None},
		{"", Incomplete},
		{"PRO", Incomplete},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r", Incomplete},
		{"GET / HTTP/1.1\r\n", NoHeader},
		{"PROXX TCP4", NoHeader},
		{"proxy TCP4 ", NoHeader},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\n", BadLine},
		{"PROXY \r\n", BadLine},
		{"PROXY TCP4\r\n", BadLine},
		{"PROXY TCP5 192.0.2.1 198.51.100.7 1 2\r\n", BadLine},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n", BadLine},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n", BadLine},
		{"PROXY TCP4  192.0.2.1 198.51.100.7 1 2\r\n", BadLine},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 1 2 \r\n", BadLine},
		{"PROXY TCP4 192.0.2.01 198.51.100.7 1 2\r\n", BadLine},
		{"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", BadLine},
		{"PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n", BadLine},
		{"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n", BadLine},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 65536 2\r\n", BadLine},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 00080 2\r\n", BadLine},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 +80 2\r\n", BadLine},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 -1 2\r\n", BadLine},
		{"PROXY UNKNOWN" + strings.Repeat("x", 100), TooLong},
		{"PROXY TCP4" + strings.Repeat(" ", 98) + "\r\n\r\n", TooLong},
	} {
		var h Header
		n, f := Parse([]byte(c.in), &h)
		if f != c.want {
			t.Errorf("%q: %v, want %v", c.in, f, c.want)
		}
		if f == None && (n != len(c.in) || h.Version != 1) {
			t.Errorf("%q: %d of %d bytes, version %d", c.in, n, len(c.in), h.Version)
		}
		if h.Local != strings.HasPrefix(c.in, "PROXY UNKNOWN") && f == None {
			t.Errorf("%q: local %v", c.in, h.Local)
		}
	}
}

// v2 is a header of version 2 by hand: the command, family and protocol, and what follows the length.
func v2(command, family byte, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	b := append([]byte(signature), command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(all)))
	return append(b, all...)
}

func tlv(kind byte, value string) []byte {
	return append([]byte{kind, byte(len(value) >> 8), byte(len(value))}, value...)
}

var inet4 = []byte{192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb}

// summed appends a CRC32C that is right.
func summed(b []byte) []byte {
	at := len(b) + 3
	b = append(b, tlv(typeCRC, "\x00\x00\x00\x00")...)
	binary.BigEndian.PutUint16(b[14:], uint16(len(b)-fixed2))
	binary.BigEndian.PutUint32(b[at:], sum(b, at))
	return b
}

func TestBinary(t *testing.T) {
	good := summed(v2(proxy2, 0x11, inet4, tlv(typeAuthority, "example.org"), tlv(0xee, "x"), tlv(typeUniqueID, "42"), tlv(0x04, "   ")))
	bad := bytes.Clone(good)
	bad[20] ^= 1
	for _, c := range []struct {
		name string
		in   []byte
		want Fault
	}{
		{"IPv4", v2(proxy2, 0x11, inet4), None},
		{"IPv4 datagram", v2(proxy2, 0x12, inet4), None},
		{"IPv6", v2(proxy2, 0x21, make([]byte, 36)), None},
		{"unix", v2(proxy2, 0x31, make([]byte, 216)), None},
		{"unspec", v2(proxy2, 0x00, make([]byte, 7)), None},
		{"unspec address of a stream", v2(proxy2, 0x01), None},
		{"local", v2(local2, 0x00), None},
		{"local with anything", v2(local2, 0xff, []byte("anything")), None},
		{"sum", good, None},
		{"another sum", bad, BadSum},
		{"short sum", v2(proxy2, 0x11, inet4, tlv(typeCRC, "123")), BadTLV},
		{"version 1 in binary", v2(0x11, 0x11, inet4), BadVersion},
		{"version 3", v2(0x31, 0x11, inet4), BadVersion},
		{"command 2", v2(0x22, 0x11, inet4), BadVersion},
		{"family 4", v2(proxy2, 0x41, inet4), BadFamily},
		{"protocol 3", v2(proxy2, 0x13, inet4), BadFamily},
		{"short IPv4", v2(proxy2, 0x11, inet4[:11]), BadFamily},
		{"IPv4 for IPv6", v2(proxy2, 0x21, inet4), BadFamily},
		{"short unix", v2(proxy2, 0x31, make([]byte, 215)), BadFamily},
		{"torn extension", v2(proxy2, 0x11, inet4, []byte{1, 0}), BadTLV},
		{"extension beyond the end", v2(proxy2, 0x11, inet4, []byte{1, 0, 9, 'x'}), BadTLV},
		{"long unique id", v2(proxy2, 0x11, inet4, tlv(typeUniqueID, strings.Repeat("x", 129))), BadTLV},
		{"too long", v2(proxy2, 0x11, make([]byte, MaxV2)), TooLong},
		{"the longest", v2(proxy2, 0x11, inet4, tlv(0xee, strings.Repeat("x", MaxV2-fixed2-lenInet-3))), None},
	} {
		var h Header
		n, f := Parse(append(bytes.Clone(c.in), "GET"...), &h)
		if f != c.want || f == None && n != len(c.in) {
			t.Errorf("%s: %v after %d of %d bytes, want %v", c.name, f, n, len(c.in), c.want)
		}
	}
	var h Header
	Parse(good, &h)
	if h.Version != 2 || h.Local || h.Datagram || h.Source != a4 || h.Dest != b4 || string(h.Authority) != "example.org" || string(h.UniqueID) != "42" {
		t.Errorf("%+v", h)
	}
}

// TestEveryPrefixIsIncomplete: a header that comes byte by byte is waited for, and never half believed.
func TestEveryPrefixIsIncomplete(t *testing.T) {
	for _, whole := range [][]byte{Append1(nil, a4, b4), Append1(nil, a6, b6), Append2(nil, a4, b4, false), Append2(nil, a6, b6, true), Append2(nil, a4, netip.AddrPort{}, false)} {
		for i := range whole {
			var h Header
			if n, f := Parse(whole[:i], &h); f != Incomplete || n != 0 {
				t.Errorf("%q: %v", whole[:i], f)
			}
		}
	}
}

func TestComposedIsRead(t *testing.T) {
	mixed := netip.AddrPortFrom(netip.MustParseAddr("::ffff:192.0.2.1"), 56324)
	for _, c := range []struct{ src, dst, wantSrc, wantDst netip.AddrPort }{
		{a4, b4, a4, b4}, {a6, b6, a6, b6}, {mixed, b4, a4, b4}, {a4, b6, a4, b6},
	} {
		var h Header
		if n, f := Parse(Append1(nil, c.src, c.dst), &h); f != None || n > MaxV1 || h.Source != c.wantSrc || h.Dest != c.wantDst {
			t.Errorf("version 1, %v to %v: %v %+v", c.src, c.dst, f, h)
		}
		if _, f := Parse(Append2(nil, c.src, c.dst, true), &h); f != None || h.Source != c.wantSrc || h.Dest != c.wantDst || !h.Datagram {
			t.Errorf("version 2, %v to %v: %v %+v", c.src, c.dst, f, h)
		}
	}
	for _, b := range [][]byte{Append1(nil, netip.AddrPort{}, b4), Append2(nil, netip.AddrPort{}, netip.AddrPort{}, false)} {
		var h Header
		if _, f := Parse(b, &h); f != None || !h.Local {
			t.Errorf("%q: %v %+v", b, f, h)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	var h Header
	one, two := Append1(nil, a6, b6), Append2(nil, a4, b4, false)
	out := make([]byte, 0, MaxComposed)
	if n := testing.AllocsPerRun(100, func() {
		Parse(one, &h)
		Parse(two, &h)
		Append1(out, a6, b6)
		Append2(out, a6, b6, false)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParse: whatever comes, what is taken is within the input and does not depend on what follows, and what is understood
// says the same when it is composed again.
func FuzzParse(f *testing.F) {
	for _, b := range [][]byte{Append1(nil, a4, b4), Append1(nil, a6, b6), Append2(nil, a4, b4, false), Append2(nil, a6, b6, true),
		[]byte("PROXY UNKNOWN\r\n"), v2(local2, 0), v2(proxy2, 0x31, make([]byte, 216)), summed(v2(proxy2, 0x11, inet4, tlv(2, "x"), tlv(5, "y")))} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Header
		n, fault := Parse(b, &h)
		if fault != None {
			if n != 0 {
				t.Fatalf("%v, and %d bytes", fault, n)
			}
			return
		}
		if n > len(b) || n > MaxV2 || h.Local == h.Source.IsValid() || h.Source.IsValid() != h.Dest.IsValid() {
			t.Fatalf("%d of %d bytes, %+v", n, len(b), h)
		}
		var alone Header
		if m, again := Parse(b[:n], &alone); m != n || again != None || alone.Source != h.Source {
			t.Fatalf("without what follows: %d %v", m, again)
		}
		if h.Local {
			return
		}
		var back Header
		if _, f := Parse(Append2(nil, h.Source, h.Dest, h.Datagram), &back); f != None || back.Source != h.Source || back.Dest != h.Dest {
			t.Fatalf("%+v became %+v (%v)", h, back, f)
		}
		if _, f := Parse(Append1(nil, h.Source, h.Dest), &back); f != None || back.Source != h.Source || back.Dest != h.Dest {
			t.Fatalf("%+v became %+v (%v) in version 1", h, back, f)
		}
	})
}
