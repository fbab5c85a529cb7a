package track

import (
	"context"
	"maps"
	"reflect"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/script"
	"github.com/reeve-lb/reeve/vrrp"
)

// Options of New.
type Options struct {
	Logger  hclog.Logger                                           // nil: none
	Changed func()                                                 // a script's state changed; called from the script's goroutine, must not block
	Run     func(ctx context.Context, s script.Spec) script.Result // nil: script.Run
}

// Tracker runs the vrrp_scripts that are tracked. Apply and State are safe for concurrent use.
type Tracker struct {
	o    Options
	wake chan struct{}

	mu     sync.Mutex
	wanted map[string]vrrp.Script
	user   string
	states map[string]ScriptState
}

// New allocates a Tracker.
func New(o Options) *Tracker {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Run == nil {
		o.Run = script.Run
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	return &Tracker{o: o, wake: make(chan struct{}, 1), wanted: map[string]vrrp.Script{}, states: map[string]ScriptState{}}
}

// Apply says which scripts are to run from now on, and as whom if they don't say. A script that stays keeps its state,
// also when its settings are others.
func (t *Tracker) Apply(scripts map[string]vrrp.Script, user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted, t.user = maps.Clone(scripts), user
	for name, s := range t.wanted {
		if s.User == "" {
			s.User = user
			t.wanted[name] = s
		}
		if _, ok := t.states[name]; !ok {
			t.states[name] = initial(s)
		}
	}
	maps.DeleteFunc(t.states, func(name string, _ ScriptState) bool { _, ok := t.wanted[name]; return !ok })
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// State is a script's state; unknown for one that does not run.
func (t *Tracker) State(name string) ScriptState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.states[name]
}

type runner struct {
	script vrrp.Script
	end    context.CancelFunc
	gone   chan struct{}
}

// Run runs scripts until ctx ends, waits for those that run, and returns nil.
func (t *Tracker) Run(ctx context.Context) error {
	running := map[string]runner{}
	defer func() {
		for _, r := range running {
			r.end()
		}
		for _, r := range running {
			<-r.gone
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
			t.reconcile(ctx, running)
		}
	}
}

func (t *Tracker) reconcile(ctx context.Context, running map[string]runner) {
	t.mu.Lock()
	wanted := t.wanted
	t.mu.Unlock()
	for name, r := range running {
		if s, ok := wanted[name]; ok && same(s, r.script) {
			continue
		}
		r.end()
		<-r.gone // a script never runs twice at a time
		delete(running, name)
	}
	for name, s := range wanted {
		if _, ok := running[name]; ok {
			continue
		}
		life, end := context.WithCancel(ctx)
		r := runner{s, end, make(chan struct{})}
		running[name] = r
		go func() {
			defer close(r.gone)
			t.watch(life, s)
		}()
	}
}

func same(a, b vrrp.Script) bool {
	a.Pos = b.Pos
	return reflect.DeepEqual(a, b)
}

// watch starts the script every interval. A run that takes longer costs the starts it sat out.
func (t *Tracker) watch(ctx context.Context, s vrrp.Script) {
	interval := s.Interval
	if interval <= 0 {
		interval = time.Second
	}
	spec := script.Spec{Argv: s.Command, Shell: s.Shell, Timeout: s.Timeout, User: s.User}
	if spec.Shell != "" {
		spec.Argv = nil
	}
	if spec.Timeout <= 0 {
		spec.Timeout = interval
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		result := t.o.Run(ctx, spec)
		if ctx.Err() != nil {
			return
		}
		t.result(s, result)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (t *Tracker) result(s vrrp.Script, r script.Result) {
	t.mu.Lock()
	old, wanted := t.states[s.Name]
	now := old.next(s, r.OK(), r.String())
	if wanted {
		t.states[s.Name] = now
	}
	t.mu.Unlock()
	if !wanted || old.Known == now.Known && old.Up == now.Up && old.Note == now.Note {
		return
	}
	if !old.Known || old.Up != now.Up {
		word := "succeeded"
		if !now.Up {
			word = "failed"
		}
		t.o.Logger.Info("VRRP_Script("+s.Name+") "+word, "result", r.String())
	}
	t.o.Changed()
}
