// Package notify tells others of changes of state: by scripts, in order for each instance and each sync group, one at a
// time, and only the latest state of those that wait; and by named pipes that get every line in the order in which things
// happened. keepalived starts scripts side by side, and a slow MASTER script may end after the BACKUP one.
//
// A script that is through is followed by the next state's. One that still runs when a later state waits has Patience to
// come to its end, then it is told to end; a stop waits less, because the daemon has little time. Once begun, a state's two
// scripts, the one of that state and the generic one, both run.
package notify

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/script"
	"github.com/reeve-lb/reeve/vrrp"
)

// How long scripts may take.
const (
	// Longest is the end of a script that nobody waits for.
	Longest = time.Hour
	// Patience is what a script that runs is left with when a later state of its instance waits.
	Patience = 30 * time.Second
	// StopPatience is the same when the daemon stops or the instance was deleted.
	StopPatience = 300 * time.Millisecond
)

// What is told. The first six are states, of which only the latest counts.
const (
	Master           = "MASTER"
	Backup           = "BACKUP"
	Fault            = "FAULT"
	Stop             = "STOP"
	Deleted          = "DELETED"
	MasterRxLowerPri = "MASTER_RX_LOWER_PRI" // a master heard of a lower priority; not a change of state
	MasterPriority   = "MASTER_PRIORITY"     // the effective priority changed in this state; to pipes only
	BackupPriority   = "BACKUP_PRIORITY"
)

// Event is something that is true now.
type Event struct {
	Group    bool // of a vrrp_sync_group; its priority is told as 0
	Name     string
	Notifies vrrp.Notifies
	State    string // one of the constants
	From     string // the state before; "" when it is not known
	Priority int    // effective
	Epoch    uint64 // of the lease, a fencing token: it only grows; 0 without a cluster
	Cause    string
}

func (e Event) kind() string {
	if e.Group {
		return "GROUP"
	}
	return "INSTANCE"
}

func (e Event) priority() string {
	if e.Group {
		return "0"
	}
	return strconv.Itoa(e.Priority)
}

// line is what pipes get.
func (e Event) line() string {
	return e.kind() + ` "` + e.Name + `" ` + e.State + " " + e.priority() + "\n"
}

// Settings are global_defs' part.
type Settings struct {
	User           string      // script_user, user or user:group; "": script.DefaultUser
	Secure         bool        // enable_script_security: what root would run and others could change is not run
	Pipes          []vrrp.FIFO // notify_fifo and vrrp_notify_fifo; those without a path are none
	StatesOnReload bool        // fifo_write_vrrp_states_on_reload
}

// SettingsOf takes them from a configuration.
func SettingsOf(g vrrp.Global) Settings {
	return Settings{User: g.ScriptUser, Secure: g.EnableScriptSecurity, Pipes: []vrrp.FIFO{g.FIFO, g.VRRPFIFO}, StatesOnReload: g.FIFOStatesOnReload}
}

// Options of New.
type Options struct {
	Logger hclog.Logger // nil: none
}

// Notifier runs notify scripts and writes to pipes. Its methods but Run are safe for concurrent use; events of one instance
// are told in the order in which Notify was called.
type Notifier struct {
	log   hclog.Logger
	queue *script.Queue
	wake  chan struct{}

	mu    sync.Mutex
	set   Settings
	pipes map[string]*pipe // that are open
}

// New allocates a Notifier; Run works on what Notify gives.
func New(o Options) *Notifier {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Notifier{log: o.Logger, queue: script.NewQueue(), wake: make(chan struct{}, 1), pipes: map[string]*pipe{}}
}

// Apply says who runs scripts and which pipes there are from now on. Pipes are there when it returns, so that no event
// after it is missed; their scripts run while Run does.
func (n *Notifier) Apply(s Settings) {
	if s.User == "" {
		s.User = script.DefaultUser()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.set = s
	n.openPipes()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run runs scripts until ctx ends; those that run then are ended, and pipes that were made here are removed. It returns nil.
func (n *Notifier) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { _ = n.queue.Run(ctx) }) // always nil
	n.runReaders(ctx)
	all.Wait()
	return nil
}

// Idle waits until all scripts are through, or ctx ends.
func (n *Notifier) Idle(ctx context.Context) error { return n.queue.Idle(ctx) }

