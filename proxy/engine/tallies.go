package engine

import (
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/rule"
	"github.com/reeve-lb/reeve/proxy/tally"
)

// What stick-tables count, for this node: rules say who is tracked (rule.Tracks), and here is what happens to those.

// tallied is a proxy's table and what it was made for.
type tallied struct {
	config tally.Config
	table  *tally.Table
}

// applyTallies makes the tables that c asks for. One that stores the same keeps its entries; mu is held.
func (e *Engine) applyTallies(c proxy.Config) {
	old := e.tallies
	e.tallies = map[string]tallied{}
	add := func(name string, st *proxy.StickTable) {
		if st == nil {
			return
		}
		cfg, err := tally.Configured(st)
		if err != nil {
			return // said when it was read
		}
		t := old[name]
		if t.table == nil || !t.config.Same(cfg) {
			t.table = tally.New(cfg)
		} else {
			t.table.Resize(cfg)
		}
		t.config = cfg
		e.tallies[name] = t
	}
	for i := range c.Frontends {
		add(c.Frontends[i].Name, c.Frontends[i].StickTable)
	}
	for i := range c.Backends {
		add(c.Backends[i].Name, c.Backends[i].StickTable)
	}
}

// tallyOf is a proxy's table (rule.Options.Table).
func (e *Engine) tallyOf(name string) *tally.Table { return e.tallies[name].table }

func (l *loop) takeTracks() *rule.Tracks {
	if n := len(l.tracks); n > 0 {
		t := l.tracks[n-1]
		l.tracks = l.tracks[:n-1]
		return t
	}
	return &rule.Tracks{}
}

// freeTracks lets go of what is tracked.
func (l *loop) freeTracks(t **rule.Tracks) {
	if *t != nil {
		(*t).Release(l.wall)
		l.tracks = append(l.tracks, *t)
		*t = nil
	}
}

// tally counts events of what the connection and its transaction track.
func (s *session) tally(ev tally.Event, n uint64) {
	if t := s.keeper().tracks; t != nil {
		s.l.tally(t, ev, n)
	}
	if s.t != nil && s.t.tracks != nil {
		s.l.tally(s.t.tracks, ev, n)
	}
}

func (l *loop) tally(t *rule.Tracks, ev tally.Event, n uint64) {
	for i := range t {
		t[i].Add(ev, n, l.wall)
	}
}

// tallyStatus counts a server's answer.
func (s *session) tallyStatus(status int) {
	if status >= 400 {
		rule.CountStatus(status, func(ev tally.Event) { s.tally(ev, 1) })
	}
}
