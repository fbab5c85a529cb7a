package balance

import (
	"hash/fnv"
	"slices"
	"strings"
)

// Maglev is the lookup table of Google's load balancer of that name (Eisenbud et al., NSDI 2016, section 3.4): a hash costs
// one look, the shares are even to within a percent, and when a server goes little more than its entries change. A
// server's preferences come from its name alone: every node with the same servers has the same table, whatever their ids
// or their order. A Maglev is immutable and safe for concurrent use.
type Maglev struct{ owner []int32 }

// MaglevSize is the number of entries, a prime, at least a hundred for each server of a backend of several hundred.
const MaglevSize = 65537

// NewMaglev fills the table for servers with these names and weights, by index; a weight of 0 gets nothing.
func NewMaglev(names []string, weights []int) *Maglev {
	type preference struct{ at, skip, credit uint32 }
	most := 0
	prefs := make([]preference, len(names))
	var order []int
	for i, name := range names {
		h := fnv.New64a()
		_, _ = h.Write([]byte(name))
		sum := mix(h.Sum64())
		prefs[i] = preference{at: uint32(sum>>32) % MaglevSize, skip: uint32(sum)%(MaglevSize-1) + 1}
		if weights[i] > 0 {
			most = max(most, weights[i])
			order = append(order, i)
		}
	}
	if len(order) == 0 {
		return &Maglev{}
	}
	// The order of the file must not count.
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(names[a], names[b]) })
	m := &Maglev{make([]int32, MaglevSize)}
	for k := range m.owner {
		m.owner[k] = None
	}
	for left := MaglevSize; left > 0; {
		for _, i := range order {
			p := &prefs[i]
			// In each round a server may choose as often as its weight is of the greatest.
			if p.credit += uint32(weights[i]); p.credit < uint32(most) {
				continue
			}
			p.credit -= uint32(most)
			for m.owner[p.at] != None {
				p.at = (p.at + p.skip) % MaglevSize
			}
			m.owner[p.at] = int32(i)
			if left--; left == 0 {
				break
			}
		}
	}
	return m
}

// mix spreads every bit of x over all others (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Owners are the servers of all entries, in order. Not to be changed.
func (m *Maglev) Owners() []int32 { return m.owner }

// Find is the entry that a hash belongs to; there must be one.
func (m *Maglev) Find(hash uint32) int { return int(hash % MaglevSize) }
