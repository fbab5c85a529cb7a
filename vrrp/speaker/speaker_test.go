package speaker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/boottime"
	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/guard"
	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

type checked struct{ *testing.M }

// Run fails the package when a goroutine is left.
func (c checked) Run() int {
	code := c.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		println(err.Error())
		return 1
	}
	return code
}

func TestMain(m *testing.M) { lab.Main(checked{m}) }

// link makes an interface with carrier and an address in the test's own network namespace.
func link(t *testing.T, name, address string) {
	t.Helper()
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(netlink.LinkAdd(v))
	t.Cleanup(func() { _ = netlink.LinkDel(v) })
	peer, err := netlink.LinkByName(name + "p")
	check(err)
	a, err := netlink.ParseAddr(address)
	check(err)
	check(netlink.AddrAdd(v, a))
	check(netlink.LinkSetUp(v))
	check(netlink.LinkSetUp(peer))
	await(t, "carrier on "+name, func() bool { // the kernel tells of it a moment later
		l, err := netlink.LinkByName(name)
		return err == nil && l.Attrs().RawFlags&unix.IFF_RUNNING != 0
	})
}

func has(dev, prefix string) bool {
	ifi, err := net.InterfaceByName(dev)
	if err != nil {
		return false
	}
	all, _ := ifi.Addrs()
	return slices.ContainsFunc(all, func(a net.Addr) bool { return a.String() == prefix })
}

// await polls what the kernel or the speaker says, with a deadline.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(8 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// pets records what the guard was told.
type pets struct {
	mu    sync.Mutex
	words []string
}

func (p *pets) Pet(h guard.Holding) { p.say("pet " + h.Instance) }
func (p *pets) Drop(name string)    { p.say("drop " + name) }
func (p *pets) say(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.words = append(p.words, s)
}

func instanceOf(name, dev, address string, vrid, priority int) vrrp.Instance {
	return vrrp.Instance{
		Name: name, Interface: dev, VirtualRouterID: vrid, Priority: priority, AdvertInt: time.Second,
		Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix(address)}}, Pos: source.Pos{File: "x.conf", Line: vrid},
	}
}

