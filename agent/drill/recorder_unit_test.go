package drill

import (
	"context"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// Frames by hand, from the interface 02:00:00:00:00:0a.
const (
	wireV2    = "01005e00001202000000000a0800" + "45c0002800010000ff70d0360a5b0001e0000012" + "21336401010187310a5b00647465737400000000"
	wireV3    = "01005e00001202000000000a0800" + "45c0002400070000ff70d0340a5b0001e0000012" + "310a9602003238530a5b00640a5b0065"
	wireZero6 = "33330000001202000000000a86dd" + "6c000000001870fffe80000000000000000000fffe00000aff020000000000000000000000000012" + "313300010064d1befe800000000000000000000000000100"
	wireAH    = "01005e00001202000000000a0800" + "45c0004000010000ff33d05b0a5b0001e0000012" + "700400000a5b000100000001e56e02d0c3b8b252afc4f23d" + "2133640102016e0b0a5b00640000000000000000"
	wireGARP  = "ffffffffffff02000000000a0806" + "0001080006040001" + "02000000000a0a5b0064" + "ffffffffffff0a5b0064"
	wireReply = "02000000000b02000000000a0806" + "0001080006040002" + "02000000000a0a5b0064" + "02000000000b0a5b0002"
	wireNA    = "33330000000102000000000a86dd" + "6000000000203afffe80000000000000000000fffe00000aff020000000000000000000000000001" + "8800d789a0000000fe800000000000000000000000000100020102000000000a"
	wireJoin  = "01005e00001602000000000a0800" + "46c00028000040000102f99d0a5b0001e000001694040000" + "2200f9eb0000000104000000e0000012"
	wireLeave = "01005e00001602000000000a0800" + "46c00028000040000102f99d0a5b0001e000001694040000" + "2200faeb0000000103000000e0000012"
	wireMLD   = "33330000001602000000000a86dd" + "6000000000240001fe80000000000000000000fffe00000aff020000000000000000000000000016" + "3a00050200000100" + "8f0070ef0000000104000000ff020000000000000000000000000012"
)

var who = names{
	hw: map[[6]byte]string{{2, 0, 0, 0, 0, 10}: "A", {2, 0, 0, 0, 0, 11}: "B"},
	ip: map[netip.Addr]string{
		netip.MustParseAddr("10.91.0.1"): "A", netip.MustParseAddr("10.91.0.2"): "B", netip.MustParseAddr("fe80::ff:fe00:a"): "A",
	},
}

func bytesOf(t *testing.T, wire string) []byte {
	t.Helper()
	b, err := hex.DecodeString(wire)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFrames(t *testing.T) {
	for name, tc := range map[string]struct{ wire, want string }{
		"v2":    {wireV2, `advert A>01:00:5e:00:00:12 A>224.0.0.18 tos=c0 ttl=255 df=false v2 vrid=51 prio=100 int=1s auth=1:"test" vips=[10.91.0.100]`},
		"v3":    {wireV3, "advert A>01:00:5e:00:00:12 A>224.0.0.18 tos=c0 ttl=255 df=false v3 vrid=10 prio=150 int=500ms vips=[10.91.0.100 10.91.0.101]"},
		"zero6": {wireZero6, "advert of priority 0 A>33:33:00:00:00:12 A>ff02::12 tos=c0 ttl=255 df=false v3 vrid=51 prio=0 int=1s vips=[fe80::100]"},
		"ah":    {wireAH, `advert A>01:00:5e:00:00:12 A>224.0.0.18 tos=c0 ttl=255 df=false v2 vrid=51 prio=100 int=1s auth=2:"" ah spi=A vips=[10.91.0.100]`},
		"garp":  {wireGARP, "arp request A>broadcast 10.91.0.100(A) to 10.91.0.100(broadcast)"},
		"reply": {wireReply, "arp reply A>B 10.91.0.100(A) to B(B)"},
		"na":    {wireNA, "neighbour advertisement A>33:33:00:00:00:01 A>ff02::1 hl=255 flags=a0 target=fe80::100(A)"},
		"join":  {wireJoin, "join 224.0.0.18"},
		"leave": {wireLeave, "leave 224.0.0.18"},
		"mld":   {wireMLD, "join ff02::12"},
	} {
		t.Run(name, func(t *testing.T) {
			b := bytesOf(t, tc.wire)
			f, ok := decodeFrame(b)
			if got := f.line(who); !ok || got != tc.want {
				t.Errorf("read %v\n %s, want\n %s", ok, got, tc.want)
			}
			// Padded as short frames are on a real wire, it is the same.
			f, ok = decodeFrame(append(b, make([]byte, 7)...))
			if got := f.line(who); !ok || got != tc.want {
				t.Errorf("padded: %v %s", ok, got)
			}
			// Cut anywhere, it is not taken for something whole, nor is anything read that is not there.
			for n := range bytesOf(t, tc.wire) {
				if f, ok := decodeFrame(bytesOf(t, tc.wire)[:n]); ok {
					t.Errorf("%d bytes were read as %s", n, f.line(who))
				}
			}
		})
	}
}

// TestFrameFaults: each byte of an advert is in the line, or makes it broken.
func TestFrameFaults(t *testing.T) {
	for _, wire := range []string{wireV2, wireV3, wireZero6, wireGARP, wireNA} {
		good, _ := decodeFrame(bytesOf(t, wire))
		for i := range bytesOf(t, wire) {
			b := bytesOf(t, wire)
			b[i] ^= 0x41
			f, ok := decodeFrame(b)
			// The flow label of IPv6 and what nobody has a use for in a neighbour advertisement may be anything.
			free := wire == wireZero6 && i >= 15 && i < 18 || wire == wireNA && (i >= 15 && i < 18)
			if ok && f.line(who) == good.line(who) && !free {
				t.Errorf("%s...: byte %d changed, and the line is the same: %s", wire[:28], i, f.line(who))
			}
		}
	}
	b := bytesOf(t, wireV2)
	b[14+20+6]++
	if f, _ := decodeFrame(b); !strings.HasSuffix(f.line(who), "BROKEN: checksum") {
		t.Errorf("a wrong checksum: %s", f.line(who))
	}
	b = bytesOf(t, wireAH)
	b[14+20+12] ^= 1
	if f, _ := decodeFrame(b); !strings.HasSuffix(f.line(who), "BROKEN: ICV") {
		t.Errorf("an ICV of another key: %s", f.line(who))
	}
}

// TestOtherFrames are not kept: what a host asks and reports for its own sake.
func TestOtherFrames(t *testing.T) {
	virtual := []netip.Addr{netip.MustParseAddr("10.91.0.100")}
	other := []netip.Addr{netip.MustParseAddr("10.91.0.101")}
	for wire, want := range map[string]bool{wireGARP: true, wireReply: true, wireV2: true, wireNA: false} {
		f, _ := decodeFrame(bytesOf(t, wire))
		if f.about(virtual) != want {
			t.Errorf("%s: kept %v, want %v", f.line(who), !want, want)
		}
		if f.about(other) && f.kind != kindAdvert {
			t.Errorf("%s is kept for another address", f.line(who))
		}
	}
	if f, ok := decodeFrame(bytesOf(t, strings.ReplaceAll(wireJoin, "e0000012", "e00000fb"))); ok {
		t.Errorf("another group: %s", f.line(who))
	}
	if f, ok := decodeFrame(bytesOf(t, strings.Replace(wireV2, "ff70", "ff11", 1))); ok {
		t.Errorf("UDP: %s", f.line(who))
	}
}

func FuzzFrame(f *testing.F) {
	for _, wire := range []string{wireV2, wireV3, wireZero6, wireAH, wireGARP, wireReply, wireNA, wireJoin, wireLeave, wireMLD} {
		b, _ := hex.DecodeString(wire)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if fr, ok := decodeFrame(b); ok && fr.line(who) == "" {
			t.Error("a frame without a line")
		}
	})
}

// TestRecorder: what a host sends is recorded with its name and the kernel's time, over a link that goes away and comes
// back; what it receives is not.
func TestRecorder(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	a, b := n.Host("a", "10.91.0.1/24"), n.Host("b", "10.91.0.2/24")
	r := record(t, nil, a, b)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	payload := bytesOf(t, wireV2)[34:]
	send := func(h *lab.Host) time.Time {
		t.Helper()
		c, err := h.ListenPacket("ip4:112", "0.0.0.0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// To a host: a group would need an interface chosen.
		if _, err := c.WriteTo(payload, &net.IPAddr{IP: net.IPv4(10, 91, 0, 3-h.Name()[0]+'a'-1)}); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	for _, h := range []*lab.Host{a, b, a} {
		since := time.Now()
		// Each time b's address has to be known first, so the kernel's own ARP comes before; it is not recorded.
		end := send(h)
		f, err := r.await(ctx, 1, since.Add(-time.Millisecond), func(f frame) bool { return f.host == h.Name() })
		if err != nil {
			t.Fatal(err)
		}
		if f.kind != kindAdvert || f.auth != "test" || f.at.Before(since.Add(-time.Millisecond)) || f.at.After(end.Add(time.Second)) {
			t.Errorf("recorded %s at %v, sent at %v", f.line(who), f.at, since)
		}
		n.Must(a.Carrier(false), a.Carrier(true))
	}
	r.stop()
	if got := len(r.all()); got != 3 {
		t.Errorf("%d frames, want 3: %v", got, r.all())
	}
	send(a)
	if got := len(r.all()); got != 3 {
		t.Errorf("after stop %d frames", got)
	}
}
