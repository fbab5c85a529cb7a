package machine

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/vrrp"
)

// world is machines on simulated segments, in virtual time: frames are lost, delayed and cut off, a kernel takes its time,
// nodes freeze and die, and a member and its group talk by messages that take time too.
type world struct {
	rng   *rand.Rand
	now   boottime.Time
	queue happenings
	seq   uint64
	nodes []*simNode
	delay time.Duration // at most, of a frame
	loss  int           // percent
	trace func(format string, args ...any)
}

type happening struct {
	at  boottime.Time
	seq uint64
	do  func()
}

type happenings []happening

func (h happenings) Len() int { return len(h) }
func (h happenings) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h happenings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *happenings) Push(x any)   { *h = append(*h, x.(happening)) }
func (h *happenings) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func newWorld(seed uint64) *world {
	return &world{rng: rand.New(rand.NewPCG(seed, 7)), now: t0, delay: 5 * ms, trace: func(string, ...any) {}}
}

func (w *world) after(d time.Duration, f func()) {
	w.seq++
	heap.Push(&w.queue, happening{w.now.Add(d), w.seq, f})
}

// run lets time pass, calling check every 10 ms.
func (w *world) run(d time.Duration, check func()) {
	end, next := w.now.Add(d), w.now
	for {
		for len(w.queue) > 0 && w.queue[0].at <= min(next, end) {
			h := heap.Pop(&w.queue).(happening)
			w.now = max(w.now, h.at)
			h.do()
		}
		if w.now = max(w.now, min(next, end)); next >= end {
			return
		}
		if check != nil {
			check()
		}
		next = next.Add(10 * ms)
	}
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d) + 1)) }

// simNode is a machine of the network with an instance on each segment, in a group or not.
type simNode struct {
	w        *world
	index    int
	life     int // what belongs to another life is void
	island   int
	frozen   boottime.Time
	busy     boottime.Time // messages within the node arrive in order
	inst     []*simInst
	group    *Group
	notified []string // what scripts were run, in order: instance or group and state
	stands   vrrp.Candidacy
	released uint64
	withdrew bool
}

type simInst struct {
	n       *simNode
	name    string
	segment int
	source  netip.Addr
	m       Machine
	timers  [Timers]boottime.Time
	on      bool
	cut     bool // its link is down
	zeros   int  // adverts of priority 0 sent
	sent    int
}

// node adds one. grouped: its instances are a sync group.
func (w *world) node(segments int, grouped bool, priority int, cfg Config) *simNode {
	n := &simNode{w: w, index: len(w.nodes)}
	w.nodes = append(w.nodes, n)
	n.boot(segments, grouped, priority, cfg)
	return n
}

// boot begins a life.
func (n *simNode) boot(segments int, grouped bool, priority int, cfg Config) {
	n.life++
	n.inst, n.group, n.stands, n.frozen = nil, nil, vrrp.Candidacy{}, 0
	var names []string
	for k := range segments {
		i := &simInst{n: n, name: fmt.Sprintf("VI_%d", k+1), segment: k, source: netip.AddrFrom4([4]byte{10, 90, byte(k), byte(n.index + 1)})}
		names = append(names, i.name)
		n.inst = append(n.inst, i)
	}
	cfg.Node = fmt.Sprintf("node%d", n.index)
	if grouped {
		cfg.Group = "G"
		g := NewGroup(GroupConfig{Name: "G", Members: names, Cluster: cfg.Cluster})
		n.group = &g
	}
	for _, i := range n.inst {
		i.m = New(cfg)
		i.feed(Priority{priority})
		i.feed(Source{i.source})
		n.later(0, func() { i.feed(Start{}) })
	}
}

// later does something within the node, in order, when it is not frozen, and not in another life.
func (n *simNode) later(d time.Duration, f func()) {
	life := n.life
	at := max(n.busy, n.w.now.Add(d))
	n.busy = at
	n.w.after(at.Sub(n.w.now), func() { n.awake(life, f) })
}

func (n *simNode) awake(life int, f func()) {
	switch {
	case n.life != life:
	case n.w.now.Before(n.frozen):
		n.w.after(n.frozen.Sub(n.w.now), func() { n.awake(life, f) })
	default:
		f()
	}
}

func (n *simNode) each(ev func() Event) {
	for _, i := range n.inst {
		n.later(0, func() { i.feed(ev()) })
	}
}

// die: no word, and the guard takes the addresses off.
func (n *simNode) die() {
	n.life++
	for _, i := range n.inst {
		i.on = false
	}
}

func (i *simInst) feed(ev Event) {
	m, actions := i.m.Step(ev, i.n.w.now)
	i.m = m
	for _, a := range actions {
		i.take(a)
	}
}

