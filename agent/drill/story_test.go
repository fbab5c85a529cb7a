package drill

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
)

// story is a script of steps that is driven alike for several casts of programs, and what they send is held together.
type story struct {
	name  string
	hosts []string // a and b if there are none
	v3    bool     // told as version 3 too, at an advert_int of half a second
	only  int      // told as this version alone
	tell  func(p *play)
}

// play is one telling of a story: one lab, one cast, one version.
type play struct {
	*segment
	story   string
	cast    string // programs of the hosts in their order: "RK"
	version int
	advert  time.Duration // advert_int of what conf and instance write
	names   names
	daemons map[string]*daemon
	steps   []step
	faults  []string // times that don't fit their formula, what never came
}

// step is a moment at which the play did something.
type step struct {
	at   time.Time
	what string
}

// tell drives a story in a lab of its own.
func (st story) told(t *testing.T, cast string, version int) (back *play) {
	t.Helper()
	hosts := st.hosts
	if len(hosts) == 0 {
		hosts = []string{"a", "b"}
	}
	p := &play{segment: newSegment(t, hosts...), story: st.name, cast: cast, version: version, advert: time.Second, daemons: map[string]*daemon{}}
	if version == 3 {
		p.advert = 500 * time.Millisecond
	}
	p.names = p.whose()
	for i, h := range hosts {
		r := keepalived
		if i < len(cast) {
			r = role(cast[i : i+1])
		}
		p.daemons[h] = p.box(h, r)
	}
	defer func() {
		p.wire.r.stop()
		switch e := recover().(type) {
		case nil:
		case abandoned:
			p.faults = append(p.faults, cast+": "+string(e))
			back = p
		default:
			panic(e)
		}
	}()
	st.tell(p)
	return p
}

// abandoned ends a telling whose next event never came.
type abandoned string

// await waits for the nth frame after since that matches, with a patience that is long for what stories wait for.
func (p *play) await(since time.Time, what string, n int, match func(frame) bool) frame {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	f, err := p.wire.r.await(ctx, n, since, match)
	if err != nil {
		panic(abandoned(fmt.Sprintf("%s: %v", what, err)))
	}
	return f
}

// whose names the lab's interfaces and addresses by their hosts.
func (p *play) whose() names {
	p.t.Helper()
	n := names{hw: map[[6]byte]string{}, ip: map[netip.Addr]string{}}
	for name, h := range p.hosts {
		p.meet(n, name, h, "eth0")
	}
	return n
}

// meet adds the addresses of an interface, and the link-local one that the kernel makes of its hardware address.
func (p *play) meet(n names, name string, h *lab.Host, dev string) {
	p.t.Helper()
	var hw [6]byte
	p.Must(h.Do(func() error {
		i, err := net.InterfaceByName(dev)
		if err == nil {
			hw = [6]byte(i.HardwareAddr)
		}
		return err
	}))
	n.hw[hw] = name
	n.ip[netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: hw[0] ^ 2, 9: hw[1], 10: hw[2], 11: 0xff, 12: 0xfe, 13: hw[3], 14: hw[4], 15: hw[5]})] = name
	on, err := h.Addrs(dev)
	p.Must(err)
	for _, a := range on {
		n.ip[a.Addr()] = name
	}
}

// second gives the hosts an interface eth1 on a switch of its own, which is recorded too.
func (p *play) second() {
	p.t.Helper()
	for name := range p.daemons {
		h := p.host(name)
		p.Attach(h, "second", "eth1", "10.92.0."+strconv.Itoa(int(name[0]-'a'+1))+"/24")
		p.meet(p.names, name+".eth1", h, "eth1")
		p.Must(p.wire.r.tap(h, "eth1"))
	}
}

// conf is conf for the play's version. The second burst of gratuitous ARPs comes after two seconds unless words say more.
func (p *play) conf(c settings) string {
	c.words += p.common(c.words)
	c.advert = fmt.Sprint(p.advert.Seconds())
	if p.version == 3 {
		c.auth = "-"
	}
	return conf(c)
}

// common are words that every instance has.
func (p *play) common(words string) string {
	out := ""
	if !strings.Contains(words, "garp_master_delay") {
		out += "\n  garp_master_delay 2"
	}
	if p.version == 3 {
		out += "\n  version 3"
	}
	return out + "\n"
}

