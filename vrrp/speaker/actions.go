package speaker

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/alert"
	"github.com/reeve-lb/reeve/vrrp/guard"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/netio"
	"github.com/reeve-lb/reeve/vrrp/notify"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// take does one action.
func (i *instance) take(a machine.Action) {
	switch a := a.(type) {
	case machine.AddAddresses:
		i.add(a)
	case machine.RemoveAddresses:
		i.remove()
	case machine.ExtendAddresses:
		i.extend(a)
	case machine.SetTimer:
		i.timers[a.Timer] = a.At
	case machine.Pet:
		i.pet(a)
	case machine.TellGroup:
		if g := i.sp.groupOf(i.set.machine.Group); g != nil {
			g.put(machine.MemberSays{Name: i.name, Member: a.Member})
		}
	default:
		i.tell(a)
	}
}

// tell does the actions that others hear of.
func (i *instance) tell(a machine.Action) {
	switch a := a.(type) {
	case machine.Notify:
		i.notify(a)
	case machine.NotifyRxLower:
		e := i.event(notify.MasterRxLowerPri)
		e.Epoch, e.Cause = a.Epoch, fmt.Sprintf("advert of priority %d from %s", a.Theirs, a.Source)
		i.sp.notifier.Notify(e)
	case machine.NotifyPriority:
		i.priorityChanged(a)
	case machine.Entered:
		i.entered(a)
	case machine.Report:
		i.report(a)
	default:
		arbitrate(i.sp.o.Arbiter, i.name, a)
	}
}

// arbitrate hands on what is for the cluster, if there is one.
func arbitrate(arbiter vrrp.Arbiter, name string, a machine.Action) {
	if arbiter == nil {
		return
	}
	switch a := a.(type) {
	case machine.Stand:
		arbiter.Stand(name, a.Candidacy)
	case machine.Withdraw:
		arbiter.Withdraw(name)
	case machine.Released:
		arbiter.Released(name, a.Epoch)
	}
}

// pet tells the guard until when the addresses may stay. A sync group has one lease, so that all its members' addresses go
// together by the group's name; where adverts decide each instance has its own right.
func (i *instance) pet(a machine.Pet) {
	if i.sp.o.Guard == nil {
		return
	}
	name, on := i.name, i.held
	if a.Epoch != 0 && i.set.machine.Group != "" {
		if g := i.sp.groupOf(i.set.machine.Group); g != nil {
			name, on = g.name, g.held()
		}
	}
	i.sp.o.Guard.Pet(guard.Holding{Instance: name, Epoch: a.Epoch, Expiry: a.Expiry, Addresses: on})
	if i.petted == i.name && name != i.name {
		i.sp.o.Guard.Drop(i.name)
	}
	i.petted = name
}

// advertise sends an advert now, or, when the same step announced addresses first, as a reload does, after them.
func (i *instance) advertise(priority uint8, announced bool) {
	if !announced {
		i.send(priority)
		return
	}
	i.hands.queue(once, func() {
		i.post(func() {
			if i.m.State() == machine.Master {
				i.send(priority)
			}
		})
	})
}

