package speaker

import (
	"net/netip"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// Bounds of what packets can make us log.
const (
	againAfter  = time.Hour // one and the same complaint
	perMinute   = 10        // lines of one instance
	complaints  = 64        // remembered
	limitWindow = time.Minute
)

type complaint struct {
	what   string
	source netip.Addr
}

// limiter lets a complaint about a peer through once, and few of all kinds together. The zero value is ready.
type limiter struct {
	told   map[complaint]boottime.Time
	window boottime.Time
	lines  int
}

func (l *limiter) allow(what string, source netip.Addr, now boottime.Time) bool {
	c := complaint{what, source}
	if at, ok := l.told[c]; ok && now.Sub(at) < againAfter {
		return false
	}
	if now.Sub(l.window) >= limitWindow || l.window.IsZero() {
		l.window, l.lines = now, 0
	}
	if l.lines >= perMinute {
		return false
	}
	l.lines++
	if l.told == nil || len(l.told) >= complaints {
		l.told = map[complaint]boottime.Time{}
	}
	l.told[c] = now
	return true
}
