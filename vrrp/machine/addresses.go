package machine

// addresses takes what the driver and the kernel tell about our addresses.
func (s *step) addresses(ev Event) {
	switch ev := ev.(type) {
	case AddressesOn:
		s.addressesOn()
	case AddressesFailed:
		s.addressesFailed(ev)
	case AddressesOff:
		s.addressesOff()
	case RemoveFailed:
		if s.removing {
			s.after(RemoveAgain, removeInterval)
		}
	case AddressLost:
		if s.state == Master {
			s.do(AddAddresses{s.until, s.lifetime()})
		}
	case DuplicateAddress:
		if s.announced {
			s.do(Report{Kind: AddressDuplicated, Source: ev.Address, MACs: [2]MAC{ev.Theirs, ev.Ours}})
		}
	case Fenced:
		if s.state == Master && s.lease == ev.Epoch {
			s.demote(Backup, "fenced by the guard")
		}
	}
}

// addressesOn: only now others are told, and only then the notify script runs.
func (s *step) addressesOn() {
	if s.state != Master {
		s.removing = true
		s.do(RemoveAddresses{})
		return
	}
	if s.announced {
		if !s.shrunk {
			s.do(Announce{s.cfg.GarpMasterRepeat})
		}
		if s.reloaded {
			s.advertiseNow()
		}
		s.reloaded, s.shrunk = false, false
		return
	}
	s.reloaded, s.shrunk = false, false
	s.announced = true
	s.announce()
	s.refresh()
	s.do(Notify{State: Master, Cause: s.notifyCause, Epoch: s.lease})
}

func (s *step) addressesFailed(f AddressesFailed) {
	switch {
	case s.state != Master:
	case f.Expired: // what they were asked with; the right itself was renewed while they waited, else we were no MASTER
		s.do(AddAddresses{s.until, s.lifetime()})
	default:
		s.addFault = "addresses could not be added: " + f.Cause
		s.handOver(Fault, s.addFault)
		s.after(RetryAdd, s.MasterDownInterval())
	}
}

func (s *step) addressesOff() {
	if !s.removing || s.lapsed {
		return
	}
	s.removing = false
	s.released(s.releasing)
	epoch := max(s.epoch, s.releasing)
	s.releasing = 0
	if s.notifyOff {
		s.notifyOff = false
		s.do(Notify{State: s.state, Cause: s.notifyCause, Epoch: epoch})
	}
	s.stand()
	if s.stopped {
		s.withdrawn()
	}
}
