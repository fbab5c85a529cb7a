package track

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/internal/script"
	"github.com/reeve-lb/reeve/vrrp"
)

// The first runs of many scripts are not all at one moment; a single script does not wait for that.
const (
	firstStep   = 5 * time.Millisecond
	firstSpread = time.Second
)

// runner is the one that a script has, however many instances track it.
type runner struct {
	script vrrp.Script
	secure bool
	end    context.CancelFunc
	gone   chan struct{}
}

// runScripts keeps a runner for each wanted script. A script that takes its time to end holds up nobody but its successor.
func (t *Tracker) runScripts(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	running := map[string]runner{}
	ending := map[string]chan struct{}{} // of scripts that nobody tracks any more
	for {
		select {
		case <-ctx.Done():
			for _, r := range running {
				r.end()
			}
			return
		case <-t.wake:
			t.reconcile(ctx, &all, running, ending)
		}
	}
}

func (t *Tracker) reconcile(ctx context.Context, all *sync.WaitGroup, running map[string]runner, ending map[string]chan struct{}) {
	t.mu.Lock()
	wanted, order, secure := t.wanted, t.order, t.secure
	t.mu.Unlock()
	for name, r := range running {
		if s, ok := wanted[name]; !ok || r.secure != secure || !same(s, r.script) {
			r.end()
			ending[name] = r.gone
			delete(running, name)
		}
	}
	started := time.Duration(0)
	for _, name := range order {
		s, runs := wanted[name]
		if _, ok := running[name]; ok || !runs {
			continue
		}
		life, end := context.WithCancel(ctx)
		r := runner{s, secure, end, make(chan struct{})}
		running[name] = r
		before, delay := ending[name], min(started*firstStep, firstSpread)
		delete(ending, name)
		started++
		all.Go(func() {
			defer close(r.gone)
			defer end()
			if before != nil {
				<-before // a script never runs twice at a time
			}
			t.watch(life, s, secure, delay)
		})
	}
}

func same(a, b vrrp.Script) bool {
	a.Pos = b.Pos
	return reflect.DeepEqual(a, b)
}

func intervalOf(s vrrp.Script) time.Duration {
	if s.Interval <= 0 {
		return time.Second
	}
	return s.Interval
}

func runSpec(s vrrp.Script, secure bool) script.Spec {
	spec := script.Spec{Argv: s.Command, Shell: s.Shell, Timeout: s.Timeout, User: s.User, Secure: secure}
	if spec.Shell != "" {
		spec.Argv = nil
	}
	if spec.Timeout <= 0 {
		spec.Timeout = intervalOf(s)
	}
	return spec
}

// watch starts the script every interval, the first time after delay. The second start comes after between half an interval
// and a whole one, so that scripts which were begun together spread. A run that takes longer than its interval costs the
// starts it sat out.
func (t *Tracker) watch(ctx context.Context, s vrrp.Script, secure bool, delay time.Duration) {
	interval, spec := intervalOf(s), runSpec(s, secure)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if next.IsZero() {
			next = time.Now().Add(interval/2 + time.Duration(t.o.Jitter()*float64(interval/2)))
		} else {
			next = next.Add(interval)
		}
		begun := time.Now()
		result := t.o.Run(ctx, spec)
		if ctx.Err() != nil {
			return
		}
		skipped := uint64(0)
		if late := time.Since(next); late > 0 {
			n := late/interval + 1
			next = next.Add(n * interval)
			if time.Since(begun) >= interval { // not the short first period
				skipped = uint64(n)
			}
		}
		t.result(s, result, skipped)
		timer.Reset(time.Until(next))
	}
}

// result takes one run into account. A script that goes on sitting out its starts is said once, until it is in time again.
func (t *Tracker) result(s vrrp.Script, r script.Result, skipped uint64) {
	t.mu.Lock()
	old, wanted := t.states[s.Name]
	now := old.next(s, r.OK(), r.String())
	now.Skipped = old.Skipped + skipped
	now.late = skipped > 0
	if wanted {
		t.states[s.Name] = now
	}
	t.mu.Unlock()
	if !wanted {
		return
	}
	if now.late && !old.late {
		t.o.Logger.Warn("script still ran when its next start was due; such starts are skipped", "script", s.Name,
			"interval", s.Interval, "took", r.Duration.Round(time.Millisecond), "result", r.String())
	}
	if !old.Known || old.Up != now.Up {
		if now.Up {
			t.o.Logger.Info("VRRP_Script(" + s.Name + ") succeeded")
		} else {
			t.o.Logger.Info(fmt.Sprintf("VRRP_Script(%s) failed (%s)", s.Name, r), "output", lastLine(r.Output))
		}
	} else if code := r.ExitCode; code >= 0 && old.runs == 0 && now.runs > 0 {
		t.o.Logger.Info(fmt.Sprintf("Script `%s` now returning %d", s.Name, code))
	}
	if old.Known != now.Known || old.Up != now.Up || old.Note != now.Note {
		t.o.Changed()
	}
}

const lineBound = 200

// lastLine is the end of what a script wrote, for a log.
func lastLine(out []byte) string {
	end := len(out)
	for end > 0 && (out[end-1] == '\n' || out[end-1] == '\r') {
		end--
	}
	begin := end
	for begin > 0 && out[begin-1] != '\n' && end-begin < lineBound {
		begin--
	}
	return string(out[begin:end])
}
