package packet

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
	"time"
)

// Adverts of keepalived 2.2.7, as it sends them.
const (
	golden = "213364010101" + "8731" + "0a5b0064" + "7465737400000000" // priority 100, VRID 51, PASS "test", advert_int 1
	multi3 = "3133ff010032" + "d9f0" + "0a5a0064"                      // version 3, advert_int 0.5
	uni3   = "3133ff010032" + "afa7" + "0a5a0064"                      // the same by unicast
	six3   = "3133ff010032" + "24d7" + "fe800000000000000000000000000099"
)

var (
	a1     = netip.MustParseAddr("10.90.0.1")
	a2     = netip.MustParseAddr("10.90.0.2")
	local6 = netip.MustParseAddr("fe80::307f:2bff:fee6:5224")
)

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func advert2(t testing.TB, ips ...string) *Advert {
	t.Helper()
	a, err := New(51, 100, time.Second, "test", addrs(ips...))
	if err != nil {
		t.Fatal(err)
	}
	return &a
}

func goldenAdvert(t testing.TB) *Advert { return advert2(t, "10.91.0.100") }

func advert3(t testing.TB, ips ...string) *Advert {
	t.Helper()
	a, err := New3(51, 255, 500*time.Millisecond, addrs(ips...))
	if err != nil {
		t.Fatal(err)
	}
	return &a
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, a *Advert, source, destination netip.Addr) []byte {
	t.Helper()
	b, err := a.Append(nil, source, destination)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != a.Len() {
		t.Fatalf("%d bytes, Len says %d", len(b), a.Len())
	}
	return b
}

func datagram(b []byte, source, destination netip.Addr) Datagram {
	return Datagram{Source: source, Destination: destination, TTL: 255, Payload: b}
}

