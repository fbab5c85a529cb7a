package track

import (
	"fmt"

	"github.com/reeve-lb/reeve/vrrp"
)

// Bounds of the effective priority, and of what one tracker may add.
const (
	priorityOwner = 255
	priorityMax   = 254
	priorityMin   = 1
	weightMax     = 253
)

// Weight is one cause of the effective priority, or of FAULT.
type Weight struct {
	Cause  string // "track_script chk_web", "track_interface eth1", with " of vrrp_sync_group VG_1" when the group tracks it
	Weight int    // what it adds now
	State  string // ok, failed, unknown; ignored when a sync group's rule says so
	Note   string
}

// Rating is what trackers make of an instance.
type Rating struct {
	Priority int
	Weights  []Weight
	Fault    string   // the first of Faults, "" when nothing of weight 0 failed
	Faults   []string // every cause of FAULT
	Pending  bool     // a tracker of weight 0 has no result yet
}

// Known is the configuration that trackers are looked up in, by name.
type Known struct {
	Scripts   map[string]vrrp.Script
	Processes map[string]vrrp.Process
	Files     map[string]vrrp.File
}

// NewKnown makes the maps of a configuration.
func NewKnown(c vrrp.Config) Known {
	k := Known{Scripts: map[string]vrrp.Script{}, Processes: map[string]vrrp.Process{}, Files: map[string]vrrp.File{}}
	for _, s := range c.Scripts {
		k.Scripts[s.Name] = s
	}
	for _, p := range c.Processes {
		k.Processes[p.Name] = p
	}
	for _, f := range c.Files {
		k.Files[f.Name] = f
	}
	return k
}

// States is what is so now. *Tracker has all but the interfaces.
type States interface {
	Script(name string) ScriptState
	Process(name string) ProcessState
	File(name string) FileState
	Interface(dev string) error // nil when it can be used
}

// Rate applies the trackers of an instance, and of its sync group if it has one, to its base priority:
// clamp(base + sum of weights, 1, 254). The owner (255) ignores weights, but not what is FAULT. Of an instance in a group
// weights count only with sync_group_tracking_weight; those of the group count for every member, and what both track counts
// as the group says. Pure.
func Rate(in vrrp.Instance, group *vrrp.SyncGroup, known Known, now States) Rating {
	r := rater{known: known, now: now}
	r.Priority = in.Priority
	if group != nil {
		r.of = " of vrrp_sync_group " + group.Name
		r.all(trackers{group.TrackScripts, group.TrackInterfaces, group.TrackProcesses, group.TrackFiles})
		r.of, r.unweighted = "", !group.TrackingWeight
	}
	r.all(trackers{in.TrackScripts, in.TrackInterfaces, in.TrackProcesses, in.TrackFiles})
	if in.Priority != priorityOwner {
		r.Priority = min(max(in.Priority+r.sum, priorityMin), priorityMax)
	}
	if len(r.Faults) > 0 {
		r.Fault = r.Faults[0]
	}
	return r.Rating
}

// RateGroup is what a sync group as a whole is worth: in FAULT when a member is, and as good as its weakest member, because
// it is MASTER with all of them or not at all. Its weights are those of that member. Pure.
func RateGroup(members []Rating) Rating {
	var g Rating
	for i, m := range members {
		g.Faults = append(g.Faults, m.Faults...)
		g.Pending = g.Pending || m.Pending
		if i == 0 || m.Priority < g.Priority {
			g.Priority, g.Weights = m.Priority, m.Weights
		}
	}
	if len(g.Faults) > 0 {
		g.Fault = g.Faults[0]
	}
	return g
}

type trackers struct {
	scripts    []vrrp.Track
	interfaces []vrrp.TrackInterface
	processes  []vrrp.Track
	files      []vrrp.Track
}

type rater struct {
	Rating
	known      Known
	now        States
	of         string // of whom the trackers are that are looked at
	unweighted bool   // only weight 0 counts
	sum        int
	seen       map[string]bool // what the group tracks
}

func (r *rater) all(t trackers) {
	for _, s := range t.scripts {
		if c, ok := r.known.Scripts[s.Name]; ok {
			r.script(c, s)
		}
	}
	for _, i := range t.interfaces {
		r.iface(i)
	}
	for _, p := range t.processes {
		if c, ok := r.known.Processes[p.Name]; ok {
			r.process(c, p)
		}
	}
	for _, f := range t.files {
		if c, ok := r.known.Files[f.Name]; ok {
			r.file(c, f)
		}
	}
}

