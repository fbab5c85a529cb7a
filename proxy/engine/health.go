package engine

import (
	"fmt"
	"time"

	"github.com/reeve-lb/reeve/proxy/accesslog"
	"github.com/reeve-lb/reeve/proxy/stats"
)

// SetHealth tells the outcome of a check of a server; unknown names are ignored. A server is up until told otherwise.
// Requests that waited for a server that went down alone go to another; one that came up serves who waits.
func (e *Engine) SetHealth(backend, server string, up bool, r stats.CheckResult) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.backs[backend]
	if b == nil {
		return
	}
	s := e.servers[b][server]
	if s == nil {
		return
	}
	s.check, s.checked = r, true
	if r.Failed && s.up.Load() {
		s.fails++
	}
	if s.up.Load() == up {
		return
	}
	now := time.Now()
	s.up.Store(up)
	if up {
		s.downtime += now.Sub(s.changed)
	} else {
		s.downs++
	}
	s.changed = now
	conf := b.conf.Load()
	had := conf.chooser.Load()
	next := newChooser(conf, len(e.loops))
	conf.chooser.Store(next)
	requeued := 0
	if up {
		b.queue.serve(nil)
	} else {
		e.each(func(l *loop) { l.purge(s) })
		requeued = b.queue.evict(s)
	}
	e.tellHealth(b, s, up, requeued, next)
	e.backendTurned(b, had, next, now)
}

// tellHealth writes the line that log filters look for.
func (e *Engine) tellHealth(b *backend, s *server, up bool, requeued int, c *chooser) {
	word, level := "DOWN", accesslog.Alert
	if up {
		word, level = "UP", accesslog.Notice
	}
	r := s.check
	line := fmt.Appendf(nil, "Server %s/%s is %s, reason: %s", b.name, s.name, word, r.Text())
	if r.Code > 0 {
		line = fmt.Appendf(line, ", code: %d", r.Code)
	}
	if r.Info != "" {
		line = fmt.Appendf(line, ", info: %q", r.Info)
	}
	line = fmt.Appendf(line, ", check duration: %dms. %d active and %d backup servers %s.", r.Duration.Milliseconds(), c.active, c.backups,
		map[bool]string{true: "online", false: "left"}[up])
	if c.active == 0 && c.backups > 0 {
		line = append(line, " Running on backup."...)
	}
	if up {
		line = fmt.Appendf(line, " %d sessions requeued, %d total in queue.", requeued, b.queue.size.Load())
	} else {
		line = fmt.Appendf(line, " %d sessions active, %d requeued, %d remaining in queue.", s.conn.cur.Load(), requeued, b.queue.size.Load())
	}
	e.tell(b, level, line)
	e.log.Info("server health changed", "backend", b.name, "server", s.name, "up", up, "reason", r.Text(), "info", r.Info)
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
