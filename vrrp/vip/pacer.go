package vip

import (
	"slices"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

// Pacing is how fast announcements leave.
type Pacing struct {
	GarpInterval time.Duration // vrrp_garp_interval: pause between two gratuitous ARPs of an interface; 0: none
	GnaInterval  time.Duration // vrrp_gna_interval: the same for neighbour advertisements
	Groups       []vrrp.GarpGroup
}

const (
	// burstMax is how many frames leave without a look at the clock, at others' needs and at the end.
	burstMax = 64
	// catchUp is how far a lane may lag behind its pace and make up for it: timers are not finer than that.
	catchUp = 2 * time.Millisecond
)

// burst is the announcements of one instance on one interface, of one kind.
type burst struct {
	instance, dev string
	na            bool // neighbour advertisements, else ARP
	frames        [][]byte
	left          int // rounds, the one that is under way included
	at            int // frame of the round
}

// laneKey: bursts of one key share a pace.
type laneKey struct {
	pace string // interface, or "garp_group" and its number
	na   bool
}

// lane is a queue of bursts with a pace.
type lane struct {
	interval time.Duration
	next     boottime.Time // not before
	bursts   []*burst      // the first one's turn
}

// pacer is the pure core of announcing: bursts and the time go in, the frame that is due comes out. The zero value knows
// no pauses.
type pacer struct {
	pacing Pacing
	lanes  map[laneKey]*lane
}

// keyOf finds the lane of an interface.
func (p *pacer) keyOf(dev string, na bool) (laneKey, time.Duration) {
	for i, g := range p.pacing.Groups {
		if slices.Contains(g.Interfaces, dev) {
			return laneKey{"garp_group " + string(rune('0'+i)), na}, choose(na, g.GarpInterval, g.GnaInterval)
		}
	}
	return laneKey{dev, na}, choose(na, p.pacing.GarpInterval, p.pacing.GnaInterval)
}

func choose(na bool, garp, gna time.Duration) time.Duration {
	if na {
		return gna
	}
	return garp
}

// set changes the pace of what is queued and of what will be.
func (p *pacer) set(pacing Pacing) {
	p.pacing = pacing
	old := p.lanes
	p.lanes = nil
	for _, l := range old {
		for _, b := range l.bursts {
			p.lane(b).bursts = append(p.lane(b).bursts, b)
		}
	}
}

func (p *pacer) lane(b *burst) *lane {
	key, interval := p.keyOf(b.dev, b.na)
	l := p.lanes[key]
	if l == nil {
		l = &lane{interval: interval}
		if p.lanes == nil {
			p.lanes = map[laneKey]*lane{}
		}
		p.lanes[key] = l
	}
	return l
}

// add queues a burst. One of the same instance, interface and kind that is still under way goes on with the greater number
// of rounds and the new frames: addresses are announced as they are now, and never more often than the longest burst asks.
func (p *pacer) add(b *burst) {
	if len(b.frames) == 0 || b.left <= 0 {
		return
	}
	l := p.lane(b)
	for _, o := range l.bursts {
		if o.instance == b.instance && o.dev == b.dev {
			o.left = max(o.left, b.left)
			if !slices.EqualFunc(o.frames, b.frames, func(x, y []byte) bool { return string(x) == string(y) }) {
				o.frames, o.at = b.frames, 0
			}
			return
		}
	}
	l.bursts = append(l.bursts, b)
}

// cancel forgets an instance's bursts.
func (p *pacer) cancel(instance string) {
	for _, l := range p.lanes {
		l.bursts = slices.DeleteFunc(l.bursts, func(b *burst) bool { return b.instance == instance })
	}
}

// due is a lane whose next frame may leave now; nil if there is none.
func (p *pacer) due(now boottime.Time) *lane {
	for _, l := range p.lanes {
		if len(l.bursts) > 0 && !now.Before(l.next) {
			return l
		}
	}
	return nil
}

// wait is how long until a frame is due; false if nothing is queued.
func (p *pacer) wait(now boottime.Time) (time.Duration, bool) {
	first, any := time.Duration(0), false
	for _, l := range p.lanes {
		if len(l.bursts) == 0 {
			continue
		}
		if d := max(l.next.Sub(now), 0); !any || d < first {
			first, any = d, true
		}
	}
	return first, any
}

// take gives the lane's next frame, of the burst whose turn it is. After a round of it the next burst has its turn.
func (l *lane) take(now boottime.Time) (*burst, []byte) {
	b := l.bursts[0]
	frame := b.frames[b.at]
	if l.interval > 0 {
		if l.next.IsZero() || now.Sub(l.next) > catchUp {
			l.next = now
		}
		l.next = l.next.Add(l.interval)
	}
	if b.at++; b.at == len(b.frames) {
		b.at = 0
		l.bursts = append(l.bursts[:0], l.bursts[1:]...)
		if b.left--; b.left > 0 {
			l.bursts = append(l.bursts, b)
		}
	}
	return b, frame
}

// drop forgets a burst that can't be sent.
func (l *lane) drop(b *burst) {
	l.bursts = slices.DeleteFunc(l.bursts, func(o *burst) bool { return o == b })
}
