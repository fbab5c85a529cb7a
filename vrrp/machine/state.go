package machine

import (
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// start leaves INIT (RFC 3768 section 6.4.1), under vrrp_startup_delay so that nothing becomes MASTER before its end.
func (s *step) start() {
	if s.state != Init || s.stopped {
		return
	}
	if s.startAt.IsZero() && s.cfg.StartupDelay > 0 {
		s.startAt = s.now.Add(s.cfg.StartupDelay)
		s.do(SetTimer{Startup, s.startAt})
	}
	switch cause := s.fault(); {
	case cause != "":
		s.enter(Fault, cause)
	case s.delayed() && s.owns():
		// keepalived's owner says nothing before the delay is over, then it is MASTER
	default:
		s.toBackup("startup")
	}
}

// delayed reports whether vrrp_startup_delay still runs.
func (s *step) delayed() bool { return s.now.Before(s.startAt) }

// startupOver: who waited for the delay alone goes on, the others have armed their timers beyond it.
func (s *step) startupOver() {
	s.start()
	s.stand()
}

// owns reports whether we are MASTER without asking.
func (s *step) owns() bool {
	return s.plain() && s.EffectivePriority() == priorityOwner && !s.cfg.OwnerWaits
}

// toBackup enters BACKUP from INIT or FAULT; the owner of the addresses becomes MASTER at once where adverts decide.
func (s *step) toBackup(cause string) {
	if s.owns() && s.cfg.Group == "" && !s.delayed() {
		s.promote("owner of the addresses")
		return
	}
	s.enter(Backup, cause)
	s.wishes = s.cfg.Group != "" && s.owns()
	s.waitForMaster()
}

// enter changes to a state that has no addresses from one that has none.
func (s *step) enter(to State, cause string) {
	from := s.state
	s.state = to
	s.preemptAt, s.wishes = 0, false
	s.do(Entered{From: from, To: to, Cause: cause, Epoch: s.epoch})
	if s.removing { // the notification comes with the end of the removal
		s.notifyOff, s.notifyCause = true, cause
	} else {
		s.do(Notify{State: to, Cause: cause, Epoch: s.epoch})
	}
	if to != Backup {
		s.stop(MasterDown)
	}
	s.stand()
}

// waitForMaster arms Master_Down_Interval where adverts decide.
func (s *step) waitForMaster() {
	if s.state == Backup && s.plain() {
		s.wait(s.MasterDownInterval())
	}
}

// wait arms the timer of BACKUP. Under vrrp_startup_delay it counts from the end of that.
func (s *step) wait(d time.Duration) {
	s.downAt = max(s.now, s.startAt).Add(d)
	s.do(SetTimer{MasterDown, s.downAt})
}

// masterDown: nobody was heard. A member of a group only says so, and goes on waiting.
func (s *step) masterDown() {
	if s.cfg.Group == "" {
		s.promote("no advert for master down interval")
		return
	}
	s.wishes = true
	s.waitForMaster()
}

// promote becomes MASTER: by the lease in s.lease, or by plain VRRP. The guard knows before an address is on.
func (s *step) promote(cause string) {
	from := s.state
	s.state = Master
	s.preemptAt, s.learned = 0, 0
	s.announced, s.removing, s.notifyOff, s.releasing = false, false, false, 0
	s.reloaded, s.shrunk = false, false
	s.notifyCause = cause
	s.yielded, s.handOff, s.wishes = false, false, true
	if s.lease == 0 {
		s.until = s.now.Add(s.patience())
	}
	s.nextAdvert = s.now.Add(s.cfg.AdvertInt)
	s.do(
		Pet{s.lease, s.until},
		SendAdvert{uint8(s.EffectivePriority())},
		AddAddresses{s.until, s.lifetime()},
		SetTimer{AdvertTick, s.nextAdvert},
	)
	s.stop(MasterDown, HandOff, RemoveAgain, RetryAdd)
	if s.lease != 0 {
		s.do(SetTimer{LeaseEnd, s.until})
	}
	s.do(Entered{From: from, To: Master, Cause: cause, Epoch: s.lease})
	s.stand()
}

// demote leaves MASTER. Adverts of priority 0, if any, were sent before.
func (s *step) demote(to State, cause string) {
	s.state = to
	s.releasing, s.lease, s.until = s.lease, 0, 0
	s.announced, s.removing, s.wishes = false, true, false
	s.notifyOff, s.notifyCause = true, cause
	s.preemptAt = 0
	s.do(RemoveAddresses{})
	s.stop(AdvertTick, LeaseEnd, GrantWait, GarpDelay, GarpLower, GarpRefresh)
	s.do(Entered{From: Master, To: to, Cause: cause, Epoch: s.releasing})
	s.waitForMaster()
	s.stand()
}

// handOver is demote with a word to the others, who need not wait for Master_Down_Interval.
func (s *step) handOver(to State, cause string) {
	s.do(SendAdvert{0})
	s.demote(to, cause)
}

func (s *step) fault() string {
	if own := s.ownFault(); own != "" {
		return own
	}
	return s.groupFault
}

func (s *Machine) ownFault() string {
	if s.faults != "" {
		return s.faults
	}
	return s.addFault
}

func (s *step) faultsChanged() {
	cause := s.fault()
	switch {
	case s.stopped || s.state == Init:
	case cause == "" && s.state == Fault:
		s.toBackup("fault cleared")
	case cause != "" && s.state == Master:
		if s.ownFault() != "" {
			s.do(SendAdvert{0}) // twice, as keepalived does: who misses it waits for Master_Down_Interval
		}
		s.handOver(Fault, cause)
	case cause != "" && s.state == Backup:
		s.enter(Fault, cause)
	}
}

func (s *step) setPriority(effective int) {
	effective = min(max(effective, 1), priorityOwner)
	if effective == s.priority {
		return
	}
	old, interval := s.EffectivePriority(), s.MasterDownInterval()
	s.priority, s.lowered, s.yielded = effective, false, false
	s.shift(s.MasterDownInterval() - interval)
	if s.state != Init {
		s.do(Report{Kind: PriorityChanged, Theirs: old, Ours: effective})
	}
	if s.cfg.TellPriority && (s.state == Master || s.state == Backup) {
		s.do(NotifyPriority{State: s.state, Old: old, New: effective})
	}
	s.stand()
}

// shift moves the end of the wait for a master, as keepalived does when the skew becomes another meanwhile: who is well
// again takes over as soon as one who always was.
func (s *step) shift(by time.Duration) {
	if s.state == Backup && s.plain() && s.downAt != 0 && by != 0 {
		s.downAt = max(s.now, s.downAt.Add(by))
		s.do(SetTimer{MasterDown, s.downAt})
	}
}

func (s *step) configure(c Configure) {
	faster := c.Config.AdvertInt != s.cfg.AdvertInt
	c.Config.Cluster, c.Config.Group = s.cfg.Cluster, s.cfg.Group
	s.cfg = c.Config
	s.lowered, s.yielded = false, false
	s.stand()
	switch {
	case s.state == Master && c.Addresses:
		s.reloaded, s.shrunk = true, c.Shrunk
		s.do(Pet{s.lease, s.until}, AddAddresses{s.until, s.lifetime()})
	case s.state == Master:
		s.advertiseNow()
	case faster:
		s.waitForMaster()
	}
}

// release hands over by will and does not preempt whoever takes it, until priority or settings change.
func (s *step) release() {
	if s.state != Master {
		return
	}
	s.yielded = true
	if s.cfg.Cluster {
		s.handOff = true
		s.after(HandOff, s.MasterDownInterval())
	}
	s.stand()
	s.handOver(Backup, "released by the operator")
}

// end is Shutdown (RFC 3768 section 6.4.2 and 6.4.3).
func (s *step) end(withdraw bool) {
	if s.stopped {
		return
	}
	s.stopped, s.withdraw = true, withdraw
	s.stand() // before Released, so that the lease does not come back
	if s.state == Master {
		s.handOver(Init, "stopped")
	} else {
		s.enter(Init, "stopped")
		if !s.removing {
			s.withdrawn()
		}
	}
	s.stop(MasterDown, HandOff, RetryAdd, Startup)
}

// withdrawn tells the arbiter that the instance is gone. For a member its group does, as it does all else with a lease.
func (s *step) withdrawn() {
	if s.withdraw && s.cfg.Cluster && s.cfg.Group == "" {
		s.do(Withdraw{})
	}
}

// released gives a lease back.
func (s *step) released(epoch uint64) {
	if epoch != 0 && s.cfg.Group == "" {
		s.do(Released{epoch})
	}
}

// stand tells the arbiter our candidacy if it is another than it knows.
func (s *step) stand() {
	if !s.cfg.Cluster || s.state == Init && !s.standsYet {
		return
	}
	c := vrrp.Candidacy{
		Priority:     s.EffectivePriority(),
		NoPreempt:    s.cfg.NoPreempt && s.priority != priorityOwner || s.yielded,
		PreemptDelay: s.cfg.PreemptDelay,
		Ready:        s.ready && !s.handOff && !s.delayed(),
		Holding:      s.state == Master || s.removing,
	}
	if s.state == Fault || s.state == Init || s.stopped {
		c.Priority = 0
	}
	if s.standsYet && c == s.stood {
		return
	}
	s.standsYet, s.stood = true, c
	if s.cfg.Group == "" {
		s.do(Stand{c})
	}
}
