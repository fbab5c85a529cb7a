package speaker

import (
	"errors"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp/guard"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/netio"
	"github.com/reeve-lb/reeve/vrrp/notify"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// take does one action. What an action leads to is queued in i.events.
func (i *instance) take(a machine.Action) {
	switch a := a.(type) {
	case machine.SendAdvert:
		i.send(a.Priority)
	case machine.AddAddresses:
		i.add(a)
	case machine.RemoveAddresses:
		i.remove()
	case machine.ExtendAddresses:
		i.extend(a)
	case machine.Announce:
		i.burst = a.Burst
		i.announce()
	case machine.SetTimer:
		i.timers[a.Timer] = a.At
	case machine.Pet:
		if i.sp.o.Guard != nil {
			i.sp.o.Guard.Pet(guard.Holding{Instance: i.name, Epoch: a.Epoch, Expiry: a.Expiry, Addresses: i.held})
		}
	case machine.Notify:
		i.notify(a)
	case machine.Entered:
		i.entered(a)
	case machine.Report:
		i.report(a)
	default:
		i.arbitrate(a)
	}
}

func (i *instance) arbitrate(a machine.Action) {
	arbiter := i.sp.o.Arbiter
	if arbiter == nil {
		return
	}
	switch a := a.(type) {
	case machine.Stand:
		arbiter.Stand(i.name, a.Candidacy)
	case machine.Withdraw:
		arbiter.Withdraw(i.name)
	case machine.Released:
		arbiter.Released(i.name, a.Epoch)
	}
}

func (i *instance) send(priority uint8) {
	advert := i.set.advert
	advert.Priority = priority
	frame, err := advert.Append(i.frame[:0], i.source, i.port.key.group)
	if err == nil {
		err = i.port.Send(i.source, frame)
	}
	if err == nil {
		i.sent++
		if priority == 0 {
			i.history.zeroSent++
			i.log.Debug("(" + i.name + ") sent 0 priority")
		}
		return
	}
	if errors.Is(err, netio.ErrNotOpen) && i.fault != "" {
		return // the fault was told
	}
	if i.limit.allow("send", i.source, boottime.Now()) {
		i.log.Warn("("+i.name+") advert not sent", "error", err)
	}
}

func (i *instance) group(lifetime time.Duration) vip.Group {
	g := i.set.group
	g.Lifetime = lifetime
	return g
}

func (i *instance) add(a machine.AddAddresses) {
	err := i.sp.vip.Add(i.group(a.Lifetime), a.Deadline)
	if err == nil {
		i.log.Debug("(" + i.name + ") setting VIPs.")
		i.events = append(i.events, machine.AddressesOn{})
		return
	}
	i.log.Error("("+i.name+") addresses could not be added", "error", err)
	i.events = append(i.events, machine.AddressesFailed{Expired: errors.Is(err, vip.ErrExpired), Cause: err.Error()})
}

// remove takes the addresses off; only then the guard may forget them.
func (i *instance) remove() {
	i.burst, i.burstAt = 0, 0
	i.log.Debug("(" + i.name + ") removing VIPs.")
	if err := i.sp.vip.Remove(i.set.group); err != nil {
		if i.limit.allow("remove", i.source, boottime.Now()) {
			i.log.Error("("+i.name+") addresses could not be removed, trying again", "error", err)
		}
		i.events = append(i.events, machine.RemoveFailed{Cause: err.Error()})
		return
	}
	if i.sp.o.Guard != nil {
		i.sp.o.Guard.Drop(i.name)
	}
	i.events = append(i.events, machine.AddressesOff{})
}

func (i *instance) extend(a machine.ExtendAddresses) {
	err := i.sp.vip.Extend(i.group(a.Lifetime), a.Expiry)
	if err != nil && !errors.Is(err, vip.ErrExpired) && i.limit.allow("extend", i.source, boottime.Now()) {
		i.log.Warn("("+i.name+") lifetime of addresses not extended", "error", err)
	}
}

// announce sends the burst, at once or a round each vrrp_garp_interval.
func (i *instance) announce() {
	rounds := i.burst
	i.burstAt = 0
	if pause := i.set.global.GarpInterval; pause > 0 && rounds > 1 {
		rounds = 1
		i.burstAt = boottime.Now().Add(pause)
	}
	i.burst -= rounds
	if rounds <= 0 {
		return
	}
	if err := i.sp.vip.Announce(i.set.group, rounds); err != nil && i.limit.allow("announce", i.source, boottime.Now()) {
		i.log.Warn("("+i.name+") gratuitous ARP not sent", "error", err)
	}
}

func (i *instance) notify(a machine.Notify) {
	state := a.State.String()
	if a.State == machine.Init {
		state = "STOP"
	}
	i.sp.notifier.Notify(notify.Event{
		Name: i.name, Notifies: i.set.in.Notifies, State: state, Priority: i.m.EffectivePriority(), Epoch: a.Epoch, Cause: a.Cause,
	})
}

func (i *instance) entered(a machine.Entered) {
	i.history.move(Move{Time: time.Now(), From: a.From, To: a.To, Cause: a.Cause, Epoch: a.Epoch})
	if a.To == machine.Init {
		i.log.Info("("+i.name+") stopped", "from", a.From)
		return
	}
	args := []any{"from", a.From, "cause", a.Cause, "priority", i.m.EffectivePriority()}
	if a.Epoch != 0 {
		args = append(args, "epoch", a.Epoch)
	}
	i.log.Info("("+i.name+") Entering "+a.To.String()+" STATE", args...)
}
