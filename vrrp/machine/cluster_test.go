package machine

import (
	"testing"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

const ttl = 250 * time.Millisecond

func clustered(t *testing.T, policy vrrp.QuorumLoss) *rig {
	r := newRig(t, 100, func(c *Config) { c.Cluster, c.OnQuorumLoss = true, policy })
	r.feed(Start{})
	r.want(Backup, "-> BACKUP, notify BACKUP, stand 100 ready=true holding=false")
	return r
}

func (r *rig) verdict(k vrrp.VerdictKind, epoch uint64) {
	v := vrrp.Verdict{Instance: "VI_1", Kind: k, Epoch: epoch}
	if k == vrrp.Granted || k == vrrp.Extended {
		v.Expiry = r.now.Add(ttl)
	}
	r.feed(Decided{Verdict: v})
}

func holder(t *testing.T, policy vrrp.QuorumLoss) *rig {
	r := clustered(t, policy)
	r.verdict(vrrp.Quorum, 0)
	r.verdict(vrrp.Granted, 1)
	r.want(Master, "pet, advert 100, add, -> MASTER, stand 100 ready=true holding=true, announce 5, notify MASTER")
	return r
}

const released = "-> BACKUP, released 1, notify BACKUP, stand 100 ready=true holding=false"

func TestLease(t *testing.T) {
	t.Run("nobody becomes MASTER by silence", func(t *testing.T) {
		r := clustered(t, vrrp.QuorumLossAuto)
		r.advance(time.Minute)
		r.want(Backup, "")
	})
	t.Run("extended, then not", func(t *testing.T) {
		r := holder(t, vrrp.QuorumLossAuto)
		for range 40 {
			r.advance(50 * time.Millisecond)
			r.verdict(vrrp.Extended, 1)
			r.want(Master, "pet, extend")
		}
		r.advance(ttl - time.Nanosecond)
		if r.m.State() != Master {
			t.Fatal("let go too soon")
		}
		r.advance(time.Nanosecond)
		r.want(Backup, "remove, "+released)
	})
	t.Run("an extension too late does not help", func(t *testing.T) {
		r := holder(t, vrrp.QuorumLossAuto)
		r.now = r.now.Add(ttl)
		r.verdict(vrrp.Extended, 1)
		r.want(Backup, "remove, "+released)
	})
	t.Run("an old grant is nothing", func(t *testing.T) {
		r := clustered(t, vrrp.QuorumLossAuto)
		r.feed(Decided{Verdict: vrrp.Verdict{Kind: vrrp.Granted, Epoch: 1, Expiry: r.now}})
		r.want(Backup, "")
		r.verdict(vrrp.Elsewhere, 5)
		r.verdict(vrrp.Granted, 4)
		r.want(Backup, "")
	})
	t.Run("yield", func(t *testing.T) {
		r := holder(t, vrrp.QuorumLossAuto)
		r.verdict(vrrp.Yield, 1)
		r.want(Backup, "advert 0, remove, -> BACKUP, released 1, notify BACKUP, stand 100 ready=true holding=false")
	})
	t.Run("lost", func(t *testing.T) {
		r := holder(t, vrrp.QuorumLossAuto)
		r.verdict(vrrp.Lost, 1)
		r.want(Backup, "remove, "+released)
	})
	t.Run("elsewhere", func(t *testing.T) {
		r := holder(t, vrrp.QuorumLossAuto)
		r.feed(Decided{Verdict: vrrp.Verdict{Kind: vrrp.Elsewhere, Epoch: 2, Holder: "other"}})
		r.want(Backup, "remove, "+released)
		if who, epoch := r.m.Holder(); who != "other" || epoch != 2 {
			t.Errorf("holder %s %d", who, epoch)
		}
	})
	t.Run("not ready keeps what it has", func(t *testing.T) {
		r := holder(t, vrrp.QuorumLossAuto)
		r.feed(Ready{false})
		r.want(Master, "stand 100 ready=false holding=true")
	})
	t.Run("fault gives it back", func(t *testing.T) {
		r := holder(t, vrrp.QuorumLossAuto)
		r.feed(Faults{"eth0 is down"})
		r.want(Fault, "advert 0, advert 0, remove, -> FAULT, stand 0 ready=true holding=true, released 1, notify FAULT, stand 0 ready=true holding=false")
		r.verdict(vrrp.Granted, 2)
		r.want(Fault, "released 2")
	})
	t.Run("stop stands down before it gives back", func(t *testing.T) {
		r := holder(t, vrrp.QuorumLossAuto)
		r.feed(Stop{Withdraw: true})
		r.want(Init, "stand 0 ready=true holding=true, advert 0, remove, -> INIT, released 1, notify INIT, stand 0 ready=true holding=false, withdraw")
	})
	t.Run("release by will", func(t *testing.T) {
		r := holder(t, vrrp.QuorumLossAuto)
		r.feed(Release{})
		r.want(Backup, "stand 100 ready=false holding=true, advert 0, remove, -> BACKUP, released 1, notify BACKUP, stand 100 ready=false holding=false")
		if !r.m.Candidacy().NoPreempt {
			t.Error("would take it back at once")
		}
		r.feed(Decided{Verdict: vrrp.Verdict{Kind: vrrp.Elsewhere, Epoch: 2, Holder: "other"}})
		r.want(Backup, "stand 100 ready=true holding=false")
	})
	t.Run("addresses that do not come off are not given back", func(t *testing.T) {
		r := holder(t, vrrp.QuorumLossAuto)
		r.stuck = true
		r.verdict(vrrp.Lost, 1)
		r.want(Backup, "remove, -> BACKUP")
		r.stuck = false
		r.advance(100 * time.Millisecond)
		r.want(Backup, "remove, released 1, notify BACKUP, stand 100 ready=true holding=false")
	})
	t.Run("a foreign router is answered, not obeyed", func(t *testing.T) {
		r := holder(t, vrrp.QuorumLossAuto)
		r.feed(Advert{Source: higher, Priority: 200})
		r.want(Master, "report foreign_higher, advert 100, announce 5")
		r.now = r.now.Add(AnswerInterval)
		r.feed(Advert{Source: higher, Priority: 20})
		r.want(Master, "report foreign_advert, advert 100, announce 5, rx_lower")
	})
}

func (r *rig) noQuorum(voters int) {
	r.feed(Decided{Verdict: vrrp.Verdict{Kind: vrrp.NoQuorum, Voters: voters}})
}

func TestQuorumLoss(t *testing.T) {
	for _, tc := range []struct {
		policy vrrp.QuorumLoss
		voters int
		master bool // by plain VRRP, in the end
	}{
		{vrrp.QuorumLossAuto, 1, true},
		{vrrp.QuorumLossAuto, 2, true},
		{vrrp.QuorumLossAuto, 3, false},
		{vrrp.QuorumLossAuto, 0, false},
		{vrrp.QuorumLossVRRP, 5, true},
		{vrrp.QuorumLossRelease, 2, false},
	} {
		r := holder(t, tc.policy)
		r.noQuorum(tc.voters)
		r.want(Master, "") // until its end
		r.advance(ttl)
		r.want(Backup, "remove, "+released)
		if r.on {
			t.Fatal("the address stays")
		}
		r.advance(3600 * time.Millisecond)
		if r.m.State() != Backup {
			t.Errorf("%v: MASTER before the interval", tc)
		}
		r.advance(100 * time.Millisecond)
		if (r.m.State() == Master) != tc.master {
			t.Errorf("%v: %v in the end", tc, r.m.State())
		}
	}
}

func TestQuorumBack(t *testing.T) {
	fallen := func(t *testing.T) *rig {
		r := clustered(t, vrrp.QuorumLossVRRP)
		r.noQuorum(2)
		r.advance(4 * time.Second)
		if r.m.State() != Master || !r.m.stood.Holding {
			t.Fatal("no fallback")
		}
		r.verdict(vrrp.Quorum, 0)
		return r
	}
	t.Run("granted in time", func(t *testing.T) {
		r := fallen(t)
		r.verdict(vrrp.Granted, 9)
		r.want(Master, "pet, extend")
		r.advance(ttl)
		r.want(Backup, "remove, -> BACKUP, released 9, notify BACKUP, stand 100 ready=true holding=false")
	})
	t.Run("not granted", func(t *testing.T) {
		r := fallen(t)
		r.advance(ttl)
		if r.m.State() != Backup || r.on {
			t.Error("keeps the address without a lease")
		}
		r.advance(time.Minute)
		r.want(Backup, "")
	})
	t.Run("elsewhere", func(t *testing.T) {
		r := fallen(t)
		r.feed(Decided{Verdict: vrrp.Verdict{Kind: vrrp.Elsewhere, Epoch: 3, Holder: "other"}})
		if r.on {
			t.Error("keeps the address beside the holder")
		}
	})
	t.Run("gone again", func(t *testing.T) {
		r := fallen(t)
		r.noQuorum(2)
		r.advance(2 * ttl)
		if r.m.State() != Master {
			t.Error("plain VRRP did not go on")
		}
	})
}
