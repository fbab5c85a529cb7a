package cluster

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/reeve-lb/reeve/cluster/tables"
	"github.com/reeve-lb/reeve/internal/source"
)

// TestMain looks for goroutines that are left. memberlist's probe of a member that went waits for its answer until the
// probe's own end, whatever else was shut down.
func TestMain(m *testing.M) {
	code := m.Run()
	var left error
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if left = goleak.Find(); left == nil || time.Now().After(end) {
			break
		}
	}
	if code == 0 && left != nil {
		fmt.Fprintln(os.Stderr, "goroutines are left:", left)
		code = 1
	}
	os.Exit(code)
}

var testKey = []byte("0123456789abcdef0123456789abcdef")

// takeIP gives each node of the test process an address of its own.
var nextIP atomic.Uint32

func takeIP() netip.Addr {
	n := nextIP.Add(1)
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 127<<24|uint32(os.Getpid()%200+20)<<16|n/250<<8|(n%250+1))
	return netip.AddrFrom4(b)
}

// testApp is a program that runs whatever is agreed on.
type testApp struct {
	seed []byte

	mu       sync.Mutex
	c        *Cluster
	refuse   source.Problems
	cant     string // a problem at run time
	versions []ConfigVersion
	secrets  []TLS // as told
	order    []string
	entries  map[tables.Key]string
	resets   int
	busy     chan struct{} // not nil: it takes nothing in before this is closed
	news     chan struct{} // replaced and closed at each change
}

func (a *testApp) CanRun(context.Context, []byte) source.Problems {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refuse
}

func (a *testApp) ConfigCommitted(v ConfigVersion) {
	a.mu.Lock()
	a.versions = append(a.versions, v)
	a.order = append(a.order, "config")
	cant, c := a.cant, a.c
	a.tell()
	a.mu.Unlock()
	c.Running(v.Version, cant)
}

func (a *testApp) CanServe(context.Context, TLSChange) source.Problems {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refuse
}

func (a *testApp) TLSCommitted(t TLS) {
	a.mu.Lock()
	a.secrets = append(a.secrets, t)
	a.order = append(a.order, "tls")
	cant, c := a.cant, a.c
	a.tell()
	a.mu.Unlock()
	c.Serving(t.Index, cant)
}

// serves is what the program was told last to show in place of a file, and the newest ticket key. a.mu is held.
func (a *testApp) serves(name string) (pem, key string) {
	if len(a.secrets) == 0 {
		return "", ""
	}
	now := a.secrets[len(a.secrets)-1]
	for _, c := range now.Certificates {
		if c.Name == name {
			pem = string(c.PEM)
		}
	}
	if len(now.TicketKeys) > 0 {
		key = string(now.TicketKeys[0].Key)
	}
	return pem, key
}

// heard copies what the program was told so far: the cluster goes on telling while a test looks.
func (a *testApp) heard() (map[tables.Key]string, []ConfigVersion) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.entries), slices.Clone(a.versions)
}

func (a *testApp) BindingsApplied(cs []tables.Change) {
	a.mu.Lock()
	busy := a.busy
	a.mu.Unlock()
	if busy != nil {
		<-busy
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range cs {
		switch c.Kind {
		case tables.Reset:
			a.resets++
			a.entries = map[tables.Key]string{}
		case tables.Bound, tables.Renewed, tables.Kept:
			a.entries[c.Key] = c.Server
		default:
			delete(a.entries, c.Key)
		}
	}
	a.tell()
}

func (a *testApp) Seed() []byte { return a.seed }

func (a *testApp) tell() {
	if a.news != nil {
		close(a.news)
	}
	a.news = make(chan struct{})
}

// until waits for something that the program learns.
func (a *testApp) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		a.mu.Lock()
		done, news := ok(), a.news
		a.mu.Unlock()
		if done {
			return
		}
		select {
		case <-news:
		case <-deadline:
			t.Fatalf("%s: not within 15 s", what)
		}
	}
}

// testNode is one node that can be stopped and started again.
type testNode struct {
	*Cluster
	app    *testApp
	conf   Config
	cancel context.CancelFunc
	done   chan error
}

