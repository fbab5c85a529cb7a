package mux

import (
	"sync"
	"time"
)

// Limiter lets one message per key through in a period and counts what it held back, so that strangers can't fill the
// log. It remembers a bounded number of keys. Safe for concurrent use.
type Limiter struct {
	every time.Duration
	max   int

	mu   sync.Mutex
	seen map[string]*muted
}

type muted struct {
	until time.Time
	held  int
}

// NewLimiter lets one message per key through in each period and remembers max keys.
func NewLimiter(every time.Duration, max int) *Limiter {
	return &Limiter{every: every, max: max, seen: map[string]*muted{}}
}

// Allow reports whether to speak about key now, and how many times it was silent about it since it last spoke.
func (l *Limiter) Allow(key string, now time.Time) (ok bool, held int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.seen[key]
	if m == nil {
		if len(l.seen) >= l.max && !l.forget(now) {
			return false, 0
		}
		l.seen[key] = &muted{until: now.Add(l.every)}
		return true, 0
	}
	if now.Before(m.until) {
		m.held++
		return false, 0
	}
	held, m.held, m.until = m.held, 0, now.Add(l.every)
	return true, held
}

// forget drops the keys whose period is over; false if there was none.
func (l *Limiter) forget(now time.Time) bool {
	n := len(l.seen)
	for k, m := range l.seen {
		if !now.Before(m.until) {
			delete(l.seen, k)
		}
	}
	return len(l.seen) < n
}
