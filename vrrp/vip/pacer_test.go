package vip

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

// play lets the pacer send all it has, at the times it asks for, and tells what left when.
func play(p *pacer, now boottime.Time) (out []string, at []time.Duration) {
	began := now
	for range 10000 {
		for l := p.due(now); l != nil; l = p.due(now) {
			b, frame := l.take(now)
			out = append(out, b.instance+" "+string(frame))
			at = append(at, now.Sub(began))
		}
		wait, more := p.wait(now)
		if !more {
			return out, at
		}
		now = now.Add(wait)
	}
	panic("it never ends")
}

func frames(names ...string) (out [][]byte) {
	for _, n := range names {
		out = append(out, []byte(n))
	}
	return out
}

func TestPacer(t *testing.T) {
	const start = boottime.Time(time.Hour)
	t.Run("rounds, the bursts in turns", func(t *testing.T) {
		var p pacer
		p.add(&burst{instance: "A", dev: "eth0", frames: frames("1", "2"), left: 2})
		p.add(&burst{instance: "B", dev: "eth0", frames: frames("3"), left: 3})
		out, _ := play(&p, start)
		if want := []string{"A 1", "A 2", "B 3", "A 1", "A 2", "B 3", "B 3"}; !slices.Equal(out, want) {
			t.Errorf("sent %v, want %v", out, want)
		}
	})
	t.Run("pauses", func(t *testing.T) {
		p := pacer{pacing: Pacing{GarpInterval: 10 * time.Millisecond, GnaInterval: time.Second}}
		p.add(&burst{instance: "A", dev: "eth0", frames: frames("1", "2"), left: 2})
		p.add(&burst{instance: "A", dev: "eth0", na: true, frames: frames("6"), left: 2})
		p.add(&burst{instance: "A", dev: "eth1", frames: frames("9"), left: 1})
		out, at := play(&p, start)
		when := map[string][]time.Duration{}
		for i, o := range out {
			when[o] = append(when[o], at[i])
		}
		ms := time.Millisecond
		want := map[string][]time.Duration{"A 1": {0, 20 * ms}, "A 2": {10 * ms, 30 * ms}, "A 6": {0, time.Second}, "A 9": {0}}
		if fmt.Sprint(when) != fmt.Sprint(want) {
			t.Errorf("sent %v, want %v", when, want)
		}
	})
	t.Run("a garp_group shares a pace", func(t *testing.T) {
		p := pacer{pacing: Pacing{Groups: []vrrp.GarpGroup{{GarpInterval: 10 * time.Millisecond, Interfaces: []string{"eth0", "eth1"}}}}}
		p.add(&burst{instance: "A", dev: "eth0", frames: frames("1"), left: 2})
		p.add(&burst{instance: "A", dev: "eth1", frames: frames("2"), left: 2})
		p.add(&burst{instance: "A", dev: "eth2", frames: frames("3"), left: 2})
		_, at := play(&p, start)
		slices.Sort(at)
		if want := "[0s 0s 0s 10ms 20ms 30ms]"; fmt.Sprint(at) != want {
			t.Errorf("sent at %v, want %s", at, want)
		}
	})
	t.Run("a late timer makes no storm", func(t *testing.T) {
		p := pacer{pacing: Pacing{GarpInterval: 10 * time.Millisecond}}
		p.add(&burst{instance: "A", dev: "eth0", frames: frames("1"), left: 10})
		p.due(start).take(start)
		late := start.Add(time.Second)
		n := 0
		for l := p.due(late); l != nil; l = p.due(late) {
			l.take(late)
			n++
		}
		if n != 1 {
			t.Errorf("%d frames at once", n)
		}
	})
	t.Run("a burst in a burst", func(t *testing.T) {
		p := pacer{pacing: Pacing{GarpInterval: time.Millisecond}}
		p.add(&burst{instance: "A", dev: "eth0", frames: frames("1"), left: 5})
		p.due(start).take(start)
		p.add(&burst{instance: "A", dev: "eth0", frames: frames("1", "2"), left: 2}) // an address more
		if out, _ := play(&p, start); len(out) != 8 || out[1] != "A 2" {
			t.Errorf("sent %v", out)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		var p pacer
		p.add(&burst{instance: "A", dev: "eth0", frames: frames("1"), left: 5})
		p.add(&burst{instance: "B", dev: "eth0", frames: frames("2"), left: 1})
		p.cancel("A")
		if out, _ := play(&p, start); !slices.Equal(out, []string{"B 2"}) {
			t.Errorf("sent %v", out)
		}
	})
	t.Run("another pace", func(t *testing.T) {
		p := pacer{pacing: Pacing{GarpInterval: time.Hour}}
		p.add(&burst{instance: "A", dev: "eth0", frames: frames("1"), left: 3})
		p.due(start).take(start)
		p.set(Pacing{})
		if _, at := play(&p, start); at[len(at)-1] != 0 {
			t.Errorf("sent at %v", at)
		}
	})
}

func BenchmarkPacer(b *testing.B) {
	var p pacer
	burstOf := &burst{instance: "A", dev: "eth0", frames: frames("1"), left: 1}
	b.ReportAllocs()
	for b.Loop() {
		burstOf.left = 1
		p.add(burstOf)
		p.due(1).take(1)
	}
}
