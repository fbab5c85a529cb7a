package agent

import (
	"context"

	"github.com/reeve-lb/reeve/cluster/lease"
	"github.com/reeve-lb/reeve/vrrp"
)

// arbiter fits the cluster's leases to what the VRRP speaker asks for: the same words on both sides of the door.
type arbiter struct {
	leases   *lease.Client
	away     func() // told of each NoQuorum
	granted  func() // told of each Granted, before the speaker
	verdicts chan vrrp.Verdict
}

func newArbiter(c *lease.Client) *arbiter {
	return &arbiter{leases: c, verdicts: make(chan vrrp.Verdict)}
}

// run copies verdicts until ctx ends. The client behind coalesces, so waiting for the speaker here loses nothing.
func (a *arbiter) run(ctx context.Context) error {
	defer close(a.verdicts)
	for {
		select {
		case <-ctx.Done():
			return nil
		case v, ok := <-a.leases.Verdicts():
			if !ok { // the cluster's room ended, and says why
				<-ctx.Done()
				return nil
			}
			switch v.Kind {
			case lease.NoQuorum:
				a.away()
			case lease.Granted:
				a.granted()
			}
			select {
			case a.verdicts <- translate(v):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// kinds maps the lease room's words to the speaker's. A kind that is missing here would be a Verdict of kind 0, which
// the speaker refuses; a test holds that none is.
var kinds = map[lease.VerdictKind]vrrp.VerdictKind{
	lease.Granted:   vrrp.Granted,
	lease.Extended:  vrrp.Extended,
	lease.Yield:     vrrp.Yield,
	lease.Lost:      vrrp.Lost,
	lease.Elsewhere: vrrp.Elsewhere,
	lease.NoQuorum:  vrrp.NoQuorum,
	lease.Quorum:    vrrp.Quorum,
}

func translate(v lease.Verdict) vrrp.Verdict {
	return vrrp.Verdict{Instance: v.Instance, Kind: kinds[v.Kind], Epoch: v.Epoch, Expiry: v.Expiry, Holder: v.Holder, Voters: v.Voters}
}

// Stand implements vrrp.Arbiter.
func (a *arbiter) Stand(instance string, c vrrp.Candidacy) {
	a.leases.Stand(instance, lease.Candidacy{Priority: c.Priority, NoPreempt: c.NoPreempt, PreemptDelay: c.PreemptDelay, Ready: c.Ready, Holding: c.Holding})
}

// Withdraw implements vrrp.Arbiter.
func (a *arbiter) Withdraw(instance string) { a.leases.Withdraw(instance) }

// Released implements vrrp.Arbiter.
func (a *arbiter) Released(instance string, epoch uint64) { a.leases.Released(instance, epoch) }

// Verdicts implements vrrp.Arbiter.
func (a *arbiter) Verdicts() <-chan vrrp.Verdict { return a.verdicts }

var _ vrrp.Arbiter = (*arbiter)(nil)
