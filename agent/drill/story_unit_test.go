package drill

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// acted is a play without a lab: what a sent at which second, after a step at second 0 and one at second 10.
func acted(cast string, frames ...frame) *play {
	zero := time.Unix(1000, 0)
	for i := range frames {
		frames[i].host = "a"
	}
	return &play{
		segment: &segment{wire: &wire{r: &recorder{frames: frames}}}, story: "none", cast: cast, advert: time.Second, names: who,
		daemons: map[string]*daemon{"a": nil}, steps: []step{{zero, "start"}, {zero.Add(10 * time.Second), "stop"}},
	}
}

func when(seconds float64, f frame) frame {
	f.at = time.Unix(1000, 0).Add(time.Duration(seconds * float64(time.Second)))
	return f
}

func advertOf(vrid, priority uint8) frame {
	f := frame{kind: kindAdvert, version: 2, vrid: vrid, priority: priority, interval: time.Second, addrs: []netip.Addr{vipAddr}}
	if priority == 0 {
		f.kind = kindZero
	}
	return f
}

func garpOf(addr netip.Addr) frame {
	return frame{kind: kindRequest, op: 1, sender: addr, target: addr}
}

// life is a master's: it begins, announces, and stops.
func life(adverts int, more ...frame) []frame {
	fs := []frame{when(0, frame{kind: kindJoin}), when(0.9, frame{kind: kindJoin})}
	for i := range adverts {
		fs = append(fs, when(3.6+float64(i), advertOf(51, 100)))
	}
	for i := range 5 {
		fs = append(fs, when(3.61+0.001*float64(i), garpOf(vipAddr)), when(5.6, garpOf(vipAddr)))
	}
	return append(append(fs, when(10.1, advertOf(51, 0))), more...)
}

func TestTale(t *testing.T) {
	p := acted("KK", life(7)...)
	var got []string
	for _, e := range p.tales()["a"] {
		line := p.show(e)
		got = append(got, line[:strings.Index(line, "]")+1]+" "+string(e.kind)+line[max(strings.LastIndex(line, " x"), 0):])
	}
	want := []string{
		"[start +0.000s] join x2", "[start +3.600s] advert x7 in 6.000s", "[start +3.610s] arp request x5", "[start +5.600s] arp request x5",
	}
	for i, w := range want {
		if i >= len(got) || got[i] != w {
			t.Fatalf("folded to\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if len(got) != 5 || !strings.HasPrefix(got[4], "[stop +0.000s] advert of priority 0") {
		t.Errorf("the end is %q", got)
	}
}

// TestCompare: what timing allows is the same, everything else is shown.
func TestCompare(t *testing.T) {
	base := func() *play { return acted("KK", life(7)...) }
	for name, same := range map[string]*play{
		"a tenure shorter by an advert": acted("RK", life(6)...),
		"a kernel's answer":             acted("RK", life(7, when(10.1001, frame{kind: kindReply, ethDst: [6]byte{2}}))...),
	} {
		if diff := compare("a", base(), same); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	late := life(7)
	for i := range late[2:] {
		late[i+2].at = late[i+2].at.Add(2*tolerance() + 10*time.Millisecond)
	}
	other := life(7)
	other[4].priority = 90
	short := life(7)
	short = append(short[:len(short)-2], short[len(short)-1])
	for name, differs := range map[string]*play{
		"a frame more":          acted("RK", life(7, when(10.2, advertOf(51, 0)))...),
		"an announcement fewer": acted("RK", short...),
		"another priority":      acted("RK", other...),
		"a second router":       acted("RK", life(7, when(4, advertOf(52, 100)))...),
		"late":                  acted("RK", late...),
		"half the interval":     acted("RK", life(7, when(4.1, advertOf(51, 100)), when(5.1, advertOf(51, 100)), when(6.1, advertOf(51, 100)))...),
		"nothing":               acted("RK"),
	} {
		diff := compare("a", base(), differs)
		if strings.Count(diff, "!>") != 2 || !strings.Contains(diff, "KK: ") || !strings.Contains(diff, "RK: ") {
			t.Errorf("%s: %q", name, diff)
		}
	}
}

// TestAllowList: what it lets pass is let pass in its story alone.
func TestAllowList(t *testing.T) {
	for _, d := range deliberate {
		if d.reason == "" || d.amend == nil || d.story == "" {
			t.Errorf("%+v", d)
		}
	}
	k, r := acted("KK", life(7, when(10.2, frame{kind: kindLeave}))...), acted("RK", life(7)...)
	if compare("a", k, r) == "" {
		t.Error("a leave more is the same")
	}
	k.story, r.story = "vmac", "vmac"
	if diff := compare("a", k, r); diff != "" {
		t.Error(diff)
	}
}
