package machine

import (
	"net/netip"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

// AnswerInterval is the least time between two answers to adverts of others, so that a flood of them is not answered by
// a flood of ours.
const AnswerInterval = 100 * time.Millisecond

// downTimerAdverts is RFC 3768's factor of Master_Down_Interval (section 6.1), unless down_timer_adverts is another.
const downTimerAdverts = 3

const (
	priorityOwner  = 255
	ownerLowered   = 254
	removeInterval = 100 * time.Millisecond
	defaultGrant   = 250 * time.Millisecond
	defaultLife    = 2 * time.Second
)

// Config is the settings the machine needs. Whether an instance is elected by the cluster never changes in its life.
type Config struct {
	Node              string // our name, as Elsewhere verdicts give holders
	Cluster           bool   // election = cluster
	Group             string // sync group: MASTER only when it says so; "": none. It never changes either.
	OnQuorumLoss      vrrp.QuorumLoss
	Version           uint8 // 3: the skew goes by the master's interval, which is learned; else 2
	AdvertInt         time.Duration
	DownTimerAdverts  int // 0: 3
	NoPreempt         bool
	PreemptDelay      time.Duration
	OwnerWaits        bool          // priority 255 and state BACKUP: waits for Master_Down_Interval like everybody
	StartupDelay      time.Duration // what is left of vrrp_startup_delay at Start
	LowerNoAdvert     bool          // lower_prio_no_advert
	HigherSendAdvert  bool          // higher_prio_send_advert
	TellPriority      bool          // notify_priority_changes
	Lifetime          time.Duration // as vrrp.Instance.VIPLifetime: 0 default, negative for ever
	GarpMasterDelay   time.Duration // 0: no second burst
	GarpMasterRepeat  int
	GarpRefresh       time.Duration // 0: none
	GarpRefreshRepeat int
	GarpLowerDelay    time.Duration // after a lower advert; 0: no second burst
	GarpLowerRepeat   int           // 0: no burst
	GrantWait         time.Duration // how long a plain master waits for its lease when the quorum is back; 0: 250 ms
}

type quorum int

const (
	quorumUnknown quorum = iota
	quorumThere
	quorumLost
)

// Machine is the state of one instance. It is a value: Step returns the next one and leaves this as it is.
type Machine struct {
	cfg    Config
	state  State
	source netip.Addr

	priority int    // effective
	lowered  bool   // an owner that met another owner: 254
	faults   string // from outside
	addFault string // addresses could not be put on
	ready    bool
	yielded  bool // released by will: does not preempt
	handOff  bool // released by will: not in the running until somebody else holds or a while passed
	stopped  bool
	withdraw bool

	quorum quorum
	voters int
	holder string // as the cluster told last
	epoch  uint64 // the highest seen

	lease      uint64        // epoch of the lease held, 0: none
	until      boottime.Time // MASTER: the end of our right, unless it is renewed
	nextAdvert boottime.Time
	downAt     boottime.Time // BACKUP by adverts: when MasterDown fires
	lastAnswer boottime.Time
	announced  bool // MASTER: addresses on and announced
	reloaded   bool // MASTER: an advert is due once the addresses of new settings are on
	shrunk     bool // and these are fewer only: no announcement is
	preemptAt  boottime.Time
	reported   ReportKind // of an advert, and when
	reportedAt boottime.Time
	learned    time.Duration // the master's advert_int in version 3; 0: nobody's yet, ours
	startAt    boottime.Time // end of vrrp_startup_delay

	wishes     bool   // in a group: would be MASTER
	groupFault string // what another member of the group suffers from
	answered   uint64 // the number (Decided.Order) of the group's last order that was acted on
	told       Member // what the group knows

	removing    bool   // RemoveAddresses is not answered yet, or failed
	releasing   uint64 // epoch to give back when they are off
	notifyOff   bool   // notify when they are off
	notifyCause string

	stood     vrrp.Candidacy
	standsYet bool
}

// New makes a machine in INIT. Give it Priority, Faults and Source events before Start.
func New(cfg Config) Machine {
	return Machine{cfg: cfg, state: Init, priority: 100, ready: true}
}

// State is the present state.
func (m Machine) State() State { return m.state }

// EffectivePriority is what adverts carry: the last Priority event's, less an owner's concession.
func (m Machine) EffectivePriority() int {
	if m.lowered {
		return min(m.priority, ownerLowered)
	}
	return m.priority
}

// Lease is the lease held: its epoch (0: none) and expiry.
func (m Machine) Lease() (epoch uint64, expiry boottime.Time) {
	if m.lease == 0 {
		return 0, 0
	}
	return m.lease, m.until
}

// Holder is who has the lease as far as the cluster told, with the highest epoch seen.
func (m Machine) Holder() (node string, epoch uint64) { return m.holder, m.epoch }

// Plain reports whether the rules of plain VRRP are in force.
func (m Machine) Plain() bool { return m.plain() }

// Candidacy is what the arbiter was told last.
func (m Machine) Candidacy() vrrp.Candidacy { return m.stood }

// Done reports whether the machine has stopped and its addresses are off.
func (m Machine) Done() bool { return m.stopped && !m.removing }

// Removing reports whether the addresses are not off yet that were to be taken off.
func (m Machine) Removing() bool { return m.removing }

// AddressesOn reports whether all addresses are on and were announced.
func (m Machine) AddressesOn() bool { return m.announced }

// MasterAdvertInt is the advert_int of who is master: ours in version 2, in version 3 what was learned from it (RFC 9568
// section 6.1, Active_Adver_Interval).
func (m Machine) MasterAdvertInt() time.Duration {
	if m.cfg.Version == 3 && m.learned > 0 {
		return m.learned
	}
	return m.cfg.AdvertInt
}

// SkewTime makes better routers take over sooner (RFC 3768 section 6.1, in version 3 RFC 9568 section 6.1).
func (m Machine) SkewTime() time.Duration {
	whole := time.Second
	if m.cfg.Version == 3 {
		whole = m.MasterAdvertInt()
	}
	return time.Duration(256-m.EffectivePriority()) * whole / 256
}

// MasterDownInterval is how long a BACKUP waits for an advert (RFC 3768 section 6.1).
func (m Machine) MasterDownInterval() time.Duration {
	return time.Duration(m.downAdverts())*m.MasterAdvertInt() + m.SkewTime()
}

func (m *Machine) downAdverts() int {
	if m.cfg.DownTimerAdverts > 0 {
		return m.cfg.DownTimerAdverts
	}
	return downTimerAdverts
}

// patience is how long after an advert of ours others may have taken over.
func (m *Machine) patience() time.Duration { return time.Duration(m.downAdverts()) * m.cfg.AdvertInt }

// plain: no arbiter, or none in reach and the settings say to go on without. A lease that still lasts keeps the
// cluster's rules.
func (m *Machine) plain() bool {
	return !m.cfg.Cluster || m.quorum == quorumLost && m.fallsBack() && m.lease == 0
}

func (m *Machine) fallsBack() bool {
	switch m.cfg.OnQuorumLoss {
	case vrrp.QuorumLossVRRP:
		return true
	case vrrp.QuorumLossRelease:
		return false
	}
	return m.voters == 1 || m.voters == 2
}

// lifetime is what the kernel is told. Under plain VRRP the addresses are renewed with each advert, and the kernel, the last
// line behind the guard, is not to lose patience before those who listen for our adverts do.
func (m *Machine) lifetime() time.Duration {
	if m.cfg.Lifetime < 0 {
		return m.cfg.Lifetime
	}
	life := m.cfg.Lifetime
	if life == 0 {
		life = defaultLife
	}
	if m.lease == 0 {
		life = max(life, m.patience())
	}
	return life
}

// Step takes the machine through one event.
func (m Machine) Step(ev Event, now boottime.Time) (Machine, []Action) {
	s := step{Machine: m, now: now}
	s.lapse()
	s.handle(ev)
	s.tell()
	return s.Machine, s.out
}

// Heard is Step of an Advert, for the many: one that changes nothing costs no memory.
func (m Machine) Heard(a Advert, now boottime.Time) (Machine, []Action) {
	s := step{Machine: m, now: now}
	s.lapse()
	s.advert(a)
	s.tell()
	return s.Machine, s.out
}

// step is a Machine on its way to the next, with the actions so far.
type step struct {
	Machine
	now    boottime.Time
	out    []Action
	lapsed bool // this step itself ended MASTER: no answer to the removal it asks for can be here yet
}

func (s *step) do(a ...Action) { s.out = append(s.out, a...) }

func (s *step) after(t Timer, d time.Duration) { s.do(SetTimer{t, s.now.Add(d)}) }

func (s *step) stop(timers ...Timer) {
	for _, t := range timers {
		if t == MasterDown {
			s.downAt = 0
		}
		s.do(SetTimer{Timer: t})
	}
}

// lapse lets go of what our right to has run out.
func (s *step) lapse() {
	if s.state != Master || s.now.Before(s.until) {
		return
	}
	cause := "lease ran out"
	if s.lease == 0 {
		cause = "no advert sent for so long that others may have taken over, the process was held up"
	}
	s.demote(Backup, cause)
	s.lapsed = true
}

func (s *step) handle(ev Event) {
	switch ev := ev.(type) {
	case Start:
		s.start()
	case Advert:
		s.advert(ev)
	case Fired:
		s.fired(ev.Timer)
	case Priority:
		s.setPriority(ev.Effective)
	case Faults:
		s.faults = ev.Cause
		s.faultsChanged()
	case Source:
		s.source = ev.Addr
	case Ready:
		s.ready = ev.Ready
		s.stand()
	case Decided:
		s.answered = max(s.answered, ev.Order)
		s.decided(ev.Verdict)
	case Configure:
		s.configure(ev)
	case Release:
		s.release()
	case Stop:
		s.end(ev.Withdraw)
	case GroupSays:
		s.groupSays(ev)
	default:
		s.addresses(ev)
	}
}
