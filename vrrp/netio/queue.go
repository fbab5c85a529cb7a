package netio

import (
	"bytes"
	"net/netip"
	"sync"

	"github.com/reeve-lb/reeve/vrrp/packet"
)

// Queue carries datagrams from the goroutine of a Port to that of an instance. It is bounded, copies payloads into buffers
// that it uses again, and coalesces: an advert that waits already, the same bytes from the same source by the same way, does
// not wait twice. It takes the place of the later one, behind what came in between, since an advert after a priority 0 says
// more than one before it. So a flood of one advert can't push another out, and an instance that slept answers a peer once
// and not once for each advert that came meanwhile.
//
// Safe for concurrent use by any number of goroutines that Put and one that Takes.
type Queue struct {
	ready chan struct{}

	mu     sync.Mutex
	slots  []packet.Datagram // a ring
	counts []int             // how often the datagram of the slot came
	first  int
	used   int
	lost   uint64
	merged uint64
}

// NewQueue makes a queue of that many datagrams.
func NewQueue(size int) *Queue {
	return &Queue{ready: make(chan struct{}, 1), slots: make([]packet.Datagram, size), counts: make([]int, size)}
}

// Put queues a copy; false if there was no room.
func (q *Queue) Put(d packet.Datagram) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n := range q.used {
		at := (q.first + n) % len(q.slots)
		if s := &q.slots[at]; s.Source == d.Source && s.TTL == d.TTL && s.Destination == d.Destination && s.AH == d.AH && bytes.Equal(s.Payload, d.Payload) {
			q.counts[at]++
			q.merged++
			q.last(n)
			return true
		}
	}
	if q.used == len(q.slots) {
		q.lost++
		return false
	}
	at := (q.first + q.used) % len(q.slots)
	s := &q.slots[at]
	buffer := append(s.Payload[:0], d.Payload...)
	*s = d
	s.Payload = buffer
	q.counts[at] = 1
	q.used++
	q.Again()
	return true
}

// last moves the nth of those that wait behind all others.
func (q *Queue) last(n int) {
	for ; n < q.used-1; n++ {
		a, b := (q.first+n)%len(q.slots), (q.first+n+1)%len(q.slots)
		q.slots[a], q.slots[b] = q.slots[b], q.slots[a]
		q.counts[a], q.counts[b] = q.counts[b], q.counts[a]
	}
}

// Ready has a value when there may be something to Take. Take until it says no.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// Again makes Ready have a value: for who stopped taking before it was told that there is no more.
func (q *Queue) Again() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// Take moves the oldest datagram into d, whose payload's memory goes to the queue for it, and tells how often it came. It
// is false if there is none.
func (q *Queue) Take(d *packet.Datagram) (times int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used == 0 {
		return 0, false
	}
	s := &q.slots[q.first]
	*s, *d = packet.Datagram{Source: netip.Addr{}, Payload: d.Payload[:0]}, *s
	times = q.counts[q.first]
	q.first = (q.first + 1) % len(q.slots)
	q.used--
	return times, true
}

// Lost is how many datagrams found no room; Merged how many were like one that waited.
func (q *Queue) Lost() (lost, merged uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost, q.merged
}