// Notify writes the event to the pipes and queues its scripts: the one of that state without further arguments, then the
// generic one with INSTANCE or GROUP, the name, the state and the priority. It never blocks.
// Of an instance that went with a reload DELETED is told if notify_deleted asks for it, else FAULT.
func (n *Notifier) Notify(e Event) {
	if e.State == Deleted && !e.Notifies.SayDeleted && len(e.Notifies.Deleted.Argv) == 0 {
		e.State = Fault
	}
	n.mu.Lock()
	for _, p := range n.pipes {
		p.write(e.line())
	}
	set := n.set
	n.mu.Unlock()
	j, ok := job(e, set)
	if !ok {
		if j.Replaces {
			n.queue.Forget(j.Key)
		}
		return
	}
	j.Done = func(s script.Spec, r script.Result) {
		if !r.OK() {
			n.log.Warn("notify script failed", "kind", strings.ToLower(e.kind()), "name", e.Name, "state", e.State,
				"script", s.Argv[0], "result", r.String(), "output", string(r.Output))
		}
	}
	if err := n.queue.Submit(j); err != nil {
		n.log.Warn("notify script not run", "kind", strings.ToLower(e.kind()), "name", e.Name, "state", e.State, "error", err)
	}
}

// Repeat writes states to the pipes after a reload, if fifo_write_vrrp_states_on_reload asks for it. No script runs.
func (n *Notifier) Repeat(states []Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.set.StatesOnReload {
		return
	}
	for _, e := range states {
		for _, p := range n.pipes {
			p.write(e.line())
		}
	}
}

// job makes the scripts of an event. A later state takes the place of whatever waits.
func job(e Event, set Settings) (script.Job, bool) {
	specific := map[string]vrrp.Command{
		Master: e.Notifies.Master, Backup: e.Notifies.Backup, Fault: e.Notifies.Fault, Stop: e.Notifies.Stop,
		Deleted: e.Notifies.Deleted, MasterRxLowerPri: e.Notifies.MasterRxLower,
	}[e.State]
	generic := e.Notifies.Any
	if e.State == MasterRxLowerPri || e.State == MasterPriority || e.State == BackupPriority {
		generic = vrrp.Command{} // it is for states
	}
	var specs []script.Spec
	if len(specific.Argv) > 0 {
		specs = append(specs, spec(e, specific, set))
	}
	if len(generic.Argv) > 0 {
		specs = append(specs, spec(e, generic, set, e.kind(), e.Name, e.State, e.priority()))
	}
	j := script.Job{Key: e.kind() + " " + e.Name, Kind: "state", Replaces: true, Patience: Patience}
	switch e.State {
	case MasterRxLowerPri, MasterPriority, BackupPriority:
		j.Kind, j.Replaces, j.Patience = "lower", false, 0
	case Stop, Deleted:
		j.Patience = StopPatience
	}
	if len(specs) == 0 {
		return j, false
	}
	j.Spec, j.Then = specs[0], specs[1:]
	return j, true
}

func spec(e Event, c vrrp.Command, set Settings, more ...string) script.Spec {
	s := command(c, set, Longest)
	s.Argv, s.Env = append(s.Argv, more...), environment(e)
	return s
}

// command is how any of the configured commands is run.
func command(c vrrp.Command, set Settings, timeout time.Duration) script.Spec {
	s := script.Spec{Argv: slices.Clone(c.Argv), User: c.User, Secure: set.Secure, Timeout: c.Timeout, KeepChildren: true}
	if s.User == "" {
		s.User = set.User
	}
	if s.Timeout <= 0 {
		s.Timeout = timeout
	}
	return s
}

// startupTimeout is what startup_script and shutdown_script have if they don't say.
const startupTimeout = 10 * time.Second

// RunOnce runs startup_script or shutdown_script to its end. Without a command it returns the zero Result, which is OK.
func RunOnce(ctx context.Context, c vrrp.Command, set Settings) script.Result {
	if len(c.Argv) == 0 {
		return script.Result{}
	}
	if set.User == "" {
		set.User = script.DefaultUser()
	}
	return script.Run(ctx, command(c, set, startupTimeout))
}

func environment(e Event) []string {
	env := []string{
		"REEVE_STATE=" + e.State,
		"REEVE_FROM=" + e.From,
		"REEVE_PRIORITY=" + e.priority(),
		"REEVE_EPOCH=" + strconv.FormatUint(e.Epoch, 10),
		"REEVE_CAUSE=" + strings.ReplaceAll(e.Cause, "\x00", ""),
	}
	if e.Group {
		return append(env, "REEVE_GROUP="+e.Name)
	}
	return append(env, "REEVE_INSTANCE="+e.Name)
}
