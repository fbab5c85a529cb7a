package balance

// slots is the map-based `balance source`: as many slots as the weights add up to, each belonging to one server, and a
// hash belongs to the slot of its remainder. Any change of a weight or of who is up deals the slots anew, so that most
// clients move; that is what map-based means.
//
// Slot k goes to the first server, in the order of the file, that is furthest behind: of weight w it is owed
// floor((k+1) x w / total) slots by then.
type slots struct {
	p       *Picker
	weights []int
	owner   []int32
	owed    *queue // who is furthest behind, then by index
	accrue  *queue // when a server is owed one more
	due     []int  // slots owed so far
	lag     []int  // owed less given
}

func newSlots(p *Picker, weights []int) *slots {
	n := len(weights)
	s := &slots{p: p, weights: weights, owed: newQueue(n), accrue: newQueue(n), due: make([]int, n), lag: make([]int, n)}
	s.deal()
	return s
}

// set gives a server the weight that counts from now on, 0 when it is not usable.
func (s *slots) set(i, weight int) {
	s.weights[i] = weight
	s.deal()
}

// divisor is the greatest common one of the weights that count, which only shortens the period of the slots.
func (s *slots) divisor() (total, div int) {
	for _, w := range s.weights {
		total += w
		for a := w; a != 0; {
			div, a = a, div%a
		}
	}
	return total, max(div, 1)
}

// deal hands out all slots: O(total x log servers).
func (s *slots) deal() {
	total, div := s.divisor()
	total /= div
	s.owner = s.owner[:0]
	s.owed.clear()
	s.accrue.clear()
	for i, w := range s.weights {
		if w > 0 {
			s.due[i], s.lag[i] = 0, 0
			s.owed.push(i, lagKey(0, i))
			s.accrue.push(i, accrual(1, w/div, total))
		}
	}
	for k := range total {
		for s.accrue.len() > 0 && s.accrue.minKey() <= uint64(k+1) {
			i := s.accrue.first()
			s.due[i]++
			s.lag[i]++
			s.owed.update(i, lagKey(s.lag[i], i))
			s.accrue.update(i, accrual(s.due[i]+1, s.weights[i]/div, total))
		}
		i := s.owed.first()
		s.lag[i]--
		s.owed.update(i, lagKey(s.lag[i], i))
		s.owner = append(s.owner, int32(i))
	}
}

// lagKey orders by lag, greatest first, then by index. A lag stays within a few of 0.
func lagKey(lag, i int) uint64 { return uint64(1<<20-lag)<<16 | uint64(i) }

// accrual is after how many slots a server of weight w is owed its n-th.
func accrual(n, w, total int) uint64 { return uint64((n*total + w - 1) / w) }

// next finds the index of the server that hash belongs to; None without a server.
func (s *slots) next(hash uint32, except int) int {
	if len(s.owner) == 0 {
		return None
	}
	at := int(hash % uint32(len(s.owner)))
	i := int(s.owner[at])
	if s.p.servers[i].ID != except || s.p.active < 2 {
		return i
	}
	// A redispatch goes to whoever follows in the map: the same other server each time, on every node.
	for step := 1; step < len(s.owner); step++ {
		if j := int(s.owner[(at+step)%len(s.owner)]); j != i {
			return j
		}
	}
	return i
}
