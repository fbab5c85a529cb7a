package machine

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
		s.after(MasterDown, s.SkewTime())
	case theirs >= ours:
		s.preemptAt = 0
		s.after(MasterDown, s.MasterDownInterval())
	case s.bearsLower():
		s.after(MasterDown, s.MasterDownInterval())
	default:
		s.do(Report{DiscardedLower, a.Source, theirs, ours})
	}
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
	return s.now.Before(s.preemptAt)
}

// advertInMaster is RFC 3768 section 6.4.3.
func (s *step) advertInMaster(a Advert) {
	theirs := int(a.Priority)
	if theirs == priorityOwner && s.EffectivePriority() == priorityOwner {
		s.lowered = true
		s.do(Report{OwnerConflict, a.Source, theirs, s.EffectivePriority()})
		s.stand()
	}
	ours := s.EffectivePriority()
	switch {
	case theirs == 0:
		s.answer(false)
	case theirs > ours:
		s.demote(Backup, "received advert from "+a.Source.String()+" with higher priority")
	case theirs == ours && a.Source == s.source:
		s.do(Report{OwnAddress, a.Source, theirs, ours})
	case theirs == ours && s.source.Less(a.Source):
		s.demote(Backup, "received advert from "+a.Source.String()+" with same priority but higher IP address than ours")
	default:
		s.do(Report{ForcedElection, a.Source, theirs, ours})
		s.answer(true)
	}
}

// advertToHolder: with a lease the answer is always ours, whoever asks. That somebody else speaks is for the operator.
func (s *step) advertToHolder(a Advert) {
	ours, theirs := s.EffectivePriority(), int(a.Priority)
	switch {
	case theirs == 0:
		s.answer(false)
		return
	case theirs == ours && a.Source == s.source:
		s.do(Report{OwnAddress, a.Source, theirs, ours})
		return
	case theirs > ours || theirs == ours && s.source.Less(a.Source):
		s.do(Report{ForeignHigher, a.Source, theirs, ours})
	default:
		s.do(Report{ForeignAdvert, a.Source, theirs, ours})
	}
	s.answer(true)
}

// answer sends an advert at once and, if others may have learnt another address of the link layer, announces again.
func (s *step) answer(announce bool) {
	if !s.lastAnswer.IsZero() && s.now.Sub(s.lastAnswer) < AnswerInterval {
		return
	}
	s.lastAnswer = s.now
	s.advertise()
	if announce && s.announced {
		s.announce()
	}
}

// advertise sends an advert. Where adverts are our right to the addresses it renews that right.
func (s *step) advertise() {
	s.do(SendAdvert{uint8(s.EffectivePriority())})
	if s.lease != 0 {
		return
	}
	s.until = s.now.Add(downTimerAdverts * s.cfg.AdvertInt)
	s.do(Pet{0, s.until}, ExtendAddresses{0, s.lifetime()})
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
	case t == MasterDown && s.state == Backup && s.plain():
		s.promote("no advert for master down interval")
	case t == AdvertTick && s.state == Master:
		s.tick()
	case t == GrantWait && s.state == Master && s.lease == 0 && !s.plain():
		s.demote(Backup, "quorum is back and no lease was granted")
	case t == GarpDelay && s.announced:
		s.do(Announce{s.cfg.GarpMasterRepeat})
	case t == GarpRefresh && s.announced:
		s.do(Announce{s.cfg.GarpRefreshRepeat})
		s.refresh()
	case t == RemoveAgain && s.removing:
		s.do(RemoveAddresses{})
	case t == RetryAdd && s.addFault != "":
		s.addFault = ""
		s.faultsChanged()
	case t == HandOff && s.handOff:
		s.handOff = false
		s.stand()
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
