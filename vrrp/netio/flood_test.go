package netio

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp/packet"
)

// flood sends as fast as one thread of a host can until stop is closed.
func flood(h *lab.Host, payload []byte, sent *atomic.Int64, stop <-chan struct{}) error {
	return h.Do(func() error {
		p := New(Options{Interface: "eth0"})
		if err := p.Open(); err != nil {
			return err
		}
		defer func() { p.mu.Lock(); p.shut(); p.mu.Unlock() }()
		for {
			select {
			case <-stop:
				return nil
			default:
			}
			if p.Send(addr("10.0.0.9"), payload) == nil {
				sent.Add(1)
			}
		}
	})
}

// TestFlood: while a host floods the segment the adverts of a good one come through, each of them, and in time.
func TestFlood(t *testing.T) {
	n := lab.New(t)
	ha, hb, hx := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24"), n.Host("x", "10.0.0.9/24")
	good := NewQueue(64)
	a := New(Options{Interface: "eth0", Receive: func(packet.Datagram) {}})
	b := New(Options{Interface: "eth0", Receive: func(d packet.Datagram) { good.Put(d) }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 2)
	for h, p := range map[*lab.Host]*Port{ha: a, hb: b} {
		go func() { defer func() { done <- struct{}{} }(); _ = h.Do(func() error { return p.Run(ctx) }) }()
	}
	defer func() { cancel(); <-done; <-done }()
	for a.Stats().Opened == 0 || b.Stats().Opened == 0 {
		time.Sleep(time.Millisecond)
	}
	stop, flooded := make(chan struct{}), make(chan error, 1)
	var sent atomic.Int64
	go func() { flooded <- flood(hx, []byte("! not an advert"), &sent, stop) }()
	began := time.Now()
	var worst time.Duration
	var d packet.Datagram
	missing := 0
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for n := range 40 {
		<-tick.C
		if err := a.Send(addr("10.0.0.1"), []byte{byte(n), 'g', 'o', 'o', 'd'}); err != nil {
			t.Fatal(err)
		}
		at, came := time.Now(), false
		for !came && time.Since(at) < time.Second {
			select {
			case <-good.Ready():
			case <-time.After(time.Second):
			}
			for _, ok := good.Take(&d); ok; _, ok = good.Take(&d) {
				came = came || d.Source == addr("10.0.0.1") && d.Payload[0] == byte(n)
			}
		}
		if worst = max(worst, time.Since(at)); !came {
			missing++
		}
	}
	close(stop)
	if err := <-flooded; err != nil {
		t.Fatal(err)
	}
	s := b.Stats()
	t.Logf("%.0f packets/s, worst delay of a good advert %s, %+v", float64(sent.Load())/time.Since(began).Seconds(), worst, s)
	if missing > 1 { // three in a row would cost the mastership
		t.Errorf("%d of 40 adverts lost in the flood", missing)
	}
}

// BenchmarkReceive is one packet from the socket through a Queue to who takes it.
func BenchmarkReceive(b *testing.B) {
	n := lab.New(b)
	ha, hb := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	queue := NewQueue(64)
	var got atomic.Int64
	wake := make(chan struct{}, 1)
	in := New(Options{Interface: "eth0", Receive: func(d packet.Datagram) {
		queue.Put(d)
		got.Add(1)
		select {
		case wake <- struct{}{}:
		default:
		}
	}})
	out := New(Options{Interface: "eth0", Receive: func(packet.Datagram) {}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	for h, p := range map[*lab.Host]*Port{ha: out, hb: in} {
		go func() { defer func() { done <- struct{}{} }(); _ = h.Do(func() error { return p.Run(ctx) }) }()
	}
	defer func() { cancel(); <-done; <-done }()
	for in.Stats().Opened == 0 || out.Stats().Opened == 0 {
		time.Sleep(time.Millisecond)
	}
	payload := make([]byte, 20)
	var d packet.Datagram
	b.ReportAllocs()
	for b.Loop() {
		want := got.Load() + 1
		if err := out.Send(addr("10.0.0.1"), payload); err != nil {
			b.Fatal(err)
		}
		for got.Load() < want {
			<-wake
		}
		queue.Take(&d)
	}
}
