package machine

import "time"

// advert is what somebody else said. Without a lease plain VRRP's rules hold, also for a master that waits for its lease
// after the quorum came back.
func (s *step) advert(a Advert) {
	switch {
	case s.state == Backup && s.plain():
		s.advertInBackup(a)
	case s.state == Master && s.lease == 0:
		s.advertInMaster(a)
	case s.state == Master:
		s.advertToHolder(a)
	}
}

// advertInBackup is RFC 3768 section 6.4.2 with nopreempt and preempt_delay.
func (s *step) advertInBackup(a Advert) {
	ours, theirs := s.EffectivePriority(), int(a.Priority)
	switch {
	case theirs == 0:
		s.wait(s.SkewTime())
	case theirs >= ours:
		s.preemptAt = 0
		s.accept(a)
	case s.bearsLower():
		s.accept(a)
	default:
		s.report(DiscardedLower, a)
	}
}

// report tells of an advert, one and the same thing no more often than it would be answered: a flood makes no work.
func (s *step) report(k ReportKind, a Advert) {
	if s.reported == k && s.now.Sub(s.reportedAt) < AnswerInterval {
		return
	}
	s.reported, s.reportedAt = k, s.now
	s.do(Report{Kind: k, Source: a.Source, Theirs: int(a.Priority), Ours: s.EffectivePriority()})
}

// accept takes an advert for the master's.
func (s *step) accept(a Advert) {
	s.wishes = false
	s.learn(a)
	s.waitForMaster()
}

// learn takes the master's interval over (RFC 9568 section 6.4.2), which is what Master_Down_Interval and the skew go by.
func (s *step) learn(a Advert) {
	if s.cfg.Version != 3 || a.AdvertInt <= 0 {
		return
	}
	if old := s.MasterAdvertInt(); a.AdvertInt != old {
		s.do(Report{Kind: IntervalLearned, Source: a.Source, Theirs: int(a.AdvertInt / time.Millisecond), Ours: int(old / time.Millisecond)})
	}
	s.learned = a.AdvertInt
}

// bearsLower reports whether an advert of lower priority counts as a master's.
func (s *step) bearsLower() bool {
	if s.yielded || s.cfg.NoPreempt && s.priority != priorityOwner {
		return true
	}
	if s.cfg.PreemptDelay <= 0 {
		return false
	}
	if s.preemptAt.IsZero() {
		s.preemptAt = s.now.Add(s.cfg.PreemptDelay)
	}
	// Where the delay is a multiple of the interval an advert comes just when it ends, and keepalived's are always a
	// little late: so that jitter does not cost an interval, one that comes a little early is late too.
	return s.now.Before(s.preemptAt.Add(-s.MasterAdvertInt() / 20))
}

// advertInMaster is RFC 3768 section 6.4.3.
func (s *step) advertInMaster(a Advert) {
	theirs := int(a.Priority)
	if theirs == priorityOwner && s.EffectivePriority() == priorityOwner {
		s.lowered = true
		s.do(Report{Kind: OwnerConflict, Source: a.Source, Theirs: theirs, Ours: s.EffectivePriority()})
		s.stand()
	}
	ours := s.EffectivePriority()
	switch {
	case theirs == 0:
		s.answer()
	case theirs > ours:
		s.yield(YieldedHigher, a, "received advert from "+a.Source.String()+" with higher priority")
	case theirs == ours && a.Source == s.source:
		s.report(OwnAddress, a)
	case theirs == ours && s.source.Less(a.Source):
		s.yield(YieldedAddress, a, "received advert from "+a.Source.String()+" with same priority but higher IP address than ours")
	default:
		s.report(ForcedElection, a)
		s.answerLower(a)
	}
}

// yield leaves MASTER to a better one, without an advert of priority 0.
func (s *step) yield(k ReportKind, a Advert, cause string) {
	s.report(k, a)
	if s.cfg.HigherSendAdvert && s.mayAnswer() {
		s.do(SendAdvert{uint8(s.EffectivePriority())})
	}
	s.learn(a)
	s.demote(Backup, cause)
}

// advertToHolder: with a lease the answer is always ours, whoever asks. That somebody else speaks is for the operator.
func (s *step) advertToHolder(a Advert) {
	ours, theirs := s.EffectivePriority(), int(a.Priority)
	kind := ForeignAdvert
	switch {
	case theirs == 0:
		s.answer()
		return
	case theirs == ours && a.Source == s.source:
		s.report(OwnAddress, a)
		return
	case theirs > ours || theirs == ours && s.source.Less(a.Source):
		kind = ForeignHigher
	}
	s.report(kind, a)
	s.answerLower(a)
}

