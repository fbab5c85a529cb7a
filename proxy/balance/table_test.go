package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/proxy"
)

// finder is what Slots, Ring and Maglev have in common.
type finder interface {
	Find(hash uint32) int
	Owners() []int32
}

func owner(f finder, hash uint32) int { return int(f.Owners()[f.Find(hash)]) }

// consistents make the tables that promise to move little, for servers 1, 2, ... with these weights.
var consistents = map[string]func(weights []int) finder{
	"ring": func(weights []int) finder {
		ids, scaled := make([]uint32, len(weights)), make([]int, len(weights))
		for i, w := range weights {
			ids[i], scaled[i] = uint32(i+1), w*WeightScale
		}
		return NewRing(ids, scaled)
	},
	"maglev": func(weights []int) finder { return NewMaglev(named(len(weights)), weights) },
}

func named(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("server-%d", i+1))
	}
	return names
}

// Who goes loses its keys, and only on Maglev may a few others move with them.
func TestOnlyTheLostServersKeysMove(t *testing.T) {
	for name, table := range consistents {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				weights := rapid.SliceOfN(rapid.IntRange(1, 8), 2, 8).Draw(t, "weights")
				gone := rapid.IntRange(0, len(weights)-1).Draw(t, "gone")
				before := table(weights)
				left := slices.Clone(weights)
				left[gone] = 0
				after := table(left)
				moved := 0
				for range 2000 {
					h := rand.Uint32()
					was, is := owner(before, h), owner(after, h)
					if is == gone {
						t.Fatalf("a key belongs to the server that is gone")
					}
					if was != gone && was != is {
						moved++
					}
				}
				if name == "ring" && moved > 0 {
					t.Fatalf("%d of 2000 keys moved that need not", moved)
				}
				if moved > 2000*20/100 {
					t.Fatalf("%d of 2000 keys moved that need not", moved)
				}
			})
		})
	}
}

// Shares follow the weights: closely on Maglev, roughly on the ring, whose points are sown at random.
func TestTableSharesFollowWeights(t *testing.T) {
	for name, table := range consistents {
		weights := []int{10, 20, 30, 40}
		f := table(weights)
		counts := make([]float64, len(weights))
		const draws = 200_000
		rnd := rand.New(rand.NewPCG(1, 2))
		for range draws {
			counts[owner(f, rnd.Uint32())]++
		}
		for i, w := range weights {
			want := float64(draws) * float64(w) / 100
			if off := math.Abs(counts[i]-want) / want; off > map[string]float64{"ring": 0.25, "maglev": 0.02}[name] {
				t.Errorf("%s: server of weight %d has %.0f of %d keys, want about %.0f", name, w, counts[i], draws, want)
			}
		}
	}
}

// The order of the file and other servers' numbers are no matter to Maglev: nodes agree by names.
func TestMaglevIsTheSameInAnyOrder(t *testing.T) {
	names, weights := named(5), []int{1, 2, 3, 4, 5}
	m := NewMaglev(names, weights)
	backNames, backWeights := slices.Clone(names), slices.Clone(weights)
	slices.Reverse(backNames)
	slices.Reverse(backWeights)
	back := NewMaglev(backNames, backWeights)
	for k := range m.Owners() {
		if names[m.Owners()[k]] != backNames[back.Owners()[k]] {
			t.Fatalf("entry %d is %s's in one order and %s's in the other", k, names[m.Owners()[k]], backNames[back.Owners()[k]])
		}
	}
}

func TestDrawsFollowWeights(t *testing.T) {
	s := NewShares([]int{0, 1, 0, 3})
	counts := make([]int, 4)
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 40_000 {
		counts[s.Draw(rnd.Uint32())]++
	}
	if counts[0]+counts[2] > 0 || abs(counts[1]-10_000) > 500 {
		t.Errorf("drawn %v times", counts)
	}
	if s.Draw(0) != 1 || s.Draw(math.MaxUint32) != 3 {
		t.Error("the ends of the range are drawn wrong")
	}
}

// Whatever is under way, somebody may have one more: the bounds add up to more than the requests.
func TestAllowedLeavesRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 256*WeightScale), 1, 12).Draw(t, "weights")
		served, factor := rapid.IntRange(0, 10_000).Draw(t, "served"), rapid.IntRange(101, 500).Draw(t, "factor")
		total, room, before := 0, 0, 0
		for _, w := range weights {
			total += w
		}
		for _, w := range weights {
			room += Allowed(served, factor, w, before, total)
			before += w
		}
		if room <= served {
			t.Fatalf("%d may be served and %d are", room, served)
		}
	})
}

// Known answers; that they are HAProxy's is compared in the engine's tests.
func TestHashFunctions(t *testing.T) {
	for f, want := range map[proxy.HashFunction]uint32{proxy.SDBM: 'a'*65599 + 'b', proxy.DJB2: 5381*33*33 + 'a'*33 + 'b', proxy.NoHash: 0} {
		if got := Hash(f, []byte("ab")); got != want {
			t.Errorf("function %d: %#x, want %#x", f, got, want)
		}
	}
	if got := Hash(proxy.CRC32, []byte("123456789")); got != 0xcbf43926 {
		t.Errorf("crc32: %#x", got)
	}
	if got := Hash(proxy.NoHash, []byte("4294967295x")); got != math.MaxUint32 {
		t.Errorf("none: %d", got)
	}
}

func BenchmarkTables(b *testing.B) {
	weights := slices.Repeat([]int{1, 2, 3}, 33)
	for name, table := range consistents {
		b.Run(name+"/find", func(b *testing.B) {
			f := table(weights)
			b.ReportAllocs()
			for h := uint32(0); b.Loop(); h += 0x9e3779b9 {
				owner(f, h)
			}
		})
		b.Run(name+"/make", func(b *testing.B) {
			for b.Loop() {
				table(weights)
			}
		})
	}
}
