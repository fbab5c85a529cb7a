package packet

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
	"time"
)

// golden is an advert of keepalived 2.2.7: priority 100, VRID 51, one address, PASS "test", advert_int 1.
const golden = "213364010101" + "8731" + "0a5b0064" + "7465737400000000"

func goldenAdvert(t testing.TB) Advert {
	t.Helper()
	a, err := New(51, 100, time.Second, "test", []netip.Addr{netip.MustParseAddr("10.91.0.100")})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	b, err := goldenAdvert(t).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(b); got != golden {
		t.Fatalf("advert is\n%s, keepalived's is\n%s", got, golden)
	}
	var a Advert
	if err := a.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	again, _ := a.MarshalBinary()
	if !bytes.Equal(again, b) {
		t.Fatalf("read and written again it is %x", again)
	}
}

func TestNewRefuses(t *testing.T) {
	v4 := []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	for _, tc := range []struct {
		name  string
		vrid  int
		every time.Duration
		addrs []netip.Addr
		want  error
	}{
		{"vrid 0", 0, time.Second, v4, ErrVRID},
		{"vrid 256", 256, time.Second, v4, ErrVRID},
		{"no interval", 1, 0, v4, ErrAdvertInt},
		{"part of a second", 1, 1500 * time.Millisecond, v4, ErrAdvertInt},
		{"interval 256", 1, 256 * time.Second, v4, ErrAdvertInt},
		{"ipv6", 1, time.Second, []netip.Addr{netip.MustParseAddr("fe80::1")}, ErrAddress},
		{"256 addresses", 1, time.Second, make([]netip.Addr, 256), ErrTooMany},
	} {
		if _, err := New(tc.vrid, 100, tc.every, "", tc.addrs); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	a, err := New(1, 1, time.Second, "much too long", nil)
	if err != nil || string(a.AuthData[:]) != "much too" {
		t.Errorf("password became %q, %v", a.AuthData, err)
	}
}

// edit is the golden advert with one byte changed and the checksum made good again.
func edit(t testing.TB, at int, to byte) []byte {
	b := unhex(t, golden)
	b[at] = to
	return sum(b)
}

func sum(b []byte) []byte {
	b[6], b[7] = 0, 0
	c := checksum(b)
	b[6], b[7] = byte(c>>8), byte(c)
	return b
}

func TestJudge(t *testing.T) {
	a := goldenAdvert(t)
	expect := Expect{AuthType: a.AuthType, AuthData: a.AuthData, AdvertInt: 1, Addresses: a.Addresses}
	two, _ := New(51, 100, time.Second, "test", append([]netip.Addr{netip.MustParseAddr("10.91.0.7")}, a.Addresses...))
	twoBytes, _ := two.MarshalBinary()
	good := unhex(t, golden)
	bad := bytes.Clone(good)
	bad[7] ^= 1
	for _, tc := range []struct {
		name  string
		b     []byte
		ttl   uint8
		dst   netip.Addr
		cause Cause // refused
		warn  Cause
	}{
		{name: "good", b: good},
		{name: "empty", b: nil, cause: TooShort},
		{name: "header only", b: good[:8], cause: TooShort},
		{name: "count 255 with a short body", b: edit(t, 3, 255), cause: TooShort},
		{name: "surplus bytes", b: append(bytes.Clone(good), 0), cause: TooLong},
		{name: "length before TTL", b: good[:19], ttl: 254, cause: TooShort},
		{name: "TTL 254", b: good, ttl: 254, cause: WrongTTL},
		{name: "version 3", b: edit(t, 0, 0x31), cause: WrongVersion},
		{name: "version 0", b: edit(t, 0, 0x01), cause: WrongVersion},
		{name: "auth type 7", b: edit(t, 4, 7), cause: InvalidAuthType},
		{name: "auth none", b: edit(t, 4, 0), cause: AuthMismatch},
		{name: "password", b: edit(t, 15, 'x'), cause: WrongPassword},
		{name: "interval", b: edit(t, 5, 2), cause: IntervalMismatch},
		{name: "type 2", b: edit(t, 0, 0x22), cause: WrongType},
		{name: "checksum", b: bad, cause: WrongChecksum},
		{name: "unicast", b: good, dst: netip.MustParseAddr("10.91.0.1"), cause: NotMulticast},
		{name: "two addresses", b: twoBytes, warn: CountMismatch},
		{name: "other address", b: edit(t, 11, 99), warn: AddressMismatch},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := Datagram{Source: netip.MustParseAddr("10.91.0.2"), Destination: Group4, TTL: 255, Payload: tc.b}
			if tc.ttl != 0 {
				d.TTL = tc.ttl
			}
			if tc.dst.IsValid() {
				d.Destination = tc.dst
			}
			into := Advert{VRID: 9}
			warn, err := expect.Judge(&into, d)
			var e *Error
			if errors.As(err, &e); tc.cause != 0 && (e == nil || e.Cause != tc.cause) || tc.cause == 0 && err != nil {
				t.Fatalf("refused for %v, want %v", err, tc.cause)
			}
			if tc.cause != 0 && into.VRID != 9 {
				t.Error("a refused packet changed the advert")
			}
			if tc.warn != 0 && (warn == nil || warn.Cause != tc.warn) || tc.warn == 0 && warn != nil {
				t.Errorf("warned of %v, want %v", warn, tc.warn)
			}
			if err != nil && err.Error() == "" {
				t.Error("an error without a word")
			}
		})
	}
	expect.SkipAddresses = true
	if warn, err := expect.Judge(&Advert{}, Datagram{Destination: Group4, TTL: 255, Payload: twoBytes}); warn != nil || err != nil {
		t.Errorf("vrrp_skip_check_adv_addr compares: %v %v", warn, err)
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
	for i := Cause(1); i < causes; i++ {
		if i.String() == "" || (&Error{Cause: i}).Error() == "" {
			t.Errorf("cause %d has no name", i)
		}
	}
}