// run starts a speaker; stop ends it and checks that it ended well.
func run(t *testing.T, o Options) (s *Speaker, stop func()) {
	t.Helper()
	s = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the speaker does not end")
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func state(s *Speaker, name string) machine.State {
	for _, st := range s.Status() {
		if st.Instance == name {
			return st.State
		}
	}
	return 0
}

func TestLife(t *testing.T) {
	link(t, "v0", "10.1.0.1/24")
	guard := &pets{}
	s, stop := run(t, Options{Node: "me", Guard: guard})
	a, b := instanceOf("A", "v0", "10.1.0.100/24", 1, 255), instanceOf("B", "v0", "10.1.0.101/32", 2, 255)
	if ps := s.Apply(vrrp.Config{Instances: []vrrp.Instance{a, b}}, vrrp.ElectionVRRP); len(ps) != 0 {
		t.Fatal(ps)
	}
	await(t, "both addresses on", func() bool { return has("v0", "10.1.0.100/24") && has("v0", "10.1.0.101/32") })
	await(t, "adverts", func() bool { st := s.Status(); return st[0].Counters["advert_sent"] > 1 })
	before := s.Status()[0]
	if before.State != machine.Master || before.Source.String() != "10.1.0.1" || before.Cause == "" || len(before.Moves) != 1 {
		t.Errorf("status %+v", before)
	}

	// B gets another priority, A is not touched.
	b.Priority = 200
	s.Apply(vrrp.Config{Instances: []vrrp.Instance{b, a}}, vrrp.ElectionVRRP)
	await(t, "priority 200", func() bool { return s.Status()[0].Instance == "B" && s.Status()[0].Priority == 200 })
	if st := s.Status(); len(st[0].Moves) != 1 || len(st[1].Moves) != 1 || st[1].Counters["advert_sent"] < before.Counters["advert_sent"] {
		t.Errorf("the change moved something: %+v", st)
	}

	// B goes.
	s.Apply(vrrp.Config{Instances: []vrrp.Instance{a}}, vrrp.ElectionVRRP)
	await(t, "B's address off", func() bool { return !has("v0", "10.1.0.101/32") })
	// A on another virtual router is another instance.
	a.VirtualRouterID = 9
	s.Apply(vrrp.Config{Instances: []vrrp.Instance{a}}, vrrp.ElectionVRRP)
	await(t, "A anew", func() bool {
		st := s.Status()
		return len(st) == 1 && st[0].VirtualRouterID == 9 && st[0].State == machine.Master
	})

	if err := s.Release(context.Background(), "nobody"); !errors.Is(err, ErrUnknownInstance) {
		t.Errorf("release of nobody: %v", err)
	}
	if err := s.Release(context.Background(), "A"); err != nil || has("v0", "10.1.0.100/24") {
		t.Errorf("released: %v, address on: %v", err, has("v0", "10.1.0.100/24"))
	}
	if err := s.Release(context.Background(), "A"); !errors.Is(err, ErrNotMaster) {
		t.Errorf("released again: %v", err)
	}
	await(t, "nobody takes it: A again", func() bool { return state(s, "A") == machine.Master })
	stop()
	if has("v0", "10.1.0.100/24") {
		t.Error("stopped with the address on")
	}
	if len(s.Status()) != 0 {
		t.Error("instances after the end")
	}
	if w := guard.words; w[0] != "pet A" && w[0] != "pet B" || w[len(w)-1] != "drop A" {
		t.Errorf("the guard was told %q", w)
	}
}

// TestStartupDelay: what is left of the delay is the instance's, not its settings': reading the same file again changes
// nothing, and takes nothing of the delay away.
func TestStartupDelay(t *testing.T) {
	link(t, "v7", "10.7.0.1/24")
	s, _ := run(t, Options{})
	const delay = time.Hour
	c := vrrp.Config{Global: vrrp.Global{StartupDelay: delay}, Instances: []vrrp.Instance{instanceOf("A", "v7", "10.7.0.100/24", 1, 255)}}
	s.Apply(c, vrrp.ElectionVRRP)
	await(t, "the instance", func() bool { return s.find("A") != nil })
	i := s.find("A")
	waits := func() (waits bool) {
		i.locked(func() { waits = i.timers[machine.Startup] != 0 && i.m.State() == machine.Init })
		return waits
	}
	await(t, "the owner waits", waits)
	plans, _ := vip.Plans(c)
	again, err := newSettings("", 1, c.Instances[0], c, plans[0], false)
	if err != nil {
		t.Fatal(err)
	}
	i.locked(func() {
		if again.differs(i.set) {
			t.Errorf("a change where nothing changed: %+v, %+v", i.set.machine, again.machine)
		}
		if left := i.config(again).StartupDelay; left <= delay-time.Minute || left > delay {
			t.Errorf("%v are left of the delay", left)
		}
	})
}

// TestGroupTellsPriority: notify_priority_changes of a sync group is for its members that say nothing themselves, as
// measured with keepalived 2.2.7.
func TestGroupTellsPriority(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		own, group *bool
		global     bool
		want       bool
	}{
		{nil, &yes, false, true}, {&no, &yes, false, false}, {&yes, nil, false, true}, {nil, nil, true, true}, {nil, nil, false, false},
	} {
		in := instanceOf("A", "v0", "10.1.0.100/24", 1, 100)
		in.PriorityChanges = c.own
		conf := vrrp.Config{
			Global: vrrp.Global{NotifyPriorityChanges: c.global}, Instances: []vrrp.Instance{in},
			SyncGroups: []vrrp.SyncGroup{{Name: "G", Members: []string{"A"}, PriorityChanges: c.group}},
		}
		plans, _ := vip.Plans(conf)
		set, err := newSettings("", 1, in, conf, plans[0], false)
		if err != nil || set.machine.TellPriority != c.want {
			t.Errorf("%+v: tells %v, %v", c, set.machine.TellPriority, err)
		}
	}
}

