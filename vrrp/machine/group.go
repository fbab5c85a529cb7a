package machine

import (
	"slices"

	"github.com/reeve-lb/reeve/vrrp"
)

// Group is the state of a sync group (vrrp_sync_group): instances that are MASTER together or not at all. It is a value,
// and pure like Machine: Step takes what a member, the arbiter or the operator says, and gives what to carry to whom. The
// driver feeds a member's TellGroup action to the group as MemberSays, and the group's ToMember to that member's machine,
// both in order; nothing else has to be known of groups outside.
//
// Where adverts decide, the group says MASTER when every member wants it, FAULT when one has a fault, else BACKUP. Messages
// may cross on their way: a member that no longer wants what the group just said does not do it and says so, and the group
// follows what its members said last.
//
// Where the cluster decides, the group is one lease, which has the group's name: the group stands for it with the worst
// of its members' candidacies, hands each verdict to all members, and gives it back when all their addresses are off.
type Group struct {
	cfg     GroupConfig
	members []member
	said    State // what the members were told last; 0: nothing
	cause   string

	lease    uint64 // epoch held, 0: none
	giving   uint64 // epoch to give back when all addresses are off
	orders   uint64 // the number of the last grant, or end of the lease, that was handed on
	seen     uint64
	notified State
	stood    vrrp.Candidacy
	stands   bool
	gone     bool // withdrawn
}

type member struct {
	name     string
	is       Member
	heard    bool
	newcomer bool   // came to a group that was MASTER, and has not wanted it yet
	offered  uint64 // the epoch of the last grant that was handed on to it
	grant    uint64 // and its number
}

// GroupConfig is a group's settings.
type GroupConfig struct {
	Name    string
	Members []string
	Cluster bool // the members are elected by the cluster; it never changes
}

// GroupEvent is what a Group is told.
type GroupEvent interface{ groupEvent() }

// Events of a Group.
type (
	// MemberSays: a member's TellGroup.
	MemberSays struct {
		Name   string
		Member Member
	}
	// GroupDecided: the arbiter's verdict about the group. What it says of all (Instance "") is for the machines alone.
	GroupDecided struct{ Verdict vrrp.Verdict }
	// GroupConfigure replaces the settings. Members that are no longer named are stopped by the driver, before or after.
	GroupConfigure struct{ Config GroupConfig }
	// GroupRelease hands the whole group over by the operator's will.
	GroupRelease struct{}
)

func (MemberSays) groupEvent()     {}
func (GroupDecided) groupEvent()   {}
func (GroupConfigure) groupEvent() {}
func (GroupRelease) groupEvent()   {}

// Actions of a Group, besides Stand, Released and Withdraw under the group's name.
type (
	// ToMember is an event for the machine of a member.
	ToMember struct {
		Name  string
		Event Event
	}
	// GroupEntered says that the group syncs its members to a state, and why.
	GroupEntered struct {
		From, To State
		Cause    string
		Epoch    uint64
	}
	// GroupNotify runs the group's notify scripts: every member is in that state, and its own notification came before.
	// Init stands for STOP.
	GroupNotify struct {
		State State
		Cause string
		Epoch uint64
	}
)

func (ToMember) action()     {}
func (GroupEntered) action() {}
func (GroupNotify) action()  {}

// NewGroup makes a group whose members have not been heard of.
func NewGroup(cfg GroupConfig) Group {
	g := Group{cfg: cfg}
	for _, name := range cfg.Members {
		g.members = append(g.members, member{name: name})
	}
	return g
}

// State is what the group told its members last; INIT before any is known.
func (g Group) State() State {
	if g.said == 0 {
		return Init
	}
	return g.said
}

// Cause says why the group is in its state.
func (g Group) Cause() string { return g.cause }

// Lease is the epoch of the group's lease, 0 for none.
func (g Group) Lease() uint64 { return g.lease }

// Candidacy is what the arbiter was told last.
func (g Group) Candidacy() vrrp.Candidacy { return g.stood }

// Members is what each member said last, in the order of the configuration; the zero Member has not been heard.
func (g Group) Members() map[string]Member {
	out := make(map[string]Member, len(g.members))
	for _, m := range g.members {
		out[m.name] = m.is
	}
	return out
}

// Done reports whether all members have stopped, with their addresses off.
func (g Group) Done() bool {
	return !slices.ContainsFunc(g.members, func(m member) bool { return !m.is.Stopped || !m.is.Settled })
}

