package demo

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/measure"
)

// session is a client address and the server it was given.
type session struct {
	source netip.Addr
	server string
	moved  bool
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
		s.sessions = append(s.sessions, session{source: source, server: a.Body})
		s.mu.Unlock()
		if len(s.sessions) < sessionCount {
			if err := pause(ctx, every); err != nil {
				return err
			}
		}
	}
	return nil
}

// guestsAgain asks from every client address again: the server must be the one it had. No answer within two seconds is a
// lost session too.
func (s *stage) guestsAgain(ctx context.Context) error {
	var asking sync.WaitGroup
	slots := make(chan struct{}, 5)
	for i := range s.sessions {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			server := ""
			for end := time.Now().Add(2 * time.Second); server == "" && time.Now().Before(end) && ctx.Err() == nil; {
				if a := measure.Ask(s.client, s.sessions[i].source, s.lost.target(), "/", time.Second); a.OK() {
					server = a.Body
				}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if server != s.sessions[i].server {
				s.sessions[i].moved = true
			}
		})
	}
	asking.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.SessionsMoved = 0
	for _, g := range s.sessions {
		if g.moved {
			s.report.SessionsMoved++
		}
	}
	s.say("sessions asked again: %d of %d are on the server they had", len(s.sessions)-s.report.SessionsMoved, len(s.sessions))
	return ctx.Err()
}
