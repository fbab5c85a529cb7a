package machine

import "github.com/reeve-lb/reeve/vrrp"

func (s *step) decided(v vrrp.Verdict) {
	if !s.cfg.Cluster {
		return
	}
	if v.Kind != vrrp.NoQuorum && v.Kind != vrrp.Quorum {
		s.epoch = max(s.epoch, v.Epoch)
	}
	switch v.Kind {
	case vrrp.Granted:
		s.granted(v)
	case vrrp.Extended:
		if s.state == Master && s.lease == v.Epoch {
			s.extend(v)
		}
	case vrrp.Yield:
		if s.holds(v.Epoch) {
			s.handOver(Backup, "yielded the lease")
		}
	case vrrp.Lost:
		if s.holds(v.Epoch) {
			s.demote(Backup, "lost the lease")
		}
	case vrrp.Elsewhere:
		s.elsewhere(v)
	case vrrp.NoQuorum:
		s.noQuorum(v.Voters)
	case vrrp.Quorum:
		s.quorumBack()
	}
}

// holds reports whether a verdict about that epoch (0: whichever) is about the lease we hold.
func (s *step) holds(epoch uint64) bool {
	return s.state == Master && s.lease != 0 && (epoch == 0 || epoch >= s.lease)
}

// granted is the only way to MASTER while the cluster has a quorum. What can't be taken goes back at once.
func (s *step) granted(v vrrp.Verdict) {
	switch {
	case v.Epoch == 0 || v.Epoch < s.epoch || !s.now.Before(v.Expiry):
		return // old news
	case s.state == Master && s.lease == v.Epoch:
		s.extend(v)
	case s.state == Master:
		s.holder = s.cfg.Node
		s.lease, s.until = v.Epoch, v.Expiry
		s.stop(GrantWait)
		s.renewed()
	case s.state == Backup:
		s.holder = s.cfg.Node
		s.lease, s.until = v.Epoch, v.Expiry
		s.promote("lease granted")
	case s.removing:
		s.releasing = v.Epoch
	default:
		s.released(v.Epoch)
	}
}

func (s *step) extend(v vrrp.Verdict) {
	if v.Expiry.After(s.until) {
		s.until = v.Expiry
		s.renewed()
	}
}

// renewed tells everybody who counts the lease that it goes on, the guard first.
func (s *step) renewed() {
	s.do(Pet{s.lease, s.until}, ExtendAddresses{s.until, s.lifetime()}, SetTimer{LeaseEnd, s.until})
}

func (s *step) elsewhere(v vrrp.Verdict) {
	if v.Epoch < s.epoch {
		return
	}
	s.holder = v.Holder
	if v.Holder == "" || v.Holder == s.cfg.Node {
		return
	}
	if s.handOff {
		s.handOff = false
		s.stop(HandOff)
		s.stand()
	}
	if s.state == Master && (s.lease == 0 && !s.plain() || s.lease != 0 && s.lease < v.Epoch) {
		s.demote(Backup, "the lease is with "+v.Holder)
	}
}

// noQuorum: a lease that is held lasts until its end, and demote then goes on from there.
func (s *step) noQuorum(voters int) {
	was := s.quorum
	s.quorum, s.voters, s.holder = quorumLost, voters, ""
	switch {
	case s.state == Master && s.lease == 0 && s.plain():
		s.stop(GrantWait)
	case s.state == Master && s.lease == 0:
		s.demote(Backup, "no quorum")
	case was != quorumLost:
		s.waitForMaster()
	}
}

func (s *step) quorumBack() {
	if s.quorum == quorumThere {
		return
	}
	s.quorum, s.wishes = quorumThere, s.state == Master
	s.stop(MasterDown)
	if s.state == Master && s.lease == 0 {
		wait := s.cfg.GrantWait
		if wait <= 0 {
			wait = defaultGrant
		}
		s.after(GrantWait, wait)
	}
	s.stand()
}
