package drill

import (
	"fmt"
	"strings"
	"time"
)

// stories are told to every cast. Where nothing else is said, a has priority 100 and b 50.
var stories = []story{
	{name: "start", v3: true, tell: tellStart},
	{name: "stop", v3: true, tell: tellStop},
	{name: "link", v3: true, tell: tellLink},
	{name: "weight", v3: true, tell: tellWeight},
	{name: "fault", v3: true, tell: tellFault},
	{name: "group", tell: tellGroup},
	{name: "preempt", v3: true, tell: tellPreempt},
	{name: "nopreempt", v3: true, tell: tellNoPreempt},
	{name: "preempt_delay", v3: true, tell: tellPreemptDelay},
	{name: "reload-address", v3: true, tell: tellReloadAddress},
	{name: "reload-priority", v3: true, tell: tellReloadPriority},
	{name: "reload-removes", tell: tellReloadRemoves},
	{name: "owner", v3: true, tell: tellOwner},
	{name: "unicast", v3: true, tell: tellUnicast},
	{name: "kill", tell: tellKill},
	{name: "ah", tell: tellAH},
	{name: "ah-unicast", tell: tellAHUnicast},
	{name: "partition", v3: true, tell: tellPartition},
	{name: "newcomer", tell: tellNewcomer},
	{name: "equal", v3: true, tell: tellEqual},
	{name: "three", hosts: []string{"a", "b", "c"}, tell: tellThree},
	{name: "excluded", v3: true, tell: tellExcluded},
	{name: "garp", tell: tellGarp},
	{name: "garp-lower", tell: tellGarpLower},
	{name: "track_interface", tell: tellTrackInterface},
	{name: "opposite", v3: true, tell: tellOpposite},
	{name: "ipv6", only: 3, tell: tellIPv6},
	{name: "startup_delay", tell: tellStartupDelay},
	{name: "vmac", v3: true, tell: tellVMAC},
	{name: "vmac_xmit_base", tell: tellXmitBase},
	{name: "conflict-words", tell: tellConflictWords},
}

// pair starts a, waits until it is MASTER and has announced its addresses in n frames, and starts b.
func (p *play) pair(a, b settings, n int) {
	p.t.Helper()
	if a.priority == 0 {
		a.priority = 100
	}
	if b.priority == 0 {
		b.priority = 50
	}
	p.settled("a", p.begin("a", a), n)
	p.begin("b", b)
	p.beat("a", 2)
}

// handover is what a stop of a leads to: b is MASTER after its skew.
func (p *play) handover(n int) {
	p.t.Helper()
	at := p.term("a")
	zero := p.first("a", kindZero, at)
	p.took("take-over", zero.at, p.settled("b", at, n).at, p.skew(50))
}

// tellStart: a node that is alone, with keepalived's own second burst after five seconds.
func tellStart(p *play) {
	began := p.begin("a", settings{priority: 100, words: "garp_master_delay 5"})
	one := p.settled("a", began, 10)
	p.took("MASTER", began, one.at, p.down(100))
	var garps []time.Time
	for _, f := range p.wire.all(began, func(f frame) bool { return f.kind == kindRequest }) {
		garps = append(garps, f.at)
	}
	p.took("the second burst", garps[0], garps[5], 5*time.Second)
}

// tellStop: the master is told to stop, and comes back.
func tellStop(p *play) {
	p.pair(settings{}, settings{}, 10)
	p.handover(10)
	began := p.begin("a", settings{priority: 100})
	p.took("coming back", began, p.settled("a", began, 10).at, p.down(100))
}

// tellLink: the cable of the master is pulled and plugged in again.
func tellLink(p *play) {
	p.pair(settings{}, settings{}, 10)
	at := p.link("a", "eth0", false)
	p.took("take-over", p.last("a", kindAdvert, at), p.settled("b", at, 10).at, p.down(50))
	at = p.link("a", "eth0", true)
	p.took("coming back", at, p.settled("a", at, 10).at, p.down(100))
}

