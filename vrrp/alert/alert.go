// Package alert tells people and machines far away of transitions: by mail, by SNMP traps, by webhooks.
//
// Nothing here holds up a transition: Transition puts an event into a bounded queue of each addressee, the oldest gives way
// when one is full and is counted, and each addressee has a courier of its own that tries again, with growing pauses, when it
// could not deliver.
package alert

import (
	"context"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/vrrp"
)

// Event is a transition of an instance or a sync group.
type Event struct {
	Group    bool
	Name     string
	From, To string // INIT, BACKUP, MASTER, FAULT, STOP, DELETED; no From: INIT
	Priority int    // effective; a group's is told as 0
	Epoch    uint64 // of the lease; 0 without a cluster
	Cause    string
	Time     time.Time // zero: now
	Mail     bool      // smtp_alert is on for it, see Mails

	// What traps need. Row is where it is in the configuration, from 1 (the index of the MIBs' tables); Wanted the state it
	// was configured to begin in. The rest, of instances alone, is for the traps of RFC 2787 and RFC 6527.
	Row     int
	Wanted  string
	Ifindex int
	VRID    int
	Version int        // 2 or 3
	Source  netip.Addr // adverts are sent from
	Reason  Reason     // why it became MASTER
}

func (e Event) kind() string {
	if e.Group {
		return "group"
	}
	return "instance"
}

// Reason is vrrpv3StatisticsNewMasterReason of RFC 6527.
type Reason int

// The reasons.
const (
	NotMaster        Reason = iota
	ByPriority              // it is the address owner
	Preempted               // it preempted a lower priority, or the master said that it goes
	MasterNoResponse        // nothing was heard of the master
)

// AuthError is vrrpTrapAuthErrorType of RFC 2787.
type AuthError int

// The errors.
const (
	InvalidAuthType  AuthError = iota + 1 // a type that does not exist
	AuthTypeMismatch                      // another type than ours
	AuthFailure                           // another password
)

// ProtoError is vrrpv3StatisticsProtoErrReason of RFC 6527. Nothing here sends its fourth, an unknown VRID, as keepalived
// does not: such an advert is no instance's.
type ProtoError int

// The errors.
const (
	TTLError      ProtoError = iota + 1 // not 255: a router lies between
	VersionError                        // another version than ours
	ChecksumError                       // damaged on the way, or summed by other rules
)

// Mails reports whether smtp_alert is on for an instance or group that says own.
func Mails(own *bool, m vrrp.Mail) bool {
	for _, said := range []*bool{own, m.AlertVRRP, m.Alert} {
		if said != nil {
			return *said
		}
	}
	return false
}

// Settings say who is told.
type Settings struct {
	RouterID string // "": the host's name
	Mail     vrrp.Mail
	SNMP     vrrp.SNMP
	Webhooks []vrrp.Webhook
}

// SettingsOf takes them from a configuration.
func SettingsOf(g vrrp.Global) Settings {
	return Settings{RouterID: g.RouterID, Mail: g.Mail, SNMP: g.SNMP, Webhooks: g.Webhooks}
}

// Options of New.
type Options struct {
	Node   string       // what webhooks and the SNMP engine call this machine; "": the host's name
	Logger hclog.Logger // nil: none
}

// Alerter tells. Its methods but Run are safe for concurrent use.
type Alerter struct {
	node    string
	host    string
	log     hclog.Logger
	started time.Time
	engine  engine
	wake    chan struct{}

	mu       sync.Mutex
	set      Settings
	couriers map[string]*courier // by what they are: mail, snmp, webhook NAME
	mailed   map[string]string   // kind and name -> state mailed last
	seq      uint64
}