// mayAnswer bounds what others can make us send.
func (s *step) mayAnswer() bool {
	if !s.lastAnswer.IsZero() && s.now.Sub(s.lastAnswer) < AnswerInterval {
		return false
	}
	s.lastAnswer = s.now
	return true
}

// answer sends an advert at once.
func (s *step) answer() {
	if s.mayAnswer() {
		s.advertiseNow()
	}
}

// answerLower tells one that should not speak who is master, and everybody where the addresses are, for they may have
// learnt another address of the link layer.
func (s *step) answerLower(a Advert) {
	if !s.mayAnswer() {
		return
	}
	if !s.cfg.LowerNoAdvert || s.lease != 0 {
		s.advertiseNow()
	}
	if s.announced && s.cfg.GarpLowerRepeat > 0 {
		s.do(Announce{s.cfg.GarpLowerRepeat})
		if s.cfg.GarpLowerDelay > 0 {
			s.after(GarpLower, s.cfg.GarpLowerDelay)
		}
	}
	if ours := s.EffectivePriority(); int(a.Priority) <= ours { // of those with a lease some hear a higher one too
		s.do(NotifyRxLower{Source: a.Source, Theirs: int(a.Priority), Epoch: s.lease})
	}
}

// advertise sends an advert. Where adverts are our right to the addresses it renews that right.
func (s *step) advertise() {
	s.do(SendAdvert{uint8(s.EffectivePriority())})
	if s.lease != 0 {
		return
	}
	s.until = s.now.Add(s.patience())
	s.do(Pet{0, s.until}, ExtendAddresses{s.until, s.lifetime()})
}

// advertiseNow is an advert out of turn, from which the next interval counts (RFC 3768 section 6.4.3).
func (s *step) advertiseNow() {
	s.advertise()
	s.nextAdvert = s.now.Add(s.cfg.AdvertInt)
	s.do(SetTimer{AdvertTick, s.nextAdvert})
}

// announce is the first burst, and the second after garp_master_delay.
func (s *step) announce() {
	s.do(Announce{s.cfg.GarpMasterRepeat})
	if s.cfg.GarpMasterDelay > 0 {
		s.after(GarpDelay, s.cfg.GarpMasterDelay)
	}
}

func (s *step) fired(t Timer) {
	switch {
	case t == MasterDown && s.state == Backup && s.plain() && !s.lapsed: // else it fired for an earlier BACKUP
		s.masterDown()
	case t == AdvertTick && s.state == Master:
		s.tick()
	case t == GrantWait && s.state == Master && s.lease == 0 && !s.plain():
		s.demote(Backup, "quorum is back and no lease was granted")
	case t == GarpDelay && s.announced:
		s.do(Announce{s.cfg.GarpMasterRepeat})
	case t == GarpLower && s.announced:
		s.do(Announce{s.cfg.GarpLowerRepeat})
	case t == GarpRefresh && s.announced:
		s.do(Announce{s.cfg.GarpRefreshRepeat})
		s.refresh()
	default:
		s.firedRarely(t)
	}
}

func (s *step) firedRarely(t Timer) {
	switch {
	case t == RemoveAgain && s.removing:
		s.do(RemoveAddresses{})
	case t == RetryAdd && s.addFault != "":
		s.addFault = ""
		s.faultsChanged()
	case t == HandOff && s.handOff:
		s.handOff = false
		s.stand()
	case t == Startup && !s.startAt.IsZero() && !s.now.Before(s.startAt):
		s.startupOver()
	}
}

// tick keeps the cadence: the next advert is due an interval after this one was due, not after it was sent.
func (s *step) tick() {
	s.advertise()
	s.nextAdvert = s.nextAdvert.Add(s.cfg.AdvertInt)
	if !s.nextAdvert.After(s.now) {
		s.nextAdvert = s.now.Add(s.cfg.AdvertInt)
	}
	s.do(SetTimer{AdvertTick, s.nextAdvert})
}

func (s *step) refresh() {
	if s.cfg.GarpRefresh > 0 {
		s.after(GarpRefresh, s.cfg.GarpRefresh)
	}
}