// Step takes the group through one event.
func (g Group) Step(ev GroupEvent) (Group, []Action) {
	g.members = slices.Clone(g.members)
	s := groupStep{Group: g}
	switch ev := ev.(type) {
	case MemberSays:
		s.hear(ev)
	case GroupDecided:
		s.decided(ev.Verdict)
	case GroupConfigure:
		s.configure(ev.Config)
	case GroupRelease:
		if s.said == Master || s.lease != 0 {
			s.toAll(Release{})
		}
	}
	s.follow()
	return s.Group, s.out
}

// groupStep is a Group on its way to the next, with the actions so far.
type groupStep struct {
	Group
	out []Action
}

func (s *groupStep) do(a Action) { s.out = append(s.out, a) }

func (s *groupStep) toAll(ev Event) {
	for i := range s.members {
		s.do(ToMember{s.members[i].name, ev})
	}
}

func (s *groupStep) hear(ev MemberSays) {
	i := slices.IndexFunc(s.members, func(m member) bool { return m.name == ev.Name })
	if i < 0 {
		return // no longer of the group
	}
	m := &s.members[i]
	again := m.is.Stopped && !ev.Member.Stopped // ended, and begun anew with other settings
	first := !m.heard || again
	m.newcomer = m.newcomer || again && s.said == Master
	m.is, m.heard = ev.Member, true
	if m.is.Wants == Master {
		if m.newcomer && s.said == Master && s.lease == 0 && m.is.State == Backup {
			s.do(ToMember{m.name, GroupSays{Master, s.cause}})
		}
		m.newcomer = false
	}
	if first && s.said == Fault {
		s.do(ToMember{m.name, GroupSays{Fault, s.cause}})
	}
}

func (s *groupStep) configure(cfg GroupConfig) {
	cfg.Cluster = s.cfg.Cluster
	old := s.members
	s.cfg, s.members = cfg, nil
	for _, name := range cfg.Members {
		i := slices.IndexFunc(old, func(m member) bool { return m.name == name })
		if i >= 0 {
			s.members = append(s.members, old[i])
			continue
		}
		s.members = append(s.members, member{name: name, newcomer: s.said == Master})
	}
}

// follow does what the members' words come to.
func (s *groupStep) follow() {
	s.stand()
	s.checkLease()
	if to, cause := s.wanted(); to != s.said && to != 0 {
		s.say(to, cause)
	}
	s.giveBack()
	s.notify()
	s.withdraw()
}

// counts reports whether a member has a say. One that came to a group that is MASTER has none before it wants that too, and
// one that stopped has none any more: either it is gone, or all stop, each with its own word to the other routers.
func (m *member) counts() bool { return !m.is.Stopped && (!m.newcomer || m.is.Fault != "") }

// wanted is the state that the members' wishes come to (0: too early to say, or too late), and why.
func (s *groupStep) wanted() (State, string) {
	all, some, refusing := true, false, ""
	for i := range s.members {
		m := &s.members[i]
		if m.is.Fault != "" && !m.is.Stopped {
			return Fault, m.name + ": " + m.is.Fault
		}
		some = some || m.heard && m.is.Wants != Init
		if m.counts() && m.is.Wants != Master && all {
			all, refusing = false, m.name
		}
	}
	switch {
	case !some:
		return 0, ""
	case s.lease != 0:
		return Master, "lease granted"
	case all:
		return Master, "every member of sync group " + s.cfg.Name + " wants MASTER"
	}
	return Backup, refusing + " of sync group " + s.cfg.Name + " is not MASTER"
}

// say tells the members. With a lease they know of MASTER by the verdict.
func (s *groupStep) say(to State, cause string) {
	from := s.State()
	s.said, s.cause = to, cause
	s.do(GroupEntered{From: from, To: to, Cause: cause, Epoch: s.lease})
	if to == Master && s.lease != 0 || to == Backup && from == Init {
		return
	}
	s.toAll(GroupSays{to, cause})
}

// settled is the state that all members are in, with all they had to do done; 0 while they are not.
func (g *Group) settled() State {
	var all State
	for i := range g.members {
		m := &g.members[i]
		if m.newcomer && m.is.Fault == "" && !m.is.Stopped {
			continue
		}
		if !m.heard || !m.is.Settled || all != 0 && m.is.State != all {
			return 0
		}
		all = m.is.State
	}
	return all
}

func (s *groupStep) notify() {
	at := s.settled()
	if at == 0 || at == s.notified || at != s.said && at != Init {
		return
	}
	s.notified = at
	s.do(GroupNotify{State: at, Cause: s.cause, Epoch: max(s.lease, s.seen)})
}
