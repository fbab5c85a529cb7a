package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// nodeVar makes the test binary a node of the stand-in cluster: its value is the socket that orders come by.
const nodeVar = "REEVE_DEMO_TEST_NODE"

func TestMain(m *testing.M) {
	if path := os.Getenv(nodeVar); path != "" {
		if err := standIn(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	lab.Main(m)
}

// order is what the test's coordinator tells a node's process: the addresses it shall have, and the servers.
type order struct {
	Have    []string
	Servers []string
	Version uint64
	End     bool
}

// standIn is a node: it forwards port 80 to a server chosen by the client's address, and puts addresses on and off as told.
func standIn(path string) error {
	var mu sync.Mutex
	var servers []string
	conf := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1) })
	}}
	front, err := conf.Listen(context.Background(), "tcp4", "0.0.0.0:80")
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := front.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			list := servers
			mu.Unlock()
			go forward(c, list)
		}
	}()
	_ = os.Remove(path)
	orders, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for {
		c, err := orders.Accept()
		if err != nil {
			return err
		}
		var o order
		if json.NewDecoder(c).Decode(&o) != nil {
			c.Close()
			continue
		}
		mu.Lock()
		servers = o.Servers
		mu.Unlock()
		want := map[string]bool{}
		for _, a := range o.Have {
			want[a] = true
		}
		for a := range have {
			if !want[a] {
				if err := netlink.AddrDel(link, &netlink.Addr{IPNet: netlink.NewIPNet(net.ParseIP(a))}); err != nil {
					return err
				}
			}
		}
		for a := range want {
			if !have[a] {
				if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: netlink.NewIPNet(net.ParseIP(a))}); err != nil && !errors.Is(err, unix.EEXIST) {
					return err
				}
				if err := announce(link, net.ParseIP(a).To4()); err != nil {
					return err
				}
			}
		}
		have = want
		fmt.Fprintln(c, "done")
		c.Close()
		if o.End {
			return nil
		}
	}
}

// announce sends a gratuitous ARP request.
func announce(link netlink.Link, ip net.IP) error {
	mac := link.Attrs().HardwareAddr
	frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac...)
	frame = append(frame, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	frame = append(append(append(frame, mac...), ip...), 0, 0, 0, 0, 0, 0)
	frame = append(frame, ip...)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index})
}

func forward(c net.Conn, servers []string) {
	defer c.Close()
	h := fnv.New32()
	h.Write(c.RemoteAddr().(*net.TCPAddr).IP)
	s, err := net.Dial("tcp", servers[int(h.Sum32())%2]) // the third server comes later and moves nobody
	if err != nil {
		return
	}
	defer s.Close()
	go io.Copy(s, c)
	io.Copy(c, s)
}

// standIns is the stand-in cluster: a coordinator in the test's process.
type standIns struct {
	mu      sync.Mutex
	nodes   map[string]Node
	version uint64
	placed  map[string]string // address to node
	late    string            // a client that the others do not know
	done    sync.WaitGroup
}

var prefers = map[string]string{"10.77.0.101": "lb1", "10.77.0.102": "lb2"}

func newStandIns(t *testing.T) *standIns {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &standIns{nodes: map[string]Node{}, version: 1, placed: map[string]string{}}
	s.done.Go(func() {
		for ctx.Err() == nil {
			s.place()
			time.Sleep(10 * time.Millisecond)
		}
	})
	t.Cleanup(func() { stop(); s.done.Wait() })
	return s
}

// Argv implements Agents.
func (s *standIns) Argv(n Node) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[n.Name] = n
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return []string{"env", nodeVar + "=" + n.Socket, self}
}

