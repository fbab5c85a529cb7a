package machine

import (
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// keepalived's defaults of the schedule of gratuitous ARP.
const (
	defaultGarpDelay  = 5 * time.Second
	defaultGarpRepeat = 5
)

// Of makes of an instance's settings what the machine needs. It holds the rules that settings alone don't show: state
// MASTER cancels nopreempt and preempt_delay, vrrp_strict is RFC 3768 to the letter, vrrp_min_garp is another default.
// version is that of the instance's adverts. Group and StartupDelay are the driver's to set.
func Of(node string, in vrrp.Instance, g vrrp.Global, version uint8, cluster bool) Config {
	every := in.AdvertInt
	if every <= 0 {
		every = time.Second
	}
	if version == 3 {
		every -= every % (10 * time.Millisecond) // the wire's unit, which others go by
	}
	c := Config{
		Node: node, Cluster: cluster, OnQuorumLoss: in.OnQuorumLoss, Version: version, AdvertInt: every,
		DownTimerAdverts: in.DownTimer, NoPreempt: in.NoPreempt, PreemptDelay: in.PreemptDelay, Lifetime: in.VIPLifetime,
		OwnerWaits:       in.State == "BACKUP",
		LowerNoAdvert:    pick(in.LowerNoAdvert, g.LowerPrioNoAdvert),
		HigherSendAdvert: pick(in.HigherSend, g.HigherPrioSendAdvert),
		TellPriority:     pick(in.PriorityChanges, g.NotifyPriorityChanges),
	}
	if c.DownTimerAdverts == 0 {
		c.DownTimerAdverts = g.DownTimerAdverts
	}
	if in.State == "MASTER" {
		c.NoPreempt, c.PreemptDelay = false, 0
	}
	c.garp(in.Garp, g)
	if pick(in.StrictMode, g.Strict) {
		c.DownTimerAdverts, c.PreemptDelay = downTimerAdverts, 0
		c.LowerNoAdvert, c.HigherSendAdvert = true, false
		c.GarpLowerRepeat, c.GarpLowerDelay = 0, 0
	}
	return c
}

// garp sets the schedule. Globals that nobody filled in mean keepalived's defaults.
func (c *Config) garp(own vrrp.Garp, g vrrp.Global) {
	delay, repeat := g.GarpMasterDelay, g.GarpMasterRepeat
	if delay == 0 && repeat == 0 {
		delay = defaultGarpDelay
	}
	if repeat == 0 {
		repeat = defaultGarpRepeat
	}
	if g.MinGarp { // what was written, is
		if delay == defaultGarpDelay {
			delay = 0
		}
		if repeat == defaultGarpRepeat {
			repeat = 1
		}
	}
	c.GarpMasterDelay, c.GarpMasterRepeat = pick(own.MasterDelay, delay), max(pick(own.MasterRepeat, repeat), 1)
	c.GarpRefresh = pick(own.MasterRefresh, g.GarpMasterRefresh)
	c.GarpRefreshRepeat = max(pick(own.RefreshRepeat, g.GarpMasterRefreshRept), 1)
	// As keepalived has it, these follow the global settings, not what the instance has of its own for becoming MASTER.
	c.GarpLowerDelay, c.GarpLowerRepeat = delay, max(repeat, 1)
	if d := first(own.LowerPrioDelay, g.GarpLowerPrioDelay); d != nil {
		c.GarpLowerDelay = *d
	}
	if n := first(own.LowerPrioRepeat, g.GarpLowerPrioRepeat); n != nil {
		c.GarpLowerRepeat = *n
	}
}

func first[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

func pick[T any](own *T, global T) T {
	if own != nil {
		return *own
	}
	return global
}
