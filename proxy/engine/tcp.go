package engine

// The story of a TCP connection: it comes, a server is chosen and connected (connect.go), bytes go both ways, each side
// may close its half, one line is logged. Upgraded HTTP connections join it at the tunnel.

// tcpBegin starts the only transaction of a TCP connection.
func (s *session) tcpBegin(fc *frontConf) {
	room := s.l.roomForRequest()
	s.t = s.l.newTxn()
	t := s.t
	t.fc = fc
	if !room {
		s.mark('R', 'C')
		s.l.noRoom("connection")
		s.enter(phaseLinger)
		s.log()
		if s.udp != nil { // nothing to close
			s.end()
		}
		return
	}
	s.tcpRules()
}

// enterTunnel makes both directions plain streams until each has ended.
func (s *session) enterTunnel() verdict {
	t := s.t
	t.req, t.res = newBody(byClose, 0), newBody(byClose, 0)
	t.started, t.sent, t.serverKeep, t.closing = true, true, false, true
	return s.enter(phaseTunnel)
}

// tunnel moves what there is in both directions.
func (s *session) tunnel() verdict {
	s.clientDue, s.serverDue = 0, 0
	up := s.stream(&s.client, s.server, &s.t.req, countUp)
	down := s.stream(s.server, &s.client, &s.t.res, countDown)
	switch {
	case up == flowSource, down == flowDest:
		return s.tunnelEnd('C')
	case down == flowSource, up == flowDest:
		return s.tunnelEnd('S')
	case up == flowDone && down == flowDone:
		return s.tunnelEnd('-')
	}
	s.tunnelDeadlines(up, down)
	return wait
}

// stream is one direction; flowDone after its end was passed on as a half close.
func (s *session) stream(src, dst *conn, b *body, count func(*session, int)) flow {
	if b.done && dst.shut {
		return flowDone
	}
	f := s.pump(src, dst, b, count)
	if f == flowEnd {
		b.done = true
		f = flowDone
	}
	if f == flowDone && !dst.shut {
		s.l.shutWrite(dst)
	}
	return f
}

// tunnelDeadlines: `timeout tunnel` covers both sides once it is set. A side that was told of the other's end has a timeout
// of its own for what it still sends.
func (s *session) tunnelDeadlines(up, down flow) {
	t := s.t
	client, server := t.fc.times.client, t.bc.times.server
	if t.bc.times.tunnel != 0 {
		client, server = t.bc.times.tunnel, t.bc.times.tunnel
	}
	if f := t.fc.times.clientFin; f != 0 && down == flowDone {
		client = f
	}
	if f := t.bc.times.serverFin; f != 0 && up == flowDone {
		server = f
	}
	last := max(s.clientAt, s.serverAt)
	if t.bc.times.tunnel != 0 {
		s.clientDue, s.serverDue = since(last, client), since(last, server)
		return
	}
	if up == flowRead || down == flowWrite {
		s.clientDue = since(s.clientAt, client)
	}
	if down == flowRead || up == flowWrite {
		s.serverDue = since(s.serverAt, server)
	}
}

func (s *session) tunnelTimeout() {
	if s.serverDue != 0 && s.serverDue <= s.l.seen && (s.clientDue == 0 || s.clientDue > s.serverDue) {
		s.tunnelEnd('s')
		return
	}
	s.tunnelEnd('c')
}

func (s *session) tunnelEnd(who byte) verdict {
	if who != '-' {
		s.mark(who, 'D')
	}
	switch who {
	case 'C':
		s.fe.per[s.l.id].cliAbrt++
		s.t.bc.rt.per[s.l.id].cliAbrt++
	case 'S':
		s.t.bc.rt.per[s.l.id].srvAbrt++
		s.t.sc.rt.per[s.l.id].srvAbrt++
	}
	s.settle()
	s.t.null = s.t.bytes == 0 && !s.t.spoke
	s.log()
	return s.end()
}