// instance is one more vrrp_instance, without authentication.
func (p *play) instance(name, dev string, vrid, priority int, vip, words string) string {
	return fmt.Sprintf(`vrrp_instance %s {
  interface %s
  virtual_router_id %d
  priority %d
  advert_int %v
  virtual_ipaddress {
    %s
  }
  %s
}
`, name, dev, vrid, priority, p.advert.Seconds(), vip, words+p.common(words))
}

// skew is SkewTime of the play's version: RFC 3768, section 6.1; RFC 5798, section 6.1.
func (p *play) skew(priority int) time.Duration {
	if p.version == 3 {
		return time.Duration(256-priority) * p.advert / 256
	}
	return skew(priority)
}

// down is MasterDownInterval of the play's version.
func (p *play) down(priority int) time.Duration { return 3*p.advert + p.skew(priority) }

// step notes that the play does something now.
func (p *play) step(format string, args ...any) time.Time {
	at := time.Now()
	p.steps = append(p.steps, step{at, fmt.Sprintf(format, args...)})
	return at
}

// begin starts a host's daemon and tells when it was first heard, usually when it joined the group: what a busy machine
// needs to start a program is not the program's.
func (p *play) begin(host string, c settings) time.Time {
	p.t.Helper()
	at := p.step("start %s", host)
	p.daemons[host].again(p.conf(c))
	if strings.Contains(c.words, "unicast_peer") {
		return p.daemons[host].said(at.Add(-time.Second), "Entering BACKUP STATE")
	}
	f := p.await(at, "sign of "+host, 1, func(f frame) bool { return f.host == host })
	return f.at.Add(-time.Microsecond)
}

// term stops a host's daemon and waits for its end.
func (p *play) term(host string) time.Time {
	p.t.Helper()
	at := p.step("stop %s", host)
	p.daemons[host].stop()
	return at
}

// again reloads a host's daemon with another configuration.
func (p *play) again(host string, c settings) time.Time {
	p.t.Helper()
	p.daemons[host].write("keepalived.conf", p.conf(c), 0o644)
	at := p.step("reload %s", host)
	p.daemons[host].signal(unix.SIGHUP)
	return at
}

// link pulls or plugs a host's cable.
func (p *play) link(host, dev string, up bool) time.Time {
	p.t.Helper()
	at := p.step("link %s of %s up: %t", dev, host, up)
	p.Must(p.host(host).Port(dev).Carrier(up))
	return at
}

// cut parts a host from all others, or joins it again.
func (p *play) cut(host string, off bool) time.Time {
	p.t.Helper()
	at := p.step("%s cut off: %t", host, off)
	if off {
		p.Must(p.host(host).Cut())
	} else {
		p.Must(p.host(host).Heal())
	}
	return at
}

// kill ends a host's daemon so that it can't tidy up.
func (p *play) kill(host string) time.Time {
	p.t.Helper()
	at := p.step("kill %s", host)
	p.daemons[host].kill()
	return at
}

// well and ill make a host's script (checked) succeed and fail.
func (p *play) well(host string) time.Time {
	p.t.Helper()
	at := p.step("script of %s succeeds", host)
	p.daemons[host].write("ok", "", 0o644)
	return at
}

func (p *play) ill(host string) time.Time {
	p.t.Helper()
	at := p.step("script of %s fails", host)
	p.daemons[host].remove("ok")
	return at
}

// checked is a script that succeeds while there is a file ok.
func checked(weight int) string {
	return fmt.Sprintf(`vrrp_script ok {
  script "/usr/bin/test -e /run/ok"
  interval 1
  weight %d
}
`, weight)
}

// first waits for a host's first frame of a kind after since; of adverts, those of the first virtual router.
func (p *play) first(host string, k kind, since time.Time) frame {
	p.t.Helper()
	return p.await(since, fmt.Sprintf("%s of %s", k, host), 1, func(f frame) bool {
		return f.host == host && f.kind == k && (f.vrid == 51 || !isAdvert(f))
	})
}

