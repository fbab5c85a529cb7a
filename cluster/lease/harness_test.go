package lease

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reeve-lb/reeve/internal/boottime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testRaft is what all nodes of a test cluster agree on: one log, one leader, terms that only grow.
type testRaft struct {
	ttl      time.Duration
	settle   time.Duration
	mu       sync.Mutex
	state    State
	nodes    []*testNode
	leader   *testNode
	triggers []string // who was told to stand for election
}

// testNode is a node with a real TLS port, a Client and a Service.
type testNode struct {
	raft    *testRaft
	id      string
	name    string
	term    uint64
	leading bool
	elected boottime.Time
	changed []chan struct{}
	dead    bool // guarded by raft.mu

	contacts map[string]int // by ID; guarded by raft.mu
	led      int            // guarded by raft.mu

	ln       net.Listener
	server   *tls.Config
	client   *tls.Config
	say      SayConfig
	Client   *Client
	Service  *Service
	stop     context.CancelFunc
	tasks    sync.WaitGroup
	verdicts chan Verdict

	mu     sync.Mutex
	stall  bool
	behind map[string]chan struct{} // what the log is late with, see lags
}

// stallConn lets a test hold back what a node sends and receives, as a frozen process or a cut link does.
type stallConn struct {
	net.Conn
	n *testNode
}

func (c *stallConn) wait() {
	for {
		c.n.mu.Lock()
		stalled := c.n.stall
		c.n.mu.Unlock()
		if !stalled {
			return
		}
		time.Sleep(time.Millisecond) // a stand-in for the kernel: nothing signals the end of a freeze
	}
}

func (c *stallConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wait()
	return n, err
}

func (c *stallConn) Write(b []byte) (int, error) {
	c.wait()
	return c.Conn.Write(b)
}

func (n *testNode) Leadership() Leadership {
	n.raft.mu.Lock()
	defer n.raft.mu.Unlock()
	l := Leadership{Leading: n.leading, Term: n.term, Elected: n.elected}
	if r := n.raft.leader; r != nil {
		l.Leader = Peer{r.id, r.name}
	}
	for _, o := range n.raft.nodes {
		l.Voters = append(l.Voters, o.id)
	}
	return l
}

func (n *testNode) Changed(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	n.raft.mu.Lock()
	defer n.raft.mu.Unlock()
	n.changed = append(n.changed, ch)
	return ch
}

func (n *testNode) Term() uint64 {
	n.raft.mu.Lock()
	defer n.raft.mu.Unlock()
	return n.term
}

func (n *testNode) Contact(id string, term uint64) {
	n.raft.mu.Lock()
	defer n.raft.mu.Unlock()
	if n.contacts == nil {
		n.contacts = make(map[string]int)
	}
	if term == n.term {
		n.contacts[id]++
	}
}

func (n *testNode) Led(leader string, term uint64) {
	n.raft.mu.Lock()
	defer n.raft.mu.Unlock()
	if l := n.raft.leader; l != nil && l.id == leader && term == n.term {
		n.led++
	}
}

func (n *testNode) Propose(ctx context.Context, cmd []byte) ([]Record, error) {
	n.raft.mu.Lock()
	defer n.raft.mu.Unlock()
	if n.raft.leader != n || n.dead {
		return nil, errors.New("not the leader")
	}
	return n.raft.state.Apply(cmd)
}

func (n *testNode) Records() []Record {
	n.raft.mu.Lock()
	defer n.raft.mu.Unlock()
	return n.raft.state.Records()
}