// TestGolden: byte for byte what keepalived sends, and read back it is the same.
func TestGolden(t *testing.T) {
	old := advert3(t, "10.90.0.100")
	old.OldChecksum = true
	for _, tc := range []struct {
		name     string
		a        *Advert
		src, dst netip.Addr
		want     string
	}{
		{"version 2", goldenAdvert(t), a1, Group4, golden},
		{"version 3", advert3(t, "10.90.0.100"), a1, Group4, multi3},
		{"version 3 by unicast", advert3(t, "10.90.0.100"), a1, a2, uni3},
		{"old_unicast_checksum", old, a1, a2, multi3},
		{"IPv6", advert3(t, "fe80::99"), local6, Group6, six3},
	} {
		b := write(t, tc.a, tc.src, tc.dst)
		if got := hex.EncodeToString(b); got != tc.want {
			t.Errorf("%s: advert is\n%s, keepalived's is\n%s", tc.name, got, tc.want)
		}
		var back Advert
		if err := back.Read(datagram(b, tc.src, tc.dst)); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if back.OldChecksum != tc.a.OldChecksum || back.AdvertInt != tc.a.AdvertInt || back.Version != tc.a.Version {
			t.Errorf("%s: read back %+v", tc.name, back)
		}
		if again := write(t, &back, tc.src, tc.dst); !bytes.Equal(again, b) {
			t.Errorf("%s: read and written again it is %x", tc.name, again)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	v4 := addrs("10.0.0.1")
	for _, tc := range []struct {
		name  string
		vrid  int
		every time.Duration
		addrs []netip.Addr
		want  error // of version 2
		want3 error
	}{
		{"vrid 0", 0, time.Second, v4, ErrVRID, ErrVRID},
		{"vrid 256", 256, time.Second, v4, ErrVRID, ErrVRID},
		{"no interval", 1, 0, v4, ErrAdvertInt, ErrAdvertInt3},
		{"less than a centisecond", 1, 9 * time.Millisecond, v4, ErrAdvertInt, ErrAdvertInt3},
		{"part of a second", 1, 1500 * time.Millisecond, v4, ErrAdvertInt, nil},
		{"41 seconds", 1, 41 * time.Second, v4, nil, ErrAdvertInt3},
		{"interval 256", 1, 256 * time.Second, v4, ErrAdvertInt, ErrAdvertInt3},
		{"ipv6", 1, time.Second, addrs("fe80::1"), ErrAddress, nil},
		{"both families", 1, time.Second, addrs("fe80::1", "10.0.0.1"), ErrAddress, ErrAddress},
		{"no address", 1, time.Second, []netip.Addr{{}}, ErrAddress, ErrAddress},
		{"256 addresses", 1, time.Second, make([]netip.Addr, 256), ErrTooMany, ErrTooMany},
	} {
		if _, err := New(tc.vrid, 100, tc.every, "", tc.addrs); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if _, err := New3(tc.vrid, 100, tc.every, tc.addrs); !errors.Is(err, tc.want3) {
			t.Errorf("%s: version 3: %v, want %v", tc.name, err, tc.want3)
		}
	}
	a, err := New(1, 1, time.Second, "much too long", nil)
	if err != nil || string(a.AuthData[:]) != "much too" {
		t.Errorf("password became %q, %v", a.AuthData, err)
	}
	if _, err := (&Advert{Version: 4, AdvertInt: time.Second}).Append(nil, a1, Group4); !errors.Is(err, ErrVersion) {
		t.Errorf("version 4: %v", err)
	}
	if _, err := advert3(t, "10.0.0.1").Append(nil, local6, Group6); !errors.Is(err, ErrAddress) {
		t.Errorf("IPv4 addresses over IPv6: %v", err)
	}
	if _, err := advert3(t).MarshalBinary(); err == nil {
		t.Error("version 3 is written without a pseudo-header")
	}
}

// edit is the golden advert with one byte changed and the checksum made good again.
func edit(t testing.TB, at int, to byte) []byte {
	b := unhex(t, golden)
	b[at] = to
	return sum(b, 0)
}

// edit3 is multi3 likewise.
func edit3(t testing.TB, at int, to byte) []byte {
	b := unhex(t, multi3)
	b[at] = to
	return sum(b, pseudo(a1, Group4, len(b)))
}

func sum(b []byte, with uint32) []byte {
	b[6], b[7] = 0, 0
	c := fold(add(b) + with)
	b[6], b[7] = byte(c>>8), byte(c)
	return b
}

func TestJudge2(t *testing.T) {
	a := goldenAdvert(t)
	expect := Expect{AuthType: a.AuthType, AuthData: a.AuthData, AdvertInt: time.Second, Addresses: a.Addresses}
	two := write(t, advert2(t, "10.91.0.7", "10.91.0.100"), a1, Group4)
	good := unhex(t, golden)
	bad := bytes.Clone(good)
	bad[7] ^= 1
	for _, tc := range []struct {
		name  string
		b     []byte
		ttl   uint8
		dst   netip.Addr
		ah    bool
		cause Cause
	}{
		{name: "good", b: good},
		{name: "empty", b: nil, cause: TooShort},
		{name: "header only", b: good[:8], cause: TooShort},
		{name: "count 255 with a short body", b: edit(t, 3, 255), cause: TooShort},
		{name: "surplus bytes", b: append(bytes.Clone(good), 0), cause: TooLong},
		{name: "length before TTL", b: good[:19], ttl: 254, cause: TooShort},
		{name: "TTL 254", b: good, ttl: 254, cause: WrongTTL},
		{name: "TTL before version", b: unhex(t, multi3), ttl: 254, cause: WrongTTL},
		{name: "version 3", b: unhex(t, multi3), cause: WrongVersion},
		{name: "version 3 in the length of 2", b: edit(t, 0, 0x31), cause: TooLong},
		{name: "version 0", b: edit(t, 0, 0x01), cause: WrongVersion},
		{name: "auth type 7", b: edit(t, 4, 7), cause: InvalidAuthType},
		{name: "auth none", b: edit(t, 4, 0), cause: AuthMismatch},
		{name: "auth type AH without its header", b: edit(t, 4, 2), cause: AuthMismatch},
		{name: "AH", b: good, ah: true, cause: AuthAHeader},
		{name: "password", b: edit(t, 15, 'x'), cause: WrongPassword},
		{name: "password before interval", b: sum(append(append(edit(t, 5, 2)[:12], 'x'), good[13:]...), 0), cause: WrongPassword},
		{name: "interval", b: edit(t, 5, 2), cause: IntervalMismatch},
		{name: "type 2", b: edit(t, 0, 0x22), cause: WrongType},
		{name: "checksum", b: bad, cause: WrongChecksum},
		{name: "unicast", b: good, dst: a1, cause: NotMulticast},
		{name: "two addresses", b: two, cause: CountMismatch},
		{name: "other address", b: edit(t, 11, 99), cause: AddressMismatch},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := datagram(tc.b, a2, Group4)
			d.AH.Present = tc.ah
			if tc.ttl != 0 {
				d.TTL = tc.ttl
			}
			if tc.dst.IsValid() {
				d.Destination = tc.dst
			}
			judged(t, expect, d, tc.cause)
		})
	}
	expect.SkipAddresses = true
	judged(t, expect, datagram(two, a2, Group4), 0)
}