type option func(*Config, *testApp)

func start(t *testing.T, conf Config, app *testApp) *testNode {
	t.Helper()
	c, err := New(conf, app)
	if err != nil {
		t.Fatalf("%s: %v", conf.Name, err)
	}
	app.mu.Lock()
	app.c, app.entries, app.versions, app.secrets, app.order = c, map[tables.Key]string{}, nil, nil, nil
	if app.news == nil {
		app.news = make(chan struct{})
	}
	app.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	n := &testNode{Cluster: c, app: app, conf: conf, cancel: cancel, done: make(chan error, 1)}
	go func() { n.done <- c.Run(ctx) }()
	t.Cleanup(n.stop)
	select {
	case <-c.Ready():
	case err := <-n.done:
		n.done <- err
		t.Fatalf("%s: %v", conf.Name, err)
	}
	return n
}

func (n *testNode) stop() {
	n.cancel()
	err := <-n.done
	n.done <- err
}

// again starts a stopped node with what it left.
func (n *testNode) again(t *testing.T) *testNode {
	t.Helper()
	return start(t, n.conf, n.app)
}

// testCluster starts n nodes that find each other.
func testCluster(t *testing.T, n int, opts ...option) []*testNode {
	t.Helper()
	ips := make([]netip.Addr, n)
	join := make([]string, n)
	for i := range ips {
		ips[i] = takeIP()
		join[i] = ips[i].String()
	}
	nodes := make([]*testNode, n)
	for i := range nodes {
		conf := testConfig(fmt.Sprintf("lb%d", i+1), ips[i])
		conf.BootstrapExpect, conf.RetryJoin = n, join
		conf.DataDir = t.TempDir()
		app := &testApp{}
		for _, o := range opts {
			o(&conf, app)
		}
		nodes[i] = start(t, conf, app)
	}
	return nodes
}

func testConfig(name string, ip netip.Addr) Config {
	level := hclog.Off
	if os.Getenv("REEVE_TEST_LOG") != "" {
		level = hclog.LevelFromString(os.Getenv("REEVE_TEST_LOG"))
	}
	conf := Config{
		Name: name, Bind: ip, Key: testKey, Build: "test", StabilizeAfter: 200 * time.Millisecond,
		Logger: hclog.New(&hclog.LoggerOptions{Name: name, Level: level, Output: os.Stderr, TimeFormat: "05.000"}),
	}
	if os.Getenv("REEVE_LONG") == "" {
		// Where everything else runs beside this, under the race detector too, a leader may be late for its own heartbeats.
		conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLease = 600*time.Millisecond, 600*time.Millisecond, 450*time.Millisecond
	}
	return conf
}

// leaderOf waits until all of the nodes agree on a leader, and returns it.
func leaderOf(t *testing.T, nodes ...*testNode) *testNode {
	t.Helper()
	var leader *testNode
	eventually(t, "a leader", nodes, func() bool {
		leader = nil
		name := ""
		for _, n := range nodes {
			l, ok := n.Leader()
			if !ok || (name != "" && l != name) {
				return false
			}
			name = l
			if n.IsLeader() {
				leader = n
			}
		}
		return leader != nil && leader.conf.Name == name
	})
	return leader
}

// eventually waits for a condition that changes with leaders or members.
func eventually(t *testing.T, what string, nodes []*testNode, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	any := make(chan struct{}, 1)
	for _, n := range nodes {
		lead, members := n.LeaderChanged(ctx), n.MembersChanged(ctx)
		go func() {
			for {
				select {
				case <-lead:
				case <-members:
				case <-ctx.Done():
					return
				}
				wake(any)
			}
		}()
	}
	tick := time.NewTicker(20 * time.Millisecond) // for what is signalled by nothing
	defer tick.Stop()
	for !ok() {
		select {
		case <-any:
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func apply(t *testing.T, n *testNode, payload string) (ConfigVersion, []NodeReport) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	v, reports, err := n.Propose(ctx, Proposal{Payload: []byte(payload), Author: "test"})
	if err != nil {
		t.Fatalf("apply %q on %s: %v", payload, n.conf.Name, err)
	}
	return v, reports
}
