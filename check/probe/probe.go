// Package probe asks servers whether they are alive and reports what it learned; acting on it is somebody else's. Health is
// the pure core, Runner the driver with the sockets.
package probe

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/check"
)

// Result is a check's state after a probe.
type Result struct {
	Name    string // the check's
	Up      bool
	Changed bool      // Up is not what it was before this probe
	First   bool      // no probe of this check came before
	State   string    // "UP", "UP 2/3", "DOWN", "DOWN 1/2"
	Since   time.Time // since when Up is what it is; before the first change, since the check began
	Failed  uint64    // probes that failed while it was up
	Downs   uint64    // times it went down
	Rise    int
	Fall    int
	Streak  int  // probes in a row against the verdict: failures while up, successes while down
	OK      bool // this probe spoke for the server
	Outcome
}

// Options of a Runner. Results is required, the rest has defaults.
type Options struct {
	Logger hclog.Logger
	// Results gets each probe's result, one call at a time, in order. It must not block for long and must not wait for
	// Apply or the end of Run. After a check was taken away by Apply at most results already on their way arrive.
	Results func(Result)
	// Dial connects; nil: TCP without MPTCP and without keep-alive probes.
	Dial Dial
	// TLS says how a check with TLS speaks it.
	TLS TLS
	// Rand is from [0,1), for the jitter; nil: math/rand/v2.
	Rand func() float64
}

// Runner runs checks. Apply may be called from any goroutine, before Run and during it.
type Runner struct {
	opts   Options
	mu     sync.Mutex
	want   map[string]check.Config
	wake   chan struct{}
	report chan report
	doubts chan doubt
	// Owned by Run:
	checks map[string]*task
	wg     sync.WaitGroup
}

// task is one check and the goroutine that asks.
type task struct {
	config  check.Config // defaults filled in
	health  Health
	since   time.Time
	asked   bool
	failed  uint64
	downs   uint64
	cancel  context.CancelFunc
	next    chan time.Duration // how long to wait before asking again
	sooner  chan time.Duration // wait no longer than that from now on
	written check.Config       // as applied
}

// doubt is one that was told about a check's server.
type doubt struct {
	name string
	kind Doubt
}

type report struct {
	from *task
	out  Outcome
}

// New makes a Runner without checks.
func New(opts Options) *Runner {
	if opts.Logger == nil {
		opts.Logger = hclog.NewNullLogger()
	}
	if opts.Dial == nil {
		d := &net.Dialer{KeepAlive: -1}
		d.SetMultipathTCP(false)
		opts.Dial = d.DialContext
	}
	if opts.Rand == nil {
		opts.Rand = rand.Float64
	}
	return &Runner{opts: opts, want: map[string]check.Config{}, wake: make(chan struct{}, 1),
		report: make(chan report), doubts: make(chan doubt, 64), checks: map[string]*task{}}
}

// Apply makes checks the ones that run, by name. What did not change goes on undisturbed: verdict, counts and phase. A
// check with other settings keeps its verdict and counters and asks anew at once. Apply does not block.
func (p *Runner) Apply(checks map[string]check.Config) {
	p.mu.Lock()
	p.want = maps.Clone(checks)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Doubt tells of bad signs in the traffic of a check's server. It does not block; of very many at once some are lost.
func (p *Runner) Doubt(name string, kind Doubt) {
	select {
	case p.doubts <- doubt{name, kind}:
	default:
	}
}

// Run probes until ctx ends, then waits for its goroutines and returns nil.
func (p *Runner) Run(ctx context.Context) error {
	defer p.wg.Wait()
	defer p.stopAll()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
			p.reconcile(ctx)
		case r := <-p.report:
			p.take(r)
		case d := <-p.doubts:
			p.doubt(d)
		}
	}
}

func (p *Runner) stopAll() {
	for name, r := range p.checks {
		r.cancel()
		delete(p.checks, name)
	}
}

// reconcile ends, changes and begins checks.
func (p *Runner) reconcile(ctx context.Context) {
	p.mu.Lock()
	want := p.want
	p.mu.Unlock()
	for name, r := range p.checks {
		if _, ok := want[name]; !ok {
			r.cancel()
			delete(p.checks, name)
		}
	}
	var fresh []*task
	for name, c := range want {
		old := p.checks[name]
		if old != nil && same(old.written, c) {
			continue
		}
		r := begin(name, c, old)
		p.checks[name] = r
		if old != nil {
			old.cancel()
			p.start(ctx, r, 0)
			continue
		}
		fresh = append(fresh, r)
	}
	p.spread(ctx, fresh)
}

