package engine

import "math/bits"

// The wheel counts in milliseconds and has four levels of 256 slots: 49 days. A timer is inserted and removed in
// constant time and without allocating; its owner moves the deadline by leaving the timer where it is and looking again
// when it fires too early, so that activity on a connection costs nothing here.
const (
	wheelBits   = 8
	wheelSlots  = 1 << wheelBits
	wheelLevels = 4
	wheelSpan   = int64(1)<<(wheelBits*wheelLevels) - 1
	noDeadline  = int64(1)<<62 - 1
)

// timed is who is told that a timer fired.
type timed interface{ expired() }

// timer is one place on a wheel; embed it. at is in milliseconds.
type timer struct {
	prev, next *timer
	at         int64
	owner      timed
	level      uint8
	slot       uint8
	on         bool
}

type wheel struct {
	now   int64 // milliseconds; every timer at or before it has fired
	slots [wheelLevels][wheelSlots]timer
	used  [wheelLevels][wheelSlots / 64]uint64
}

func newWheel(now int64) *wheel {
	w := &wheel{now: now}
	for l := range w.slots {
		for s := range w.slots[l] {
			h := &w.slots[l][s]
			h.prev, h.next = h, h
		}
	}
	return w
}

// add puts t at a deadline, moving it when it is on the wheel already.
func (w *wheel) add(t *timer, at int64) {
	if t.on {
		w.remove(t)
	}
	t.at = min(max(at, w.now+1), w.now+wheelSpan)
	delta := uint64(t.at ^ w.now)
	level := 0
	if delta != 0 {
		level = min((63-bits.LeadingZeros64(delta))/wheelBits, wheelLevels-1)
	}
	slot := int(t.at>>(level*wheelBits)) & (wheelSlots - 1)
	h := &w.slots[level][slot]
	t.prev, t.next = h.prev, h
	h.prev.next, h.prev = t, t
	t.level, t.slot, t.on = uint8(level), uint8(slot), true
	w.used[level][slot/64] |= 1 << (slot % 64)
}

func (w *wheel) remove(t *timer) {
	if !t.on {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.prev, t.next, t.on = nil, nil, false
	if h := &w.slots[t.level][t.slot]; h.next == h {
		w.used[t.level][t.slot/64] &^= 1 << (t.slot % 64)
	}
}

// next is when something may have to be done: a timer fires or a slot of a higher level is dealt out.
func (w *wheel) next() int64 {
	best := noDeadline
	for level := range wheelLevels {
		shift := level * wheelBits
		at := int(w.now>>shift) & (wheelSlots - 1)
		if d := w.distance(level, at); d > 0 {
			best = min(best, (w.now>>shift+int64(d))<<shift)
		}
	}
	return best
}

// distance is how many slots after at the next used one of a level lies, 0 if there is none.
func (w *wheel) distance(level, at int) int {
	for d := 1; d <= wheelSlots; {
		s := (at + d) & (wheelSlots - 1)
		word := w.used[level][s/64] >> (s % 64)
		if word != 0 {
			d += bits.TrailingZeros64(word)
			if d > wheelSlots {
				return 0
			}
			return d
		}
		d += 64 - s%64
	}
	return 0
}

// advance fires every timer up to now. Owners may add and remove timers meanwhile.
func (w *wheel) advance(now int64) {
	for w.now < now {
		step := min(w.next(), now)
		w.now = step
		for level := wheelLevels - 1; level > 0; level-- {
			if step&(1<<(level*wheelBits)-1) == 0 {
				w.deal(level, int(step>>(level*wheelBits))&(wheelSlots-1))
			}
		}
		w.fire(int(step) & (wheelSlots - 1))
	}
}

// deal spreads a slot of a higher level over the lower ones.
func (w *wheel) deal(level, slot int) {
	h := &w.slots[level][slot]
	for h.next != h {
		t := h.next
		w.remove(t)
		at := t.at
		if at <= w.now {
			t.on = false
			w.put0(t)
			continue
		}
		w.add(t, at)
	}
}

// put0 places a timer that is due this very millisecond.
func (w *wheel) put0(t *timer) {
	slot := int(w.now) & (wheelSlots - 1)
	h := &w.slots[0][slot]
	t.prev, t.next = h.prev, h
	h.prev.next, h.prev = t, t
	t.level, t.slot, t.on = 0, uint8(slot), true
	w.used[0][slot/64] |= 1 << (slot % 64)
}

func (w *wheel) fire(slot int) {
	h := &w.slots[0][slot]
	for h.next != h && h.next.at <= w.now {
		t := h.next
		w.remove(t)
		t.owner.expired()
	}
}
