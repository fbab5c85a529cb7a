package packet

import (
	"bytes"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// Packets of keepalived 2.2.7 with auth_type AH and auth_pass test: priority 100, VRID 51, identification and sequence 1.
const (
	multiAH = "45c0004000010000ff33d05b0a5b0001e0000012" + headAH + "e56e02d0c3b8b252afc4f23d" + bodyAH
	uniAH   = "45c00040000100000733a8170a5b00010a5b0002" + headAH + "c3d4973fcbeabfa3a5e25952" + bodyAH // unicast_ttl 7
	headAH  = "700400000a5b000100000001"
	bodyAH  = "2133640102016e0b0a5b00640000000000000000"
)

func datagramAH(t testing.TB, s string) Datagram {
	t.Helper()
	d, ok := ParseIPv4(unhex(t, s))
	if !ok || !d.AH.Present {
		t.Fatalf("%s is read as %+v", s, d)
	}
	return d
}

func expectAH() Expect {
	return Expect{AuthType: AuthAH, Key: KeyOf("test"), AdvertInt: time.Second, Addresses: addrs("10.91.0.100")}
}

func expectUniAH() Expect {
	e := expectAH()
	e.Unicast = true
	return e
}

// TestSeal: byte for byte what keepalived sends behind its IP header, by multicast and by unicast.
func TestSeal(t *testing.T) {
	in := vrrp.Instance{
		VirtualRouterID: 51, AuthType: vrrp.AuthAH, AuthPass: "test", Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix("10.91.0.100/24")}},
	}
	a, e, err := Of(in, vrrp.Global{})
	if err != nil || a.AuthType != AuthAH || a.AuthData != [8]byte{} || e.Key != KeyOf("test") {
		t.Fatalf("%+v %+v %v", a, e, err)
	}
	a.Priority = 100
	for _, packet := range []string{multiAH, uniAH} {
		b := unhex(t, packet)
		d := Datagram{
			Source: netip.AddrFrom4([4]byte(b[12:])), Destination: netip.AddrFrom4([4]byte(b[16:])), AH: AuthHeader{ID: 1, Sequence: 1},
		}
		if d.Destination.IsMulticast() {
			d.TTL = TTL
		}
		frame, err := a.Append(make([]byte, AHLen, MaxLen), d.Source, d.Destination)
		if err != nil {
			t.Fatal(err)
		}
		if e.Key.Seal(frame, d); !bytes.Equal(frame, b[IPv4HeaderLen:]) {
			t.Errorf("sealed  %x\n want %x", frame, b[IPv4HeaderLen:])
		}
	}
}

// TestJudgeAH: keepalived's own packets pass, and nothing of them that the ICV covers may be another.
func TestJudgeAH(t *testing.T) {
	judged(t, expectAH(), datagramAH(t, multiAH), 0)
	judged(t, expectUniAH(), datagramAH(t, uniAH), 0)
	covered := map[int]bool{}
	for at := range unhex(t, multiAH) {
		b := unhex(t, multiAH)
		b[at] ^= 0x10
		d, ok := ParseIPv4(b)
		if !ok {
			continue
		}
		var into Advert
		e := expectAH()
		f := e.Judge(&into, d)
		covered[at] = f.Refused()
	}
	for at, refused := range covered {
		// TOS, flags and fragment offset, and the IP header's checksum, which the kernel looks at.
		if free := at == 1 || at == 6 || at == 7 || at == 10 || at == 11; refused == free {
			t.Errorf("byte %d changed: refused %v", at, refused)
		}
	}
	if len(covered) < 50 {
		t.Errorf("only %d bytes tried", len(covered))
	}
}

