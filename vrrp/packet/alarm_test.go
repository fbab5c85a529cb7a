package packet

import (
	"net/netip"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
)

const t0 = boottime.Time(1000 * time.Second)

var peer = netip.MustParseAddr("10.91.0.2")

func made(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)}) }

func TestAlarmIsToldOnce(t *testing.T) {
	var a Alarms
	interval := func(n int) Trouble { return Finding{Cause: IntervalMismatch, Got: n, Want: 1}.Trouble(peer) }
	for _, tc := range []struct {
		name  string
		after time.Duration
		see   Trouble
		say   bool
		count uint64
	}{
		{"the first", 0, interval(2), true, 1},
		{"the next", time.Second, interval(2), false, 2},
		{"another cause", 0, Finding{Cause: WrongPassword}.Trouble(peer), true, 1},
		{"another peer", 0, Finding{Cause: WrongPassword}.Trouble(made(1)), true, 1},
		{"it changed", time.Second, interval(3), true, 3},
		{"and stays", time.Second, interval(3), false, 4},
		{"short of the pause", AlarmPause - 2*time.Second, interval(3), false, 5},
		{"the long pause is over", time.Second, interval(3), true, 6},
		{"numbers of garbage are no change", 0, Finding{Cause: TooShort, Got: 3}.Trouble(peer), true, 1},
		{"as was said", 0, Finding{Cause: TooShort, Got: 4}.Trouble(peer), false, 2},
	} {
		now := boottime.Time(0)
		if l := a.List(); len(l) > 0 {
			now = l[0].Last
		} else {
			now = t0
		}
		if say, n := a.See(tc.see, now.Add(tc.after)); say != tc.say || n != tc.count {
			t.Errorf("%s: say %v, count %d; want %v, %d", tc.name, say, n, tc.say, tc.count)
		}
	}
	if !a.Clear(peer, IntervalMismatch.String()) || a.Clear(peer, IntervalMismatch.String()) {
		t.Error("what is over is over once")
	}
	if say, _ := a.See(interval(3), t0.Add(2*AlarmPause)); !say {
		t.Error("what comes again after it was over is not told")
	}
}

// TestAlarmsUnderFlood: made-up sources cost bounded memory and few lines, and do not hide a peer that is there.
func TestAlarmsUnderFlood(t *testing.T) {
	var a Alarms
	trouble := Finding{Cause: WrongPassword}.Trouble(peer)
	now, said := t0, 0
	if say, _ := a.See(trouble, now); !say {
		t.Fatal("the real peer is not told")
	}
	for i := range 60000 {
		now = now.Add(time.Millisecond) // a minute in all
		if say, _ := a.See(Finding{Cause: WrongPassword}.Trouble(made(i)), now); say {
			said++
		}
		if i%1000 == 0 {
			if say, _ := a.See(trouble, now); say {
				t.Fatal("the real peer was forgotten")
			}
		}
	}
	if len(a.known) > AlarmsKept+int(causes) || said > 2*saysPerMinute {
		t.Errorf("%d kept, %d said", len(a.known), said)
	}
	var others, real uint64
	for _, e := range a.List() {
		switch e.Source {
		case netip.Addr{}:
			others = e.Count
		case peer:
			real = e.Count
		}
	}
	if others < 59000 || real != 61 {
		t.Errorf("others %d, the peer %d", others, real)
	}
	if say, _ := a.See(Finding{Cause: WrongVersion}.Trouble(made(70000)), now.Add(forgetAfter+time.Minute)); !say {
		t.Error("a new peer is not told after the flood")
	}
}

func TestAlarmsOfOnePeerAreBounded(t *testing.T) {
	var a Alarms
	for c := Cause(1); c < causes; c++ {
		a.See(Finding{Cause: c}.Trouble(peer), t0)
	}
	own := 0
	for _, e := range a.List() {
		if e.Source == peer {
			own++
		}
	}
	if own != alarmsPerPeer {
		t.Errorf("%d alarms of one peer", own)
	}
}

func BenchmarkAlarms(b *testing.B) {
	var a Alarms
	f := Finding{Cause: WrongPassword}
	for i := range 2 * AlarmsKept {
		a.See(f.Trouble(made(i)), t0)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.See(f.Trouble(made(i)), t0)
	}
}
