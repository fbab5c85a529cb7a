package engine

import (
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/rule"
	"github.com/reeve-lb/reeve/proxy/tally"
)

// What rules decide about a request, from its head to the choice of a server. It may have to wait on the way.

// ruleStep is one of those by which rules decide about a request, in HAProxy's order. In each what may wait for a password
// comes before what is done once.
type ruleStep uint8

const (
	stepContent ruleStep = iota
	stepMonitor
	stepRequest
	stepRedirects
	stepRoute
	stepBackContent
	stepBackRequest
	stepBackRedirects
	stepServer
	ruleSteps
)

// rules asks the frontend's rules, finds the backend, and asks that one's; each may answer in a server's place.
func (s *session) rules() verdict {
	t, fc := s.t, s.t.fc
	for ; t.step < ruleSteps; t.step++ {
		if v, done := s.decide(t.step); done {
			return v
		}
	}
	if t.bc.mode == proxy.Close || fc.mode == proxy.Close {
		t.closing = true
	}
	s.wish()
	if t.cached() {
		return s.serveHit()
	}
	return s.buffer()
}

// decide takes one step; done is false when the request goes on.
func (s *session) decide(at ruleStep) (v verdict, done bool) {
	t, fc := s.t, s.t.fc
	switch at {
	case stepContent:
		if t.captures == nil {
			s.takeCaptures()
		}
		if v, done = s.ask(fc.rules.set.Content); !done {
			s.tally(tally.Req, 1)
		}
	case stepMonitor:
		return s.askMonitor()
	case stepRequest:
		return s.askRequest(fc.rules.set, fc.stats)
	case stepRedirects:
		return s.ask(fc.rules.set.Redirects)
	case stepRoute:
		return s.toBack()
	case stepBackContent: // a listen's rules are its frontend's
		return s.ask(t.bc.rules.set.Content)
	case stepBackRequest:
		return s.askRequest(t.bc.rules.set, t.bc.stats)
	case stepBackRedirects:
		return s.ask(t.bc.rules.set.Redirects)
	case stepServer: // what chooses it asks later
		return s.knowUser(t.bc.rules.users)
	}
	return v, done
}

// askMonitor answers a request for monitor-uri.
func (s *session) askMonitor() (v verdict, done bool) {
	if r := &s.t.fc.rules; r.monitor != "" && s.monitored() {
		if v, done = s.knowUser(r.users); done {
			return v, true
		}
		return s.monitor(), true
	}
	s.captureRequest()
	return proceed, false
}

// askRequest asks the http-request rules of one side, and then shows the statistics page if it is asked for.
func (s *session) askRequest(set *rule.Set, page *proxy.Stats) (v verdict, done bool) {
	if v, done = s.ask(set.Request); done {
		return v, true
	}
	if page != nil && s.statsPath(page) {
		return s.statsPage(page), true
	}
	return proceed, false
}

// toBack finds the backend.
func (s *session) toBack() (v verdict, done bool) {
	t := s.t
	if v, done = s.knowUser(t.fc.rules.users); done {
		return v, true
	}
	if t.bc = s.route(); t.bc == nil {
		s.mark('S', 'C')
		return s.answerError(503), true
	}
	ctr := t.bc.rt.per[s.l.id]
	ctr.sessions++
	ctr.requests++
	ctr.rate.add(s.l.now)
	ctr.last = s.l.now
	t.bc.rt.conn.add()
	return proceed, false
}
