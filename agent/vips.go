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
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/speaker"
)

// knowledge is what this node can tell about addresses at one moment: what its speaker runs, what its configuration asks
// for, and what the cluster says of the leases.
type knowledge struct {
	node     string
	witness  bool
	election vrrp.Election // of an instance that does not say who decides
	running  running
	speaks   []speaker.InstanceStatus
	leases   lease.Status
}

func (a *Agent) know() knowledge {
	k := knowledge{
		node: a.set.Node, witness: a.set.Witness, election: a.election(),
		speaks: a.speaker.Status(), leases: a.cluster.Leases().Status(),
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k.running = a.running
	return k
}

// VIPs implements httpapi.Service.
func (a *Agent) VIPs() []api.VIP { return a.know().vips() }

// vips are the instances that this node stands for, then those of its configuration that it does not stand for.
func (k knowledge) vips() []api.VIP {
	out := []api.VIP{}
	for _, st := range k.speaks {
		out = append(out, k.vip(st))
	}
	for _, in := range k.running.doc.VRRP.Instances {
		if k.speaking(in.Name) < 0 {
			out = append(out, k.seen(in))
		}
	}
	return out
}

func (k knowledge) speaking(instance string) int {
	return slices.IndexFunc(k.speaks, func(s speaker.InstanceStatus) bool { return s.Instance == instance })
}

func (k knowledge) configured(instance string) int {
	return slices.IndexFunc(k.running.doc.VRRP.Instances, func(in vrrp.Instance) bool { return in.Name == instance })
}

func (k knowledge) leased(instance string) int {
	return slices.IndexFunc(k.leases.Leases, func(l lease.LeaseStatus) bool {
		return l.Instance == instance && (l.Holder != "" || len(l.Candidates) > 0) // else it is a memory of what once was
	})
}

// seen is an instance that this node knows of and does not stand for: it has no state of its own there.
func (k knowledge) seen(in vrrp.Instance) api.VIP {
	election := cmp.Or(in.Election, k.election)
	st := speaker.InstanceStatus{
		Instance: in.Name, Interface: in.Interface, Election: election.String(), Plain: election == vrrp.ElectionVRRP,
	}
	for _, ad := range in.Addresses {
		st.Addresses = append(st.Addresses, ad.Prefix)
	}
	v := k.vip(st)
	v.State = ""
	return v
}

// vip joins what the speaker knows of an instance with what the cluster says about its lease.
func (k knowledge) vip(st speaker.InstanceStatus) api.VIP {
	v := api.VIP{
		Instance: st.Instance, Election: st.Election, State: strings.ToUpper(st.State.String()), Priority: st.Priority,
		Interface: st.Interface, Holder: st.Holder, Epoch: max(st.Epoch, st.HolderEpoch), Addresses: []string{},
	}
	for _, p := range st.Addresses {
		v.Addresses = append(v.Addresses, p.String())
	}
	if st.Plain {
		v.Holder = plainMaster(st, k.node)
		return v
	}
	for _, l := range k.leases.Leases {
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
	return a.know().why(instance)
}

// why is the evidence about one instance. Where this node does not stand for it, the cluster's part of it.
func (k knowledge) why(instance string) (api.Why, error) {
	y := api.Why{
		Node: k.node, Counters: map[string]uint64{},
		Weights: []api.Weight{}, Candidates: []api.Candidate{}, Adverts: []api.Advert{}, Moves: []api.Move{},
		Alarms: []api.Alarm{}, Duplicates: []api.Duplicate{}, Incomplete: []string{},
	}
	switch here, wanted := k.speaking(instance), k.configured(instance); {
	case here >= 0:
		k.speakers(&y, k.speaks[here])
	case wanted >= 0:
		y.VIP, y.Cause = k.seen(k.running.doc.VRRP.Instances[wanted]), k.aside(wanted)
	case k.leased(instance) >= 0:
		y.VIP, y.Cause = k.seen(vrrp.Instance{Name: instance, Election: vrrp.ElectionCluster}), k.aside(wanted)
	default:
		return api.Why{}, unknownInstance(instance)
	}
	for _, l := range k.leases.Leases {
		if l.Instance != instance {
			continue
		}
		for _, c := range l.Candidates {
			y.Candidates = append(y.Candidates, api.Candidate{Node: c.Node, Priority: c.Priority, Ready: c.Ready, Holding: c.Holding, Note: note(c, l)})
		}
	}
	return y, nil
}

// speakers adds the speaker's part of the evidence.
func (k knowledge) speakers(y *api.Why, st speaker.InstanceStatus) {
	y.VIP, y.BasePriority, y.Since = k.vip(st), st.BasePriority, st.Since
	y.Cause, y.Counters = cmp.Or(st.Fault, st.Cause), st.Counters
	if st.Epoch > 0 {
		y.LeaseLeftMS = max(0, ms(st.Expiry.Sub(boottime.Now())))
	}
	for _, w := range st.Weights {
		y.Weights = append(y.Weights, api.Weight{Cause: w.Cause, Weight: w.Weight, State: w.State})
	}
	for _, ad := range st.Adverts {
		y.Adverts = append(y.Adverts, api.Advert{Source: ad.Source.String(), Priority: ad.Priority, Time: ad.Time, Count: ad.Count})
	}
	y.Group = st.Group
	y.Incomplete = append(y.Incomplete, st.Incomplete...)
	for _, al := range st.Alarms {
		y.Alarms = append(y.Alarms, alarm(al))
	}
	for _, d := range st.Duplicates {
		y.Duplicates = append(y.Duplicates, api.Duplicate{
			Address: d.Address.String(), Interface: d.Interface, OurMAC: d.Ours, TheirMAC: d.Theirs, Time: d.Time, Count: d.Count,
		})
	}
	for _, m := range st.Moves {
		y.Moves = append(y.Moves, api.Move{Time: m.Time, From: m.From.String(), To: m.To.String(), Cause: m.Cause, Epoch: m.Epoch})
	}
}

func alarm(a packet.Alarm) api.Alarm {
	out := api.Alarm{Cause: a.What, Detail: a.Detail.String(), Count: a.Count, AgoMS: ms(boottime.Now().Sub(a.Last))}
	if a.Source.IsValid() {
		out.Source = a.Source.String()
	}
	return out
}

// aside says why this node does not stand for an instance, which is the one of its configuration at the index; -1: none.
func (k knowledge) aside(wanted int) string {
	const text = "this node does not stand for it: "
	switch {
	case k.witness:
		return text + "it is a witness, a voter without a data plane"
	case wanted < 0 && k.running.version > 0:
		return fmt.Sprintf("%sversion %d of the configuration, which it runs, has no such instance", text, k.running.version)
	case wanted < 0:
		return text + "the configuration that it runs has no such instance"
	}
	in := k.running.doc.VRRP.Instances
	for _, at := range []source.Pos{in[wanted].Pos, in[0].Pos} { // what keeps all of them off is told at the first
		for _, p := range k.running.problems {
			if p.Severity == source.Error && p.Pos == at && !at.IsZero() {
				return text + p.Text
			}
		}
	}
	return text + "it has not taken it up yet"
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
	return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no vrrp_instance %q is known here: `reeve vip list` shows them", name)}
}

// Release implements httpapi.Service. Handing over what is not here is no error when all is to be handed over.
func (a *Agent) Release(ctx context.Context, instance string) error {
	if instance != "" {
		err := a.speaker.Release(ctx, instance)
		if errors.Is(err, speaker.ErrUnknownInstance) {
			if _, unknown := a.Why(ctx, instance); unknown == nil {
				err = speaker.ErrNotMaster // others stand for it
			}
		}
		return releaseError(instance, err)
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