func TestApplyProblems(t *testing.T) {
	link(t, "v1", "10.2.0.1/24")
	s, _ := run(t, Options{})
	good := instanceOf("GOOD", "v1", "10.2.0.100/24", 1, 255)
	bad := good
	bad.Name, bad.VirtualRouterID = "BAD", 300
	twin := instanceOf("TWIN", "v1", "10.2.0.101/24", 1, 100)
	lost := instanceOf("LOST", "v9", "10.2.0.102/24", 4, 255)
	lost.TrackInterfaces = []vrrp.TrackInterface{{Name: "v8", Pos: source.Pos{Line: 7}}}
	ps := s.Apply(vrrp.Config{Instances: []vrrp.Instance{good, bad, twin, lost}}, vrrp.ElectionCluster)
	text := fmt.Sprint(ps)
	for _, want := range []string{"BAD", "300", "GOOD and TWIN both use virtual_router_id 1 on v1", `"v9"`, `"v8"`, "x.conf:4"} {
		if !strings.Contains(text, want) {
			t.Errorf("no word of %s in %s", want, text)
		}
	}
	await(t, "GOOD works", func() bool { return state(s, "GOOD") == machine.Master })
	await(t, "LOST waits", func() bool { return state(s, "LOST") == machine.Fault })
	link(t, "v8", "10.8.0.1/24")
	link(t, "v9", "10.9.0.1/24")
	await(t, "LOST works when its interfaces come", func() bool { return state(s, "LOST") == machine.Master })
}

// TestVRF: an instance without an interface goes by its VRF, and waits for it.
func TestVRF(t *testing.T) {
	s, _ := run(t, Options{})
	in := instanceOf("A", "", "10.6.0.100/24", 1, 255)
	in.VRF, in.McastSrcIP, in.Addresses[0].Dev = "blue", netip.MustParseAddr("10.6.0.1"), "blue"
	in.Unicast.Peers = []vrrp.Peer{{Addr: netip.MustParseAddr("10.6.0.2")}}
	ps := s.Apply(vrrp.Config{Instances: []vrrp.Instance{in}}, vrrp.ElectionVRRP)
	if text := fmt.Sprint(ps); !strings.Contains(text, "vrf") || !strings.Contains(text, `"blue"`) {
		t.Errorf("no word of the VRF that is missing: %s", text)
	}
	await(t, "FAULT without its VRF", func() bool { return state(s, "A") == machine.Fault })
	link(t, "blue", "10.6.0.1/24")
	await(t, "MASTER when it is there", func() bool { return state(s, "A") == machine.Master && has("blue", "10.6.0.100/24") })
	if st := s.Status()[0]; st.Transport != "blue" {
		t.Errorf("adverts go by %q", st.Transport)
	}
}

// leases records what the arbiter was told.
type leases struct {
	pets
	verdicts chan vrrp.Verdict
}

func (l *leases) Stand(name string, c vrrp.Candidacy) {
	l.say(fmt.Sprintf("stand %s %d ready=%v", name, c.Priority, c.Ready))
}
func (l *leases) Withdraw(name string) { l.say("withdraw " + name) }
func (l *leases) Released(name string, epoch uint64) {
	l.say(fmt.Sprint("released ", name, " ", epoch))
}
func (l *leases) Verdicts() <-chan vrrp.Verdict { return l.verdicts }
func (l *leases) heard(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.words, s)
}

