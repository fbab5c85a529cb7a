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
	Global      Global
	Static      Static
	Scripts     []Script
	Processes   []Process
	Files       []File
	SyncGroups  []SyncGroup
	GarpGroups  []GarpGroup
	TrackGroups []TrackGroup
	Instances   []Instance
}

// Global is keepalived.conf's `global_defs`, the VRRP words of it.
type Global struct {
	RouterID              string // label in mails and dumps, never on the wire; default the host's name
	Version               int    // vrrp_version; 2
	McastGroup4           netip.Addr
	McastGroup6           netip.Addr // default ff02::12
	SkipCheckAdvAddr      bool
	CheckUnicastSrc       bool // vrrp_check_unicast_src
	Strict                bool
	GarpMasterDelay       time.Duration  // default 5 s
	GarpMasterRepeat      int            // default 5
	GarpMasterRefresh     time.Duration  // 0: off
	GarpMasterRefreshRept int            // default 1
	GarpLowerPrioDelay    *time.Duration // nil: as GarpMasterDelay
	GarpLowerPrioRepeat   *int           // nil: as GarpMasterRepeat
	GarpInterval          time.Duration  // pause between two frames; 0: none
	GnaInterval           time.Duration  // the same for neighbour advertisements
	GarpExtraIf           *time.Duration // garp_extra_if; nil, 0: none
	GarpExtraIfAll        bool           // garp_extra_if all: on other interfaces too, not only on virtual ones
	MinGarp               bool           // vrrp_min_garp: one frame, no second burst
	LowerPrioNoAdvert     bool
	HigherPrioSendAdvert  bool
	DownTimerAdverts      int           // default 3
	StartupDelay          time.Duration // vrrp_startup_delay
	NotifyPriorityChanges bool
	LogUnknownVRIDs       bool
	DynamicInterfaces     bool
	AllowIfChanges        bool
	DefaultInterface      string
	InterfaceDelays       []InterfaceDelay // interface_up_down_delays
	ScriptUser            string           // user or user:group
	EnableScriptSecurity  bool
	Startup               Command // startup_script
	Shutdown              Command // shutdown_script
	FIFO                  FIFO    // notify_fifo
	VRRPFIFO              FIFO    // vrrp_notify_fifo
	FIFOStatesOnReload    bool    // fifo_write_vrrp_states_on_reload
	Nftables              string  // nftables [TABLE], vrrp_iptables: the table of rules that vmac and strict need; "": keepalived
	NftablesPriority      *int    // nftables_priority; nil: -1
	NftablesCounters      bool
	VMACPrefix            string // vmac_prefix; "": vrrp
	VMACAddrPrefix        string // vmac_addr_prefix; "": VMACPrefix
	DisableLocalIGMP      bool
	InstanceName          string // instance: of several daemons on a host
	NetNamespace          string // net_namespace
	UsePIDDir             bool
	DataUseInstance       bool
	ReloadCheckConfig     bool
	ReloadFile            *string // reload_file; nil: none, "": keepalived.reload in the pid directory
	Umask                 *int    // umask; nil: as the process has it
	RandomSeed            *int
	ReloadTimeFile        string
	ReloadRepeat          bool
	Mail                  Mail
	SNMP                  SNMP
	Webhooks              []Webhook
	ProcessName           string
	ConfigID              string // what @ID compared with; for dumps
	Pos                   source.Pos
}

// Command is a script of keepalived.conf with who runs it.
type Command struct {
	Argv    []string
	User    string        // user or user:group; "": script_user
	Timeout time.Duration // startup and shutdown scripts: default 10 s
	Pos     source.Pos
}

// FIFO is a named pipe that transitions are written to, and the script that reads it.
type FIFO struct {
	Path   string // "": none
	User   string // who owns it: user or user:group; "": script_user
	Script Command
}

// Mail is global_defs' words about mail. Mail is sent when To and Server are there.
type Mail struct {
	To             []string      // notification_email
	From           string        // notification_email_from; default user@host
	Server         string        // smtp_server
	Port           int           // default 25
	HeloName       string        // smtp_helo_name; default the host's name
	ConnectTimeout time.Duration // smtp_connect_timeout; default 30 s
	Alert          *bool         // smtp_alert
	AlertVRRP      *bool         // smtp_alert_vrrp
	NoFaults       bool          // no_email_faults
}

// SNMP is where traps go: `snmp { trap_sink = "host:162" ... }`, and keepalived's flags that ask for them.
type SNMP struct {
	EnableTraps bool   // enable_traps, enable_snmp_*
	TrapSink    string // host or host:port (162); "": none, and EnableTraps is a warning
	Version     string // "2c" (default) or "3"
	Community   string // 2c; default public
	User        SNMPUser
	Pos         source.Pos
}

// SNMPUser is SNMPv3's user (RFC 3414).
type SNMPUser struct {
	Name         string
	AuthProtocol string // "", MD5, SHA, SHA256
	AuthPass     string
	PrivProtocol string // "", DES, AES
	PrivPass     string
}

