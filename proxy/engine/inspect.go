package engine

import "github.com/reeve-lb/reeve/proxy/rule"

// Looking at the first bytes of a TCP connection without taking them: `tcp-request content` rules and use_backend by what
// the client says first. What has been looked at goes to the server as it came.

// inspect asks the content rules of the frontend, and of the backend once it is known, until they have an answer or the
// inspect-delay is over.
func (s *session) inspect() verdict {
	t := s.t
	if s.client.in == nil || s.client.in.r == s.client.in.w {
		s.l.fill(&s.client, false)
	}
	for {
		c := s.look()
		c.Payload = s.firstBytes()
		set := t.fc.rules.set
		if t.bc != nil {
			set = t.bc.rules.set
		}
		full := s.client.in != nil && s.client.in.r == 0 && s.client.in.room() == 0
		limit := t.inspected + int64(set.InspectDelay)
		c.Final = full || s.client.eof || s.client.broken || limit <= s.l.now
		f, out := set.Content.Run(c)
		s.looked(c)
		switch {
		case out == rule.Waiting:
			if v, again := s.inspectMore(limit); !again {
				return v
			}
			continue
		case out == rule.Ended && f.Kind != rule.Allow:
			return s.turnAway(f)
		}
		if t.bc != nil {
			return s.persistence()
		}
		if v, done := s.toBackend(); done {
			return v
		}
		if t.bc.rules.set.Content == nil {
			return s.persistence()
		}
		t.inspected = s.l.now
	}
}

// inspectMore reads on; again is false when there is nothing to read yet.
func (s *session) inspectMore(limit int64) (v verdict, again bool) {
	_, r := s.l.fill(&s.client, false)
	if r == ioBlock && (s.client.in == nil || s.client.in.room() > 0) {
		s.due = limit
		return wait, false
	}
	return proceed, true
}

// turnAway ends a TCP connection that a rule does not let through.
func (s *session) turnAway(f *rule.Final) verdict {
	s.denied()
	s.mark('P', 'R')
	if f.Kind == rule.Drop {
		hush(s.client.fd)
	}
	s.settle()
	s.log()
	return s.end()
}

// tcpRules asks the content rules of a TCP connection before it goes to a server; bytes are waited for if they need some.
func (s *session) tcpRules() verdict {
	t := s.t
	s.takeCaptures()
	simple := len(t.fc.rules.use) == 0 && (t.fc.fallback == nil || t.fc.fallback.rules.set.Content == nil)
	if s.udp != nil || t.fc.rules.set.Content == nil && simple { // nothing depends on what the client says
		if v, done := s.toBackend(); done {
			return v
		}
		return s.persistence()
	}
	s.enter(phaseInspect)
	t.inspected = s.l.now
	return proceed
}

// toBackend chooses the backend of a TCP connection; done when there is none.
func (s *session) toBackend() (v verdict, done bool) {
	t := s.t
	if t.bc = s.route(); t.bc == nil {
		s.mark('S', 'C')
		s.enter(phaseLinger)
		s.log()
		return proceed, true
	}
	ctr := t.bc.rt.per[s.l.id]
	ctr.sessions++
	ctr.rate.add(s.l.now)
	ctr.last = s.l.now
	t.bc.rt.conn.add()
	return proceed, false
}

// serverSpoke asks the tcp-response rules once the server of a TCP connection is connected. false: it is cut.
func (s *session) serverSpoke() bool {
	t := s.t
	for _, set := range [...]*rule.Set{t.bc.rules.set, t.fc.rules.set} {
		if set.TCPResponse == nil {
			continue
		}
		c := s.look()
		f, out := set.TCPResponse.Run(c)
		s.looked(c)
		if out == rule.Ended && f.Kind == rule.Reject {
			s.fe.per[s.l.id].dresp++
			s.eachServerSide(func(c *counters) { c.dresp++ })
			s.cut('P', 'D')
			return false
		}
	}
	return true
}
