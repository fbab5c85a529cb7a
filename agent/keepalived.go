package agent

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/agent/classic"
	"github.com/reeve-lb/reeve/cluster/lease"
	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/dump"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/speaker"
)

// Keepalived is the keepalived personality's daemon: the VRRP speaker and its guard, and nothing else of an agent. The
// routers elect, no cluster is asked, no port is opened. It is a classic.Daemon: make it with NewKeepalived, run it once.
type Keepalived struct {
	log     hclog.Logger
	speaker *speaker.Speaker
	fence   *fence
	up      chan struct{}

	mu      sync.Mutex
	config  vrrp.Config
	cleared map[string]dump.Stats // what the counters were when they were cleared
}

var _ classic.Daemon = (*Keepalived)(nil)

// NewKeepalived allocates a daemon that logs to log; what VRRP says goes to its sub-logger vrrp.
func NewKeepalived(log hclog.Logger) *Keepalived {
	k := &Keepalived{log: log, up: make(chan struct{}), cleared: map[string]dump.Stats{}}
	k.fence = newFence(nobody{}, log.Named("vrrp").Named("guard"))
	name, _ := os.Hostname() // only dumps and logs of a cluster show it
	k.speaker = speaker.New(speaker.Options{Node: name, Logger: log.Named("vrrp"), Guard: k.fence, Journal: classicJournal()})
	k.fence.gone = k.speaker.Fenced
	return k
}

// classicJournal is the file of what has to be undone should the daemon die: one for each network namespace, because there
// the changes are. It need not outlive a boot.
func classicJournal() string {
	ns, err := os.Readlink("/proc/self/ns/net") // net:[NUMBER]
	if err != nil {
		return ""
	}
	return "/run/reeve-keepalived-" + strings.Trim(strings.TrimPrefix(ns, "net:"), "[]") + ".json"
}

// nobody is whom the guard of a node without a cluster has to tell.
type nobody struct{}

func (nobody) SayConfig() (lease.SayConfig, error) {
	return lease.SayConfig{}, errors.New("no cluster")
}
func (nobody) MembersChanged(context.Context) <-chan struct{} { return nil }

// Apply implements classic.Daemon. Nothing goes on this machine before the guard runs.
func (k *Keepalived) Apply(c vrrp.Config) source.Problems {
	var ps source.Problems
	if len(c.Instances) > 0 {
		if err := k.fence.need(context.Background()); err != nil {
			ps.Errorf(c.Instances[0].Pos, "", "virtual addresses can't be guarded: %v", err)
			return ps
		}
	}
	k.mu.Lock()
	k.config = c
	k.mu.Unlock()
	return k.speaker.Apply(c, vrrp.ElectionVRRP)
}

// Run implements classic.Daemon.
func (k *Keepalived) Run(ctx context.Context) error {
	boottime.Slack(time.Millisecond)
	r := newRooms()
	r.open("guard", k.fence.run)
	stop := r.open("vrrp", k.speaker.Run)
	close(k.up)
	select {
	case <-ctx.Done():
	case err := <-r.died:
		k.log.Error("a room of the daemon ended: stopping", "error", err)
	}
	r.ending.Store(true)
	stop()
	return r.close()
}

// Up implements classic.Daemon.
func (k *Keepalived) Up() <-chan struct{} { return k.up }

// ClearStats implements classic.Daemon.
func (k *Keepalived) ClearStats() {
	now := map[string]dump.Stats{}
	for _, st := range k.speaker.Status() {
		now[st.Instance] = dumpStats(st)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cleared = now
}

// Snapshot implements classic.Daemon.
func (k *Keepalived) Snapshot() dump.Snapshot {
	k.mu.Lock()
	s := dump.Snapshot{
		Config: k.config, Instances: map[string]dump.Instance{}, Groups: map[string]dump.State{},
		Scripts: map[string]dump.Script{}, Processes: map[string]dump.Process{}, Files: map[string]dump.File{},
	}
	cleared := k.cleared
	k.mu.Unlock()
	for _, st := range k.speaker.Status() {
		in := dumpInstance(st)
		in.Stats = in.Stats.Sub(cleared[st.Instance])
		s.Instances[st.Instance] = in
	}
	for _, g := range k.speaker.Groups() {
		s.Groups[g.Name] = dumpState(g.State)
	}
	trackers := k.speaker.Trackers()
	for _, c := range s.Config.Scripts {
		st := trackers.Script(c.Name)
		s.Scripts[c.Name] = dump.Script{Known: st.Known, Good: st.Up}
	}
	for _, c := range s.Config.Processes {
		st := trackers.Process(c.Name)
		s.Processes[c.Name] = dump.Process{Count: st.Count, Quorum: st.Up}
	}
	for _, c := range s.Config.Files {
		s.Files[c.Name] = dump.File{Value: trackers.File(c.Name).Value}
	}
	return s
}

func dumpState(s machine.State) dump.State { return dump.ParseState(strings.ToUpper(s.String())) }

// dumpInstance fits what the speaker tells of an instance to what the dumps show.
func dumpInstance(st speaker.InstanceStatus) dump.Instance {
	in := dump.Instance{
		State: dumpState(st.State), Since: st.Since, Priority: st.Priority, Source: st.Source, Stats: dumpStats(st),
		AddressesOn: st.AddressesOn, Faults: st.Faults, Pending: st.Pending,
	}
	in.Want = in.State
	if st.Transport != st.Interface {
		in.BaseInterface = st.Interface
	}
	if in.State == dump.Backup && len(st.Adverts) > 0 && st.Adverts[0].Priority > 0 {
		in.MasterRouter, in.MasterPrio, in.MasterAdvert = st.Adverts[0].Source, st.Adverts[0].Priority, st.MasterAdvertInt
	}
	return in
}

// dumpStats sorts the speaker's counters into keepalived's, which has none of wrong versions, checksums and unknown VRIDs.
// Three count otherwise than 2.2.7's, measured with one packet of each kind: another advert_int is counted (there the counter
// stays 0), an advert with another number of addresses is one received as well (it is accepted here), and one shorter than its
// header is an error of length (there it is nothing).
func dumpStats(st speaker.InstanceStatus) dump.Stats {
	n := func(causes ...packet.Cause) (sum uint64) {
		for _, c := range causes {
			sum += st.Counters[c.String()]
		}
		return sum
	}
	return dump.Stats{
		AdvertRcvd: st.Counters["advert_rcvd"], AdvertSent: st.Counters["advert_sent"],
		BecomeMaster: st.Counters["become_master"], ReleaseMaster: st.Counters["release_master"],
		PriZeroRcvd: st.Counters["pri_zero_rcvd"], PriZeroSent: st.Counters["pri_zero_sent"],
		PacketLenErr: n(packet.TooShort, packet.TooLong), AdvertIntervalErr: n(packet.IntervalMismatch),
		IPTTLErr: n(packet.WrongTTL, packet.PeerTTL), InvalidTypeRcvd: n(packet.WrongType),
		AddrListErr: n(packet.CountMismatch, packet.AddressMismatch), InvalidAuthType: n(packet.InvalidAuthType),
		AuthTypeMismatch: n(packet.AuthMismatch, packet.AuthAHeader), AuthFailure: n(packet.WrongPassword, packet.WrongSPI, packet.Replayed),
	}
}