// same compares settings but for where they were written.
func same(a, b check.Config) bool {
	a.Pos = b.Pos
	return a == b
}

func begin(name string, c check.Config, old *task) *task {
	r := &task{config: withDefaults(c), written: c, next: make(chan time.Duration, 1), sooner: make(chan time.Duration, 1), since: time.Now()}
	r.config.Name = name
	r.health = NewHealth(r.config.Rise, r.config.Fall)
	if old != nil {
		r.health, r.since, r.asked, r.failed, r.downs = old.health, old.since, old.asked, old.failed, old.downs
		r.health.Reconfigure(r.config.Rise, r.config.Fall)
	}
	return r
}

// spread starts new checks evenly over the shortest of their intervals, in the order of their names.
func (p *Runner) spread(ctx context.Context, fresh []*task) {
	if len(fresh) == 0 {
		return
	}
	slices.SortFunc(fresh, func(a, b *task) int { return cmp.Compare(a.config.Name, b.config.Name) })
	shortest := fresh[0].config.Inter
	for _, r := range fresh {
		shortest = min(shortest, r.config.Inter)
	}
	for i, r := range fresh {
		p.start(ctx, r, shortest*time.Duration(i)/time.Duration(len(fresh)))
	}
}

func (p *Runner) start(ctx context.Context, r *task, delay time.Duration) {
	ctx, r.cancel = context.WithCancel(ctx)
	r.next <- delay
	p.wg.Go(func() { p.ask(ctx, r) })
}

// ask is a check's goroutine: wait as told, ask, hand the outcome to Run. It reads nothing of r that Run writes.
func (p *Runner) ask(ctx context.Context, r *task) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var due time.Time
		select {
		case <-ctx.Done():
			return
		case wait := <-r.next:
			timer.Reset(wait)
			due = time.Now().Add(wait)
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return
			case wait := <-r.sooner:
				if time.Until(due) > wait {
					timer.Reset(wait)
				}
			case <-timer.C:
				waiting = false
			}
		}
		out := ask(ctx, p.opts.Dial, p.opts.TLS, r.config)
		if ctx.Err() != nil {
			return // the outcome is our own doing
		}
		select {
		case <-ctx.Done():
			return
		case p.report <- report{r, out}:
		}
	}
}

// take counts an outcome, tells it, and lets the check go on.
func (p *Runner) take(rep report) {
	r := rep.from
	if p.checks[r.config.Name] != r {
		return // taken away while it asked
	}
	ok := rep.out.Status.OK()
	if !ok && r.health.Up() {
		r.failed++
	}
	changed := r.health.Take(ok)
	r.next <- p.jitter(r.health.interval(r.config), r.config.Jitter)
	p.tell(r, rep.out, ok, changed)
}

// doubt counts what the traffic of a server speaks against it, and has it asked soon.
func (p *Runner) doubt(d doubt) {
	r := p.checks[d.name]
	if r == nil || !r.health.Up() {
		return
	}
	if d.kind != FastInter {
		r.failed++
	}
	changed := r.health.Doubt(d.kind)
	select {
	case r.sooner <- r.config.FastInter:
	default:
	}
	if d.kind != FastInter {
		p.tell(r, Outcome{Status: HANA, Info: "bad signs in the traffic"}, false, changed)
	}
}

// tell logs and reports where a check stands.
func (p *Runner) tell(r *task, out Outcome, ok, changed bool) {
	if changed {
		r.since = time.Now()
		if !r.health.Up() {
			r.downs++
		}
		p.log(r, out)
	}
	res := Result{Name: r.config.Name, Up: r.health.Up(), Changed: changed, First: !r.asked, State: r.health.String(),
		Since: r.since, Failed: r.failed, Downs: r.downs,
		Rise: r.config.Rise, Fall: r.config.Fall, Streak: r.health.streak(), OK: ok, Outcome: out}
	r.asked = true
	p.opts.Results(res)
}

func (p *Runner) log(r *task, out Outcome) {
	args := []any{"check", r.config.Name, "status", string(out.Status), "reason", out.Info, "duration", out.Duration}
	if r.health.Up() {
		p.opts.Logger.Info("server is up", args...)
		return
	}
	p.opts.Logger.Warn("server is down", args...)
}

// jitter moves an interval by up to percent of it either way.
func (p *Runner) jitter(d time.Duration, percent int) time.Duration {
	if percent == 0 {
		return d
	}
	return d + time.Duration((2*p.opts.Rand()-1)*float64(d)*float64(percent)/100)
}
