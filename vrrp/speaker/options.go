package speaker

import (
	"net/netip"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/guard"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// Addresses puts virtual addresses on and off. *vip.Manager is one. Its methods are called by several goroutines.
type Addresses interface {
	Add(g vip.Group, until boottime.Time) error
	Extend(g vip.Group, until boottime.Time) error
	Remove(g vip.Group) error
	Announce(g vip.Group, repeat int) error
	AnnounceOn(g vip.Group, devs []string) error
	Prepare(s vip.Setup) ([]netip.Prefix, error)
	Undo() error
	Faults(instance string) []error
	Link(dev string) (vip.Link, error)
	Watch() <-chan vip.Event
}

// Guard takes addresses off when this process can't. *guard.Client is one.
type Guard interface {
	// Pet says until when an instance's addresses may stay; called before they go on and at each renewal. What a sync
	// group holds by one lease goes by the group's name.
	Pet(h guard.Holding)
	// Drop says that they are off.
	Drop(instance string)
}

// Options of New.
type Options struct {
	Node    string
	Logger  hclog.Logger // nil: none
	Arbiter vrrp.Arbiter // nil when no instance can be elected by a cluster
	VIP     Addresses    // nil: netlink, which Run then also runs
	Journal string       // vip.Options.Journal, for a nil VIP
	Guard   Guard        // nil: none
}