// New allocates an Alerter that tells nobody.
func New(o Options) *Alerter {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	if o.Node == "" {
		o.Node = host
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	now := time.Now()
	return &Alerter{
		node: o.Node, host: host, log: o.Logger, started: now, engine: newEngine(o.Node, now), wake: make(chan struct{}, 1),
		couriers: map[string]*courier{}, mailed: map[string]string{},
	}
}

// Apply says who is told from now on. What waits for an addressee that stays is still delivered, by the new settings.
func (a *Alerter) Apply(s Settings) {
	if s.RouterID == "" {
		s.RouterID = a.host
	}
	senders := a.senders(s)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.set = s
	for name, send := range senders {
		if c := a.couriers[name]; c != nil {
			c.change(send)
			continue
		}
		a.couriers[name] = newCourier(name, send, a.log)
	}
	for name, c := range a.couriers {
		if senders[name] == nil {
			c.retire()
			delete(a.couriers, name)
		}
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// senders makes a sender for each addressee.
func (a *Alerter) senders(s Settings) map[string]sender {
	out := map[string]sender{}
	if len(s.Mail.To) > 0 && s.Mail.Server != "" {
		out["mail"] = newMailer(s.Mail, s.RouterID, a.node, a.host)
	}
	if s.SNMP.TrapSink != "" {
		out["snmp"] = newTrapper(s.SNMP, s.RouterID, a.engine, a.started)
	}
	for i, w := range s.Webhooks {
		name := "webhook " + w.Name
		if w.Name == "" || out[name] != nil {
			name = "webhook " + strconv.Itoa(i+1)
		}
		out[name] = newHook(w, a.node)
	}
	return out
}

// Run delivers until ctx ends, and returns nil. What waits then is given up; Idle before it gives the last ones a moment.
func (a *Alerter) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	running := map[*courier]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		}
		a.mu.Lock()
		for _, c := range a.couriers {
			if !running[c] {
				running[c] = true
				all.Go(func() { c.run(ctx) })
			}
		}
		for c := range running {
			if a.couriers[c.name] != c {
				delete(running, c) // it ends by itself
			}
		}
		a.mu.Unlock()
	}
}

// Transition tells of e. It does not block.
func (a *Alerter) Transition(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if e.From == "" {
		e.From = "INIT"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seq++
	for name, c := range a.couriers {
		if name != "mail" || a.worthMail(e) {
			c.put(message{Event: e, seq: a.seq})
		}
	}
}

// worthMail reports whether a state is mailed: smtp_alert is on, it is one of the three that keepalived mails, and not what
// was mailed last. A start in BACKUP is, as keepalived 2.2.7 has it. mu is held.
func (a *Alerter) worthMail(e Event) bool {
	switch {
	case !e.Mail:
		return false
	case e.To == "FAULT":
		if a.set.Mail.NoFaults {
			return false
		}
	case e.To != "MASTER" && e.To != "BACKUP":
		return false
	}
	key := e.kind() + " " + e.Name
	if a.mailed[key] == e.To {
		return false
	}
	a.mailed[key] = e.To
	return true
}

// AuthTrouble tells SNMP managers of an advert whose authentication is not ours (vrrpTrapAuthFailure). Whoever calls it
// bounds how often: anybody can send such adverts.
func (a *Alerter) AuthTrouble(source netip.Addr, kind AuthError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.couriers["snmp"]; c != nil {
		c.put(message{Event: Event{Source: source, Time: time.Now()}, auth: kind})
	}
}

// ProtoTrouble tells SNMP managers of an advert that breaks the protocol (vrrpv3ProtoError), of an instance of either
// version, as keepalived does. source is who sent it, by the instance's family. Whoever calls it bounds how often: anybody can
// send such adverts.
func (a *Alerter) ProtoTrouble(ifindex, vrid int, source netip.Addr, kind ProtoError) {
	e := Event{Ifindex: ifindex, VRID: vrid, Source: source, Time: time.Now()}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.couriers["snmp"]; c != nil {
		c.put(message{Event: e, proto: kind})
	}
}

// Idle waits until everything was delivered or given up, or ctx ends, whose error it then returns.
func (a *Alerter) Idle(ctx context.Context) error {
	a.mu.Lock()
	all := make([]*courier, 0, len(a.couriers))
	for _, c := range a.couriers {
		all = append(all, c)
	}
	a.mu.Unlock()
	for _, c := range all {
		if err := c.idle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Count is what became of an addressee's messages.
type Count struct {
	Sent    uint64 // as far as can be known: nobody acknowledges a trap
	Failed  uint64 // given up after all tries
	Dropped uint64 // the queue was full
	Waiting int
	Error   string // of the last try, "" if that was good
}

// Counts are by addressee: "mail", "snmp", "webhook NAME".
func (a *Alerter) Counts() map[string]Count {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]Count{}
	for name, c := range a.couriers {
		out[name] = c.count()
	}
	return out
}

// EngineID is this node's SNMPv3 engine, in hexadecimal: what `createUser -e 0xENGINE ...` of snmptrapd wants to hear.
func (a *Alerter) EngineID() string { return a.engine.hex() }
