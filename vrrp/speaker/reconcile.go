package speaker

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/notify"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// reconcile makes the instances what Apply wanted last. Only the supervisor calls it.
func (s *Speaker) reconcile() {
	s.mu.Lock()
	w := s.wanted
	want := map[string]*settings{}
	order := make([]string, 0, len(w.settings))
	for _, set := range w.settings {
		want[set.in.Name] = set
		order = append(order, set.in.Name)
	}
	var gone, elsewhere, replaced []string
	for name, i := range s.instances {
		switch set := want[name]; {
		case set == nil:
			gone = append(gone, name)
		case !set.replaces(i.asked):
		case i.asked.cluster && !set.cluster:
			elsewhere = append(elsewhere, name)
		default:
			replaced = append(replaced, name)
		}
	}
	s.mu.Unlock()
	s.end(gone, farewell{withdraw: true, leaving: true})
	s.end(elsewhere, farewell{withdraw: true})
	s.end(replaced, farewell{})
	s.reconcileGroups(w.groups)
	s.prepare(w.setup)
	s.tracker.Apply(w.track)
	s.notifier.Apply(w.notify)
	s.alerter.Apply(w.alert)
	for _, name := range order {
		set := want[name]
		if i := s.find(name); i != nil {
			i.asked = set
			i.configure(set)
			continue
		}
		s.begin(set)
	}
	for _, p := range s.ports {
		p.tell(s.stranger(w.strangers, p.key), s.ports[p.key.other()])
	}
	s.mu.Lock()
	s.names = order
	s.mu.Unlock()
	s.repeat()
}

// prepare makes the machine ready for what the instances will do: virtual MACs, kernel settings, what stays on whoever is
// MASTER. It undoes what a former life left, also of instances that come later. What fails is tried again when an interface comes.
func (s *Speaker) prepare(setup vip.Setup) {
	found, err := s.vip.Prepare(setup)
	if len(found) > 0 {
		s.log.Info("removed addresses that a former life left", "addresses", found)
	}
	if err != nil && (s.unprepared == nil || err.Error() != s.unprepared.Error()) {
		s.log.Error("this machine could not be made ready for all of the configuration", "error", err)
	}
	s.unprepared = err
}

// repeat tells the pipes all states anew after a reload (fifo_write_vrrp_states_on_reload).
func (s *Speaker) repeat() {
	var states []notify.Event
	s.each(func(i *instance) {
		i.locked(func() {
			if i.told != "" {
				states = append(states, i.event(i.told))
			}
		})
	})
	slices.SortFunc(states, func(a, b notify.Event) int { return strings.Compare(a.Name, b.Name) })
	s.mu.Lock()
	groups := slices.Collect(maps.Values(s.groups))
	s.mu.Unlock()
	for _, g := range groups {
		if e, ok := g.last(); ok {
			states = append(states, e)
		}
	}
	s.notifier.Repeat(states)
}

// stranger is what a port says of unknown virtual routers: nothing, unless log_unknown_vrids is on, and then once of each.
func (s *Speaker) stranger(on bool, key portKey) func(vrid uint8, source netip.Addr) {
	if !on {
		return nil
	}
	var limit limiter // a port calls from one goroutine
	return func(vrid uint8, source netip.Addr) {
		if limit.allow("VRID "+strconv.Itoa(int(vrid)), source, boottime.Now()) {
			s.log.Info("advert of an unknown virtual router", "virtual_router_id", vrid, "interface", key.dev, "source", source)
		}
	}
}

// begin makes an instance. What a former life left of it on the interface is off: prepare saw to it.
func (s *Speaker) begin(set *settings) {
	if s.made.IsZero() { // a start that the machine is slow at is no part of the delay, as with keepalived
		s.made = time.Now()
	}
	key := set.port()
	p := s.ports[key]
	if p == nil {
		p = newPort(key, s.log)
		s.ports[key] = p
		p.start()
	}
	i := newInstance(s, set, p, max(set.global.StartupDelay-time.Since(s.made), 0))
	p.join(set.in.VirtualRouterID, i)
	ctx, force := context.WithCancel(context.Background())
	i.force = force
	s.mu.Lock()
	s.instances[i.name] = i
	ready := s.ready
	s.mu.Unlock()
	i.feedLater(machine.Ready{Ready: ready})
	if s.verdict.Kind != 0 {
		i.feedLater(machine.Decided{Verdict: s.verdict})
	}
	i.touch()
	go func() {
		defer force()
		i.run(ctx)
	}()
}
