package vip

import (
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
)

func TestDamper(t *testing.T) {
	const start = boottime.Time(time.Hour)
	up := Event{Kind: LinkChanged, Dev: "eth0", Index: 2, Up: true, Carrier: true}
	down := Event{Kind: LinkChanged, Dev: "eth0", Index: 2, Up: true}
	gone := Event{Kind: LinkGone, Dev: "eth0", Index: 2}
	again := up
	again.Index = 3
	type step struct {
		at    time.Duration
		event *Event // nil: only time passes
		told  int    // events told at this step, held back ones too
	}
	for _, c := range []struct {
		name   string
		delays []vrrp.InterfaceDelay
		steps  []step
	}{
		{"without delays all passes", nil, []step{{0, &up, 1}, {1, &down, 1}, {2, &up, 1}, {3, &gone, 1}}},
		{"a short outage is not told", []vrrp.InterfaceDelay{{Interface: "eth0", Down: 2 * time.Second}},
			[]step{{0, &up, 1}, {time.Second, &down, 0}, {2 * time.Second, &up, 0}, {9 * time.Second, nil, 0}}},
		{"a long one is", []vrrp.InterfaceDelay{{Interface: "eth0", Down: 2 * time.Second}},
			[]step{{0, &up, 1}, {time.Second, &down, 0}, {2 * time.Second, &down, 0}, {3 * time.Second, nil, 1}, {4 * time.Second, &up, 1}}},
		{"up has a delay of its own", []vrrp.InterfaceDelay{{Interface: "eth0", Up: 2 * time.Second}},
			[]step{{0, &up, 1}, {1, &down, 1}, {2, &up, 0}, {3, &down, 0}, {4, &up, 0}, {5 * time.Second, nil, 1}}},
		{"everybody's delay", []vrrp.InterfaceDelay{{Down: time.Second}}, []step{{0, &up, 1}, {1, &down, 0}, {5 * time.Second, nil, 1}}},
		{"one's own comes before everybody's", []vrrp.InterfaceDelay{{Down: time.Second}, {Interface: "eth0"}}, []step{{0, &up, 1}, {1, &down, 1}}},
		{"another's delay", []vrrp.InterfaceDelay{{Interface: "eth1", Down: time.Second}}, []step{{0, &up, 1}, {1, &down, 1}}},
		{"an interface that is gone is told at once", []vrrp.InterfaceDelay{{Interface: "eth0", Down: time.Minute}},
			[]step{{0, &up, 1}, {1, &down, 0}, {2, &gone, 1}, {3, &again, 1}, {5 * time.Minute, nil, 0}}},
		{"one that flaps is believed when it has lasted", nil, []step{{0, &up, 1},
			{1 * time.Second, &down, 1}, {2 * time.Second, &up, 1}, {3 * time.Second, &down, 1}, {4 * time.Second, &up, 1},
			{5 * time.Second, &down, 1}, {6 * time.Second, &up, 1}, {7 * time.Second, &down, 1}, {8 * time.Second, &up, 0},
			{12 * time.Second, nil, 0}, {13 * time.Second, nil, 1}, {14 * time.Second, &down, 1}, {15 * time.Second, &up, 0},
			{16 * time.Second, &down, 0}, {17 * time.Second, &up, 0}, {36 * time.Second, nil, 0}, {37 * time.Second, nil, 1}}},
		{"a calm minute makes good", nil, []step{{0, &up, 1},
			{1 * time.Second, &down, 1}, {2 * time.Second, &up, 1}, {3 * time.Second, &down, 1}, {4 * time.Second, &up, 1},
			{5 * time.Second, &down, 1}, {6 * time.Second, &up, 1}, {70 * time.Second, &down, 1}, {71 * time.Second, &up, 1}}},
		{"addresses are not damped", []vrrp.InterfaceDelay{{Interface: "eth0", Down: time.Minute}},
			[]step{{0, &up, 1}, {1, &Event{Kind: AddressGone, Dev: "eth0"}, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d damper
			d.set(c.delays)
			for n, s := range c.steps {
				now := start.Add(s.at)
				late, _ := d.due(now)
				told := len(late)
				if s.event != nil && d.event(*s.event, now) {
					told++
				}
				if told != s.told {
					t.Fatalf("step %d told %d events, want %d", n, told, s.told)
				}
			}
		})
	}
}

// TestFlap: a link that flaps faster than its delay is neither told of nor seen by who asks; one that stays down is.
func TestFlap(t *testing.T) {
	n := lab.New(t)
	m := newMachine(t, n, "a", "10.0.0.1/24")
	m.do(func() error {
		_, err := m.Prepare(Setup{Delays: []vrrp.InterfaceDelay{{Interface: "eth0", Down: 400 * time.Millisecond}}})
		return err
	})
	ch := m.watched()
	m.await(ch, "the link that is there", func(e Event) bool { return e.Kind == LinkChanged && e.Dev == "eth0" && e.Carrier })
	n.Must(m.host.Carrier(false))
	time.Sleep(100 * time.Millisecond) // within the delay: nothing is to happen
	if l := m.link("eth0"); l.Usable() != nil {
		t.Errorf("who asks sees the flap: %v", l.Usable())
	}
	n.Must(m.host.Carrier(true))
	quiet := time.After(700 * time.Millisecond)
	for waiting := true; waiting; {
		select {
		case e := <-ch:
			if e.Kind == LinkChanged && e.Dev == "eth0" && !e.Carrier {
				t.Fatal("the flap was told")
			}
		case <-quiet:
			waiting = false
		}
	}
	began := time.Now()
	n.Must(m.host.Carrier(false))
	m.await(ch, "the outage that lasts", func(e Event) bool { return e.Kind == LinkChanged && e.Dev == "eth0" && !e.Carrier })
	if d := time.Since(began); d < 300*time.Millisecond || d > 2*time.Second {
		t.Errorf("told after %s", d)
	}
	if m.link("eth0").Usable() == nil {
		t.Error("who asks does not see it")
	}
}

func (m machine) link(dev string) (l Link) {
	m.t.Helper()
	m.do(func() (err error) { l, err = m.Link(dev); return })
	return l
}
