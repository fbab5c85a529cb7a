package engine

import (
	"fmt"
	"time"

	"github.com/reeve-lb/reeve/proxy/accesslog"
	"github.com/reeve-lb/reeve/proxy/stats"
)

// SetHealth tells the outcome of a check of a server; unknown names are ignored. A server is up until told otherwise.
// Requests that waited for a server that went down alone go to another; one that came up serves who waits. Servers that
// track this one follow.
func (e *Engine) SetHealth(backend, server string, up bool, r stats.CheckResult) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.find(backend, server)
	if s == nil {
		return
	}
	now := time.Now()
	e.heard(s, up, r, nil, now)
	for _, o := range s.followers {
		e.heard(o, up, r, s, now)
	}
}

// find is a server by its names, nil if there is none; mu is held.
func (e *Engine) find(backend, server string) *server {
	if b := e.backs[backend]; b != nil {
		return e.servers[b][server]
	}
	return nil
}

func (e *Engine) heard(s *server, up bool, r stats.CheckResult, via *server, now time.Time) {
	s.check, s.checked = r, true
	if r.Failed && s.up.Load() {
		s.fails++
	}
	if s.up.Load() == up {
		if !s.started.IsZero() {
			e.grow(s, now)
		}
		return
	}
	s.up.Store(up)
	if up {
		s.downtime += now.Sub(s.changed)
		s.signs.row.Store(0)
	} else {
		s.downs++
	}
	s.changed, s.started = now, time.Time{}
	if s.maint.Load() { // down already for everybody else
		return
	}
	if up {
		s.slowStart(now)
		e.nudge()
	}
	e.turned(s, up, now, func(requeued int, c *chooser) { e.tellHealth(s.backend, s, up, requeued, c, via) })
}

// turned lets the loops know that a server may be asked from now on, or may no more; tell says so to people.
func (e *Engine) turned(s *server, up bool, now time.Time, tell func(requeued int, c *chooser)) {
	b := s.backend
	had, next := e.rechoose(b)
	requeued := 0
	if up {
		s.touch()
		b.queue.serve(nil)
	} else {
		requeued = e.retire(s)
	}
	tell(requeued, next)
	e.backendTurned(b, had, next, now)
	e.shutdownBy(s, up)
}

// retire closes what idles at a server that is not to be asked any more, and has those who wait for it alone choose
// another. They are counted.
func (e *Engine) retire(s *server) (requeued int) {
	e.each(func(l *loop) { l.purge(s) })
	return s.backend.queue.evict(s)
}

// rechoose makes the chooser of a backend anew.
func (e *Engine) rechoose(b *backend) (had, next *chooser) {
	conf := b.conf.Load()
	had, next = conf.chooser.Load(), newChooser(conf, len(e.loops))
	conf.chooser.Store(next)
	return had, next
}

// shutdownBy is on-marked-down shutdown-sessions and on-marked-up shutdown-backup-sessions.
func (e *Engine) shutdownBy(s *server, up bool) {
	conf := s.backend.conf.Load()
	sc := conf.byServer(s)
	switch {
	case sc == nil:
	case !up && sc.shutdownSessions:
		e.each(func(l *loop) { l.shutdownSessions(func(o *serverConf) bool { return o.rt == s }, 'D') })
	case up && sc.shutdownBackups && !sc.backup:
		e.each(func(l *loop) {
			l.shutdownSessions(func(o *serverConf) bool { return o.backup && o.rt.backend == s.backend }, 'U')
		})
	}
}

// shutdownSessions ends the sessions that are with certain servers; flag is the first of their termination flags.
func (l *loop) shutdownSessions(with func(*serverConf) bool, flag byte) {
	for s := l.live; s != nil; {
		next := s.next
		if t := s.t; t != nil && t.sc != nil && s.server != nil && with(t.sc) {
			s.mark(flag, s.letter())
			if t.bc.http && s.phase != phaseTunnel {
				s.fail(502)
			} else {
				s.settle()
				s.log()
				s.end()
			}
			s.run()
		}
		s = next
	}
}

// tellHealth writes the line that log filters look for.
func (e *Engine) tellHealth(b *backend, s *server, up bool, requeued int, c *chooser, via *server) {
	word, level := "DOWN", accesslog.Alert
	if up {
		word, level = "UP", accesslog.Notice
	}
	r := s.check
	line := fmt.Appendf(nil, "Server %s/%s is %s", b.name, s.name, word)
	if via != nil {
		line = fmt.Appendf(line, " via %s/%s", via.backend.name, via.name)
	} else {
		line = fmt.Appendf(line, ", reason: %s", r.Text())
		if r.Code > 0 {
			line = fmt.Appendf(line, ", code: %d", r.Code)
		}
		if r.Info != "" {
			line = fmt.Appendf(line, ", info: %q", r.Info)
		}
		line = fmt.Appendf(line, ", check duration: %dms", r.Duration.Milliseconds())
	}
	e.tell(b, level, countLeft(line, b, s, up, requeued, c))
	e.log.Info("server health changed", "backend", b.name, "server", s.name, "up", up, "reason", r.Text(), "info", r.Info)
}

// countLeft ends a line about a server with who is left.
func countLeft(line []byte, b *backend, s *server, up bool, requeued int, c *chooser) []byte {
	line = fmt.Appendf(line, ". %d active and %d backup servers %s.", c.active, c.backups, map[bool]string{true: "online", false: "left"}[up])
	if c.active == 0 && c.backups > 0 {
		line = append(line, " Running on backup."...)
	}
	if up {
		return fmt.Appendf(line, " %d sessions requeued, %d total in queue.", requeued, b.queue.size.Load())
	}
	return fmt.Appendf(line, " %d sessions active, %d requeued, %d remaining in queue.", s.conn.cur.Load(), requeued, b.queue.size.Load())
}

// backendTurned notes that a backend lost its last server or has one again.
func (e *Engine) backendTurned(b *backend, had, next *chooser, now time.Time) {
	lost := next.active+next.backups == 0
	if lost == (had.active+had.backups == 0) {
		return
	}
	b.down = lost
	if lost {
		b.downCount++
		e.tell(b, accesslog.Emerg, fmt.Appendf(nil, "backend '%s' has no server available!", b.name))
		e.log.Warn("backend has no server available", "backend", b.name)
	} else {
		b.downtime += now.Sub(b.changed)
	}
	b.changed = now
}

func (e *Engine) tell(b *backend, level accesslog.Level, line []byte) {
	if sink := e.writer.Sink(b.conf.Load().src.Log); sink != nil {
		e.writer.Put(sink, level, line)
	}
}
