package guard

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/internal/boottime"
)

func TestHoldRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := Holding{
			Instance: rapid.StringN(1, -1, 300).Draw(rt, "instance"),
			Epoch:    rapid.Uint64().Draw(rt, "epoch"),
			Expiry:   boottime.Time(rapid.Int64().Draw(rt, "expiry")),
		}
		for range rapid.IntRange(0, 20).Draw(rt, "addresses") {
			ip := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(rt, "v4")))
			bits := rapid.IntRange(0, 32).Draw(rt, "bits")
			if rapid.Bool().Draw(rt, "v6") {
				ip = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "ip")))
			}
			h.Addresses = append(h.Addresses, Address{Dev: rapid.StringN(0, -1, 15).Draw(rt, "dev"), Prefix: netip.PrefixFrom(ip, bits)})
		}
		b, err := appendHold(nil, h)
		if err != nil {
			rt.Fatal(err)
		}
		m, err := parse(b)
		if err != nil {
			rt.Fatal(err)
		}
		addresses, err := parseAddresses(m.addresses)
		if err != nil {
			rt.Fatal(err)
		}
		if got := (Holding{string(m.instance), m.epoch, m.expiry, addresses}); !reflect.DeepEqual(got, h) {
			rt.Fatalf("got %+v, want %+v", got, h)
		}
	})
}

func TestWireRefuses(t *testing.T) {
	ok := on("eth0", "10.0.0.1/32")
	for name, h := range map[string]Holding{
		"no name":            {},
		"endless name":       {Instance: strings.Repeat("x", 40000)},
		"no address":         {Instance: "A", Addresses: []Address{{Dev: "eth0"}}},
		"endless interface":  {Instance: "A", Addresses: []Address{{Dev: strings.Repeat("x", 300), Prefix: ok.Prefix}}},
		"too many addresses": {Instance: "A", Addresses: func() (a []Address) { return append(a, makeAddresses(9000)...) }()},
	} {
		if _, err := appendHold(nil, h); err == nil {
			t.Errorf("%s: sent", name)
		}
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "half a header": {wireVersion}, "another version": {99, kindBye}, "unknown kind": {wireVersion, 77},
		"short hold": {wireVersion, kindHold, 1, 2, 3}, "drop of nothing": {wireVersion, kindDrop, 0, 0},
		"drop with more": {wireVersion, kindDrop, 1, 0, 'A', 'B'}, "short hello": {wireVersion, kindHello, 1},
	} {
		if _, err := parse(b); err == nil {
			t.Errorf("%s: understood", name)
		}
	}
}

func on(dev, prefix string) Address { return Address{Dev: dev, Prefix: netip.MustParsePrefix(prefix)} }

func makeAddresses(n int) []Address {
	out := make([]Address, n)
	for i := range out {
		out[i] = Address{Dev: "eth0", Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)}
	}
	return out
}

func FuzzParse(f *testing.F) {
	h, _ := appendHold(nil, Holding{"VI_1", 7, 1 << 40, []Address{on("eth0", "10.0.0.1/32"), on("", "fd00::1/64")}})
	d, _ := appendDrop(nil, "VI_1")
	r, _ := appendRemoved(nil, "VI_1", 7)
	for _, b := range [][]byte{h, d, r, appendSay(nil, []byte("blob")), header(nil, kindBye), appendHello(nil, 4711)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k := newKeeper()
		m, err := parse(b)
		if err != nil {
			return
		}
		if err := k.take(m, 1); err != nil || m.kind != kindHold {
			return
		}
		addresses, err := parseAddresses(m.addresses)
		if err != nil {
			t.Fatalf("taken, but: %v", err)
		}
		again, err := appendHold(nil, Holding{string(m.instance), m.epoch, m.expiry, addresses})
		if err == nil && string(again) != string(b) {
			t.Errorf("%x means the same as %x", b, again)
		}
	})
}
