package vip

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// watched starts Run on the machine's host and ends it with the test.
func (m machine) watched() <-chan Event {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.host.Do(func() error { return m.Run(ctx) }) }()
	m.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			m.t.Error(err)
		}
		if _, open := <-drained(m.Watch()); open {
			m.t.Error("channel open after Run")
		}
	})
	return m.Watch()
}

func drained(ch <-chan Event) <-chan Event {
	for range ch {
	}
	return ch
}

// await reads events until one matches.
func (m machine) await(ch <-chan Event, what string, match func(Event) bool) Event {
	m.t.Helper()
	timeout := time.After(5 * time.Second)
	for {
		select {
		case e := <-ch:
			if match(e) {
				return e
			}
		case <-timeout:
			m.t.Fatalf("no event: %s", what)
		}
	}
}

func TestWatch(t *testing.T) {
	n := lab.New(t)
	m := newMachine(t, n, "a", "10.0.0.1/24")
	ch := m.watched()
	addr := func(k EventKind, p string) func(Event) bool {
		return func(e Event) bool { return e.Kind == k && e.Prefix == prefix(p) && e.Dev == "eth0" }
	}
	m.await(ch, "the link that is there", func(e Event) bool { return e.Kind == LinkChanged && e.Dev == "eth0" && e.Up })
	m.await(ch, "the address that is there", addr(AddressAdded, "10.0.0.1/24"))

	g := group("eth0", -1, "10.0.0.100/32")
	m.add(g)
	if e := m.await(ch, "our address on", addr(AddressAdded, "10.0.0.100/32")); e.Instance != "VI_1" {
		t.Errorf("ours, but told as %q", e.Instance)
	}
	n.Must(m.host.DelAddr("eth0", "10.0.0.100/32"))
	if e := m.await(ch, "deleted from outside", addr(AddressGone, "10.0.0.100/32")); e.Instance != "VI_1" {
		t.Errorf("ours, but told as %q", e.Instance)
	}
	m.add(g)
	m.await(ch, "on again", addr(AddressAdded, "10.0.0.100/32"))
	m.do(func() error { return m.Remove(g) })
	if e := m.await(ch, "removed by us", addr(AddressGone, "10.0.0.100/32")); e.Instance != "" {
		t.Errorf("removed by will, but told as %q's", e.Instance)
	}
	n.Must(m.host.Carrier(false))
	m.await(ch, "carrier gone", func(e Event) bool { return e.Kind == LinkChanged && e.Dev == "eth0" && !e.Carrier })
	n.Must(m.host.Carrier(true))
	m.await(ch, "carrier back", func(e Event) bool { return e.Kind == LinkChanged && e.Dev == "eth0" && e.Carrier })
	n.Attach(m.host, "second", "eth1")
	m.await(ch, "an interface appears", func(e Event) bool { return e.Kind == LinkChanged && e.Dev == "eth1" })
}

// A reader that sleeps through an overflow of the kernel's buffer still learns what is so in the end.
func TestWatchSurvivesOverflow(t *testing.T) {
	n := lab.New(t)
	m := newMachine(t, n, "a")
	ch := m.watched()
	m.await(ch, "the link", func(e Event) bool { return e.Kind == LinkChanged && e.Dev == "eth0" })
	var all []string
	for i := range 600 {
		all = append(all, fmt.Sprintf("10.1.%d.%d/32", i/200, i%200+1))
	}
	g := group("eth0", -1, all...)
	for range 8 { // each round is 1200 messages, far more than the socket and the channel hold
		m.add(g)
		m.do(func() error { return m.Remove(g) })
	}
	keep := group("eth0", -1, all[:300]...)
	m.add(keep)
	on := map[string]bool{}
	timeout := time.After(20 * time.Second)
	for settled := false; !settled; {
		select {
		case e := <-ch:
			switch e.Kind {
			case AddressAdded:
				on[e.Prefix.String()] = true
			case AddressGone:
				delete(on, e.Prefix.String())
			}
		case <-time.After(500 * time.Millisecond):
			settled = true
		case <-timeout:
			t.Fatal("events never end")
		}
	}
	for i, p := range all {
		if on[p] != (i < 300) {
			t.Fatalf("%s: reader believes %v", p, on[p])
		}
	}
}
