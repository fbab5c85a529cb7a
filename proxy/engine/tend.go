package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/proxy/accesslog"
	"github.com/reeve-lb/reeve/proxy/balance"
)

// What happens to servers with time, and what follows from what the loops have seen of them.

// tend grows slow starts, lets servers that failed be tried again, and acts on signs, until ctx ends.
func (e *Engine) tend(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-e.signs:
			e.acted(n, time.Now())
		case <-e.stir:
		case <-timer.C:
		}
		timer.Reset(e.advance(time.Now()))
	}
}

// nudge lets tend look what there is to do.
func (e *Engine) nudge() {
	select {
	case e.stir <- struct{}{}:
	default:
	}
}

// advance does what is due and tells how long there is nothing more.
func (e *Engine) advance(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := time.Hour
	for _, servers := range e.servers {
		for _, s := range servers {
			if !s.started.IsZero() {
				next = min(next, e.grow(s, now))
			}
			if s.blocked.Load() {
				next = min(next, e.retry(s, now))
			}
		}
	}
	return max(next, time.Millisecond)
}

// slowStart begins one, if the server has a slowstart. mu is held.
func (s *server) slowStart(now time.Time) {
	conf := s.backend.conf.Load()
	if sc := conf.byServer(s); sc != nil && sc.slow > 0 {
		s.started, s.slow = now, sc.slow
		s.grown(0)
	}
}

// grown sets weight and limit to what they are so many seconds into a slow start. It reports whether it goes on.
func (s *server) grown(seconds int64) bool {
	if s.started.IsZero() || seconds >= s.slow {
		s.started, s.step = time.Time{}, 0
		s.ramp.Store(0)
		return false
	}
	s.step = int((balance.WeightScale*seconds + s.slow) / s.slow)
	s.ramp.Store(max(1, 100*seconds/s.slow))
	return true
}

// grow takes a slow start to where it is now, in steps of a second or a twentieth, and tells when the next is due.
func (e *Engine) grow(s *server, now time.Time) time.Duration {
	every := max(time.Second, time.Duration(s.slow)*time.Second/20)
	gone := now.Sub(s.started)
	steps := gone / every
	goesOn := s.grown(int64(steps * every / time.Second))
	e.rechoose(s.backend)
	s.backend.queue.serve(nil)
	if !goesOn {
		return time.Hour
	}
	return (steps+1)*every - gone
}

// scaledWeight is the weight that counts at present. mu is held.
func (s *server) scaledWeight(b *backConf) int {
	if s.step > 0 && b.dynamic() {
		return s.weight * s.step
	}
	return s.weight * balance.WeightScale
}

// SetWeight changes the weight of a server at run time, 0 to 256; it stays until a configuration says another one. Where
// the algorithm can't have other weights at run time only 0 and the configured one are taken.
func (e *Engine) SetWeight(backend, server string, weight int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.find(backend, server)
	switch {
	case e.backs[backend] == nil:
		return fmt.Errorf("there is no backend %q", backend)
	case s == nil:
		return fmt.Errorf("backend %q has no server %q", backend, server)
	case weight < 0 || weight > balance.MaxWeight:
		return fmt.Errorf("weight %d is not from 0 to %d", weight, balance.MaxWeight)
	case weight != 0 && weight != s.written && !s.backend.conf.Load().dynamic():
		return fmt.Errorf("backend %q balances by a static map: a weight is 0 or the configured %d", backend, s.written)
	}
	if s.weight == weight {
		return nil
	}
	s.weight = weight
	s.touch()
	had, next := e.rechoose(s.backend)
	e.backendTurned(s.backend, had, next, time.Now())
	s.backend.queue.serve(nil)
	return nil
}

// acted does what follows from a full count of bad signs.
func (e *Engine) acted(n sign, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := n.server
	sc := s.backend.conf.Load().byServer(s)
	switch {
	case sc == nil || sc.watch == nil || !s.available():
	case !n.block:
		s.fails++
		if e.opts.Observed != nil {
			e.opts.Observed(s.backend.name, s.name, sc.onError)
		}
	default:
		e.block(s, sc, now)
	}
}

// block leaves a server alone for fail_timeout, unless there is no other.
func (e *Engine) block(s *server, sc *serverConf, now time.Time) {
	if c := s.backend.conf.Load().chooser.Load(); len(c.pool) == 1 && c.pool[0].rt == s {
		s.signs.fails.Store(0)
		return
	}
	s.blocked.Store(true)
	s.until = now.Add(time.Duration(sc.watch.failTimeout))
	e.turned(s, false, now, func(requeued int, c *chooser) {
		line := fmt.Appendf(nil, "Server %s/%s is left alone for %v after %d failures", s.backend.name, s.name, time.Duration(sc.watch.failTimeout), sc.watch.maxFails)
		e.tell(s.backend, accesslog.Alert, countLeft(line, s.backend, s, false, requeued, c))
		e.log.Warn("server failed too often", "backend", s.backend.name, "server", s.name, "max_fails", sc.watch.maxFails)
	})
}

// retry lets a server be asked again whose fail_timeout is over. Its first failure then is one too many already.
func (e *Engine) retry(s *server, now time.Time) time.Duration {
	if left := s.until.Sub(now); left > 0 {
		return left
	}
	s.blocked.Store(false)
	if sc := s.backend.conf.Load().byServer(s); sc != nil && sc.watch != nil {
		s.signs.fails.Store(max(sc.watch.maxFails-1, 0))
		s.signs.window.Store(int64(now.Sub(e.base)))
	}
	e.turned(s, true, now, func(requeued int, c *chooser) {
		line := fmt.Appendf(nil, "Server %s/%s is tried again", s.backend.name, s.name)
		e.tell(s.backend, accesslog.Notice, countLeft(line, s.backend, s, true, requeued, c))
	})
	return time.Hour
}

// link joins the servers that track another one; mu is held and every backend has its configuration.
func (e *Engine) link() {
	for _, servers := range e.servers {
		for _, s := range servers {
			s.followers = s.followers[:0]
		}
	}
	for b := range e.servers {
		changed := false
		for _, sc := range b.conf.Load().servers {
			if leader := e.leader(b, sc); leader != nil {
				leader.followers = append(leader.followers, sc.rt)
				changed = changed || sc.rt.up.Load() != leader.up.Load()
				sc.rt.up.Store(leader.up.Load())
			}
		}
		if changed {
			e.rechoose(b)
		}
	}
}

// leader is whose check tells a server's health: at the end of the line of those that track each other.
func (e *Engine) leader(b *backend, sc *serverConf) *server {
	var last *server
	for range 64 {
		if sc == nil || sc.track == "" {
			return last
		}
		backend, server, ok := strings.Cut(sc.track, "/")
		if !ok {
			backend, server = b.name, sc.track
		}
		if last = e.find(backend, server); last == nil {
			return nil
		}
		b = last.backend
		sc = b.conf.Load().byServer(last)
	}
	return nil // a circle
}
