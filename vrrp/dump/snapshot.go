package dump

import (
	"net/netip"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// State is an instance's state by keepalived's numbers.
type State int

// The states. Init is what an instance is before it takes part, and after it stopped.
const (
	Init State = iota
	Backup
	Master
	Fault
)

var stateNames = [...]string{"INIT", "BACKUP", "MASTER", "FAULT"}

// String implements fmt.Stringer.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return "INIT"
	}
	return stateNames[s]
}

// ParseState is the inverse of String; an unknown word is Init.
func ParseState(word string) State {
	for i, n := range stateNames {
		if n == word {
			return State(i)
		}
	}
	return Init
}

// Snapshot is all that is written: the configuration and what became of it.
type Snapshot struct {
	Config    vrrp.Config
	Instances map[string]Instance
	Groups    map[string]State
	Scripts   map[string]Script
	Processes map[string]Process
	Files     map[string]File
	Zone      *time.Location // of times written for people; nil: UTC
}

// Instance is what an instance is doing.
type Instance struct {
	State         State
	Want          State // what it would be on its own, without its sync group
	Since         time.Time
	Priority      int           // effective
	MasterRouter  netip.Addr    // the router that is obeyed; zero: none
	MasterPrio    int           // 0: none is obeyed
	MasterAdvert  time.Duration // 0: ours
	AddressesOn   bool
	Faults        int // interfaces and scripts that keep it in FAULT
	Pending       int // scripts without a first result
	Source        netip.Addr
	Stats         Stats
	BaseInterface string // of a virtual interface; "": the configured one
}

// Stats counts an instance's packets and moves, since the start or since they were cleared.
type Stats struct {
	AdvertRcvd, AdvertSent          uint64
	BecomeMaster, ReleaseMaster     uint64
	PacketLenErr, AdvertIntervalErr uint64
	IPTTLErr, InvalidTypeRcvd       uint64
	AddrListErr, InvalidAuthType    uint64
	AuthTypeMismatch, AuthFailure   uint64
	PriZeroRcvd, PriZeroSent        uint64
}

// Sub is the difference to an earlier Stats.
func (s Stats) Sub(o Stats) Stats {
	return Stats{
		AdvertRcvd: less(s.AdvertRcvd, o.AdvertRcvd), AdvertSent: less(s.AdvertSent, o.AdvertSent),
		BecomeMaster: less(s.BecomeMaster, o.BecomeMaster), ReleaseMaster: less(s.ReleaseMaster, o.ReleaseMaster),
		PacketLenErr: less(s.PacketLenErr, o.PacketLenErr), AdvertIntervalErr: less(s.AdvertIntervalErr, o.AdvertIntervalErr),
		IPTTLErr: less(s.IPTTLErr, o.IPTTLErr), InvalidTypeRcvd: less(s.InvalidTypeRcvd, o.InvalidTypeRcvd),
		AddrListErr: less(s.AddrListErr, o.AddrListErr), InvalidAuthType: less(s.InvalidAuthType, o.InvalidAuthType),
		AuthTypeMismatch: less(s.AuthTypeMismatch, o.AuthTypeMismatch), AuthFailure: less(s.AuthFailure, o.AuthFailure),
		PriZeroRcvd: less(s.PriZeroRcvd, o.PriZeroRcvd), PriZeroSent: less(s.PriZeroSent, o.PriZeroSent),
	}
}

// less subtracts; an instance that was made anew since counts from 0.
func less(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// Script is the state of a vrrp_script.
type Script struct {
	Known, Good bool // Good means something when Known
	Running     bool
}

// Process is the state of a vrrp_track_process.
type Process struct {
	Count  int
	Quorum bool
}

// File is the state of a track_file: the number that was read.
type File struct{ Value int }

// instance gives what is known of one; one that never ran is in Init.
func (s Snapshot) instance(in vrrp.Instance) Instance {
	if st, ok := s.Instances[in.Name]; ok {
		return st
	}
	return Instance{Priority: in.Priority}
}

func (s Snapshot) group(of string) (string, bool) {
	for _, g := range s.Config.SyncGroups {
		for _, m := range g.Members {
			if m == of {
				return g.Name, true
			}
		}
	}
	return "", false
}
