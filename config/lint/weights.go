package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reeve-lb/reeve/vrrp"
)

// owner is the priority of the address owner (RFC 3768 section 5.3.4): no weight changes it.
const owner = 255

// reach is how far trackers can move one node's priority: high while all is well, low when all of it fails.
type reach struct {
	view      *view
	in        *vrrp.Instance
	ts        []tracker
	base      int
	high, low int
}

func reachOf(v *view, in *vrrp.Instance) reach {
	r := reach{view: v, in: in, ts: weighted(inForce(&v.VRRP, in)), base: in.Priority, high: in.Priority, low: in.Priority}
	if in.Priority == owner {
		return r
	}
	for _, t := range r.ts {
		r.high += max(t.weight, 0)
		r.low += min(t.weight, 0)
	}
	r.high, r.low = min(max(r.high, 1), 254), min(max(r.low, 1), 254)
	return r
}

// weights: what all trackers of a node take away together must bring it below the next node that is well.
func (l *look) weights() {
	l.owners()
	if len(l.views) < 2 {
		return
	}
	for i := range l.doc.VRRP.Instances {
		var rs []reach
		for j := range l.views {
			rs = append(rs, reachOf(&l.views[j], &l.views[j].VRRP.Instances[i]))
		}
		slices.SortStableFunc(rs, func(a, b reach) int { return b.high - a.high })
		for j, r := range rs[:len(rs)-1] {
			if next := rs[j+1]; r.base != owner && stuck(r, next) {
				l.stuck(r, next)
				break
			}
		}
	}
}

func stuck(r, next reach) bool {
	if len(r.ts) == 0 || slices.ContainsFunc(r.ts, func(t tracker) bool { return t.kind == "track_file" }) {
		return false // a number in a file can be any
	}
	return r.low >= next.high
}

func (l *look) stuck(r, next reach) {
	gap := r.high - next.high
	first := r.ts[0]
	by, sum := fmt.Sprintf("the weight %d of '%s'", first.weight, first.name), ""
	if len(r.ts) > 1 {
		var names []string
		for _, t := range r.ts {
			names = append(names, fmt.Sprintf("%d of '%s'", t.weight, t.name))
		}
		by, sum = "all weights ("+strings.Join(names, ", ")+")", " together"
	}
	hint := fmt.Sprintf("more than %d%s is needed", gap, sum)
	if n := gap + 10; n <= 253 && len(r.ts) == 1 {
		if first.weight < 0 {
			n = -n
		}
		hint += fmt.Sprintf(", as in weight %d; weight 0 makes every failure a FAULT", n)
	}
	is := "still more than"
	if r.low == next.high {
		is = "not less than"
	}
	l.warn(first.pos, hint, "%s can never move vrrp_instance '%s' from %s to %s: %d is %s %d", by, r.in.Name, r.view.node, next.view.node, r.low, is, next.high)
}

// owners: an owner keeps its 255.
func (l *look) owners() {
	l.each(func(v *view, in, _ *vrrp.Instance) {
		if in.Priority != owner {
			return
		}
		if ts := weighted(inForce(&v.VRRP, in)); len(ts) > 0 {
			l.warn(ts[0].pos, "write weight 0, or a priority below 255", "the weight of '%s' has no effect: vrrp_instance '%s' has the priority 255%s", ts[0].name, in.Name, v.on())
		}
	})
}

// equal: an order is wanted and two nodes have the same place in it.
func (l *look) equal() {
	for i := range l.doc.VRRP.Instances {
		raw := &l.doc.VRRP.Instances[i]
		for j := range l.views {
			for k := range j {
				a, b := &l.views[k], &l.views[j]
				p := b.VRRP.Instances[i].Priority
				if p == a.VRRP.Instances[i].Priority && (raw.Election == vrrp.ElectionVRRP || l.ordered(raw.Name, a.node) && l.ordered(raw.Name, b.node)) {
					l.samePriority(a, b, &b.VRRP.Instances[i], p)
				}
			}
		}
	}
}

// ordered: somebody gave the node its place, by a file or a block of its own, or others theirs while it was named too.
func (l *look) ordered(instance, node string) bool {
	if slices.Contains(l.opts.Nodes, node) {
		return true
	}
	if _, named := l.doc.Nodes[node]; !named {
		return false
	}
	for _, o := range l.doc.Nodes {
		if o.Instances[instance].Priority != nil {
			return true
		}
	}
	return false
}

func (l *look) samePriority(a, b *view, in *vrrp.Instance, p int) {
	if p == owner {
		l.warn(l.at(b.node, in), "255 belongs to the one machine that has the address of its own; write at most 254",
			"%s and %s both have priority 255 in vrrp_instance '%s': two machines can't own an address", a.node, b.node, in.Name)
		return
	}
	l.warn(l.at(b.node, in), "write the machine that shall have the address a higher one",
		"%s and %s both have priority %d in vrrp_instance '%s': who comes first is master, and if both are at once, the higher address decides", a.node, b.node, p, in.Name)
}

// nopreemptWeight: a backup with nopreempt takes any advert for a sign of life, also one of a priority that weights lowered.
func (l *look) nopreemptWeight() {
	l.each(func(v *view, in, _ *vrrp.Instance) {
		if ts := weighted(inForce(&v.VRRP, in)); in.NoPreempt && len(ts) > 0 {
			l.warn(ts[0].pos, "with nopreempt only a FAULT moves an address: leave the weight at 0, or do without nopreempt",
				"the weight %d of '%s' moves nothing in vrrp_instance '%s': with nopreempt a backup leaves a master alone however low its priority is", ts[0].weight, ts[0].name, in.Name)
		}
	})
}
