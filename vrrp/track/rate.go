package track

import (
	"fmt"

	"github.com/reeve-lb/reeve/vrrp"
)

// Bounds of the effective priority, and of one weight.
const (
	priorityOwner = 255
	priorityMax   = 254
	priorityMin   = 1
	weightMax     = 253
)

// Weight is one cause of the effective priority, or of FAULT.
type Weight struct {
	Cause  string // "track_script chk_web", "track_interface eth1"
	Weight int    // what it adds now
	State  string // ok, failed, unknown
	Note   string
}

// Rating is what trackers make of an instance.
type Rating struct {
	Priority int
	Weights  []Weight
	Fault    string // "" when nothing of weight 0 failed
	Pending  bool   // a script of weight 0 has no result yet
}

// Rate applies the trackers of an instance to its base priority: clamp(base + sum of weights, 1, 254). The owner (255)
// ignores weights, but not what is FAULT. Pure.
func Rate(in vrrp.Instance, configured map[string]vrrp.Script, state func(name string) ScriptState, usable func(dev string) error) Rating {
	r := Rating{Priority: in.Priority}
	sum := 0
	for _, t := range in.TrackScripts {
		c, ok := configured[t.Name]
		if !ok {
			continue
		}
		weight, reverse := c.Weight, c.Reverse != t.Reverse
		if t.Weight != nil {
			weight = *t.Weight
		}
		s := state(t.Name)
		w := Weight{Cause: "track_script " + t.Name, State: s.Word(), Note: s.Note}
		if s.Known {
			w.Weight = share(weight, s.Up, reverse)
		}
		sum += w.Weight
		r.Weights = append(r.Weights, w)
		if weight == 0 {
			r.Pending = r.Pending || !s.Known
			r.fault(s.Known && s.Up == reverse, fmt.Sprintf("script %s %s", t.Name, s.Note))
		}
	}
	for _, t := range in.TrackInterfaces {
		err := usable(t.Name)
		w := Weight{Cause: "track_interface " + t.Name, State: "ok", Weight: share(t.Weight, err == nil, t.Reverse)}
		if err != nil {
			w.State, w.Note = "failed", err.Error()
		}
		sum += w.Weight
		r.Weights = append(r.Weights, w)
		if t.Weight == 0 {
			r.fault((err == nil) == t.Reverse, fmt.Sprintf("tracked interface %s: %s", t.Name, w.State))
		}
	}
	if in.Priority != priorityOwner {
		r.Priority = min(max(in.Priority+sum, priorityMin), priorityMax)
	}
	return r
}

func (r *Rating) fault(is bool, cause string) {
	if is && r.Fault == "" {
		r.Fault = cause
	}
}

// share is what a weight adds: a positive one while up, a negative one while down, the other way round when reversed.
func share(weight int, up, reverse bool) int {
	weight = min(max(weight, -weightMax), weightMax)
	if up == reverse { // down, or up reversed
		return min(weight, 0)
	}
	return max(weight, 0)
}
