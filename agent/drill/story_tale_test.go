package drill

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// entry is one line of what a host sent: a frame, a burst of equal ones, or all adverts of a tenure in their rhythm.
type entry struct {
	line   string
	n      int
	fluid  bool // adverts in their rhythm, reports of the kernel: their number is a matter of time
	loose  bool // the allow-list lets it have a rhythm and a length of its own
	host   string
	kind   kind
	vrid   uint8
	first  time.Time
	latest time.Time
	step   int           // the play's last step before the first of them, -1 for none
	after  time.Duration // since the first sign of that step on the wire
}

// tales are what each host sent, with times from the first sign of the step before: what a daemon needs to hear of a step
// is not on the wire, and a matter of the machine.
func (p *play) tales() map[string][]entry {
	out, signs := map[string][]entry{}, make([]time.Time, len(p.steps))
	for host := range p.daemons {
		out[host] = p.tale(host)
		for _, e := range out[host] {
			if e.step >= 0 && (signs[e.step].IsZero() || e.first.Before(signs[e.step])) {
				signs[e.step] = e.first
			}
		}
	}
	for _, all := range out {
		for i, e := range all {
			if e.step >= 0 {
				all[i].after = e.first.Sub(signs[e.step])
			}
		}
	}
	return out
}

// tale folds what a host sent: adverts with what announces addresses, by time, each virtual router for itself (those of a
// host have timers that end together); what a host tells of its groups apart, since the kernel sends that at random times.
func (p *play) tale(host string) []entry {
	var out, groups []entry
	routers := p.routers()
	runs := map[uint8]int{} // index of the latest advert of a virtual router
	for _, f := range p.wire.r.all() {
		if f.host != host {
			continue
		}
		e := entry{line: f.line(p.names), n: 1, host: host, kind: f.kind, vrid: f.vrid, first: f.at, latest: f.at, step: -1}
		for i, s := range p.steps {
			if !f.at.Before(s.at) {
				e.step = i
			}
		}
		if p.kernels(f, e.step) {
			continue
		}
		if !isAdvert(f) {
			e.vrid = cmp.Or(routers[f.sender], routers[f.target])
		}
		switch f.kind {
		case kindJoin, kindLeave:
			e.fluid = true
			if i := len(groups) - 1; i >= 0 && groups[i].line == e.line {
				groups[i].n++
				continue
			}
			groups = append(groups, e)
			continue
		case kindAdvert:
			e.fluid = true
			i, running := runs[f.vrid]
			runs[f.vrid] = len(out)
			if running && out[i].line == e.line && f.at.Sub(out[i].latest) < f.interval*8/5+tolerance() {
				early := f.at.Sub(out[i].latest) < f.interval*13/20
				out[i].latest = f.at
				runs[f.vrid] = i
				if !early || !fine() {
					out[i].n++
					continue
				}
				e.line += " (early)"
			}
		case kindZero:
			if i, running := runs[f.vrid]; running && out[i].line == e.line && f.at.Sub(out[i].latest) < f.interval/2 {
				out[i].n, out[i].latest = out[i].n+1, f.at
				continue
			}
			runs[f.vrid] = len(out)
		default:
			i := len(out) - 1
			for i >= 0 && out[i].channel() != e.channel() {
				i--
			}
			if i >= 0 && out[i].line == e.line && f.at.Sub(out[i].latest) < 500*time.Millisecond {
				out[i].n, out[i].latest = out[i].n+1, f.at
				continue
			}
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b entry) int { return cmp.Compare(a.channel(), b.channel()) })
	return append(groups, out...)
}

// kernels tells what is not for the daemons to choose: whether a kernel still has an address when it is asked for it, and
// the reports of groups that a reload leaves and joins within a moment, of which the kernel may make nothing.
func (p *play) kernels(f frame, step int) bool {
	switch f.kind {
	case kindReply:
		return f.ethDst[0]&1 == 0
	case kindJoin, kindLeave:
		return step >= 0 && strings.HasPrefix(p.steps[step].what, "reload")
	}
	return false
}

// channel is what has an order of its own: a virtual router, and its neighbour advertisements, which are paced by themselves.
func (e entry) channel() int {
	if e.kind == kindNA {
		return 2*int(e.vrid) + 1
	}
	return 2 * int(e.vrid)
}

// routers tells which virtual router an address belongs to, by the adverts; what they don't carry is the first's.
func (p *play) routers() map[netip.Addr]uint8 {
	out := map[netip.Addr]uint8{}
	for _, a := range virtual() {
		out[a] = 51
	}
	for _, f := range p.wire.r.all() {
		for _, a := range f.addrs {
			out[a] = f.vrid
		}
	}
	return out
}