func TestJudgeAHCauses(t *testing.T) {
	sealed := func(change func(b []byte), spi byte) Datagram {
		b := unhex(t, bodyAH)
		change(b)
		d := datagramAH(t, multiAH)
		d.Payload = sum(b, 0)
		d.AH.SPI += uint32(spi)
		d.AH.ICV = KeyOf("test").icv(d)
		return d
	}
	nothing := func([]byte) {}
	spoilt := sealed(func(b []byte) { b[5] = 2 }, 0)
	spoilt.AH.ICV[11] ^= 1
	plain := datagramAH(t, multiAH)
	plain.AH = AuthHeader{}
	far := datagramAH(t, multiAH)
	far.TTL = 254
	for _, tc := range []struct {
		name  string
		d     Datagram
		e     Expect
		cause Cause
		words string
	}{
		{"good", sealed(nothing, 0), expectAH(), 0, ""},
		{"not AH", sealed(nothing, 0), Expect{AuthType: AuthPass}, AuthAHeader, "Received AH header but auth type not AH"},
		{"no header", plain, expectAH(), AuthAHeader, "No AH header but auth type is AH"},
		{"TTL before ICV", far, expectAH(), WrongTTL, ""},
		{"type PASS inside", sealed(func(b []byte) { b[4] = 1 }, 0), expectAH(), AuthMismatch, "received a 1 auth, expecting 2!"},
		{
			"ICV before interval", spoilt, expectAH(), WrongPassword,
			"IPSEC-AH : invalid IPSEC HMAC-MD5 value. Due to fields mutation or bad password !",
		},
		{"SPI", sealed(nothing, 1), expectAH(), WrongSPI, "IPSEC AH : invalid IPSEC SPI value. 10.91.0.2 and expect 10.91.0.1"},
		{"interval", sealed(func(b []byte) { b[5] = 2 }, 0), expectAH(), IntervalMismatch, ""},
		{"unicast to multicast", datagramAH(t, uniAH), expectAH(), WrongTTL, ""},
		{"multicast to unicast", datagramAH(t, multiAH), expectUniAH(), WrongPassword, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if f := judged(t, tc.e, tc.d, tc.cause); tc.words != "" && f.Error() != tc.words {
				t.Errorf("said %q", f)
			}
		})
	}
	for _, pass := range []string{"", "tes", "test2", "Test"} {
		e := expectAH()
		e.Key = KeyOf(pass)
		judged(t, e, datagramAH(t, multiAH), WrongPassword)
	}
}

// TestSequence: one counter for both ways, from 1, and only what is higher is new.
func TestSequence(t *testing.T) {
	var s Sequence
	heard := func(n uint32) bool {
		f := s.Take(Datagram{AH: AuthHeader{Present: true, Sequence: n}})
		if f.Refused() != (f.Cause == Replayed) {
			t.Errorf("%d: %v", n, f)
		}
		return !f.Refused()
	}
	if heard(0) || s.Next() != 1 || heard(1) || !heard(2) || heard(2) || !heard(100) || heard(99) || s.Next() != 101 || heard(101) {
		t.Errorf("at %d", s)
	}
	if s.Take(Datagram{}).Refused() {
		t.Error("an advert without the header is refused")
	}
	f := s.Take(Datagram{AH: AuthHeader{Present: true, Sequence: 7}})
	if f.Error() != "IPSEC-AH : sequence number 7 already processed. Packet dropped. Local(101)" {
		t.Error(f)
	}
	if !heard(math.MaxUint32) || s.Next() != math.MaxUint32 || heard(1) || heard(math.MaxUint32) {
		t.Errorf("at %d", s)
	}
}

func TestAHWithOptions(t *testing.T) {
	b := unhex(t, multiAH)
	b = append(append(b[:20:20], 1, 1, 1, 1), b[20:]...)
	b[0], b[3] = 0x46, byte(len(b))
	if d, ok := ParseIPv4(b); ok {
		t.Errorf("behind options %+v", d)
	}
}

func TestNoAllocationsAH(t *testing.T) {
	a, buf := goldenAdvert(t), make([]byte, AHLen, MaxLen)
	a.AuthType, a.AuthData = AuthAH, [8]byte{}
	d, e, key := datagramAH(t, multiAH), expectAH(), KeyOf("test")
	into := Advert{Addresses: make([]netip.Addr, 0, MaxAddresses)}
	if n := testing.AllocsPerRun(100, func() {
		frame, _ := a.Append(buf, d.Source, d.Destination)
		key.Seal(frame, d)
	}); n != 0 {
		t.Errorf("sealing an advert allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { e.Judge(&into, d) }); n != 0 {
		t.Errorf("judging allocates %v times", n)
	}
	packet := unhex(t, multiAH)
	if n := testing.AllocsPerRun(100, func() { ParseIPv4(packet) }); n != 0 {
		t.Errorf("reading allocates %v times", n)
	}
}

// BenchmarkJudgeAH is what an advert of auth_type AH costs who hears it, with the shortest and the longest list.
func BenchmarkJudgeAH(b *testing.B) {
	for name, list := range map[string][]netip.Addr{"1": addrs("10.91.0.100"), "255": addrs(many(255)...)} {
		b.Run(name, func(b *testing.B) {
			e := expectAH()
			e.Addresses, e.sorted = list, sortedSet(list)
			a, err := New(51, 100, time.Second, "", list)
			if err != nil {
				b.Fatal(err)
			}
			a.AuthType = AuthAH
			d := datagramAH(b, multiAH)
			frame, err := a.Append(make([]byte, AHLen), d.Source, d.Destination)
			if err != nil {
				b.Fatal(err)
			}
			e.Key.Seal(frame, d)
			d.Payload, d.AH.ICV = frame[AHLen:], [icvLen]byte(frame[ahLen:])
			into := Advert{Addresses: make([]netip.Addr, 0, MaxAddresses)}
			b.ReportAllocs()
			for b.Loop() {
				if f := e.Judge(&into, d); f.Cause != 0 {
					b.Fatal(f)
				}
			}
		})
	}
}