func (s *standIns) tell(n Node, o order) error {
	c, err := net.DialTimeout("unix", n.Socket, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	o.Servers, o.Version = []string{"10.77.0.21:80", "10.77.0.22:80"}, s.version
	if err := json.NewEncoder(c).Encode(o); err != nil {
		return err
	}
	_, err = bufio.NewReader(c).ReadString('\n')
	return err
}

// place puts each address on the node that prefers it, or on another that runs.
func (s *standIns) place() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.nodes) < nodeCount {
		return
	}
	want := map[string][]string{}
	for a, first := range prefers {
		for _, name := range []string{first, "lb3", "lb2", "lb1"} {
			if s.tell(s.nodes[name], order{Have: s.on(name)}) == nil {
				want[name] = append(want[name], a)
				break
			}
		}
	}
	next := map[string]string{}
	for name, list := range want {
		for _, a := range list {
			next[a] = name
		}
	}
	for a, now := range s.placed { // off first, then on
		if next[a] != now {
			delete(s.placed, a)
			_ = s.tell(s.nodes[now], order{Have: s.on(now)}) // it may be dead
		}
	}
	for a, name := range next {
		if s.placed[a] == "" {
			s.placed[a] = name
			_ = s.tell(s.nodes[name], order{Have: s.on(name)})
		}
	}
}

func (s *standIns) on(name string) []string {
	var out []string
	for a, n := range s.placed {
		if n == name {
			out = append(out, a)
		}
	}
	return out
}

// State implements Agents.
func (s *standIns) State(_ context.Context, n Node) (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.tell(n, order{Have: s.on(n.Name)}); err != nil {
		return State{}, err
	}
	return State{Version: s.version, Leader: "lb3", Alive: nodeCount}, nil
}

// Apply implements Agents.
func (s *standIns) Apply(_ context.Context, _ Node, files []File) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.Contains(files[0].Content, "server web3 10.77.0.23:80") {
		return 0, errors.New("the change brings no third server")
	}
	s.version++
	return s.version, nil
}

// Leave implements Agents.
func (s *standIns) Leave(_ context.Context, n Node) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a, name := range s.placed {
		if name == n.Name {
			delete(s.placed, a)
		}
	}
	return s.tell(n, order{End: true})
}

// Tied implements Agents: a stand-in knows a client's server from the client's address, but for the one that is late.
func (s *standIns) Tied(_ context.Context, n Node, backend string) ([]string, error) {
	if n.Name == "lb1" || backend != "web" {
		return nil, fmt.Errorf("%s was asked for the clients of %s", n.Name, backend)
	}
	var all []string
	for i := range sessionCount {
		if a := address(1, 1+i).String(); a != s.late {
			all = append(all, a)
		}
	}
	return all, nil
}

func run(t *testing.T, o Options) (Report, string) {
	t.Helper()
	return runLate(t, o, "")
}

// runLate is a run in which the cluster has not agreed on the server of a client when the node fails.
func runLate(t *testing.T, o Options, late string) (Report, string) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	agents := newStandIns(t)
	agents.late = late
	var story strings.Builder
	o.Dir, o.View = t.TempDir(), Lines{&story}
	r, err := Run(t.Context(), o, agents)
	if err != nil {
		t.Fatalf("%v\n%s", err, story.String())
	}
	t.Log("\n" + story.String() + r.Text())
	return r, story.String()
}

// A cluster that hands over cleanly is told as good.
func TestCleanHandOver(t *testing.T) {
	r, story := runLate(t, Options{Fail: Leave}, "10.77.1.50")
	if r.Nodes != 3 || r.Sessions != 50 || r.SessionsMoved != 0 || r.SessionsLate != 1 || r.LateMoved != 0 || r.Moved != nil || r.OwnersSeenMax != 1 || r.VIPLeftOnDead || !r.ConfigVersionEverywhere {
		t.Errorf("report: %+v", r)
	}
	if r.Requests < 400 {
		t.Errorf("only %d questions", r.Requests)
	}
	for _, want := range []string{"VI_1 10.77.0.101 is on lb1", "web3 added", "1 of them are so young", "asked to leave", "is back on lb1"} {
		if !strings.Contains(story, want) {
			t.Errorf("the story does not say %q", want)
		}
	}
}

