// Package config reads any dialect into one Document, validates it with file:line:col, compares two Documents and
// prints HCL. It does not touch the machine beyond reading the files it is given.
package config

import (
	"net/netip"
	"time"

	"github.com/reeve-lb/reeve/check"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/vrrp"
)

// Document is the settings of all trades side by side, in no dialect. Three spellings of the same wish give equal
// Documents. A Document is a value once read: nobody changes it, a change makes a new one.
type Document struct {
	Proxy  proxy.Config
	VRRP   vrrp.Config
	Checks map[string]check.Config // by name; proxy.Server.Check refers to them
	Nodes  map[string]Override     // by node name: what differs from machine to machine by design
}

// Override is `node "lb1" { ... }`: what one node has otherwise. Nil and empty fields change nothing.
type Override struct {
	RouterID  *string
	MailFrom  *string // notification_email_from
	HeloName  *string // smtp_helo_name
	Frontends map[string]FrontendOverride
	Instances map[string]InstanceOverride
	Pos       source.Pos
}

// FrontendOverride is what one node has otherwise for a frontend: its own addresses to listen on.
type FrontendOverride struct {
	Binds []proxy.Bind // in place of the frontend's
	Pos   source.Pos
}

// InstanceOverride is what a node's own keepalived.conf says differently for one instance.
type InstanceOverride struct {
	State           *string
	Priority        *int
	Interface       *string
	Devs            []string    // dev of each of Addresses then Excluded, in order; nil: as written
	McastSrcIP      *netip.Addr // mcast_src_ip or unicast_src_ip
	UnicastPeers    []vrrp.Peer // nil: as written
	NoPreempt       *bool
	PreemptDelay    *time.Duration
	TrackInterfaces []vrrp.TrackInterface

	NotifyMaster, NotifyBackup, NotifyFault, NotifyStop, NotifyDeleted, NotifyMasterRxLower []string

	Notify []string
	Pos    source.Pos
}
