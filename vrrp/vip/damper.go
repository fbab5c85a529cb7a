package vip

import (
	"sync"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

// damper holds back that a link became unusable, or usable again, until it has lasted (interface_up_down_delays): a link
// that flaps faster is not told of. Without delays all passes at once. A delay whose Interface is "" is everybody's who has
// none of its own. Safe for concurrent use; time is an argument.
type damper struct {
	mu     sync.Mutex
	delays map[string]vrrp.InterfaceDelay
	links  map[string]*dampedLink
}

// dampedLink is what was told of a link, and what is held back.
type dampedLink struct {
	told    Event
	held    Event
	at      boottime.Time // when held is told; zero: nothing is held
	swallow int           // flaps that nobody was told of
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
		d.links[e.Dev] = &dampedLink{told: e}
		if e.Kind == LinkGone {
			delete(d.links, e.Dev)
		}
		return true
	}
	if usable(e) == usable(l.told) {
		if !l.at.IsZero() {
			l.at = 0
			l.swallow++
			return false
		}
		l.told = e
		return true
	}
	wait := d.delay(e.Dev, usable(e))
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

// view makes a link look as it was told, while something of it is held back.
func (d *damper) view(l *Link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.delays[l.Name] == (vrrp.InterfaceDelay{}) && d.delays[""] == (vrrp.InterfaceDelay{}) {
		return
	}
	if known := d.links[l.Name]; known != nil && known.told.Index == l.Index {
		l.Up, l.Carrier = known.told.Up, known.told.Carrier
	}
}
