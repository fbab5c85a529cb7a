package agent

import (
	"context"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/cluster/lease"
	"github.com/reeve-lb/reeve/vrrp"
)

// leases is what the arbiter needs of the cluster's: see lease.Client.
type leases interface {
	Stand(instance string, c lease.Candidacy)
	Withdraw(instance string)
	Released(instance string, epoch uint64)
	Verdicts() <-chan lease.Verdict
}

// arbiter fits the cluster's leases to what the VRRP speaker asks for: the same words on both sides of the door.
type arbiter struct {
	leases   leases
	flush    func(context.Context) error // returns when the sticky entries of this node are agreed on
	away     func()                      // told of each NoQuorum
	granted  func()                      // told of each Granted, before the speaker
	verdicts chan vrrp.Verdict
	farewell sync.WaitGroup // leases that are being given back
}

func newArbiter(l leases, flush func(context.Context) error) *arbiter {
	return &arbiter{leases: l, flush: flush, verdicts: make(chan vrrp.Verdict)}
}

// flushBudget bounds how long sticky entries may keep an address off every node. It is well under the lease's own life, which
// would end the wait anyway.
const flushBudget = 100 * time.Millisecond

// run copies verdicts until ctx ends. The client behind coalesces, so waiting for the speaker here loses nothing.
func (a *arbiter) run(ctx context.Context) error {
	defer close(a.verdicts)
	defer a.settle()
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

// Released implements vrrp.Arbiter. The next holder knows what was agreed on before the lease became its own: what this node
// bound last shall be of it.
func (a *arbiter) Released(instance string, epoch uint64) {
	a.farewell.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushBudget)
		defer cancel()
		_ = a.flush(ctx) // what is not agreed on by then follows, as after any loss of a node
		a.leases.Released(instance, epoch)
	})
}

// settle returns when every lease that was released is given back.
func (a *arbiter) settle() { a.farewell.Wait() }

// Verdicts implements vrrp.Arbiter.
func (a *arbiter) Verdicts() <-chan vrrp.Verdict { return a.verdicts }

var _ vrrp.Arbiter = (*arbiter)(nil)