func (r *rater) script(c vrrp.Script, t vrrp.Track) {
	s := r.now.Script(t.Name)
	if s.Disabled != "" {
		r.Weights = append(r.Weights, Weight{Cause: "track_script " + t.Name + r.of, State: "ignored", Note: s.Disabled})
		return
	}
	if s.Skipped > 0 {
		s.Note += fmt.Sprintf("; %d starts skipped, the script takes longer than its interval", s.Skipped)
	}
	weight, reverse := choose(c.Weight, c.Reverse, t)
	r.upDown("track_script "+t.Name, "script "+t.Name, weight, reverse, verdict{s.Known, s.Up, s.Note})
}

func (r *rater) process(c vrrp.Process, t vrrp.Track) {
	s := r.now.Process(t.Name)
	weight, reverse := choose(c.Weight, c.Reverse, t)
	r.upDown("track_process "+t.Name, "process "+t.Name, weight, reverse, verdict{s.Known, s.Up, s.Note})
}

func (r *rater) iface(t vrrp.TrackInterface) {
	v := verdict{known: true, up: true}
	if err := r.now.Interface(t.Name); err != nil {
		v.up, v.note = false, err.Error()
	}
	r.upDown("track_interface "+t.Name, "tracked interface "+t.Name, t.Weight, t.Reverse, v)
}

// choose takes the weight of the reference where it has one; reverse may be said in either place.
func choose(weight int, reverse bool, t vrrp.Track) (int, bool) {
	if t.Weight != nil {
		weight = *t.Weight
	}
	return weight, (reverse || t.Reverse) && !t.NoReverse
}

type verdict struct {
	known, up bool
	note      string
}

func (v verdict) word() string {
	switch {
	case !v.known:
		return "unknown"
	case v.up:
		return "ok"
	}
	return "failed"
}

// upDown takes a tracker into account that is up or down.
func (r *rater) upDown(cause, what string, weight int, reverse bool, v verdict) {
	w := Weight{Cause: cause + r.of, State: v.word(), Note: v.note}
	if r.ignored(&w, cause, weight) {
		return
	}
	if v.known {
		w.Weight = share(weight, v.up, reverse)
	}
	r.add(w)
	if weight != 0 {
		return
	}
	r.Pending = r.Pending || !v.known
	if v.known && v.up == reverse {
		note := v.note
		if note == "" {
			note = v.word()
		}
		r.Faults = append(r.Faults, what+": "+note+r.of)
	}
}

// file takes a number into account: times the weight it is added, and with weight 0 any but zero is FAULT, as is a result
// that one weight can't express.
func (r *rater) file(c vrrp.File, t vrrp.Track) {
	weight, reverse := choose(c.Weight, c.Reverse, t)
	if reverse {
		weight = -weight
	}
	s := r.now.File(t.Name)
	w := Weight{Cause: "track_file " + t.Name + r.of, State: verdict{known: s.Known, up: true}.word(), Note: s.Note}
	if r.ignored(&w, "track_file "+t.Name, weight) {
		return
	}
	product := int64(s.Value) * int64(weight)
	fault := s.Known && (weight == 0 && (s.Value != 0) != reverse || weight != 0 && product < -weightMax)
	switch {
	case fault:
		w.State = "failed"
		r.Faults = append(r.Faults, fmt.Sprintf("file %s: %s%s", t.Name, s.Note, r.of))
	case s.Known:
		w.Weight = int(min(max(product, -weightMax), weightMax))
	}
	r.add(w)
	r.Pending = r.Pending || weight == 0 && !s.Known
}

// ignored reports whether a tracker does not count: the group tracks the same, or it has a weight that a member's may not.
func (r *rater) ignored(w *Weight, cause string, weight int) bool {
	switch {
	case r.seen[cause]:
		w.Note = "its sync group tracks it too, and that counts"
	case r.unweighted && weight != 0:
		w.Note = "a weight of a sync group's member counts only with sync_group_tracking_weight"
	case r.of != "":
		if r.seen == nil {
			r.seen = map[string]bool{}
		}
		r.seen[cause] = true
		return false
	default:
		return false
	}
	w.State = "ignored"
	r.Weights = append(r.Weights, *w)
	return true
}

func (r *rater) add(w Weight) {
	r.sum += w.Weight
	r.Weights = append(r.Weights, w)
}

// share is what a weight adds: a positive one while up, a negative one while down. Reversed it takes away instead.
func share(weight int, up, reverse bool) int {
	weight = min(max(weight, -weightMax), weightMax)
	if up != (weight > 0) {
		return 0
	}
	if reverse {
		return -weight
	}
	return weight
}
