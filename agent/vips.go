package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/cluster/lease"
	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp/speaker"
)

// VIPs implements httpapi.Service.
func (a *Agent) VIPs() []api.VIP {
	leases := a.cluster.Leases().Status()
	out := []api.VIP{}
	for _, st := range a.speaker.Status() {
		out = append(out, a.vip(st, leases))
	}
	return append(out, a.seen(leases)...)
}

// seen are the instances that a witness knows of: it holds none and stands for none.
func (a *Agent) seen(leases lease.Status) []api.VIP {
	var out []api.VIP
	if !a.set.Witness {
		return out
	}
	a.mu.Lock()
	instances := a.running.doc.VRRP.Instances
	a.mu.Unlock()
	for _, in := range instances {
		st := speaker.InstanceStatus{Instance: in.Name, Interface: in.Interface, Election: cmp.Or(in.Election, a.election()).String()}
		for _, ad := range in.Addresses {
			st.Addresses = append(st.Addresses, ad.Prefix)
		}
		v := a.vip(st, leases)
		v.State = ""
		out = append(out, v)
	}
	return out
}

// vip joins what the speaker knows of an instance with what the cluster says about its lease.
func (a *Agent) vip(st speaker.InstanceStatus, leases lease.Status) api.VIP {
	v := api.VIP{
		Instance: st.Instance, Election: st.Election, State: strings.ToUpper(st.State.String()), Priority: st.Priority,
		Interface: st.Interface, Holder: st.Holder, Epoch: max(st.Epoch, st.HolderEpoch), Addresses: []string{},
	}
	for _, p := range st.Addresses {
		v.Addresses = append(v.Addresses, p.String())
	}
	if st.Plain {
		v.Holder = plainMaster(st, a.set.Node)
		return v
	}
	for _, l := range leases.Leases {
		if l.Instance == st.Instance {
			v.Holder, v.Epoch = l.Holder, max(v.Epoch, l.Epoch)
		}
	}
	return v
}

// plainMaster is who plain VRRP says it is: this node, or the source of the last advert.
func plainMaster(st speaker.InstanceStatus, self string) string {
	if strings.EqualFold(st.State.String(), "master") {
		return self
	}
	if len(st.Adverts) > 0 && st.Adverts[0].Priority > 0 {
		return st.Adverts[0].Source.String()
	}
	return ""
}

// Why implements httpapi.Service.
func (a *Agent) Why(_ context.Context, instance string) (api.Why, error) {
	i := slices.IndexFunc(a.speaker.Status(), func(s speaker.InstanceStatus) bool { return s.Instance == instance })
	if i < 0 {
		return api.Why{}, unknownInstance(instance)
	}
	st, leases := a.speaker.Status()[i], a.cluster.Leases().Status()
	y := api.Why{
		VIP: a.vip(st, leases), Node: a.set.Node, BasePriority: st.BasePriority, Since: st.Since,
		Cause: cmp.Or(st.Fault, st.Cause), Counters: st.Counters,
		Weights: []api.Weight{}, Candidates: []api.Candidate{}, Adverts: []api.Advert{}, Moves: []api.Move{},
	}
	if st.Epoch > 0 {
		y.LeaseLeftMS = max(0, ms(st.Expiry.Sub(boottime.Now())))
	}
	for _, w := range st.Weights {
		y.Weights = append(y.Weights, api.Weight{Cause: w.Cause, Weight: w.Weight, State: w.State})
	}
	for _, l := range leases.Leases {
		if l.Instance != instance {
			continue
		}
		for _, c := range l.Candidates {
			y.Candidates = append(y.Candidates, api.Candidate{Node: c.Node, Priority: c.Priority, Ready: c.Ready, Holding: c.Holding, Note: note(c, l)})
		}
	}
	for _, ad := range st.Adverts {
		y.Adverts = append(y.Adverts, api.Advert{Source: ad.Source.String(), Priority: ad.Priority, Time: ad.Time, Count: ad.Count})
	}
	for _, m := range st.Moves {
		y.Moves = append(y.Moves, api.Move{Time: m.Time, From: m.From.String(), To: m.To.String(), Cause: m.Cause, Epoch: m.Epoch})
	}
	return y, nil
}

// note says in words what keeps a candidate back.
func note(c lease.CandidateStatus, l lease.LeaseStatus) string {
	var out []string
	if c.Node == l.Holder {
		out = append(out, "holder")
		if l.Yielding {
			out = append(out, "handing over")
		}
	}
	if c.Priority == 0 {
		out = append(out, "out of the running")
	}
	if c.NoPreempt {
		out = append(out, "nopreempt")
	}
	if c.PreemptDelay > 0 {
		out = append(out, "preempt_delay "+c.PreemptDelay.String())
	}
	return strings.Join(out, ", ")
}

func unknownInstance(name string) error {
	return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no vrrp_instance %q runs here: `reeve vip list` shows them", name)}
}

// Release implements httpapi.Service. Handing over what is not here is no error when all is to be handed over.
func (a *Agent) Release(ctx context.Context, instance string) error {
	if instance != "" {
		return releaseError(instance, a.speaker.Release(ctx, instance))
	}
	var errs []error
	for _, st := range a.speaker.Status() {
		if err := a.speaker.Release(ctx, st.Instance); !errors.Is(err, speaker.ErrNotMaster) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func releaseError(instance string, err error) error {
	switch {
	case errors.Is(err, speaker.ErrUnknownInstance):
		return unknownInstance(instance)
	case errors.Is(err, speaker.ErrNotMaster):
		return &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf("%s is not held by this node: ask its holder (`reeve vip list`)", instance)}
	}
	return err
}

// Banner is what the agent tells of itself before its log begins.
func (a *Agent) Banner() [][2]string {
	s := a.set
	kind := "of a cluster"
	switch {
	case s.Dev:
		kind = "one node in memory (-dev)"
	case !s.ofCluster():
		kind = "alone, unless data_dir remembers a cluster"
	case s.Witness:
		kind = "witness of a cluster"
	}
	rows := [][2]string{{"node", s.Node}, {"kind", kind}, {"bind", s.Bind}, {"http", s.HTTPAddr}}
	if s.DataDir != "" {
		rows = append(rows, [2]string{"data_dir", s.DataDir})
	}
	return append(rows, [2]string{"gossip", "encrypted"})
}
