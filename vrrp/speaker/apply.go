package speaker

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/notify"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/track"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// Apply makes c the configuration, in place: an instance that stays keeps its state, cadence and counters, and what did
// not change is not touched. defaultElection is for instances that say nothing. The problems say what can't be done on
// this machine: such an instance waits in FAULT (an interface that is missing may come), or, when the wire can't carry it,
// is left out. Apply returns before the change is done.
func (s *Speaker) Apply(c vrrp.Config, defaultElection vrrp.Election) source.Problems {
	var ps source.Problems
	w := wanted{track: track.Used(c), notify: notify.SettingsOf(c.Global), virtual: map[netip.Addr]bool{}}
	names := map[string]bool{}
	vrids := map[routerKey]string{}
	for _, in := range c.Instances {
		set, err := newSettings(s.o.Node, in, c, s.elected(in.Election, defaultElection))
		key := routerKey{in.Interface, in.VirtualRouterID}
		other, twice := vrids[key]
		switch {
		case err != nil:
			ps.Errorf(in.Pos, "", "vrrp_instance %s: %v", in.Name, err)
			continue
		case names[in.Name]:
			ps.Errorf(in.Pos, "", "vrrp_instance %s is there twice", in.Name)
			continue
		case twice:
			ps.Errorf(in.Pos, "", "%s and %s both use virtual_router_id %d on %s", other, in.Name, in.VirtualRouterID, in.Interface)
			continue
		}
		names[in.Name], vrids[key] = true, in.Name
		s.checkLinks(in, &ps)
		for _, a := range set.group.Addresses {
			w.virtual[a.Prefix.Addr()] = true
		}
		w.settings = append(w.settings, set)
	}
	s.mu.Lock()
	s.wanted = w
	s.mu.Unlock()
	poke(s.wake)
	return ps
}

type routerKey struct {
	dev  string
	vrid int
}

// elected reports whether the cluster decides about an instance.
func (s *Speaker) elected(own, otherwise vrrp.Election) bool {
	if own == vrrp.ElectionAuto {
		own = otherwise
	}
	return own == vrrp.ElectionCluster && s.o.Arbiter != nil
}

// checkLinks names interfaces that are missing or have no carrier.
func (s *Speaker) checkLinks(in vrrp.Instance, ps *source.Problems) {
	check := func(at source.Pos, what, dev string) {
		link, err := s.vip.Link(dev)
		if err != nil {
			ps.Errorf(at, "it waits in FAULT until the interface is there", "vrrp_instance %s: %s: %v", in.Name, what, err)
		} else if err := link.Usable(); err != nil {
			ps.Warnf(at, "", "vrrp_instance %s: %s: %v", in.Name, what, err)
		}
	}
	check(in.Pos, "interface", in.Interface)
	for _, a := range slices.Concat(in.Addresses, in.Excluded) {
		if a.Dev != "" && a.Dev != in.Interface {
			check(a.Pos, "address "+a.Prefix.String(), a.Dev)
		}
	}
	for _, t := range in.TrackInterfaces {
		check(t.Pos, "track_interface", t.Name)
	}
}

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
	var gone, replaced []string
	for name, i := range s.instances {
		switch set := want[name]; {
		case set == nil:
			gone = append(gone, name)
		case set.replaces(i.asked):
			if set.cluster {
				replaced = append(replaced, name)
			} else {
				gone = append(gone, name)
			}
		}
	}
	s.mu.Unlock()
	s.end(gone, true)
	s.end(replaced, false)
	s.tracker.Apply(w.track)
	s.notifier.Apply(w.notify)
	for _, name := range order {
		set := want[name]
		if i := s.find(name); i != nil {
			i.asked = set
			i.post(func() { i.configure(set) })
			continue
		}
		s.begin(set)
	}
	s.mu.Lock()
	s.names = order
	s.mu.Unlock()
}

