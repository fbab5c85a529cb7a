package balance

// scale is how finely HAProxy counts weights: a turn has scale x the sum of the weights places.
const scale = 16

// robin is the weighted round robin in HAProxy's order.
//
// Picks are counted in turns of as many places as the scaled weights add up to. A server of weight w is due every
// total/w places; what the division leaves is carried, so that over a turn each gets its share, but for one place that
// may be lost by entering late. At the start of a turn nobody has a place yet: whenever no server is due, the heaviest
// one still waiting enters and counts its places from there. A server whose next place would lie beyond the turn waits
// for the next one.
type robin struct {
	p        *Picker
	seats    []seat
	running  *queue // have places in this turn, by the place that is due next
	entering *queue // not yet in this turn, heaviest first
	resting  *queue // done with this turn, heaviest first
	pos      int    // the place to give away next, from 0
	length   int    // places of this turn
	total    int    // scaled weights of all usable servers: the length of the next turn
	passed   []int  // avoided or full, during one pick
}

// seat is one server's standing.
type seat struct {
	weight int // scaled; 0: not usable
	last   int // the place it had
	due    int // the place it has next
	carry  int // what total/weight left over so far
}

func newRobin(p *Picker, weights []int) *robin {
	n := len(weights)
	r := &robin{p: p, seats: make([]seat, n), passed: make([]int, 0, n),
		running: newQueue(n), entering: newQueue(n), resting: newQueue(n)}
	for i, w := range weights {
		if w > 0 {
			r.seats[i].weight = w * scale
			r.total += w * scale
			r.wait(r.entering, i)
		}
	}
	r.length = r.total
	return r
}

// wait queues a server for a turn by its weight.
func (r *robin) wait(q *queue, i int) { q.push(i, uint64(MaxWeight*scale-r.seats[i].weight)) }

// set gives a server the weight that counts from now on, 0 when it is not usable.
func (r *robin) set(i, weight int) {
	s := &r.seats[i]
	old := s.weight
	s.weight = weight * scale
	r.total += s.weight - old
	switch {
	case weight == 0:
		r.leave(i)
	case old == 0:
		// Who returns gets its place as if what is left of the turn were shared out from here, and has what it carried.
		s.last = r.pos
		s.due = r.pos + (r.total-r.pos)/s.weight
		r.settle(i)
	case r.entering.has(i):
		r.entering.remove(i)
		r.wait(r.entering, i)
	default:
		r.replan(i)
	}
}

func (r *robin) leave(i int) {
	r.running.remove(i)
	r.entering.remove(i)
	r.resting.remove(i)
}

// replan moves the next place of a server whose weight changed: a step of the new width from its last one, no later than
// it was promised and not in the past.
func (r *robin) replan(i int) {
	s := &r.seats[i]
	promised := s.due
	if r.resting.has(i) {
		promised += r.length
	}
	step := r.total / s.weight
	s.due, s.carry = min(s.last+step, promised), 0
	if s.due < r.pos+2 {
		s.due = r.pos + step
	}
	r.leave(i)
	r.settle(i)
}

// settle puts a server with a next place where it belongs: into this turn, or to rest until the next.
func (r *robin) settle(i int) {
	s := &r.seats[i]
	if s.due >= r.length || s.due >= r.total {
		s.due -= r.length
		r.wait(r.resting, i)
		return
	}
	// Of those due at one place the heavier goes first, less what it carries, in whole weights.
	heavier := (MaxWeight*scale + s.carry - s.weight) / scale
	r.running.push(i, uint64(s.due)<<16|uint64(heavier))
}

// head is the server to pick at pos; None ends the turn.
func (r *robin) head() int {
	late := None
	if r.running.len() > 0 {
		if late = r.running.first(); r.seats[late].due <= r.pos {
			return late
		}
	}
	if r.entering.len() > 0 {
		return r.entering.first()
	}
	return late
}

// take gives the place at pos to a server and computes its next one. The server is in no queue afterwards.
func (r *robin) take(i int) {
	s := &r.seats[i]
	if r.entering.has(i) {
		s.due, s.carry = r.pos, 0
	}
	r.leave(i)
	s.last = s.due
	s.due += r.total / s.weight
	if s.carry += r.total % s.weight; s.carry >= s.weight {
		s.carry -= s.weight
		s.due++
	}
	r.pos++
}

func (r *robin) turn() {
	r.entering, r.resting = r.resting, r.entering
	r.pos, r.length = 0, r.total
}

// next picks the index of a server; None when all are full.
func (r *robin) next(except int, full func(id int) bool) int {
	turned, avoided, found := false, None, None
	r.passed = r.passed[:0]
	for found == None {
		i := r.head()
		if i == None {
			if turned {
				break
			}
			turned = true
			r.turn()
			continue
		}
		r.take(i)
		switch id := r.p.servers[i].ID; {
		case full != nil && full(id):
		case id == except:
			avoided = i
		default:
			found = i
			continue
		}
		r.passed = append(r.passed, i)
	}
	if found == None {
		found = avoided
	}
	r.putBack(found, turned)
	return found
}

// putBack queues what a pick took out: the server found, and those passed over as if they had been picked; when the turn
// ended meanwhile their places are lost and they enter the new one.
func (r *robin) putBack(found int, turned bool) {
	if found != None {
		r.settle(found)
	}
	for k := len(r.passed) - 1; k >= 0; k-- {
		switch i := r.passed[k]; {
		case i == found:
		case turned:
			r.wait(r.entering, i)
		default:
			r.settle(i)
		}
	}
}