// judged checks the cause, that a refused packet changed nothing, and that each finding has words.
func judged(t *testing.T, e Expect, d Datagram, want Cause) Finding {
	t.Helper()
	into := Advert{VRID: 9}
	f := e.Judge(&into, d)
	if f.Cause != want {
		t.Fatalf("found %v (%v), want %v", f.Cause, f, want)
	}
	if f.Refused() != (want != 0 && want != CountMismatch && want != AddressMismatch) {
		t.Errorf("refused: %v", f.Refused())
	}
	if f.Refused() != (into.VRID == 9) {
		t.Error("a refused packet changed the advert, or a good one did not")
	}
	if f.Error() == "" {
		t.Error("a finding without a word")
	}
	return f
}

func TestJudge3(t *testing.T) {
	expect := Expect{Version: 3, AdvertInt: time.Second, Addresses: addrs("10.90.0.100")}
	good := unhex(t, multi3)
	for _, tc := range []struct {
		name  string
		b     []byte
		dst   netip.Addr
		cause Cause
	}{
		{name: "another interval is learned", b: good, dst: Group4},
		{name: "short", b: good[:11], dst: Group4, cause: TooShort},
		{name: "long", b: append(bytes.Clone(good), 1), dst: Group4, cause: TooLong},
		{name: "version 2", b: edit(t, 11, 100), dst: Group4, cause: WrongVersion},
		{name: "version 4", b: edit3(t, 0, 0x41), dst: Group4, cause: WrongVersion},
		{name: "version 4, longer", b: append(edit3(t, 0, 0x41), 1, 2, 3), dst: Group4, cause: WrongVersion},
		{name: "type 3", b: edit3(t, 0, 0x33), dst: Group4, cause: WrongType},
		{name: "the reserved bits are not looked at", b: edit3(t, 4, 0xf0), dst: Group4},
		{name: "damaged", b: append(bytes.Clone(good[:11]), 0x65), dst: Group4, cause: WrongChecksum},
		{name: "no pseudo-header", b: sum(bytes.Clone(good), 0), dst: Group4, cause: WrongChecksum},
		{name: "unicast", b: unhex(t, uni3), dst: a2, cause: NotMulticast},
		{name: "other list", b: edit3(t, 11, 7), dst: Group4, cause: AddressMismatch},
	} {
		t.Run(tc.name, func(t *testing.T) { judged(t, expect, datagram(tc.b, a1, tc.dst), tc.cause) })
	}
	var a Advert
	expect.Judge(&a, datagram(good, a1, Group4))
	if a.AdvertInt != 500*time.Millisecond || a.Priority != 255 {
		t.Errorf("read %+v", a)
	}
	e6 := Expect{Version: 3, IPv6: true, AdvertInt: time.Second, Addresses: addrs("fe80::99")}
	judged(t, e6, datagram(unhex(t, six3), local6, Group6), 0)
	judged(t, e6, datagram(good, a1, Group4), WrongFamily)
	judged(t, expect, datagram(unhex(t, six3), local6, Group6), WrongFamily)
	judged(t, e6, datagram(unhex(t, six3), netip.MustParseAddr("fe80::1"), Group6), WrongChecksum)
}

func TestJudgeUnicast(t *testing.T) {
	third := netip.MustParseAddr("10.90.0.3")
	old := advert3(t, "10.90.0.100")
	old.OldChecksum = true
	expect := Expect{Version: 3, Addresses: addrs("10.90.0.100"), Unicast: true, Peers: []Peer{{a1, 250, 254}, {a2, 0, 255}}}
	for _, tc := range []struct {
		name   string
		a      *Advert
		source netip.Addr
		ttl    uint8
		dst    netip.Addr
		change func(*Expect)
		cause  Cause
	}{
		{name: "from a peer", source: a1, ttl: 252},
		{name: "too far", source: a1, ttl: 249, cause: PeerTTL},
		{name: "too near", source: a1, ttl: 255, cause: PeerTTL},
		{name: "a peer without a range, routed", source: a2, ttl: 3},
		{name: "somebody else", source: third, ttl: 255},
		{name: "somebody else, checked", source: third, ttl: 255, change: func(e *Expect) { e.CheckSource = true }, cause: NotPeer},
		{name: "multicast", source: a2, ttl: 255, dst: Group4, cause: NotUnicast},
		{name: "old checksum", a: old, source: a2, ttl: 255},
		{name: "old checksum never", a: old, source: a2, ttl: 255, change: func(e *Expect) { e.NoOldChecksum = true }, cause: WrongChecksum},
		{name: "old checksum of another group", a: old, source: a2, ttl: 255,
			change: func(e *Expect) { e.Group = netip.MustParseAddr("239.1.1.1") }, cause: WrongChecksum},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.a == nil {
				tc.a = advert3(t, "10.90.0.100")
			}
			if !tc.dst.IsValid() {
				tc.dst = netip.MustParseAddr("10.90.0.9")
			}
			e := expect
			if tc.change != nil {
				tc.change(&e)
			}
			d := datagram(write(t, tc.a, tc.source, tc.dst), tc.source, tc.dst)
			d.TTL = tc.ttl
			f := judged(t, e, d, tc.cause)
			if tc.ttl == 249 && f.Error() != "TTL/HL 249 not in range 250 - 254" {
				t.Error(f)
			}
		})
	}
}