// begin makes an instance. What a former life left on the interface goes before the first advert.
func (s *Speaker) begin(set *settings) {
	found, err := s.vip.RemoveLeftovers([]vip.Group{set.group})
	if err != nil {
		s.log.Error("("+set.in.Name+") addresses of a former life could not be removed", "error", err)
	}
	if len(found) > 0 {
		s.log.Info("("+set.in.Name+") removed addresses that a former life left", "addresses", found)
	}
	group := set.global.McastGroup4
	if !group.IsValid() {
		group = packet.Group4
	}
	key := portKey{set.in.Interface, group}
	p := s.ports[key]
	if p == nil {
		p = newPort(key, s.log)
		s.ports[key] = p
		p.start()
	}
	i := newInstance(s, set, p)
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

// SetReady says whether this node may be promoted (its configuration and tables are up to date, its listeners are up). It
// never takes an address from a holder.
func (s *Speaker) SetReady(ready bool) {
	s.mu.Lock()
	s.ready = ready
	s.mu.Unlock()
	s.each(func(i *instance) { i.feedLater(machine.Ready{Ready: ready}) })
}

// Fenced says that the guard took an instance's addresses off, because it heard too late that they may stay.
func (s *Speaker) Fenced(name string, epoch uint64) {
	if i := s.find(name); i != nil {
		i.feedLater(machine.Fenced{Epoch: epoch})
	}
}

// Release hands an instance over by will: priority 0, addresses off, lease released. It returns when that is done; the
// node does not take the instance back from whoever takes it, until its priority or settings change.
func (s *Speaker) Release(ctx context.Context, name string) error {
	i := s.find(name)
	if i == nil {
		return &InstanceError{name, ErrUnknownInstance}
	}
	done := make(chan error, 1)
	release := func() {
		if i.m.State() != machine.Master {
			done <- &InstanceError{name, ErrNotMaster}
			return
		}
		i.feed(machine.Release{})
		done <- nil
	}
	select {
	case i.work <- release:
	case <-i.gone:
		return &InstanceError{name, ErrNotRunning}
	case <-ctx.Done():
		return &InstanceError{name, ctx.Err()}
	}
	select {
	case err := <-done:
		return err
	case <-i.gone:
		return &InstanceError{name, ErrNotRunning}
	case <-ctx.Done():
		return &InstanceError{name, ctx.Err()}
	}
}

// InstanceError says which instance an error is about.
type InstanceError struct {
	Instance string
	Err      error
}

// Error implements error.
func (e *InstanceError) Error() string { return e.Instance + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *InstanceError) Unwrap() error { return e.Err }

// Status is the evidence for each instance, in the order of the configuration.
func (s *Speaker) Status() []InstanceStatus {
	s.mu.Lock()
	var all []*instance
	for _, name := range s.names {
		if i := s.instances[name]; i != nil {
			all = append(all, i)
		}
	}
	s.mu.Unlock()
	out := make([]InstanceStatus, 0, len(all))
	for _, i := range all {
		out = append(out, i.status())
	}
	return out
}

func (i *instance) status() InstanceStatus {
	i.mu.Lock()
	defer i.mu.Unlock()
	in := i.set.in
	st := InstanceStatus{
		Instance: i.name, Interface: in.Interface, VirtualRouterID: in.VirtualRouterID, Election: vrrp.ElectionVRRP.String(),
		Plain: i.m.Plain(), State: i.m.State(), Since: i.history.since, Cause: i.history.cause,
		BasePriority: in.Priority, Priority: i.m.EffectivePriority(), Weights: slices.Clone(i.rating.Weights),
		Fault: i.fault, Ready: i.m.Candidacy().Ready, NoPreempt: in.NoPreempt,
		Adverts: slices.Clone(i.history.adverts), Moves: slices.Clone(i.history.moves), Alarms: i.alarms.List(),
		Counters: i.counters.Map(), Source: i.source,
	}
	if i.set.cluster {
		st.Election = vrrp.ElectionCluster.String()
	} else {
		st.Ready = true
	}
	for _, a := range i.set.group.Addresses {
		st.Addresses = append(st.Addresses, a.Prefix)
	}
	st.Epoch, st.Expiry = i.m.Lease()
	st.Holder, st.HolderEpoch = i.m.Holder()
	h := i.history
	maps.Copy(st.Counters, map[string]uint64{
		"advert_sent": i.sent, "advert_rcvd": i.heard, "become_master": h.became, "release_master": h.released,
		"pri_zero_sent": h.zeroSent, "pri_zero_rcvd": h.zeroHeard,
	})
	if n := i.port.counters.Get(packet.UnknownVRID); n > 0 {
		st.Counters["unknown_vrid"] = n
	}
	return st
}
