package agent

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/cluster/lease"
	"github.com/reeve-lb/reeve/vrrp/guard"
)

// guardArg is the hidden subcommand of the second process.
const guardArg = "_guard"

// GuardMain runs the guard's process when the arguments ask for it. The guard takes addresses off; what it has to tell the
// cluster then it says by the lease room's way, with the instructions that the agent gave it while it lived.
func GuardMain(argv []string) (code int, ok bool) {
	if len(argv) != 2 || argv[1] != guardArg {
		return 0, false
	}
	err := guard.Main(guard.ProcessOptions{
		Logger: hclog.New(&hclog.LoggerOptions{Name: "reeve.guard", Output: os.Stderr}),
		Said: func(ctx context.Context, released []guard.Released, blob []byte) {
			if len(blob) == 0 {
				return
			}
			words := make([]lease.Word, 0, len(released))
			for _, r := range released {
				words = append(words, lease.Word{Instance: r.Instance, Epoch: r.Epoch, AgentDied: r.AgentDied})
			}
			_ = lease.SayReleased(ctx, blob, words) // nobody hears it: the lease's own end is as true
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "reeve guard:", err)
		return 1, true
	}
	return 0, true
}

// instructions is what fence needs of the cluster: whom the guard shall tell, and when that changed.
type instructions interface {
	SayConfig() (lease.SayConfig, error)
	MembersChanged(ctx context.Context) <-chan struct{}
}

// fence is the agent's end of the guard: it starts one with the first instance and keeps its instructions up to date.
type fence struct {
	log hclog.Logger
	who instructions
	// gone is told what the guard took off; set before the first instance.
	gone func(instance string, epoch uint64)

	mu     sync.Mutex
	client *guard.Client
	blob   []byte
}

func newFence(who instructions, log hclog.Logger) *fence { return &fence{log: log, who: who} }

// need starts the guard if none runs. Addresses without a guard would outlive their agent.
func (f *fence) need(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.client != nil {
		return nil
	}
	c, err := guard.Start(ctx, guard.Options{
		Args: []string{guardArg}, Logger: f.log, Stderr: os.Stderr,
		Gone: func(r guard.Released) {
			f.gone(r.Instance, r.Epoch)
		},
	})
	if err != nil {
		return fmt.Errorf("start the guard: %w", err)
	}
	f.client = c
	if f.blob != nil {
		return c.Say(f.blob)
	}
	return nil
}

// Pet implements speaker.Guard.
func (f *fence) Pet(h guard.Holding) {
	if c := f.current(); c != nil {
		c.Pet(h)
	}
}

// Drop implements speaker.Guard.
func (f *fence) Drop(instance string) {
	if c := f.current(); c != nil {
		c.Drop(instance)
	}
}

func (f *fence) current() *guard.Client {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.client
}

// settleTime gathers changes of membership: at a start they come in bunches, and each makes new instructions.
const settleTime = 20 * time.Millisecond

// run keeps the instructions equal to who is in the cluster, until ctx ends; then the guard ends too.
func (f *fence) run(ctx context.Context) error {
	changed := f.who.MembersChanged(ctx)
	for {
		f.instruct()
		select {
		case <-ctx.Done():
			if c := f.current(); c != nil {
				return c.Close()
			}
			return nil
		case <-changed:
		}
		select {
		case <-time.After(settleTime):
		case <-ctx.Done():
		}
	}
}

func (f *fence) instruct() {
	conf, err := f.who.SayConfig()
	if err != nil {
		return // the cluster is not up yet: its first member is a change
	}
	blob, err := conf.Encode()
	if err != nil {
		f.log.Error("the guard can't be told whom to speak to", "error", err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blob = blob
	if f.client == nil {
		return
	}
	if err := f.client.Say(blob); err != nil {
		f.log.Error("the guard can't be told whom to speak to", "error", err)
	}
}
