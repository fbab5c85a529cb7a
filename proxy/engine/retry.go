package engine

import (
	"slices"
	"strconv"

	"github.com/reeve-lb/reeve/proxy"
)

// What is tried again after a request has gone out (`retry-on`), and clients that do not wait for it (`option
// abortonclose`).

// cause is a failure that `retry-on` may name.
type cause uint8

const (
	onConnect cause = 1 << iota
	onEmpty
	onJunk
	onTimeout
)

// retryOn is what a backend tries again. No early data is sent to servers, so none is rejected.
type retryOn struct {
	causes   cause
	statuses []int
}

func compileRetry(b *proxy.Backend) retryOn {
	if b.RetryOn == nil || b.Mode != proxy.HTTP {
		return retryOn{causes: onConnect}
	}
	var r retryOn
	for _, w := range b.RetryOn {
		switch w {
		case "conn-failure":
			r.causes |= onConnect
		case "empty-response":
			r.causes |= onEmpty
		case "junk-response":
			r.causes |= onJunk
		case "response-timeout":
			r.causes |= onTimeout
		case "all-retryable-errors":
			r.causes |= onConnect | onEmpty | onJunk | onTimeout
			r.statuses = append(r.statuses, 500, 502, 503, 504)
		default:
			if n, err := strconv.Atoi(w); err == nil {
				r.statuses = append(r.statuses, n)
			}
		}
	}
	return r
}

// retriesAnswers: the request is kept until its answer is known to be good, and it is here in full to be kept.
func (s *session) retriesAnswers() bool {
	t := s.t
	return (t.bc.retry.causes&^onConnect != 0 || t.bc.retry.statuses != nil) && t.whole && !t.noRetry && !t.head.Upgrade && t.retries < t.bc.retries
}

// again sends the request once more if its failure is a cause for it. Of failures that are made good in this way `observe` hears
// of junk alone, as from HAProxy: what a server declines, leaves unanswered or answers with a status of retry-on is no bad sign
// unless it is the end of the request.
func (s *session) again(c cause) bool {
	sc := s.t.sc
	if s.t.bc.retry.causes&c == 0 || !s.retried() {
		return false
	}
	if c == onJunk {
		s.signOf(sc, proxy.Layer7, true)
	}
	return true
}

// againFor is the same for a status.
func (s *session) againFor(status int) bool {
	return slices.Contains(s.t.bc.retry.statuses, status) && s.retried()
}

// declined: a server of HTTP/2 has said that it has not looked at the request (RFC 9113 section 8.7).
func (s *session) declined() bool { return s.server.stream != nil && s.server.stream.refused }

func (s *session) retried() bool {
	t := s.t
	if !t.held || t.started || t.retries >= t.bc.retries {
		return false
	}
	s.failed()
	elsewhere, _ := s.retry()
	s.unsend()
	t.fresh = !elsewhere
	s.enter(phaseChoose)
	return true
}

// unsend makes the request as it was before it was sent.
func (s *session) unsend() {
	t := s.t
	s.dropServer()
	t.fresh, t.sent, t.stuck, t.held, t.serverKeep, t.private, t.answerAt = true, false, false, false, false, false, -1
	t.req = newBody(t.req.kind, t.head.ContentLength)
}

// gaveUp: the client has closed its side while its request waits. Without abortonclose it may still read the answer.
func (s *session) gaveUp() bool {
	if !s.http || !s.t.bc.abort {
		return false
	}
	s.l.arm(&s.client)
	return s.client.hup
}

// abandon ends the request of a client that gave up.
func (s *session) abandon() verdict {
	t := s.t
	s.mark('C', s.letter())
	s.fe.per[s.l.id].cliAbrt++
	t.bc.rt.per[s.l.id].cliAbrt++
	if s.phase != phaseExchange { // as HAProxy does, without an answer
		s.dropServer()
		s.settle()
		s.log()
		return s.end()
	}
	t.sc.rt.per[s.l.id].cliAbrt++
	t.closing = true
	return s.fail(400)
}