// tellWeight: a script takes 60 from the master's priority, and gives it back.
func tellWeight(p *play) {
	p.daemons["a"].write("ok", "", 0o644)
	p.pair(settings{priority: 200, before: checked(-60), words: "track_script {\n    ok\n  }"}, settings{priority: 150}, 10)
	at := p.ill("a")
	low := p.await(at, "the lowered advert", 1, func(f frame) bool { return f.host == "a" && f.priority == 140 })
	// The last advert that b obeyed was the one before.
	p.took("take-over", low.at.Add(-p.advert), p.settled("b", at, 10).at, p.down(150))
	p.settled("a", p.well("a"), 10)
}

// tellFault: a script without weight fails, and recovers.
func tellFault(p *play) {
	p.daemons["a"].write("ok", "", 0o644)
	p.pair(settings{before: checked(0), words: "track_script {\n    ok\n  }"}, settings{}, 10)
	at := p.ill("a")
	zero := p.first("a", kindZero, at)
	p.took("take-over", zero.at, p.settled("b", at, 10).at, p.skew(50))
	p.settled("a", p.well("a"), 10)
}

// tellGroup: two instances on two interfaces in a group; one cable is pulled, and plugged in again.
func tellGroup(p *play) {
	p.second()
	set := func(priority int) settings {
		return settings{priority: priority, before: "vrrp_sync_group G {\n  group {\n    VI_1\n    VI_2\n  }\n}\n" +
			p.instance("VI_2", "eth1", 52, priority, "10.91.0.110/24", "")}
	}
	p.pair(set(150), set(100), 20)
	at := p.link("a", "eth1", false)
	// The first router's priority 0 is not enough: the second, which nobody could say goodbye for, has to be missed.
	last := at
	for _, f := range p.wire.all(time.Time{}, by("a")) {
		if f.vrid == 52 && f.at.Before(at) {
			last = f.at
		}
	}
	p.took("take-over of both", last, p.settled("b", at, 20).at, p.down(100))
	p.phase("b", 1, 0.1) // a comes back at 0.5 of b's interval
	p.settled("a", p.link("a", "eth1", true), 20)
	p.term("a")
	p.beat("b", 3)
}

// tellPreempt: the better node comes second.
func tellPreempt(p *play) {
	p.settled("b", p.begin("b", settings{priority: 50}), 10)
	began := p.begin("a", settings{priority: 100})
	p.took("preemption", began, p.settled("a", began, 10).at, p.down(100))
	p.beat("a", 2)
}

// tellNoPreempt: the better node comes second and leaves the worse one alone until that stops.
func tellNoPreempt(p *play) {
	p.settled("b", p.begin("b", settings{priority: 50}), 10)
	p.begin("a", settings{priority: 100, words: "state BACKUP\n  nopreempt"})
	p.beat("b", 6)
	at := p.term("b")
	zero := p.first("b", kindZero, at)
	p.took("take-over", zero.at, p.settled("a", at, 10).at, p.skew(100))
}

// tellPreemptDelay: the better node comes second and waits before it may preempt.
func tellPreemptDelay(p *play) {
	p.settled("b", p.begin("b", settings{priority: 50}), 10)
	began := p.begin("a", settings{priority: 100, words: "state BACKUP\n  preempt_delay 3.3"})
	heard := p.first("b", kindAdvert, began)
	// Adverts are obeyed while the delay runs, so the last of them before its end counts.
	one := p.settled("a", began, 10)
	last := heard.at
	for _, f := range p.wire.all(began, by("b")) {
		if f.at.Before(heard.at.Add(3300 * time.Millisecond)) {
			last = f.at
		}
	}
	p.took("preemption", last, one.at, p.down(100))
}

const twoAddresses = vip + "/24\n    10.91.0.101/24"

