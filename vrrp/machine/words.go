package machine

import (
	"net/netip"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

// State of an instance (RFC 3768 section 6.3, and keepalived's FAULT). The zero State is invalid.
type State int

const (
	// Init: not started yet, or stopped.
	Init State = iota + 1
	// Backup: somebody else may have the addresses.
	Backup
	// Master: has the addresses, or is putting them on.
	Master
	// Fault: a link, a script or the kernel keeps it from taking part.
	Fault
)

// String implements fmt.Stringer.
func (s State) String() string {
	if s < Init || s > Fault {
		return "UNKNOWN"
	}
	return [...]string{"INIT", "BACKUP", "MASTER", "FAULT"}[s-1]
}

// MarshalText spells the state for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Timer names one of the instance's timers. A timer that is set again moves.
type Timer int

// Timers. MasterDown and Advert are RFC 3768's (section 6.2).
const (
	MasterDown  Timer = iota // BACKUP: nobody was heard
	AdvertTick               // MASTER: the next advert is due
	LeaseEnd                 // MASTER by lease: it runs out
	GrantWait                // MASTER of plain VRRP, quorum back: no lease came
	GarpDelay                // the second burst
	GarpRefresh              // the regular one
	RemoveAgain              // addresses could not be removed
	RetryAdd                 // FAULT because addresses could not be added
	HandOff                  // released by will: in the running again
	GarpLower                // the second burst after a lower advert
	Startup                  // vrrp_startup_delay is over
	Timers                   // how many there are
)

// String implements fmt.Stringer.
func (t Timer) String() string {
	if t < 0 || t >= Timers {
		return "unknown"
	}
	return [...]string{"master_down", "advert", "lease", "grant", "garp", "garp_refresh", "remove", "retry", "hand_off",
		"garp_lower", "startup"}[t]
}

// Event is what happened. See the types that end in no method of their own.
type Event interface{ event() }

// Events.
type (
	// Start ends INIT, when priority and faults are known.
	Start struct{}
	// Advert is a valid advert of our virtual router that somebody else sent.
	Advert struct {
		Source    netip.Addr
		Priority  uint8
		AdvertInt time.Duration // theirs; only version 3 looks at it
	}
	// Fired: a timer's time has come.
	Fired struct{ Timer Timer }
	// Priority is the effective priority from now on, 1 to 255.
	Priority struct{ Effective int }
	// Faults says what keeps the instance from taking part; "" if nothing does.
	Faults struct{ Cause string }
	// Source is our own address on the segment, for the tie-break.
	Source struct{ Addr netip.Addr }
	// Ready says whether the node may be promoted.
	Ready struct{ Ready bool }
	// Decided is what the cluster decided about the instance, or about all (Instance ""). A sync group numbers the grants
	// and ends of its lease that it hands on, as the same epoch may be granted twice: the answer to the first of two that are
	// on their way is none to the second. Order is 0 of anything else.
	Decided struct {
		Verdict vrrp.Verdict
		Order   uint64
	}
	// AddressesOn answers AddAddresses: all are on.
	AddressesOn struct{}
	// AddressesFailed answers AddAddresses: not all are on. Expired: the deadline had passed.
	AddressesFailed struct {
		Expired bool
		Cause   string
	}
	// AddressesOff answers RemoveAddresses: none is on.
	AddressesOff struct{}
	// RemoveFailed answers RemoveAddresses: one may still be on.
	RemoveFailed struct{ Cause string }
	// AddressLost: an address that should be on was taken off by somebody else.
	AddressLost struct{}
	// DuplicateAddress: another machine of the segment says that it has an address of ours.
	DuplicateAddress struct {
		Address      netip.Addr
		Theirs, Ours MAC
	}
	// Fenced: the guard took the addresses of that epoch off (0: of plain VRRP), because it heard from us too late.
	Fenced struct{ Epoch uint64 }
	// Configure replaces the settings. Addresses: what is listed or carried differs from before. Shrunk: all that is carried
	// now was carried before, so nothing has to be announced. A MASTER advertises at once, when its addresses are on.
	Configure struct {
		Config    Config
		Addresses bool
		Shrunk    bool
	}
	// Release hands over by the operator's will.
	Release struct{}
	// Stop ends the instance; with Withdraw it is no longer configured here.
	Stop struct{ Withdraw bool }
)

func (Start) event()           {}
func (Advert) event()          {}
func (Fired) event()           {}
func (Priority) event()        {}
func (Faults) event()          {}
func (Source) event()          {}
func (Ready) event()           {}
func (Decided) event()         {}
func (AddressesOn) event()     {}
func (AddressesFailed) event() {}
func (AddressesOff) event()    {}
func (RemoveFailed) event()    {}
func (AddressLost) event()     {}
func (Fenced) event()          {}
func (Configure) event()       {}
func (Release) event()         {}
func (Stop) event()            {}

func (DuplicateAddress) event() {}

// MAC is an address of the link layer.
type MAC [6]byte

// String implements fmt.Stringer.
func (m MAC) String() string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, x := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[x>>4], digits[x&0xf])
	}
	return string(b)
}

