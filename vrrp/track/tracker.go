package track

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/script"
	"github.com/reeve-lb/reeve/vrrp"
)

// Options of New.
type Options struct {
	Logger  hclog.Logger                                           // nil: none
	Changed func()                                                 // a tracker's state changed; called from several goroutines, must not block
	Run     func(ctx context.Context, s script.Spec) script.Result // nil: script.Run
	Jitter  func() float64                                         // in [0, 1): where in its interval a script's phase is; nil: at random
	Proc    string                                                 // where proc(5) is mounted; "": /proc
	// NoConnector has processes found by reading proc alone, where the kernel's messages are not wanted.
	NoConnector bool
}

// Wanted is what is tracked by at least one instance or group, and who runs scripts that don't say it.
type Wanted struct {
	Scripts   []vrrp.Script
	Processes []vrrp.Process
	Files     []vrrp.File
	User      string // script_user, user or user:group; "": script.DefaultUser
	Secure    bool   // enable_script_security: what root would run and others could change is not run, and ignored
}

// Used is what of a configuration some instance or group tracks; the rest is not run.
func Used(c vrrp.Config) Wanted {
	scripts, processes, files := map[string]bool{}, map[string]bool{}, map[string]bool{}
	use := func(into map[string]bool, ts []vrrp.Track) {
		for _, t := range ts {
			into[t.Name] = true
		}
	}
	for _, in := range c.Instances {
		use(scripts, in.TrackScripts)
		use(processes, in.TrackProcesses)
		use(files, in.TrackFiles)
	}
	for _, g := range c.SyncGroups {
		use(scripts, g.TrackScripts)
		use(processes, g.TrackProcesses)
		use(files, g.TrackFiles)
	}
	w := Wanted{User: c.Global.ScriptUser, Secure: c.Global.EnableScriptSecurity}
	for _, s := range c.Scripts {
		if scripts[s.Name] {
			w.Scripts = append(w.Scripts, s)
		}
	}
	for _, p := range c.Processes {
		if processes[p.Name] {
			w.Processes = append(w.Processes, p)
		}
	}
	for _, f := range c.Files {
		if files[f.Name] {
			w.Files = append(w.Files, f)
		}
	}
	return w
}

// Tracker runs scripts, watches processes and reads files that are tracked. Its methods but Run are safe for concurrent use.
type Tracker struct {
	o         Options
	wake      chan struct{} // scripts
	processes chan struct{}
	files     chan struct{}

	mu            sync.Mutex
	wanted        map[string]vrrp.Script
	order         []string // wanted ones, and those that are not run
	secure        bool
	states        map[string]ScriptState
	wantedProcess []vrrp.Process
	processState  map[string]ProcessState
	wantedFiles   []vrrp.File
	fileState     map[string]FileState
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
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	wake := func() chan struct{} { return make(chan struct{}, 1) }
	return &Tracker{
		o: o, wake: wake(), processes: wake(), files: wake(),
		wanted: map[string]vrrp.Script{}, states: map[string]ScriptState{},
		processState: map[string]ProcessState{}, fileState: map[string]FileState{},
	}
}

// Apply says what is tracked from now on. What stays keeps its state, also when its settings are others.
func (t *Tracker) Apply(w Wanted) {
	w.Scripts = slices.Clone(w.Scripts)
	if w.User == "" {
		w.User = script.DefaultUser()
	}
	refused := map[string]error{}
	for i, s := range w.Scripts {
		if s.User == "" {
			w.Scripts[i].User = w.User
		}
		if err := runSpec(w.Scripts[i], w.Secure).Vet(); errors.Is(err, script.ErrInsecure) {
			refused[s.Name] = err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted, t.order, t.secure = map[string]vrrp.Script{}, nil, w.Secure
	for _, s := range w.Scripts {
		if err := refused[s.Name]; err != nil {
			t.o.Logger.Error("script is not run and not counted: enable_script_security", "script", s.Name, "error", err)
			t.states[s.Name] = ScriptState{Disabled: err.Error()}
			t.order = append(t.order, s.Name)
			continue
		}
		t.wanted[s.Name] = s
		t.order = append(t.order, s.Name)
		if old, ok := t.states[s.Name]; !ok || old.Disabled != "" {
			t.states[s.Name] = initial(s)
		}
	}
	maps.DeleteFunc(t.states, func(name string, _ ScriptState) bool { return !slices.Contains(t.order, name) })
	t.wantedProcess, t.wantedFiles = slices.Clone(w.Processes), slices.Clone(w.Files)
	for _, c := range []chan struct{}{t.wake, t.processes, t.files} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Script is a script's state; unknown for one that does not run.
func (t *Tracker) Script(name string) ScriptState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.states[name]
}

// Process is a vrrp_track_process's state; unknown before the first look, and for one that is not tracked.
func (t *Tracker) Process(name string) ProcessState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.processState[name]
}

// File is a track_file's state; unknown before it was read, and for one that is not tracked.
func (t *Tracker) File(name string) FileState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fileState[name]
}

// Run tracks until ctx ends, waits for what runs, and returns nil: what can't be watched is told in the log and the states.
func (t *Tracker) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { t.runScripts(ctx) })
	all.Go(func() { t.runProcesses(ctx) })
	all.Go(func() { t.runFiles(ctx) })
	all.Wait()
	return nil
}