// same tells whether two entries are one and the same but for what timing allows.
func (e entry) same(o entry, interval time.Duration) bool {
	if e.line != o.line || e.step != o.step {
		return false
	}
	if e.kind == kindJoin || e.kind == kindLeave {
		return true
	}
	if !e.fluid && e.n != o.n {
		return false
	}
	// How long a tenure is depends on how long programs take to start between the steps; what is sent beside the rhythm
	// does not.
	if e.fluid && !e.loose && abs(e.beside(interval)-o.beside(interval)) > slack() {
		return false
	}
	if e.loose {
		return true
	}
	// Both are off their formula, and keepalived runs scripts before it announces.
	limit := 2 * tolerance()
	if !isAdvert(frame{kind: e.kind}) {
		limit *= 2
	}
	return (e.after - o.after).Abs() <= limit
}

// slack is by how many adverts two rhythms of a busy machine may seem to differ.
func slack() int {
	if fine() {
		return 0
	}
	return 1
}

func abs(n int) int { return max(n, -n) }

// beside is how many adverts there are more than the rhythm gives.
func (e entry) beside(interval time.Duration) int {
	return e.n - 1 - int((e.latest.Sub(e.first)+interval/2)/interval)
}

// show is the entry as a row.
func (p *play) show(e entry) string {
	at := "before all"
	if e.step >= 0 {
		at = fmt.Sprintf("%s +%.3fs", p.steps[e.step].what, e.after.Seconds())
	}
	times := ""
	if e.n > 1 {
		times = fmt.Sprintf(" x%d", e.n)
	}
	if e.fluid && e.n > 1 && e.kind == kindAdvert {
		times += fmt.Sprintf(" in %.3fs", e.latest.Sub(e.first).Seconds())
	}
	return fmt.Sprintf("[%s] %s%s", at, e.line, times)
}

// compare gives both tales of a host beside each other if they differ, else nothing.
func compare(host string, want, got *play) string {
	k, r := allowed(want, host), allowed(got, host)
	var out strings.Builder
	differ := false
	for i := range max(len(k), len(r)) {
		left, right, mark := "-", "-", "  "
		if i < len(k) {
			left = want.show(k[i])
		}
		if i < len(r) {
			right = got.show(r[i])
		}
		if i >= len(k) || i >= len(r) || !k[i].same(r[i], want.advert) {
			mark = "! "
			if !differ {
				differ, mark = true, "!>"
			}
		}
		fmt.Fprintf(&out, "%s %s: %s\n%s %s: %s\n", mark, want.cast, left, mark, got.cast, right)
	}
	if !differ {
		return ""
	}
	return fmt.Sprintf("what %s sends differs (the first difference is marked >):\n%s", host, out.String())
}

// allowed is a host's tale as the allow-list leaves it.
func allowed(p *play, host string) []entry {
	all := p.tales()[host]
	for _, d := range deliberate {
		if d.story != p.story {
			continue
		}
		for i := range all {
			d.amend(p, &all[i])
		}
	}
	return slices.DeleteFunc(all, func(e entry) bool { return e.n == 0 })
}

// difference is something in which Reeve's wire differs from keepalived's on purpose.
type difference struct {
	story, reason string
	amend         func(p *play, e *entry) // takes it out of an entry, or the entry out (n = 0)
}

// noLeave is a difference of virtual interfaces.
func noLeave(story string) difference {
	return difference{
		story: story,
		reason: "with the virtual interface its groups go; whether the kernel still sends the leave is a race that keepalived, " +
			"which takes the interface away later, wins more often",
		amend: func(_ *play, e *entry) {
			if e.kind == kindLeave {
				e.n = 0
			}
		},
	}
}

// deliberate is the allow-list.
var deliberate = []difference{
	noLeave("vmac"), noLeave("vmac_xmit_base"),
	{
		story: "reload-removes",
		reason: "a reload leaves an instance alone that it does not change; keepalived sends two adverts more for each, out of turn, " +
			"and counts its interval from them",
		amend: func(_ *play, e *entry) {
			if e.fluid {
				e.loose = true
			}
			if strings.HasSuffix(e.line, "(early)") {
				e.n = 0
			}
		},
	},
	{
		story: "group",
		reason: "members whose timers end at the same time find each other ready at once or an interval later, keepalived's too; " +
			"the story holds its formula",
		amend: func(_ *play, e *entry) { e.loose = true },
	},
	{
		story:  "preempt_delay",
		reason: "the delay begins with the first advert that is heard, whenever that comes after the start; the story holds its formula",
		amend:  func(_ *play, e *entry) { e.loose = true },
	},
}
