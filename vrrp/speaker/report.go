package speaker

import (
	"fmt"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp/machine"
)

// report tells the operator, each complaint about a peer once. Where people grep for keepalived's words they find them.
func (i *instance) report(r machine.Report) {
	if r.Kind == machine.PriorityChanged {
		i.log.Info(fmt.Sprintf("(%s) Changing effective priority from %d to %d", i.name, r.Theirs, r.Ours))
		return
	}
	if !i.limit.allow(r.Kind.String(), r.Source, boottime.Now()) {
		return
	}
	switch r.Kind {
	case machine.DiscardedLower:
		i.log.Info(fmt.Sprintf("(%s) received lower priority (%d) advert from %s - discarding", i.name, r.Theirs, r.Source))
	case machine.ForcedElection:
		i.log.Info(fmt.Sprintf("(%s) Received advert from %s with lower priority %d, ours %d, forcing new election",
			i.name, r.Source, r.Theirs, r.Ours))
	case machine.YieldedHigher:
		i.log.Info(fmt.Sprintf("(%s) Master received advert from %s with higher priority %d, ours %d", i.name, r.Source, r.Theirs, r.Ours))
	case machine.YieldedAddress:
		i.log.Info(fmt.Sprintf("(%s) Master received advert from %s with same priority %d but higher IP address than ours",
			i.name, r.Source, r.Theirs))
	case machine.ForeignHigher:
		i.log.Error("("+i.name+") another router of higher priority speaks for a virtual router of this cluster; it is not obeyed",
			"source", r.Source, "theirs", r.Theirs, "ours", r.Ours, "virtual_router_id", i.set.in.VirtualRouterID,
			"remedy", `stop it, give it another virtual_router_id, or set election = "vrrp"`)
	case machine.ForeignAdvert:
		i.log.Warn("("+i.name+") another router speaks for a virtual router of this cluster",
			"source", r.Source, "theirs", r.Theirs, "ours", r.Ours, "virtual_router_id", i.set.in.VirtualRouterID)
	case machine.OwnerConflict:
		i.log.Error("("+i.name+") CONFIGURATION ERROR: another router says it is the address owner too, priority lowered to 254",
			"source", r.Source)
	case machine.OwnAddress:
		i.log.Warn("("+i.name+") received an advert from our own address", "source", r.Source)
	}
}
