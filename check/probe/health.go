package probe

import (
	"fmt"
	"time"

	"github.com/reeve-lb/reeve/check"
)

// Health counts a check's rise and fall: a pure core. It stands at 0 when fully down, at rise+fall-1 when fully up, and is
// up from rise on. A failure while up costs one, and falling below rise costs all; a success while down earns one, and
// reaching rise earns all. A new check stands at rise: up, but its first failure takes it down.
type Health struct {
	rise, fall, at int
}

// NewHealth is the health of a server nobody has asked yet. Counts below 1 are 1.
func NewHealth(rise, fall int) Health {
	h := Health{rise: max(rise, 1), fall: max(fall, 1)}
	h.at = h.rise
	return h
}

// Up reports whether the server may be used.
func (h Health) Up() bool { return h.at >= h.rise }

func (h Health) top() int { return h.rise + h.fall - 1 }

// Take counts one probe and reports whether the verdict changed.
func (h *Health) Take(ok bool) (changed bool) {
	was := h.Up()
	switch {
	case ok && h.at+1 >= h.rise:
		h.at = h.top()
	case ok:
		h.at++
	case h.at > h.rise:
		h.at--
	default:
		h.at = 0
	}
	return h.Up() != was
}

// Doubt is what bad signs in a server's traffic do to its check (HAProxy's on-error).
type Doubt int

// The doubts: as a failed probe; the server is down; the next failed probe takes it down; probes come soon.
const (
	FailCheck Doubt = iota
	MarkDown
	SuddenDeath
	FastInter
)

// Doubt counts a doubt about a server that is up, and reports whether the verdict changed.
func (h *Health) Doubt(d Doubt) (changed bool) {
	if !h.Up() || d == FastInter {
		return false
	}
	switch d {
	case MarkDown:
		h.at = h.rise
	case SuddenDeath:
		h.at = min(h.at, h.rise+1)
	}
	return h.Take(false)
}

// Reconfigure goes on with other counts: up stays up, down stays down, and what was on its way to a change begins anew.
func (h *Health) Reconfigure(rise, fall int) {
	was := *h
	*h = NewHealth(rise, fall)
	switch {
	case !was.Up():
		h.at = 0
	case was.at == was.top():
		h.at = h.top()
	}
}

// String is the state as statistics print it: UP, "UP 2/3" with the failures it can still take of fall, DOWN, "DOWN 1/2"
// with the successes it has had of rise.
func (h Health) String() string {
	switch {
	case h.at == h.top():
		return "UP"
	case h.Up():
		return fmt.Sprintf("UP %d/%d", h.at-h.rise+1, h.fall)
	case h.at > 0:
		return fmt.Sprintf("DOWN %d/%d", h.at, h.rise)
	}
	return "DOWN"
}

// streak counts what speaks against the verdict. That a new check is down at its first failure is not in it.
func (h Health) streak() int {
	if h.Up() {
		return h.top() - h.at
	}
	return h.at
}

// interval is how long to wait after a probe in this state.
func (h Health) interval(c check.Config) time.Duration {
	switch {
	case h.at == h.top():
		return c.Inter
	case h.at == 0:
		return c.DownInter
	}
	return c.FastInter
}

// withDefaults fills in what zero means in a Config.
func withDefaults(c check.Config) check.Config {
	if c.Inter <= 0 {
		c.Inter = 2 * time.Second
	}
	if c.FastInter <= 0 {
		c.FastInter = c.Inter
	}
	if c.DownInter <= 0 {
		c.DownInter = c.Inter
	}
	if c.Rise <= 0 {
		c.Rise = 2
	}
	if c.Fall <= 0 {
		c.Fall = 3
	}
	c.Jitter = min(max(c.Jitter, 0), 50)
	if c.Connect <= 0 {
		c.Connect = c.Inter
	}
	c.Connect = min(c.Connect, c.Inter)
	if c.Method == "" {
		c.Method = "OPTIONS"
	}
	if c.URI == "" {
		c.URI = "/"
	}
	if c.Version == "" {
		c.Version = "HTTP/1.0"
	}
	return c
}