// Action is what the driver has to do, in the order given.
type Action interface{ action() }

// Actions.
type (
	// SendAdvert sends one advert; priority 0 says that we stop being MASTER.
	SendAdvert struct{ Priority uint8 }
	// AddAddresses puts all addresses on, unless Deadline (zero: none) has passed by the clock then. Lifetime as
	// vrrp.Instance.VIPLifetime.
	AddAddresses struct {
		Deadline boottime.Time
		Lifetime time.Duration
	}
	// RemoveAddresses takes all addresses off.
	RemoveAddresses struct{}
	// ExtendAddresses renews their lifetime, unless Expiry has passed: the lease's, or that of the right by adverts.
	ExtendAddresses struct {
		Expiry   boottime.Time
		Lifetime time.Duration
	}
	// Announce sends so many gratuitous ARPs for each address.
	Announce struct{ Burst int }
	// SetTimer sets a timer; At zero stops it.
	SetTimer struct {
		Timer Timer
		At    boottime.Time
	}
	// Stand tells the arbiter our candidacy.
	Stand struct{ Candidacy vrrp.Candidacy }
	// Withdraw tells the arbiter that the instance is gone from here.
	Withdraw struct{}
	// Released gives a lease back; the addresses are off.
	Released struct{ Epoch uint64 }
	// Notify runs the notify scripts for the state that is now true. Init stands for STOP.
	Notify struct {
		State State
		Cause string
		Epoch uint64
	}
	// NotifyRxLower runs notify_master_rx_lower_pri: MASTER heard a lower priority.
	NotifyRxLower struct {
		Source netip.Addr
		Theirs int
		Epoch  uint64
	}
	// NotifyPriority tells a changed effective priority (notify_priority_changes).
	NotifyPriority struct {
		State    State
		Old, New int
	}
	// Pet tells the guard until when the addresses may stay without another word.
	Pet struct {
		Epoch  uint64
		Expiry boottime.Time
	}
	// Entered says that the state changed, and why.
	Entered struct {
		From, To State
		Cause    string
		Epoch    uint64
	}
	// Report says what the operator should know of an advert or of the priority.
	Report struct {
		Kind   ReportKind
		Source netip.Addr // DuplicateAddress: the address
		Theirs int        // their priority; PriorityChanged: the old one; IntervalLearned: milliseconds
		Ours   int
		MACs   [2]MAC // DuplicateAddress: theirs, ours
	}
)

func (SendAdvert) action()      {}
func (AddAddresses) action()    {}
func (RemoveAddresses) action() {}
func (ExtendAddresses) action() {}
func (Announce) action()        {}
func (SetTimer) action()        {}
func (Stand) action()           {}
func (Withdraw) action()        {}
func (Released) action()        {}
func (Notify) action()          {}
func (Pet) action()             {}
func (Entered) action()         {}
func (Report) action()          {}
func (NotifyRxLower) action()   {}
func (NotifyPriority) action()  {}

// ReportKind says what a Report tells. The zero kind is invalid.
type ReportKind int

const (
	// DiscardedLower: BACKUP heard a lower priority and does not accept it as master.
	DiscardedLower ReportKind = iota + 1
	// ForcedElection: MASTER heard a lower priority and answered.
	ForcedElection
	// ForeignAdvert: holder of the lease heard somebody else on the cluster's VRID, and answered.
	ForeignAdvert
	// ForeignHigher is ForeignAdvert of one who should be master by plain VRRP, and will not yield.
	ForeignHigher
	// OwnerConflict: both have priority 255; ours is 254 from now on.
	OwnerConflict
	// OwnAddress: an advert with our own source address and priority.
	OwnAddress
	// PriorityChanged: the effective priority is another.
	PriorityChanged
	// IntervalLearned: the master's advert_int is another than it was (version 3). Theirs is the new one, Ours the old.
	IntervalLearned
	// AddressDuplicated: somebody else has an address that we have.
	AddressDuplicated
	// YieldedHigher: MASTER heard a higher priority and leaves.
	YieldedHigher
	// YieldedAddress: MASTER heard its own priority from a higher address and leaves.
	YieldedAddress
)

// String implements fmt.Stringer.
func (k ReportKind) String() string {
	if k < DiscardedLower || k > YieldedAddress {
		return "unknown"
	}
	return [...]string{"discarded_lower", "forced_election", "foreign_advert", "foreign_higher", "owner_conflict",
		"own_address", "priority_changed", "interval_learned", "address_duplicated", "yielded_higher", "yielded_address"}[k-1]
}
