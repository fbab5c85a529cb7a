package engine

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
)

// Go's collector runs when the heap has grown by GOGC percent of what is alive. Requests allocate nothing and little is
// alive, so that a low percentage keeps a process small that has nothing to do. But each handshake of crypto/tls leaves some
// 30 kB behind: with 4 MB alive the collector would run after every 60 of them, for a seventh of what they cost. While it
// runs that often, the heap may grow by more.

const (
	oftenCollected = 8        // times in a second
	collectedRoom  = 32 << 20 // bytes that the heap may grow by then between two collections
	mostPercent    = 1000
	calmAfter      = 10 // looks without a collection
)

// collecting sets the collector's percentage. Its look is called once a second, from one goroutine.
type collecting struct {
	base    int // percent, as the process was told; 0: the operator's own (GOGC), which stays
	percent int // as it is
	cycles  uint64
	calm    int
	read    func() (live, cycles uint64)
	set     func(percent int) int
}

func newCollecting() *collecting {
	c := &collecting{read: readHeap, set: debug.SetGCPercent}
	if os.Getenv("GOGC") == "" {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		c.base = int(min(s[0].Value.Uint64(), mostPercent)) // turned off, it is a very large number
	}
	c.percent = c.base
	_, c.cycles = c.read()
	return c
}

// readHeap is how much the last collection found alive, in bytes, and how many there were.
func readHeap() (live, cycles uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}

// look makes room when there were many collections since the last one, and takes it back when there were none for a while.
func (c *collecting) look() {
	if c.base == 0 {
		return
	}
	live, cycles := c.read()
	since := cycles - c.cycles
	c.cycles = cycles
	switch {
	case since >= oftenCollected:
		c.calm = 0
		want := min(max(c.base, int(collectedRoom*100/max(live, 1))), mostPercent)
		if want > c.percent || want < c.percent/2 {
			c.percent = want
			c.set(want)
		}
	case since > 0:
		c.calm = 0
	default:
		if c.calm++; c.calm >= calmAfter {
			c.over()
		}
	}
}

// over goes back to the percentage that was found.
func (c *collecting) over() {
	if c.percent != c.base {
		c.percent = c.base
		c.set(c.base)
	}
}
