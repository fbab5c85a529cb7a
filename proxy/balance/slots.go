package balance

// Slots are what `balance static-rr` walks and a map-based hash points into: as many slots as the weights add up to, each
// belonging to one server. Any change of a weight or of who is up makes other slots, so that most hashes move; that is
// what map-based means. Slots are immutable and safe for concurrent use.
//
// Slot k goes to the first server, in the order of the file, that is furthest behind: of weight w it is owed
// floor((k+1) x w / total) slots by then.
type Slots struct{ owner []int32 }

// NewSlots deals the slots of servers with these weights, by index; a weight of 0 gets none. O(total x log servers).
func NewSlots(weights []int) *Slots {
	n := len(weights)
	total, div := 0, 0
	for _, w := range weights {
		total += w
		for a := w; a != 0; {
			div, a = a, div%a
		}
	}
	if total == 0 {
		return &Slots{}
	}
	total /= div // a common divisor only repeats the slots
	s := &Slots{make([]int32, 0, total)}
	owed, accrue := newQueue(n), newQueue(n) // who is furthest behind, and when a server is owed one more
	due, lag := make([]int, n), make([]int, n)
	for i, w := range weights {
		if w > 0 {
			owed.push(i, lagKey(0, i))
			accrue.push(i, accrual(1, w/div, total))
		}
	}
	for k := range total {
		for accrue.len() > 0 && accrue.minKey() <= uint64(k+1) {
			i := accrue.first()
			due[i]++
			lag[i]++
			owed.update(i, lagKey(lag[i], i))
			accrue.update(i, accrual(due[i]+1, weights[i]/div, total))
		}
		i := owed.first()
		lag[i]--
		owed.update(i, lagKey(lag[i], i))
		s.owner = append(s.owner, int32(i))
	}
	return s
}

// lagKey orders by lag, greatest first, then by index. A lag stays within a few of 0.
func lagKey(lag, i int) uint64 { return uint64(1<<20-lag)<<16 | uint64(i) }

// accrual is after how many slots a server of weight w is owed its n-th.
func accrual(n, w, total int) uint64 { return uint64((n*total + w - 1) / w) }

// Owners are the servers of all slots, in order. Not to be changed.
func (s *Slots) Owners() []int32 { return s.owner }

// Find is the slot that a hash belongs to; there must be one.
func (s *Slots) Find(hash uint32) int { return int(hash % uint32(len(s.owner))) }
