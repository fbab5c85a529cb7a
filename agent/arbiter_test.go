package agent

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reeve-lb/reeve/cluster/lease"
)

// released remembers which leases were given back, and when.
type released struct {
	said []string
	at   time.Time
}

func (*released) Stand(string, lease.Candidacy)  {}
func (*released) Withdraw(string)                {}
func (*released) Verdicts() <-chan lease.Verdict { return nil }
func (r *released) Released(instance string, epoch uint64) {
	r.said, r.at = append(r.said, fmt.Sprint(instance, " ", epoch)), time.Now()
}

// TestEntriesGoBeforeTheLease: what this node bound is agreed on before the lease goes to another, which does not wait for that
// for ever, nor lets the speaker wait.
func TestEntriesGoBeforeTheLease(t *testing.T) {
	for name, c := range map[string]struct{ takes, want time.Duration }{
		"nothing to say":   {0, 0},
		"a slow commit":    {30 * time.Millisecond, 30 * time.Millisecond},
		"without a leader": {time.Hour, flushBudget},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var to released
				a := newArbiter(&to, func(ctx context.Context) error {
					select {
					case <-time.After(c.takes):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				begun := time.Now()
				a.Released("VI_1", 7)
				if took := time.Since(begun); took != 0 {
					t.Errorf("the speaker waited %v", took)
				}
				a.settle()
				if !slices.Equal(to.said, []string{"VI_1 7"}) || to.at.Sub(begun) != c.want {
					t.Errorf("given back %v after %v, want it after %v", to.said, to.at.Sub(begun), c.want)
				}
			})
		})
	}
}