func (i *instance) send(priority uint8) {
	err := i.sendAll(priority)
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

// sendAll sends one advert: to the group, or to each peer, for the checksum of version 3 covers who it is for.
func (i *instance) sendAll(priority uint8) error {
	advert := i.set.advert
	advert.Priority = priority
	i.number()
	if !i.set.unicast() {
		return i.sendTo(&advert, i.port.key.group, 0)
	}
	own := advert.OldChecksum
	var errs []error
	for _, p := range i.set.in.Unicast.Peers {
		advert.OldChecksum = own || i.old[p.Addr]
		if err := i.sendTo(&advert, p.Addr, i.set.in.Unicast.TTL); err != nil {
			errs = append(errs, fmt.Errorf("to %s: %w", p.Addr, err))
		}
	}
	return errors.Join(errs...)
}

// number gives the next advert, to whomever it goes, its numbers (auth_type AH).
func (i *instance) number() {
	if !i.set.sealed() {
		return
	}
	i.sequence.Next()
	i.ident = max(i.ident+1, 1) // the kernel would fill in a 0
}

func (i *instance) sendTo(advert *packet.Advert, to netip.Addr, ttl int) error {
	e := netio.Envelope{Source: i.source, Destination: to, TTL: ttl}
	if i.set.sealed() {
		return i.sendSealed(advert, e)
	}
	frame, err := advert.Append(i.frame[:0], i.source, to)
	if err != nil {
		return err
	}
	return i.port.SendTo(e, frame)
}

// sendSealed sends an advert behind an authentication header.
func (i *instance) sendSealed(advert *packet.Advert, e netio.Envelope) error {
	if !e.Source.Is4() {
		return netio.ErrFamily
	}
	frame, err := advert.Append(i.frame[:packet.AHLen], e.Source, e.Destination)
	if err != nil {
		return err
	}
	e.ID = i.ident
	d := packet.Datagram{
		Source: e.Source, Destination: e.Destination, AH: packet.AuthHeader{ID: i.ident, Sequence: uint32(i.sequence)},
	}
	if !i.set.unicast() {
		d.TTL = packet.TTL
	}
	i.set.expect.Key.Seal(frame, d)
	return i.port.SendTo(e, frame)
}

func (i *instance) group(lifetime time.Duration) vip.Group {
	g := i.set.group
	g.Lifetime = lifetime
	return g
}

// ask has hands change the addresses. Only the answer to what was asked last counts: all before is done over by that.
func (i *instance) ask(do func() error, answer func(error)) {
	i.asks++
	n := i.asks
	i.hands.queue(once, func() {
		err := do()
		i.post(func() {
			if n == i.asks {
				answer(err)
			}
		})
	})
}

func (i *instance) add(a machine.AddAddresses) {
	g := i.group(a.Lifetime)
	i.ask(func() error { return i.sp.vip.Add(g, a.Deadline) }, i.added)
}

func (i *instance) added(err error) {
	i.refused = nil
	if err == nil {
		i.log.Debug("(" + i.name + ") setting VIPs.")
		i.feed(machine.AddressesOn{})
		return
	}
	if i.limit.allow("add", i.source, boottime.Now()) {
		i.log.Error("("+i.name+") addresses could not be added", "error", err)
	}
	if i.m.Plain() && i.some(err) {
		// Another router could not do more for the rest than this one: where the cluster does not know better, keepalived's way.
		i.refused = err
		i.feed(machine.AddressesOn{})
		return
	}
	i.feed(machine.AddressesFailed{Expired: errors.Is(err, vip.ErrExpired), Cause: err.Error()})
}

// some reports whether an error of adding is about less than all of the addresses.
func (i *instance) some(err error) bool {
	n := refusals(err)
	return n > 0 && n < len(i.held)
}

// refusals counts the addresses that an error of adding is about; -1: it is about something else, too.
func refusals(err error) (n int) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if a := (*vip.AddressError)(nil); errors.As(err, &a) {
			return 1
		}
		return -1
	}
	for _, e := range joined.Unwrap() {
		more := refusals(e)
		if more < 0 {
			return -1
		}
		n += more
	}
	return n
}

// remove takes the addresses off.
func (i *instance) remove() {
	i.extraAt = 0
	i.log.Debug("(" + i.name + ") removing VIPs.")
	g := i.set.group
	i.ask(func() error { return i.sp.vip.Remove(g) }, i.removed)
}

// removed: only now the guard may forget the addresses.
func (i *instance) removed(err error) {
	if err != nil {
		if i.limit.allow("remove", i.source, boottime.Now()) {
			i.log.Error("("+i.name+") addresses could not be removed, trying again", "error", err)
		}
		i.feed(machine.RemoveFailed{Cause: err.Error()})
		return
	}
	if i.sp.o.Guard != nil && i.petted == i.name {
		i.sp.o.Guard.Drop(i.name)
	}
	i.petted = "" // a group's is dropped when all its members' addresses are off
	i.feed(machine.AddressesOff{})
}

func (i *instance) extend(a machine.ExtendAddresses) {
	g := i.group(a.Lifetime)
	i.hands.queue(extend, func() {
		if err := i.sp.vip.Extend(g, a.Expiry); err != nil && !errors.Is(err, vip.ErrExpired) {
			i.complain("extend", "lifetime of addresses not extended", err)
		}
	})
}