// tellReloadAddress: an address more on both nodes, then it goes again, without a change of state.
func tellReloadAddress(p *play) {
	p.pair(settings{}, settings{}, 10)
	p.again("b", settings{priority: 50, vips: twoAddresses})
	at := p.again("a", settings{priority: 100, vips: twoAddresses})
	p.await(at, "the longer list", 3, func(f frame) bool { return f.host == "a" && f.kind == kindAdvert && len(f.addrs) == 2 })
	p.beat("a", 3)
	p.again("b", settings{priority: 50})
	at = p.again("a", settings{priority: 100})
	p.await(at, "the shorter list", 3, func(f frame) bool { return f.host == "a" && f.kind == kindAdvert && len(f.addrs) == 1 })
	p.beat("a", 2)
}

// tellReloadPriority: the master becomes the worse node, and the better one again.
func tellReloadPriority(p *play) {
	p.pair(settings{}, settings{}, 10)
	p.settled("b", p.again("a", settings{priority: 40}), 10)
	p.settled("a", p.again("a", settings{priority: 100}), 10)
}

// tellReloadRemoves: one of two instances goes from the master's file.
func tellReloadRemoves(p *play) {
	both := func(priority int) settings {
		return settings{priority: priority, before: p.instance("VI_2", "eth0", 52, priority, "10.91.0.110/24", "")}
	}
	p.pair(both(100), both(50), 20)
	at := p.again("a", settings{priority: 100})
	second := func(host string, k kind) time.Time {
		return p.await(at, "the second router's frame", 1, func(f frame) bool { return f.host == host && f.kind == k && f.vrid == 52 }).at
	}
	p.took("take-over", second("a", kindZero), second("b", kindAdvert), p.skew(50))
	p.spoke("b", at, 10)
	p.beat("a", 2)
}

// tellOwner: the owner of the address stops, and takes it at once when it is back.
func tellOwner(p *play) {
	p.pair(settings{priority: 255}, settings{}, 10)
	p.handover(10)
	began := p.begin("a", settings{priority: 255})
	one := p.settled("a", began, 10)
	p.took("coming back", began, one.at, 0)
}

// tellUnicast: no group at all.
func tellUnicast(p *play) {
	to := func(self, peer string) string {
		return fmt.Sprintf("unicast_src_ip %s\n  unicast_peer {\n    %s\n  }", address(self), address(peer))
	}
	p.pair(settings{words: to("a", "b")}, settings{words: to("b", "a")}, 10)
	p.handover(10)
	began := p.begin("a", settings{priority: 100, words: to("a", "b")})
	p.took("coming back", began, p.settled("a", began, 10).at, p.down(100))
}

const authAH = "    auth_type AH\n    auth_pass test"

// tellAH: authentication headers, through a stop and a crash. The numbers go on from machine to machine, and
// nobody refuses another's.
func tellAH(p *play) {
	a, b := settings{priority: 100, auth: authAH}, settings{priority: 50, auth: authAH}
	p.pair(a, b, 10)
	p.handover(10)
	began := p.begin("a", a)
	p.took("coming back", began, p.settled("a", began, 10).at, p.down(100))
	at := p.kill("a")
	p.took("take-over", p.last("a", kindAdvert, at), p.settled("b", at, 10).at, p.down(50))
	began = p.begin("a", a)
	p.settled("a", began, 10)
	p.beat("a", 2)
	p.sealed()
}

// tellAHUnicast is the same by unicast, whose ICV is made otherwise, with a TTL of its own.
func tellAHUnicast(p *play) {
	to := func(self, peer string, priority int) settings {
		return settings{priority: priority, auth: authAH, words: fmt.Sprintf("unicast_src_ip %s\n  unicast_ttl 9\n  unicast_peer {\n    %s\n  }", address(self), address(peer))}
	}
	p.pair(to("a", "b", 100), to("b", "a", 50), 10)
	p.handover(10)
	began := p.begin("a", to("a", "b", 100))
	p.took("coming back", began, p.settled("a", began, 10).at, p.down(100))
	p.sealed()
}

