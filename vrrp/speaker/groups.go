package speaker

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/alert"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/notify"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// syncGroup drives one machine.Group on a goroutine of its own. What it is told waits in a mailbox, so that a member never
// waits for its group, and the group may wait for its members.
type syncGroup struct {
	sp      *Speaker
	name    string
	cluster bool
	wake    chan struct{}
	stop    chan struct{} // closed: end when everything is worked off
	gone    chan struct{}

	mu    sync.Mutex
	set   *groupSettings
	mail  []machine.GroupEvent
	group machine.Group
	since time.Time
	told  string // the state of the last notification
}

// groupSettings is one group's configuration. It is never changed.
type groupSettings struct {
	row     int // place in the configuration, from 1
	group   vrrp.SyncGroup
	members []string // those of its members that there are
	cluster bool
	held    []vip.On // all members' addresses
	global  vrrp.Global
}

// groupsOf makes the settings of the groups that have members. One whose members are elected partly by the cluster and
// partly by adverts can't be; config refuses it, here the first member's election counts.
func groupsOf(c vrrp.Config, all []*settings) []*groupSettings {
	var out []*groupSettings
	for row, g := range c.SyncGroups {
		s := &groupSettings{row: row + 1, group: g, global: c.Global}
		for _, name := range g.Members {
			for _, set := range all {
				if set.in.Name == name && set.machine.Group == g.Name {
					s.cluster = len(s.members) == 0 && set.cluster || s.cluster
					s.members = append(s.members, name)
					s.held = append(s.held, set.group.On()...)
				}
			}
		}
		if len(s.members) > 0 {
			out = append(out, s)
		}
	}
	return out
}

func (s *groupSettings) config() machine.GroupConfig {
	return machine.GroupConfig{Name: s.group.Name, Members: s.members, Cluster: s.cluster}
}

func newSyncGroup(sp *Speaker, set *groupSettings) *syncGroup {
	return &syncGroup{
		sp: sp, name: set.group.Name, cluster: set.cluster, set: set, group: machine.NewGroup(set.config()), since: time.Now(),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), gone: make(chan struct{}),
	}
}

// put leaves a message. It never blocks. Of what one member says in a row the last counts.
func (g *syncGroup) put(ev machine.GroupEvent) {
	g.mu.Lock()
	if says, ok := ev.(machine.MemberSays); ok && len(g.mail) > 0 {
		if last, ok := g.mail[len(g.mail)-1].(machine.MemberSays); ok && last.Name == says.Name {
			g.mail = g.mail[:len(g.mail)-1]
		}
	}
	g.mail = append(g.mail, ev)
	g.mu.Unlock()
	poke(g.wake)
}

// configure changes settings in place.
func (g *syncGroup) configure(set *groupSettings) {
	g.mu.Lock()
	changed := !slices.Equal(g.set.members, set.members)
	g.set = set
	g.mu.Unlock()
	if changed {
		g.put(machine.GroupConfigure{Config: set.config()})
	}
}

// held is where all members' addresses are when they are on.
func (g *syncGroup) held() []vip.On {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.set.held
}

// run works until end is called.
func (g *syncGroup) run() {
	defer close(g.gone)
	for {
		select {
		case <-g.wake:
			g.work()
		case <-g.stop:
			g.work()
			return
		}
	}
}

// end works off what waits, and ends. Its members are gone by then.
func (g *syncGroup) end() {
	close(g.stop)
	<-g.gone
}

func (g *syncGroup) work() {
	for {
		actions, ok := g.step()
		if !ok {
			return
		}
		for _, a := range actions {
			g.take(a)
		}
	}
}

func (g *syncGroup) step() (actions []machine.Action, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.mail) == 0 {
		return nil, false
	}
	ev := g.mail[0]
	g.mail = g.mail[1:]
	g.group, actions = g.group.Step(ev)
	return actions, true
}

func (g *syncGroup) take(a machine.Action) {
	switch a := a.(type) {
	case machine.ToMember:
		if i := g.sp.find(a.Name); i != nil {
			i.feedLater(a.Event)
		}
	case machine.GroupEntered:
		g.entered(a)
	case machine.GroupNotify:
		g.notify(a)
	default:
		if r, ok := a.(machine.Released); ok && g.sp.o.Guard != nil && r.Epoch != 0 {
			g.sp.o.Guard.Drop(g.name)
		}
		arbitrate(g.sp.o.Arbiter, g.name, a)
	}
}

func (g *syncGroup) entered(a machine.GroupEntered) {
	g.mu.Lock()
	g.since = time.Now()
	g.mu.Unlock()
	args := []any{"from", a.From, "cause", a.Cause}
	if a.Epoch != 0 {
		args = append(args, "epoch", a.Epoch)
	}
	g.sp.log.Info(fmt.Sprintf("VRRP_Group(%s) Syncing instances to %s state", g.name, a.To), args...)
}

// notify tells of the group, after its members told of themselves.
func (g *syncGroup) notify(a machine.GroupNotify) {
	state := a.State.String()
	if a.State == machine.Init {
		state = notify.Stop
	}
	g.mu.Lock()
	set, from := g.set, g.told
	g.told = state
	g.mu.Unlock()
	g.sp.notifier.Notify(notify.Event{
		Group: true, Name: g.name, Notifies: set.group.Notifies, State: state, From: from, Epoch: a.Epoch, Cause: a.Cause,
	})
	g.sp.alerter.Transition(alert.Event{
		Group: true, Name: g.name, From: from, To: state, Epoch: a.Epoch, Cause: a.Cause,
		Mail: alert.Mails(set.group.SMTPAlert, set.global.Mail), Row: set.row, Wanted: machine.Backup.String(),
	})
}

// last is the group's notification that is true now, for who is told all states anew; ok is false before the first.
func (g *syncGroup) last() (e notify.Event, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return notify.Event{Group: true, Name: g.name, Notifies: g.set.group.Notifies, State: g.told}, g.told != ""
}

func (g *syncGroup) status() GroupStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	epoch := g.group.Lease()
	return GroupStatus{Name: g.name, Members: g.set.members, State: g.group.State(), Cause: g.group.Cause(), Since: g.since, Epoch: epoch}
}

// reconcileGroups makes the groups what is wanted. Members that change their group have ended by now; those that come have
// not begun.
func (s *Speaker) reconcileGroups(want []*groupSettings) {
	wanted := map[string]*groupSettings{}
	for _, set := range want {
		wanted[set.group.Name] = set
	}
	s.mu.Lock()
	var over []*syncGroup
	for name, g := range s.groups {
		if set := wanted[name]; set == nil || set.cluster != g.cluster {
			over = append(over, g)
			delete(s.groups, name)
		}
	}
	s.mu.Unlock()
	for _, g := range over {
		g.end()
	}
	for _, set := range want {
		if g := s.groupOf(set.group.Name); g != nil {
			g.configure(set)
			continue
		}
		g := newSyncGroup(s, set)
		s.mu.Lock()
		s.groups[g.name] = g
		s.mu.Unlock()
		go g.run()
	}
}

func (s *Speaker) groupOf(name string) *syncGroup {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups[name]
}

// endGroups ends all groups, after their members.
func (s *Speaker) endGroups() {
	s.mu.Lock()
	all := make([]*syncGroup, 0, len(s.groups))
	for _, g := range s.groups {
		all = append(all, g)
	}
	s.mu.Unlock()
	for _, g := range all {
		g.end()
	}
}
