package packet

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

// FuzzPacket reads bytes as an advert of either version and family: what is read is written the same again, and no bytes
// do harm.
func FuzzPacket(f *testing.F) {
	f.Add(unhex(f, golden))
	f.Add(unhex(f, multi3))
	f.Add(unhex(f, six3))
	f.Add(edit(f, 3, 255))
	f.Add(append(AppendIPv4(nil, a1, Group4, 20), unhex(f, golden)...))
	f.Add(unhex(f, multiAH))
	f.Add(unhex(f, uniAH))
	f.Add([]byte{})
	routes := [][2]netip.Addr{{a1, Group4}, {a1, a2}, {local6, Group6}}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range routes {
			again(t, datagram(b, r[0], r[1]))
			if len(b) >= headerLen { // and with a checksum that is right
				fixed := bytes.Clone(b)
				if b[0]>>4 == Version3 {
					again(t, datagram(sum(fixed, pseudo(r[0], r[1], len(b))), r[0], r[1]))
				} else {
					again(t, datagram(sum(fixed, 0), r[0], r[1]))
				}
			}
		}
		if d, ok := ParseIPv4(b); ok {
			judgeAll(d)
			if d.AH.Present {
				unseal(t, d)
			}
		}
	})
}

// unseal reads a sealed packet of any content as if it had the right ICV: what is accepted is sealed the same again.
func unseal(t *testing.T, d Datagram) {
	if d.AH.Words = ahWords; len(d.Payload) > maxLen2 {
		if expectAH().Key.opens(d, false) {
			t.Fatalf("%d bytes have an ICV", len(d.Payload))
		}
		return
	}
	d.AH.ICV = KeyOf("test").icv(d)
	judgeAll(d)
	d.AH.Reserved, d.AH.SPI = 0, spi(d.Source)
	d.AH.ICV = KeyOf("test").icv(d)
	frame := append(make([]byte, AHLen), d.Payload...)
	KeyOf("test").Seal(frame, d)
	if !KeyOf("test").opens(d, false) || [icvLen]byte(frame[ahLen:]) != d.AH.ICV {
		t.Fatalf("%+v became %x", d, frame)
	}
}

func again(t *testing.T, d Datagram) {
	judgeAll(d)
	var a Advert
	if err := a.Read(d); err != nil {
		if _, ok := err.(Finding); !ok || err.Error() == "" {
			t.Fatalf("error %T %v", err, err)
		}
		return
	}
	if a.Version == Version3 && (a.AdvertInt == 0 || d.Payload[4] > 0xf) || a.Version == Version && (d.Source.Is6() || a.AdvertInt == 0) {
		return // read liberally, not written
	}
	b, err := a.Append(nil, d.Source, d.Destination)
	if err != nil || !bytes.Equal(b[:6], d.Payload[:6]) || !bytes.Equal(b[8:], d.Payload[8:]) {
		t.Fatalf("%x became %x, %v", d.Payload, b, err)
	}
}

func judgeAll(d Datagram) {
	var a Advert
	for _, e := range []Expect{
		{AuthType: AuthPass, AdvertInt: time.Second, Addresses: addrs("10.91.0.100")},
		{Version: 3, Addresses: addrs("10.90.0.100")},
		{Version: 3, IPv6: true, Addresses: addrs("fe80::99")},
		{Version: 3, Unicast: true, CheckSource: true, Peers: []Peer{{a1, 1, 9}}},
		expectAH(),
		expectUniAH(),
	} {
		if f := e.Judge(&a, d); f.Refused() {
			_ = f.Error()
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, a := range map[string]*Advert{"2": goldenAdvert(b), "3": advert3(b, "10.90.0.100"), "3-20": advert3(b, many(20)...)} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, MaxLen)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Append(buf, a1, Group4); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func many(n int) (out []string) {
	for i := range n {
		out = append(out, netip.AddrFrom4([4]byte{10, 91, 0, byte(n - i)}).String())
	}
	return out
}

// judging is a good advert of each kind, one whose list has another order, and hostile ones.
func judging(t testing.TB) map[string]func(*Advert) Finding {
	a := goldenAdvert(t)
	e2 := &Expect{AuthType: a.AuthType, AuthData: a.AuthData, AdvertInt: time.Second, Addresses: a.Addresses, sorted: a.Addresses}
	e3 := &Expect{Version: 3, Addresses: addrs("10.90.0.100")}
	e6 := &Expect{Version: 3, IPv6: true, Addresses: addrs("fe80::99")}
	list := advert3(t, many(255)...)
	other := addrs(many(255)...)
	other = append(other[1:], other[0])
	eList := &Expect{Version: 3, Addresses: other, sorted: sortedSet(other)}
	judge := func(e *Expect, d Datagram) func(*Advert) Finding {
		return func(a *Advert) Finding { return e.Judge(a, d) }
	}
	bad := unhex(t, golden)
	bad[7]++
	return map[string]func(*Advert) Finding{
		"2":          judge(e2, datagram(unhex(t, golden), a2, Group4)),
		"3":          judge(e3, datagram(unhex(t, multi3), a1, Group4)),
		"ipv6":       judge(e6, datagram(unhex(t, six3), local6, Group6)),
		"order-255":  judge(eList, datagram(write(t, list, a1, Group4), a1, Group4)),
		"checksum":   judge(e2, datagram(bad, a2, Group4)),
		"password":   judge(e2, datagram(edit(t, 15, 'x'), a2, Group4)),
		"short":      judge(e2, datagram(bad[:9], a2, Group4)),
		"other-list": judge(e2, datagram(edit(t, 11, 7), a2, Group4)),
	}
}

func BenchmarkJudge(b *testing.B) {
	for name, judge := range judging(b) {
		b.Run(name, func(b *testing.B) {
			into := Advert{Addresses: make([]netip.Addr, 0, MaxAddresses)}
			b.ReportAllocs()
			for b.Loop() {
				judge(&into)
			}
		})
	}
}

// TestNoAllocations: neither good nor hostile packets cost memory.
func TestNoAllocations(t *testing.T) {
	a, buf := advert3(t, "10.90.0.100"), make([]byte, 0, MaxLen)
	if n := testing.AllocsPerRun(100, func() { _, _ = a.Append(buf, a1, Group4) }); n != 0 {
		t.Errorf("writing an advert allocates %v times", n)
	}
	into := Advert{Addresses: make([]netip.Addr, 0, MaxAddresses)}
	for name, judge := range judging(t) {
		if n := testing.AllocsPerRun(100, func() { judge(&into) }); n != 0 {
			t.Errorf("judging %s allocates %v times", name, n)
		}
	}
	var alarms Alarms
	f := Finding{Cause: WrongPassword}
	for i := range 2 * AlarmsKept {
		alarms.See(f.Trouble(made(i)), t0)
	}
	if n := testing.AllocsPerRun(100, func() { alarms.See(f.Trouble(made(7000)), t0) }); n != 0 {
		t.Errorf("a made-up source costs %v allocations", n)
	}
}