func (n *testNode) Applied(ctx context.Context, instance string, epoch uint64) error {
	n.mu.Lock()
	behind := n.behind[instance]
	n.mu.Unlock()
	if behind == nil {
		return nil
	}
	select {
	case <-behind:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lags lets the node's log be late with the leases of an instance until the channel is closed.
func (n *testNode) lags(instance string) (until chan struct{}) {
	until = make(chan struct{})
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.behind == nil {
		n.behind = make(map[string]chan struct{})
	}
	n.behind[instance] = until
	return until
}

func (n *testNode) TransferLeadership(ctx context.Context, to string) error {
	for _, o := range n.raft.nodes {
		if o.id == to {
			n.raft.elect(o)
			return nil
		}
	}
	return errors.New("no such node")
}

func (n *testNode) TriggerElection(ctx context.Context) error {
	n.raft.mu.Lock()
	n.raft.triggers = append(n.raft.triggers, n.name)
	n.raft.mu.Unlock()
	n.raft.elect(n)
	return nil
}

func (n *testNode) Dial(ctx context.Context, id string) (net.Conn, error) {
	for _, o := range n.raft.nodes {
		if o.id != id {
			continue
		}
		d := tls.Dialer{Config: n.client}
		c, err := d.DialContext(ctx, "tcp", o.ln.Addr().String())
		if err != nil {
			return nil, err
		}
		return &stallConn{c, n}, nil
	}
	return nil, errors.New("no such node")
}

// elect makes n the leader of a new term, in which all nodes are that live.
func (r *testRaft) elect(n *testNode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	term := uint64(0)
	for _, o := range r.nodes {
		term = max(term, o.term)
	}
	for _, o := range r.nodes {
		if !o.dead {
			o.term, o.leading = term+1, false
		}
	}
	r.leader, n.leading, n.elected = n, true, boottime.Now()
	for _, o := range r.nodes {
		for _, ch := range o.changed {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}

func newTestCluster(t testing.TB, ttl time.Duration, names ...string) *testRaft {
	t.Helper()
	return newHastyCluster(t, ttl, time.Minute, names...)
}

// newHastyCluster is a cluster that waits for its log no longer than settle.
func newHastyCluster(t testing.TB, ttl, settle time.Duration, names ...string) *testRaft {
	t.Helper()
	r := &testRaft{ttl: ttl, settle: settle}
	ca, key := newCA(t)
	for i, name := range names {
		r.nodes = append(r.nodes, newTestNode(t, r, ca, key, i, name))
	}
	for _, n := range r.nodes {
		for _, o := range r.nodes {
			if o != n {
				n.say.Peers = append(n.say.Peers, SayPeer{ID: o.id, Address: o.ln.Addr().String()})
			}
		}
		n.start(t)
	}
	t.Cleanup(func() {
		for _, n := range r.nodes {
			n.kill()
		}
	})
	return r
}

func newCA(t testing.TB) (*x509.Certificate, ed25519.PrivateKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "test"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	must(t, err)
	ca, err := x509.ParseCertificate(der)
	must(t, err)
	return ca, key
}

func newTestNode(t testing.TB, r *testRaft, ca *x509.Certificate, caKey ed25519.PrivateKey, i int, name string) *testNode {
	t.Helper()
	n := &testNode{raft: r, id: "id-" + name, name: name, verdicts: make(chan Verdict, 10000)}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(int64(i) + 2), NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{CommonName: name, SerialNumber: n.id}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, pub, caKey)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	n.say = SayConfig{Node: name, Cert: [][]byte{der}, Key: pkcs8, CA: [][]byte{ca.Raw}}
	n.client, err = n.say.tls()
	must(t, err)
	pool := n.client.RootCAs
	n.server = n.client.Clone()
	n.server.ClientAuth, n.server.ClientCAs = tls.RequireAndVerifyClientCert, pool
	n.client.InsecureSkipVerify = true
	n.client.VerifyConnection = func(cs tls.ConnectionState) error { return verifyPeer(SayPeer{}, pool, cs) }
	n.ln, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	n.Client, n.Service, err = New(Config{ID: n.id, Node: name, Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), TTL: r.ttl, Settle: r.settle, Log: n, Transport: n})
	must(t, err)
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (n *testNode) start(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.tasks.Go(func() { _ = n.Client.Run(ctx) })
	n.tasks.Go(func() { _ = n.Service.Run(ctx) })
	n.tasks.Go(func() {
		for v := range n.Client.Verdicts() {
			n.verdicts <- v
		}
	})
	n.tasks.Go(func() {
		for {
			c, err := n.ln.Accept()
			if err != nil {
				return
			}
			n.tasks.Go(func() {
				tc := tls.Server(c, n.server)
				if tc.HandshakeContext(ctx) != nil {
					_ = c.Close()
					return
				}
				s := tc.ConnectionState().PeerCertificates[0].Subject
				_ = n.Service.Serve(ctx, Peer{ID: s.SerialNumber, Name: s.CommonName}, &stallConn{tc, n})
			})
		}
	})
}

// kill ends the node, as the end of its process does.
func (n *testNode) kill() {
	n.raft.mu.Lock()
	was := n.dead
	n.dead = true
	n.raft.mu.Unlock()
	if was {
		return
	}
	n.freeze(false)
	n.stop()
	_ = n.ln.Close()
	n.tasks.Wait()
}

func (n *testNode) freeze(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stall = on
}

// await returns the next verdict of that kind for the instance and fails at any of the kinds in never.
func (n *testNode) await(t testing.TB, instance string, kind VerdictKind, never ...VerdictKind) Verdict {
	t.Helper()
	timeout := time.After(5 * time.Second)
	for {
		select {
		case v := <-n.verdicts:
			if v.Instance == instance && v.Kind == kind {
				return v
			}
			if v.Instance == instance && slices.Contains(never, v.Kind) {
				t.Fatalf("%s: %s %s while waiting for %s", n.name, v.Kind, instance, kind)
			}
		case <-timeout:
			t.Fatalf("%s: no %s of %s; status %s", n.name, kind, instance, fmt.Sprintf("%+v", n.Client.Status()))
		}
	}
}
