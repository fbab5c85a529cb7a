package vip

import (
	"sync"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

// A link that went down more often than flapsFree times, each within flapMemory of the one before, flaps: that it is usable
// again is believed after penalty, and twice that after each further time, up to penaltyMax. Else each flap would move the
// addresses away and back. That it is unusable is believed at once.
const (
	flapsFree  = 3
	flapMemory = time.Minute
	penalty    = 5 * time.Second
	penaltyMax = time.Minute
)

// damper holds back that a link became unusable, or usable again, until it has lasted (interface_up_down_delays), and that one
// that flaps became usable. Without delays all else passes at once. A delay whose Interface is "" is everybody's who has
// none of its own. Safe for concurrent use; time is an argument.
type damper struct {
	mu     sync.Mutex
	delays map[string]vrrp.InterfaceDelay
	links  map[string]*dampedLink
	// flaps is told, with mu held, of a link that is held back because it flaps; nil: nobody cares.
	flaps func(dev string, downs int, wait time.Duration)
}

// dampedLink is what was told of a link, and what is held back.
type dampedLink struct {
	told  Event
	held  Event
	at    boottime.Time // when held is told; zero: nothing is held
	downs int           // how often it went down, each time soon after the one before
	down  boottime.Time // the last time
	was   bool          // it was usable when it was looked at last, told or not
}

// saw counts the times that the link goes down.
func (l *dampedLink) saw(now bool, at boottime.Time) {
	if l.was && !now {
		if at.Sub(l.down) > flapMemory {
			l.downs = 0
		}
		l.downs++
		l.down = at
	}
	l.was = now
}

// penalty is how long it has to be usable before that is believed.
func (l *dampedLink) penalty(now boottime.Time) time.Duration {
	if l.downs <= flapsFree || now.Sub(l.down) > flapMemory+penaltyMax {
		return 0
	}
	wait := penalty
	for n := l.downs - flapsFree - 1; n > 0 && wait < penaltyMax; n-- {
		wait *= 2
	}
	return min(wait, penaltyMax)
}

func usable(e Event) bool { return e.Kind == LinkChanged && e.Up && e.Carrier }

// set changes the delays. What is held back already comes when it was to come.
func (d *damper) set(delays []vrrp.InterfaceDelay) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delays = map[string]vrrp.InterfaceDelay{}
	for _, delay := range delays {
		d.delays[delay.Interface] = delay
	}
}

func (d *damper) delay(dev string, up bool) time.Duration {
	delay, ok := d.delays[dev]
	if !ok {
		delay = d.delays[""]
	}
	if up {
		return delay.Up
	}
	return delay.Down
}

// event takes in what happened; true: tell it now. Only changes of a link's usability are held back.
func (d *damper) event(e Event, now boottime.Time) bool {
	if e.Kind != LinkChanged && e.Kind != LinkGone {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.links[e.Dev]
	if l == nil || e.Kind == LinkGone || e.Index != l.told.Index { // another interface: nothing of the old one counts
		if d.links == nil {
			d.links = map[string]*dampedLink{}
		}
		d.links[e.Dev] = &dampedLink{told: e, was: usable(e)}
		if e.Kind == LinkGone {
			delete(d.links, e.Dev)
		}
		return true
	}
	l.saw(usable(e), now)
	if usable(e) == usable(l.told) {
		if !l.at.IsZero() {
			l.at = 0
			return false
		}
		l.told = e
		return true
	}
	wait := d.delay(e.Dev, usable(e))
	if p := l.penalty(now); usable(e) && p > wait {
		if wait = p; d.flaps != nil && l.at.IsZero() {
			d.flaps(e.Dev, l.downs, wait)
		}
	}
	if wait <= 0 {
		l.told, l.at = e, 0
		return true
	}
	if l.held = e; l.at.IsZero() {
		l.at = now.Add(wait)
	}
	return false
}

// due gives what has been held back long enough, and how long until the next; negative: nothing is held.
func (d *damper) due(now boottime.Time) (out []Event, next time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next = -1
	for _, l := range d.links {
		switch wait := l.at.Sub(now); {
		case l.at.IsZero():
		case wait <= 0:
			l.told, l.at = l.held, 0
			out = append(out, l.told)
		case next < 0 || wait < next:
			next = wait
		}
	}
	return out, next
}

// view makes a link look as it was told, where what it is may be held back.
func (d *damper) view(l *Link, now boottime.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.links[l.Name]
	if known == nil || known.told.Index != l.Index {
		return
	}
	delayed := d.delays[l.Name] != (vrrp.InterfaceDelay{}) || d.delays[""] != (vrrp.InterfaceDelay{})
	if delayed || !usable(known.told) && known.penalty(now) > 0 {
		l.Up, l.Carrier = known.told.Up, known.told.Carrier
	}
}
