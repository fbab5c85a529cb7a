package engine

import "github.com/reeve-lb/reeve/proxy/rule"

// takeCaptures makes room for what the frontend notes of a transaction, if it does.
func (s *session) takeCaptures() {
	l, c := s.l, s.t.fc.rules.set.Captures
	if c.None() {
		return
	}
	if n := len(l.captures); n > 0 {
		s.t.captures, l.captures = l.captures[n-1], l.captures[:n-1]
	} else {
		s.t.captures = &rule.Captures{}
	}
	c.Begin(s.t.captures)
}

func (l *loop) freeCaptures(c **rule.Captures) {
	if *c != nil {
		l.captures = append(l.captures, *c)
		*c = nil
	}
}

// captureRequest notes the headers of the request as they came.
func (s *session) captureRequest() {
	if t := s.t; t.captures != nil {
		t.asked.Head, t.asked.In = &t.head, s.client.in.data()
		t.fc.rules.set.Captures.Request(&t.asked, t.captures)
	}
}
