package balance

import "slices"

// Shares draw a server at random in proportion to the weights. Immutable and safe for concurrent use.
type Shares struct {
	upTo  []uint64 // where each server's share ends
	owner []int32
}

// NewShares makes the shares of servers with these weights, by index; a weight of 0 is never drawn.
func NewShares(weights []int) *Shares {
	s := &Shares{}
	total := uint64(0)
	for i, w := range weights {
		if w > 0 {
			total += uint64(w)
			s.upTo, s.owner = append(s.upTo, total), append(s.owner, int32(i))
		}
	}
	return s
}

// Draw is the index of the server that an evenly random number stands for; there must be one.
func (s *Shares) Draw(random uint32) int {
	at := uint64(random) * s.upTo[len(s.upTo)-1] >> 32
	i, _ := slices.BinarySearch(s.upTo, at+1)
	return int(s.owner[i])
}

// Least is what `balance leastconn` compares: how busy a server would be with one request more, in proportion to its
// scaled weight. One that has nothing to do is the least whatever its weight.
func Least(inflight, scaled int) uint64 {
	if inflight == 0 || scaled == 0 {
		return 0
	}
	return uint64(inflight+1) * MaxWeight * WeightScale / uint64(scaled)
}

// Lighter reports whether a server with this load and weight is less busy than another one, or as busy.
func Lighter(load, weight, otherLoad, otherWeight int) bool {
	return load*otherWeight <= otherLoad*weight
}