// sealed wants of all adverts that their authentication headers' numbers rise by one, whoever sends; that each start counts
// identifications from 1; that nothing is wrong with an ICV; and that no daemon refused any.
func (p *play) sealed() {
	p.t.Helper()
	sequence, ids := uint32(0), map[string]uint16{}
	for _, f := range p.wire.all(time.Time{}, isAdvert) {
		if !f.ah || f.authType != 2 || f.auth != "" || f.spi != f.src || len(f.broken) > 0 {
			p.faults = append(p.faults, fmt.Sprintf("%s: %s sends %+v", p.cast, f.host, f))
		}
		if f.sequence != sequence+1 {
			p.faults = append(p.faults, fmt.Sprintf("%s: %s numbers an advert %d after %d", p.cast, f.host, f.sequence, sequence))
		}
		if f.id != 1 && f.id != ids[f.host]+1 {
			p.faults = append(p.faults, fmt.Sprintf("%s: %s has the identification %d after %d", p.cast, f.host, f.id, ids[f.host]))
		}
		sequence, ids[f.host] = f.sequence, f.id
	}
	for host, d := range p.daemons {
		for _, bad := range []string{"IPSEC", "AH header", "advert dropped"} {
			if len(d.log.all(time.Time{}, bad)) > 0 {
				p.faults = append(p.faults, fmt.Sprintf("%s: %s says %s", p.cast, host, bad))
			}
		}
	}
}

// tellKill: everything that belongs to the master's daemon is killed; started again, it tidies up and preempts.
func tellKill(p *play) {
	p.pair(settings{}, settings{}, 10)
	at := p.kill("a")
	p.took("take-over", p.last("a", kindAdvert, at), p.settled("b", at, 10).at, p.down(50))
	began := p.begin("a", settings{priority: 100})
	p.took("coming back", began, p.settled("a", began, 10).at, p.down(100))
}

// tellPartition: both are MASTER for a while, and the better one announces its address again when they meet.
func tellPartition(p *play) {
	p.advert = time.Second // b's advert is to come first after the heal, in time
	p.pair(settings{}, settings{}, 10)
	at := p.cut("b", true)
	p.took("take-over", p.last("a", kindAdvert, at), p.settled("b", at, 10).at, p.down(50))
	at = p.cut("b", false)
	p.spoke("a", at, 10)
	p.beat("a", 3)
}

// tellNewcomer: a node of lower priority comes, and goes, and is not heard of.
func tellNewcomer(p *play) {
	p.pair(settings{}, settings{}, 10)
	p.beat("a", 6)
	p.term("b")
	p.beat("a", 2)
}

// tellEqual: equal priorities; who comes first is MASTER, after a partition it is the higher address.
func tellEqual(p *play) {
	p.advert = time.Second
	p.pair(settings{}, settings{priority: 100}, 10)
	at := p.cut("b", true)
	p.took("take-over", p.last("a", kindAdvert, at), p.settled("b", at, 10).at, p.down(100))
	p.cut("b", false)
	p.beat("b", 5)
	at = p.term("b")
	zero := p.first("b", kindZero, at)
	p.took("take-over", zero.at, p.settled("a", at, 10).at, p.skew(100))
}

// tellThree: three nodes, the best one stops each time.
func tellThree(p *play) {
	p.settled("a", p.begin("a", settings{priority: 150}), 10)
	p.begin("b", settings{priority: 100})
	p.begin("c", settings{priority: 50})
	p.beat("a", 2)
	for _, next := range []struct {
		out, in  string
		priority int
	}{{"a", "b", 100}, {"b", "c", 50}} {
		at := p.term(next.out)
		zero := p.first(next.out, kindZero, at)
		p.took("take-over", zero.at, p.settled(next.in, at, 10).at, p.skew(next.priority))
	}
}

