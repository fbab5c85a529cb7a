package engine

import (
	"cmp"
	"time"

	"github.com/reeve-lb/reeve/proxy/rule"
)

// Passwords that rules ask about. A hash of crypt(3) is slow on purpose, so it is computed on a goroutine, one at a time
// for all loops: whoever sends passwords to be checked takes no more than a core, and no loop's time. What came of it the
// loop remembers. A request waits meanwhile, and goes on at the rule that asked.

const (
	// maxChecks bounds the different passwords of a loop that wait to be checked, maxAskers the requests for one of them.
	maxChecks = 256
	maxAskers = 4096
	// passwordWait is how long a request waits where there is no timeout client.
	passwordWait = 10 * time.Second
)

// passwordCheck is one under way; asks are the requests that it keeps waiting.
type passwordCheck struct{ asks []passwordAsk }

type passwordAsk struct {
	s    *session
	life uint64
}

// awaitPassword has a question of the rules answered; the request goes on with rules then.
func (s *session) awaitPassword(q *rule.Question) verdict {
	l := s.l
	check := l.checks[q.ID]
	switch {
	case check == nil && len(l.checks) >= maxChecks, check != nil && len(check.asks) >= maxAskers:
		return s.unchecked()
	case check == nil:
		check = l.check(q)
	}
	check.asks = append(check.asks, passwordAsk{s, s.t.life})
	s.enter(phasePassword)
	s.due = s.after(cmp.Or(s.t.fc.times.client, int64(passwordWait)))
	return wait
}

// check begins to answer a question.
func (l *loop) check(q *rule.Question) *passwordCheck {
	if l.checks == nil {
		l.checks = map[rule.PasswordID]*passwordCheck{}
	}
	check := &passwordCheck{}
	l.checks[q.ID] = check
	e, over := l.e, l.over
	e.checks.Go(func() {
		select {
		case e.checking <- struct{}{}:
		case <-over:
			return
		}
		right := q.Answer()
		<-e.checking
		l.post(func() { l.checked(q.ID, right) }) // who waits on a loop that has ended has been told
	})
	return check
}

// checked lets those go on who waited for an answer.
func (l *loop) checked(id rule.PasswordID, right bool) {
	check := l.checks[id]
	delete(l.checks, id)
	l.rules.Learn(id, right)
	for _, a := range check.asks {
		if s := a.s; s.phase == phasePassword && s.t != nil && s.t.life == a.life {
			s.enter(phaseRules)
			s.run()
		}
	}
}

// unchecked answers a request whose password there is no time for.
func (s *session) unchecked() verdict {
	s.mark('R', 'R')
	return s.answerError(503)
}

// knowUser sees to it that userlists can tell who asks; done is false when the request goes on at once.
func (s *session) knowUser(lists rule.Userlists) (v verdict, done bool) {
	if lists == nil {
		return proceed, false
	}
	c := s.lookAtRequest()
	if lists.Settled(c) {
		return proceed, false
	}
	return s.awaitPassword(c.Question), true
}