// complain warns of what hands could not do.
func (i *instance) complain(about, what string, err error) {
	i.post(func() {
		if i.limit.allow(about, i.source, boottime.Now()) {
			i.log.Warn("("+i.name+") "+what, "error", err)
		}
	})
}

// announce sends a burst, which the addresses' room paces.
func (i *instance) announce(burst int) {
	g := i.set.group
	i.hands.queue(announce, func() {
		if err := i.sp.vip.Announce(g, burst); err != nil {
			i.complain("announce", "gratuitous ARP not sent", err)
		}
	})
	if i.extraAt.IsZero() && i.extraEvery() > 0 {
		i.extraAt = boottime.Now().Add(i.extraEvery())
	}
}

// extraEvery is garp_extra_if; 0: none.
func (i *instance) extraEvery() time.Duration {
	for _, every := range []*time.Duration{i.set.in.Garp.ExtraIf, i.set.global.GarpExtraIf} {
		if every != nil {
			return *every
		}
	}
	return 0
}

// announceExtra refreshes what switches know of interfaces that no advert leaves by.
func (i *instance) announceExtra() {
	every := i.extraEvery()
	if every <= 0 {
		i.extraAt = 0
		return
	}
	i.extraAt = boottime.Now().Add(every)
	devs := i.set.plan.Extra
	if i.set.in.Garp.ExtraIfAll || i.set.in.Garp.ExtraIf == nil && i.set.global.GarpExtraIfAll {
		devs = nil
		for _, on := range i.held {
			if on.Dev != i.set.plan.Interface {
				devs = append(devs, on.Dev)
			}
		}
	}
	if len(devs) == 0 {
		return
	}
	g := i.set.group
	i.hands.queue(once, func() {
		if err := i.sp.vip.AnnounceOn(g, devs); err != nil {
			i.complain("announce", "gratuitous ARP not sent", err)
		}
	})
}

// event is a notification of this instance as it is now.
func (i *instance) event(state string) notify.Event {
	return notify.Event{Name: i.name, Notifies: i.set.in.Notifies, State: state, From: i.told, Priority: i.m.EffectivePriority()}
}

func (i *instance) priorityChanged(a machine.NotifyPriority) {
	state := notify.BackupPriority
	if a.State == machine.Master {
		state = notify.MasterPriority
	}
	e := i.event(state)
	e.Priority, e.Cause = a.New, fmt.Sprintf("priority was %d", a.Old)
	i.sp.notifier.Notify(e)
}

func (i *instance) notify(a machine.Notify) {
	state := a.State.String()
	if a.State == machine.Init {
		state = notify.Stop
		if i.leaving {
			state = notify.Deleted
		}
	}
	e := i.event(state)
	e.Epoch, e.Cause = a.Epoch, a.Cause
	i.told = state
	i.sp.notifier.Notify(e)
	i.sp.alerter.Transition(alert.Event{
		Name: i.name, From: e.From, To: state, Priority: e.Priority, Epoch: a.Epoch, Cause: a.Cause,
		Mail: alert.Mails(i.set.in.SMTPAlert, i.set.global.Mail), Row: i.set.row, Wanted: i.set.wanted(), Ifindex: i.ifindex(),
		VRID: i.set.in.VirtualRouterID, Version: int(i.set.advert.Version), Source: i.source, Reason: i.reason(a.State),
	})
}

// ifindex is that of the interface; 0: there is none.
func (i *instance) ifindex() int {
	if i.view == nil {
		return 0
	}
	return i.view.index
}

// reason is why it became MASTER, in RFC 6527's words.
func (i *instance) reason(state machine.State) alert.Reason {
	switch last := i.history.adverts; {
	case state != machine.Master:
		return alert.NotMaster
	case i.m.EffectivePriority() == 255:
		return alert.ByPriority
	case len(last) > 0 && time.Since(last[0].Time) < i.m.MasterDownInterval():
		return alert.Preempted // of a lower priority, or of one that says it goes
	}
	return alert.MasterNoResponse
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
