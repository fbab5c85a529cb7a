package vip

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
)

// TestMend: static addresses, routes and rules that somebody takes off come back, and those of an instance whose addresses
// live for ever; what says no_track does not, and nothing comes back that was taken off on purpose.
func TestMend(t *testing.T) {
	n := lab.New(t)
	m := newMachine(t, n, "a", "10.0.0.1/24")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.host.Do(func() error { return m.Run(ctx) }) }()
	go func() {
		for range m.Watch() { // until Run ends
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	route := func(dst string, noTrack bool) vrrp.Route {
		return vrrp.Route{Dst: prefix(dst), Via: netip.MustParseAddr("10.0.0.9"), Dev: "eth0", NoTrack: noTrack}
	}
	rule := func(priority int, noTrack bool) vrrp.Rule {
		return vrrp.Rule{From: prefix("10.0.0.77/32"), Table: "200", Priority: priority, NoTrack: noTrack}
	}
	m.do(func() error {
		_, err := m.Prepare(Setup{Static: vrrp.Static{
			Addresses: []vrrp.Address{{Prefix: prefix("10.0.0.77/24"), Dev: "eth0"}},
			Routes:    []vrrp.Route{route("10.21.0.0/16", false)},
			Rules:     []vrrp.Rule{rule(701, false)},
		}})
		return err
	})
	g := group("eth0", -1, "10.0.0.100/24")
	g.Routes, g.Rules = []vrrp.Route{route("10.22.0.0/16", false), route("10.23.0.0/16", true)}, []vrrp.Rule{rule(702, false), rule(703, true)}
	m.add(g)
	ip := func(words string) string {
		t.Helper()
		return output(t, m.host, append([]string{"ip"}, strings.Fields(words)...)...)
	}
	there := func() (out []string) {
		all := ip("route") + ip("rule") + ip("-br addr show dev eth0")
		for _, what := range []string{"10.0.0.77/24", "10.21.0.0/16", "701:", "10.22.0.0/16", "702:", "10.23.0.0/16", "703:"} {
			if strings.Contains(all, what) {
				out = append(out, what)
			}
		}
		return out
	}
	if got := there(); len(got) != 7 {
		t.Fatalf("at the start: %v", got)
	}
	for _, words := range []string{
		"addr del 10.0.0.77/24 dev eth0", "route del 10.21.0.0/16", "rule del priority 701", "route del 10.22.0.0/16", "rule del priority 702",
		"route del 10.23.0.0/16", "rule del priority 703",
	} {
		ip(words)
	}
	m.add(g) // a renewal leaves what nobody tracks
	within(t, 3*mendInterval, "back are 10.0.0.77/24 10.21.0.0/16 701: 10.22.0.0/16 702:", func() bool {
		return strings.Join(there(), " ") == "10.0.0.77/24 10.21.0.0/16 701: 10.22.0.0/16 702:"
	})
	if text := ip("route") + ip("rule"); strings.Count(text, "10.21.0.0/16") != 1 || strings.Count(text, "701:") != 1 {
		t.Errorf("there twice: %s", text)
	}
	// A link that was down takes routes along, without a word.
	n.Must(m.host.Port("eth0").Carrier(false))
	ip("link set eth0 down")
	ip("link set eth0 up")
	n.Must(m.host.Port("eth0").Carrier(true))
	within(t, 3*mendInterval, "the routes are back", func() bool {
		got := strings.Join(there(), " ")
		return strings.Contains(got, "10.21.0.0/16") && strings.Contains(got, "10.22.0.0/16")
	})
	m.do(func() error { return m.Remove(g) })
	m.do(m.Undo)
	m.mend(true)
	time.Sleep(mendInterval + mendInterval/10) // what must not happen has no event
	if got := there(); len(got) != 0 {
		t.Errorf("taken off on purpose, and back: %v", got)
	}
}