// settled waits until a host that began to speak after since has announced its addresses twice, n frames in all, and
// until half an interval after its next advert: then nothing is in the air, and what is done next is done at the same
// phase in every telling.
func (p *play) settled(host string, since time.Time, n int) frame {
	p.t.Helper()
	one := p.first(host, kindAdvert, since)
	p.spoke(host, since, n)
	p.beat(host, 1)
	return one
}

// spoke waits for n announcements of addresses.
func (p *play) spoke(host string, since time.Time, n int) {
	p.t.Helper()
	if n > 0 {
		p.await(since, fmt.Sprintf("%d announcements of %s", n, host), n, func(f frame) bool {
			return f.host == host && (f.kind == kindRequest || f.kind == kindReply || f.kind == kindNA)
		})
	}
}

// beat waits for n adverts of a host more, and half an interval.
func (p *play) beat(host string, n int) {
	p.t.Helper()
	p.phase(host, n, 0.5)
}

// phase is beat with another part of an interval: where two hosts' adverts would come at nearly the same time, it parts them.
func (p *play) phase(host string, n int, part float64) {
	p.t.Helper()
	f := p.await(time.Now(), "adverts of "+host, n, func(f frame) bool {
		return f.host == host && f.kind == kindAdvert && f.vrid == 51
	})
	p.after(f.at.Add(time.Duration(part * float64(f.interval))))
}

// last is a host's last frame of a kind before a time.
func (p *play) last(host string, k kind, before time.Time) time.Time {
	p.t.Helper()
	var at time.Time
	for _, f := range p.wire.r.all() {
		if f.host == host && f.kind == k && f.at.Before(before) {
			at = f.at
		}
	}
	if at.IsZero() {
		panic(abandoned(fmt.Sprintf("no %s of %s", k, host)))
	}
	return at
}

// took is took for this play.
func (p *play) took(what string, since, at time.Time, want time.Duration) {
	p.t.Helper()
	if d := at.Sub(since); d < want-tolerance() || d > want+tolerance() {
		p.faults = append(p.faults, fmt.Sprintf("%s: %s took %v, want %v", p.cast, what, d.Round(time.Millisecond), want))
	}
}

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

// TestStories tells every story for two keepaliveds, and for Reeve in either role beside a keepalived.
func TestStories(t *testing.T) {
	abreast(t)
	for _, st := range stories {
		versions := []int{2}
		if st.v3 {
			versions = append(versions, 3)
		}
		if st.only != 0 {
			versions = []int{st.only}
		}
		for _, v := range versions {
			t.Run(fmt.Sprintf("%s/v%d", st.name, v), func(t *testing.T) {
				t.Parallel()
				st.judge(t, v)
			})
		}
	}
}

// judge tells a story until all casts sent the same at the times that the formulas give. It is told again a few times: the
// machine may have been too busy for one of the programs, keepalived included, and a difference between them comes again.
func (st story) judge(t *testing.T, version int) {
	t.Helper()
	casts := []string{"KK", "RK"}
	if version == 2 {
		casts = append(casts, "KR")
	}
	for n := range tellings {
		plays := make([]*play, len(casts))
		t.Run(fmt.Sprint("telling", n+1), func(t *testing.T) {
			for i, cast := range casts {
				t.Run(cast, func(t *testing.T) {
					t.Parallel()
					plays[i] = st.told(t, cast, version)
				})
			}
		})
		var faults []string
		for _, p := range plays {
			if p == nil {
				return // it failed, and said so
			}
			faults = append(faults, p.faults...)
			for _, host := range slices.Sorted(maps.Keys(p.daemons)) {
				if f := compare(host, plays[0], p); f != "" {
					faults = append(faults, f)
				}
			}
		}
		if len(faults) == 0 {
			return
		}
		say := t.Logf
		if n == tellings-1 {
			say = t.Errorf
			for _, p := range plays {
				t.Logf("%s: on the wire:\n%s", p.cast, p.wire)
				for host, d := range p.daemons {
					t.Logf("%s: %s wrote:\n%s", p.cast, host, d.log)
				}
			}
		}
		say("telling %d: %s", n+1, strings.Join(faults, "\n"))
	}
}

// tellings is how often a story is told at most.
const tellings = 3
