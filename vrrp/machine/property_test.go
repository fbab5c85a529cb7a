package machine

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// runs is how many random stories a property is tried on.
func runs(few int) uint64 {
	if os.Getenv("REEVE_LONG") != "" {
		return 10_000
	}
	return uint64(few)
}

// stories tells f's story for many seeds, or for the one of REEVE_SEED with a trace of what happened.
func stories(t *testing.T, few int, f func(t *testing.T, w *world)) {
	if s := os.Getenv("REEVE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(seed)
		w.trace = t.Logf
		f(t, w)
		return
	}
	for seed := range runs(few) {
		f(t, newWorld(seed))
		if t.Failed() {
			t.Fatalf("with REEVE_SEED=%d", seed)
		}
	}
}

// network is a world of random nodes that all speak one version.
type network struct {
	*world
	t        *testing.T
	segments int
	grouped  bool
	version  uint8
	priority []int
	config   []Config
	slowest  time.Duration // advert_int of any
	faulty   []int         // segment that has a fault, -1 for none
	mixed    bool          // intervals differ
}

func (w *world) pick(all ...int) int { return all[w.rng.IntN(len(all))] }

func newNetwork(t *testing.T, w *world) *network {
	n := &network{world: w, t: t, segments: 1, version: uint8(w.pick(2, 3)), grouped: w.rng.IntN(2) == 0}
	if n.grouped {
		n.segments = w.pick(2, 3)
	}
	owner := w.rng.IntN(8) == 0
	// Version 3 learns. Who bears a worse master learns its interval too, and may then lose patience with a better one that is
	// slower: no preemption rules where intervals differ.
	n.mixed = n.version == 3 && w.rng.IntN(2) == 0
	interval := time.Second
	if n.version == 3 {
		interval = time.Duration(w.pick(10, 20, 50, 100)) * 10 * ms
	}
	for i := range w.pick(2, 2, 3, 4, 5) {
		c := Config{
			Version: n.version, AdvertInt: interval, GarpMasterRepeat: 1, GarpLowerRepeat: w.rng.IntN(2),
			NoPreempt: !n.mixed && w.rng.IntN(4) == 0, LowerNoAdvert: w.rng.IntN(4) == 0, HigherSendAdvert: w.rng.IntN(4) == 0,
		}
		if !n.mixed && w.rng.IntN(4) == 0 {
			c.PreemptDelay = time.Duration(w.pick(500, 2000, 5000)) * ms
		}
		if w.rng.IntN(5) == 0 {
			c.StartupDelay = w.upTo(2 * time.Second)
		}
		if n.mixed {
			c.AdvertInt = time.Duration(w.pick(10, 20, 50, 100)) * 10 * ms
		}
		p := w.pick(1, 50, 100, 100, 150, 254)
		if owner && i == 0 {
			p, c.OwnerWaits = 255, w.rng.IntN(2) == 0
		}
		n.slowest = max(n.slowest, c.AdvertInt)
		n.priority, n.config, n.faulty = append(n.priority, p), append(n.config, c), append(n.faulty, -1)
		w.node(n.segments, n.grouped, p, c)
	}
	return n
}

// trouble does something to some node.
func (n *network) trouble() {
	i := n.rng.IntN(len(n.nodes))
	node := n.nodes[i]
	switch n.rng.IntN(8) {
	case 0, 1:
		node.island = n.rng.IntN(3)
		n.trace("%v node%d goes to island %d", n.now.Sub(t0), i, node.island)
	case 2:
		n.setFault(i, n.rng.IntN(n.segments))
	case 3:
		n.setFault(i, -1)
	case 4:
		if n.priority[i] != 255 {
			p := 1 + n.rng.IntN(254)
			n.priority[i] = p
			node.each(func() Event { return Priority{p} })
			n.trace("%v node%d has priority %d", n.now.Sub(t0), i, p)
		}
	case 5:
		d := n.upTo(8 * n.slowest)
		node.frozen = n.now.Add(d)
		n.trace("%v node%d is frozen for %v", n.now.Sub(t0), i, d)
	case 6:
		n.trace("%v node%d dies and begins anew", n.now.Sub(t0), i)
		node.die()
		n.faulty[i] = -1
		node.boot(n.segments, n.grouped, n.priority[i], n.config[i])
	case 7:
		if n.mixed { // who was released bears worse masters
			return
		}
		n.trace("%v node%d is released", n.now.Sub(t0), i)
		if n.grouped {
			node.later(0, func() { node.step(GroupRelease{}) })
		} else {
			node.each(func() Event { return Release{} })
		}
	}
}

func (n *network) setFault(i, segment int) {
	n.faulty[i] = segment
	n.trace("%v node%d has a fault on segment %d", n.now.Sub(t0), i, segment)
	for k, inst := range n.nodes[i].inst {
		cause := ""
		if k == segment {
			cause = "eth is down"
		}
		n.nodes[i].later(0, func() { inst.feed(Faults{cause}) })
	}
}