func TestIPv4(t *testing.T) {
	src := netip.MustParseAddr("10.91.0.1")
	b := append(AppendIPv4(nil, src, Group4, 20), unhex(t, golden)...)
	d, ok := ParseIPv4(b)
	if !ok || d.Source != src || d.Destination != Group4 || d.TTL != 255 || hex.EncodeToString(d.Payload) != golden {
		t.Fatalf("read back %+v %v", d, ok)
	}
	if b[1] != 0xc0 || b[6] != 0 {
		t.Errorf("TOS %#x, flags %#x", b[1], b[6])
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

func FuzzPacket(f *testing.F) {
	f.Add(unhex(f, golden))
	f.Add(unhex(f, "31336401001487310a5b0064"))
	f.Add(edit(f, 3, 255))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var a Advert
		if err := a.UnmarshalBinary(b); err == nil {
			again, err := a.MarshalBinary()
			if err != nil || !bytes.Equal(again[:6], b[:6]) || !bytes.Equal(again[8:], b[8:]) {
				t.Fatalf("%x became %x, %v", b, again, err)
			}
		}
		if d, ok := ParseIPv4(b); ok {
			e := Expect{AuthType: AuthPass, AdvertInt: 1}
			_, _ = e.Judge(&a, d)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	a, buf := goldenAdvert(b), make([]byte, 0, MaxLen)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.AppendBinary(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	a := goldenAdvert(b)
	e := Expect{AuthType: a.AuthType, AuthData: a.AuthData, AdvertInt: 1, Addresses: a.Addresses}
	into := Advert{Addresses: make([]netip.Addr, 0, MaxAddresses)}
	d := Datagram{Destination: Group4, TTL: 255, Payload: unhex(b, golden)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Judge(&into, d); err != nil {
			b.Fatal(err)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	a, buf := goldenAdvert(t), make([]byte, 0, MaxLen)
	if n := testing.AllocsPerRun(100, func() { _, _ = a.AppendBinary(buf) }); n != 0 {
		t.Errorf("writing an advert allocates %v times", n)
	}
}