// Webhook is an address that transitions are posted to as JSON.
type Webhook struct {
	Name    string
	URL     string
	Secret  string        // signs the body (HMAC-SHA256 in X-Reeve-Signature); "": unsigned
	Timeout time.Duration // default 5 s
	Retries int           // default 3
	Pos     source.Pos
}

// InterfaceDelay debounces a link.
type InterfaceDelay struct {
	Interface string
	Down, Up  time.Duration
	Pos       source.Pos
}

// Static is what is added at the start and kept to the end, whoever is master.
type Static struct {
	Addresses []Address
	Routes    []Route
	Rules     []Rule
}

// TrackGroup is a `track_group`: the instances that go to FAULT with a static address, route or rule that names it.
type TrackGroup struct {
	Name    string
	Members []string
	Pos     source.Pos
}

// Process is a `vrrp_track_process`.
type Process struct {
	Name           string
	Command        string   // name or path of the program
	Args           []string // with FullCommand: its arguments
	FullCommand    bool
	ParamMatch     string // "": the name alone, or with Args all of them; initial, partial, exact (param_match alone: no arguments)
	Weight         int    // 0: a quorum that is missed is FAULT, as keepalived 2.2 has it without a word (its manual says 1)
	Reverse        bool
	Quorum         int // default 1
	QuorumMax      int // 0: none; -1: quorum_max 0, it must not run at all
	ForkDelay      time.Duration
	TerminateDelay time.Duration
	Pos            source.Pos
}

// File is a `track_file`: a number in a file, times the weight, is added to the priority.
type File struct {
	Name      string
	Path      string
	Weight    int // default 1
	Reverse   bool
	Init      *int // init_file VALUE
	Overwrite bool
	Pos       source.Pos
}

// SyncGroup is a `vrrp_sync_group`: instances that are MASTER together or not at all.
type SyncGroup struct {
	Name            string
	Members         []string
	TrackScripts    []Track
	TrackInterfaces []TrackInterface
	TrackProcesses  []Track
	TrackFiles      []Track
	TrackingWeight  bool // sync_group_tracking_weight: members may have weighted trackers
	Notifies        Notifies
	SMTPAlert       *bool
	PriorityChanges *bool // notify_priority_changes; nil: Global's
	Pos             source.Pos
}