// TestCompare: lists are sets, whatever their order.
func TestCompare(t *testing.T) {
	ours := addrs("10.0.0.3", "10.0.0.1", "10.0.0.2")
	for _, tc := range []struct {
		theirs  []netip.Addr
		cause   Cause
		missing string
		other   string
	}{
		{addrs("10.0.0.3", "10.0.0.1", "10.0.0.2"), 0, "", ""},
		{addrs("10.0.0.1", "10.0.0.2", "10.0.0.3"), 0, "", ""},
		{addrs("10.0.0.1", "10.0.0.2"), CountMismatch, "", ""},
		{addrs("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"), CountMismatch, "", ""},
		{addrs("10.0.0.1", "10.0.0.9", "10.0.0.3"), AddressMismatch, "10.0.0.2", "10.0.0.9"},
		{addrs("10.0.0.1", "10.0.0.1", "10.0.0.3"), AddressMismatch, "10.0.0.2", ""},
	} {
		for _, sorted := range [][]netip.Addr{nil, sortedSet(ours)} {
			f := (&Expect{Addresses: ours, sorted: sorted}).compare(tc.theirs)
			if f.Cause != tc.cause || tc.missing != "" && f.Address.String() != tc.missing || tc.other != "" && f.Other.String() != tc.other {
				t.Errorf("%v: %+v", tc.theirs, f)
			}
		}
	}
}

func TestCounters(t *testing.T) {
	var c Counters
	c.Add(WrongTTL)
	c.Add(WrongTTL)
	c.Add(0)
	c.Add(causes)
	if m := c.Map(); len(m) != 1 || m["ttl"] != 2 || c.Get(WrongTTL) != 2 || c.Get(causes) != 0 {
		t.Errorf("counted %v", m)
	}
	names := map[string]bool{}
	for i := Cause(1); i < causes; i++ {
		if names[i.String()] || i.String() == "" || (Finding{Cause: i}).Error() == "" {
			t.Errorf("cause %d has no name of its own", i)
		}
		names[i.String()] = true
	}
	if c.Reset(); len(c.Map()) != 0 {
		t.Error("counts after Reset")
	}
}

func TestIPv4(t *testing.T) {
	b := append(AppendIPv4(nil, a1, Group4, 20), unhex(t, golden)...)
	d, ok := ParseIPv4(b)
	if !ok || d.Source != a1 || d.Destination != Group4 || d.TTL != 255 || hex.EncodeToString(d.Payload) != golden || d.AH.Present {
		t.Fatalf("read back %+v %v", d, ok)
	}
	if b[1] != 0xc0 || b[6] != 0 {
		t.Errorf("TOS %#x, flags %#x", b[1], b[6])
	}
	if AppendIPv4TTL(nil, a1, a2, 20, 7)[8] != 7 {
		t.Error("unicast_ttl is not in the header")
	}
	for n := range b {
		if _, ok := ParseIPv4(b[:n]); ok {
			t.Errorf("the first %d bytes are taken for a packet", n)
		}
	}
	b[0] = 0x4f
	if _, ok := ParseIPv4(b[:40]); ok {
		t.Error("a header longer than the packet passes")
	}
}

// TestAH: an authentication header is taken off, whatever lengths it claims.
func TestAH(t *testing.T) {
	ah := append([]byte{Protocol, 4, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1}, make([]byte, 12)...) // HMAC-MD5-96
	b := append(append(AppendIPv4(nil, a1, Group4, 20+len(ah)), ah...), unhex(t, golden)...)
	b[9] = ProtocolAH
	d, ok := ParseIPv4(b)
	if !ok || !d.AH.Present || d.AH.SPI != 9 || d.AH.Sequence != 1 || hex.EncodeToString(d.Payload) != golden {
		t.Fatalf("%+v %v", d, ok)
	}
	for _, length := range []byte{0, 60, 255} {
		b[21] = length
		if d, ok := ParseIPv4(b); ok {
			t.Errorf("length %d leaves %x", length, d.Payload)
		}
	}
	b[20] = 6
	if _, ok := ParseIPv4(b); ok {
		t.Error("AH around something else is taken for VRRP")
	}
}
