package engine

import (
	"cmp"
	"sync/atomic"
	"time"

	"github.com/reeve-lb/reeve/proxy"
)

// What requests tell of a server's health: `observe` with its error-limit, and nginx's max_fails. The loops only count;
// what follows from a count that is full is Engine.tend's.

// watch is what of a server's traffic counts.
type watch struct {
	observe     proxy.Observe
	limit       int32
	maxFails    int32
	failTimeout int64 // ns
}

// signs are a server's bad ones.
type signs struct {
	row    atomic.Int32 // in a row
	fails  atomic.Int32 // since window
	window atomic.Int64 // ns since the engine's base
}

// sign is a server whose count is full.
type sign struct {
	server *server
	block  bool // max_fails, otherwise error-limit
}

const (
	defaultErrorLimit  = 10
	defaultFailTimeout = 10 * time.Second
)

func compileWatch(s *proxy.Server) *watch {
	if s.Observe == proxy.NoObserve && s.MaxFails == 0 {
		return nil
	}
	return &watch{observe: s.Observe, limit: int32(cmp.Or(s.ErrorLimit, defaultErrorLimit)), maxFails: int32(s.MaxFails),
		failTimeout: int64(cmp.Or(s.FailTimeout, defaultFailTimeout))}
}

// sign counts a good or bad sign of the chosen server. Failing to connect is a bad one on either layer.
func (s *session) sign(layer proxy.Observe, bad bool) { s.signOf(s.t.sc, layer, bad) }

// signOf does so of a server that was the chosen one.
func (s *session) signOf(sc *serverConf, layer proxy.Observe, bad bool) {
	if sc.watch == nil {
		return
	}
	w, n := sc.watch, &sc.rt.signs
	switch {
	case w.observe != layer && !(bad && layer == proxy.Layer4 && w.observe == proxy.Layer7):
	case bad && n.row.Add(1) >= w.limit:
		n.row.Store(0)
		s.l.e.raise(sign{server: sc.rt})
	case !bad && n.row.Load() != 0:
		n.row.Store(0)
	}
}

// failed counts what nginx calls an unsuccessful attempt: no connection, or no good answer on it.
func (s *session) failed() {
	sc := s.t.sc
	if sc.watch == nil || sc.watch.maxFails == 0 {
		return
	}
	n := &sc.rt.signs
	if s.l.now-n.window.Load() > sc.watch.failTimeout {
		n.window.Store(s.l.now)
		n.fails.Store(0)
	}
	if n.fails.Add(1) == sc.watch.maxFails {
		s.l.e.raise(sign{server: sc.rt, block: true})
	}
}

// judge sees by its end how a request went: the termination flags tell.
func (s *session) judge() {
	t := s.t
	t.timed(s.l.now)
	if t.sc == nil || t.sc.watch == nil {
		return
	}
	switch {
	case t.flags[1] == 'H' && (t.flags[0] == 'S' || t.flags[0] == 's' || t.flags[0] == 'P'):
		s.sign(proxy.Layer7, true)
		s.failed()
	case t.started && t.bc.http:
		s.sign(proxy.Layer7, t.status >= 500 && t.status != 501 && t.status != 505)
	}
}

// raise hands a sign to tend. When many come at once those that are too many are lost: the next requests bring others.
func (e *Engine) raise(n sign) {
	select {
	case e.signs <- n:
	default:
	}
}