func (i *simInst) take(a Action) {
	n, w := i.n, i.n.w
	switch a := a.(type) {
	case SendAdvert:
		i.send(a.Priority)
	case SetTimer:
		i.timers[a.Timer] = a.At
		if life := n.life; !a.At.IsZero() {
			w.after(a.At.Sub(w.now), func() {
				n.awake(life, func() {
					if i.timers[a.Timer] == a.At {
						i.timers[a.Timer] = 0
						i.feed(Fired{a.Timer})
					}
				})
			})
		}
	case AddAddresses:
		if !a.Deadline.IsZero() && !w.now.Before(a.Deadline) {
			n.later(0, func() { i.feed(AddressesFailed{Expired: true}) })
			return
		}
		i.on = true
		n.later(w.upTo(2*ms), func() { i.feed(AddressesOn{}) })
	case RemoveAddresses:
		i.on = false
		n.later(w.upTo(2*ms), func() { i.feed(AddressesOff{}) })
	case TellGroup:
		n.later(w.upTo(ms), func() { n.step(MemberSays{i.name, a.Member}) })
	case Notify:
		n.notified = append(n.notified, i.name+" "+a.State.String())
	case Entered:
		w.trace("%v node%d %s -> %v: %s", w.now.Sub(t0), n.index, i.name, a.To, a.Cause)
	}
}

func (n *simNode) step(ev GroupEvent) {
	if n.group == nil {
		return
	}
	g, actions := n.group.Step(ev)
	*n.group = g
	for _, a := range actions {
		switch a := a.(type) {
		case ToMember:
			for _, i := range n.inst {
				if i.name == a.Name {
					n.later(n.w.upTo(ms), func() { i.feed(a.Event) })
				}
			}
		case GroupNotify:
			n.notified = append(n.notified, "G "+a.State.String())
		case GroupEntered:
			n.w.trace("%v node%d G -> %v: %s", n.w.now.Sub(t0), n.index, a.To, a.Cause)
		case Stand:
			n.stands = a.Candidacy
		case Released:
			n.released = a.Epoch
		case Withdraw:
			n.withdrew = true
		}
	}
}

// send delivers to everybody on the segment who is in reach when it arrives.
func (i *simInst) send(priority uint8) {
	w := i.n.w
	i.sent++
	if priority == 0 {
		i.zeros++
	}
	a := Advert{i.source, priority, i.m.cfg.AdvertInt}
	for _, o := range w.nodes {
		if o == i.n || i.cut || i.segment >= len(o.inst) || w.rng.IntN(100) < w.loss {
			continue
		}
		life := o.life
		w.after(w.upTo(w.delay), func() {
			if o.island == i.n.island && !o.inst[i.segment].cut {
				o.awake(life, func() { o.inst[i.segment].feed(a) })
			}
		})
	}
}

// owners counts who has a segment's address within an island.
func (w *world) owners(segment, island int) (n int) {
	for _, o := range w.nodes {
		if o.island == island && segment < len(o.inst) && o.inst[segment].on {
			n++
		}
	}
	return n
}

func (w *world) picture() string {
	var b strings.Builder
	for _, n := range w.nodes {
		fmt.Fprintf(&b, "\nnode%d island %d:", n.index, n.island)
		for _, i := range n.inst {
			fmt.Fprintf(&b, " %v %d(on %v)", i.m.State(), i.m.EffectivePriority(), i.on)
		}
		if n.group != nil {
			fmt.Fprintf(&b, " group %v lease %d giving %d", n.group.State(), n.group.lease, n.group.giving)
		}
	}
	return b.String()
}

// pair is two nodes with a group each, on two segments, as two keepalived with vrrp_sync_group were measured.
func pair(t *testing.T, priorityA, priorityB int) (w *world, a, b *simNode) {
	w = newWorld(1)
	w.delay = ms
	if testing.Verbose() {
		w.trace = t.Logf
	}
	c := Config{AdvertInt: time.Second, GarpMasterRepeat: 1}
	return w, w.node(2, true, priorityA, c), w.node(2, true, priorityB, c)
}

func (n *simNode) owns() string {
	s := ""
	for _, i := range n.inst {
		if i.on {
			s += i.name + " "
		}
	}
	return strings.TrimSpace(s)
}

