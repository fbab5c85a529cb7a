package packet

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
)

// Bounds of Alarms.
const (
	// AlarmPause is how long a trouble that goes on is kept quiet.
	AlarmPause = time.Hour
	// AlarmsKept is how many troubles, each of one peer and cause, are told apart. Further ones go under Others.
	AlarmsKept = 64
	// alarmsPerPeer keeps a peer from taking all of them.
	alarmsPerPeer = 8
	// forgetAfter is how long a trouble must not have been seen before another one may take its place.
	forgetAfter = 5 * time.Minute
	// saysPerMinute bounds what all peers together can make one instance say.
	saysPerMinute = 10
)

// Trouble is something about a peer that its operator should know, as it was seen once.
type Trouble struct {
	Source netip.Addr
	What   string // Cause.String(), or another short constant word
	Detail Detail // a Trouble with another detail is a change, told again
}

// Detail is what tells one occurrence from another.
type Detail struct {
	Got, Want      int
	Address, Other netip.Addr
}

// String implements fmt.Stringer: what came and what was expected, "" when there is nothing more to say.
func (d Detail) String() string {
	var out []string
	if d.Got != d.Want {
		out = append(out, "received "+strconv.Itoa(d.Got)+", expected "+strconv.Itoa(d.Want))
	}
	if d.Address.IsValid() {
		out = append(out, "address "+d.Address.String())
	}
	if d.Other.IsValid() {
		out = append(out, "they list "+d.Other.String())
	}
	return strings.Join(out, ", ")
}

// Trouble makes of a Finding what Alarms counts.
func (f Finding) Trouble(source netip.Addr) Trouble {
	t := Trouble{Source: source, What: f.Cause.String(), Detail: Detail{f.Got, f.Want, f.Address, f.Other}}
	switch f.Cause {
	case WrongChecksum, TooShort, TooLong, UnknownVRID, QueueFull, WrongTTL, PeerTTL, Replayed:
		t.Detail = Detail{} // numbers that are another one with each packet are no change
	}
	return t
}

// Alarm is a trouble with its history.
type Alarm struct {
	Source      netip.Addr // zero: others, of whom there were too many to tell apart
	What        string
	Detail      Detail // of the last one
	Count       uint64
	First, Last boottime.Time
	told        boottime.Time
}

type alarmKey struct {
	source netip.Addr
	what   string
}

// Alarms names each cause once for a peer, counts the rest, and says it again when it changed or after AlarmPause. Its
// memory and what it lets through are bounded whatever sources are made up. It is owned by one goroutine; the zero value is
// ready.
type Alarms struct {
	known  map[alarmKey]*Alarm
	full   boottime.Time // no room before that
	window boottime.Time
	said   int
}

// See counts a trouble and tells whether it is to be said now, with how often it was seen so far. A source of which nothing
// can be kept is counted with all such sources of that cause.
func (a *Alarms) See(t Trouble, now boottime.Time) (say bool, count uint64) {
	e, fresh := a.entry(t, now)
	e.Count++
	changed := !fresh && e.Detail != t.Detail && e.Source.IsValid()
	e.Detail, e.Last = t.Detail, now
	if !e.told.IsZero() && !changed && now.Sub(e.told) < AlarmPause {
		return false, e.Count
	}
	if !a.allow(now) {
		return false, e.Count // it is said with a later one
	}
	e.told = now
	return true, e.Count
}

// Clear forgets a peer's trouble of one kind, because it is seen to be over; true if there was one that had been said.
func (a *Alarms) Clear(source netip.Addr, what string) bool {
	k := alarmKey{source, what}
	e, ok := a.known[k]
	delete(a.known, k)
	a.full = 0
	return ok && !e.told.IsZero()
}

// List gives what is known, the latest first.
func (a *Alarms) List() []Alarm {
	out := make([]Alarm, 0, len(a.known))
	for _, e := range a.known {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(x, y Alarm) int {
		return cmp.Or(cmp.Compare(y.Last, x.Last), x.Source.Compare(y.Source), cmp.Compare(x.What, y.What))
	})
	return out
}

func (a *Alarms) entry(t Trouble, now boottime.Time) (e *Alarm, fresh bool) {
	k := alarmKey{t.Source, t.What}
	if e := a.known[k]; e != nil {
		return e, false
	}
	if !a.room(t.Source, now) {
		k.source = netip.Addr{} // one for each What, and those are few
		if e := a.known[k]; e != nil {
			return e, false
		}
	}
	if a.known == nil {
		a.known = map[alarmKey]*Alarm{}
	}
	e = &Alarm{Source: k.source, What: t.What, First: now}
	a.known[k] = e
	return e, true
}

// room reports whether another trouble of that source can be kept. What has not been seen for long gives way, so that who
// makes up sources can't drive out what a real peer does wrong all the time.
func (a *Alarms) room(source netip.Addr, now boottime.Time) bool {
	if !source.IsValid() {
		return true
	}
	if now.Before(a.full) {
		return false
	}
	peers, own := 0, 0
	var oldest *Alarm
	var at alarmKey
	for k, e := range a.known {
		if !k.source.IsValid() {
			continue
		}
		peers++
		if k.source == source {
			own++
		}
		if oldest == nil || e.Last < oldest.Last {
			oldest, at = e, k
		}
	}
	if own >= alarmsPerPeer {
		return false
	}
	if peers < AlarmsKept {
		return true
	}
	if a.full = oldest.Last.Add(forgetAfter); now.Before(a.full) {
		return false
	}
	delete(a.known, at)
	return true
}

func (a *Alarms) allow(now boottime.Time) bool {
	if a.window.IsZero() || now.Sub(a.window) >= time.Minute {
		a.window, a.said = now, 0
	}
	if a.said >= saysPerMinute {
		return false
	}
	a.said++
	return true
}
