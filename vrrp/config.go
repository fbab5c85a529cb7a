// Package vrrp holds the settings of the VRRP speaker as plain structs. The rooms that act on them are its subpackages:
// packet (codec), machine (pure state machine), netio (raw sockets), vip (addresses and gratuitous ARP by netlink),
// track (scripts' weights), notify, guard (the second process that fences), speaker (the driver).
package vrrp

import (
	"net/netip"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
)

// Config is the VRRP side of a Document, seen by one node (overrides already merged by config.Document.For).
type Config struct {
	Global    Global
	Scripts   []Script
	Instances []Instance
}

// Global is keepalived.conf's `global_defs`, the VRRP words of it.
type Global struct {
	RouterID              string // label in mails and dumps, never on the wire; default the host's name
	Version               int    // vrrp_version; 2
	McastGroup4           netip.Addr
	SkipCheckAdvAddr      bool
	Strict                bool
	GarpMasterDelay       time.Duration // default 5 s
	GarpMasterRepeat      int           // default 5
	GarpMasterRefresh     time.Duration // 0: off
	GarpMasterRefreshRept int           // default 1
	GarpInterval          time.Duration // pause between two frames; 0: none
	ScriptUser            string
	EnableScriptSecurity  bool
	// Mail words are kept for the spelling's sake; no mail is sent yet.
	NotificationEmail     []string
	NotificationEmailFrom string
	SMTPServer            string
	SMTPConnectTimeout    time.Duration
	Pos                   source.Pos
}

// Script is a `vrrp_script`.
type Script struct {
	Name     string
	Command  []string      // argv; run without a shell unless Shell
	Shell    string        // the whole line for /bin/sh -c when it needs one (redirections); "" otherwise
	Interval time.Duration // default 1 s
	Timeout  time.Duration // default Interval
	Weight   int           // -253..253; 0: failure is FAULT
	Reverse  bool
	Rise     int // default 1
	Fall     int // default 1
	User     string
	InitFail bool
	Pos      source.Pos
}

// Election says who decides about an instance's address.
type Election int

const (
	// ElectionAuto: cluster when the node is of a cluster, vrrp when it stands alone. The zero value, what files mean
	// when they say nothing.
	ElectionAuto    Election = iota
	ElectionVRRP             // the routers themselves, as RFC 3768 says
	ElectionCluster          // the leader, by a lease
)

// String implements fmt.Stringer.
func (e Election) String() string {
	switch e {
	case ElectionVRRP:
		return "vrrp"
	case ElectionCluster:
		return "cluster"
	}
	return "auto"
}

// QuorumLoss says what a node does when no majority of voters is in reach.
type QuorumLoss int

const (
	// QuorumLossAuto: vrrp with one or two voters, release with three or more.
	QuorumLossAuto    QuorumLoss = iota
	QuorumLossRelease            // nothing: the address stays off until a leader is back
	QuorumLossVRRP               // it takes part in plain VRRP
)

// String implements fmt.Stringer.
func (q QuorumLoss) String() string {
	switch q {
	case QuorumLossRelease:
		return "release"
	case QuorumLossVRRP:
		return "vrrp"
	}
	return "auto"
}

// AuthType of VRRPv2 (RFC 2338 section 5.3.6; RFC 3768 keeps the field).
type AuthType int

// The types that are understood: none, and a password in the clear.
const (
	AuthNone AuthType = iota
	AuthPass
)

// Instance is a `vrrp_instance`.
type Instance struct {
	Name            string
	State           string // "MASTER" or "BACKUP" as written, "" if not; keepalived starts in BACKUP anyway
	Interface       string
	VirtualRouterID int           // 1..255
	Priority        int           // 1..255, default 100
	AdvertInt       time.Duration // whole seconds in v2; default 1 s
	Version         int           // 2
	AuthType        AuthType
	AuthPass        string     // at most 8 bytes are used
	McastSrcIP      netip.Addr // zero: the interface's primary address
	NoPreempt       bool
	PreemptDelay    time.Duration
	Addresses       []Address // virtual_ipaddress: listed in the advert, in this order
	Excluded        []Address // virtual_ipaddress_excluded: carried but not listed
	TrackScripts    []TrackScript
	TrackInterfaces []TrackInterface
	DontTrackPrim   bool
	Garp            Garp
	NotifyMaster    []string // argv each; empty: none
	NotifyBackup    []string
	NotifyFault     []string
	NotifyStop      []string
	Notify          []string // gets INSTANCE name state priority appended
	SMTPAlert       bool
	Debug           int
	Election        Election
	OnQuorumLoss    QuorumLoss
	VIPLifetime     time.Duration // valid_lft given to the kernel and extended; default 2 s, 0 written as -1: for ever
	Pos             source.Pos
}

// Garp overrides Global's schedule; nil fields inherit.
type Garp struct {
	MasterDelay   *time.Duration
	MasterRepeat  *int
	MasterRefresh *time.Duration
	RefreshRepeat *int
}

// Address is one virtual address with the words that may follow it.
type Address struct {
	Prefix    netip.Prefix // /32 when none is written
	Dev       string       // "": the instance's interface
	Scope     string       // "": global
	Label     string
	Broadcast string // "", an address, "+" or "-"
	Pos       source.Pos
}

// TrackScript names a Script and may override its weight.
type TrackScript struct {
	Name    string
	Weight  *int
	Reverse bool
	Pos     source.Pos
}

// TrackInterface is one line of track_interface.
type TrackInterface struct {
	Name    string
	Weight  int // 0: down is FAULT
	Reverse bool
	Pos     source.Pos
}