// tellExcluded: addresses that the adverts do not carry, one of the other family, and more than one that they do.
func tellExcluded(p *play) {
	set := settings{vips: "10.91.0.102/24\n    " + twoAddresses, words: "virtual_ipaddress_excluded {\n    10.91.0.105/24\n    fd91::105/64\n    10.91.0.104\n  }"}
	p.pair(set, set, 60)
	p.handover(60)
}

// tellGarp: the schedule of a MASTER, with every setting of it.
func tellGarp(p *play) {
	set := settings{priority: 100, words: strings.Join([]string{
		"garp_master_delay 1", "garp_master_repeat 2", "garp_master_refresh 3", "garp_master_refresh_repeat 3",
	}, "\n  ")}
	p.settled("a", p.begin("a", set), 2+2+3+3)
}

// tellGarpLower: the schedule of a conflict.
func tellGarpLower(p *play) {
	p.advert = time.Second
	set := settings{words: "garp_lower_prio_repeat 4\n  garp_lower_prio_delay 3"}
	p.pair(set, set, 10)
	at := p.cut("b", true)
	p.settled("b", at, 10)
	p.spoke("a", p.cut("b", false), 8)
	p.beat("a", 1)
}

// tellTrackInterface: another interface takes 60 from the master's priority while it is down.
func tellTrackInterface(p *play) {
	p.second()
	p.pair(settings{priority: 200, words: "track_interface {\n    eth1 weight -60\n  }"}, settings{priority: 150}, 10)
	p.settled("b", p.link("a", "eth1", false), 10)
	p.settled("a", p.link("a", "eth1", true), 10)
}

// tellOpposite: each node is the better one for one of two instances of an interface.
func tellOpposite(p *play) {
	set := func(one, two int) settings {
		return settings{priority: one, before: p.instance("VI_2", "eth0", 52, two, "10.91.0.110/24", "")}
	}
	p.settled("a", p.begin("a", set(100, 50)), 20)
	at := p.begin("b", set(50, 100))
	p.settled52("b", at)
	at = p.term("a")
	zero := p.first("a", kindZero, at)
	p.took("take-over", zero.at, p.settled("b", at, 10).at, p.skew(50))
	at = p.begin("a", set(100, 50))
	p.took("coming back", at, p.settled("a", at, 10).at, p.down(100))
}

// settled52 waits until a host has taken the second instance and announced it.
func (p *play) settled52(host string, since time.Time) {
	p.t.Helper()
	p.spoke(host, since, 10)
	p.beat("a", 2)
}

// tellIPv6: the same for the other family.
func tellIPv6(p *play) {
	set := settings{vips: "fd91::100/64\n    fd91::101/64"}
	p.pair(set, set, 20)
	p.handover(20)
	began := p.begin("a", settings{priority: 100, vips: set.vips})
	p.took("coming back", began, p.settled("a", began, 20).at, p.down(100))
}

// tellStartupDelay: nothing is said for three seconds more.
func tellStartupDelay(p *play) {
	p.settled("a", p.begin("a", settings{priority: 100, global: "vrrp_startup_delay 3"}), 10)
}

// tellVMAC: the virtual router has a hardware address of its own, for its adverts too.
func tellVMAC(p *play) {
	p.pair(settings{words: "use_vmac"}, settings{words: "use_vmac"}, 10)
	p.handover(10)
}

// tellXmitBase: the virtual router has a hardware address of its own, its adverts come from the interface's.
func tellXmitBase(p *play) {
	set := settings{words: "use_vmac\n  vmac_xmit_base"}
	p.pair(set, set, 10)
	p.handover(10)
}

// tellConflictWords: a conflict in which the better one says nothing at once, and the worse one has a last word.
func tellConflictWords(p *play) {
	set := settings{words: "lower_prio_no_advert\n  higher_prio_send_advert"}
	p.pair(set, set, 10)
	p.settled("b", p.cut("b", true), 10)
	p.spoke("a", p.cut("b", false), 10)
	p.beat("a", 3)
}
