package machine

import (
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

// FuzzMachine feeds a machine events made of bytes, of any kind at any time, answers of the kernel included, and wants what
// must always hold: addresses only as MASTER, adverts only as MASTER but for the last word, no lease without its end.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 0, 4, 0, 1, 200, 2, 0, 9, 1, 10, 0})
	f.Add([]byte{3, 0, 4, 0, 15, 1, 16, 0, 11, 0, 12, 0, 5, 9})
	f.Add([]byte{5, 0, 4, 0, 17, 2, 6, 1, 17, 3, 6, 0, 18, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 {
			return
		}
		c := Config{
			Cluster: b[0]&1 != 0, Version: 2 + b[0]>>1&1, NoPreempt: b[0]&8 != 0, HigherSendAdvert: b[0]&16 != 0,
			LowerNoAdvert: b[0]&32 != 0, OnQuorumLoss: vrrp.QuorumLossVRRP, AdvertInt: time.Second, GarpMasterRepeat: 1, GarpLowerRepeat: 1,
		}
		if b[0]&4 != 0 {
			c.Group = "G"
		}
		m, now := New(c), t0
		for b = b[1:]; len(b) >= 2; b = b[2:] {
			now = now.Add(time.Duration(b[0]&0xe0) * ms)
			was := m
			next, actions := m.Step(eventOf(b[0]&0x1f, b[1], now.Add(ttl)), now)
			m = next
			checkStep(t, was, m, actions)
			if _, expiry := m.Lease(); m.lease != 0 && (m.State() != Master || !now.Before(expiry)) {
				t.Fatalf("in %v with a lease until %v at %v", m.State(), expiry, now)
			}
		}
	})
}

func checkStep(t *testing.T, was, m Machine, actions []Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case AddAddresses:
			if m.State() != Master {
				t.Fatalf("addresses go on in %v", m.State())
			}
		case SendAdvert:
			if was.State() != Master && m.State() != Master {
				t.Fatalf("advert %d from %v to %v", a.Priority, was.State(), m.State())
			}
		case Announce:
			if m.State() != Master {
				t.Fatalf("announced in %v", m.State())
			}
		case Released:
			if m.State() == Master && a.Epoch == m.lease {
				t.Fatal("the lease is given back and kept")
			}
		case Stand, Withdraw:
			if m.cfg.Group != "" {
				t.Fatal("a member speaks to the arbiter itself")
			}
		}
	}
	if was.State() == Master && m.State() != Master && !m.removing {
		t.Fatalf("left MASTER for %v with the addresses on", m.State())
	}
	if m.State() == Master && was.stopped {
		t.Fatal("MASTER after the end")
	}
}

// eventOf is the event of a number, with x for whatever varies in it.
func eventOf(kind, x byte, expiry boottime.Time) Event {
	cause := ""
	if x&1 != 0 {
		cause = "x"
	}
	verdict := vrrp.Verdict{Kind: vrrp.VerdictKind(kind - 14), Epoch: uint64(x & 7), Expiry: expiry, Holder: "other", Voters: int(x & 3)}
	switch kind {
	case 0:
		return Start{}
	case 1:
		return Advert{higher, x, time.Duration(x) * 10 * ms}
	case 2:
		return Advert{lower, x, time.Second}
	case 3:
		return Fired{Timer(x % byte(Timers))}
	case 4:
		return Fired{MasterDown}
	case 5:
		return Priority{int(x)}
	case 6:
		return Faults{cause}
	case 7:
		return Ready{x&1 == 0}
	case 8:
		return AddressesOn{}
	case 9:
		return AddressesFailed{Expired: x&1 == 0, Cause: cause}
	case 10:
		return AddressesOff{}
	case 11:
		return RemoveFailed{cause}
	case 12:
		return AddressLost{}
	case 13:
		return Fenced{uint64(x & 7)}
	case 14:
		return GroupSays{State(x&3 + 1), cause}
	case 22:
		return Release{}
	case 23:
		return Stop{Withdraw: x&1 == 0}
	case 24:
		return DuplicateAddress{Address: higher}
	case 25:
		return Source{own}
	case 26:
		return Fired{AdvertTick}
	}
	return Decided{Verdict: verdict}
}