// TestGroupMeasured plays what keepalived was measured to do, times included.
func TestGroupMeasured(t *testing.T) {
	both := "VI_1 VI_2"
	t.Run("a link of the master fails", func(t *testing.T) {
		w, a, b := pair(t, 150, 100)
		w.run(6300*ms, nil)
		if a.owns() != both || b.owns() != "" {
			t.Fatal(w.picture())
		}
		zeros := a.inst[0].zeros
		last := a.inst[1].timers[AdvertTick].Add(-time.Second)
		a.inst[1].cut = true
		a.later(0, func() { a.inst[1].feed(Faults{"eth1 is down"}) })
		w.run(20*ms, nil)
		if a.owns() != "" || a.inst[0].m.State() != Fault || a.group.State() != Fault {
			t.Fatal("not both in FAULT at once", w.picture())
		}
		if got := a.inst[0].zeros - zeros; got != 1 {
			t.Errorf("the member without a fault sent %d adverts of priority 0", got)
		}
		if got := a.inst[1].zeros; got != 2 {
			t.Errorf("the member with the fault sent %d adverts of priority 0", got)
		}
		// B's VI_1 heard priority 0, but VI_2 heard nothing: both wait for VI_2's Master_Down_Interval.
		for b.owns() == "" {
			w.run(ms, nil)
		}
		w.run(10*ms, nil)
		if at := w.now.Sub(last); b.owns() != both || at < 3609*ms || at > 3650*ms {
			t.Errorf("peer has %q %v after the last advert of VI_2", b.owns(), at)
		}
		a.inst[1].cut = false
		a.later(0, func() { a.inst[1].feed(Faults{}) })
		begin := w.now
		for a.owns() != both {
			w.run(ms, nil)
		}
		w.run(20*ms, nil)
		if at := w.now.Sub(begin); b.owns() != "" || at < 3414*ms || at > 3460*ms {
			t.Errorf("back after %v, the other has %q", at, b.owns())
		}
		if b.inst[0].zeros+b.inst[1].zeros != 0 {
			t.Error("who is preempted says priority 0")
		}
		checkNotified(t, a, "VI_1 BACKUP, VI_2 BACKUP, G BACKUP, VI_1 MASTER, VI_2 MASTER, G MASTER, VI_1 FAULT, VI_2 FAULT, G FAULT, "+
			"VI_1 BACKUP, VI_2 BACKUP, G BACKUP, VI_1 MASTER, VI_2 MASTER, G MASTER")
	})
	t.Run("one member is an owner", func(t *testing.T) {
		w := newWorld(1)
		n := w.node(2, true, 100, Config{AdvertInt: time.Second, GarpMasterRepeat: 1})
		n.inst[0].feed(Priority{255})
		w.run(3600*ms, nil)
		if n.owns() != "" {
			t.Fatal("the owner does not wait for the other member")
		}
		w.run(30*ms, nil)
		if n.owns() != both {
			t.Fatal(w.picture())
		}
	})
	t.Run("all members are owners", func(t *testing.T) {
		w := newWorld(1)
		n := w.node(2, true, 255, Config{AdvertInt: time.Second, GarpMasterRepeat: 1})
		if w.run(20*ms, nil); n.owns() != both {
			t.Fatal(w.picture())
		}
	})
	t.Run("stop: each says priority 0, the group is the last to notify", func(t *testing.T) {
		w, a, b := pair(t, 150, 100)
		w.run(6*time.Second, nil)
		a.each(func() Event { return Stop{} })
		w.run(700*ms, nil)
		if a.inst[0].zeros != 1 || a.inst[1].zeros != 1 || b.owns() != both || !a.group.Done() {
			t.Fatal(a.inst[0].zeros, a.inst[1].zeros, w.picture())
		}
		checkNotified(t, a, "VI_1 BACKUP, VI_2 BACKUP, G BACKUP, VI_1 MASTER, VI_2 MASTER, G MASTER, VI_1 INIT, VI_2 INIT, G INIT")
	})
	t.Run("release hands over as a whole", func(t *testing.T) {
		w, a, b := pair(t, 150, 100)
		w.run(6*time.Second, nil)
		a.later(0, func() { a.step(GroupRelease{}) })
		if w.run(700*ms, nil); b.owns() != both || a.owns() != "" {
			t.Fatal(w.picture())
		}
		if w.run(20*time.Second, nil); a.owns() != "" {
			t.Error("it takes back what it released")
		}
	})
}

// checkNotified compares what was notified; members may be in any order among themselves.
func checkNotified(t *testing.T, n *simNode, want string) {
	t.Helper()
	canon := func(all []string) string {
		for k := 0; k+1 < len(all); k += 1 {
			if strings.HasPrefix(all[k], "VI_2") && strings.HasPrefix(all[k+1], "VI_1") {
				all[k], all[k+1] = all[k+1], all[k]
			}
		}
		return strings.Join(all, ", ")
	}
	if got := canon(n.notified); got != want {
		t.Errorf("notified:\n  %s\nwant:\n  %s", got, want)
	}
}
