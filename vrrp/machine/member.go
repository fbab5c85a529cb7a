package machine

import "github.com/reeve-lb/reeve/vrrp"

// Member is what an instance of a sync group tells its group: all the group needs to know, whenever some of it changes. A
// later Member replaces an earlier one.
type Member struct {
	State     State
	Wants     State // MASTER: nobody was heard, or it is master; FAULT: its own; INIT: not started yet, or stopped
	Fault     string
	Settled   bool   // the addresses are as State says, and its own notification is out
	Stopped   bool   // and not coming back
	Withdrawn bool   // no longer configured, addresses off
	Answered  uint64 // the number (Decided.Order) of the last grant, or end, of the group's lease that was acted on here
	Candidacy vrrp.Candidacy
}

// Events and actions between an instance and its sync group, and what a group does to the world.
type (
	// GroupSays is the group's word to a member: To is MASTER (all want it), BACKUP or FAULT, and Cause says why.
	GroupSays struct {
		To    State
		Cause string
	}
	// TellGroup is a member's word to its group.
	TellGroup struct{ Member Member }
)

func (GroupSays) event()  {}
func (TellGroup) action() {}

// tell tells the group what is another than it knows.
func (s *step) tell() {
	if s.cfg.Group == "" {
		return
	}
	m := Member{
		State: s.state, Wants: Backup, Fault: s.ownFault(), Stopped: s.stopped, Answered: s.answered, Candidacy: s.stood,
		Settled: !s.removing, Withdrawn: s.stopped && s.withdraw && !s.removing,
	}
	switch {
	case s.state == Init:
		m.Wants, m.Settled = Init, s.stopped && !s.removing
	case m.Fault != "":
		m.Wants = Fault
	case s.state == Master:
		m.Wants, m.Settled = Master, s.announced
	case s.wishes:
		m.Wants = Master
	}
	if m != s.told {
		s.told = m
		s.do(TellGroup{m})
	}
}

// groupSays obeys the group. That it says MASTER counts only as long as we want it; else it will hear that we don't.
func (s *step) groupSays(g GroupSays) {
	if s.cfg.Group == "" || s.stopped {
		return
	}
	if g.To == Fault {
		s.groupFault = g.Cause
		if g.Cause == "" {
			s.groupFault = "sync group " + s.cfg.Group
		}
		s.faultsChanged()
		return
	}
	if s.groupFault != "" {
		s.groupFault = ""
		s.faultsChanged()
	}
	switch {
	case g.To == Master && s.state == Backup && s.wishes && s.plain():
		s.promote(g.Cause)
	case g.To == Backup && s.state == Master && s.lease == 0:
		s.demote(Backup, g.Cause)
	}
}
