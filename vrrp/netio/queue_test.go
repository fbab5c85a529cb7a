package netio

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/vrrp/packet"
)

func datagram(host byte, payload string) packet.Datagram {
	return packet.Datagram{Source: netip.AddrFrom4([4]byte{10, 0, 0, host}), Destination: packet.Group4, TTL: 255, Payload: []byte(payload)}
}

// TestQueueInAFlood: one advert, however often it comes, leaves room for the others.
func TestQueueInAFlood(t *testing.T) {
	q := NewQueue(4)
	for range 1000 {
		q.Put(datagram(9, "lower priority"))
	}
	if !q.Put(datagram(1, "good")) {
		t.Fatal("no room")
	}
	var d packet.Datagram
	if times, ok := q.Take(&d); !ok || times != 1000 || string(d.Payload) != "lower priority" {
		t.Errorf("took %q, %d times", d.Payload, times)
	}
	if times, ok := q.Take(&d); !ok || times != 1 || string(d.Payload) != "good" || d.Source != addr("10.0.0.1") {
		t.Errorf("took %q from %s, %d times", d.Payload, d.Source, times)
	}
	if _, ok := q.Take(&d); ok {
		t.Error("something in an empty queue")
	}
	if lost, merged := q.Lost(); lost != 0 || merged != 999 {
		t.Errorf("lost %d, merged %d", lost, merged)
	}
	for host := range byte(6) {
		q.Put(datagram(host, "x"))
	}
	if lost, _ := q.Lost(); lost != 2 {
		t.Errorf("lost %d of 6 in a queue of 4", lost)
	}
}

// TestQueueKeepsTheLatest: an advert that came again after one of priority 0 is not lost to its earlier self, or a backup
// would take the master for gone that just said that it is there.
func TestQueueKeepsTheLatest(t *testing.T) {
	q := NewQueue(4)
	for _, text := range []string{"advert", "zero", "other", "advert"} {
		q.Put(datagram(1, text))
	}
	var d packet.Datagram
	for _, want := range []string{"zero", "other", "advert"} {
		if _, ok := q.Take(&d); !ok || string(d.Payload) != want {
			t.Errorf("took %q, want %q", d.Payload, want)
		}
	}
}

// TestQueueModel: what comes out is what went in, in order, of what waited the latest alone.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := NewQueue(rapid.IntRange(1, 8).Draw(t, "size"))
		type entry struct {
			text  string
			times int
		}
		var model []entry
		var d packet.Datagram
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				text := rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 3, -1).Draw(t, "payload")
				in := datagram(1, text)
				ok := q.Put(in)
				clear(in.Payload) // the queue has a copy
				for i := range model {
					if e := model[i]; e.text == text {
						e.times++
						model = append(append(model[:i:i], model[i+1:]...), e)
						return
					}
				}
				if ok != (len(model) < len(q.slots)) {
					t.Fatalf("put %v with %d waiting", ok, len(model))
				}
				if ok {
					model = append(model, entry{text, 1})
				}
			},
			"take": func(t *rapid.T) {
				times, ok := q.Take(&d)
				if ok != (len(model) > 0) {
					t.Fatalf("take %v with %d waiting", ok, len(model))
				}
				if !ok {
					return
				}
				if want := model[0]; string(d.Payload) != want.text || times != want.times {
					t.Fatalf("took %q %d times, want %+v", d.Payload, times, want)
				}
				model = model[1:]
			},
		})
	})
}

func BenchmarkQueue(b *testing.B) {
	q := NewQueue(64)
	in := datagram(1, "an advert of usual length")
	var out packet.Datagram
	b.ReportAllocs()
	for b.Loop() {
		q.Put(in)
		q.Take(&out)
	}
}

// TestQueueAH: adverts that differ in their authentication header alone are two.
func TestQueueAH(t *testing.T) {
	q := NewQueue(4)
	d := packet.Datagram{Payload: []byte("advert"), AH: packet.AuthHeader{Present: true, Sequence: 1}}
	q.Put(d)
	q.Put(d)
	d.AH.Sequence = 2
	q.Put(d)
	for want, times := range []int{2, 1} {
		if n, ok := q.Take(&d); !ok || n != times || d.AH.Sequence != uint32(want+1) {
			t.Errorf("took %+v %d times", d, n)
		}
	}
}
