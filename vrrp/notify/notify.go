// Package notify runs the notify scripts of instances: in order for each instance, one at a time, and only the latest
// state of those that wait. keepalived starts them side by side, and a slow MASTER script may end after the BACKUP one.
package notify

import (
	"context"
	"strconv"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/script"
	"github.com/reeve-lb/reeve/vrrp"
)

// Event is one change of state that is true now.
type Event struct {
	Instance vrrp.Instance
	State    string // MASTER, BACKUP, FAULT, STOP
	Priority int    // effective
	Epoch    uint64 // of the lease, a fencing token: it only grows; 0 without a cluster
	Cause    string
	User     string // script_user
}

// Options of New.
type Options struct {
	Logger hclog.Logger // nil: none
}

// Notifier runs notify scripts. Notify and Idle are safe for concurrent use.
type Notifier struct {
	log   hclog.Logger
	queue *script.Queue
}

// New allocates a Notifier; Run works on what Notify gives.
func New(o Options) *Notifier {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Notifier{log: o.Logger, queue: script.NewQueue()}
}

// Run runs scripts until ctx ends; those that run then are ended. It returns nil.
func (n *Notifier) Run(ctx context.Context) error { return n.queue.Run(ctx) }

// Idle waits until all scripts are through, or ctx ends.
func (n *Notifier) Idle(ctx context.Context) error { return n.queue.Idle(ctx) }

// Notify queues the scripts for the state: the one of that state without further arguments, then the generic one with
// INSTANCE, the name, the state and the priority. It never blocks.
func (n *Notifier) Notify(e Event) {
	for _, j := range jobs(e) {
		j.Done = func(r script.Result) {
			if !r.OK() {
				n.log.Warn("notify script failed", "instance", e.Instance.Name, "state", e.State, "script", j.Spec.Argv[0], "result", r.String())
			}
		}
		if err := n.queue.Submit(j); err != nil {
			n.log.Warn("notify script not run", "instance", e.Instance.Name, "state", e.State, "error", err)
		}
	}
}

func jobs(e Event) []script.Job {
	in := e.Instance
	env := []string{
		"REEVE_INSTANCE=" + in.Name,
		"REEVE_STATE=" + e.State,
		"REEVE_PRIORITY=" + strconv.Itoa(e.Priority),
		"REEVE_EPOCH=" + strconv.FormatUint(e.Epoch, 10),
		"REEVE_CAUSE=" + e.Cause,
	}
	specific := map[string][]string{"MASTER": in.Notifies.Master.Argv, "BACKUP": in.Notifies.Backup.Argv, "FAULT": in.Notifies.Fault.Argv, "STOP": in.Notifies.Stop.Argv}
	var out []script.Job
	add := func(kind string, argv []string) {
		spec := script.Spec{Argv: argv, Env: env, User: e.User, KeepChildren: true}
		out = append(out, script.Job{Key: in.Name, Kind: kind, Spec: spec})
	}
	if argv := specific[e.State]; len(argv) > 0 {
		add("state", argv)
	}
	if len(in.Notifies.Any.Argv) > 0 {
		argv := append(append([]string(nil), in.Notifies.Any.Argv...), "INSTANCE", in.Name, e.State, strconv.Itoa(e.Priority))
		add("generic", argv)
	}
	return out
}