func TestArbiter(t *testing.T) {
	link(t, "v2", "10.3.0.1/24")
	l := &leases{verdicts: make(chan vrrp.Verdict)}
	s, _ := run(t, Options{Node: "me", Arbiter: l})
	a := instanceOf("A", "v2", "10.3.0.100/24", 1, 150)
	conf := vrrp.Config{Instances: []vrrp.Instance{a}}
	s.SetReady(false)
	s.Apply(conf, vrrp.ElectionCluster)
	await(t, "stands", func() bool { return l.heard("stand A 150 ready=false") })
	s.SetReady(true)
	await(t, "stands ready", func() bool { return l.heard("stand A 150 ready=true") })
	l.verdicts <- vrrp.Verdict{Kind: vrrp.Granted, Instance: "GONE", Epoch: 4, Expiry: boottime.Now().Add(time.Second)}
	await(t, "a lease for nobody goes back", func() bool { return l.heard("released GONE 4") })
	l.verdicts <- vrrp.Verdict{Kind: vrrp.Quorum}
	l.verdicts <- vrrp.Verdict{Kind: vrrp.Granted, Instance: "A", Epoch: 5, Expiry: boottime.Now().Add(time.Minute)}
	await(t, "has the address", func() bool { return has("v2", "10.3.0.100/24") })
	if st := s.Status()[0]; st.Epoch != 5 || st.Election != "cluster" || st.Holder != "me" || st.Expiry.IsZero() {
		t.Errorf("status %+v", st)
	}
	s.Fenced("A", 5)
	await(t, "gives back what the guard took", func() bool { return l.heard("released A 5") })
	s.Apply(vrrp.Config{}, vrrp.ElectionCluster)
	await(t, "withdraws", func() bool { return l.heard("withdraw A") })
}

func TestHistory(t *testing.T) {
	var h history
	for n := range 100 {
		h.saw(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), n, time.Now())
		h.saw(netip.AddrFrom4([4]byte{10, 9, 9, 9}), 200, time.Now())
		h.move(Move{Cause: fmt.Sprint(n)})
	}
	if len(h.adverts) != sourcesKept || h.adverts[0].Count != 100 || h.adverts[1].Priority != 99 {
		t.Errorf("adverts %+v", h.adverts)
	}
	if len(h.moves) != movesKept || h.moves[movesKept-1].Cause != "99" || h.moves[0].Cause != "80" {
		t.Errorf("moves %+v", h.moves)
	}
	seen := map[netip.Addr]bool{}
	for _, a := range h.adverts {
		if seen[a.Source] {
			t.Errorf("%s twice", a.Source)
		}
		seen[a.Source] = true
	}
}

func TestLimiter(t *testing.T) {
	var l limiter
	now := boottime.Time(time.Hour)
	a := netip.MustParseAddr("10.0.0.1")
	if !l.allow("ttl", a, now) || l.allow("ttl", a, now) || !l.allow("checksum", a, now) {
		t.Error("not once a cause")
	}
	lines := 0
	for n := range 100000 {
		if l.allow("ttl", netip.AddrFrom4([4]byte{1, byte(n >> 16), byte(n >> 8), byte(n)}), now) {
			lines++
		}
		if len(l.told) > complaints {
			t.Fatal("remembers without bound")
		}
	}
	if lines > perMinute {
		t.Errorf("%d lines in an instant", lines)
	}
	if !l.allow("ttl", a, now.Add(2*againAfter)) {
		t.Error("never again")
	}
}

// TestOtherProtocol: where some instances of an interface have auth_type AH and others have not, an advert of the wrong kind
// is one of another configuration, not of an unknown virtual router.
func TestOtherProtocol(t *testing.T) {
	link(t, "ahx", "10.77.0.1/24")
	s, stop := run(t, Options{Node: "a"})
	defer stop()
	one, two := instanceOf("V1", "ahx", "10.77.0.101/24", 1, 100), instanceOf("V2", "ahx", "10.77.0.102/24", 2, 100)
	two.AuthType, two.AuthPass = vrrp.AuthAH, "test"
	s.Apply(vrrp.Config{Instances: []vrrp.Instance{one, two}}, vrrp.ElectionVRRP)
	hear := func(by string, vrid byte) {
		if i := s.find(by); i != nil {
			i.port.receive(packet.Datagram{
				Source: netip.MustParseAddr("10.77.0.2"), Destination: packet.Group4, TTL: 255, AH: packet.AuthHeader{Present: i.port.key.ah},
				Payload: []byte{0x21, vrid, 100, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
			})
		}
	}
	counted := func(name string) uint64 {
		for _, st := range s.Status() {
			if st.Instance == name {
				return st.Counters["auth_ah"]
			}
		}
		return 0
	}
	await(t, "an advert with a header where none is wanted", func() bool { hear("V2", 1); return counted("V1") > 0 })
	await(t, "an advert without the header that is wanted", func() bool { hear("V1", 2); return counted("V2") > 0 })
}
