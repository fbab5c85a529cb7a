package demo

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/measure"
)

// session is a client address and the server it was given.
type session struct {
	source netip.Addr
	server string
	begun  time.Time
	late   bool   // the cluster had not agreed on it before the fault
	moved  string // how, "" if it did not
}

// beginSessions lets more client addresses ask for the first time, one after another.
func (s *stage) beginSessions(ctx context.Context, more int, every time.Duration) error {
	for range more {
		source := address(1, 1+len(s.sessions))
		a := measure.Ask(s.client, source, s.lost.target(), "/", time.Second)
		if !a.OK() {
			return fmt.Errorf("session from %s: no answer (status %d): %w", source, a.Status, a.Err)
		}
		s.mu.Lock()
		s.sessions = append(s.sessions, session{source: source, server: a.Body, begun: a.Done})
		s.mu.Unlock()
		if len(s.sessions) < sessionCount {
			if err := pause(ctx, every); err != nil {
				return err
			}
		}
	}
	return nil
}

// settled looks, right before the fault, which sessions the cluster has agreed on. It asks a node that will live.
func (s *stage) settled(ctx context.Context) error {
	witness := s.nodes[0]
	for _, n := range s.nodes {
		if n.Name != s.victim.Name && (witness.Name == s.victim.Name || n.Name == s.leader) {
			witness = n
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	tied, err := s.agents.Tied(ctx, witness, backendName)
	if err != nil {
		return fmt.Errorf("sessions that %s knows: %w", witness.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.SessionsLate = 0
	for i := range s.sessions {
		g := &s.sessions[i]
		if g.late = !slices.Contains(tied, g.source.String()); g.late {
			s.report.SessionsLate++
		}
	}
	if s.report.SessionsLate > 0 {
		s.say("%d of them are so young that the cluster has not agreed on their server yet: nobody vouches for those", s.report.SessionsLate)
	}
	return nil
}

// answerLimit is how long a client asks before it gives its session up.
const answerLimit = failoverLimit

// guestsAgain asks from every client address again: the server must be the one it had. No answer at all is a lost session too.
func (s *stage) guestsAgain(ctx context.Context) error {
	var asking sync.WaitGroup
	slots := make(chan struct{}, 5)
	for i := range s.sessions {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			server := ""
			for end := time.Now().Add(answerLimit); server == "" && time.Now().Before(end) && ctx.Err() == nil; {
				if a := measure.Ask(s.client, s.sessions[i].source, s.lost.target(), "/", time.Second); a.OK() {
					server = a.Body
				}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if g := &s.sessions[i]; server != g.server && g.moved == "" {
				g.moved = s.howMoved(*g, server)
			}
		})
	}
	asking.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.SessionsMoved, s.report.LateMoved, s.report.Moved = 0, 0, nil
	for _, g := range s.sessions {
		if g.moved == "" {
			continue
		}
		s.report.SessionsMoved++
		if g.late {
			s.report.LateMoved++
		}
		s.report.Moved = append(s.report.Moved, g.moved)
	}
	s.say("sessions asked again: %d of %d are on the server they had", len(s.sessions)-s.report.SessionsMoved, len(s.sessions))
	for _, m := range s.report.Moved {
		s.say("%s", m)
	}
	return ctx.Err()
}

// howMoved tells what became of a session that is not with its server.
func (s *stage) howMoved(g session, now string) string {
	if now == "" {
		now = "nobody: no answer in " + answerLimit.String()
	}
	known := "agreed on by the cluster"
	if g.late {
		known = "not agreed on yet"
	}
	return fmt.Sprintf("%s was with %s and is with %s; begun %.0f ms before the fault and %s", g.source, g.server, now, ms(s.faultAt.Sub(g.begun)), known)
}
