package machine

import (
	"slices"

	"github.com/reeve-lb/reeve/vrrp"
)

// decided takes a verdict about the group's lease to all members. Their machines act on it as on one of their own.
func (s *groupStep) decided(v vrrp.Verdict) {
	if !s.cfg.Cluster || v.Kind == vrrp.NoQuorum || v.Kind == vrrp.Quorum || v.Epoch != 0 && v.Epoch < s.seen {
		return
	}
	s.seen = max(s.seen, v.Epoch)
	switch v.Kind {
	case vrrp.Granted:
		s.granted(v)
		return
	case vrrp.Extended:
		s.extended(v)
		return
	case vrrp.Yield, vrrp.Lost:
		s.giveUp()
		s.end(v)
		return
	case vrrp.Elsewhere:
		if s.lease != 0 && v.Epoch > s.lease {
			s.giveUp()
		}
	}
	s.toAll(Decided{Verdict: v})
}

// granted: a group that can't take its lease as a whole gives it back at once.
func (s *groupStep) granted(v vrrp.Verdict) {
	if v.Epoch == 0 {
		return
	}
	if s.stood.Priority == 0 {
		s.giving = v.Epoch
		return
	}
	s.lease, s.giving = v.Epoch, 0
	s.orders++
	for i := range s.members {
		s.offer(&s.members[i], v)
	}
}

// offer hands a grant on under the present number.
func (s *groupStep) offer(m *member, v vrrp.Verdict) {
	m.newcomer, m.offered, m.grant = false, v.Epoch, s.orders
	s.do(ToMember{m.name, Decided{Verdict: v, Order: s.orders}})
}

// end tells all that the lease is over.
func (s *groupStep) end(v vrrp.Verdict) {
	s.orders++
	s.toAll(Decided{Verdict: v, Order: s.orders})
}

// undecided reports whether a member was handed a grant and has not said what became of it: it may just be putting its
// addresses on.
func (m *member) undecided() bool { return !m.is.Stopped && m.is.Answered < m.grant }

// extended renews the members' leases; to one that came to the group since, it is a grant.
func (s *groupStep) extended(v vrrp.Verdict) {
	if v.Epoch != s.lease {
		return
	}
	for i := range s.members {
		m, to := &s.members[i], v
		if m.heard && m.is.State == Backup && (m.undecided() || m.offered < v.Epoch) {
			to.Kind = vrrp.Granted
			s.orders++
			s.offer(m, to)
			continue
		}
		s.do(ToMember{m.name, Decided{Verdict: to}})
	}
}

// giveUp: the lease is over here, and is given back when all addresses are off.
func (s *groupStep) giveUp() {
	if s.lease != 0 {
		s.giving, s.lease = s.lease, 0
	}
}

// checkLease: who had the lease and is not MASTER takes it from the others too.
func (s *groupStep) checkLease() {
	if s.lease == 0 {
		return
	}
	if !slices.ContainsFunc(s.members, func(m member) bool { return !m.is.Stopped }) {
		s.giveUp()
		return
	}
	for i := range s.members {
		m := &s.members[i]
		if m.is.Stopped || m.is.Fault == "" && (m.undecided() || m.offered < s.lease || m.is.State == Master) {
			continue
		}
		epoch := s.lease
		s.giveUp()
		if m.is.Fault == "" { // with a fault, that is what they are told
			s.end(vrrp.Verdict{Kind: vrrp.Lost, Epoch: epoch})
		}
		return
	}
}

// giveBack releases the lease that was given up, once nobody can have its addresses on.
func (s *groupStep) giveBack() {
	if s.giving == 0 {
		return
	}
	for i := range s.members {
		if m := &s.members[i]; m.is.Candidacy.Holding || m.undecided() {
			return
		}
	}
	s.do(Released{s.giving})
	s.giving = 0
}

// stand tells the arbiter the candidacy of the group, which is that of its worst member, if it is another than it knows.
func (s *groupStep) stand() {
	if !s.cfg.Cluster || len(s.members) == 0 {
		return
	}
	c := vrrp.Candidacy{Priority: priorityOwner, Ready: true}
	counting, started := 0, true
	for i := range s.members {
		m := &s.members[i]
		mc := m.is.Candidacy
		c.Holding = c.Holding || mc.Holding
		if !m.counts() {
			continue
		}
		if counting++; !m.heard || m.is.Wants == Init {
			started, mc.Priority = false, 0
		}
		c.Priority = min(c.Priority, mc.Priority)
		c.NoPreempt = c.NoPreempt || mc.NoPreempt
		c.PreemptDelay = max(c.PreemptDelay, mc.PreemptDelay)
		c.Ready = c.Ready && mc.Ready
	}
	if counting == 0 {
		c.Priority = 0
	}
	if s.stands && c == s.stood || !s.stands && !started {
		return
	}
	s.stands, s.stood = true, c
	s.do(Stand{c})
}

// withdraw tells the arbiter that the group is gone, after its last lease was given back.
func (s *groupStep) withdraw() {
	if !s.cfg.Cluster || s.gone || s.giving != 0 || len(s.members) == 0 {
		return
	}
	for i := range s.members {
		if !s.members[i].is.Withdrawn {
			return
		}
	}
	s.gone = true
	s.do(Withdraw{})
}
