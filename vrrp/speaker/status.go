package speaker

import (
	"net/netip"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/track"
)

const (
	movesKept   = 20
	sourcesKept = 16
)

// InstanceStatus is the evidence for who has an instance's addresses: what `reeve vip why` prints.
type InstanceStatus struct {
	Instance        string
	Interface       string
	VirtualRouterID int
	Addresses       []netip.Prefix // listed, then excluded
	Election        string         // vrrp or cluster
	Plain           bool           // the rules of plain VRRP are in force: election vrrp, or no quorum
	State           machine.State
	Since           time.Time
	Cause           string // of the last move
	BasePriority    int
	Priority        int // effective
	Weights         []track.Weight
	Fault           string // why it can't take part; ""
	Ready           bool
	NoPreempt       bool
	Epoch           uint64        // of the lease held here; 0: none
	Expiry          boottime.Time // of that lease
	Holder          string        // node the cluster named last; "" if unknown
	HolderEpoch     uint64        // highest epoch seen
	Adverts         []AdvertSeen  // last one of each source, newest first
	Counters        map[string]uint64
	Alarms          []packet.Alarm // mismatches of peers, the latest first
	Moves           []Move         // oldest first
	Source          netip.Addr
}

// AdvertSeen is the last valid advert heard from one source.
type AdvertSeen struct {
	Source   netip.Addr
	Priority int
	Time     time.Time
	Count    uint64
}

// Move is one change of state.
type Move struct {
	Time     time.Time
	From, To machine.State
	Cause    string
	Epoch    uint64
}

// history is what an instance remembers for its status. Its owner is the instance.
type history struct {
	since   time.Time
	cause   string
	moves   []Move
	adverts []AdvertSeen // newest first

	became, released uint64 // how often it became MASTER, and stopped being it
	zeroSent         uint64 // adverts with priority 0
	zeroHeard        uint64
}

func (h *history) move(m Move) {
	h.since, h.cause = m.Time, m.Cause
	switch machine.Master {
	case m.To:
		h.became++
	case m.From:
		h.released++
	}
	if len(h.moves) == movesKept {
		h.moves = append(h.moves[:0], h.moves[1:]...)
	}
	h.moves = append(h.moves, m)
}

// saw remembers an advert; the source not heard for longest gives way.
func (h *history) saw(source netip.Addr, priority int, at time.Time) {
	a := AdvertSeen{Source: source, Priority: priority, Time: at, Count: 1}
	i := 0
	for i < len(h.adverts) && h.adverts[i].Source != source {
		i++
	}
	switch {
	case i < len(h.adverts):
		a.Count += h.adverts[i].Count
	case i < sourcesKept:
		h.adverts = append(h.adverts, a)
	default:
		i--
	}
	copy(h.adverts[1:], h.adverts[:i])
	h.adverts[0] = a
}