// calm: nothing is lost or frozen any more.
func (n *network) calm() {
	n.loss = 0
	for _, node := range n.nodes {
		n.run(max(node.frozen.Sub(n.now), 0), nil)
	}
}

// able counts who can be MASTER in an island: a fault takes a whole group out, else the one instance.
func (n *network) able(island int) (count int) {
	for i, node := range n.nodes {
		if node.island == island && n.faulty[i] < 0 {
			count++
		}
	}
	return count
}

// handover is how long a change from one owner to the next may look like none or two: frames, the kernel and messages within
// the node take their time.
const handover = 60 * ms

type place struct{ segment, island int }

// wrong gives the places that have another number of owners than one, or than none where nobody is able.
func (n *network) wrong(atMost bool) map[place]int {
	out := map[place]int{}
	for island := range 3 {
		want := min(n.able(island), 1)
		for k := range n.segments {
			if owners := n.owners(k, island); owners != want && !(atMost && owners == 0) {
				out[place{k, island}] = owners
			}
		}
	}
	return out
}

// settle gives the routers the time they may take. Groups of one priority that begin at one moment may each see members
// yield to different others and all step back, so they get some more rounds.
func (n *network) settle(round time.Duration) {
	n.run(round, nil)
	for extra := 0; n.grouped && extra < 4; extra++ {
		calm := true
		if n.run(n.slowest, func() { calm = calm && len(n.wrong(false)) == 0 }); calm {
			return
		}
		n.run(round, nil)
	}
}

// watch runs for a while and wants one owner of each segment in each island that has somebody able, at most one otherwise
// (atMost: always), but for the moment of a change.
func (n *network) watch(d time.Duration, atMost bool) {
	since := map[place]time.Duration{}
	bound := handover
	if n.mixed { // the last advert of a quick master may come after the first of a slow one, and teach impatience
		bound += n.slowest
	}
	n.run(d, func() {
		wrong := n.wrong(atMost)
		for at := range since {
			if _, still := wrong[at]; !still {
				delete(since, at)
			}
		}
		for at, owners := range wrong {
			if since[at] += 10 * ms; since[at] > bound && !n.t.Failed() {
				n.t.Errorf("%v: segment %d of island %d has %d owners%s", n.now.Sub(t0), at.segment, at.island, owners, n.picture())
			}
		}
	})
}

// together wants the members of each group in one state, which is the group's, and which was notified last.
func (n *network) together() {
	for _, node := range n.nodes {
		for _, i := range node.inst {
			if node.group == nil || node.inst[0].m.State() == i.m.State() && node.group.State() == i.m.State() {
				continue
			}
			n.t.Errorf("a group is torn%s", n.picture())
			return
		}
		if node.group == nil {
			continue
		}
		last := ""
		for _, what := range node.notified {
			if strings.HasPrefix(what, "G ") {
				last = what
			}
		}
		if last != "G "+node.group.State().String() {
			n.t.Errorf("node%d: the last notification is %q, the group is %v", node.index, last, node.group.State())
		}
	}
}

// TestOneMasterPerPartition: whatever happened (frames lost and late, the segment cut in islands, links and nodes failing,
// freezing, priorities changing), once it is calm there is one master in each part of the network, and after the parts are
// joined again never two for longer than three intervals and a skew; members of a group are MASTER together.
func TestOneMasterPerPartition(t *testing.T) {
	stories(t, 400, func(t *testing.T, w *world) {
		n := newNetwork(t, w)
		n.loss = w.pick(0, 0, 10, 50, 90)
		n.delay = time.Duration(w.pick(1, 5, 20)) * ms
		for range w.rng.IntN(7) {
			n.run(n.upTo(5*n.slowest), nil)
			n.trouble()
		}
		n.calm()
		down := 3*n.slowest + time.Second // the slowest skew
		n.settle(down + n.slowest + 2*time.Second + 100*ms)
		n.watch(5*n.slowest, false)
		n.together()
		if t.Failed() {
			return
		}
		n.trace("%v heals", n.now.Sub(t0))
		for i, node := range n.nodes {
			node.island = 0
			n.setFault(i, -1)
		}
		n.run(n.slowest+handover, nil) // each master hears the others
		n.watch(down-n.slowest, true)
		n.settle(n.slowest)
		n.watch(5*n.slowest, false)
		n.together()
	})
}