// A cluster without a guard leaves the address on the killed node, and the report says so.
func TestAddressLeftBehindIsSeen(t *testing.T) {
	r, _ := run(t, Options{Fail: Kill})
	if !r.VIPLeftOnDead || r.OwnersSeenMax != 2 {
		t.Errorf("the address stayed on the killed node, but: %+v", r)
	}
	if faults := strings.Join(r.Faults(), "; "); !strings.Contains(faults, "vip_left_on_dead") || !strings.Contains(faults, "owners_seen_max 2") {
		t.Errorf("faults: %s", faults)
	}
}

func TestInterruptedRunCleansUp(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	agents := newStandIns(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := Run(ctx, Options{Fail: Kill, Dir: t.TempDir(), View: cancelAt{"apply on", cancel}}, agents)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted run returns %v", err)
	}
}

// cancelAt ends a run at a step of the story.
type cancelAt struct {
	step   string
	cancel context.CancelFunc
}

func (c cancelAt) Say(_ time.Duration, text string) {
	if strings.HasPrefix(text, c.step) {
		c.cancel()
	}
}
func (c cancelAt) Frame(Frame) {}

func TestFaults(t *testing.T) {
	good := Report{Fail: Stop, VIPs: 2, FailoverGapMS: 300, Errors: 40, OwnersSeenMax: 1, ConfigVersionEverywhere: true}
	cases := []struct {
		name string
		edit func(*Report)
		want int
	}{
		{"good", func(*Report) {}, 0},
		{"gap", func(r *Report) { r.FailoverGapMS = 401 }, 1},
		{"leader may take longer", func(r *Report) { r.FailoverGapMS, r.LeaderFailed = 790, true }, 0},
		{"errors", func(r *Report) { r.Errors = 65 }, 1},
		{"owners", func(r *Report) { r.OwnersSeenMax = 2 }, 1},
		{"moved", func(r *Report) { r.SessionsMoved = 1 }, 1},
		{"moved, and late", func(r *Report) { r.SessionsMoved, r.SessionsLate, r.LateMoved = 2, 2, 2 }, 1},
		{"two late, one of them moved with another", func(r *Report) { r.SessionsMoved, r.SessionsLate, r.LateMoved = 2, 2, 1 }, 2},
		{"moved, one of two late", func(r *Report) { r.SessionsMoved, r.SessionsLate, r.LateMoved = 2, 1, 1 }, 2},
		{"left", func(r *Report) { r.VIPLeftOnDead = true }, 1},
		{"version", func(r *Report) { r.ConfigVersionEverywhere = false }, 1},
		{"all", func(r *Report) {
			*r = Report{Fail: Kill, VIPs: 2, FailoverGapMS: 151, Errors: 99, SessionsMoved: 1, VIPLeftOnDead: true}
		}, 6},
	}
	for _, c := range cases {
		r := good
		c.edit(&r)
		if got := r.Faults(); len(got) != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestPicture(t *testing.T) {
	var b bytes.Buffer
	p := NewPicture(&b, false, func() int { return 60 })
	p.Say(time.Second, strings.Repeat("long ", 40))
	p.Frame(Frame{
		Nodes: []NodeFrame{{Name: "lb1", Address: "10.77.0.11", Status: "up", Leader: true, Holds: []string{"VI_1"}}},
		VIPs:  []VIPFrame{{Instance: "VI_1", Address: "10.77.0.101", Owners: []string{"lb1"}, Asked: 7}},
	})
	p.Close()
	for _, want := range []string{"leader  VI_1", "7 asked", "\x1b[?25h"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the picture lacks %q:\n%q", want, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b[3") {
		t.Error("colors without being asked for")
	}
	for line := range strings.SplitSeq(b.String(), "\n") {
		if strings.Count(line, "long ") > 12 {
			t.Error("a line is longer than the terminal is wide")
		}
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{"abc": "abc", "abcdef": "abcd", "\x1b[32mab\x1b[0mcdef": "\x1b[32mab\x1b[0mcd", "█████": "████"} {
		if got := clip(in, 4); got != want {
			t.Errorf("clip(%q) = %q, want %q", in, got, want)
		}
	}
}
