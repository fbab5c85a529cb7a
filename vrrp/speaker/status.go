package speaker

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/track"
)

const (
	movesKept      = 20
	sourcesKept    = 16
	duplicatesKept = 8
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
	Duplicates      []Duplicate    // addresses of ours that others claim, the latest first
	Moves           []Move         // oldest first
	Source          netip.Addr

	Group           string        // sync group; "": none
	GroupState      machine.State // of that
	Version         int           // of the protocol, 2 or 3
	MasterAdvertInt time.Duration // advert_int of who is master
	AddressesOn     bool
	Faults          int      // what keeps it from taking part: links, scripts, the kernel
	Pending         int      // scripts without a first result
	Incomplete      []string // addresses, routes, rules and filters that could not be put on, though the others are
	Transport       string   // interface that adverts go by: Interface, or its virtual MAC
}

// GroupStatus is what a sync group does.
type GroupStatus struct {
	Name    string
	Members []string
	State   machine.State
	Cause   string
	Since   time.Time
	Epoch   uint64 // of the lease it holds here; 0: none
}

// Duplicate is an address of ours that another machine of the segment says it has.
type Duplicate struct {
	Address      netip.Prefix
	Interface    string
	Ours, Theirs string // MAC addresses
	Time         time.Time
	Count        uint64
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
	claims  []Duplicate  // newest first

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

// Status is the evidence for each instance, in the order of the configuration.
func (s *Speaker) Status() []InstanceStatus {
	s.mu.Lock()
	var all []*instance
	for _, name := range s.names {
		if i := s.instances[name]; i != nil {
			all = append(all, i)
		}
	}
	s.mu.Unlock()
	out := make([]InstanceStatus, 0, len(all))
	for _, i := range all {
		out = append(out, i.status())
	}
	return out
}

func (i *instance) status() InstanceStatus {
	i.mu.Lock()
	defer i.mu.Unlock()
	in := i.set.in
	st := InstanceStatus{
		Instance: i.name, Interface: in.Interface, VirtualRouterID: in.VirtualRouterID, Election: vrrp.ElectionVRRP.String(),
		Plain: i.m.Plain(), State: i.m.State(), Since: i.history.since, Cause: i.history.cause,
		BasePriority: in.Priority, Priority: i.m.EffectivePriority(), Weights: slices.Clone(i.rating.Weights),
		Fault: i.fault, Ready: i.m.Candidacy().Ready, NoPreempt: in.NoPreempt,
		Adverts: slices.Clone(i.history.adverts), Moves: slices.Clone(i.history.moves), Alarms: i.alarms.List(),
		Counters: i.counters.Map(), Source: i.source,
	}
	if i.set.cluster {
		st.Election = vrrp.ElectionCluster.String()
	} else {
		st.Ready = true
	}
	for _, a := range i.set.group.Addresses {
		st.Addresses = append(st.Addresses, a.Prefix)
	}
	i.more(&st)
	st.Epoch, st.Expiry = i.m.Lease()
	st.Holder, st.HolderEpoch = i.m.Holder()
	h := i.history
	maps.Copy(st.Counters, map[string]uint64{
		"advert_sent": i.sent, "advert_rcvd": i.heard, "become_master": h.became, "release_master": h.released,
		"pri_zero_sent": h.zeroSent, "pri_zero_rcvd": h.zeroHeard,
	})
	if n := i.port.counters.Get(packet.UnknownVRID); n > 0 {
		st.Counters["unknown_vrid"] = n
	}
	return st
}

// more is what the dumps of keepalived's kind and `vip why` want to know besides. mu is held.
func (i *instance) more(st *InstanceStatus) {
	st.Version, st.Transport, st.MasterAdvertInt = int(i.set.advert.Version), i.set.plan.Interface, i.m.MasterAdvertInt()
	st.AddressesOn = i.m.AddressesOn()
	st.Duplicates = slices.Clone(i.history.claims)
	st.Faults = len(i.rating.Faults)
	if i.fault != "" && i.fault != i.rating.Fault {
		st.Faults++
	}
	for _, t := range i.set.in.TrackScripts {
		if !i.sp.tracker.Script(t.Name).Known {
			st.Pending++
		}
	}
	if i.refused != nil && st.AddressesOn {
		st.Incomplete = append(st.Incomplete, i.refused.Error())
	}
	for _, err := range i.sp.vip.Faults(i.name) {
		st.Incomplete = append(st.Incomplete, err.Error())
	}
	st.Group = i.set.machine.Group
	if g := i.sp.groupOf(st.Group); g != nil {
		st.GroupState = g.status().State
	}
}

// Groups is what the sync groups do, in no order.
func (s *Speaker) Groups() []GroupStatus {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.groups))
	s.mu.Unlock()
	out := make([]GroupStatus, 0, len(all))
	for _, g := range all {
		out = append(out, g.status())
	}
	return out
}

// claimed remembers who else says that it has an address of ours.
func (h *history) claimed(d Duplicate) {
	h.claims = slices.DeleteFunc(h.claims, func(o Duplicate) bool {
		same := o.Address == d.Address && o.Theirs == d.Theirs
		if same {
			d.Count += o.Count
		}
		return same
	})
	h.claims = slices.Insert(h.claims, 0, d)
	h.claims = h.claims[:min(len(h.claims), duplicatesKept)]
}