// TestBestIsMaster: with preemption and nothing in its way, the best that is able is MASTER in the end.
func TestBestIsMaster(t *testing.T) {
	stories(t, 100, func(t *testing.T, w *world) {
		n := newNetwork(t, w)
		for i, node := range n.nodes {
			n.config[i].NoPreempt, n.config[i].PreemptDelay, n.config[i].StartupDelay = false, 0, 0
			node.die()
			node.boot(n.segments, n.grouped, n.priority[i], n.config[i])
		}
		n.loss = w.pick(0, 30)
		for range 3 {
			n.run(n.upTo(5*n.slowest), nil)
			i := w.rng.IntN(len(n.nodes))
			n.nodes[i].island = w.rng.IntN(2)
			n.setFault(w.rng.IntN(len(n.nodes)), w.pick(-1, 0))
		}
		n.calm()
		best := -1
		for i, node := range n.nodes {
			node.island = 0
			n.setFault(i, -1)
			if best < 0 || n.priority[i] > n.priority[best] {
				best = i
			}
		}
		n.run(9*n.slowest+2*time.Second, nil)
		for i, node := range n.nodes { // equals do not preempt each other
			if node.owns() != "" && n.priority[i] < n.priority[best] {
				t.Errorf("node%d should be MASTER%s", best, n.picture())
				return
			}
		}
	})
}

// leader is a simulated cluster that gives one lease: it moves it no sooner than a TTL and a margin after the last renewal
// it answered, or when it was released.
type leader struct {
	holder int
	epoch  uint64
	free   time.Duration
	reach  []int // 1 in reach, 2 not, 0 not known yet
}

func (l *leader) tick(n *network) {
	at := n.now.Sub(t0)
	tell := func(node *simNode, v vrrp.Verdict) {
		v.Instance = "G"
		node.later(n.upTo(2*ms), func() { node.step(GroupDecided{v}) })
	}
	for i, node := range n.nodes {
		if is := 1 + min(node.island, 1); l.reach[i] != is {
			l.reach[i] = is
			v := vrrp.Verdict{Kind: vrrp.Quorum, Voters: 3}
			if is == 2 {
				v.Kind = vrrp.NoQuorum
			}
			node.each(func() Event { return Decided{Verdict: v} })
		}
	}
	if h := l.holder; h >= 0 && n.nodes[h].released == l.epoch {
		l.holder, l.free = -1, 0
	}
	if h := l.holder; h >= 0 && l.reach[h] == 1 && n.nodes[h].group.Lease() == l.epoch && n.rng.IntN(100) >= n.loss {
		if n.now.Before(n.nodes[h].frozen) { // a frozen node asks for nothing
			return
		}
		l.free = at + ttl + margin
		tell(n.nodes[h], vrrp.Verdict{Kind: vrrp.Extended, Epoch: l.epoch, Expiry: n.now.Add(ttl)})
	}
	if l.holder >= 0 && at < l.free {
		return
	}
	best := -1
	for i, node := range n.nodes {
		c := node.stands
		if l.reach[i] == 1 && c.Ready && c.Priority > 0 && (best < 0 || c.Priority > n.nodes[best].stands.Priority) {
			best = i
		}
	}
	if best < 0 {
		return
	}
	if l.holder >= 0 && l.holder != best {
		tell(n.nodes[l.holder], vrrp.Verdict{Kind: vrrp.Lost, Epoch: l.epoch})
	}
	l.epoch++
	l.holder, l.free = best, at+ttl+margin
	tell(n.nodes[best], vrrp.Verdict{Kind: vrrp.Granted, Epoch: l.epoch, Expiry: n.now.Add(ttl)})
}

// TestGroupHasOneLease: a group of a cluster with a quorum is on one node at a time, with all its addresses, whatever is
// cut, lost, frozen, dead or released.
func TestGroupHasOneLease(t *testing.T) {
	stories(t, 200, func(t *testing.T, w *world) {
		n := newNetwork(t, w)
		n.grouped, n.segments = true, 2
		l := &leader{holder: -1, reach: make([]int, len(n.nodes))}
		for i, node := range n.nodes {
			n.config[i].Cluster, n.config[i].OnQuorumLoss = true, vrrp.QuorumLossRelease
			node.die()
			node.boot(n.segments, true, n.priority[i], n.config[i])
		}
		n.loss = w.pick(0, 20, 50)
		var tick func()
		tick = func() { l.tick(n); w.after(50*ms, tick) }
		tick()
		one := func() {
			on := 0
			for _, node := range n.nodes {
				// One that is frozen can't take its addresses off: there the guard does, which is not here.
				if node.owns() != "" && !n.now.Before(node.frozen) {
					on++
				}
			}
			if on > 1 && !t.Failed() {
				t.Errorf("%v: the group is on %d nodes%s", n.now.Sub(t0), on, n.picture())
			}
		}
		for range w.rng.IntN(8) {
			n.run(n.upTo(2*time.Second), one)
			i := w.rng.IntN(len(n.nodes))
			if n.trouble(); n.nodes[i].stands.Priority == 0 {
				l.reach[i] = 0
			}
		}
		n.calm()
		for i, node := range n.nodes {
			node.island, l.reach[i] = 0, 0
			n.setFault(i, -1)
		}
		n.run(8*time.Second, one)
		if on := n.owners(0, 0); on != 1 || n.owners(1, 0) != 1 {
			t.Errorf("the group has %d owners in the end%s", on, n.picture())
		}
		n.together()
	})
}
