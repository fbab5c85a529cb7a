package lint

import (
	"slices"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// view is what one node runs.
type view struct {
	node string // "": nobody is named
	config.Document
}

// look is one run over a Document.
type look struct {
	doc   config.Document // as written: what all nodes share
	views []view          // one of each node; a single one without a name if none is named
	opts  Options
	rule  string
	ps    source.Problems
}

func newLook(d config.Document, o Options) *look {
	l := &look{doc: d, opts: o}
	for _, n := range nodeNames(d, o) {
		l.views = append(l.views, view{n, d.For(n)})
	}
	if len(l.views) == 0 {
		l.views = []view{{"", d.For("")}}
	}
	return l
}

// warn says something once, however many nodes it is so on.
func (l *look) warn(at source.Pos, hint, format string, args ...any) {
	l.ps.Warnf(at, hint, format, args...)
	l.ps.Name(l.rule)
	last := l.ps[len(l.ps)-1]
	if slices.Contains(l.ps[:len(l.ps)-1], last) {
		l.ps = l.ps[:len(l.ps)-1]
	}
}

func (l *look) done(ignore []string) source.Problems {
	ps := Silence(l.ps, ignore)
	ps.Sort()
	return ps
}

// at is where a node's instance stands: its own file, or its own block.
func (l *look) at(node string, in *vrrp.Instance) source.Pos {
	if o, ok := l.doc.Nodes[node].Instances[in.Name]; ok && !o.Pos.IsZero() {
		return o.Pos
	}
	return in.Pos
}

// each calls f for every instance of every node: as it runs, and as it is written for the node, before what state MASTER
// and strict mode take away.
func (l *look) each(f func(v *view, in, written *vrrp.Instance)) {
	for i := range l.views {
		v := &l.views[i]
		for j := range v.VRRP.Instances {
			w := l.doc.VRRP.Instances[j]
			o := l.doc.Nodes[v.node].Instances[w.Name]
			set(&w.State, o.State)
			set(&w.Priority, o.Priority)
			set(&w.NoPreempt, o.NoPreempt)
			set(&w.PreemptDelay, o.PreemptDelay)
			if o.UnicastPeers != nil {
				w.Unicast.Peers = o.UnicastPeers
			}
			f(v, &v.VRRP.Instances[j], &w)
		}
	}
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// on is " on lb1" where a node has a name.
func (v *view) on() string {
	if v.node == "" {
		return ""
	}
	return " on " + v.node
}

// group is the sync group that an instance is in, or nil.
func group(c *vrrp.Config, instance string) *vrrp.SyncGroup {
	for i := range c.SyncGroups {
		if slices.Contains(c.SyncGroups[i].Members, instance) {
			return &c.SyncGroups[i]
		}
	}
	return nil
}

func instanceNamed(c *vrrp.Config, name string) *vrrp.Instance {
	for i := range c.Instances {
		if c.Instances[i].Name == name {
			return &c.Instances[i]
		}
	}
	return nil
}

// tracker is one thing that an instance's priority depends on.
type tracker struct {
	kind   string // vrrp_script, interface, vrrp_track_process, track_file
	name   string
	weight int // 0: its failure is FAULT
	pos    source.Pos
}

// tracked is everything that a list of trackers names, with the weight that counts.
func tracked(c *vrrp.Config, scripts []vrrp.Track, ifs []vrrp.TrackInterface, processes, files []vrrp.Track) []tracker {
	var out []tracker
	add := func(kind string, list []vrrp.Track, weight func(string) int) {
		for _, t := range list {
			w := weight(t.Name)
			if t.Weight != nil {
				w = *t.Weight
			}
			out = append(out, tracker{kind, t.Name, w, t.Pos})
		}
	}
	add("vrrp_script", scripts, func(n string) int {
		for _, s := range c.Scripts {
			if s.Name == n {
				return s.Weight
			}
		}
		return 0
	})
	for _, t := range ifs {
		out = append(out, tracker{"interface", t.Name, t.Weight, t.Pos})
	}
	add("vrrp_track_process", processes, func(n string) int {
		for _, p := range c.Processes {
			if p.Name == n {
				return p.Weight
			}
		}
		return 0
	})
	add("track_file", files, func(n string) int {
		for _, f := range c.Files {
			if f.Name == n {
				return f.Weight
			}
		}
		return 0
	})
	return out
}

func ofInstance(c *vrrp.Config, in *vrrp.Instance) []tracker {
	return tracked(c, in.TrackScripts, in.TrackInterfaces, in.TrackProcesses, in.TrackFiles)
}

func ofGroup(c *vrrp.Config, g *vrrp.SyncGroup) []tracker {
	return tracked(c, g.TrackScripts, g.TrackInterfaces, g.TrackProcesses, g.TrackFiles)
}

// inForce is what an instance's state depends on: its own trackers, less those whose weight its group takes away, and
// those of its group.
func inForce(c *vrrp.Config, in *vrrp.Instance) []tracker {
	out := ofInstance(c, in)
	if g := group(c, in.Name); g != nil {
		if !g.TrackingWeight {
			out = slices.DeleteFunc(out, func(t tracker) bool { return t.weight != 0 })
		}
		out = append(out, ofGroup(c, g)...)
	}
	return out
}

func weighted(ts []tracker) []tracker {
	return slices.DeleteFunc(slices.Clone(ts), func(t tracker) bool { return t.weight == 0 })
}