// GarpGroup is a `garp_group`: interfaces that share a pace.
type GarpGroup struct {
	GarpInterval, GnaInterval time.Duration
	Interfaces                []string
	Pos                       source.Pos
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

// The types: none, a password in the clear, and IPsec's authentication header with the password as its key (HMAC-MD5-96).
const (
	AuthNone AuthType = iota
	AuthPass
	AuthAH
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
	McastSrcIP      netip.Addr // zero: the interface's primary address; mcast_src_ip or unicast_src_ip
	TrackSrcIP      bool       // the source address has to be there
	McastDstIP      netip.Addr // zero: Global's group
	VRF             string     // of an instance by unicast without an interface
	Unicast         Unicast
	VMAC            VMAC
	NativeIPv6      bool
	Accept          *bool // accept, no_accept; nil: by version and strict mode
	StrictMode      *bool // strict_mode; nil: Global's
	SkipCheckAdv    *bool // skip_check_adv_addr; nil: Global's
	Promote         bool  // promote_secondaries
	DownTimer       int   // down_timer_adverts; 0: Global's
	LowerNoAdvert   *bool
	HigherSend      *bool
	NoPreempt       bool
	PreemptDelay    time.Duration
	Addresses       []Address // virtual_ipaddress: listed in the advert, in this order
	Excluded        []Address // virtual_ipaddress_excluded: carried but not listed
	Routes          []Route
	Rules           []Rule
	TrackScripts    []Track
	TrackInterfaces []TrackInterface
	TrackProcesses  []Track
	TrackFiles      []Track
	DontTrackPrim   bool
	Garp            Garp
	Notifies        Notifies
	PriorityChanges *bool // notify_priority_changes; nil: Global's
	SMTPAlert       *bool // nil: Global's
	Debug           int
	Election        Election
	OnQuorumLoss    QuorumLoss
	VIPLifetime     time.Duration // valid_lft given to the kernel and extended; default 2 s, 0 written as -1: for ever
	Pos             source.Pos
}

// IPv6 reports whether the instance's adverts go by IPv6: its first address says so, or without one its source, its first
// peer or native_ipv6. Addresses that are not listed may be of either family and say nothing.
func (in *Instance) IPv6() bool {
	switch {
	case in.NativeIPv6:
		return true
	case len(in.Addresses) > 0:
		return in.Addresses[0].Prefix.Addr().Is6()
	case in.McastSrcIP.IsValid():
		return in.McastSrcIP.Is6()
	case len(in.Unicast.Peers) > 0:
		return in.Unicast.Peers[0].Addr.Is6()
	}
	return false
}

// Notifies are the scripts of an instance or a group. An empty Argv is none.
type Notifies struct {
	Master, Backup, Fault, Stop, Deleted, MasterRxLower Command
	SayDeleted                                          bool    // notify_deleted: an instance that goes is DELETED, not FAULT
	Any                                                 Command // `notify`: gets INSTANCE|GROUP name state priority appended
}

// Unicast is adverts by unicast. There are peers or it is off.
type Unicast struct {
	Peers       []Peer
	TTL         int   // unicast_ttl; 0: 255
	CheckSrc    *bool // check_unicast_src; nil: Global's
	FaultNoPeer bool
	OldChecksum *bool // old_unicast_checksum: v3 with the multicast group in the pseudo-header; nil: as the peer does
}

// Peer is a line of unicast_peer.
type Peer struct {
	Addr           netip.Addr
	MinTTL, MaxTTL int // 0, 255: any
	Pos            source.Pos
}

// VMAC is a virtual MAC address: a macvlan or ipvlan of its own for the instance.
type VMAC struct {
	Use        bool         // use_vmac
	Name       string       // default vrrp.VRID, vrrp6.VRID
	MAC        string       // default 00:00:5e:00:01:VRID (RFC 9568 section 7.3)
	IPVlan     bool         // use_ipvlan
	IPVlanIP   netip.Prefix // its address; zero: none
	IPVlanMode string       // "", bridge, private, vepa
	XmitBase   bool         // vmac_xmit_base: adverts leave by the interface below
	Addr       bool         // use_vmac_addr: for addresses on other interfaces too
}

// Garp overrides Global's schedule; nil fields inherit.
type Garp struct {
	MasterDelay     *time.Duration
	MasterRepeat    *int
	MasterRefresh   *time.Duration
	RefreshRepeat   *int
	LowerPrioDelay  *time.Duration
	LowerPrioRepeat *int
	ExtraIf         *time.Duration
	ExtraIfAll      bool
}

// Address is one virtual address with the words that may follow it.
type Address struct {
	Prefix                                           netip.Prefix // /32 when none is written
	Dev                                              string       // "": the instance's interface
	Scope                                            string       // "": global
	Label                                            string
	Broadcast                                        string         // "", an address, "+" or "-"
	Peer                                             netip.Prefix   // of a point-to-point link; zero: none
	UseVMAC                                          bool           // on a virtual interface of its own
	NoTrack                                          bool           // taken away from outside: nobody minds, nobody puts it back
	TrackGroup                                       string         // of a static address
	Home, NoDAD, MngTmpAddr, NoPrefixRoute, AutoJoin bool           // flags of ip-address(8)
	PreferredLft                                     *time.Duration // preferred_lft; negative: forever; nil: 0 for an IPv6 /128, else forever
	Pos                                              source.Pos
}

// Track names a Script, Process or File and may override its weight.
type Track struct {
	Name    string
	Weight  *int
	Reverse bool
	// NoReverse is `noreverse`: not reversed, though the Script, Process or File is.
	NoReverse bool
	Pos       source.Pos
}

// TrackInterface is one line of track_interface.
type TrackInterface struct {
	Name    string
	Weight  int // 0: down is FAULT
	Reverse bool
	Pos     source.Pos
}

// Route is a line of static_routes or virtual_routes, in the words of ip-route(8).
type Route struct {
	Words                                             []string // as written; what follows is read from them
	Dst                                               netip.Prefix
	Via                                               netip.Addr
	Src                                               netip.Addr
	Dev                                               string
	Scope                                             string
	Table                                             string
	Metric                                            int
	Type                                              string // "", blackhole, unreachable, prohibit, throw
	Hops                                              []Hop  // nexthop
	TOS                                               string
	Protocol                                          string
	OnLink                                            bool
	MTU, AdvMSS, Window, HopLimit, InitCwnd, InitRwnd int
	Append                                            bool // append, add: not in front of routes that match too
	VRF                                               string
	IPv6                                              bool // inet6, or an address says so
	NoTrack                                           bool
	TrackGroup                                        string // of a static route
	Pos                                               source.Pos
}

// Hop is one of several next hops of a Route.
type Hop struct {
	Via    netip.Addr
	Dev    string
	Weight int // 1..256; default 1
	OnLink bool
}

// Rule is a line of static_rules or virtual_rules, in the words of ip-rule(8).
type Rule struct {
	Words                           []string
	From, To                        netip.Prefix
	Table                           string
	Priority                        int
	Fwmark                          uint32
	FwmarkMask                      uint32 // 0: all bits
	IIF, OIF                        string
	Type                            string // "", blackhole, unreachable, prohibit
	Not                             bool
	TOS                             string
	Goto                            int // 0: none
	SuppressPrefixLength            *int
	IPProto, UIDRange, SPort, DPort string // as written: a name or a number; N-M
	L3MDev                          bool
	IPv6                            bool // inet6, or an address says so
	NoTrack                         bool
	TrackGroup                      string // of a static rule
	Pos                             source.Pos
}
