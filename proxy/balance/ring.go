package balance

import "slices"

// Ring is `hash-type consistent`: every server has points on a circle of 2^32 places, WeightScale for each unit of its
// weight, and a hash belongs to the point that is nearest in either direction. Who loses points loses their hashes alone;
// everybody else's stay. Where a server's points are depends on its id only, so that all nodes that number servers alike
// agree, with each other and with HAProxy. A Ring is immutable and safe for concurrent use.
type Ring struct {
	points []uint32
	owner  []int32
}

// WeightScale is how many points a unit of weight has. Scaled weights let a slow start grow in finer steps than units.
const WeightScale = 16

// idRange is how far apart the numbers of two servers' first points are.
const idRange = MaxWeight * WeightScale

// NewRing places servers with these ids and scaled weights, by index. O(n log n) in the number of points.
func NewRing(ids []uint32, scaled []int) *Ring {
	n := 0
	for _, w := range scaled {
		n += w
	}
	all := make([]uint64, 0, n)
	for i, w := range scaled {
		for j := range w {
			all = append(all, uint64(Avalanche(ids[i]*idRange+uint32(j)))<<32|uint64(i))
		}
	}
	slices.Sort(all)
	r := &Ring{make([]uint32, n), make([]int32, n)}
	for k, p := range all {
		r.points[k], r.owner[k] = uint32(p>>32), int32(uint32(p))
	}
	return r
}

// Owners are the servers of all points, in the order of the circle. Not to be changed.
func (r *Ring) Owners() []int32 { return r.owner }

// Find is the number of the point that a hash belongs to; there must be one.
func (r *Ring) Find(hash uint32) int {
	next, found := slices.BinarySearch(r.points, hash)
	if found {
		return r.step(next, hash)
	}
	return r.step(next%len(r.points), hash)
}

// step compares the point at or behind a hash with the one before it.
func (r *Ring) step(next int, hash uint32) int {
	before := (next + len(r.points) - 1) % len(r.points)
	if hash-r.points[before] <= r.points[next]-hash {
		return before
	}
	return next
}

// Allowed is the load bound of `hash-balance-factor`: how many requests a server may have when served are under way in
// the backend and one more is to be placed. Each has its share of factor percent of them by its scaled weight; before is
// the sum of the scaled weights of the servers in front of it, so that what the division leaves is dealt out once.
func Allowed(served, factor, weight, before, total int) int {
	slots := ((served+1)*factor + 99) / 100
	share, rest := slots/total, slots%total
	return max(1, weight*share+(before+weight)*rest/total-before*rest/total)
}
