package vrrp

import (
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// Arbiter is asked who may hold an instance's addresses under election = "cluster". The speaker declares what it needs
// here; the agent fits the cluster's leases to it. All methods are safe for concurrent use and none blocks.
type Arbiter interface {
	// Stand says, at first and after each change, how good this node's candidacy for the instance is.
	Stand(instance string, c Candidacy)
	// Withdraw ends the candidacy: the instance is no longer configured here. Its address must be off by then.
	Withdraw(instance string)
	// Released gives the lease of that epoch back. Call it only after the addresses are off this machine.
	Released(instance string, epoch uint64)
	// Verdicts delivers what the cluster decided, in order. It is closed when the arbiter ends.
	Verdicts() <-chan Verdict
}

// Candidacy is what a node offers for one instance.
type Candidacy struct {
	Priority     int           // effective priority 1..255; 0: out of the running (FAULT, stopping)
	NoPreempt    bool          // does not take the lease from a holder that works
	PreemptDelay time.Duration // how long it must have been the better candidate before it does
	Ready        bool          // may be promoted; never taken from a holder
	Holding      bool          // has the addresses on right now, by lease or by plain VRRP
}

// VerdictKind says what a Verdict means. The zero kind is invalid.
type VerdictKind int

const (
	// Granted: this node holds the lease of Epoch until Expiry. Look at the clock again before an address goes on.
	Granted VerdictKind = iota + 1
	// Extended: the lease held goes on until Expiry.
	Extended
	// Yield: hand over. Adverts and addresses off, then Released.
	Yield
	// Lost: the lease is no longer this node's, the addresses have to be off.
	Lost
	// Elsewhere: Holder has the lease of Epoch ("" if nobody has).
	Elsewhere
	// NoQuorum: no leader confirmed by a majority answered for a TTL. Instance is "": it is true of all.
	NoQuorum
	// Quorum: a leader answers again. Instance is "".
	Quorum
)

// String implements fmt.Stringer.
func (k VerdictKind) String() string {
	if k < Granted || k > Quorum {
		return "unknown"
	}
	return [...]string{"granted", "extended", "yield", "lost", "elsewhere", "no quorum", "quorum"}[k-1]
}

// Verdict is one decision.
type Verdict struct {
	Instance string
	Kind     VerdictKind
	Epoch    uint64
	Expiry   boottime.Time
	Holder   string // node name
	Voters   int    // NoQuorum: how many voters the cluster has, for on_quorum_loss = auto
}
